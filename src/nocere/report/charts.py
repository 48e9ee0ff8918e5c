"""Charts of a report, drawn from the view model: budget curves, subgroup comparison, confidence before and after.

Only scaling to the page happens here; every number is one of the view's. Colour is never alone: series differ in
mark and dash, intervals are drawn, values are written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nocere.report import svg
from nocere.report.words import percent, plain_number

MARKS = {
    "accuracy": ("circle", svg.BLUE),
    "sensitivity": ("square", svg.ORANGE),
    "specificity": ("triangle", svg.GREEN),
}
# Plot area of one panel, in its own units.
LEFT, RIGHT, TOP, BOTTOM, WIDTH, HEIGHT = 42.0, 262.0, 30.0, 170.0, 276.0, 216.0
CLOSE = 17.0  # tick labels nearer than this to another are left out


def panel(name: str, curve: Mapping[str, Any], key: str) -> str:
    """One rate against the budget with its 95 % band, the unchanged cases at 0, controls and the criterion's limit."""
    p = next(x for x in curve["panels"] if x["key"] == key)
    shape, colour = MARKS[key]
    largest = curve["largest"]

    def at(radius: float | None, share: float) -> tuple[float, float]:
        return LEFT + (RIGHT - LEFT) * (radius or 0.0) / largest, BOTTOM - (BOTTOM - TOP) * share

    known = [q for q in p["points"] if q["value"] is not None]
    parts = _frame(p, curve, [q["radius"] for q in p["points"] if q["radius"] is not None])
    bounded = [q for q in known if q["low"] is not None and q["high"] is not None]
    upper = [at(q["radius"], q["high"]) for q in bounded]
    lower = [at(q["radius"], q["low"]) for q in reversed(bounded)]
    if len(bounded) > 1:
        parts.append(svg.band([*upper, *lower], fill=colour))
    parts += [svg.line(*at(q["radius"], q["low"]), *at(q["radius"], q["high"]), stroke=colour) for q in bounded]
    for limit in p["limits"]:
        y = at(0, limit["value"])[1]
        parts.append(svg.line(LEFT, y, RIGHT, y, stroke=svg.INK, width=1.3, dash="5 3"))
        words = f"{limit['rule']} {percent(limit['value'])} %"
        parts.append(svg.text(RIGHT, y - 4, words, size=10, anchor="end"))
        if limit["radius"] is not None:
            x = at(limit["radius"], 0)[0]
            parts.append(svg.line(x, y - 6, x, y + 6, stroke=svg.INK, width=1.6))
    control = sorted((c for c in p["control"] if c["radius"] is not None), key=lambda c: c["radius"])
    kept = [at(c["radius"], 1.0 - c["value"]) for c in control]
    if len(kept) > 1:
        parts.append(svg.path(kept, stroke=svg.GREY, width=1.2, dash="2 3"))
    parts += [svg.mark("diamond", x, y, colour=svg.GREY, hollow=True, size=4.5) for x, y in kept]
    if known:
        parts.append(svg.path([at(q["radius"], q["value"]) for q in known], stroke=colour))
    for q in known:
        x, y = at(q["radius"], q["value"])
        parts.append(svg.mark(shape, x, y, colour=colour, hollow=q["radius"] is None))
    told = "; ".join(f"{'unchanged' if q['radius'] is None else q['budget']}: {q['text']}" for q in p["points"])
    if control:
        told += "; random control: " + "; ".join(f"{c['budget']}: {c['text']} turned" for c in control)
    return svg.figure(name, WIDTH, HEIGHT, f"{p['title']} against the budget, cell {curve['cell']}", told, parts)


def _frame(p: Mapping[str, Any], curve: Mapping[str, Any], radii: Sequence[float]) -> list[str]:
    parts = [svg.text(LEFT, 14, p["title"], size=13, bold=True)]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = BOTTOM - (BOTTOM - TOP) * share
        parts.append(svg.line(LEFT, y, RIGHT, y, stroke=svg.RULE, width=0.7))
        parts.append(
            svg.text(
                LEFT - 5, y + 4, f"{100 * share:.0f} %" if share in (0, 0.5, 1) else "", anchor="end", fill=svg.SOFT
            )
        )
    parts.append(svg.line(LEFT, BOTTOM, RIGHT, BOTTOM, stroke=svg.SOFT))
    placed: list[float] = []
    # The ends first: they say how far the budget went.
    for radius in dict.fromkeys([0.0, curve["largest"], *sorted(radii, reverse=True)]):
        x = LEFT + (RIGHT - LEFT) * radius / curve["largest"]
        parts.append(svg.line(x, BOTTOM, x, BOTTOM + 4, stroke=svg.SOFT))
        if all(abs(x - other) >= CLOSE for other in placed):
            placed.append(x)
            parts.append(svg.text(x, BOTTOM + 17, plain_number(radius), anchor="middle", fill=svg.SOFT))
    parts.append(svg.text((LEFT + RIGHT) / 2, BOTTOM + 36, f"budget, {curve['unit']}", anchor="middle", fill=svg.SOFT))
    return parts


def forest(name: str, data: Mapping[str, Any]) -> str:
    """Accuracy of every subgroup, unchanged (open circle) and under attack (filled square), with 95 % intervals."""
    left, right, row, top = 12.0, 388.0, 46.0, 26.0
    bottom = top + row * len(data["rows"])

    def at(share: float) -> float:
        return left + (right - left) * share

    parts = [svg.line(at(s), top - 6, at(s), bottom, stroke=svg.RULE, width=0.7) for s in (0, 0.25, 0.5, 0.75, 1.0)]
    for i, r in enumerate(data["rows"]):
        y = top + row * i
        if i == 0:
            # The reference that subgroups are read against.
            for side, dash in (("before", "2 3"), ("after", "5 3")):
                if r[side] and r[side]["value"] is not None:
                    x = at(r[side]["value"])
                    parts.append(svg.line(x, top + 22, x, bottom, stroke=svg.SOFT, width=0.8, dash=dash))
        parts.append(svg.rect(left, y - 3, right - left, 17, fill="#ffffff"))
        parts.append(svg.text(left, y + 10, r["name"], size=12, bold=i == 0))
        parts.append(svg.text(right, y + 10, _change(r), size=12, anchor="end"))
        parts += _whisker(r["before"], at, y + 21, "circle", svg.BLUE, hollow=True)
        parts += _whisker(r["after"], at, y + 32, "square", svg.ORANGE, hollow=False)
    parts += [
        svg.text(
            at(s),
            bottom + 14,
            f"{100 * s:.0f} %",
            anchor="start" if s == 0 else "end" if s == 1 else "middle",
            fill=svg.SOFT,
        )
        for s in (0, 0.5, 1.0)
    ]
    told = "; ".join(f"{r['name']}: {_told(r)}" for r in data["rows"])
    parts.append(svg.mark("circle", left + 5, 9, colour=svg.BLUE, hollow=True))
    parts.append(svg.text(left + 14, 13, "unchanged", fill=svg.SOFT))
    parts.append(svg.mark("square", left + 95, 9, colour=svg.ORANGE))
    parts.append(svg.text(left + 104, 13, f"within {data['budget']}", fill=svg.SOFT))
    title = f"Accuracy by subgroup, unchanged and within {data['budget']}, cell {data['cell']}"
    return svg.figure(name, 400, bottom + 22, title, told, parts)


def _change(row: Mapping[str, Any]) -> str:
    """`86.0 → 24.0 %`."""
    ends = [percent(n["value"]) if n and n["value"] is not None else "–" for n in (row["before"], row["after"])]
    return " → ".join(ends) + " %"


def _told(row: Mapping[str, Any]) -> str:
    before = row["before"]["text"] if row["before"] else "no number"
    return f"unchanged {before}, under attack {row['after']['text']}"


def _whisker(n: Mapping[str, Any] | None, at: Any, y: float, shape: str, colour: str, *, hollow: bool) -> list[str]:
    if n is None or n["value"] is None:
        return []
    parts = []
    if n["low"] is not None and n["high"] is not None:
        parts.append(svg.line(at(n["low"]), y, at(n["high"]), y, stroke=colour, width=1.8))
        parts += [svg.line(at(n[e]), y - 3, at(n[e]), y + 3, stroke=colour, width=1.8) for e in ("low", "high")]
    return [*parts, svg.mark(shape, at(n["value"]), y, colour=colour, hollow=hollow)]


def bars(name: str, rows: Sequence[Mapping[str, Any]], case: str) -> str:
    """The model's confidence in every label, before (pale, outlined) and after (dark)."""
    left, right, row = 44.0, 204.0, 54.0
    parts = []
    for i, r in enumerate(rows):
        y = row * i
        parts.append(svg.text(0, y + 13, r["label"] + (" (the truth)" if r["true"] else ""), size=12, bold=True))
        for side, dy, fill in (("before", 18.0, "#cfe3f1"), ("after", 34.0, svg.ORANGE)):
            width = (right - left) * r[side]
            parts.append(svg.text(left - 6, y + dy + 11, side, anchor="end", fill=svg.SOFT))
            parts.append(svg.rect(left, y + dy, right - left, 13, fill="#f2f2f2"))
            parts.append(
                svg.rect(left, y + dy, width, 13, fill=fill, stroke=svg.INK if side == "before" else svg.ORANGE)
            )
            parts.append(svg.text(right + 6, y + dy + 11, f"{percent(r[side])} %"))
    told = "; ".join(f"{r['label']}: {r['text']}" for r in rows)
    return svg.figure(name, 262, row * len(rows) + 2, f"Confidence before and after, case {case}", told, parts)
