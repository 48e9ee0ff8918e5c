"""Whether an edited note says what the original says: every edit graded, everything else refused with a reason.

Both texts are read into atoms (`atoms`), whose widest values must be equal one by one; places where only the characters
differ become graded edits (`align`). Then the scanner, which shares no code with that, reads both texts and must find
the same assertions, numbers and sides everywhere outside the edits (`agreement`). What is not known is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from nocere.clinical.notes.agreement import Refusal
from nocere.clinical.notes.align import edits_of, placed
from nocere.clinical.notes.atoms import Chunk, Reader, joined
from nocere.clinical.notes.contradictions import CONTRADICTIONS, Difference, differences
from nocere.clinical.notes.lexicon import Lexicon, load_lexicon
from nocere.clinical.notes.model import Edit, Grade, Verified
from nocere.clinical.notes.naming import Atom
from nocere.clinical.notes.scan import scan
from nocere.clinical.notes.windows import Windows

_ORDER = ("A", "B", "C")
_WORDS = re.compile(r"[A-Za-z0-9./&' -]*[A-Za-z][A-Za-z0-9./&' -]*")


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
        self._windows = Windows(original, self.lexicon)

    def __call__(self, edited: str) -> Verified:
        """As `verify(original, edited)`."""
        if edited == self.original:
            return Verified(False, None, (), "The two texts are the same.", "unchanged")
        pairs = _paired(self._chunks, self._reader.chunks(edited))
        if pairs is None:
            return self._refused(edited)
        edits: list[Edit] = []
        at = 0
        for mine, theirs in pairs:
            if mine.text != theirs.text:
                edits.extend(placed(edits_of(mine, theirs), at))
            at += len(mine.text)
        told = self._windows.disagreement(edited, edits) and self._named(edits)
        if told:
            reason, why = told
            return Verified(False, "D" if reason in CONTRADICTIONS else None, tuple(edits), why, reason)
        grade: Grade = max((e.grade for e in edits if e.grade), key=_ORDER.index)
        return Verified(True, grade, tuple(edits))

    def _named(self, edits: Sequence[Edit]) -> Refusal | None:
        """What the scanner says of the edits without those that only write the same words shorter or longer.

        It need not know every abbreviation that the tables license ("family hx" for "family history").
        """
        kept = [e for e in edits if e.grade != "A" or e.concept[0] or not _WORDS.fullmatch(e.before + e.after)]
        text, at = "", 0
        for e in kept:
            text += self.original[at : e.start] + e.after
            at = e.end
        return self._windows.disagreement(text + self.original[at:], kept) if kept else None

    def _refused(self, edited: str) -> Verified:
        before, after = _differing(self._chunks, self._reader.chunks(edited))
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


def _paired(mine: Sequence[Chunk], theirs: Sequence[Chunk]) -> list[tuple[Chunk, Chunk]] | None:
    """Parts side by side, their widest values equal; None where those of the texts are not.

    Where a sentence ends elsewhere in the two texts, parts are joined up to the next place where both have an end.
    """
    found: list[tuple[Chunk, Chunk]] = []
    i = j = 0
    while i < len(mine) and j < len(theirs):
        a, b = mine[i], theirs[j]
        i, j = i + 1, j + 1
        if a is not b and a.wide != b.wide:
            first, second, more = [a], [b], len(a.wide) - len(b.wide)
            while more and (i < len(mine) if more < 0 else j < len(theirs)):
                if more < 0:
                    first.append(mine[i])
                    more += len(mine[i].wide)
                    i += 1
                else:
                    second.append(theirs[j])
                    more -= len(theirs[j].wide)
                    j += 1
            a, b = joined(first), joined(second)
            if a.wide != b.wide:
                return None
        found.append((a, b))
    # What is left over, if it says nothing, belongs to the last part.
    rest = joined(mine[i:]), joined(theirs[j:])
    if rest[0].wide or rest[1].wide:
        return None
    return [*found, rest] if rest[0].text or rest[1].text else found


def _common(mine: Sequence[Chunk], theirs: Sequence[Chunk]) -> tuple[int, int]:
    """How many parts are the same at the beginning and at the end."""
    most = min(len(mine), len(theirs))
    head = 0
    while head < most and _same(mine[head], theirs[head]):
        head += 1
    tail = 0
    while tail < most - head and _same(mine[-1 - tail], theirs[-1 - tail]):
        tail += 1
    return head, tail


def _same(mine: Chunk, theirs: Chunk) -> bool:
    return mine is theirs or (mine.text == theirs.text and mine.wide == theirs.wide)


def _differing(mine: Sequence[Chunk], theirs: Sequence[Chunk]) -> tuple[list[Atom], list[Atom]]:
    """The atoms of the parts that differ, at their places in the two texts."""
    head, tail = _common(mine, theirs)
    start = sum(len(c.text) for c in mine[:head])
    runs = [joined(part[head : len(part) - tail]).atoms for part in (mine, theirs)]
    first, second = ([a.moved(start) for a in run] for run in runs)
    return first, second
