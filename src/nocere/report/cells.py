"""View of one cell: its threat in plain words, its tables, its curve; and the subgroup comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nocere.audit.bundle import Bundle
from nocere.audit.measures.measure import Measure
from nocere.report.exhibits import same_rules
from nocere.report.share import Shield
from nocere.report.words import (
    ACCESS,
    AIMS,
    UNITS,
    access_level,
    amount,
    attack_words,
    goal_words,
    group_name,
    line_words,
    listed,
    percent,
    plain_number,
    quantity,
    threat_words,
    title,
)

RATES = ("accuracy", "sensitivity", "specificity")


def number(m: Measure) -> dict[str, Any]:
    """A measure with its words; the values are those of measures.json, untouched."""
    return {
        "key": m.key,
        "title": title(m.key),
        "text": quantity(m),
        "value": m.value,
        "low": m.low,
        "high": m.high,
        "k": m.k,
        "n": m.n,
        "patients": m.groups,
        "of": m.of,
        "method": m.method,
        "missing": m.missing,
        "why": m.why,
        "group": m.group,
        "group_name": group_name(m.group),
        "radius": m.radius,
        "budget": "" if m.radius is None else amount(m.radius, m.unit),
    }


def cell_view(
    bundle: Bundle,
    cell: Mapping[str, Any],
    measures: Sequence[Measure],
    counts: Mapping[str, int],
    shield: Shield,
) -> dict[str, Any]:
    """One cell as the page shows it."""
    mine = [m for m in measures if m.cell == cell["name"]]
    whole = [m for m in mine if m.group == "all"]
    at = {(m.key, m.radius): m for m in whole}
    keys = [k for k in RATES if any(m.key == k for m in whole)]
    turned = [m.key for m in whole if m.key == "flip_rate"][:1]
    turned += list(dict.fromkeys(m.key for m in whole if m.key.startswith("flip_rate_from:")))
    rest = [m for m in whole if m.key not in (*RATES, *turned)]
    level = access_level(cell)
    return {
        "name": cell["name"],
        "aim": cell["aim"],
        "aim_words": AIMS[cell["aim"]],
        "threat": cell["threat"]["name"],
        "threat_words": threat_words(cell),
        "goal_words": goal_words(cell["goal"]),
        "access": level,
        "access_words": ACCESS[level],
        "gains": shield.text(cell["gains"]),
        "harmed": shield.text(cell["harmed"]),
        "kind": cell["kind"],
        "line": line_words(cell["line"]),
        "unit": UNITS.get(cell["unit"], ("", cell["unit"].replace("_", " ")))[1],
        "budgets": [amount(r, cell["unit"]) for r in cell["radii"]],
        "cases": len(cell["cases"]),
        "fit": len(cell["fit"]),
        "attacks": [shield.text(attack_words(a)) for a in cell["attacks"]],
        "counts": dict(counts),
        "result": _result(cell, at, counts),
        "rates": _table(cell, keys, at),
        "turned": _table(cell, turned, at),
        "rest": [number(m) for m in rest],
        "numbers": [number(m) for m in mine],
        "curve": _curve(bundle, cell, keys, at, measures, shield) if keys else None,
    }


def _table(
    cell: Mapping[str, Any], keys: Sequence[str], at: Mapping[tuple[str, float | None], Measure]
) -> dict[str, Any]:
    rows = [
        {
            "radius": r,
            "budget": amount(r, cell["unit"]),
            "numbers": [number(at[k, r]) if (k, r) in at else None for k in keys],
        }
        for r in cell["radii"]
    ]
    return {"keys": list(keys), "titles": [title(k) for k in keys], "rows": rows if keys else []}


def _result(cell: Mapping[str, Any], at: Mapping[tuple[str, float | None], Measure], counts: Mapping[str, int]) -> str:
    """What came out, in one sentence; a case that was not turned is only ever "not broken by" what was tried."""
    largest = cell["radii"][-1]
    within = f"within {amount(largest, cell['unit'])}"
    names = listed(list(dict.fromkeys(a["name"] for a in cell["attacks"])), "or")
    if cell["aim"] == "sample":
        m = at.get(("draw_flip_share", largest))
        if m is None or m.value is None:
            return "No case could be sampled."
        upper = "" if m.high is None else f" (at most {percent(m.high)} % with 95 % confidence)"
        return f"{m.k} of {m.n} random draws {within} turned the decision{upper}."
    m = at.get(("flip_rate", largest))
    if m is None or m.value is None:
        return "No case could be searched."
    lost = counts["errored"] + counts["not_reached"]
    unsure = f" Of {lost} cases nothing is known." if lost else ""
    kept = f" {counts['certified']} are certified by an independent checker." if counts["certified"] else ""
    if m.k == 0:
        return f"Not broken by {names} {within} in any of {m.n} cases that could be turned.{kept}{unsure}"
    left = f" {counts['held']} were not broken by {names}." if counts["held"] else ""
    return f"{m.k} of {m.n} cases that could be turned were turned {within}.{left}{kept}{unsure}"


def _curve(
    bundle: Bundle,
    cell: Mapping[str, Any],
    keys: Sequence[str],
    at: Mapping[tuple[str, float | None], Measure],
    measures: Sequence[Measure],
    shield: Shield,
) -> dict[str, Any]:
    clean = {m.key: m for m in measures if not m.cell and m.group == "all" and m.line is None}
    controls = [c for c in bundle.plan["cells"] if c["aim"] == "sample" and same_rules(c, cell)]
    draws = [
        number(m)
        for m in measures
        if m.key == "draw_flip_share" and m.cell in {c["name"] for c in controls} and m.value is not None
    ]
    # Draws of a larger budget would squeeze the curve; they stand in words below it.
    beside = [d for d in draws if d["radius"] <= cell["radii"][-1]]
    panels: list[dict[str, Any]] = []
    for key in keys:
        points = [number(clean[key])] if key in clean else []
        points += [number(at[key, r]) for r in cell["radii"] if (key, r) in at]
        limits = [
            {
                "value": c["at_least"] if c["at_least"] is not None else c["at_most"],
                "rule": "at least" if c["at_least"] is not None else "at most",
                "radius": c["radius"],
                "name": shield.text(c["name"]),
            }
            for c in bundle.plan["criteria"]
            if (c["measure"], c["cell"], c["group"]) == (key, cell["name"], "all")
        ]
        panels.append({
            "key": key,
            "title": title(key),
            "points": points,
            "limits": limits,
            # Draws are counted over cases that were right, whatever their label, so they stand beside accuracy only.
            "control": beside if key == "accuracy" else [],
        })  # fmt: skip
    sizes = {p["n"] for panel in panels if panel["key"] == "accuracy" for p in panel["points"]}
    return {
        "cell": cell["name"],
        "unit": UNITS.get(cell["unit"], ("", cell["unit"].replace("_", " ")))[1],
        "largest": cell["radii"][-1],
        "beyond": [d for d in draws if d not in beside],
        "panels": panels,
        "controls": [c["name"] for c in controls] if draws else [],
        "mixed": len(sizes) > 1,
    }


def forests(plan: Mapping[str, Any], measures: Sequence[Measure]) -> list[dict[str, Any]]:
    """Accuracy by subgroup, unchanged and under attack, one comparison a cell that has subgroups."""
    by_group: dict[tuple[str, float | None], dict[str, Measure]] = {}
    for m in measures:
        if m.key == "accuracy":
            by_group.setdefault((m.cell, m.radius), {})[m.group] = m
    clean = by_group.get(("", None), {})
    out = []
    for c in plan["cells"]:
        radius = _shown_radius(plan, c)
        rows = by_group.get((c["name"], radius), {})
        if len(rows) < 2:
            continue
        out.append({
            "cell": c["name"],
            "radius": radius,
            "budget": amount(radius, c["unit"]),
            "all_budgets": listed([plain_number(r) for r in c["radii"]]),
            "rows": [
                {
                    "group": g,
                    "name": group_name(g),
                    "before": number(clean[g]) if g in clean else None,
                    "after": number(rows[g]),
                }
                for g in sorted(rows, key=_group_order)
            ],
        })  # fmt: skip
    return out


def _shown_radius(plan: Mapping[str, Any], cell: Mapping[str, Any]) -> float:
    """The radius that a criterion names, else the lower middle one: at the largest one everything may be lost."""
    named = [c["radius"] for c in plan["criteria"] if c["cell"] == cell["name"] and c["radius"] in cell["radii"]]
    radius: float = named[0] if named else cell["radii"][(len(cell["radii"]) - 1) // 2]
    return radius


def _group_order(group: str) -> tuple[int, str]:
    return ({"all": 0, "truth=clear": 1, "truth=borderline": 2}.get(group, 3), group)
