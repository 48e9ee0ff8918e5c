"""Splices, sites and the sets of wordings: what a proof is, what may stand where, and what is refused."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.worded import notes

from nocere.cases.note import note_case
from nocere.core.errors import DataError, VerificationError
from nocere.threats.words.forms import article, dressed, plural
from nocere.threats.words.sets import CodingVariant, CodingVariantWide, SameConcept, Surface
from nocere.threats.words.splice import Splice, proof_of, replay, splices_of, touch

PAPER = "The patient has a history of back pain and chronic alcohol abuse."
SETS = (Surface, SameConcept, CodingVariant, CodingVariantWide)


def one(before: str, after: str, text: str = PAPER) -> tuple[str, Any]:
    at = text.index(before)
    s = [Splice(at, at + len(before), after)]
    return replay(text, s), proof_of(s)


def test_splices_replay_by_offsets_of_the_original() -> None:
    some = (Splice(0, 3, "A"), Splice(4, 4, "new "), Splice(12, 12, "!"))
    assert replay("The patient.", some) == "A new patient.!"
    assert splices_of(proof_of(reversed(some))) == some
    assert touch(some[0], Splice(2, 5, "x")) and touch(some[1], Splice(4, 4, "y")) and not touch(some[0], some[1])


@pytest.mark.parametrize(
    ("splices", "why"),
    [
        ([Splice(4, 6, "x"), Splice(5, 7, "y")], "overlaps"),
        ([Splice(5, 6, "x"), Splice(1, 2, "y")], "out of order"),
        ([Splice(3, 3, "x"), Splice(3, 3, "y")], "overlaps"),
        ([Splice(0, 99, "x")], "outside"),
        ([Splice(-2, 1, "x")], "outside"),
        ([Splice(3, 2, "x")], "outside"),
        ([Splice(0, 3, "The")], "changes nothing"),
        ([Splice(3, 3, "")], "changes nothing"),
    ],
)
def test_splices_that_have_no_meaning_are_refused(splices: list[Splice], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        replay("The patient.", splices)


@pytest.mark.parametrize(
    "proof",
    [None, [], {}, "x", [1], [{"start": 0, "end": 1}], [{"start": 0, "end": 1, "text": 2}],
     [{"start": 0.0, "end": 1, "text": "a"}], [{"start": True, "end": 1, "text": "a"}],
     [{"start": 0, "end": 1, "text": "a", "more": 1}], [{"start": 0, "end": 1, "text": "a", "rule": 3}]],
)  # fmt: skip
def test_what_is_no_proof_is_refused_by_every_set(proof: Any) -> None:
    with pytest.raises(ValueError, match="proof"):
        splices_of(proof)
    for kind in SETS:
        assert kind().check(note_case("a", PAPER), PAPER + "!", proof) is not None


def test_a_wording_takes_the_capitals_of_its_place() -> None:
    assert dressed("high blood pressure", raised=True, shouted=False) == "High blood pressure"
    assert dressed("HTN", raised=True, shouted=False) == "HTN"
    assert dressed("high blood pressure", raised=False, shouted=True) == "HIGH BLOOD PRESSURE"
    assert [plural(w) for w in ("headache", "biopsy", "HA", "rash", "loss")] == [
        "headaches", "biopsies", "HA", "rashes", "loss",
    ]  # fmt: skip
    assert article("with a headache", 7, "UTI") is None
    assert article("with a headache", 7, "MI") == (5, "an ")
    assert article("An MI", 3, "heart attack") == (0, "A ")
    assert article("the MI", 4, "heart attack") is None


def test_the_sentence_of_the_paper_is_a_coding_variant() -> None:
    """Finlayson et al. 2019: back pain -> lumbago, alcohol abuse -> alcohol dependence."""
    case = note_case("a", PAPER, facts=("M54.9", "M54.50", "F10.10", "F10.20"))
    splices = [Splice(PAPER.index(a), PAPER.index(a) + len(a), b) for a, b in (("back pain", "lumbago"), ("abuse", "dependence"))]  # fmt: skip
    x, proof = replay(PAPER, splices), proof_of(splices)
    assert CodingVariant(2.0).check(case, x, proof) is None
    assert CodingVariant(2.0).cost(case, x, proof).value == 2
    assert "2 edits" in CodingVariant(1.0).check(case, x, proof).why  # type: ignore[union-attr]
    assert "grade C" in SameConcept(2.0).check(case, x, proof).why  # type: ignore[union-attr]
    poor = replace(case, header={"facts": ["M54.9", "M54.50", "F10.10"]})
    assert "supports" in CodingVariant(2.0).check(poor, x, proof).why  # type: ignore[union-attr]
    assert CodingVariantWide(2.0).check(poor, x, proof) is None
    assert any("lumbago" in o.text for s in CodingVariantWide().options(poor) for o in s.options)
    assert not any("dependence" in o.text for s in CodingVariant().options(poor) for o in s.options)
    assert any("dependence" in o.text for s in CodingVariant().options(case) for o in s.options)


@pytest.mark.parametrize(
    ("before", "after"),
    [("has a history", "has no history"), ("back pain", "neck pain"), ("The patient", "The patient's father"),
     ("chronic", "acute"), ("has a", "may have a"), ("abuse", "abuse in remission"), ("back pain and ", "")],
)  # fmt: skip
@pytest.mark.parametrize("kind", SETS)
def test_what_changes_the_statement_is_in_no_set(kind: Any, before: str, after: str) -> None:
    case = note_case("a", PAPER, facts=("M54.9", "M54.50", "F10.10", "F10.20"))
    assert kind(9.0).check(case, *one(before, after)) is not None


def test_one_splice_over_everything_counts_every_place() -> None:
    """A proof of one edit from the first to the last character does not make several edits one."""
    case = note_case("a", PAPER, facts=("M54.9", "M54.50", "F10.10", "F10.20"))
    x = PAPER.replace("back pain", "lumbago").replace("abuse", "dependence")
    proof = proof_of([Splice(0, len(PAPER), x)])
    assert CodingVariant(1.0).check(case, x, proof) is not None
    assert CodingVariant(2.0).check(case, x, proof) is None
    assert CodingVariant(2.0).cost(case, x, proof).value == 2


def test_a_proof_must_give_the_note_byte_for_byte() -> None:
    case = note_case("a", PAPER)
    x, proof = one("back pain", "backache")
    assert SameConcept(1.0).check(case, x, proof) is None
    assert SameConcept(1.0).check(case, x + " ", proof) is not None
    assert SameConcept(1.0).check(case, x.replace("The", "the"), proof) is not None
    assert SameConcept(0.0).check(case, x, proof) is not None


@pytest.mark.parametrize("kind", SETS)
def test_options_are_disjoint_members_and_nested_by_grade(kind: Any) -> None:
    for case in notes(4, 3):
        pset = kind(2.0)
        sites = pset.options(case)
        assert sites == kind(1.0).options(case)
        assert all(a.end <= b.start for a, b in itertools.pairwise(sites))
        for k, site in enumerate(sites):
            texts = [o.text for o in site.options]
            assert len(set(texts)) == len(texts) and case.x[site.start : site.end] not in texts
            for o, option in enumerate(site.options):
                assert option.grade in pset.grades
                x, proof = pset.reworded(case, [(k, o)])
                assert kind(1.0).check(case, x, proof) is None, (case.x[site.start : site.end], option)
        assert pset.obstacle(case) == ""
    assert pset.obstacle(note_case("a", "xyzzy plugh.")) != ""


def test_an_option_keeps_capitals_articles_and_plurals() -> None:
    text = "Hypertension. She has abdominal aneurysms and an MI. HTN noted.\nHISTORY OF HYPERTENSION\n"
    sites = SameConcept().options(note_case("a", text))
    there = {(s.start, text[s.start : s.end]): {o.text for o in s.options} for s in sites}
    assert "High blood pressure" in there[0, "Hypertension"] and "HTN" in there[0, "Hypertension"]
    assert "High blood pressure" in there[text.index("HTN"), "HTN"]
    assert all(w == w.upper() for (at, w), found in there.items() if at > text.index("HISTORY") for w in found)
    assert "abdominal aortic aneurysms" in there[text.index("abdominal"), "abdominal aneurysms"]
    assert "a heart attack" in there[text.index("an MI"), "an MI"]


def test_a_set_names_its_lexicon(tmp_path: Path) -> None:
    own = tmp_path / "own.tsv"
    header = "surface\tcode\tsystem\tconcept\tumbrella\trelation\tregister\tsource"
    own.write_text(f"{header}\nbelly botheration\tR10.9\tICD-10-CM\tbotheration\t\tsame\tlay\tus\n"
                   f"abdominal botheration\tR10.9\tICD-10-CM\tbotheration\t\tsame\tclinical\tus\n")  # fmt: skip
    pset = SameConcept(1.0, lexicon=str(own))
    case = note_case("a", "She has belly botheration.")
    assert [o.text for s in pset.options(case) for o in s.options] == ["abdominal botheration"]
    assert SameConcept().options(case) == ()
    said = pset.to_json()
    assert said["sha256"] == pset.words().sha256 != SameConcept().words().sha256
    again = SameConcept(**{k: v for k, v in said.items() if k != "name"})
    assert again.check(case, *again.reworded(case, [(0, 0)])) is None
    with pytest.raises(VerificationError, match="another lexicon"):
        SameConcept(1.0, sha256="0" * 64).options(case)


def test_facts_of_another_form_are_an_error() -> None:
    case = note_case("a", PAPER, header={"facts": {"M54.9": 1}})
    with pytest.raises(DataError, match="facts"):
        CodingVariant(1.0).options(case)
