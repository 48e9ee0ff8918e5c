"""Parts of a chart. Presentation attributes only: a PDF writer may ignore style sheets inside of SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

FONT = "system-ui, -apple-system, 'Segoe UI', 'Liberation Sans', sans-serif"
INK, SOFT, RULE = "#1a1a1a", "#4d4d4d", "#c8c8c8"
# Okabe and Ito's palette, darkened where text needs contrast; every series has its own mark as well.
BLUE, ORANGE, GREEN, GREY = "#0068a5", "#c44e00", "#007a58", "#555555"


def figure(name: str, width: float, height: float, title: str, desc: str, parts: Sequence[str]) -> str:
    """An SVG picture with its words; `name` must be unique on the page."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="{name}-t {name}-d" '
        f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" font-family="{FONT}">'
        f'<title id="{name}-t">{escape(title)}</title><desc id="{name}-d">{escape(desc)}</desc>'
        f"{''.join(parts)}</svg>"
    )


def text(
    x: float, y: float, words: str, *, size: float = 11, anchor: str = "start", fill: str = INK, bold: bool = False
) -> str:
    """Text with its baseline at y."""
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" text-anchor="{anchor}" fill="{fill}"{weight}>'
        f"{escape(words)}</text>"
    )


def line(x1: float, y1: float, x2: float, y2: float, *, stroke: str = INK, width: float = 1, dash: str = "") -> str:
    """A straight line."""
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{stroke}" stroke-width="{width:g}"{dashed}/>'


def path(points: Sequence[tuple[float, float]], *, stroke: str, width: float = 2, dash: str = "") -> str:
    """An open line through points."""
    d = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<polyline points="{d}" fill="none" stroke="{stroke}" stroke-width="{width:g}"{dashed}/>'


def band(points: Sequence[tuple[float, float]], *, fill: str) -> str:
    """A pale closed area."""
    d = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polygon points="{d}" fill="{fill}" fill-opacity="0.18" stroke="none"/>'


def rect(x: float, y: float, width: float, height: float, *, fill: str, stroke: str = "none") -> str:
    """A filled rectangle."""
    box = f'x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height:.1f}"'
    return f'<rect {box} fill="{fill}" stroke="{stroke}"/>'


def mark(shape: str, x: float, y: float, *, colour: str, hollow: bool = False, size: float = 4) -> str:
    """circle, square, triangle or diamond."""
    fill = "#ffffff" if hollow else colour
    common = f'fill="{fill}" stroke="{colour}" stroke-width="1.5"'
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size:g}" {common}/>'
    shapes: dict[str, list[tuple[float, float]]] = {
        "square": [(-1, -1), (1, -1), (1, 1), (-1, 1)],
        "triangle": [(0, -1.2), (1.1, 0.9), (-1.1, 0.9)],
        "diamond": [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)],
    }
    d = " ".join(f"{x + a * size * 0.95:.1f},{y + b * size * 0.95:.1f}" for a, b in shapes[shape])
    return f'<polygon points="{d}" {common}/>'
