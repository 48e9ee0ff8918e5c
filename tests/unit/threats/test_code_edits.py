"""Edits of claims: what replays, what moves are offered, and that the checker accepts exactly what sets list."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.code_rules import COMBINED, FAKE, LEAVES, RULES, TIMED, WORLD, case, claim, supported

from nocere.cases.claim import Claim, Diagnosis, Line
from nocere.core.case import Case
from nocere.core.errors import DataError, VerificationError
from nocere.core.units import Kind
from nocere.threats.codes.check import check
from nocere.threats.codes.edit import Edit, Terms, ordered, replay
from nocere.threats.codes.language import language
from nocere.threats.codes.moves import compatible
from nocere.threats.codes.sets import AllEdits, CodeEdits, Truthful, TruthfulWide, edits_of, proof_kind, proof_of
from nocere.threats.codes.truth import entailed, facts_of, untrue

WORDS = language(FAKE, "ICD-10-CM")  # type: ignore[arg-type]
SETS: dict[str, CodeEdits] = {"truthful": Truthful(), "wide": TruthfulWide(), "all": AllEdits()}


@pytest.fixture(autouse=True)
def _rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CodeEdits, "graph", lambda self: FAKE)


def done(c: Case[Claim], pset: CodeEdits) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    return [(e.edit, e.remove, e.add) for e in pset.edits(c) if e.remove or e.add]


# --- replay ----------------------------------------------------------------------------------------------------------


def test_service_lines_keep_pointing_at_their_diagnoses() -> None:
    c = claim("A", "B", "C", lines=(Line("ZZ001", pointers=(0, 2)), Line("ZZ002", pointers=(1,))))
    turned = replay(c, [Edit("E0", order=(0, 2, 1))])
    assert turned.codes == ("A", "C", "B") and [li.pointers for li in turned.lines] == [(0, 1), (2,)]
    joined = replay(c, [Edit("E2", remove=("A", "C"), add=("D",))])
    assert joined.codes == ("D", "B") and [li.pointers for li in joined.lines] == [(0,), (1,)]
    first = replay(c, [Edit("E5", principal="C")])
    assert first.codes == ("C", "A", "B") and [li.pointers for li in first.lines] == [(1, 0), (2,)]
    with pytest.raises(ValueError, match="for no diagnosis"):
        replay(c, [Edit("E3", remove=("B",))])


def test_only_representation_may_write_a_code_twice() -> None:
    c = claim("A", "B")
    twice = replay(c, [Edit("E0", add=("B",))])
    assert twice.diagnoses == (*c.diagnoses, c.diagnoses[1])
    assert replay(twice, [Edit("E0", ("B",), ("B",), evidence=c.diagnoses[1].evidence)]) == c
    for bad in (Edit("E3", add=("B",)), Edit("E1", ("A",), ("B",)), Edit("E0", ("A",), ("B",))):
        with pytest.raises(ValueError, match="on the claim already"):
            replay(c, [bad])


@pytest.mark.parametrize(
    "data",
    [7, [], {"edit": "E9"}, {"edit": ["E1"]}, {"edit": "E1", "remove": "I10"}, {"edit": "E1", "remove": [["I10"]]},
     {"edit": "E0", "order": [0, 1.0]}, {"edit": "E0", "order": [True, 0]}, {"edit": "E6", "line": "0"}, {"edit": "E6", "line": -2},
     {"edit": "E6", "line": 0, "units": float("nan")}, {"edit": "E6", "line": 0, "minutes": 5.5},
     {"edit": "E1", "rule": None}, {"edit": "E1", "principal": 3}, {"edit": "E1", "colour": "red"}, {"remove": []}],
)  # fmt: skip
def test_what_is_no_edit_is_refused_in_words(data: Any) -> None:
    with pytest.raises(ValueError, match=r"edit"):
        Edit.from_json(data)
    c = WORLD["closed"]
    assert check(c.x, c.x, [data], facts_of(c), FAKE, Truthful().terms) is not None  # type: ignore[arg-type]


# --- truth -----------------------------------------------------------------------------------------------------------


def test_what_facts_entail() -> None:
    f = facts_of(case(claim("QA1.1"), supported("QA1.1", "QD4.1", "QB2.8")))
    # Itself, the general code, the combination code; never a sibling, or what only prose may say.
    assert entailed(f, WORDS) == {"QA1.1", "QA1.0", "QD4.1", "QD4.0", "QC3.1", "QB2.8"}  # type: ignore[arg-type]
    parts = facts_of(case(claim("QC3.1"), supported("QC3.1", "QD4.1")))
    assert entailed(parts, WORDS) == {"QC3.1", "QD4.1", "QD4.0", "QA1.1", "QA1.0"}
    loose = facts_of(case(claim("QA1.4"), supported("QA1.4", "QF6.1", "QF6.2")))
    assert entailed(loose, WORDS) == {"QA1.4", "QF6.1", "QF6.2", "QF6.0"}  # type: ignore[arg-type]
    assert entailed(loose, WORDS, "allow") >= {"QA1.0", "QC3.0"}  # type: ignore[arg-type]


def test_the_closed_world_takes_the_claim_at_its_word() -> None:
    for c in WORLD.values():
        if "facts" not in c.header:
            assert facts_of(c).closed and untrue(c.x, facts_of(c), WORDS) is None  # type: ignore[arg-type]
    wrong = WORLD["wrong"]
    assert untrue(wrong.x, facts_of(wrong), WORDS) == "QB2.3 is not supported by the facts"  # type: ignore[arg-type]
    padded = WORLD["padded"]
    assert "50 minutes" in str(untrue(padded.x, facts_of(padded), WORDS))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "facts", [7, [7], [{}], [{"code": 3}], [{"code": "A", "evidence": "doc"}], [{"code": "A"}, {"code": "A"}]]
)
def test_facts_that_cannot_be_read(facts: Any) -> None:
    with pytest.raises(DataError, match=r"Claim k: its facts cannot be read"):
        facts_of(Case("k", claim("QA1.1"), {"facts": facts}))


# --- moves -----------------------------------------------------------------------------------------------------------


def test_moves_of_the_closed_world_by_hand() -> None:
    assert done(WORLD["closed"], Truthful()) == [
        *(("E0", (), (c,)) for c in ("QB2.1", "QB2.2", "QD4.1", "QE5.1", "QG7.1")),
        ("E1", ("QA1.1",), ("QA1.0",)),
        ("E1", ("QB2.1",), ("QB2.0",)),
        ("E1", ("QB2.2",), ("QB2.0",)),
        ("E1", ("QD4.1",), ("QD4.0",)),
        ("E1", ("QE5.1",), ("QE5.0",)),
        # QG7.0 hangs on prose.
        ("E2", ("QB2.1", "QB2.2"), ("QB2.8",)),
        # QD4.1 stays: QC3.1 asks for it beside itself.
        ("E2", ("QA1.1",), ("QC3.1",)),
        *(("E3", (c,), ()) for c in ("QB2.1", "QB2.2", "QD4.1", "QE5.1", "QG7.1")),
    ]
    assert ("E1", ("QG7.1",), ("QG7.0",)) in done(WORLD["closed"], TruthfulWide())


def test_moves_with_facts_by_hand() -> None:
    got = [m for m in done(WORLD["facts"], Truthful()) if m[0] in ("E3", "E4")]
    assert got == [
        *(("E3", (c,), ()) for c in ("QB2.0", "QD4.1", "QF6.1")),
        *(("E3", (), (c,)) for c in ("QA1.1", "QB2.1", "QB2.2", "QH8.1")),
        ("E4", ("QA1.0",), ("QA1.1",)),
        ("E4", ("QB2.0",), ("QB2.1",)),
        ("E4", ("QB2.0",), ("QB2.2",)),
    ]
    man = case(replace(WORLD["facts"].x, sex="M"), supported("QA1.1", "QH8.1", "QH8.2"))
    assert {a for e in Truthful().edits(man) for a in e.add} >= {"QH8.2"}
    assert "QH8.1" not in {a for e in Truthful().edits(man) for a in e.add}
    adult = case(replace(WORLD["facts"].x, age=18), supported("QA1.1", "QH8.2"))
    assert "QH8.2" not in {a for e in Truthful().edits(adult) for a in e.add}


def test_false_swaps_are_capped_and_only_where_evidence_is_ignored() -> None:
    c = WORLD["closed"]
    assert not [m for m in done(c, TruthfulWide()) if m[0] == "X7"]
    for cap in (0, 1, 3, 99):
        pset = AllEdits(laterals=cap)
        got = [m for m in done(c, pset) if m[0] == "X7" and m[1] == ("QA1.1",)]
        assert len(got) <= cap and all(m[2][0] not in ("QA1.0", "QA1.1") for m in got)
        assert pset.to_json()["laterals"] == cap
    assert len([m for m in done(c, AllEdits(laterals=99)) if m[1] == ("QA1.1",) and m[0] == "X7"]) == 6
    swap = next(e for e in AllEdits().edits(c) if e.edit == "X7")
    assert proof_kind([swap]) is Kind.MISSTATEMENT and AllEdits().kind is Kind.MISSTATEMENT
    assert AllEdits().cost(c, c.x, proof_of([swap])).more["misstatements"] == 1


def test_kinds_of_proofs() -> None:
    refined = Edit("E4", ("A",), ("B",), rule="r", evidence=("doc",))
    assert proof_kind([]) is proof_kind([Edit("E0", order=(0,))]) is Kind.REPRESENTATION
    assert proof_kind([Edit("E1", ("A",), ("B",)), refined]) is Kind.TRUTHFUL
    assert proof_kind([refined, replace(refined, evidence=())]) is Kind.MISSTATEMENT
    assert proof_kind([Edit("E6", line=0, minutes=3)]) is Kind.MISSTATEMENT


def test_another_principal_diagnosis_needs_a_record_that_says_so() -> None:
    x = claim("QA1.1", "QB2.1", "V11.1", "QE5.1")
    facts = [{"code": c, "evidence": [c], "principal": c in ("QA1.1", "QB2.1", "V11.1")} for c in x.codes]
    proven = Case("k", x, {"facts": facts})
    first = [e.principal for e in Truthful().edits(proven) if e.edit == "E5"]
    assert first == ["QB2.1"]  # not the external cause, not the manifestation
    assert [e for e in Truthful().edits(case(x)) if e.edit == "E5"] == []
    assert [e.principal for e in TruthfulWide().edits(case(x)) if e.edit == "E5"] == ["QB2.1"]
    late = x.with_diagnoses((x.diagnoses[0], replace(x.diagnoses[1], poa="N"), *x.diagnoses[2:]))
    assert not [e for e in TruthfulWide().edits(case(late)) if e.edit == "E5"]


def test_minutes_stay_near_the_documented_ones() -> None:
    timed = [e for e in Truthful().edits(WORLD["timed"]) if e.edit == "E6"]
    assert [e.minutes for e in timed if e.line == 0] == [52, 53, 54, 55, 56, 58, 59, 60, 61, 62]
    assert [e.units for e in timed if e.line == 0] == [
        round(m / 15, 1) for m in (52, 53, 54, 55, 56, 58, 59, 60, 61, 62)
    ]
    assert [e.units for e in timed if e.line == 1] == [1.0, 2.0]
    limited = Truthful(mue=[["ZZ001", 3.8], ["ZZ002", 1]])  # type: ignore[arg-type]
    assert [e.minutes for e in limited.edits(WORLD["timed"]) if e.edit == "E6" and e.line == 0][-1] == 56
    assert [e.units for e in limited.edits(WORLD["timed"]) if e.edit == "E6" and e.line == 1] == [1.0]
    longer = next(e for e in timed if e.minutes == 62)
    x = replay(WORLD["timed"].x, [longer])
    assert Truthful().check(WORLD["timed"], x, proof_of([longer])) is None
    assert limited.check(WORLD["timed"], x, proof_of([longer])) is not None
    # The record says 50: 57 is padded, and no claim of the truthful set keeps it.
    padded = WORLD["padded"]
    assert {x.lines[0].minutes for x, _ in Truthful().members(padded)} == set(range(45, 56))
    bare = case(claim("QA1.1", "QB2.1", lines=(replace(TIMED, evidence=()),)))
    assert not [e for e in TruthfulWide().edits(bare) if e.edit == "E6"]
    assert [e for e in AllEdits().edits(bare) if e.edit == "E6"]


def test_wholly_unsupported_codes_must_leave() -> None:
    c = WORLD["wrong"]
    assert {x.codes for x, _ in Truthful(3.0).members(c)}
    for x, _ in Truthful(3.0).members(c):
        assert untrue(x, facts_of(c), WORDS) is None  # type: ignore[arg-type]
        assert "QB2.3" not in x.codes and "QD4.2" not in x.codes


@pytest.mark.parametrize(
    ("name", "edit"),
    [
        ("unsupported", Edit("E1", ("QF6.1",), ("QF6.0",), rule="t:residual:QF6.0", evidence=("doc-QF6.1",))),
        ("half", Edit("E2", ("QB2.1", "QB2.2"), ("QB2.8",), rule="t:combine:1", evidence=("doc-QB2.1", "doc-QB2.2"))),
    ],
)
def test_what_says_less_than_a_false_code_bears_no_true_class(name: str, edit: Edit) -> None:
    """Also where evidence is ignored: a class that counts as truthful never stands for what facts do not entail."""
    c = WORLD[name]
    for pset in SETS.values():
        assert edit not in pset.edits(c)
        assert pset.check(c, replay(c.x, [edit]), proof_of([edit])) is not None


# --- members against an enumeration of our own -----------------------------------------------------------------------


def plausible(c: Case[Claim], terms: Terms) -> Iterator[Edit]:
    """Far more than what is licensed: every class with codes of this world, every rule, right and wrong evidence."""
    x, facts = c.x, facts_of(c)
    codes = list(dict.fromkeys(x.codes))
    near = {b for b in LEAVES if any(b[:3] == a[:3] for a in codes)}
    near |= {*(f.code for f in facts.codes), *(b for k in COMBINED for b in k.add)}
    carried = {d.code: d.evidence for d in reversed(x.diagnoses)}
    known = {f.code: f.evidence for f in facts.codes}
    for a, b in itertools.product([(), *((a,) for a in codes)], [(), *((b,) for b in sorted(near))]):
        documents = {(), carried.get(a[0], ()) if a else (), known.get(b[0], ()) if b else ()}
        mine = [r.id for r in RULES.values() if r.kind in ("optional", "year") or {*a, *b} & {*r.add, *r.remove}]
        for edit, rule, d in itertools.product(("E0", "E1", "E3", "E4", "X7"), ("", *mine), sorted(documents)):
            yield Edit(edit, a, b, rule=rule, evidence=d)  # type: ignore[arg-type]
    for k in COMBINED:
        sides = [*itertools.permutations(k.remove), *((p,) for p in (*k.codes, *k.add)), k.add, ()]
        for a, b, r in itertools.product(sides, sides, COMBINED):
            kept = tuple(t for c in r.keep for t in carried.get(c, ()))
            for d in {(), kept, tuple(t for c in codes if c in a for t in carried[c])}:
                yield Edit("E2", a, b, rule=r.id, evidence=d)
    for order in itertools.islice(itertools.permutations(range(len(x.codes))), 120):
        yield Edit("E0", order=order)
    for p in codes:
        for d in {(), known.get(p, ())}:
            yield Edit("E5", principal=p, evidence=d)
            yield Edit("E1", principal=p, evidence=d)
    documents = {(), *(d.evidence for d in facts.lines)}
    for k in range(len(x.lines)):
        for m, u, d in itertools.product(range(40, 70), (1.0, 3.8, 4.0), documents):
            yield Edit("E6", line=k, minutes=m, units=u, evidence=d)
            yield Edit("E6", line=k, minutes=m, units=round(m / 15, 1), evidence=d)
        for u, d in itertools.product((0.0, 0.5, 1.0, 1.5, 2.0, 3.0), documents):
            yield Edit("E6", line=k, units=u, evidence=d)


def licensed(c: Case[Claim], e: Edit, terms: Terms) -> bool:
    """The checker finds nothing wrong with the edit itself, whatever it finds wrong with what comes out."""
    try:
        x = replay(c.x, [e])
    except ValueError:
        # Alone it may be out of reach (a service line without diagnosis); then no set that holds it is checked below.
        return False
    why = check(c.x, x, proof_of([e]), facts_of(c), FAKE, terms)  # type: ignore[arg-type]
    return why is None or not why.startswith("edit ")


@pytest.mark.parametrize("kind", SETS)
@pytest.mark.parametrize("name", WORLD)
def test_members_are_what_the_checker_accepts(name: str, kind: str) -> None:
    c, pset = WORLD[name], SETS[kind].at(2.0)
    single = list(dict.fromkeys(e for e in plausible(c, pset.terms) if licensed(c, e, pset.terms)))
    # What the checker licenses and moves leave out cannot stand in any company (the last comparison shows it).
    assert set(pset.edits(c)) <= set(single)
    proven: dict[Claim, Any] = {}
    for k in (1, 2):
        for edits in map(ordered, itertools.combinations(single, k)):
            try:
                x = replay(c.x, edits)
            except ValueError:
                continue
            if pset.check(c, x, proof_of(edits)) is None:
                proven.setdefault(x, proof_of(edits))
    members = dict(pset.members(c))
    assert len(members) == len(list(pset.members(c)))
    assert set(members) == set(proven)
    for x, proof in members.items():
        assert pset.check(c, x, proof) is None
        assert len(proof) == len(proven[x]) == pset.cost(c, x, proof).value  # type: ignore[arg-type]
        assert pset.permits(c, edits_of(proof))


@pytest.mark.parametrize("kind", SETS)
@pytest.mark.parametrize("name", WORLD)
def test_single_steps_reach_what_members_hold(name: str, kind: str) -> None:
    c, pset = WORLD[name], SETS[kind].at(2.0)
    members = {x for x, _ in pset.members(c)}
    one = list(pset.moves(c, c.x, None))
    two = [m for x, p in one for m in pset.moves(c, x, p)]
    assert {x for x, _ in (*one, *two)} - {c.x} <= members
    for x, p in two:
        assert x == c.x or pset.check(c, x, p) is None
    assert [x for x, p in two for _ in pset.moves(c, x, p)] == []


def test_sets_nest() -> None:
    """What evidence is worth, and how wide the interval is, can never come out negative."""
    for c in WORLD.values():
        narrow, wide, free = ({x for x, _ in s.at(2.0).members(c)} for s in SETS.values())
        assert narrow <= wide <= free, c.x.codes


def test_compatible_is_symmetric_and_no_edit_goes_with_itself() -> None:
    for c in WORLD.values():
        edits = AllEdits().edits(c)
        for a, b in itertools.product(edits, edits):
            assert compatible(a, b) == compatible(b, a)
            assert a != b or not compatible(a, b)


def test_a_set_names_the_rules_that_it_was_made_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("nocere.clinical.codes.graph.load_rules", lambda: FAKE)
    made = Truthful(2.0, mue=(("ZZ001", 4.0),)).to_json()
    assert made["rules"] == FAKE.sha256
    again = Truthful(**{k: v for k, v in made.items() if k != "name"})
    assert again.to_json() == made and again.graph() is FAKE
    with pytest.raises(VerificationError, match="other code rules"):
        Truthful(rules="1" * 64).check(WORLD["closed"], WORLD["closed"].x, [])


def test_a_line_without_diagnoses_left_forbids_the_omission() -> None:
    c = case(claim("QA1.1", "QB2.1", lines=(Line("ZZ001", pointers=(1,)),)))
    gone = Edit("E3", ("QB2.1",), rule="t:optional")
    assert gone in Truthful().edits(c) and not Truthful().permits(c, [gone])
    assert Diagnosis("QB2.1", "Y", ("doc-QB2.1",)) in c.x.diagnoses
