"""Verified edits of generated notes: an equivalence that composes, whose classes have one canonical form."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from nocere.clinical.notes.agreement import disagreement
from nocere.clinical.notes.canonical import canonical, canonicalise
from nocere.clinical.notes.lexicon import load_lexicon
from nocere.clinical.notes.scan import scan
from nocere.clinical.notes.verify import verify

# Sentences with places; every option of a place says the same (grade A, B or C).
SENTENCES: list[list[str | tuple[str, ...]]] = [
    [
        ("The patient", "Patient", "Pt", "The pt"),
        " ",
        ("complains of", "c/o"),
        " ",
        ("shortness of breath", "SOB"),
        ".",
    ],
    ["Known ", ("hypertension", "HTN", "high blood pressure"), ", treated with ", ("lisinopril", "Prinivil"), "."],
    ["No ", ("heart attack", "MI", "myocardial infarction"), ", edema", (", and", " and"), " rash."],
    ["Takes 5", (" mg", "mg", " milligrams"), " ", ("by mouth", "PO", "p.o."), " ", ("twice daily", "BID"), "."],
    ["Low ", ("oedema", "edema"), " of the left leg, 2", ("-", " to "), "3 cm."],
    ["A ", ("58-year-old", "58 year old", "58 y/o"), " man ", ("with", "w/"), " ", ("back pain", "lumbago"), "."],
    ["Her mother had a ", ("stroke", "CVA", "cerebrovascular accident"), " in ", ("two", "2"), " thousand four."],
    ["Possible ", ("alcohol abuse", "alcohol dependence"), " is discussed."],
    ["Return if ", ("fever", "pyrexia"), " above ", ("38 C", "38.0 C", "38 degrees Celsius"), "."],
    ["PLAN: ", ("Follow-up", "Follow up", "Followup"), " on ", ("March 15, 2024", "2024-03-15"), "."],
    ["Given ", ("0.5 g", "500 mg"), " ", ("q6h", "every 6 hours"), " ", ("prn", "as needed"), "."],
]


@st.composite
def wordings(draw: st.DrawFn, count: int) -> list[str]:
    """Several wordings of one note."""
    parts = draw(st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=6))
    ends = draw(st.lists(st.sampled_from([" ", "\n", "\n\n"]), min_size=len(parts), max_size=len(parts)))
    texts = []
    for _ in range(count):
        said = []
        for sentence, end in zip(parts, ends, strict=True):
            said += [p if isinstance(p, str) else draw(st.sampled_from(p)) for p in sentence]
            said.append(end)
        texts.append("".join(said))
    return texts


@settings(deadline=None, max_examples=150)
@given(wordings(3))
def test_verified_is_an_equivalence(texts: list[str]) -> None:
    for a, b in itertools.permutations(texts, 2):
        told, back = verify(a, b), verify(b, a)
        if a == b:
            assert (told.accepted, told.reason) == (False, "unchanged")
            continue
        assert told.accepted, (a, b, told)
        assert (back.accepted, back.grade) == (True, told.grade)
        assert [(e.before, e.after, e.grade) for e in told.edits] == [(e.after, e.before, e.grade) for e in back.edits]


@settings(deadline=None, max_examples=100)
@given(wordings(2), st.data())
def test_accepted_edits_at_disjoint_places_compose(texts: list[str], data: st.DataObject) -> None:
    one, other = texts
    edits = verify(one, other).edits
    chosen = [e for e in edits if data.draw(st.booleans())]
    text = one
    for e in reversed(chosen):
        text = text[: e.start] + e.after + text[e.end :]
    told = verify(one, text)
    if text != one:
        assert told.accepted, (one, text, told)
        assert told.grade == max(e.grade for e in chosen if e.grade)


@settings(deadline=None, max_examples=150)
@given(wordings(2))
def test_the_canonical_text_is_one_for_all_wordings(texts: list[str]) -> None:
    one, other = texts
    told = verify(one, other)
    lexicon = load_lexicon()
    assert canonicalise(one, lexicon, "umbrella") == canonicalise(other, lexicon, "umbrella")
    assert [a.wide for a in canonical(one)] == [a.wide for a in canonical(other)]
    if told.grade != "C":
        assert canonicalise(one) == canonicalise(other)
    for level in ("same", "umbrella"):
        once = canonicalise(one, lexicon, level)
        assert canonicalise(once, lexicon, level) == once


@settings(deadline=None, max_examples=100)
@given(wordings(2))
def test_looking_at_windows_is_looking_at_the_whole(texts: list[str]) -> None:
    one, other = texts
    told = verify(one, other)
    if told.accepted:
        assert disagreement(scan(one), scan(other), told.edits) is None


WORDS = st.sampled_from(
    [
        "no",
        "not",
        "denies",
        "possible",
        "mother",
        "left",
        "right",
        "fever",
        "pain",
        "mg",
        "g",
        "5",
        "50",
        "0.5",
        "1,000",
        "10.0",
        "daily",
        "of",
        "the",
        "a",
        "an",
        "and",
        "or",
        ",",
        ".",
        ";",
        ":",
        "-",
        "/",
        "(",
        ")",
        "HTN",
        "hypertension",
        "AIDS",
        "aids",
        "PT",
        "pt",
        "Mg",
        "q6h",
        "w/",
        "w/o",
        "\n",
        "\u200b",
        "а",
        "µg",
        "don't",
        "II",
        "stage",
        "x",
    ]
)


@settings(deadline=None, max_examples=400)
@given(st.lists(WORDS, max_size=12), st.lists(WORDS, max_size=12), st.sampled_from([" ", ""]))
def test_any_two_texts_get_an_answer_that_is_symmetric(a: list[str], b: list[str], blank: str) -> None:
    one, other = blank.join(a), blank.join(b)
    told, back = verify(one, other), verify(other, one)
    assert told.accepted == back.accepted
    assert bool(told.reason) != told.accepted
    if told.accepted:
        assert told.grade == back.grade


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=60) | st.lists(WORDS, max_size=20).map(" ".join))
def test_canonical_text_of_anything_is_a_fixed_point(text: str) -> None:
    once = canonicalise(text)
    assert canonicalise(once) == once
