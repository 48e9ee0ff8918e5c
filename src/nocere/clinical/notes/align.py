"""Two runs of atoms side by side: the places where the characters differ although the values are equal."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from nocere.clinical.notes.atoms import Chunk
from nocere.clinical.notes.model import Edit, Grade
from nocere.clinical.notes.naming import Atom


@lru_cache(16_384)
def edits_of(mine: Chunk, theirs: Chunk) -> tuple[Edit, ...]:
    """Graded edits between two parts whose atoms are equal in their widest value; offsets are into the first."""
    before, after = mine.atoms, theirs.atoms
    found: list[Edit] = []
    here = there = i = 0
    while i < len(before):
        _gap(found, here, mine.text[here : before[i].start], theirs.text[there : after[i].start])
        j, here, there = i + 1, before[i].end, after[i].end
        # Atoms that share their characters (BP: blood, pressure) belong to one edit.
        while j < len(before) and (before[j].start < here or after[j].start < there):
            here, there = max(here, before[j].end), max(there, after[j].end)
            j += 1
        old, new = mine.text[before[i].start : here], theirs.text[after[i].start : there]
        if old != new:
            found.append(_edit(before[i].start, old, new, before[i:j], after[i:j]))
        i = j
    _gap(found, here, mine.text[here:], theirs.text[there:])
    return tuple(_touching(found))


def _touching(edits: list[Edit]) -> list[Edit]:
    """The edits with those that touch joined, so that each can be made without the other ones ("2-3", "2 to 3")."""
    found: list[Edit] = []
    for e in edits:
        last = found[-1] if found else None
        if last is None or last.end != e.start:
            found.append(e)
            continue
        named = e if e.concept[0] else last
        grade = max((last, e), key=lambda one: one.grade or "").grade
        why = named.why if named.grade == grade else (e.why if e.grade == grade else last.why)
        found[-1] = Edit(
            last.start, e.end, last.before + e.before, last.after + e.after, grade, why,
            named.concept, named.codes, tuple(dict.fromkeys(last.evidence + e.evidence)),
        )  # fmt: skip
    return found


def placed(edits: Sequence[Edit], by: int) -> list[Edit]:
    """The edits of a part at its place in the text."""
    return [
        Edit(e.start + by, e.end + by, e.before, e.after, e.grade, e.why, e.concept, e.codes, e.evidence) for e in edits
    ]


def _gap(found: list[Edit], start: int, old: str, new: str) -> None:
    """An edit of what stands between atoms: blanks, articles, the comma of a list, a full stop at the end."""
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
    found.append(Edit(start + common, start + common + len(old), old, new, "A", why))


def _edit(start: int, old: str, new: str, before: Sequence[Atom], after: Sequence[Atom]) -> Edit:
    grade: Grade = "A"
    end = start + len(old)
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
