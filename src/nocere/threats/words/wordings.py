"""Wordings: what might stand instead of what a note says, before anybody has verified it.

Concepts take the other surfaces of their concept, and of the coding variants under one umbrella; abbreviations,
neutral phrases and spellings take the other members of their class; doses, numbers and dates their other formats.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from nocere.clinical.notes.forms import key
from nocere.clinical.notes.scan import scan
from nocere.threats.words.forms import article, dressed, opens, plural, shouted

if TYPE_CHECKING:
    from nocere.clinical.notes.lexicon import Entry, Lexicon
    from nocere.clinical.notes.model import Mention

NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
UNITS = r"(?:mg|mcg|g|kg|mL|ml|units|mmHg|cm|mm|lbs?)\b"
DOSE = re.compile(rf"\b(\d+(?:\.\d+)?)( ?)(?={UNITS})({UNITS})")
AGE = re.compile(r"\b(\d{1,3})([- ])year([- ])old\b")
DIGIT = re.compile(r"(?<![\w./-])(?:10|[1-9])(?= (?:days?|weeks?|months?|years?|times?)\b)")
WORD = re.compile(rf"\b(?:{'|'.join(NUMBERS)})(?= (?:days?|weeks?|months?|years?|times?)\b)")
DAY = re.compile(r"\b0?(\d{1,2})/0?(\d{1,2})/((?:19|20)\d\d)\b")


@dataclass(frozen=True, slots=True)
class Place:
    """A part of a note and texts that might stand there."""

    start: int
    end: int
    texts: tuple[str, ...]


def candidates(text: str, lexicon: Lexicon) -> tuple[Place, ...]:
    """Disjoint places in order; mentions of concepts go before classes of words, and these before formats."""
    taken: list[Place] = []
    for place in (*_concepts(text, lexicon), *_classes(text, lexicon), *_formats(text)):
        said = text[place.start : place.end]
        others = tuple(w for w in dict.fromkeys(place.texts) if w != said)
        if others and not any(place.start < t.end and t.start < place.end for t in taken):
            taken.append(Place(place.start, place.end, others))
    return tuple(sorted(taken, key=lambda p: p.start))


def _concepts(text: str, lexicon: Lexicon) -> Iterator[Place]:
    for m in scan(text, lexicon).mentions:
        said = m.of(text)
        entry = _known(lexicon).get(key(said))
        if entry is None or entry.relation == "narrower":
            continue
        others = [said.replace("-", " "), *_surfaces(said, entry, m, lexicon)]
        place = _place(text, m.start, m.end, entry.surface, others)
        yield Place(place.start, place.end, (*place.texts, text[place.start : m.start] + said.upper()))


@lru_cache(maxsize=8)
def _known(lexicon: Lexicon) -> dict[str, Entry]:
    return {key(e.surface): e for e in lexicon.entries}


def _surfaces(said: str, entry: Entry, mention: Mention, lexicon: Lexicon) -> Iterator[str]:
    """Surfaces of the concept, then of its coding variants, in the order of the lexicon."""
    near = [e for e in lexicon.umbrella(entry.umbrella) if e.concept != entry.concept] if entry.umbrella else []
    many = said.lower() != entry.surface.lower() and said.lower() == plural(entry.surface.lower())
    for e in (*lexicon.concept(mention.concept), *near):
        if e.relation != "narrower":
            yield plural(e.surface) if many else e.surface


def _place(text: str, start: int, end: int, listed: str, wordings: Iterable[str]) -> Place:
    """A place with wordings as they look there; the article before it belongs to it where one of them needs another.

    `listed` is what stands there as the lexicon has it.
    """
    raised = text[start].isupper() and (listed[0].islower() or opens(text, start))
    loud = shouted(text, start, end)
    fitting = [dressed(w, raised=raised, shouted=loud) for w in wordings]
    articles = [article(text, start, w) for w in fitting]
    first = next((a[0] for a in articles if a is not None), start)
    before = text[first:start]
    texts = [(a[1] if a is not None else before) + w for a, w in zip(articles, fitting, strict=True)]
    # Of forms that differ in capitals alone, the first.
    apart = {t.lower(): t for t in reversed(texts) if t.lower() != text[first:end].lower()}
    return Place(first, end, tuple(reversed(apart.values())))


def _classes(text: str, lexicon: Lexicon) -> Iterator[Place]:
    """Abbreviations, neutral phrases and spellings."""
    pattern, classes = _table(lexicon)
    for found in pattern.finditer(text):
        said = found[0]
        listed = said if said in classes else said.lower()
        others = [o for o in classes.get(listed, ()) if o.lower() != listed.lower()]
        yield _place(text, found.start(), found.end(), listed, others)


@lru_cache(maxsize=8)
def _table(lexicon: Lexicon) -> tuple[re.Pattern[str], dict[str, tuple[str, ...]]]:
    """A pattern of all members of classes, and the class of each."""
    pairs = [(a.short, a.long) for a in lexicon.abbreviations] + [(s.british, s.american) for s in lexicon.spelling]
    groups: dict[str, list[str]] = {}
    for p in lexicon.phrases:
        groups.setdefault(p.group, []).append(p.phrase)
    pairs += [(g[0], other) for g in groups.values() for other in g[1:]]
    joined: dict[str, list[str]] = {}
    for a, b in pairs:
        mine, other = joined.setdefault(a, [a]), joined.setdefault(b, [b])
        if mine is not other:
            mine += other
            joined.update(dict.fromkeys(other, mine))
    words = sorted(joined, key=lambda w: (-len(w), w))
    pattern = "|".join(re.escape(w) for w in words) or r"(?!)"
    classes = {w: tuple(dict.fromkeys(c)) for w, c in joined.items()}
    return re.compile(rf"(?<![\w-])(?:{pattern})(?![\w-])", re.IGNORECASE), classes


def _formats(text: str) -> Iterator[Place]:
    for f in DOSE.finditer(text):
        yield Place(f.start(), f.end(), (f[1] + ("" if f[2] else " ") + f[3],))
    for f in AGE.finditer(text):
        ages = (f"{f[1]}-year-old", f"{f[1]} year old", f"{f[1]} yo", f"{f[1]} y/o")
        yield Place(f.start(), f.end(), ages)
    for f in DIGIT.finditer(text):
        yield Place(f.start(), f.end(), (NUMBERS[int(f[0]) - 1],))
    for f in WORD.finditer(text):
        yield Place(f.start(), f.end(), (str(NUMBERS.index(f[0]) + 1),))
    for f in DAY.finditer(text):
        days = (f"{int(f[1]):02}/{int(f[2]):02}/{f[3]}", f"{int(f[1])}/{int(f[2])}/{f[3]}")
        yield Place(f.start(), f.end(), days)
