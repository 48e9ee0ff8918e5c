"""Accuracy, sensitivity and specificity at the declared threshold, clean and under attack; flip rates by direction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from nocere.attacks.outcome import Outcome
from nocere.audit.measures.measure import (
    MISSING,
    Measure,
    Results,
    by_case,
    levels,
    measured,
    state_at,
    subgroups,
)
from nocere.core.case import CaseRef
from nocere.core.intervals import rate
from nocere.core.registry import register


def _share(key: str, of: str, rows: Sequence[tuple[CaseRef, bool | None]], **about: object) -> Measure:
    """A rate over cases; None marks a case that could not be measured."""
    known = [(r, hit) for r, hit in rows if hit is not None]
    missing = len(rows) - len(known)
    if not known:
        why = "no case in the denominator" if not rows else "no case could be measured"
        return Measure(key, None, 0, of, missing=missing, why=why, **about)  # type: ignore[arg-type]
    e = rate([bool(hit) for _, hit in known], [r.group for r, _ in known])
    return measured(key, e, of, missing=missing, **about)


class Part(NamedTuple):
    """A rate: its name, denominator in words, cases, and whether only the positive label counts."""

    key: str
    of: str
    cases: list[CaseRef]
    one_label: bool


def _parts(results: Results, refs: Sequence[CaseRef], *, attacked: bool = False) -> Iterator[Part]:
    """Rates of the operating point. Sensitivity and specificity look at the positive label alone.

    Under attack they are reported for two exclusive labels only: with more, the goal "any other decision" is not the
    worst case for one label.
    """
    d = results.decision
    known = [r for r in refs if results.known(r)]
    yield Part("accuracy", "right decisions of all cases with a known label", known, False)
    if d.positive is None or (attacked and not results.binary):
        return
    yield Part(
        "sensitivity",
        f"cases called {d.positive}, of those that are",
        [r for r in known if d.positive in r.truth.labels],
        True,
    )
    rest = [r for r in known if d.positive not in r.truth.labels]
    yield Part("specificity", f"cases not called {d.positive}, of those that are not", rest, True)


@register("measure", "operating_point", source="STARD 2015; intervals: Clopper-Pearson 1934, Korn & Graubard 1998")
def operating_point(results: Results) -> Iterator[Measure]:
    """Accuracy, sensitivity, specificity at the declared threshold, clean and at every budget, by subgroup."""
    for group, refs in subgroups(results.refs):
        for key, of, chosen, one in _parts(results, refs):
            rows = [(r, None if results.clean_why.get(r.id) else results.right(r, one_label=one)) for r in chosen]
            yield _share(key, of, rows, group=group)
        for cell in results.cells:
            if cell.aim == "sample" or not cell.untargeted:
                continue
            outcomes = by_case(cell)
            inside = [r for r in refs if r.id in outcomes]
            for radius in levels(cell):
                for key, of, chosen, _ in _parts(results, inside, attacked=True):
                    rows = [(r, _stands(results, r, outcomes[r.id], radius)) for r in chosen]
                    yield _share(
                        key, of, rows, cell=cell.name, radius=radius, group=group, line=cell.line, unit=cell.unit
                    )


def _stands(results: Results, ref: CaseRef, outcomes: list[Outcome], radius: float) -> bool | None:
    """Right before and after the attack; None where that is not known."""
    if results.clean_why.get(ref.id):
        return None
    if not results.right(ref):
        return False
    state = state_at(outcomes, radius)
    return None if state in MISSING else state != "broken"


@register("measure", "flips", source="design, section 3: goal and direction")
def flips(results: Results) -> Iterator[Measure]:
    """Share of attackable cases whose decision was turned, overall and by direction, at every budget."""
    for cell in results.cells:
        if cell.aim == "sample":
            continue
        outcomes = by_case(cell)
        for group, refs in subgroups(results.refs):
            rows = [r for r in refs if r.id in outcomes and not _left(outcomes[r.id])]
            parts = [
                ("flip_rate", "cases that met the goal after the attack, of those where it was not met before", rows)
            ]
            if group == "all" and cell.untargeted and results.decision.exclusive:
                for label in results.decision.labels:
                    mine = [r for r in rows if label in r.truth.labels]
                    parts.append((f"flip_rate_from:{label}", f"{label} cases that were right and are turned", mine))
            for key, of, chosen in parts:
                for radius in levels(cell):
                    states = [(r, state_at(outcomes[r.id], radius)) for r in chosen]
                    share = [(r, None if s in MISSING else s == "broken") for r, s in states]
                    about = {"cell": cell.name, "radius": radius, "group": group, "line": cell.line, "unit": cell.unit}
                    yield _share(key, of, share, **about)


def _left(outcomes: list[Outcome]) -> bool:
    return all(o.kind in ("already_wrong", "not_applicable") for o in outcomes)


@register("measure", "lines", source="design, section 5: worst over the union of all sets up to each line")
def lines(results: Results) -> Iterator[Measure]:
    """Accuracy when each case suffers the worst of everything tested up to a line, at the largest budgets.

    Cells that were limited to some of the cases stay out, so that the union is over all cases.
    """
    everyone = {r.id for r in results.refs}
    tested = [
        c for c in results.cells if c.untargeted and c.aim != "sample" and {o.case_id for o in c.outcomes} >= everyone
    ]
    for line in sorted({c.line for c in tested}):
        cells = [(c, by_case(c)) for c in tested if c.line <= line]
        everywhere = [r for r in results.refs if all(r.id in o for _, o in cells)]
        for key, of, chosen, _ in _parts(results, everywhere, attacked=True):
            rows = []
            for r in chosen:
                stands = [_stands(results, r, o[r.id], max(levels(c))) for c, o in cells]
                rows.append((r, False if False in stands else None if None in stands else True))
            names = ", ".join(c.name for c, _ in cells)
            yield _share(f"{key}_up_to_line", f"{of}; worst over {names}", rows, line=line)
