"""Whether an edited note says what the original says: every edit graded, everything else refused with a reason.

Both texts are read into atoms (`atoms`), whose widest values must be equal one by one; places where only the characters
differ become graded edits (`align`). Then the scanner, which shares no code with that, reads both texts and must find
the same assertions, numbers and sides everywhere outside the edits (`agreement`). What is not known is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from nocere.clinical.notes.agreement import disagreement
from nocere.clinical.notes.align import edits_of
from nocere.clinical.notes.atoms import Chunk, Reader
from nocere.clinical.notes.contradictions import CONTRADICTIONS, Difference, differences
from nocere.clinical.notes.lexicon import Lexicon, load_lexicon
from nocere.clinical.notes.model import Edit, Grade, Verified
from nocere.clinical.notes.naming import Atom
from nocere.clinical.notes.scan import scan

_ORDER = ("A", "B", "C")


def verify(original: str, edited: str, *, lexicon: Lexicon | None = None) -> Verified:
    """Whether `edited` says what `original` says, place by place.

    Args:
        original: a clinical note.
        edited: the note after the edit.
        lexicon: the packaged one unless another is given. No clinician has reviewed it.

    Returns:
        accepted with the worst grade of its edits, or refused with the first reason. The same text twice is not
        accepted as an edit: reason "unchanged".
    """
    return verifier(original, lexicon or load_lexicon())(edited)


@lru_cache(maxsize=64)
def verifier(original: str, lexicon: Lexicon) -> Verifier:
    """A verifier of one note, kept for the last 64 notes."""
    return Verifier(original, lexicon)


@lru_cache(maxsize=4)
def reader(lexicon: Lexicon) -> Reader:
    """The reader of a lexicon; building it costs more than reading a note."""
    return Reader(lexicon)


class Verifier:
    """Verifies many edited texts of one note: only the parts that differ are read again."""

    def __init__(self, original: str, lexicon: Lexicon | None = None) -> None:
        self.original = original
        self.lexicon = lexicon or load_lexicon()
        self._reader = reader(self.lexicon)
        self._chunks = self._reader.chunks(original)

    def __call__(self, edited: str) -> Verified:
        """As `verify(original, edited)`."""
        if edited == self.original:
            return Verified(False, None, (), "The two texts are the same.", "unchanged")
        chunks = self._reader.chunks(edited)
        head, tail = _common(self._chunks, chunks)
        mine, theirs = self._chunks[head : len(self._chunks) - tail], chunks[head : len(chunks) - tail]
        start = sum(len(c.text) for c in chunks[:head])
        before, after = _placed(mine, start), _placed(theirs, start)
        if [a.wide for a in before] != [a.wide for a in after]:
            return self._refused(edited, before, after)
        end, finish = start + sum(len(c.text) for c in mine), start + sum(len(c.text) for c in theirs)
        edits = edits_of(self.original, edited, before, after, (start, end, start, finish))
        told = disagreement(scan(self.original, self.lexicon), scan(edited, self.lexicon), edits)
        if told:
            reason, why = told
            return Verified(False, "D" if reason in CONTRADICTIONS else None, tuple(edits), why, reason)
        grade: Grade = max((e.grade for e in edits if e.grade), key=_ORDER.index)
        return Verified(True, grade, tuple(edits))

    def _refused(self, edited: str, before: list[Atom], after: list[Atom]) -> Verified:
        headings = [(s.start, s.body) for s in scan(self.original, self.lexicon).sections if s.kind]
        found = differences(self.original, edited, before, after, headings)
        edits = tuple(self._edit(edited, before, after, d) for d in found)
        first = found[0]
        grade: Grade | None = "D" if any(d.grade == "D" for d in found) else None
        return Verified(False, grade if first.grade else first.grade, edits, first.why, first.reason)

    def _edit(self, edited: str, before: list[Atom], after: list[Atom], d: Difference) -> Edit:
        (i1, i2), (j1, j2) = d.before, d.after
        start = before[i1].start if i1 < len(before) else (before[-1].end if before else 0)
        end = before[i2 - 1].end if i2 > i1 else start
        new = edited[after[j1].start : after[j2 - 1].end] if j2 > j1 else ""
        one = next((a.entry for a in before[i1:i2] if a.entry), None)
        other = next((a.entry for a in after[j1:j2] if a.entry), None)
        return Edit(
            start,
            end,
            self.original[start:end],
            new,
            d.grade,
            d.why,
            (one.concept if one else "", other.concept if other else ""),
            (one.code if one else "", other.code if other else ""),
            tuple(e.source for e in (one, other) if e),
        )


def _common(mine: Sequence[Chunk], theirs: Sequence[Chunk]) -> tuple[int, int]:
    """Parts that are the same at the beginning and at the end."""
    most = min(len(mine), len(theirs))
    head = 0
    while head < most and mine[head].text == theirs[head].text and mine[head].wide == theirs[head].wide:
        head += 1
    tail = 0
    while (
        tail < most - head
        and mine[-1 - tail].text == theirs[-1 - tail].text
        and mine[-1 - tail].wide == theirs[-1 - tail].wide
    ):
        tail += 1
    return head, tail


def _placed(chunks: Sequence[Chunk], start: int) -> list[Atom]:
    """The atoms of parts at their place in the text."""
    found: list[Atom] = []
    for chunk in chunks:
        found.extend(replace(a, start=a.start + start, end=a.end + start) for a in chunk.atoms)
        start += len(chunk.text)
    return found
