"""Every registered note attack, made to cheat in every way that its turns allow, is caught (see test_saboteurs)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.images import cell
from tests.worded import audited, world

from nocere.attacks.base import Ask, Certificate, Job, Propose, Search, Share
from nocere.attacks.certificates import CHECKERS
from nocere.audit.bundle import Bundle, evidence_path
from nocere.cases.note import FILE
from nocere.core.budget import Budget
from nocere.core.registry import entries, get

ATTACKS = [e for e in entries("attack") if e.facts.get("modality") == "note"]
N, TURNS, LOOKS = 6, 5, 150
Turn = Ask | Propose | Share


def _cases(job: Job, turn: Ask | Propose) -> list[Any]:
    return [job.cases[int(r)] for r in (range(len(job.cases)) if turn.rows is None else turn.rows)]


def _proofs(turn: Ask | Propose) -> list[Any]:
    return list(turn.proofs or [None] * len(turn.x))


def outside(job: Job, turn: Turn) -> Turn:
    """Other notes than the proofs give: a denial, a dose and words of the attacker's own."""
    if isinstance(turn, Share):
        return Share(["The patient is well.", "No opioids are needed."])
    turn.x = [f"{x}The patient denies everything. Take 500 mg daily.\n" for x in turn.x]
    return turn


def _whole(case: Any, x: str) -> list[dict[str, Any]]:
    return [{"start": 0, "end": len(case.x), "text": x}]


def proven_outside(job: Job, turn: Turn) -> Turn:
    """The same, with proofs that give them: one edit from the first character to the last."""
    if isinstance(turn, Share):
        return outside(job, turn)
    turn = outside(job, turn)
    assert not isinstance(turn, Share)
    turn.proofs = [_whole(c, x) for c, x in zip(_cases(job, turn), turn.x, strict=True)]
    return turn


def forged(job: Job, turn: Turn) -> Turn:
    """Honest notes with proofs of something else."""
    if isinstance(turn, Share):
        return turn
    moved = [[{**e, "start": e["start"] + 1, "end": e["end"] + 1} for e in p or []] for p in _proofs(turn)]
    turn.proofs = [p or {"edits": 1} for p in moved]
    return turn


def other_file(job: Job, turn: Turn) -> Turn:
    """What no note file can hold, with the honest proofs."""
    if isinstance(turn, Share):
        return turn
    bad: list[Any] = [None, 7, b"note", "half a pair \ud800", ["note"]]
    return Propose([bad[k % len(bad)] for k in range(len(turn.x))], turn.rows, turn.proofs)


def unmoved(job: Job, turn: Turn) -> Turn:
    """The original again and again."""
    if isinstance(turn, Share):
        return Share([])
    turn.x = [c.x for c in _cases(job, turn)]
    return turn


def greedy(job: Job, turn: Turn) -> Turn:
    """Every row ten times, beyond any budget."""
    if not isinstance(turn, Ask):
        return turn
    n = np.arange(len(turn.x)).repeat(10)
    rows = n if turn.rows is None else np.asarray(turn.rows)[n]
    return Ask([turn.x[i] for i in n], rows, turn.grad, [_proofs(turn)[i] for i in n], turn.loss)


CHEATS: dict[str, Callable[[Job, Turn], Turn]] = {
    "outside": outside,
    "proven_outside": proven_outside,
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
        honest = self.inner.search(job)
        said: dict[str, Any] = {}
        try:
            turn = next(honest)
            for _ in range(TURNS):
                n = None if isinstance(turn, Share) else len(turn.x)
                answer = yield CHEATS[self.how](job, turn)
                if n is not None and (len(answer.margin) != n or getattr(turn, "grad", False)):
                    break  # the honest search cannot go on with answers to other questions
                turn = honest.send(answer)
        except StopIteration as stop:
            said = {k: v for c in stop.value or [] for k, v in c.data.items()}
        return [Certificate(r, k, {**said, "members": 0}) for r in range(len(job.cases)) for k in CHECKERS]


def _audited(out: Path, entry: Any, attack: Any) -> tuple[Bundle, Any, Any, Any]:
    cases, model = world(N)
    pset: Any = get("threat", entry.facts["threat"]).make()
    radius = 1.0 if entry.name == "notes.exhaustive" else pset.radius
    fit = frozenset(r.id for r in cases.refs[: N // 2]) if attack.scope == "group" else frozenset()
    spec = cell(cases, (attack,), pset=pset, radii=(radius,), fit=fit, access=model.access, budget=Budget(LOOKS))
    return audited(out, cases, model, spec), cases, model, pset.at(radius)


def _made(entry: Any) -> Any:
    attack = entry.make()
    return replace(attack, draws=10) if hasattr(attack, "draws") else attack


@pytest.mark.parametrize("how", CHEATS)
@pytest.mark.parametrize("entry", ATTACKS, ids=lambda e: e.name)
def test_a_cheat_is_caught(tmp_path: Path, entry: Any, how: str) -> None:
    bundle, cases, model, pset = _audited(tmp_path / "b", entry, Cheat(_made(entry), how))
    outcomes = list(bundle.outcomes("cell"))
    assert outcomes
    kinds = {o.kind for o in outcomes}
    assert kinds <= {"broken", "held", "certified", "errored", "already_wrong", "not_reached"}
    share = "universal" in entry.name
    if how in ("other_file", "unmoved") or (how in ("outside", "proven_outside", "forged") and not share):
        # Nothing usable was shown: no comfort. (A shared change is applied by the engine, not by the cheat.)
        allowed = {"errored", "already_wrong", "certified", "not_reached"}
        assert share or kinds <= allowed, [(o.kind, o.why) for o in outcomes]
    if share and how in ("outside", "proven_outside", "unmoved"):
        assert "broken" not in kinds
    for o in outcomes:
        assert o.meter.get("forward", 0) <= LOOKS
        if o.kind == "broken":
            case = cases.load(o.case_id)
            x = bundle.bytes(f"{evidence_path('cell', o.case_id, o.radius)}/{FILE}").decode()
            assert o.finding is not None and pset.check(case, x, o.finding.proof) is None
            assert (model.score(x) > 0) != (model.score(case.x) > 0)
    claimed = {o.case_id for o in outcomes if o.kind == "certified"}
    if claimed:
        honest = _audited(tmp_path / "honest", entry, _made(entry))[0].outcomes("cell")
        assert not claimed & {o.case_id for o in honest if o.kind == "broken"}


@pytest.mark.parametrize("entry", [e for e in ATTACKS if e.make.scope == "group"], ids=lambda e: e.name)
def test_a_universal_attack_that_looks_at_held_out_notes_is_caught(tmp_path: Path, entry: Any) -> None:
    class Peeks(Cheat):
        def search(self, job: Job) -> Search:
            yield Ask(list(job.x0))
            return (yield from self.inner.search(job))

    outcomes = list(_audited(tmp_path / "b", entry, Peeks(entry.make(), "unmoved"))[0].outcomes("cell"))
    assert outcomes and {o.kind for o in outcomes} <= {"errored", "already_wrong"}
    assert all("held-out" in o.why for o in outcomes if o.kind == "errored")


def test_the_cheats_would_succeed_without_the_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness can fail: with rules that allow everything, notes outside of the set are called broken."""
    from nocere.threats.words.sets import SameConcept

    monkeypatch.setattr(SameConcept, "check", lambda *_: None)
    entry = get("attack", "notes.greedy")
    bundle, cases, _, pset = _audited(tmp_path / "b", entry, Cheat(entry.make(), "outside"))
    found = [o for o in bundle.outcomes("cell") if o.kind == "broken"]
    monkeypatch.undo()
    assert found
    for o in found:
        x = bundle.bytes(f"{evidence_path('cell', o.case_id, o.radius)}/{FILE}").decode()
        assert o.finding is not None and pset.check(cases.load(o.case_id), x, o.finding.proof) is not None
