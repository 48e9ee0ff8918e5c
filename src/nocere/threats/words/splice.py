"""Splice: a part of a note replaced by a text; a proof of a changed note is a list of splices.

`replay` is the only meaning of a proof: offsets are characters of the original, in order, and never overlap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from nocere.core.candidate import Proof


class Splice(NamedTuple):
    """Characters `start` to `end` (exclusive) of the original become `text`; an insertion has start == end.

    `rule` names the rule that a deliberate contradiction follows (`notes.controls`), and is empty otherwise.
    """

    start: int
    end: int
    text: str
    rule: str = ""


def proof_of(splices: Iterable[Splice]) -> Proof:
    """Splices as a proof, sorted."""
    return [
        {"start": s.start, "end": s.end, "text": s.text, **({"rule": s.rule} if s.rule else {})}
        for s in sorted(splices)
    ]


def splices_of(proof: Any) -> tuple[Splice, ...]:
    """Inverse of `proof_of`; what comes from an attack may be anything, so every field is looked at.

    Raises:
        ValueError: not a proof.
    """
    if not isinstance(proof, list) or not proof:
        raise ValueError("no proof: a list of edits is asked for")
    found = []
    for k, e in enumerate(proof):
        if not isinstance(e, Mapping) or set(e) | {"rule"} != {"start", "end", "text", "rule"}:
            raise ValueError(f"edit {k} of the proof has another form than start, end and text")
        s = Splice(e["start"], e["end"], e["text"], e.get("rule", ""))
        if type(s.start) is not int or type(s.end) is not int or type(s.text) is not str or type(s.rule) is not str:
            raise ValueError(f"edit {k} of the proof does not hold two offsets and a text")
        found.append(s)
    return tuple(found)


def replay(text: str, splices: Sequence[Splice]) -> str:
    """The text after all splices.

    Raises:
        ValueError: a splice lies outside of the text, changes nothing, or splices overlap or are out of order.
    """
    parts, at, least = [], 0, 0
    for k, s in enumerate(splices):
        if not least <= s.start <= s.end <= len(text):
            raise ValueError(f"edit {k} lies outside of the note, overlaps another one or is out of order")
        if text[s.start : s.end] == s.text:
            raise ValueError(f"edit {k} changes nothing")
        parts += [text[at : s.start], s.text]
        # Two insertions at one place would have no order.
        at, least = s.end, max(s.end, s.start + 1)
    return "".join([*parts, text[at:]])


def touch(a: Splice, b: Splice) -> bool:
    """Whether two splices cannot both be replayed."""
    first, second = sorted((a, b))
    return second.start < max(first.end, first.start + 1)
