"""Proofs of claims, mutated in every way that we could think of: each mutant is refused, each true proof accepted.

A mutant may turn into another true proof (one legitimate generalisation exchanged for another). Which proofs are true is
enumerated by `moves`, which shares no code with the checker under test.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.code_rules import FAKE, LEAVES, RULES, WORLD

from nocere.cases.claim import Claim, Diagnosis
from nocere.core.case import Case
from nocere.core.errors import NocereError
from nocere.threats.codes.edit import CLASSES, Edit, ordered, replay
from nocere.threats.codes.sets import AllEdits, CodeEdits, Truthful, TruthfulWide, edits_of, proof_of

SETS: dict[str, CodeEdits] = {"truthful": Truthful(2.0), "wide": TruthfulWide(2.0), "all": AllEdits(2.0)}
PER_PROOF = 12  # true proofs of a claim and set that are mutated


@pytest.fixture(autouse=True, scope="module")
def _rules() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CodeEdits, "graph", lambda self: FAKE)
        yield


def true_proofs(c: Case[Claim], pset: CodeEdits) -> set[tuple[Edit, ...]]:
    """Every proof of the set, also where two give the same claim."""
    single = pset.edits(c)
    sets = itertools.chain.from_iterable(itertools.combinations(single, k) for k in (1, 2))
    return {ordered(s) for s in sets if pset.permits(c, s) and replay(c.x, ordered(s)) != c.x}


def mutate_edit(e: Edit, c: Case[Claim], rng: random.Random) -> Iterator[tuple[str, Edit]]:
    """One field of one edit made wrong."""
    code = rng.choice([*LEAVES, "E11.9", "", "nonsense"])
    there = rng.choice(c.x.codes)
    yield "wrong rule", replace(e, rule=rng.choice([r for r in (*RULES, "", "t:none", "X") if r != e.rule]))
    yield "wrong class", replace(e, edit=rng.choice([k for k in CLASSES if k != e.edit]))
    yield "evidence removed", replace(e, evidence=e.evidence[1:])
    yield "evidence forged", replace(e, evidence=(*e.evidence, "forged"))
    yield "other evidence", replace(e, evidence=("forged",))
    yield "another edit in it", replace(e, principal=there)
    yield "an order in it", replace(e, order=tuple(range(len(c.x.diagnoses))))
    yield "a line in it", replace(e, line=0, units=1.0)
    yield "numbers without a line", replace(e, line=-1, minutes=5)
    yield "no such line", replace(e, line=rng.choice([-7, 99]))
    if e.add:
        yield "other code", replace(e, add=(code, *e.add[1:]))
        yield "one more code", replace(e, add=(*e.add, code))
        yield "nothing added", replace(e, add=())
    else:
        yield "a code added", replace(e, add=(code,))
    if e.remove:
        yield "other code leaves", replace(e, remove=(there, *e.remove[1:]))
        yield "nothing leaves", replace(e, remove=())
        yield "codes turned round", replace(e, remove=e.remove[::-1])
    yield "one more leaves", replace(e, remove=(*e.remove, there))
    if e.order:
        yield "other order", replace(e, order=tuple(rng.sample(e.order, len(e.order))))
        yield "shorter order", replace(e, order=e.order[:-1])
        yield "other principal by order", replace(e, order=(e.order[-1], *e.order[:-1]))
    if e.line >= 0:
        off = rng.choice([-30, -11, -1, 1, 11, 30])
        yield "minutes out of tolerance", replace(e, minutes=e.minutes + off)
        yield "units", replace(e, units=e.units + rng.choice([-1.0, 0.1, 1.0, 100.0]))
        yield "other line", replace(e, line=1 - e.line)
    if e.principal:
        yield "other principal", replace(e, principal=code)


def mutants(c: Case[Claim], edits: tuple[Edit, ...], rng: random.Random) -> Iterator[tuple[str, Claim, Any]]:
    """Wrong proofs of the true claim, wrong claims with the true proof, and wrong proofs with just what they give."""
    x, proof = replay(c.x, edits), proof_of(edits)
    assert isinstance(proof, list)
    yield "no proof", x, None
    yield "empty proof", x, []
    yield "an object for a list", x, {"edits": proof}
    yield "junk", x, [*proof, rng.choice([7, None, "E1", [], {"edit": "E1", "add": 3}])]
    yield "the original", c.x, proof
    first = x.diagnoses[0]
    for other in (replace(x, charge=x.charge + 1), replace(x, sex="M" if x.sex != "M" else "F"), replace(x, days=9),
                  replace(x, provider="other"), replace(x, procedures=("0X0",)), x.with_diagnoses(x.diagnoses[:-1]),
                  x.with_diagnoses((replace(first, poa="N"), *x.diagnoses[1:])),
                  x.with_diagnoses((replace(first, evidence=("forged",)), *x.diagnoses[1:])),
                  x.with_diagnoses((*x.diagnoses, Diagnosis("QB2.3")))):  # fmt: skip
        yield "another claim", other, proof
    changed: list[tuple[str, tuple[Edit, ...]]] = []
    for k, e in enumerate(edits):
        changed += [(name, (*edits[:k], m, *edits[k + 1 :])) for name, m in mutate_edit(e, c, rng)]
        changed += [("edit dropped", (*edits[:k], *edits[k + 1 :]))] if len(edits) > 1 else []
        changed += [("edit twice", (*edits, e))]
    changed += [("order of edits", edits[::-1])] if len(edits) > 1 else []
    for name, wrong in changed:
        yield name, x, proof_of(wrong)
        try:
            yield f"{name}, and what it gives", replay(c.x, wrong), proof_of(wrong)
            yield f"{name}, in order", replay(c.x, ordered(wrong)), proof_of(ordered(wrong))
        except ValueError:
            continue


def verdicts(c: Case[Claim], pset: CodeEdits, seed: int) -> Counter[str]:
    """Mutants refused, by what was done to them; fails on one that is accepted."""
    truth = true_proofs(c, pset)
    refused: Counter[str] = Counter()
    rng = random.Random(seed)
    for edits in sorted(truth, key=repr)[:: max(1, len(truth) // PER_PROOF)]:
        assert pset.check(c, replay(c.x, edits), proof_of(edits)) is None, edits
        for name, x, proof in mutants(c, edits, rng):
            try:
                said = edits_of(proof)
                true = said in truth and replay(c.x, said) == x
            except ValueError:
                true = False
            verdict = pset.check(c, x, proof)
            assert (verdict is None) == true, (name, verdict, proof)
            refused[name] += not true
    return refused


@pytest.mark.parametrize("kind", SETS)
def test_mutated_proofs_are_refused_and_true_ones_accepted(kind: str) -> None:
    refused: Counter[str] = Counter()
    for k, c in enumerate(WORLD.values()):
        refused += verdicts(c, SETS[kind], k)
    print(f"{kind}: {sum(refused.values())} mutated proofs refused, of {len(refused)} sorts")
    assert sum(refused.values()) > 500 and min(refused.values()) > 0
    assert {"wrong rule", "wrong class", "other code", "evidence forged", "evidence removed", "edit dropped",
            "minutes out of tolerance, and what it gives", "order of edits", "one more leaves"} <= set(refused)  # fmt: skip


CONFLICTS = {
    "Excludes1 created": ("excludes", [Edit("E1", ("QA1.2",), ("QA1.0",), rule="t:residual:QA1.0", evidence=("doc-QA1.2",)),
                                       Edit("E1", ("QF6.1",), ("QF6.0",), rule="t:residual:QF6.0", evidence=("doc-QF6.1",))]),
    "partner dropped": ("excludes", [Edit("E3", ("QD4.0",), rule="t:optional"), Edit("E3", ("QD4.2",), rule="t:optional")]),
    "cause combined away": ("closed", [Edit("E2", ("QA1.1",), ("QC3.1",), rule="t:combine:2", evidence=("doc-QA1.1",))]),
    "a component that stays is generalised": ("kept", [Edit("E2", ("QG7.2",), ("QF6.0",), rule="t:combine:5", evidence=("doc-QG7.2",)),
                                                       Edit("E1", ("QG7.3",), ("QG7.0",), rule="t:residual:QG7.0", evidence=("doc-QG7.3",))]),
    "the cause after its manifestation": ("sequence", [Edit("E0", order=(0, 2, 1))]),
    "prose Excludes1": ("closed", [Edit("E1", ("QG7.1",), ("QG7.0",), rule="t:residual:QG7.0", evidence=("doc-QG7.1",))]),
    "undecided residual": ("loose", [Edit("E1", ("QA1.4",), ("QA1.0",), rule="t:residual:QA1.0?", evidence=("doc-QA1.4",))]),
    "an omission that prose may ask to stay": ("loose", [Edit("E3", ("QF6.2",), rule="t:optional")]),
    "principal omitted": ("closed", [Edit("E3", ("QA1.1",), rule="t:optional")]),
    "a code for women on a man's claim": ("loose", [Edit("E3", (), ("QH8.1",), rule="t:optional")]),
    "refined without evidence": ("facts", [Edit("E4", ("QA1.0",), ("QA1.2",), rule="t:residual:QA1.0")]),
    "a component that nobody stated": ("combined", [Edit("E2", ("QB2.8",), ("QB2.1", "QB2.2"), rule="t:combine:1:split", evidence=("doc-QB2.8",))]),
    "a false swap": ("closed", [Edit("X7", ("QA1.1",), ("QA1.5",))]),
    "unsupported code left": ("wrong", [Edit("E1", ("QD4.2",), ("QD4.0",), rule="t:residual:QD4.0", evidence=("doc-QD4.2",))]),
    "padded minutes left": ("padded", [Edit("E1", ("QA1.1",), ("QA1.0",), rule="t:residual:QA1.0", evidence=("doc-QA1.1",))]),
}  # fmt: skip


@pytest.mark.parametrize("name", CONFLICTS)
def test_what_each_rule_forbids(name: str) -> None:
    """Each edit replays and is licensed or nearly so; what comes out is what a rule forbids."""
    at, edits = CONFLICTS[name]
    c = WORLD[at]
    x = replay(c.x, ordered(edits))
    pset = TruthfulWide(3.0) if at == "kept" else Truthful(3.0)
    assert pset.check(c, x, proof_of(ordered(edits))) is not None, name
    assert not pset.permits(c, edits)


def test_more_edits_than_the_radius_are_refused() -> None:
    c = WORLD["closed"]
    for x, proof in Truthful(2.0).members(c):
        assert (Truthful(1.0).check(c, x, proof) is None) == (len(proof) == 1)  # type: ignore[arg-type]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 99) | st.floats() | st.sampled_from([*CLASSES, *LEAVES[:6], *RULES]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["edit", "remove", "add", "principal", "order", "line", "units", "minutes", "rule", "evidence", "x"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(name=st.sampled_from(sorted(WORLD)), proof=JSON)
@settings(max_examples=400, deadline=None)
def test_any_junk_is_refused_in_words_and_crashes_nothing(name: str, proof: Any) -> None:
    c = WORLD[name]
    for pset in SETS.values():
        for x in (c.x, WORLD["closed"].x, None, 7, "claim"):
            try:
                verdict = pset.check(c, x, proof)
            except NocereError:
                pytest.fail("an error of the user where the attack is at fault")
            assert verdict is not None and verdict.why
