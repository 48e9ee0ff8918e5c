"""What a note says: sections, sentences, concepts with their assertion, quantities and sides."""

from __future__ import annotations

from functools import lru_cache

from nocere.clinical.notes.context import assertions
from nocere.clinical.notes.lexicon import Lexicon, load_lexicon
from nocere.clinical.notes.mentions import Finder
from nocere.clinical.notes.model import Mention, Scan, Span
from nocere.clinical.notes.quantities import quantities
from nocere.clinical.notes.sections import reading, sections
from nocere.clinical.notes.sentences import sentences
from nocere.clinical.notes.sides import sides
from nocere.clinical.notes.words import Words, words


def scan(text: str, lexicon: Lexicon | None = None) -> Scan:
    """Reads a note; the packaged lexicon unless another is given. Spans are in characters of `text`."""
    return _scan(text, lexicon or load_lexicon())


@lru_cache(maxsize=512)
def _scan(text: str, lexicon: Lexicon) -> Scan:
    finder = _finder(lexicon)
    heads, of = sections(text), words(text)
    parts = sentences(text, [h.start for h in heads])
    spans = _words_of(parts, of)
    found = finder.find(of, spans)
    places: list[tuple[int, int, int, int]] = []
    sentence = section = 0
    for first, after, _ in found:
        start, end = of.starts[first], of.ends[after - 1]
        while parts[sentence].end < end:
            sentence += 1
        while heads[section].end <= start:
            section += 1
        places.append((start, end, sentence, section))
    asserted = assertions(of, spans, [(f.first, f.after) for f in found], [reading(heads[p[3]].kind) for p in places])
    mentions = tuple(
        Mention(start, end, f.entry.concept, f.entry.code, f.entry.system, what, sentence, section)
        for f, (start, end, sentence, section), what in zip(found, places, asserted, strict=True)
    )
    return Scan(text, tuple(heads), tuple(parts), mentions, tuple(quantities(text, of)), tuple(sides(of)))


@lru_cache(maxsize=8)
def _finder(lexicon: Lexicon) -> Finder:
    return Finder(lexicon)


def _words_of(parts: list[Span], of: Words) -> list[tuple[int, int]]:
    """First word and the one after the last of each sentence."""
    spans: list[tuple[int, int]] = []
    at, n = 0, len(of.starts)
    for part in parts:
        while at < n and of.starts[at] < part.start:
            at += 1
        first = at
        while at < n and of.starts[at] < part.end:
            at += 1
        spans.append((first, at))
    return spans
