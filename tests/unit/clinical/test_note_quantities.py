"""Canonical values of quantities: other forms of one value are equal, other values are not."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nocere.clinical.notes.model import Quantity
from nocere.clinical.notes.quantities import quantities
from nocere.clinical.notes.words import words


def read(text: str) -> list[Quantity]:
    return quantities(text, words(text))


def values(text: str) -> list[tuple[str, str, str]]:
    return [(q.kind, q.value, q.unit) for q in read(text)]


@pytest.mark.parametrize(
    "forms",
    [
        ("5 mg", "5mg", "5-mg", "5.0 mg", "five mg", "5 milligrams", "5 MG"),
        ("1,000 mg", "1000 mg", "one thousand mg"),
        (".5 mg", "0.5 mg"),
        ("5 mcg", "5 µg", "5 micrograms"),
        ("10 mL", "10 cc", "10ml", "ten milliliters"),
        ("2 tablets", "two tabs", "2 tab"),
        ("1/2 tablet", "half a tablet", "0.5 tablet", "half tablet"),
        ("1 1/2 tablets", "1.5 tablets", "one and a half tablets"),
        ("twice daily", "BID", "b.i.d.", "two times a day", "2 times daily", "twice a day", "2x/day", "bid"),
        ("three times a day", "TID", "t.i.d.", "3 times daily", "3 x day"),
        ("daily", "once daily", "once a day", "every day", "qd", "every 1 day"),
        ("q6h", "every 6 hours", "every six hours", "q 6 h", "q.6h", "q6hr", "q6 hours"),
        ("q4-6h", "every 4 to 6 hours", "every 4-6 hours", "every four to six hours", "q4-6 hours"),
        ("every other day", "QOD", "every 2 days", "q2d"),
        ("prn", "as needed", "PRN", "p.r.n.", "as required"),
        ("at bedtime", "qhs", "QHS"),
        ("weekly", "once a week", "every week", "once weekly"),
        ("PO", "p.o.", "by mouth", "orally", "po"),
        ("IV", "intravenously", "i.v.", "intravenous"),
        ("subcutaneously", "SQ", "subcut", "SC", "subQ"),
        (
            "58-year-old",
            "58 year old",
            "58 y/o",
            "58yo",
            "58 y.o.",
            "fifty-eight-year-old",
            "58 years of age",
            "aged 58",
            "age: 58",
        ),
        ("March 5, 2024", "03/05/2024", "2024-03-05", "5 March 2024", "Mar 5 2024", "March 5th, 2024", "3/5/2024"),
        ("8:00 AM", "8 am", "8 a.m.", "8:00am"),
        ("12 pm", "noon", "12:00 PM", "12:00"),
        ("120/80 mmHg", "BP 120/80"),
        ("2:30 PM", "14:30", "2:30 p.m."),
        ("3 days", "three days", "3-day", "3 d"),
        ("5-10 mg", "5 to 10 mg", "5 - 10 mg", "five to ten mg"),
        ("less than 50 mL", "<50 mL", "< 50 cc"),
        ("4/10", "4 out of 10"),
        ("45%", "45 percent", "45 %"),
        ("BP 120/80", "blood pressure of 120/80 mmHg", "BP: 120/80", "Blood pressure was 120/80"),
        ("HR 72", "heart rate 72 bpm", "heart rate is 72 beats per minute"),
        ("SpO2 98%", "oxygen saturation of 98%", "O2 sat 98 percent"),
        ("Hgb 12.3 g/dL", "hemoglobin of 12.3 g/dL"),
        ("2 tablets a day", "2 tablets per day", "2 tablets daily", "2 tabs/day"),
        ("for an hour", "for 1 hour", "for one hour"),
        ("1 year ago", "a year ago"),
    ],
)
def test_forms_of_one_value_are_equal(forms: tuple[str, ...]) -> None:
    first = values(forms[0])
    assert first
    for form in forms[1:]:
        assert values(form) == first, form


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("5 mg", "50 mg"),
        ("5 mg", "5 mcg"),
        ("5 mg", "5 g"),
        ("5 mg", "5 mL"),
        ("5 mg", "0.5 mg"),
        ("1,000 mg", "100 mg"),
        ("5 units", "5 mL"),
        ("5 mg/kg", "5 mg"),
        ("5 mg", "5-10 mg"),
        ("1/2 tablet", "2 tablets"),
        ("BID", "TID"),
        ("BID", "q12h"),  # clock and count are not the same order
        ("daily", "q24h"),
        ("q6h", "q8h"),
        ("q4-6h", "q6h"),
        ("daily", "weekly"),
        ("QD", "QOD"),
        ("prn", "daily"),
        ("PO", "IV"),
        ("PO", "NPO"),
        ("IM", "IV"),
        ("03/05/2024", "05/03/2024"),
        ("March 5, 2024", "March 5, 2023"),
        ("03/05/2024", "03/05/24"),  # the century is not stated
        ("8 am", "8 pm"),
        ("8:00", "8:00 PM"),
        ("12 am", "12 pm"),
        ("58-year-old", "85-year-old"),
        ("2-month-old", "2-year-old"),
        ("3 days", "3 weeks"),
        ("<50 mL", ">50 mL"),
        ("at least 5 mg", "less than 5 mg"),
        ("BP 120/80", "BP 80/120"),
        ("HR 72", "RR 72"),
        ("temp 98.6 F", "temp 98.6 C"),
        ("glucose 110", "sodium 110"),
        ("a T-score of -2.5", "a T-score of 2.5"),
        ("1+ edema", "1 edema"),
        ("third", "3"),
    ],
)
def test_other_values_differ(a: str, b: str) -> None:
    assert values(a) != values(b)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("COVID-19, T12, L4-L5, H2 blocker, vitamin B12", []),
        ("no one, one of them, this one", []),
        ("She may March in", []),
        ("I'm fine, iv, pr, is", []),
        ("from 5 to 10 mg", [("number", "5", ""), ("dose", "10", "mg")]),
        ("2 x 3 x 4 cm", [("number", "2x3x4", "cm")]),
        ("in 2019, 2019 steps", [("date", "2019", ""), ("number", "2019", "")]),
        ("potassium chloride 20 mEq daily", [("dose", "20", "meq"), ("frequency", "1/day", "")]),
        ("oriented x3 for x3 days", [("number", "3", ""), ("duration", "3", "day")]),
        ("58M with 3rd degree burn", [("number", "58m", ""), ("number", "3rd", "")]),
        ("Oxycodone 5 mg PO q6h prn pain.",
         [("dose", "5", "mg"), ("route", "oral", ""), ("frequency", "q6h", ""), ("frequency", "prn", "")]),
        ("temperature in the last 24 hours 101 F", [("duration", "24", "hour"), ("vital", "101", "f")]),
        ("5 mg/kg/day", [("dose", "5", "mg/kg"), ("frequency", "1/day", "")]),
        ("13/05/2024 and 2024-13-40", [("date", "2024-05-13", "")]),
    ],
)  # fmt: skip
def test_kinds(text: str, expected: list[tuple[str, str, str]]) -> None:
    got = values(text)
    assert got[: len(expected)] == expected and (len(got) == len(expected) or "2024-13" in text)


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("take 5 mg b.i.d. with food", ["5 mg", "b.i.d."]),
        ("take 5 mg b.i.d. Then rest", ["5 mg", "b.i.d"]),  # the full stop belongs to the sentence
        ("BP 120/80 mmHg today", ["120/80 mmHg"]),
        ("a 58-year-old man", ["58-year-old"]),
        ("2 tablets a day", ["2 tablets", "a day"]),
        ("for x 3 days", ["3 days"]),
        ("- 5 mg\n  -2 tabs", ["5 mg", "2 tabs"]),  # hyphens of a list are no signs
    ],
)
def test_spans(text: str, spans: list[str]) -> None:
    assert [q.of(text) for q in read(text)] == spans


@given(st.dates(date(1900, 1, 1), date(2099, 12, 31)))
def test_dates_agree_with_strftime(day: date) -> None:
    for form in ("%m/%d/%Y", "%B %d, %Y", "%b %d, %Y", "%d %B %Y", "%Y-%m-%d", "%d-%b-%Y"):
        text = day.strftime(form)
        assert values(text) == [("date", day.isoformat(), "")], text


@given(st.floats(0.001, 9999).map(lambda x: round(x, 3)), st.sampled_from(["mg", "mcg", "mL", "kg", "mg/dL"]))
def test_numbers_agree_with_python(x: float, unit: str) -> None:
    (quantity,) = read(f"give {x:,.3f} {unit} now")
    assert float(quantity.value) == x and quantity.unit == unit.lower()


ONES = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
]
ONES += ["seventeen", "eighteen", "nineteen"]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


@given(st.integers(1, 99))
def test_number_words(n: int) -> None:
    word = ONES[n - 1] if n < 20 else TENS[n // 10 - 2] + (f"-{ONES[n % 10 - 1]}" if n % 10 else "")
    assert values(f"{word} tablets") == values(f"{n} tablets") == [("dose", str(n), "tablet")]
    assert values(f"a {word}-year-old") == values(f"a {n}-year-old")
