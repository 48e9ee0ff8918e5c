"""Harm: wrong answers weighted by what they do to a patient, clean and in the worst case over what was tested."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from nocere.attacks.outcome import Outcome
from nocere.audit.measures.measure import MISSING, Measure, Results, by_case, levels, state_at
from nocere.core.case import CaseRef
from nocere.core.intervals import cluster_bootstrap
from nocere.core.registry import register

ARROW = " -> "


def weight(harm: Mapping[str, float], results: Results, ref: CaseRef, margins: tuple[float, ...]) -> float:
    """Harm of answering with these margins; 0 for a right answer, and for a wrong one that the plan does not weigh."""
    d = results.decision
    said = [name for name, m in zip(d.labels, margins, strict=True) if m > 0]
    return max((harm.get(f"{t}{ARROW}{s}", 0.0) for t in ref.truth.labels for s in said), default=0.0)


@register("measure", "harm", source="expected cost: Elkan 2001; worst case over what was tested: design, section 5")
def harm(results: Results) -> Iterator[Measure]:
    """Mean harm a case, clean, and with the most harmful answer that any search up to a line reached."""
    if not results.harm or not results.decision.exclusive:
        return
    refs = [r for r in results.refs if results.known(r) and not results.clean_why.get(r.id)]
    clean = {r.id: weight(results.harm, results, r, results.clean[r.id]) for r in refs}
    yield _mean("harm_per_case", [(r, clean[r.id]) for r in refs], "harm of the answer to the unchanged case")
    searched = [c for c in results.cells if c.aim != "sample"]
    for line in sorted({c.line for c in searched}):
        cells = [(by_case(c), max(levels(c))) for c in searched if c.line <= line]
        rows: list[tuple[CaseRef, float | None]] = []
        for r in refs:
            met = [_reached(results, r, outcomes[r.id], radius) for outcomes, radius in cells if r.id in outcomes]
            # A search that failed leaves its case unknown; one that does not apply to it says nothing of it.
            rows.append((r, None if None in met else max([clean[r.id], *(h for h in met if h is not None)])))
        of = f"largest harm of any answer that a search up to line {line} reached, each at its largest budget"
        yield _mean("harm_up_to_line", rows, of, line=line)


def _reached(results: Results, ref: CaseRef, outcomes: list[Outcome], radius: float) -> float | None:
    """The most harmful confirmed answer of a cell; None where the search failed."""
    if all(o.kind in ("already_wrong", "not_applicable") for o in outcomes):
        return 0.0
    if state_at(outcomes, radius) in MISSING:
        return None
    broken = [o.finding.margins for o in outcomes if o.kind == "broken" and o.finding and o.radius <= radius]
    return max((weight(results.harm, results, ref, m) for m in broken), default=0.0)


def _mean(key: str, rows: list[tuple[CaseRef, float | None]], of: str, line: int | None = None) -> Measure:
    known = [(r, h) for r, h in rows if h is not None]
    missing = len(rows) - len(known)
    groups = [r.group for r, _ in known]
    if len(set(groups)) < 2:
        return Measure(key, None, len(known), of, missing=missing, line=line, why="fewer than two patients")
    values = np.array([h for _, h in known])
    i = cluster_bootstrap(lambda at: float(values[at].mean()), groups)
    return Measure(
        key, float(values.mean()), len(known), of, i.low, i.high, None, len(set(groups)), i.level, i.method,
        line=line, unit="harm units", missing=missing,
    )  # fmt: skip
