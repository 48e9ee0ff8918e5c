"""The smallest budget that flips, with unbroken cases censored; confident flips; yield; random control."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nocere.audit.measures.measure import MISSING, Measure, Results, by_case, levels, measured, state_at
from nocere.core.censoring import censored_quantile
from nocere.core.intervals import rate, upper_limit
from nocere.core.registry import register

CONFIDENT = 0.95


@register("measure", "smallest_budget", source="Brookmeyer & Crowley 1982; exact binomial limits on the tested grid")
def smallest_budget(results: Results) -> Iterator[Measure]:
    """Median of the smallest budget that turns a case, with cases that were never turned censored."""
    for cell in results.cells:
        if cell.aim not in ("flip", "closest"):
            continue
        rows, missing = [], 0
        for case_id, outcomes in by_case(cell).items():
            state = state_at(outcomes, max(levels(cell)))
            missing += state in MISSING
            if state not in ("broken", "held", "certified"):
                continue
            broken = [o.radius for o in outcomes if o.kind == "broken"]
            rows.append((results.by_id[case_id].group, min(broken, default=max(levels(cell))), bool(broken)))
        of = "smallest tested budget that turned the case; cases never turned are censored"
        about = {"cell": cell.name, "line": cell.line, "unit": cell.unit, "missing": missing}
        if not rows:
            yield Measure("median_budget", None, 0, of, why="no case could be searched", **about)  # type: ignore[arg-type]
            continue
        q = censored_quantile([r[1] for r in rows], [r[2] for r in rows], groups=[r[0] for r in rows])
        why = "" if q.value is not None else f"more than half of the cases hold at the largest budget, {q.largest:g}"
        yield Measure(
            "median_budget", q.value, q.n, of, q.low, q.high, None, q.groups, q.level, q.method, why=why,
            **about,  # type: ignore[arg-type]
        )  # fmt: skip


@register("measure", "confident_flips", source="Finlayson et al. 2019, figure 1")
def confident_flips(results: Results) -> Iterator[Measure]:
    """Cases that were right with more than .95 confidence and end wrong with more than .95."""
    if not results.decision.exclusive:
        return
    for cell in results.cells:
        if cell.aim != "worst" or not cell.untargeted:
            continue
        for label in results.decision.labels:
            column = results.decision.labels.index(label)
            for radius in levels(cell):
                hits, groups, missing = [], [], 0
                for case_id, outcomes in by_case(cell).items():
                    before = results.clean_probabilities.get(case_id)
                    ref = results.by_id[case_id]
                    if label not in ref.truth.labels or before is None or before[column] <= CONFIDENT:
                        continue
                    if state_at(outcomes, radius) in MISSING:
                        missing += 1
                        continue
                    after = [
                        o.finding.probabilities for o in outcomes if o.radius <= radius and o.finding and o.finding.ok
                    ]
                    wrong = [max(p[:column] + p[column + 1 :]) for p in after if p is not None]
                    hits.append(max(wrong, default=0.0) > CONFIDENT)
                    groups.append(ref.group)
                if hits or missing:
                    of = f"{label} cases right with more than {CONFIDENT:g} that end wrong with more than {CONFIDENT:g}"
                    about = {
                        "cell": cell.name,
                        "radius": radius,
                        "line": cell.line,
                        "unit": cell.unit,
                        "missing": missing,
                    }
                    key = f"confident_flip_from:{label}"
                    if hits:
                        yield measured(key, rate(hits, groups), of, **about)
                    else:
                        yield Measure(key, None, 0, of, why="no case could be measured", **about)  # type: ignore[arg-type]


@register("measure", "yield", source="design, promise 1")
def survived(results: Results) -> Iterator[Measure]:
    """Share of search successes that survive as written and re-read files."""
    for cell in results.cells:
        # "closest" breaks cases between its radii: one number for the cell.
        for radius in (None,) if cell.aim == "closest" else levels(cell):
            at = [o for o in cell.outcomes if radius in (None, o.radius) and o.trace.crossed]
            of = "cases whose search met the goal inside the set, and whose file does too"
            about = {"cell": cell.name, "radius": radius, "line": cell.line, "unit": cell.unit}
            if not at:
                yield Measure("yield", None, 0, of, why="no search success at this budget", **about)  # type: ignore[arg-type]
                continue
            ok = [o.kind == "broken" or bool(o.finding and o.finding.ok) for o in at]
            yield measured("yield", rate(ok, [results.by_id[o.case_id].group for o in at]), of, **about)


@register("measure", "stages", source="what each attack of a cascade added; design, section 7")
def stages(results: Results) -> Iterator[Measure]:
    """Cases that each attack of a cascade broke, of those that reached it."""
    for cell in results.cells:
        if cell.aim != "flip":
            continue
        for radius in levels(cell):
            at = [o for o in cell.outcomes if o.radius == radius and o.trace.tried and o.kind in ("broken", "held")]
            for k in range(max((len(o.trace.tried) for o in at), default=0)):
                reached = [o for o in at if len(o.trace.tried) > k]
                broke = [o.kind == "broken" and len(o.trace.tried) == k + 1 for o in reached]
                of = f"cases that attack {k + 1} of the cascade broke, of those that reached it"
                yield measured(
                    f"broken_by:{k + 1}:{reached[0].trace.tried[k]}",
                    rate(broke, [results.by_id[o.case_id].group for o in reached]),
                    of,
                    cell=cell.name,
                    radius=radius,
                    line=cell.line,
                    unit=cell.unit,
                )


@register("measure", "sampling", source="Clopper & Pearson 1934, one-sided upper limit")
def sampling(results: Results) -> Iterator[Measure]:
    """Sampled changes: share of draws that flip with its upper limit, share of cases with any flip, 95th percentile."""
    for cell in results.cells:
        if cell.aim != "sample":
            continue
        for radius in levels(cell):
            at = [o for o in cell.outcomes if o.radius == radius and o.trace.draws]
            missing = sum(o.kind == "errored" for o in cell.outcomes if o.radius == radius)
            about = {"cell": cell.name, "radius": radius, "line": cell.line, "unit": cell.unit, "missing": missing}
            if not at:
                of = "draws that met the goal"
                yield Measure("draw_flip_share", None, 0, of, why="no case was sampled", **about)  # type: ignore[arg-type]
                continue
            n, k = sum(o.trace.draws for o in at), sum(o.trace.flips for o in at)
            groups = [results.by_id[o.case_id].group for o in at]
            yield Measure(
                "draw_flip_share", k / n, n, f"draws that met the goal, over {len(at)} given cases", 0.0,
                upper_limit(k, n), k, len(set(groups)), 0.95,
                "one-sided Clopper-Pearson upper limit over independent draws, given these cases",
                **about,  # type: ignore[arg-type]
            )  # fmt: skip
            of = "cases with at least one draw that met the goal"
            yield measured("cases_with_a_flip", rate([o.trace.flips > 0 for o in at], groups), of, **about)
            shares = np.array([o.trace.flips / o.trace.draws for o in at])
            yield Measure(
                "draw_flip_share_p95", float(np.quantile(shares, 0.95)), len(at),
                "95th percentile over cases of the share of draws that met the goal", groups=len(set(groups)),
                why="descriptive: no interval", **about,  # type: ignore[arg-type]
            )  # fmt: skip
