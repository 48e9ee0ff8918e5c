"""What a note states, as the scanner reads it: the thing that insertions and new orders must leave as it is."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from nocere.clinical.notes.model import Scan
from nocere.clinical.notes.scan import scan

if TYPE_CHECKING:
    from nocere.clinical.notes.lexicon import Lexicon


class Statements(NamedTuple):
    """Findings in the order of the text: concepts with what is said of them, quantities, sides, headings."""

    concepts: list[Any]
    quantities: list[Any]
    sides: list[Any]
    headings: list[Any]

    def counted(self) -> tuple[Counter[Any], ...]:
        """The same without their order."""
        return tuple(Counter(found) for found in self)


def statements(text: str, lexicon: Lexicon) -> Statements:
    """What a text states."""
    return of(scan(text, lexicon))


def of(found: Scan) -> Statements:
    """What a scan states; every finding with the kind of section that it stands in."""
    return Statements(
        [(m.concept, m.code, m.system, m.assertion, found.sections[m.section].kind) for m in found.mentions],
        [(q.kind, q.value, q.unit, _under(found, q.start)) for q in found.quantities],
        [(s.side, _under(found, s.start)) for s in found.sides],
        [s.kind for s in found.sections],
    )


def _under(found: Scan, at: int) -> str:
    return next((s.kind for s in reversed(found.sections) if s.start <= at), "")
