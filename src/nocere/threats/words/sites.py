"""Sites: where a note may be worded otherwise, and with what, each option accepted by the verifier once.

Search tools. Raw candidates come from `wordings`; the verifier looks at many of them in one text, and at halves of it
where it refuses, so a note costs a few verifications and not one for every option. What combinations are worth is for
the referee's check to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from nocere.clinical.notes.model import Grade
from nocere.clinical.notes.verify import verify
from nocere.threats.words.splice import Splice, replay
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
    places = candidates(text, lexicon)
    found: dict[int, list[Option]] = {k: [] for k in range(len(places))}
    for n in range(max((len(p.texts) for p in places), default=0)):
        some = {k: Splice(p.start, p.end, p.texts[n]) for k, p in enumerate(places) if n < len(p.texts)}
        for k, grade in _graded(text, some, lexicon).items():
            found[k].append(Option(some[k].text, grade))
    return tuple(Site(p.start, p.end, tuple(found[k])) for k, p in enumerate(places) if found[k])


def _graded(text: str, some: dict[int, Splice], lexicon: Lexicon) -> dict[int, Grade]:
    """Grades of the splices that the verifier accepts."""
    if not some:
        return {}
    told = verify(text, replay(text, list(some.values())), lexicon=lexicon)
    mine = {k: [e for e in told.edits if _meets(e.start, e.end, s)] for k, s in some.items()}
    if told.accepted:
        return {k: max(e.grade for e in edits if e.grade is not None) for k, edits in mine.items() if edits}
    if len(some) == 1:
        return {}
    good = [k for k, edits in mine.items() if edits and all(e.grade in ("A", "B", "C") for e in edits)]
    half = len(some) // 2
    # A refused option may drag its neighbours down: each of those that look bad is asked about alone.
    parts: list[Sequence[int]] = [[k] for k in some if k not in good]
    parts += [good] if parts else [list(some)[:half], list(some)[half:]]
    return {k: g for part in parts for k, g in _graded(text, {k: some[k] for k in part}, lexicon).items()}


def _meets(start: int, end: int, s: Splice) -> bool:
    """Whether an edit of the verifier lies at a splice."""
    return start < s.end and end > s.start if start < end else s.start <= start <= s.end
