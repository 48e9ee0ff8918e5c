"""Measure: a number with its n, its denominator and its interval; and the results that measures are computed from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from nocere.attacks.outcome import Outcome
from nocere.core.case import CaseRef
from nocere.core.decision import Decision
from nocere.core.goal import correct
from nocere.core.intervals import Estimate

# Outcomes that say nothing about a case: never counted as held.
MISSING = ("errored", "not_reached", "not_applicable")


@dataclass(frozen=True, slots=True)
class Measure:
    """One number. `of` says in words what is counted over what; `why` why there is no number."""

    key: str
    value: float | None
    n: int
    of: str
    low: float | None = None
    high: float | None = None
    k: int | None = None
    groups: int = 0
    level: float = 0.95
    method: str = ""
    cell: str = ""
    radius: float | None = None
    group: str = "all"
    line: int | None = None
    unit: str = ""
    missing: int = 0
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain form."""
        return asdict(self)


def measured(key: str, e: Estimate, of: str, **about: Any) -> Measure:
    """A measure from an estimate with its interval."""
    i = e.interval
    return Measure(key, e.value, e.n, of, i.low, i.high, e.k, e.groups, i.level, i.method, **about)


@dataclass(frozen=True, slots=True)
class CellResult:
    """What a cell was, in words that measures need, and what came out."""

    name: str
    threat: str
    unit: str
    line: int
    aim: str
    radii: tuple[float, ...]
    untargeted: bool
    outcomes: tuple[Outcome, ...]
    sanity: bool = False


@dataclass(frozen=True, slots=True)
class Results:
    """Everything that measures are computed from."""

    refs: tuple[CaseRef, ...]
    decision: Decision
    clean: Mapping[str, tuple[float, ...]]
    clean_probabilities: Mapping[str, tuple[float, ...] | None]
    clean_why: Mapping[str, str]
    cells: tuple[CellResult, ...]
    by_id: Mapping[str, CaseRef] = field(default_factory=dict)
    harm: Mapping[str, float] = field(default_factory=dict)

    @property
    def binary(self) -> bool:
        """Two exclusive clinical labels: any other decision is then the worst decision for either."""
        d = self.decision
        return d.exclusive and len([name for name in d.labels if name not in d.not_clinical]) == 2

    def known(self, ref: CaseRef) -> bool:
        """Whether the truth says something: readers who tie say nothing; no finding at all is a truth of findings."""
        return bool(ref.truth.labels) or (not self.decision.exclusive and not ref.truth.votes)

    def right(self, ref: CaseRef, *, one_label: bool = False) -> bool:
        """Whether the clean decision says what the truth says, or says it of the positive label."""
        if one_label and self.decision.positive is not None:
            k = self.decision.labels.index(self.decision.positive)
            return (self.clean[ref.id][k] > 0) == (self.decision.positive in ref.truth.labels)
        return correct(ref.truth.labels, self.decision, self.clean[ref.id])


def levels(cell: CellResult) -> tuple[float, ...]:
    """Radii that the cell reports on."""
    return cell.radii


def state_at(outcomes: Sequence[Outcome], radius: float) -> str:
    """broken, held, certified, errored, not_reached or not_applicable: one case in one cell at one radius.

    Broken at a smaller radius is broken here too. A search that stopped with an error at this radius is errored.
    """
    if any(o.kind == "broken" and o.radius <= radius for o in outcomes):
        return "broken"
    at = [o for o in outcomes if o.radius >= radius]
    if not at:
        return outcomes[-1].kind if outcomes and outcomes[-1].kind in ("errored", "not_applicable") else "not_reached"
    first = min(at, key=lambda o: o.radius)
    # Broken only further out means that this radius was searched before, or lies under a bracketed minimum.
    return "held" if first.kind == "broken" else first.kind


def by_case(cell: CellResult) -> dict[str, list[Outcome]]:
    """Outcomes of each case, ascending in radius."""
    out: dict[str, list[Outcome]] = {}
    for o in sorted(cell.outcomes, key=lambda o: o.radius):
        out.setdefault(o.case_id, []).append(o)
    return out


def subgroups(refs: Sequence[CaseRef], *, smallest: int = 5) -> Iterator[tuple[str, list[CaseRef]]]:
    """All cases, then every subgroup of at least `smallest`: attributes, and borderline against clear by votes."""
    yield "all", list(refs)
    split: dict[str, list[CaseRef]] = {}
    for r in refs:
        for key, value in r.attrs.items():
            split.setdefault(f"{key}={value}", []).append(r)
        if r.truth.borderline is not None:
            split.setdefault("truth=borderline" if r.truth.borderline else "truth=clear", []).append(r)
    for name in sorted(split):
        if smallest <= len(split[name]) < len(refs):
            yield name, split[name]
