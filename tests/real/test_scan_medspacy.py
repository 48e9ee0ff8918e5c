"""The scanner beside medSpaCy's ConText on real notes. Skipped without the notes, or without medSpaCy.

NOCERE_MEDSPACY names the Python of an environment with medspacy==1.3.1, which pins an older spaCy than nocere's tests may
have. medSpaCy is a reference and no ground truth; known differences are in benchmarks/notes_scanner.py.
"""

from __future__ import annotations

import os
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from tests.notes_peer import CLASSES, VARIABLE, Pair, compare, notes

from nocere.clinical.notes.scan import scan

DATA = Path(__file__).parents[3] / "shared" / "data" / "notes"
PYTHON = os.environ.get(VARIABLE, "")
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"the real notes are not at {DATA}"),
]
needs_peer = pytest.mark.skipif(not PYTHON, reason=f"{VARIABLE} names no Python with medspacy")


@cache
def pairs() -> list[Pair]:
    return compare(PYTHON, notes(DATA)[:100:2])[0]


@needs_peer
def test_mentions_that_medspacy_negates_in_the_same_sentence_are_negated() -> None:
    """Left out: what medSpaCy reads across sentences, and rules that other readers of ConText dispute."""
    disputed = {"evaluate for", "test for", "checked for", "prophylaxis", "not", "not significant", "any other"}
    told: Counter[bool] = Counter()
    for p in pairs():
        sentence = p.scan.sentences[p.mention.sentence]
        own = [r for c, r, at in p.rules if c == "NEGATED_EXISTENCE" and sentence.start <= at < sentence.end]
        if own and not set(own) & disputed:
            told[p.ours("negated")] += 1
    assert told.total() > 100 and told[True] / told.total() > 0.93, told


@needs_peer
@pytest.mark.parametrize("name", list(CLASSES))
def test_agreement_by_class(name: str) -> None:
    said = [(p.ours(name), p.peer[name]) for p in pairs()]
    assert sum(a == b for a, b in said) / len(said) > 0.9


@needs_peer
def test_what_nocere_negates_medspacy_negates() -> None:
    said = [p.peer["negated"] for p in pairs() if p.ours("negated")]
    assert len(said) > 100 and sum(said) / len(said) > 0.8


def test_every_real_note_is_scanned_and_offsets_hold() -> None:
    for text in notes(DATA)[::10]:
        s = scan(text)
        assert s.sections[-1].end == len(text)
        for m in s.mentions:
            sentence, section = s.sentences[m.sentence], s.sections[m.section]
            assert sentence.start <= m.start < m.end <= sentence.end
            assert section.start <= m.start < section.end
