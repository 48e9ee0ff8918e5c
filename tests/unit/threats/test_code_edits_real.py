"""Edits under the real rule graph, on invented claims: what the classification's own words license, and what they do not."""

from __future__ import annotations

import itertools
import random
from functools import cache
from typing import Any

import pytest

from nocere.cases.claim import Claim, Diagnosis, Line
from nocere.clinical.codes.graph import RuleGraph, load_rules
from nocere.core.case import Case
from nocere.core.errors import VerificationError
from nocere.core.registry import get
from nocere.threats.codes.edit import CLASSES, Edit, ordered, replay
from nocere.threats.codes.language import language
from nocere.threats.codes.sets import AllEdits, CodeEdits, Truthful, TruthfulWide, proof_of
from nocere.threats.codes.truth import entailed, facts_of

SETS: tuple[CodeEdits, ...] = (Truthful(2.0), TruthfulWide(2.0), AllEdits(2.0))


def case(*codes: str, facts: tuple[str, ...] | None = None, **about: Any) -> Case[Claim]:
    x = Claim(tuple(Diagnosis(c, "Y", (f"doc {c}",)) for c in codes), **about)
    header = {} if facts is None else {"facts": [{"code": c, "evidence": [f"chart {c}"]} for c in facts]}
    return Case("k", x, header)


@cache
def invented(n: int = 24) -> tuple[Case[Claim], ...]:
    """Claims of two to nine codes that often stand together, with and without facts."""
    pool = ["I10", "I51.9", "E78.00", "E78.1", "E11.9", "E11.22", "N18.4", "N18.9", "I50.32", "J44.1", "J18.9", "N39.0",
            "F05", "D63.1", "E66.01", "I25.10", "I20.0", "A41.52", "R65.20", "N17.9", "J96.01", "Z79.4", "M86.69",
            "S72.001A", "L89.159", "G30.9", "F02.80", "I48.91", "E86.0", "K57.30", "T82.7XXA", "O99.013", "Z95.1"]  # fmt: skip
    rng = random.Random(11)
    out = []
    for k in range(n):
        codes = rng.sample(pool, rng.randint(2, 9))
        facts = tuple(rng.sample(pool, 6)) + tuple(codes[1:]) if k % 3 == 0 else None
        line = Line("ZZ001", units=3.8, minutes=57, pointers=(0,), evidence=("sheet",))
        lines = (line,) if k % 4 == 0 else ()
        out.append(case(*codes, facts=facts and tuple(dict.fromkeys(facts)), lines=lines, sex="F", age=40))
    return tuple(out)


@pytest.fixture(scope="module")
def rules() -> RuleGraph:
    return load_rules()


def test_the_figure_of_the_paper() -> None:
    """Its three codes say what one combination code says; hypertension and heart disease stand under one code too."""
    c = case("E66.9", "E78.00", "E78.1", "I10", "I51.9")
    joined = {(e.remove, e.add) for e in Truthful().edits(c) if e.edit == "E2"}
    assert joined >= {(("E78.00", "E78.1"), ("E78.2",)), (("I10", "I51.9"), ("I11.9",))}
    both = [e for e in Truthful(2.0).edits(c) if e.add in (("E78.2",), ("I11.9",))]
    assert Truthful(2.0).permits(c, both) and replay(c.x, both).codes == ("E66.9", "E78.2", "I11.9")
    assert all(load_rules().rule(e.rule).text for e in both)


def test_ninth_revision_meets_no_note_of_the_tenth() -> None:
    # V10.3 is a history of breast cancer there, and a cyclist hit by a car here.
    c = case("401.0", "272.0", "272.1", "V10.3", system="ICD-9-CM")
    # Its own notes are not compiled, so a code that comes is undecided.
    assert {e.edit for e in Truthful().edits(c)} == {"E0"}
    wide = [e for e in TruthfulWide().edits(c) if e.edit == "E2"]
    assert [(e.remove, e.add) for e in wide] == [(("272.0", "272.1"), ("272.2",))]
    assert TruthfulWide().permits(c, wide)
    tenth = Edit("E1", ("V10.3",), ("V10.9",), rule="icd10cm-2026:residual:V10.9")
    assert not TruthfulWide().permits(c, [tenth])


@pytest.mark.parametrize(
    ("codes", "edit"),
    [
        # "Without complications" denies what it would replace.
        (("E11.22", "N18.4"), Edit("E1", ("E11.22",), ("E11.9",), rule="icd10cm-2026:residual:E11.9")),
        # Another patient's disease.
        (("I10", "E11.9"), Edit("X7", ("E11.9",), ("E11.22",))),
        (("I10", "N18.4"), Edit("E1", ("N18.4",), ("N18.5",), rule="icd10cm-2026:residual:N18.9")),
        # The cause of what stands after it.
        (("G30.9", "F02.80"), Edit("E3", ("G30.9",), rule="icd10cm-2026:optional:G30.9")),
        # The stage that E11.22 asks for.
        (("E11.22", "N18.4"), Edit("E3", ("N18.4",), rule="icd10cm-2026:optional:N18.4")),
        # Type 1 and type 2 on one claim.
        (("E11.9", "I10"), Edit("E3", (), ("E10.9",), rule="icd10cm-2026:optional:E10.9", evidence=("chart E10.9",))),
    ],
)  # fmt: skip
def test_what_must_never_pass_as_truthful(codes: tuple[str, ...], edit: Edit) -> None:
    c = case(*codes)
    x = replay(c.x, [edit])
    for e in (
        edit,
        Edit(edit.edit, edit.remove, edit.add, rule=edit.rule, evidence=tuple(f"doc {r}" for r in edit.remove)),
    ):
        for pset in (Truthful(3.0), TruthfulWide(3.0)):
            assert pset.check(c, replay(c.x, [e]), proof_of([e])) is not None
            assert not pset.permits(c, [e])
    assert x.codes not in {m.codes for m, _ in Truthful(1.0).members(c)}


def test_partner_of_a_combination_code_stays() -> None:
    c = case("I10", "N18.4", "N39.0")
    joined = next(e for e in Truthful().edits(c) if e.add == ("I12.9",))
    assert joined.remove == ("I10",)
    gone = [e for e in TruthfulWide().edits(c) if e.edit == "E3" and e.remove == ("N18.4",)]
    assert gone and TruthfulWide(2.0).permits(c, gone)
    assert not TruthfulWide(2.0).permits(c, [joined, *gone])


def test_entailment_is_one_way(rules: RuleGraph) -> None:
    words = language(rules, "ICD-10-CM")
    specific = entailed(facts_of(case("E11.22", "N18.4")), words)
    assert {"E11.8", "N18.9"} <= specific and "E11.9" not in specific and "N18.5" not in specific
    general = entailed(facts_of(case("N18.9", "E11.8")), words)
    # Diabetes and kidney disease are presumed to be linked (I.A.15); at which stage they are, nobody said.
    assert not general & {"N18.4", "E11.21", "E11.9"}


def test_codes_that_the_list_does_not_have_license_nothing() -> None:
    c = case("I10", "ZZZ.9", "E66.81")
    for pset in SETS:
        assert not [e for e in pset.edits(c) if "ZZZ.9" in e.remove]
        for x, proof in pset.at(1.0).members(c):
            assert "ZZZ.9" in x.codes and pset.check(c, x, proof) is None


def test_a_renamed_code_may_bear_its_new_name(rules: RuleGraph) -> None:
    after = rules.successors("B88.0")
    assert after is not None and after.decided
    c = case("I10", "B88.0")
    renamed = [e for e in Truthful().edits(c) if e.rule == after.id]
    assert [(e.edit, e.add) for e in renamed] == [("E0", after.codes)]
    assert Truthful().check(c, replay(c.x, renamed), proof_of(renamed)) is None


@pytest.mark.parametrize("pset", SETS, ids=lambda p: p.name)
def test_true_proofs_pass_and_mutated_ones_do_not(pset: CodeEdits, rules: RuleGraph) -> None:
    """On the real graph too; a mutant that passes has to be a claim that the set lists."""
    rng = random.Random(5)
    leaves = rules.leaves("I20-I25") + rules.leaves("E10") + rules.leaves("N18") + rules.leaves("I10-I1A")
    ids = ["", "nonsense", "icd10cm-2026:residual:N18.9", "icd10cm-2026:optional:I10", "icd10cm-2026:excludes1:I10#0",
           "icd10cm-2026:combine:I10&N18.4->I12.9", "icd10cm-2026:code_first:N18#0"]  # fmt: skip
    refused = accepted = 0
    for c in invented():
        single = pset.edits(c)
        pairs = rng.sample(list(itertools.combinations(single, 2)), min(60, len(single) * (len(single) - 1) // 2))
        true = [ordered(s) for s in (*((e,) for e in single), *pairs) if pset.permits(c, s)]
        assert all(pset.check(c, replay(c.x, s), proof_of(s)) is None for s in true)
        accepted += len(true)
        listed = {x for x, _ in pset.members(c)} if len(single) < 40 else {x for x, _ in pset.at(1.0).members(c)}
        for s in true[:: max(1, len(true) // 12)]:
            k = rng.randrange(len(s))
            for m in _mutants(s[k], leaves, ids, rng):
                wrong = ordered((*s[:k], m, *s[k + 1 :]))
                if wrong == s:
                    continue
                try:
                    x = replay(c.x, wrong)
                except ValueError:
                    assert pset.check(c, replay(c.x, s), proof_of(wrong)) is not None
                    refused += 1
                    continue
                if pset.check(c, x, proof_of(wrong)) is not None:
                    refused += 1
                else:
                    assert x in listed or pset.permits(c, wrong), (wrong, s)
    print(f"{pset.name}: {accepted} true proofs accepted, {refused} mutated ones refused")
    assert accepted > 150 and refused > 500


def _mutants(e: Edit, leaves: tuple[str, ...], ids: list[str], rng: random.Random) -> list[Edit]:
    about = {"edit": e.edit, "remove": e.remove, "add": e.add, "principal": e.principal, "order": e.order, "line": e.line,
             "units": e.units, "minutes": e.minutes, "rule": e.rule, "evidence": e.evidence}  # fmt: skip
    changes: list[dict[str, Any]] = [
        {"rule": rng.choice([i for i in ids if i != e.rule])},
        {"edit": rng.choice([k for k in CLASSES if k != e.edit])},
        {"add": (rng.choice(leaves), *e.add[1:])},
        {"add": (*e.add, rng.choice(leaves))},
        {"evidence": (*e.evidence, "forged")},
        {"evidence": e.evidence[1:] if e.evidence else ("forged",)},
        {"remove": e.remove[1:]},
        {"minutes": e.minutes + 20, "line": max(e.line, 0)},
    ]
    return [Edit(**{**about, **c}) for c in changes]


def test_registered_sets_carry_the_hash_of_their_rules(rules: RuleGraph) -> None:
    for name, cls in (("claims.truthful", Truthful), ("claims.truthful_wide", TruthfulWide), ("claims.all", AllEdits)):
        entry = get("threat", name)
        assert entry.make is cls and entry.facts["kind"] == str(cls.kind)
        plain = entry.make(radius=3.0).to_json()
        assert plain["rules"] == rules.sha256
        assert entry.make(**{k: v for k, v in plain.items() if k != "name"}).to_json() == plain
    with pytest.raises(VerificationError):
        Truthful(rules="0" * 64).edits(case("I10"))
