"""The verifier of edited notes: what it accepts at which grade, what it refuses for which reason."""

from __future__ import annotations

import unicodedata

import pytest

import nocere
from nocere.clinical.notes.lexicon import load_lexicon
from nocere.clinical.notes.model import REASONS
from nocere.clinical.notes.verify import Verifier, verify

SURFACE = [
    ("Patient denies fever.", "patient denies fever."),
    ("PAST MEDICAL HISTORY:\nAsthma.", "Past Medical History:\nAsthma"),
    ("Seen for follow-up in two weeks.", "Seen for follow up in 2 weeks."),
    ("Seen for follow-up.", "Seen for followup."),
    ("No oedema; diarrhoea since Monday.", "No edema; diarrhea since Monday."),
    ("Pt c/o headache.", "Patient complains of headache."),
    ("Alert, with a h/o asthma.", "Alert, w/ a history of asthma."),
    ("Lisinopril 5 mg by mouth daily.", "Lisinopril 5mg PO once a day."),
    ("Lisinopril 5 mg PO BID.", "Lisinopril 5 milligrams p.o. b.i.d."),
    ("Morphine 2 mg every 6 hours as needed.", "Morphine 2.0 mg q6h prn."),
    ("Cefazolin 1 g given.", "Cefazolin 1000 mg given."),
    ("Levothyroxine 50 mcg daily.", "Levothyroxine 0.05 mg every day."),
    ("Heparin 1,000 units.", "Heparin 1000 units."),
    ("A 58-year-old man.", "A 58 year old man."),
    ("A 58-year-old man.", "A 58 y/o man."),
    ("Temperature 38.0 C.", "Temp 38 degrees Celsius."),
    ("Blood pressure 120/80 mmHg.", "BP 120/80 mm Hg."),
    ("Seen on March 15, 2024.", "Seen on 2024-03-15."),
    ("Seen on 15 March 2024.", "Seen on 03/15/2024."),
    ("Reports fever, cough, and chills.", "Reports fever, cough and chills."),
    ("Fever & chills.", "Fever and chills."),
    ("Doesn't smoke.", "Does not smoke."),
    ("Seen by Dr. Smith.", "Seen by Doctor Smith."),
    ("Stable.\r\nHome.", "Stable.\nHome."),
    ("Abdomen is non-tender.", "Abdomen is nontender."),
    ("Stage II disease, glucose 90 mg/dL.", "Stage 2 disease, glucose 90 mg per dL."),
    ("Take 5-10 mg.", "Take 5 to 10 mg."),
    ("Patient\u2019s chart.", "Patient's chart."),
    ("Hypertension.", "HTN."),
    ("Oxycodone 5 mg PRN pain.", "Oxycodone 5 mg as needed for pain."),
    ("The patient's pain is mild.", "Pt's pain is mild."),
]

DIFFERENT = [
    ("No fever.", "Fever.", "negation"),
    ("She has fever.", "She denies fever.", "negation"),
    ("Chest pain with exertion.", "Chest pain without exertion.", "negation"),
    ("Has pneumonia.", "Has possible pneumonia.", "certainty"),
    ("Return for pain.", "Return if pain.", "hypothetical"),
    ("Asthma.", "History of asthma.", "history"),
    ("Her mother has asthma.", "She has asthma.", "person"),
    ("Pain in the left knee.", "Pain in the right knee.", "side"),
    ("Lisinopril 1.0 mg.", "Lisinopril 10 mg.", "number"),
    ("Lisinopril 5 mg.", "Lisinopril 5 mcg.", "number"),
    ("Lisinopril 5 mg daily.", "Lisinopril 5 mg twice daily.", "number"),
    ("Given 5 mg by mouth.", "Given 5 mg intravenously.", "number"),
    ("Mg 5 today.", "Mg 7 today.", "number"),
    ("Take 1-2 g.", "Take 1-2000 mg.", "number"),
    ("Seen on 03/04/2024.", "Seen on April 3, 2024.", "number"),
    ("Family history:\nAsthma.", "Past medical history:\nAsthma.", "heading"),
    ("Has asthma.", "Has hypertension.", "different concept"),
    ("Has a dog.", "Has a cat.", "unknown"),
    ("Stable.", "Stable. She went home by bus today.", "inserted"),
    ("Stable. She went home by bus today.", "Stable.", "removed"),
    ("Asthma. Hypertension.", "Hypertension. Asthma.", "moved"),
    ("Has fever.", "Has f\u0435ver.", "characters"),
    ("Has fever.", "Has fe\u200bver.", "characters"),
    ("Has fever.", "Has feve\u0301r.", "characters"),
    ("Given 5 mg.", "Given \uff15 mg.", "characters"),
    ("Given 5 mg.", "Given 5\u00a0mg.", "characters"),
    ("Has AIDS.", "Has aids.", "ambiguous"),
    ("pt seen.", "PT seen.", "ambiguous"),
    ("Has ALL.", "Has all.", "ambiguous"),
    ("No fever, cough.", "No fever. Cough.", "scope"),
    ("No fever, and coughs.", "No fever and coughs.", "scope"),
    ("Given 40 mg IV.", "Given 40 mg IM.", "number"),
    ("BP 120/80.", "BP 80/120.", "number"),
    ("Takes it every 12 hours.", "Takes it twice daily.", "number"),
    ("Temp 38 C.", "Temp 100.4 F.", "number"),
    ("He has a few lesions.", "He has few lesions.", "removed"),
    ("Influenza A positive.", "Influenza positive.", "removed"),
    ("x", "x", "unchanged"),
]


@pytest.mark.parametrize(("one", "other"), SURFACE)
def test_surface_forms_are_accepted_both_ways(one: str, other: str) -> None:
    for a, b in ((one, other), (other, one)):
        told = verify(a, b)
        assert told.accepted, (a, b, told)
        assert told.grade == "A" and not told.reason and not told.why


@pytest.mark.parametrize(("one", "other", "reason"), DIFFERENT)
def test_another_meaning_is_refused_both_ways(one: str, other: str, reason: str) -> None:
    told = verify(one, other)
    assert not told.accepted
    assert told.reason == reason, told
    assert told.why.endswith(".") and told.reason in REASONS
    assert not verify(other, one).accepted


def test_grades_follow_concept_and_umbrella() -> None:
    same = verify("Has hypertension.", "Has high blood pressure.")
    assert (same.accepted, same.grade) == (True, "B")
    assert same.edits[0].concept[0] == same.edits[0].concept[1] and same.edits[0].evidence
    coded = verify("History of back pain and alcohol abuse.", "History of lumbago and alcohol dependence.")
    assert (coded.accepted, coded.grade) == (True, "C")
    assert [e.before for e in coded.edits] == ["back pain", "alcohol abuse"]
    assert coded.edits[0].codes[0] != coded.edits[0].codes[1]


def test_the_edits_turn_the_original_into_the_edited_text() -> None:
    one = "Pt c/o SOB, HTN and back pain.  Lisinopril 5 mg PO BID.\nThe next step is follow-up in two weeks."
    other = (
        "Patient complains of shortness of breath, hypertension and lumbago. Lisinopril 5mg by mouth twice daily.\n"
        "Next step is followup in 2 weeks"
    )
    told = verify(one, other)
    assert told.accepted
    text = one
    for e in reversed(told.edits):
        assert one[e.start : e.end] == e.before
        text = text[: e.start] + e.after + text[e.end :]
    assert text == other


def test_a_licensed_swap_hides_nothing() -> None:
    one = "Has hypertension. Lisinopril 5 mg daily, no edema."
    for other, reason in (
        ("Has HTN. Lisinopril 50 mg daily, no edema.", "number"),
        ("Has HTN. Lisinopril 5 mg daily, edema.", "negation"),
        ("Has HTN. Losartan 5 mg daily, no edema.", "different concept"),
        ("Has HTN. Lisinopril 5 mg daily, no edema. Smokes two packs every day.", "inserted"),
    ):
        told = verify(one, other)
        assert not told.accepted and told.reason == reason, told


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Pulmonary hypertension.", "Pulmonary high blood pressure."),
        ("Heat stroke.", "Heat CVA."),
        ("Stroke volume is low.", "CVA volume is low."),
        ("Respiratory depression noted.", "Respiratory major depression noted."),
        ("Metoprolol succinate 50 mg.", "Lopressor succinate 50 mg."),
        ("Tylenol PM nightly.", "Acetaminophen PM nightly."),
        ("Hydrocodone-acetaminophen given.", "Hydrocodone-Tylenol given."),
        ("Stroke-like symptoms.", "CVA-like symptoms."),
        ("Traveler's diarrhea.", "Traveler's loose stools."),
        ("Wellbutrin XL 150 mg daily.", "Bupropion XL 150 mg daily."),
    ],
)
def test_a_part_of_another_name_is_not_exchanged(one: str, other: str) -> None:
    assert not verify(one, other).accepted


def test_a_longer_form_that_moves_a_mention_out_of_scope_is_refused() -> None:
    told = verify("Previous CVA with rash.", "Previous cerebrovascular accident with rash.")
    assert (told.accepted, told.reason) == (False, "scope") and "rash" in told.why
    assert verify("Previous CVA; rash.", "Previous cerebrovascular accident; rash.").accepted


def test_every_invisible_or_combining_character_is_refused() -> None:
    odd = [c for c in map(chr, range(0x80, 0x3000)) if unicodedata.category(c) in ("Cf", "Cc", "Mn", "Zs", "Zl", "Zp")]
    odd += ["\x00", "\x0b", "\x1f", "\x7f", "\ufeff", "\U000e0041"]
    for c in odd:
        for other in (f"Has fe{c}ver today.", f"Has {c} fever today.", f"Has fever today.{c}"):
            assert not verify("Has fever today.", other).accepted, hex(ord(c))


def test_letters_of_other_alphabets_are_never_equal() -> None:
    for c in map(chr, range(0x80, 0x2500)):
        folded = unicodedata.normalize("NFKD", c)[0].lower()
        if c.isalnum() and folded.isascii() and folded.isalnum():
            one = f"Has {folded}bc today."
            assert not verify(one, f"Has {c}bc today.").accepted, hex(ord(c))
    assert not verify("38 k today", "38 \u212a today").accepted


def test_public_names() -> None:
    from nocere.clinical import notes

    assert nocere.verify is verify and notes.verify is verify
    note = "Has HTN."
    assert Verifier(note, load_lexicon())("Has hypertension.") == verify(note, "Has hypertension.")


@pytest.mark.parametrize(
    ("original", "edited", "accepted"),
    [
        ("Take 5 mcg daily.", "Take 5 microgram daily.", True),
        ("Take 5 mcg daily.", "Take 5 milligram daily.", False),
        ("for 5 hr", "for 5 hours", True),
        ("for 5 hr", "for 5 heart rate", False),
        ("Blood pressure 120/80.", "BP 120/80 mmHg.", True),
        ("BP 120/80 mmHg.", "BP 120/80 bpm.", False),
        ("HR 80", "heart rate 80 bpm", True),
        ("score 80.", "score 80 mmHg.", False),
        ("Pt. c/o SOB.", "Patient complains of shortness of breath.", True),
        ("He saw the pt. She has HTN.", "He saw the patient she has hypertension.", False),
    ],
)
def test_units_of_vital_signs_and_stops_of_abbreviations(original: str, edited: str, accepted: bool) -> None:
    assert verify(original, edited).accepted is accepted


@pytest.mark.parametrize(
    ("a", "b"), [("4 mm", "4 mM"), ("COLD all winter", "Cold all winter"), ("ate turkey", "ate Turkey")]
)
def test_capitals_that_carry_meaning_are_kept(a: str, b: str) -> None:
    assert not verify(a, b).accepted
    assert not verify(b, a).accepted
