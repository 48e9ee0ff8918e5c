"""Assertion of mentions: cues, scopes, terminators, lists, passive voice, people, headings; by hand."""

from __future__ import annotations

from importlib.resources import files

import pytest

from nocere.clinical.notes.context import PROPERTIES, expanded
from nocere.clinical.notes.lexicon import Entry, Lexicon
from nocere.clinical.notes.scan import scan

NAMES = (
    "fever", "cough", "chest pain", "pneumonia", "asthma", "diabetes", "stroke", "alcohol abuse", "nausea",
    "vomiting", "headache", "hypertension", "pain", "aspirin", "fracture", "smoker",
)  # fmt: skip
LEXICON = Lexicon(tuple(Entry(n, "R69", "ICD-10-CM", n.replace(" ", "-"), "", "same", "lay", "test") for n in NAMES))


def said(text: str) -> dict[str, str]:
    """Labels by mention, properties joined by "+"; "present" where there is none."""
    result = {}
    for m in scan(text, LEXICON).mentions:
        names = [n for n in ("negated", "possible", "hypothetical", "historical") if getattr(m.assertion, n)]
        names += [m.assertion.person] if m.assertion.person != "patient" else []
        result[m.of(text).lower()] = "+".join(names) or "present"
    return result


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # negation: before
        ("Denies fever, cough, and nausea.", {"fever": "negated", "cough": "negated", "nausea": "negated"}),
        ("No fever, cough or chest pain.", {"fever": "negated", "cough": "negated", "chest pain": "negated"}),
        ("Negative for fever.", {"fever": "negated"}),
        ("Without cough, free of pain.", {"cough": "negated", "pain": "negated"}),
        ("No evidence of acute fracture.", {"fracture": "negated"}),
        ("She doesn’t have asthma.", {"asthma": "negated"}),
        ("He never had pneumonia.", {"pneumonia": "negated"}),
        ("Patient is a non-smoker.", {}),  # another thing, not a denial of this one
        ("No fever, possible asthma.", {"fever": "negated", "asthma": "possible"}),
        ("She reports asthma; fever and cough were denied.", {"asthma": "present", "fever": "negated", "cough": "negated"}),
        ("Denies:\n- fever\n\n\n- cough", {"fever": "negated", "cough": "present"}),
        ("Generic: No,PLAN:, aspirin", {"aspirin": "present"}),
        ("(-) fever (+) cough", {"fever": "negated", "cough": "present"}),
        ("She is not on aspirin.", {"aspirin": "negated"}),
        ("Denies ever having had pneumonia.", {"pneumonia": "negated"}),
        # negation: after, passive voice, answers
        ("Alcohol abuse was denied by the patient.", {"alcohol abuse": "negated"}),
        ("Fever, cough and nausea were denied.", {"fever": "negated", "cough": "negated", "nausea": "negated"}),
        ("Pneumonia was ruled out.", {"pneumonia": "negated"}),
        ("Pneumonia ruled out.", {"pneumonia": "negated"}),
        ("Ruled out pneumonia.", {"pneumonia": "negated"}),
        ("Chest pain: denies.", {"chest pain": "negated"}),
        ("Fever: no. Cough: negative. Nausea: none.", {"fever": "negated", "cough": "negated", "nausea": "negated"}),
        ("GI: No nausea. Resp: Denies cough.", {"nausea": "negated", "cough": "negated"}),
        ("Fracture is unlikely.", {"fracture": "negated"}),
        # terminators
        ("Denies fever but reports cough.", {"fever": "negated", "cough": "present"}),
        ("No pain except headache.", {"pain": "negated", "headache": "present"}),
        ("Ruled out pneumonia; possible asthma.", {"pneumonia": "negated", "asthma": "possible"}),
        ("No fever; cough since Monday.", {"fever": "negated", "cough": "present"}),
        ("No fever, and she has nausea.", {"fever": "negated", "nausea": "present"}),
        ("He has hypertension, pneumonia was ruled out.", {"hypertension": "present", "pneumonia": "negated"}),
        ("He has chest pain and no other complaint.", {"chest pain": "present"}),
        ("There was no reported fever, cough.", {"fever": "negated", "cough": "negated"}),
        ("Weak, without complaining of pain.", {"pain": "negated"}),
        ("He has had no fever.", {"fever": "negated"}),
        ("No fever, status post stroke.", {"fever": "negated", "stroke": "historical"}),
        ("Possible fever if cough.", {"fever": "possible", "cough": "hypothetical"}),
        ("Aspirin prn pain, cough.", {"aspirin": "present", "pain": "hypothetical", "cough": "present"}),
        ("Denies pain but reports:\n- fever\n- cough", {"pain": "negated", "fever": "present", "cough": "present"}),
        ("Chest pain and no swelling.", {"chest pain": "present"}),
        ("Possible pneumonia, no fever.", {"pneumonia": "possible", "fever": "negated"}),
        ("No suspected fracture.", {"fracture": "negated+possible"}),
        ("No fever. Cough.", {"fever": "negated", "cough": "present"}),
        # pseudo-cues
        ("No change in headache.", {"headache": "present"}),
        ("Not only nausea but also vomiting.", {"nausea": "present", "vomiting": "present"}),
        ("Hypertension is not well controlled.", {"hypertension": "present"}),
        ("Chest pain has not resolved.", {"chest pain": "present"}),
        ("History of present illness: cough.", {"cough": "present"}),
        ("A 58-year-old with asthma.", {"asthma": "present"}),
        # certainty
        ("Rule out pneumonia. r/o stroke", {"pneumonia": "possible", "stroke": "possible"}),
        ("Pneumonia cannot be excluded.", {"pneumonia": "possible"}),
        ("Cannot rule out stroke.", {"stroke": "possible"}),
        ("Pneumonia was not ruled out.", {"pneumonia": "possible"}),
        ("Suspicious for fracture, likely pneumonia.", {"fracture": "possible", "pneumonia": "possible"}),
        ("Pneumonia vs asthma", {"pneumonia": "present", "asthma": "possible"}),
        # hypothetical
        ("If chest pain recurs, call.", {"chest pain": "hypothetical"}),
        ("Return for fever or vomiting.", {"fever": "hypothetical", "vomiting": "hypothetical"}),
        ("Call the office for fever.", {"fever": "hypothetical"}),
        ("Should she develop chest pain, go to the ER.", {"chest pain": "hypothetical"}),
        ("Aspirin as needed for pain.", {"aspirin": "present", "pain": "hypothetical"}),
        ("At risk for stroke.", {"stroke": "hypothetical"}),
        # history
        ("History of asthma, presents with chest pain.", {"asthma": "historical", "chest pain": "present"}),
        ("Status post stroke. s/p fracture", {"stroke": "historical", "fracture": "historical"}),
        ("Pneumonia 5 years ago. Stroke in 2012.", {"pneumonia": "historical", "stroke": "historical"}),
        ("No history of stroke.", {"stroke": "negated+historical"}),
        ("Headache has resolved.", {"headache": "historical"}),
        # people
        ("Mother had diabetes.", {"diabetes": "family"}),
        ("Her mother had diabetes and she has asthma.", {"diabetes": "family", "asthma": "present"}),
        ("The patient's father had a stroke.", {"stroke": "family"}),
        ("Diabetes in her maternal aunt.", {"diabetes": "family"}),
        ("Mother reports that he has fever.", {"fever": "present"}),
        ("Mother denies fever.", {"fever": "negated"}),
        ("Asthma; lives with her mother.", {"asthma": "present"}),
        ("Husband has pneumonia.", {"pneumonia": "other"}),
        ("No family history of diabetes.", {"diabetes": "negated+family"}),
        # headings
        ("Family History: Diabetes, stroke.", {"diabetes": "family", "stroke": "family"}),
        ("PMH: asthma\nPlan: aspirin", {"asthma": "historical", "aspirin": "present"}),
        ("FAMILY HISTORY\nNo diabetes.\nSOCIAL HISTORY\nSmoker.", {"diabetes": "negated+family", "smoker": "present"}),
        ("Discharge Instructions: fever, vomiting", {"fever": "hypothetical", "vomiting": "hypothetical"}),
        ("Differential diagnosis: stroke", {"stroke": "possible"}),
        # lists
        ("Denies:\n- fever\n- cough\n\nHas nausea.", {"fever": "negated", "cough": "negated", "nausea": "present"}),
        ("Denies:\nfever", {"fever": "present"}),
    ],
)  # fmt: skip
def test_assertion(text: str, expected: dict[str, str]) -> None:
    assert said(text) == expected


@pytest.mark.parametrize(
    ("plain", "changed"),
    [
        (
            "The patient has a history of back pain and diabetes.",
            "The patient has no history of back pain and diabetes.",
        ),
        ("She has pneumonia.", "She has possible pneumonia."),
        ("She has pneumonia.", "Her father has pneumonia."),
        ("She has pneumonia.", "She denies pneumonia."),
        ("She has pneumonia.", "Pneumonia was denied."),
        ("She has pneumonia.", "If she has pneumonia."),
        ("She has pneumonia.", "PAST MEDICAL HISTORY: pneumonia."),
    ],
)
def test_a_contradiction_is_another_assertion(plain: str, changed: str) -> None:
    assert said(plain) != said(changed)


def rows() -> list[list[str]]:
    text = files("nocere.clinical.notes").joinpath("data/context.tsv").read_text(encoding="utf-8")
    return [line.split("\t") for line in text.splitlines()[1:]]


def test_no_words_have_two_meanings_in_the_table() -> None:
    seen: dict[tuple[str, ...], list[str]] = {}
    for phrase, sets, direction, reach, stops in rows():
        assert direction in ("", "forward", "backward", "either", "answer") and (not reach or int(reach) > 0)
        assert all(p in PROPERTIES for p in sets.split("+") if p) and bool(sets) == bool(direction)
        assert stops == "all" or all(p in PROPERTIES for p in stops.split("+") if p)
        for way in expanded(phrase) if not stops else ():
            assert seen.setdefault(way, [sets, direction, reach]) == [sets, direction, reach], way


def test_phrases_expand() -> None:
    assert expanded("a|b [c|d e] {f g|h}") == [
        ("a", "f", "g"), ("a", "h"), ("a", "c", "f", "g"), ("a", "c", "h"), ("a", "d", "e", "f", "g"),
        ("a", "d", "e", "h"), ("b", "f", "g"), ("b", "h"), ("b", "c", "f", "g"), ("b", "c", "h"),
        ("b", "d", "e", "f", "g"), ("b", "d", "e", "h"),
    ]  # fmt: skip
