"""Every registered image attack, made to cheat in every way that its turns allow, is caught.

A cheat runs the honest search and bends what it yields. Caught means: whatever is called broken is a file inside of the
set that turns the target, nothing that can be broken is called certified, no budget is exceeded, and an attack that
showed nothing usable is an error, never "held".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.images import audit, cell, world
from tests.structures import pictured

from nocere.attacks.base import Ask, Certificate, Job, Propose, Search, Share
from nocere.attacks.certificates import CHECKERS
from nocere.audit.bundle import Bundle, evidence_path
from nocere.audit.replay import replay
from nocere.cases.image import FILE, read_pixels
from nocere.core.budget import Budget
from nocere.core.errors import PrerequisiteError
from nocere.core.registry import entries, get
from nocere.threats.base import Parametric

ATTACKS = [e for e in entries("attack") if e.facts.get("modality", "image") == "image"]
N, TURNS, LOOKS = 6, 5, 40
Turn = Ask | Propose | Share


def _contents(job: Job, turn: Turn) -> list[Any]:
    """Original of every row of a turn."""
    n = range(len(job.cases)) if isinstance(turn, Share) or turn.rows is None else turn.rows
    return [job.cases[int(r)].x for r in n]


def outside(job: Job, turn: Turn) -> Turn:
    """The negative of every picture, with the honest proof."""
    if isinstance(turn, Share):
        return Share(turn.delta * 100.0 + 100.0) if hasattr(turn.delta, "dtype") else turn
    originals = np.stack(_contents(job, turn))
    if isinstance(turn, Ask):
        import torch

        turn.x = torch.from_numpy(255.0 - originals.astype(np.float32))
        return turn
    return Propose(list(255 - originals), turn.rows, turn.proofs)


def forged(job: Job, turn: Turn) -> Turn:
    """Honest contents with proofs of something else."""
    if isinstance(turn, Share):
        return turn
    proofs = turn.proofs or [None] * len(_contents(job, turn))
    turn.proofs = [{k: _moved(v) for k, v in p.items()} if isinstance(p, Mapping) else {"x": 1.0} for p in proofs]
    return turn


def _moved(v: Any) -> Any:
    return v + 1.5 if isinstance(v, (int, float)) else v


def other_file(job: Job, turn: Turn) -> Turn:
    """The honest content and 16 bits deep, or transposed: files that differ in more than their pixels."""
    rows = None if isinstance(turn, Share) else turn.rows
    proofs = None if isinstance(turn, Share) else turn.proofs
    flipped = [c[:1].astype(np.uint16) * 257 if k % 2 else c[:, :, ::2] for k, c in enumerate(_contents(job, turn))]
    return Propose(flipped, rows if rows is not None else np.arange(len(flipped)), proofs)


def unmoved(job: Job, turn: Turn) -> Turn:
    """The original again and again."""
    if isinstance(turn, Share):
        return Share(turn.delta * 0) if hasattr(turn.delta, "dtype") else turn
    originals = np.stack(_contents(job, turn))
    if isinstance(turn, Propose):
        return Propose(list(originals), turn.rows, turn.proofs)
    import torch

    turn.x = torch.from_numpy(originals.astype(np.float32))
    return turn


def greedy(job: Job, turn: Turn) -> Turn:
    """Every row ten times, beyond any budget."""
    if not isinstance(turn, Ask):
        return turn
    n = np.arange(len(_contents(job, turn))).repeat(10)
    rows = n if turn.rows is None else np.asarray(turn.rows)[n]
    proofs = None if turn.proofs is None else [turn.proofs[i] for i in n]
    towards = None if turn.towards is None else np.asarray(turn.towards)[n]
    return Ask(turn.x[n], rows, turn.grad, proofs, turn.loss, towards)


CHEATS: dict[str, Callable[[Job, Turn], Turn]] = {
    "outside": outside,
    "forged": forged,
    "other_file": other_file,
    "unmoved": unmoved,
    "greedy": greedy,
}


@dataclass(frozen=True)
class Cheat:
    """An attack whose every turn is bent, and that claims a certificate of every kind for every case at the end."""

    inner: Any
    how: str

    @property
    def name(self) -> str:
        return f"test.{self.how}"

    def __getattr__(self, name: str) -> Any:
        if name in ("needs", "scope", "cohort", "minimal"):
            return getattr(object.__getattribute__(self, "inner"), name)
        raise AttributeError(name)

    def search(self, job: Job) -> Search:
        job.direct = _bent(job, self.how)
        honest = self.inner.search(job)
        claims: list[Certificate] = []
        try:
            turn = next(honest)
            for _ in range(TURNS):
                n = None if isinstance(turn, Share) else len(_contents(job, turn))
                answer = yield CHEATS[self.how](job, turn)
                if n is not None and len(answer.margin) != n:
                    break  # the honest search cannot go on with answers to other questions
                turn = honest.send(answer)
        except StopIteration as stop:
            claims = list(stop.value or [])
        # True claims of the honest search are bent as well.
        return [Certificate(r, k, {**_said(claims), "members": 0}) for r in range(len(job.cases)) for k in CHECKERS]


def _bent(job: Job, how: str) -> Any:
    """The calls of a library that evaluates the model itself, bent in the same way."""
    direct: Any = job.direct

    def call(x: Any, rows: Any = None, grad: bool = False) -> Any:
        turn = CHEATS[how](job, Ask(x, rows, grad))
        return direct(turn.x, turn.rows, grad) if isinstance(turn, Ask) else direct(x[:, :, ::2], rows, grad)

    return call


def _said(claims: list[Certificate]) -> dict[str, Any]:
    return {k: v for c in claims for k, v in c.data.items()}


def _pset(entry: Any) -> Any:
    if entry.name in ("image.grid", "image.sampled"):
        return next(p for t in entries("threat") if isinstance(p := t.make(), Parametric))
    return get("threat", entry.facts.get("threat", "image.linf")).make()


def _made(entry: Any) -> Any:
    try:
        attack = entry.make()
    except PrerequisiteError as e:
        pytest.skip(str(e))
    return replace(attack, draws=10) if hasattr(attack, "draws") else attack


def _world(entry: Any) -> tuple[Any, Any]:
    return pictured(entry.facts["model"], N) if "structure" in entry.make.needs else world(N)


def _audited(out: Path, entry: Any, attack: Any) -> tuple[Bundle, Any, Any, Any]:
    cases, target = _world(entry)
    pset = _pset(entry)
    fit = frozenset(r.id for r in cases.refs[: N // 2]) if attack.scope == "group" else frozenset()
    spec = cell(
        cases, (attack,), pset=pset, radii=(pset.radius,), fit=fit, access=target.access, budget=Budget(LOOKS)
    )  # fmt: skip
    return audit(out, cases, target, spec), cases, target, pset


def _files(bundle: Bundle) -> Iterator[tuple[Any, Any]]:
    for o in bundle.outcomes("cell"):
        if o.kind == "broken":
            data = bundle.bytes(f"{evidence_path('cell', o.case_id, o.radius)}/{FILE}")
            yield o, read_pixels(data, o.case_id).astype(int)


# By hand, beside the rules themselves.
SIZES: dict[str, Callable[[Any], float]] = {
    "image.linf": lambda d: float(np.abs(d).max()),
    "image.l2": lambda d: float(np.sqrt((d**2).sum())),
    "image.l0": lambda d: float((d != 0).any(axis=0).sum()),
    "image.patch": lambda d: float(np.ptp(np.argwhere((d != 0).any(axis=0)), axis=0).max() + 1),
}


@pytest.mark.parametrize("how", CHEATS)
@pytest.mark.parametrize("entry", ATTACKS, ids=lambda e: e.name)
def test_a_cheat_is_caught(tmp_path: Path, entry: Any, how: str) -> None:
    bundle, cases, target, pset = _audited(tmp_path / "b", entry, Cheat(_made(entry), how))
    outcomes = list(bundle.outcomes("cell"))
    assert outcomes
    kinds = {o.kind for o in outcomes}
    assert kinds <= {"broken", "held", "certified", "errored", "already_wrong", "not_reached"}
    proven = pset.name not in SIZES or pset.name == "image.patch"  # members exist only with a proof
    if how in ("other_file", "unmoved") or (how == "forged" and proven):
        # No comfort: what showed nothing usable is never "held". (A grid shows parameters: the original with a proof is
        # another rendering, and no member.)
        assert kinds <= {"errored", "already_wrong", "certified", "not_reached"}, [(o.kind, o.why) for o in outcomes]
        assert all(o.meter["queries"] == 0 for o in outcomes if o.kind == "errored")
    for o, x in _files(bundle):
        size = SIZES.get(pset.name)
        if size is not None:
            assert size(x - cases.load(o.case_id).x.astype(int)) <= pset.radius
    assert replay(bundle, target).failed == ()
    assert all(o.meter.get("forward", 0) <= LOOKS for o in outcomes)
    claimed = {o.case_id for o in outcomes if o.kind == "certified"}
    if claimed:
        honest = _audited(tmp_path / "honest", entry, _made(entry))[0].outcomes("cell")
        assert not claimed & {o.case_id for o in honest if o.kind == "broken"}


@pytest.mark.parametrize(
    "entry", [e for e in ATTACKS if e.make.scope == "group"], ids=lambda e: e.name
)  # fmt: skip
def test_a_universal_attack_that_looks_at_held_out_cases_is_caught(tmp_path: Path, entry: Any) -> None:
    class Peeks(Cheat):
        def search(self, job: Job) -> Search:
            yield Ask(job.x0, grad=True)
            return (yield from self.inner.search(job))

    outcomes = list(_audited(tmp_path / "b", entry, Peeks(entry.make(), "outside"))[0].outcomes("cell"))
    assert outcomes
    assert {o.kind for o in outcomes} <= {"errored", "already_wrong"}
    assert all("held-out" in o.why for o in outcomes if o.kind == "errored")


def test_the_cheats_would_succeed_without_the_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness can fail: with rules that allow everything, files outside of the set are called broken."""
    from nocere.threats.pixels import Linf

    entry = get("attack", "image.pgd")
    for name in ("check", "inside"):
        allow = {"check": lambda *_: None, "inside": lambda _, x, *__: np.ones(len(x), dtype=bool)}[name]
        monkeypatch.setattr(Linf, name, allow)
    monkeypatch.setattr(Linf, "realise", lambda _, x, case, __: x.round().numpy().astype(case.x.dtype))
    bundle, cases, _, pset = _audited(tmp_path / "b", entry, Cheat(entry.make(), "outside"))
    far = [SIZES["image.linf"](x - cases.load(o.case_id).x.astype(int)) for o, x in _files(bundle)]
    assert far and max(far) > pset.radius
