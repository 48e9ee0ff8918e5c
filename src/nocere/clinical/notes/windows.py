"""The scanner's second look, at the sentences around the edits only: many edited texts of one note share them.

A window is the sentences that edits touch with one more on each side, under their heading. It is used only where the
scanner reads it in the original exactly as it reads it inside the whole note; elsewhere the whole note is read.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TypeAlias

from nocere.clinical.notes.agreement import Refusal, disagreement
from nocere.clinical.notes.lexicon import Lexicon
from nocere.clinical.notes.model import Edit, Scan
from nocere.clinical.notes.scan import scan

Window: TypeAlias = tuple[int, int]


class Windows:
    """Compares edited texts with one original. Remembers at most 4,096 windows."""

    def __init__(self, original: str, lexicon: Lexicon) -> None:
        self._original = original
        self._lexicon = lexicon
        self._whole = scan(original, lexicon)
        self._starts = [s.start for s in self._whole.sentences]
        self._told = lru_cache(4096)(self._look)
        self._prefix = lru_cache(1024)(self._heading)

    def disagreement(self, edited: str, edits: Sequence[Edit]) -> Refusal | None:
        """As `agreement.disagreement` of the two whole texts."""
        clusters = self._clusters(edits)
        if any(self._prefix(window) is None for window, _ in clusters):
            return disagreement(self._whole, scan(edited, self._lexicon), edits)
        shift = 0
        for window, inside in clusters:
            start = window[0] + shift
            shift += sum(len(e.after) - len(e.before) for e in inside)
            told = self._told(window, edited[start : window[1] + shift], tuple(inside))
            if told:
                return told
        return None

    def _clusters(self, edits: Sequence[Edit]) -> list[tuple[Window, list[Edit]]]:
        """Windows in order, with the edits inside each; windows that touch are one."""
        found: list[tuple[Window, list[Edit]]] = []
        for e in edits:
            first = bisect_right(self._starts, e.start) - 2
            after = bisect_right(self._starts, e.end) + 1
            start = self._starts[first] if first > 0 else 0
            end = self._starts[after] if after < len(self._starts) else len(self._original)
            if found and start <= found[-1][0][1]:
                found[-1] = ((found[-1][0][0], max(end, found[-1][0][1])), [*found[-1][1], e])
            else:
                found.append(((start, end), [e]))
        return found

    def _look(self, window: Window, edited: str, edits: tuple[Edit, ...]) -> Refusal | None:
        prefix = self._prefix(window) or ""
        by = len(prefix) - window[0]
        placed = [replace(e, start=e.start + by, end=e.end + by) for e in edits]
        before = scan(prefix + self._original[window[0] : window[1]], self._lexicon)
        return disagreement(before, scan(prefix + edited, self._lexicon), placed)

    def _heading(self, window: Window) -> str | None:
        """The heading that a window stands under; None where the window by itself is read in another way."""
        start, end = window
        section = next((s for s in self._whole.sections if s.start <= start < s.end), None)
        inside = section is None or section.start == start or not section.kind
        prefix = "" if inside or section is None else self._original[section.start : section.body].rstrip() + "\n"
        part = scan(prefix + self._original[start:end], self._lexicon)
        alone = _read(part, len(prefix), len(part.text), len(prefix))
        return prefix if alone == _read(self._whole, start, end, start) else None


def _read(whole: Scan, start: int, end: int, origin: int) -> list[tuple[object, ...]]:
    """All that was read between two places, at its distance from an origin."""
    said: list[tuple[object, ...]] = []
    said.extend(
        (m.concept, m.assertion, whole.sections[m.section].kind) for m in whole.mentions if start <= m.start < end
    )
    said.extend((q.kind, q.value, q.unit) for q in whole.quantities if start <= q.start < end)
    said.extend((s.side,) for s in whole.sides if start <= s.start < end)
    spans = [m for m in (*whole.mentions, *whole.quantities, *whole.sides) if start <= m.start < end]
    return [*said, *((m.start - origin, m.end - origin) for m in spans)]
