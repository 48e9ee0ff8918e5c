"""Two runs of atoms side by side: the places where the characters differ although the values are equal."""

from __future__ import annotations

from collections.abc import Sequence

from nocere.clinical.notes.model import Edit, Grade
from nocere.clinical.notes.naming import Atom


def edits_of(
    original: str, edited: str, before: Sequence[Atom], after: Sequence[Atom], window: tuple[int, int, int, int]
) -> list[Edit]:
    """Graded edits between two texts whose atoms are equal in their widest value.

    Args:
        original: the text before.
        edited: the text after.
        before: atoms of the original inside the window; offsets are into the text.
        after: as many of the edited text.
        window: start and end in the original, start and end in the edited text; outside they are the same.
    """
    found: list[Edit] = []
    here, end, there, finish = window
    i = 0
    while i < len(before):
        _gap(found, original, edited, (here, before[i].start, there, after[i].start))
        j, here, there = i + 1, before[i].end, after[i].end
        # Atoms that share their characters (BP: blood, pressure) belong to one edit.
        while j < len(before) and (before[j].start < here or after[j].start < there):
            here, there = max(here, before[j].end), max(there, after[j].end)
            j += 1
        old, new = original[before[i].start : here], edited[after[i].start : there]
        if old != new:
            found.append(_edit(before[i].start, here, old, new, before[i:j], after[i:j]))
        i = j
    _gap(found, original, edited, (here, end, there, finish))
    return found


def _gap(found: list[Edit], original: str, edited: str, window: tuple[int, int, int, int]) -> None:
    """An edit of what stands between atoms: blanks, articles, the comma of a list, a full stop at the end."""
    start, end, begin, finish = window
    old, new = original[start:end], edited[begin:finish]
    if old == new:
        return
    common = 0
    while common < min(len(old), len(new)) and old[common] == new[common]:
        common += 1
    tail = 0
    while tail < min(len(old), len(new)) - common and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    old, new = old[common : len(old) - tail], new[common : len(new) - tail]
    why = "Blanks, an article or punctuation that says nothing."
    found.append(Edit(start + common, end - tail, old, new, "A", why))


def _edit(start: int, end: int, old: str, new: str, before: Sequence[Atom], after: Sequence[Atom]) -> Edit:
    grade: Grade = "A"
    named = next(((b.entry, a.entry) for b, a in zip(before, after, strict=True) if b.entry and a.entry), None)
    if any(b.surface != a.surface for b, a in zip(before, after, strict=True)):
        grade = "B" if all(b.same == a.same for b, a in zip(before, after, strict=True)) else "C"
    if named is None:
        return Edit(start, end, old, new, grade, "The same words in another form.")
    one, other = named
    why = {
        "A": f"The same wording of {one.concept} in another form.",
        "B": f"Both are {one.concept} ({one.code}).",
        "C": f"{one.concept} ({one.code}) and {other.concept} ({other.code}) are coded apart under {one.umbrella}.",
    }[grade]
    evidence = tuple(dict.fromkeys((one.source, other.source)))
    return Edit(start, end, old, new, grade, why, (one.concept, other.concept), (one.code, other.code), evidence)
