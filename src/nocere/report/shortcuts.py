"""The shortcuts page: what can be told of the label without a look at a lesion, and what a model tells then.

It shows what a probe holds (`scenarios.shortcuts`) and computes no number.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from nocere.core.files import write_atomic
from nocere.report import svg
from nocere.report.html import page_environment, style
from nocere.report.words import listed, percent

SIGHTS = {
    "thumbnail 16 x 16": "the picture, shrunk to 256 mean colours",
    "thumbnail 8 x 8": "the picture, shrunk to 64 mean colours",
    "colours": "mean, spread and histogram of each colour; no place",
    "border": "the four edges",
    "corners": "the four corners, where marks are burned in",
    "file": "size, form and quantisation tables of the file; no pixel",
}
MODELS = {"linear": "logistic regression", "forest": "forest of 100 trees"}
COVERS = {
    "whole": "as it is",
    "without centre": "its centre covered",
    "only centre": "everything but its centre covered",
    "without mask": "what the reader marked covered",
}
MARKS = {"linear": ("circle", svg.BLUE), "forest": ("square", svg.ORANGE)}
WIDTH, LEFT, RIGHT, ROW = 620.0, 220.0, 590.0, 30.0


def render_shortcuts(found: Mapping[str, Any]) -> str:
    """One self-contained page of a probe, as `shortcuts.json` holds it."""
    page = {
        **found,
        "words": SIGHTS,
        "models": MODELS,
        "covers": COVERS,
        "chart": _forest(found),
        "telling": [s["sight"] for s in found["sights"] if s["found"] and s["without_lesion"]],
        "coarse": [s["sight"] for s in found["sights"] if s["found"] and not s["without_lesion"]],
    }
    template = page_environment().get_template("shortcuts.html.j2")
    return template.render(v=page, area=area, share=share, left=left, listed=listed, **style())


def write_shortcuts(found: Mapping[str, Any], folder: str | Path) -> Path:
    """Write `shortcuts.html` into a folder; returns its path.

    Raises:
        WriteError: the folder cannot be written.
    """
    path = Path(folder) / "shortcuts.html"
    write_atomic(path, render_shortcuts(found).encode())
    return path


def summary(found: Mapping[str, Any]) -> list[str]:
    """The main figures in words."""
    lines = [
        f"{found['n']} pictures of {found['patients']} patients, {found['positive']} of them {found['label']}. "
        f"AUROC without a look at detail:"
    ]
    for s in found["sights"]:
        told = "; ".join(f"{m['model']} {area(m)}" for m in s["models"])
        lines.append(f"  {s['sight']}: {told}{', tells the label' if s['found'] else ''}")
    for c in (found["target"] or {"covers": []})["covers"]:
        kept = f", {left(c['left'])} of the AUROC above chance left" if c["left"] else ""
        lines.append(f"  {found['target']['name']}, the picture {COVERS[c['cover']]}: {area(c['auroc'])}{kept}")
    return lines


def area(e: Mapping[str, Any]) -> str:
    """An AUROC with its interval."""
    return f"{e['value']:.3f} ({e['low']:.3f} to {e['high']:.3f})"


def share(e: Mapping[str, Any]) -> str:
    """A share in per cent with its interval and counts."""
    return f"{percent(e['value'])} % ({percent(e['low'])} to {percent(e['high'])}; {e['k']} of {e['n']})"


def left(e: Mapping[str, Any] | None) -> str:
    """What is left of the AUROC above chance; below 0 where the order is turned round."""
    if e is None:
        return "-"
    return f"{100 * e['value']:.0f} % ({100 * e['low']:.0f} to {100 * e['high']:.0f})"


def _forest(found: Mapping[str, Any]) -> Any:
    """AUROC of every sight, and the target's as a line."""
    rows = found["sights"]
    height = 34 + ROW * len(rows) + 26
    bottom = height - 26
    # Cross-validated models may well fall below chance.
    low: float = min([0.4, *(m["low"] for s in rows for m in s["models"])])

    def x(value: float) -> float:
        return LEFT + (RIGHT - LEFT) * (value - low) / (1.0 - low)

    parts = []
    for tick in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0):
        parts.append(svg.line(x(tick), 26, x(tick), bottom, stroke=svg.RULE, width=1.4 if tick == 0.5 else 0.7))
        parts.append(svg.text(x(tick), bottom + 16, f"{tick:.1f}", size=11, anchor="middle"))
    whole = next((c for c in (found["target"] or {"covers": []})["covers"] if c["cover"] == "whole"), None)
    if whole is not None:
        at = x(whole["auroc"]["value"])
        parts.append(svg.line(at, 26, at, bottom, stroke=svg.GREEN, width=1.5, dash="5 3"))
        parts.append(svg.text(at, 18, "the model", size=11, anchor="middle", fill=svg.GREEN))
    for i, s in enumerate(rows):
        y = 42 + ROW * i
        parts.append(svg.text(LEFT - 12, y + 8, s["sight"], size=12, anchor="end", bold=s["found"]))
        for j, m in enumerate(s["models"]):
            shape, colour = MARKS[m["model"]]
            parts.append(svg.line(x(m["low"]), y + 10 * j, x(m["high"]), y + 10 * j, stroke=colour, width=2))
            parts.append(svg.mark(shape, x(m["value"]), y + 10 * j, colour=colour))
    told = "; ".join(f"{s['sight']}, {m['model']}: {area(m)}" for s in rows for m in s["models"])
    drawing = svg.figure("sights", WIDTH, height, "AUROC of simple models, with 95 % intervals", told, parts)
    return Markup(drawing)  # noqa: S704
