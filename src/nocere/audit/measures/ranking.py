"""AUROC, clean and under attack; the attacked one needs score-extremal candidates and never uses flips."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from nocere.audit.measures.measure import MISSING, Measure, Results, by_case, levels, measured
from nocere.core.case import CaseRef
from nocere.core.ranking import auroc
from nocere.core.registry import register


@register("measure", "auroc", source="DeLong et al. 1988; Obuchowski 1997 for several cases a patient")
def area(results: Results) -> Iterator[Measure]:
    """Area under the ROC curve of the positive label's score, clean and with every score moved the wrong way."""
    positive = results.decision.positive
    if positive is None:
        return
    column = results.decision.labels.index(positive)
    refs = [r for r in results.refs if results.known(r) and not results.clean_why.get(r.id)]
    clean = {r.id: results.clean[r.id][column] for r in refs}
    yield _auroc("all cases with a known label", refs, clean, positive)
    for cell in results.cells:
        if cell.aim != "worst" or not cell.untargeted or not results.binary:
            continue
        outcomes = by_case(cell)
        inside = [r for r in refs if r.id in outcomes]
        for radius in levels(cell):
            moved, missing = {}, 0
            for r in inside:
                found = [
                    o.finding.margins[column]
                    for o in outcomes[r.id]
                    if o.radius <= radius and o.finding is not None and o.finding.margins
                ]
                if any(o.kind in MISSING for o in outcomes[r.id] if o.radius <= radius):
                    missing += 1
                # The unchanged case is inside of every set.
                extreme = min if positive in r.truth.labels else max
                moved[r.id] = extreme([clean[r.id], *found])
            about = {"cell": cell.name, "radius": radius, "line": cell.line, "unit": cell.unit, "missing": missing}
            yield _auroc("positives moved down and negatives up, whole budget", inside, moved, positive, **about)


def _auroc(of: str, refs: Sequence[CaseRef], scores: Mapping[str, float], positive: str, **about: object) -> Measure:
    labels = [positive in r.truth.labels for r in refs]
    if not any(labels) or all(labels):
        return Measure("auroc", None, len(refs), of, why="one class is empty", **about)  # type: ignore[arg-type]
    return measured("auroc", auroc([scores[r.id] for r in refs], labels, [r.group for r in refs]), of, **about)
