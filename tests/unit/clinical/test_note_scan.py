"""Sentences, headings, mentions and sides of a note."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nocere.clinical.notes.lexicon import Entry, Lexicon
from nocere.clinical.notes.scan import scan
from nocere.clinical.notes.sections import sections
from nocere.clinical.notes.sentences import sentences


def entry(surface: str, concept: str, code: str = "R51.9") -> Entry:
    return Entry(surface, code, "ICD-10-CM", concept, "", "same", "clinical", "test")


SMALL = Lexicon(
    (
        entry("back pain", "back-pain"),
        entry("low back pain", "low-back-pain"),
        entry("pain", "pain"),
        entry("shortness of breath", "dyspnea"),
        entry("PE", "embolism"),
        entry("COPD", "copd"),
        entry("AIDS", "aids"),
        entry("ALL", "leukemia"),
        entry("headache", "headache"),
        entry("n/v", "nausea-and-vomiting"),
        entry("edema", "edema"),
    )
)


WRAPPED = "The patient was seen early today in the emergency department by\nDoctor Grey."


def parts(text: str) -> list[str]:
    return [s.of(text) for s in sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No fever. Has cough.", ["No fever.", "Has cough."]),
        ("Seen by Dr. Smith today.", ["Seen by Dr. Smith today."]),
        ("Take 5 mg p.o. b.i.d. with food. Rest.", ["Take 5 mg p.o. b.i.d. with food.", "Rest."]),
        ("Temp. 98.6 and BP 120/80. Well.", ["Temp. 98.6 and BP 120/80.", "Well."]),
        ("1. Hypertension\n2. Asthma", ["1. Hypertension", "2. Asthma"]),
        ("Denies pain\nand fever.", ["Denies pain\nand fever."]),
        ("Chest pain\nNo cough", ["Chest pain", "No cough"]),
        ("Weak.,PLAN:,  Rest.", ["Weak.", "PLAN:,  Rest."]),
        ("Fever: no. Cough: yes!", ["Fever: no.", "Cough: yes!"]),
        (WRAPPED, [WRAPPED]),
        (f"{WRAPPED[:60]}\n- aspirin", [WRAPPED[:60], "- aspirin"]),
        ("Weak.\n- pain\n• fever", ["Weak.", "- pain", "fever"]),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert parts(text) == expected


@settings(max_examples=200)
@given(st.text(alphabet="Abc .,:\n-•1!", max_size=80))
def test_sentences_and_sections_hold_every_letter_once(text: str) -> None:
    spans = sentences(text)
    assert all(a.end <= b.start for a, b in pairwise(spans))
    covered = {i for s in spans for i in range(s.start, s.end)}
    assert all(i in covered for i, c in enumerate(text) if c.isalnum())
    found = sections(text)
    assert found[-1].end == len(text)
    assert all(a.end == b.start for a, b in pairwise(found))
    assert not text[: found[0].start].strip()
    assert all(s.start <= s.body <= s.end for s in found)


def test_headings_with_a_colon_on_a_line_of_their_own_and_in_one_line() -> None:
    text = (
        "CHIEF COMPLAINT\nPain.\nPMH: asthma.\nFamily History: stroke.,SOCIAL HISTORY:, None.\nWOUND CARE PLANS:\nnone"
    )
    assert [(s.kind, s.of(text).split(":")[0].split("\n")[0]) for s in sections(text)] == [
        ("chief complaint", "CHIEF COMPLAINT"),
        ("past medical history", "PMH"),
        ("family history", "Family History"),
        ("social history", "SOCIAL HISTORY"),
        ("wound care plans", "WOUND CARE PLANS"),
    ]


def test_what_looks_like_a_heading_and_is_none() -> None:
    text = "HTN: controlled.\nPatient has a plan for surgery.\nBlood pressure: high\nplan\nNote that: nothing."
    assert [s.kind for s in sections(text)] == [""]


def test_a_part_before_the_first_heading_has_no_kind() -> None:
    text = "Seen today.\nPLAN: rest"
    assert [(s.kind, s.start) for s in sections(text)] == [("", 0), ("plan", 12)]


def found(text: str) -> list[tuple[str, str]]:
    return [(m.of(text), m.concept) for m in scan(text, SMALL).mentions]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Low-back pain and back pains.", [("Low-back pain", "low-back-pain"), ("back pains", "back-pain")]),
        ("Shortness of\nbreath.", [("Shortness of\nbreath", "dyspnea")]),
        ("Painful, paint, spain.", []),
        ("PE, pe, copd and COPD", [("PE", "embolism"), ("copd", "copd"), ("COPD", "copd")]),
        ("Hearing aids for all.", []),
        ("AIDS and ALL", [("AIDS", "aids"), ("ALL", "leukemia")]),
        ("N/V today", [("N/V", "nausea-and-vomiting")]),
        ("low, back pain", [("back pain", "back-pain")]),
        ("Oedema", [("Oedema", "edema")]),
        ("low - back pain", [("back pain", "back-pain")]),
        ("Low back. Pain.", [("Pain", "pain")]),
        ("post2pain pain3", []),
    ],
)
def test_mentions(text: str, expected: list[tuple[str, str]]) -> None:
    assert found(text) == expected


def test_a_mention_names_its_sentence_and_section() -> None:
    text = "HPI: Well. Some pain.\nPLAN: Rest. For headache, fluids."
    s = scan(text, SMALL)
    pain, headache = s.mentions
    assert s.sentences[pain.sentence].of(text) == "Some pain."
    assert s.sentences[headache.sentence].of(text) == "For headache, fluids."
    assert [s.sections[m.section].kind for m in (pain, headache)] == ["history of present illness", "plan"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("left knee, Right hip, bilateral edema", ["left", "right", "bilateral"]),
        ("Left-sided weakness", ["left"]),
        ("She left the hospital", []),
        ("She left against advice. right away. all right", []),
        ("R knee and L eye", ["right", "left"]),
        ("R/L and L4", []),
        ("both eyes, both parents, b/l edema", ["bilateral", "bilateral"]),
    ],
)
def test_sides(text: str, expected: list[str]) -> None:
    assert [x.side for x in scan(text, SMALL).sides] == expected


def test_an_empty_text_has_nothing() -> None:
    s = scan("", SMALL)
    assert (s.mentions, s.quantities, s.sides, s.sentences) == ((), (), (), ())
    assert [x.kind for x in s.sections] == [""]


@settings(max_examples=150)
@given(st.text(max_size=120))
def test_any_text_can_be_scanned_and_offsets_stay_inside(text: str) -> None:
    s = scan(text, SMALL)
    for x in (*s.mentions, *s.quantities, *s.sides, *s.sentences):
        assert 0 <= x.start < x.end <= len(text)
