"""Whether the scanner reads two texts alike: an independent look at what the atoms found to be equal."""

from __future__ import annotations

from collections.abc import Sequence

from nocere.clinical.notes.model import Edit, Mention, Scan, Span

Refusal = tuple[str, str]


def disagreement(before: Scan, after: Scan, edits: Sequence[Edit]) -> Refusal | None:
    """The first thing that the edited text says otherwise: (reason, sentence); None where both say the same.

    Everything outside the edits must be found again at its shifted place with the same value and assertion. Mentions,
    and sides inside an edit must agree one by one where both texts have them.
    """
    if [s.kind for s in before.sections] != [s.kind for s in after.sections]:
        return "heading", "The headings of the two texts differ."
    places = _Places(edits)
    return (
        _mentions(before, after, places)
        or _alike(
            "number",
            [(places.of(q), (q.kind, q.value, q.unit)) for q in before.quantities],
            [(places.back(q), (q.kind, q.value, q.unit)) for q in after.quantities],
        )
        or _alike(
            "side",
            [(places.of(s), (s.side,)) for s in before.sides],
            [(places.back(s), (s.side,)) for s in after.sides],
        )
    )


class _Places:
    """Where spans of the original lie in the edited text; a span that an edit touches belongs to that edit."""

    def __init__(self, edits: Sequence[Edit]) -> None:
        self._old: list[tuple[int, int]] = []
        self._new: list[tuple[int, int]] = []
        self._shifts = [0]
        for e in edits:
            start = e.start + self._shifts[-1]
            self._old.append((e.start, e.end))
            self._new.append((start, start + len(e.after)))
            self._shifts.append(self._shifts[-1] + len(e.after) - len(e.before))

    def of(self, span: Span) -> tuple[int, int]:
        """(edit, -1) where an edit touches the span, else its place in the edited text."""
        edit, touched = _touched(self._old, span)
        return (edit, -1) if touched else (span.start + self._shifts[edit], span.end + self._shifts[edit])

    def back(self, span: Span) -> tuple[int, int]:
        """The same of a span of the edited text."""
        edit, touched = _touched(self._new, span)
        return (edit, -1) if touched else (span.start, span.end)


def _touched(edits: Sequence[tuple[int, int]], span: Span) -> tuple[int, bool]:
    for i, (start, end) in enumerate(edits):
        if start < span.end and end > span.start:
            return i, True
        if start >= span.end:
            return i, False
    return len(edits), False


def _mentions(before: Scan, after: Scan, places: _Places) -> Refusal | None:
    old, new = _grouped(before, places, True), _grouped(after, places, False)
    for place in sorted(old.keys() | new.keys(), key=lambda p: p[0]):
        mine, theirs = old.get(place, []), new.get(place, [])
        if place[1] == -1 and len(mine) != len(theirs):
            continue  # an abbreviation that only one of the two readers knows; its atoms are equal
        if len(mine) != len(theirs):
            shown = (mine or theirs)[0]
            return "scope", f"{_shown(before if mine else after, shown)} is read in one of the two texts only."
        for a, b in zip(mine, theirs, strict=True):
            if place[1] != -1 and a.concept != b.concept:
                return "different concept", f"{a.concept} is read as {b.concept} in the edited text."
            if a.assertion != b.assertion:
                return "scope", f"{_shown(before, a)} is {a.assertion.label} before and {b.assertion.label} after."
    return None


def _grouped(scan: Scan, places: _Places, old: bool) -> dict[tuple[int, int], list[Mention]]:
    groups: dict[tuple[int, int], list[Mention]] = {}
    for m in scan.mentions:
        groups.setdefault(places.of(m) if old else places.back(m), []).append(m)
    return groups


def _shown(scan: Scan, mention: Mention) -> str:
    return repr(mention.of(scan.text))


def _alike(
    reason: str,
    old: Sequence[tuple[tuple[int, int], tuple[str, ...]]],
    new: Sequence[tuple[tuple[int, int], tuple[str, ...]]],
) -> Refusal | None:
    """Compares what lies outside the edits; inside them the atoms have compared it already, and more exactly."""
    mine, theirs = ([(place[0], value) for place, value in run if place[1] != -1] for run in (old, new))
    for a, b in zip(mine, theirs, strict=False):
        if a != b:
            return reason, f"{' '.join(a[1]).strip()} is followed or replaced by {' '.join(b[1]).strip()}."
    if len(mine) != len(theirs):
        return reason, f"The edited text has another count of {reason}s."
    return None
