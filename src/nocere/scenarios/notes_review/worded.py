"""Notes of an audit with what other wordings did to them, cell by cell.

They are read from the bundle of an audit with the preset `notes.standard`, in which every turned note is a file with
its proof.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nocere.attacks.outcome import Outcome
from nocere.audit.bundle import Bundle
from nocere.audit.measures.measure import state_at
from nocere.clinical.notes.model import Verified
from nocere.clinical.notes.verify import verify
from nocere.core.case import Case, CaseSet
from nocere.core.errors import UsageError
from nocere.threats.words.splice import replay, splices_of

SURFACE, SAME, SUPPORTED, WIDE = "surface", "same-concept", "coding-supported", "coding-any"
SWAPS = (SURFACE, SAME, SUPPORTED, WIDE)
ADDED = ("boilerplate", "reorder")


@dataclass(frozen=True, slots=True)
class Worded:
    """One note and its outcomes, ascending in the number of edits, by cell."""

    case: Case[str]
    outcomes: Mapping[str, tuple[Outcome, ...]]

    def state(self, cell: str, k: int) -> str:
        """broken, held, certified, errored ...: what at most k edits of a cell's set do."""
        return state_at(self.outcomes[cell], float(k))

    def turned(self, cell: str, k: int) -> bool:
        """Whether at most k edits turn the decision."""
        return self.state(cell, k) == "broken"

    def broken(self, cell: str) -> Outcome | None:
        """The first outcome that is broken: fewest edits."""
        return next((o for o in self.outcomes[cell] if o.kind == "broken" and o.finding is not None), None)

    def verified(self, cell: str) -> Verified | None:
        """What the verifier says of the turned note; None where nothing turned it."""
        found = self.broken(cell)
        if found is None or found.finding is None:
            return None
        return verify(self.case.x, replay(self.case.x, splices_of(found.finding.proof)))


def worded(bundle: Bundle, cases: CaseSet) -> tuple[Worded, ...]:
    """The notes that the model decides rightly, in the order of the audit's cases.

    Raises:
        UsageError: the audit has no cell of the preset `notes.standard`.
    """
    there = {c["name"] for c in bundle.plan["cells"]}
    missing = [name for name in SWAPS if name not in there]
    if missing:
        raise UsageError(
            f"{bundle.folder} has no cell {missing[0]!r}.", 'Audit the model with preset = "notes.standard".'
        )
    found: dict[str, dict[str, list[Outcome]]] = {}
    for name in (*SWAPS, *(a for a in ADDED if a in there)):
        for o in bundle.outcomes(name):
            if o.kind != "already_wrong":
                found.setdefault(o.case_id, {}).setdefault(name, []).append(o)
    return tuple(
        Worded(
            cases.load(ref.id),
            {name: tuple(sorted(rows, key=lambda o: o.radius)) for name, rows in found[ref.id].items()},
        )
        for ref in bundle.refs
        if len(found.get(ref.id, {})) >= len(SWAPS)
    )
