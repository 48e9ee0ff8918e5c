"""Cells of claims from search to file: honest attacks find what brute force finds, saboteurs get nothing through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from tests import worlds as w
from tests.code_rules import FAKE, WORLD

from nocere.attacks.base import Ask, AttackDefaults, Job, Propose, Search
from nocere.audit.bundle import Bundle, short
from nocere.audit.runner import run_audit
from nocere.audit.spec import CellSpec, Spec
from nocere.cases.claim import Claim, Diagnosis
from nocere.cases.claim_json import ClaimCodec
from nocere.core.budget import Budget
from nocere.core.case import Case, CaseSet, Truth
from nocere.core.decision import OneLogit
from nocere.core.goal import Goal
from nocere.targets.callable import callable_target
from nocere.threats.base import Threat
from nocere.threats.codes.edit import Edit, replay
from nocere.threats.codes.sets import AllEdits, CodeEdits, Truthful, TruthfulWide, proof_of

WEIGHT = {"QA1.0": -1.0, "QA1.1": 0.5, "QA1.3": -3.0, "QA1.6": -3.0, "QB2.8": 1.5, "QB2.1": 0.7, "QB2.0": -0.4,
          "QC3.1": 2.5, "QD4.1": 0.2, "QF6.1": 0.4, "QD4.0": -0.3}  # fmt: skip


def score(claims: list[Claim]) -> Any:
    return np.array([sum(WEIGHT.get(c, 0.05) for c in x.codes) - 0.83 for x in claims])


@pytest.fixture(autouse=True)
def _rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CodeEdits, "graph", lambda self: FAKE)


def world() -> CaseSet:
    cases = [
        replace(c, id=name, truth=Truth.of(w.LABELS[int(score([c.x])[0] > 0)]), sha256=name)
        for name, c in list(WORLD.items())[:9]
    ]
    return CaseSet.of(cases, phantom=True)


def run(out: Path, pset: CodeEdits, *attacks: Any, radii: tuple[float, ...] = (1.0, 2.0)) -> Bundle:
    cases = world()
    target = callable_target(score, OneLogit(w.LABELS), outputs="logits", name="payer")
    threat = Threat(pset, Goal(), target.access, Budget(4000, confirms=4000))
    cell = CellSpec("c", threat, attacks, radii, "flip", tuple(r.id for r in cases.refs))
    return run_audit(Spec("claims", target, ClaimCodec(), cases, (cell,)), out / "b")


def breakable(c: Case[Claim], pset: CodeEdits) -> bool:
    was = score([c.x])[0] > 0
    return any((score([x])[0] > 0) != was for x, _ in pset.members(c))


@pytest.mark.parametrize("pset", [Truthful(2.0), TruthfulWide(2.0), AllEdits(2.0)], ids=lambda p: p.name)
def test_exhaustive_search_finds_what_brute_force_finds_and_certifies_the_rest(tmp_path: Path, pset: CodeEdits) -> None:
    bundle = run(tmp_path, pset, w.Exhaustive())
    last = {o.case_id: o for o in bundle.outcomes("c")}  # one outcome a radius
    for o in last.values():
        c = world().load(o.case_id)
        assert o.kind == ("broken" if breakable(c, pset) else "certified"), (o.case_id, o.why)
        if o.kind == "broken":
            assert o.finding is not None
            files = {"claim.json": bundle.bytes(f"evidence/c/{short(o.case_id)}@{o.radius:g}/claim.json")}
            x, header = ClaimCodec().decode(files)
            assert pset.at(o.radius).check(c, x, o.finding.proof) is None and dict(header) == dict(c.header)
            assert o.finding.cost is not None and o.finding.cost.value <= o.radius
    # Without evidence every one of these models falls.
    assert {o.kind for o in last.values()} == ({"broken", "certified"} if pset.evidence else {"broken"})


def test_single_moves_drive_a_greedy_search(tmp_path: Path) -> None:
    bundle = run(tmp_path, Truthful(2.0), w.GreedyMoves())
    broken = {o.case_id for o in bundle.outcomes("c") if o.kind == "broken"}
    assert broken and broken <= {c.id for c in world() if breakable(c, Truthful(2.0))}


def _with(x: Claim, *codes: str) -> Claim:
    return x.with_diagnoses(tuple(Diagnosis(c, "Y", (f"doc-{c}",)) for c in codes))


def false_swap(c: Case[Claim]) -> Iterator[tuple[Any, Any]]:
    """A swap inside the category, called by every true class and by a true rule."""
    for edit in ("E0", "E1", "E2", "E4", "X7"):
        for a in c.x.codes:
            for b in (b for b in ("QA1.3", "QA1.6", "QB2.8") if b not in c.x.codes):
                e = Edit(edit, (a,), (b,), rule="t:residual:QA1.0", evidence=("forged",))  # type: ignore[arg-type]
                yield replay(c.x, [e]), proof_of([e])


def no_proof(c: Case[Claim]) -> Iterator[tuple[Any, Any]]:
    """True claims without their proof, and with somebody else's."""
    other = next(p for _, p in Truthful().members(WORLD["closed"]))
    for x, _ in Truthful(2.0).members(c):
        yield x, None
        yield x, other


def everything(c: Case[Claim]) -> Iterator[tuple[Any, Any]]:
    """Another claim altogether, with the proof of a small edit."""
    proof = next((p for _, p in Truthful().members(c)), [])
    yield _with(c.x, "QA1.3", "QA1.6"), proof
    yield c.x.with_diagnoses(()), proof
    yield replace(c.x, charge=1.0, age=3), proof
    yield replace(c.x, system="ICD-9-CM"), proof


def too_many(c: Case[Claim]) -> Iterator[tuple[Any, Any]]:
    """Licensed edits, more than the radius allows."""
    yield from (m for m in Truthful(3.0).members(c) if len(m[1]) == 3)  # type: ignore[arg-type]


def no_claim(c: Case[Claim]) -> Iterator[tuple[Any, Any]]:
    """Things that are no claims."""
    for x in (None, 7, "claim", {"diagnoses": []}, c.x.codes):
        yield x, [{"edit": "E0"}]


LIES: dict[str, Callable[[Case[Claim]], Iterator[tuple[Any, Any]]]] = {
    f.__name__: f for f in (false_swap, no_proof, everything, too_many, no_claim)
}


@dataclass(frozen=True)
class Saboteur(AttackDefaults):
    """Proposes (and with `asks` asks about) what is outside of the set."""

    lies: str = "false_swap"
    asks: bool = False
    name: ClassVar[str] = "test.saboteur"
    cohort: ClassVar[int | None] = 1

    def search(self, job: Job) -> Search:
        for x, proof in list(LIES[self.lies](job.cases[0]))[:150]:
            yield Ask([x], proofs=[proof]) if self.asks else Propose([x], proofs=[proof])
        return []


@pytest.mark.parametrize(
    # What is no claim cannot be shown to a target at all.
    ("lies", "asks"),
    [(k, a) for k in LIES for a in (False, True) if (k, a) != ("no_claim", True)],
)
def test_saboteurs_get_no_claim_through(tmp_path: Path, lies: Any, asks: bool) -> None:
    bundle = run(tmp_path, Truthful(), Saboteur(lies, asks), radii=(2.0,))
    for o in bundle.outcomes("c"):
        # No judged candidate at all is an error, never "held".
        assert o.kind in ("errored", "held"), (o.case_id, o.kind, o.why)
        assert o.finding is None or not o.finding.ok
    assert "errored" in {o.kind for o in bundle.outcomes("c")}


def test_a_saboteur_that_edits_the_move_list_gains_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checker does not ask the generator: a generator that lies makes no false claim pass."""
    liar = Edit("E1", ("QA1.1",), ("QA1.3",), rule="t:residual:QA1.0", evidence=("doc-QA1.1",))
    monkeypatch.setattr("nocere.threats.codes.sets.moves", lambda case, rules, terms: (liar,))
    monkeypatch.setattr("nocere.threats.codes.sets.allowed", lambda case, edits, rules, terms: None)
    c = WORLD["closed"]
    assert [x.codes[0] for x, _ in Truthful().members(c)] == ["QA1.3"]
    bundle = run(tmp_path, Truthful(), w.GreedyMoves(), radii=(1.0,))
    assert not [o for o in bundle.outcomes("c") if o.kind == "broken"]
