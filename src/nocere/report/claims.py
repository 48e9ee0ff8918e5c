"""The claims report: how far true codes move a payer's model, which rules carry it, and what evidence is worth.

It shows what a review holds (`scenarios.claims_review`) and computes no number.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from nocere.core.files import write_atomic
from nocere.report import svg
from nocere.report.html import page_environment, style
from nocere.report.words import percent

SETS = {
    "truthful": ("true codes", "facts and decided rules license every edit (line 2)"),
    "truthful-wide": ("true codes, undecided prose allowed", "the same, where notes in prose are given the benefit"),
    "no-evidence": ("no evidence asked for", "unsupported refinements and false swaps too (line 3)"),
}
CLASSES = {
    "E0": "written differently",
    "E1": "generalised",
    "E2": "combined or taken apart",
    "E3": "secondary code left out or restored",
    "E4": "refined",
    "E5": "another principal diagnosis (Section II.B, II.C)",
    "E6": "minutes or units within tolerance",
    "X7": "misstated (false swap)",
}
SHORT = {"truthful": "true codes", "truthful-wide": "true or undecided", "no-evidence": "no evidence"}
COLOURS = {"truthful": svg.BLUE, "truthful-wide": svg.GREEN, "no-evidence": svg.ORANGE}
SHAPES = {"truthful": "circle", "truthful-wide": "triangle", "no-evidence": "square"}
WIDTH, LEFT, RIGHT, ROW = 620.0, 250.0, 590.0, 24.0


def render_claims(found: Mapping[str, Any], *, rewrites: bool = False) -> str:
    """One self-contained page.

    Args:
        found: a review, as `claims.json` holds it.
        rewrites: also show turned claims of a user's own data, code by code; those of phantoms are always shown.
    """
    page = {
        **found,
        "sets": SETS,
        "classes": CLASSES,
        "chart": _forest(found["gaming"]),
        "shown": found["examples"] if rewrites or found["phantom"] else [],
        "withheld": len(found["examples"]) if not (rewrites or found["phantom"]) else 0,
    }
    template = page_environment().get_template("claims.html.j2")
    return template.render(v=page, usd=usd, share=share, words=step_words, **style())


def write_claims(found: Mapping[str, Any], folder: str | Path, *, rewrites: bool = False) -> Path:
    """Write `claims.html` into a folder; returns its path.

    Raises:
        WriteError: the folder cannot be written.
    """
    path = Path(folder) / "claims.html"
    write_atomic(path, render_claims(found, rewrites=rewrites).encode())
    return path


def usd(e: Mapping[str, Any] | float | None) -> str:
    """Dollars, with their interval where there is one."""
    if e is None:
        return "not measured"
    if isinstance(e, (int, float)):
        return f"${e:,.0f}"
    if e["low"] is None:
        return f"${e['value']:,.0f} ({e['method']})"
    return f"${e['value']:,.0f} (${e['low']:,.0f} to ${e['high']:,.0f})"


def share(e: Mapping[str, Any] | None) -> str:
    """A share or a difference in per cent, with its interval and counts."""
    if e is None:
        return "not measured"
    counts = f"{e['k']} of {e['n']}" if e["k"] is not None else f"n = {e['n']}"
    return f"{percent(e['value'])} % ({percent(e['low'])} to {percent(e['high'])}; {counts})"


def step_words(step: Mapping[str, Any]) -> str:
    """One edit in words, from its plain form (what is at its default is not there)."""
    gone, come = ", ".join(step.get("remove", ())), ", ".join(step.get("add", ()))
    kind = step.get("edit") or step["class"]
    said = f"{kind} ({CLASSES[kind]}): "
    if gone and come:
        said += f"{gone} becomes {come}"
    elif gone:
        said += f"{gone} left out"
    elif come:
        said += f"{come} {'written twice' if kind == 'E0' else 'restored'}"
    elif step.get("principal"):
        said += f"{step['principal']} goes first"
    elif step.get("line", -1) >= 0:
        minutes = f"{step['minutes']} minutes, " if step.get("minutes") else ""
        said += f"service line {step['line'] + 1} states {minutes}{step['units']:g} units"
    else:
        said += "another order of secondary codes"
    evidence = ", ".join(step.get("evidence", ()))
    return f"{said}; evidence: {evidence}" if evidence else said


def _forest(rows: list[Mapping[str, Any]]) -> Any:
    """Share of contested claims that are turned, by set and number of edits."""
    drawn = [r for r in rows if r["turned"] is not None]
    height = 34 + ROW * len(drawn) + 26
    bottom = height - 26

    def x(value: float) -> float:
        return LEFT + (RIGHT - LEFT) * value

    parts = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(svg.line(x(tick), 26, x(tick), bottom, stroke=svg.RULE, width=0.7))
        parts.append(svg.text(x(tick), bottom + 16, f"{100 * tick:.0f} %", size=11, anchor="middle"))
    for i, r in enumerate(drawn):
        y = 40 + ROW * i
        e, colour = r["turned"], COLOURS[r["set"]]
        edits = "1 edit" if r["edits"] == 1 else f"up to {r['edits']} edits"
        if i == 0 or drawn[i - 1]["set"] != r["set"]:
            parts.append(svg.text(0, y + 4, SHORT[r["set"]], size=12, bold=True))
        parts.append(svg.text(LEFT - 12, y + 4, edits, size=12, anchor="end"))
        parts.append(svg.line(x(e["low"]), y, x(e["high"]), y, stroke=colour, width=2))
        parts.append(svg.mark(SHAPES[r["set"]], x(e["value"]), y, colour=colour))
    told = "; ".join(f"{SETS[r['set']][0]}, {r['edits']}: {share(r['turned'])}" for r in drawn)
    drawing = svg.figure("turned", WIDTH, height, "Contested claims that edits turn, with 95 % intervals", told, parts)
    return Markup(drawing)  # noqa: S704
