"""Look-up keys: what is set aside (case, hyphens, blanks, plural, British spelling) and what is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nocere.clinical.notes.forms import key, singular
from nocere.clinical.notes.lexicon import load_lexicon


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Low-back  pains", "low back pain"),
        ("Haemorrhage", "hemorrhage"),
        ("oesophageal tumours", "esophageal tumor"),
        ("Crohn’s disease", "crohn's disease"),
        ("metastases", "metastasis"),
        ("allergies", "allergy"),
        ("abscesses", "abscess"),
        ("headaches", "headache"),
        ("rashes", "rash"),
        ("pulmonary emboli", "pulmonary embolus"),
        ("short\nness", "short ness"),
    ],
)
def test_one_key(a: str, b: str) -> None:
    assert key(a) == key(b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("back pain", "neck pain"),
        ("type 1 diabetes", "type 2 diabetes"),
        ("AIDS", "aid"),
        ("hypertension", "hypotension"),
        ("hyperglycemia", "hypoglycemia"),
        ("patient's", "patient"),
        ("pains relief", "pain relief"),  # only the last word loses its plural
    ],
)
def test_other_key(a: str, b: str) -> None:
    assert key(a) != key(b)


@pytest.mark.parametrize("word", ["diabetes", "arthritis", "pancreas", "virus", "abscess", "herpes", "sepsis", "ileus"])
def test_words_in_s_that_are_no_plural_stay(word: str) -> None:
    assert singular(word) == word


@given(st.text(alphabet="abc esx-'’\n\t", max_size=30))
def test_a_key_is_its_own_key_up_to_plurals(text: str) -> None:
    once = key(text)
    assert once == " ".join(once.split()) and "-" not in once
    assert key(once.upper()) == key(once)


def test_every_surface_of_the_lexicon_is_found_under_its_key_in_any_case() -> None:
    lexicon = load_lexicon()
    for entry in lexicon.entries:
        found = lexicon.find(key(entry.surface.upper()))
        assert found is not None and found.concept == entry.concept, entry.surface
