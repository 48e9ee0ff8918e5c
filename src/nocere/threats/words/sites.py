"""Sites: where a note may be worded otherwise, and with what, each option accepted by the verifier alone.

Search tools. Raw candidates come from `wordings`. Many options are not verified in one text: "p.o. b.i.d." may stand
where "p.o. BID" would end a sentence. What combinations are worth is for the referee's check to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from nocere.clinical.notes.model import Grade
from nocere.clinical.notes.verify import verify
from nocere.threats.words.splice import Splice
from nocere.threats.words.wordings import candidates

if TYPE_CHECKING:
    from nocere.clinical.notes.lexicon import Lexicon

KEPT = 512  # notes whose sites are remembered


@dataclass(frozen=True, slots=True)
class Option:
    """Another wording and its grade."""

    text: str
    grade: Grade


@dataclass(frozen=True, slots=True)
class Site:
    """A part of a note with its other wordings; the sites of a note are disjoint and sorted."""

    start: int
    end: int
    options: tuple[Option, ...]

    def splice(self, option: int) -> Splice:
        """One of its options as an edit."""
        return Splice(self.start, self.end, self.options[option].text)


@lru_cache(maxsize=KEPT)
def sites(text: str, lexicon: Lexicon, grades: frozenset[Grade]) -> tuple[Site, ...]:
    """Sites of a note with the options of these grades; other capitals are offered where nothing else than A is."""
    alone = grades == {"A"}
    kept = []
    for s in _all(text, lexicon):
        said = text[s.start : s.end].lower()
        some = tuple(o for o in s.options if o.grade in grades and (alone or o.text.lower() != said))
        kept += [Site(s.start, s.end, some)] if some else []
    return tuple(kept)


@lru_cache(maxsize=KEPT)
def _all(text: str, lexicon: Lexicon) -> tuple[Site, ...]:
    found = []
    for p in candidates(text, lexicon):
        told = ((w, verify(text, text[: p.start] + w + text[p.end :], lexicon=lexicon)) for w in p.texts)
        some = tuple(Option(w, v.grade) for w, v in told if v.accepted and v.grade is not None)
        found += [Site(p.start, p.end, some)] if some else []
    return tuple(found)
