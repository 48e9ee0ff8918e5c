"""Contested claims: those that the payer's model decides against their provider, and what edits can do about it.

They are read from the bundle of an audit with the preset `claims.standard`, in which every turned claim is a file with
its proof, and every claim that cannot be turned has a certificate or says that it has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nocere.attacks.outcome import Outcome
from nocere.audit.bundle import Bundle
from nocere.audit.measures.measure import state_at
from nocere.cases.claim import Claim
from nocere.core.case import Case, CaseSet
from nocere.core.errors import UsageError
from nocere.threats.codes.edit import Edit
from nocere.threats.codes.sets import edits_of

TRUTHFUL, WIDE, ALL = "truthful", "truthful-wide", "no-evidence"
SETS = (TRUTHFUL, WIDE, ALL)


@dataclass(frozen=True, slots=True)
class Contested:
    """One claim that the model decides against its provider.

    Args:
        case: the claim with its facts.
        due: the truth says what the provider asks for: it should never have been contested.
        outcomes: of each cell, ascending in the number of edits.
    """

    case: Case[Claim]
    due: bool
    outcomes: Mapping[str, tuple[Outcome, ...]]

    @property
    def usd(self) -> float:
        """What is at stake: the claim's charge in US dollars."""
        return self.case.x.charge

    @property
    def provider(self) -> str:
        """Who billed; intervals are clustered by it."""
        return self.case.x.provider or self.case.group or self.case.id

    def state(self, cell: str, k: int) -> str:
        """broken, held, certified, errored ...: what at most k edits of a cell's set do."""
        return state_at(self.outcomes[cell], float(k))

    def turned(self, cell: str, k: int) -> bool:
        """Whether at most k edits turn the decision."""
        return self.state(cell, k) == "broken"

    def edits(self, cell: str) -> tuple[Edit, ...]:
        """The edits that turned it, fewest first found; empty where nothing did."""
        found = next((o for o in self.outcomes[cell] if o.kind == "broken"), None)
        return () if found is None or found.finding is None else edits_of(found.finding.proof)


def contested(bundle: Bundle, cases: CaseSet) -> tuple[Contested, ...]:
    """The contested claims of an audit, in the order of its cases.

    Raises:
        UsageError: the audit has no cell of the preset `claims.standard`.
    """
    cells: dict[str, Any] = {c["name"]: c for c in bundle.plan["cells"]}
    missing = [name for name in SETS if name not in cells]
    if missing:
        raise UsageError(
            f"{bundle.folder} has no cell {missing[0]!r}.", 'Audit the model with preset = "claims.standard".'
        )
    wanted = cells[TRUTHFUL]["goal"]["want"][0].removeprefix("+")
    found: dict[str, dict[str, list[Outcome]]] = {}
    for name in SETS:
        for o in bundle.outcomes(name):
            if o.kind not in ("already_wrong", "not_applicable") or o.radius > cells[name]["radii"][0]:
                found.setdefault(o.case_id, {}).setdefault(name, []).append(o)
    return tuple(
        Contested(
            cases.load(ref.id),
            wanted in ref.truth.labels,
            {name: tuple(sorted(found[ref.id][name], key=lambda o: o.radius)) for name in SETS},
        )
        for ref in bundle.refs
        if len(found.get(ref.id, {})) == len(SETS)
    )


def edit_counts(bundle: Bundle) -> tuple[int, ...]:
    """The numbers of edits that the audit looked at."""
    radii = next(c["radii"] for c in bundle.plan["cells"] if c["name"] == TRUTHFUL)
    return tuple(int(r) for r in radii)
