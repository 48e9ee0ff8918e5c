"""The notes report: how far other wordings move a model, swap by swap, with grade, concept, code and evidence.

It shows what a review holds (`scenarios.notes_review`) and computes no number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from nocere.core.files import write_atomic
from nocere.report import svg
from nocere.report.html import page_environment, style
from nocere.report.words import percent

SETS = {
    "surface": ("surface", "spelling, abbreviations, formats (grade A, line 0)"),
    "same-concept": ("same concept", "synonyms of one code as well (A and B, line 2)"),
    "coding-supported": ("coding variants with support", "other codes that the record supports, too (A to C, line 2)"),
    "coding-any": (
        "coding variants, support unknown",
        "other codes of the same umbrella, no support asked for (line 3)",
    ),
    "boilerplate": ("boilerplate added", "sentences that say nothing of the patient (line 2)"),
    "reorder": ("sentences in another order", "within their section, none that refers to another (line 0)"),
}
GRADES = {
    "A": "surface form",
    "B": "same concept",
    "C": "coding variant: a coder would bill it differently",
    "D": "contradiction",
}
CONTROLS = {
    "negation": "finding negated or asserted",
    "dose": "dose or number changed",
    "number": "number changed",
    "side": "side changed",
    "person": "said of another person",
    "certainty": "certainty changed",
}
COLOURS = {"surface": svg.BLUE, "same-concept": svg.GREEN, "coding-supported": svg.ORANGE, "coding-any": svg.ORANGE}
WIDTH, LEFT, RIGHT, ROW = 620.0, 270.0, 590.0, 24.0
BARS, BAR = 260.0, 16.0


def render_notes(found: Mapping[str, Any], *, rewrites: bool = False) -> str:
    """One self-contained page.

    Args:
        found: a review, as `notes.json` holds it.
        rewrites: also show turned notes of a user's own data, word by word; those of phantoms are always shown.
    """
    open_ = rewrites or found["phantom"]
    page = {
        **found,
        "sets": SETS,
        "words": GRADES,
        "kinds": CONTROLS,
        "chart": _forest(found["flips"]),
        "shown": [_example(i, e) for i, e in enumerate(found["examples"])] if open_ else [],
        "withheld": 0 if open_ else len(found["examples"]),
    }
    template = page_environment().get_template("notes.html.j2")
    return template.render(v=page, share=share, marked=marked, **style())


def write_notes(found: Mapping[str, Any], folder: str | Path, *, rewrites: bool = False) -> Path:
    """Write `notes.html` into a folder; returns its path.

    Raises:
        WriteError: the folder cannot be written.
    """
    path = Path(folder) / "notes.html"
    write_atomic(path, render_notes(found, rewrites=rewrites).encode())
    return path


def summary(found: Mapping[str, Any]) -> list[str]:
    """The main figures of a review in words."""
    lines = [f"{found['searched']} of {found['notes']} notes are decided rightly by {found['target']['name']}."]
    for name, (words, _) in SETS.items():
        rows = [r for r in found["flips"] if r["set"] == name]
        if rows:
            r = rows[-1]
            lines.append(
                f"  {words}, up to {r['edits']} edits: turned {share(r['turned'])}, {r['certified']} certified"
            )
    return lines + [
        f"  one phrase for all notes ({p['cell']}): turns {share(p['held_out'])} of held-out notes"
        for p in found["phrases"]
    ]


def share(e: Mapping[str, Any] | None) -> str:
    """A share in per cent with its interval and counts."""
    if e is None:
        return "not measured"
    return f"{percent(e['value'])} % ({percent(e['low'])} to {percent(e['high'])}; {e['k']} of {e['n']})"


def marked(text: str, edits: Sequence[Mapping[str, Any]]) -> Markup:
    """A note with its edits: what was there struck out, what came underlined, the grade beside it."""
    parts, at = [], 0
    for e in sorted(edits, key=lambda e: e["start"]):
        parts.append(escape(text[at : e["start"]]))
        if e["before"]:
            parts.append(Markup("<del>{}</del>").format(e["before"]))
        if e["after"]:
            parts.append(Markup("<ins>{}</ins>").format(e["after"]))
        parts.append(Markup(' <span class="hash">[{}]</span>').format(e["grade"] or "-"))
        at = e["end"]
    parts.append(escape(text[at:]))
    return Markup("").join(parts)


def _example(number: int, e: Mapping[str, Any]) -> dict[str, Any]:
    return {**e, "bars": _bars(f"bars-{number}", e["before"], e["after"])}


def _bars(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Any:
    """Confidence before and after, one bar a label; nothing where the model gives no probabilities."""
    if before["probabilities"] is None or after["probabilities"] is None:
        return ""
    rows = [(f"{when}: {label}", p) for when, a in (("before", before), ("after", after))
            for label, p in zip(a["labels"], a["probabilities"], strict=True)]  # fmt: skip
    parts = []
    for i, (words, p) in enumerate(rows):
        y = 6 + (BAR + 6) * i
        colour = svg.BLUE if words.startswith("before") else svg.ORANGE
        parts.append(svg.text(0, y + 12, words, size=12))
        parts.append(svg.rect(150, y, BARS * p, BAR, fill=colour))
        parts.append(svg.text(156 + BARS * p, y + 12, f"{p:.2f}", size=12))
    told = "; ".join(f"{words} {p:.2f}" for words, p in rows)
    drawing = svg.figure(name, 460, 6 + (BAR + 6) * len(rows), "Confidence before and after", told, parts)
    return Markup(drawing)  # noqa: S704


def _forest(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Share of notes that are turned, by set and number of edits."""
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
        e, colour = r["turned"], COLOURS.get(r["set"], svg.GREY)
        edits = "1 edit" if r["edits"] == 1 else f"up to {r['edits']} edits"
        if i == 0 or drawn[i - 1]["set"] != r["set"]:
            parts.append(svg.text(0, y + 4, _short(r["set"]), size=12, bold=True))
        parts.append(svg.text(LEFT - 12, y + 4, edits, size=12, anchor="end"))
        parts.append(svg.line(x(e["low"]), y, x(e["high"]), y, stroke=colour, width=2))
        parts.append(svg.mark("circle", x(e["value"]), y, colour=colour, hollow=r["set"] == "coding-any"))
    told = "; ".join(f"{_short(r['set'])}, {r['edits']}: {share(r['turned'])}" for r in drawn)
    drawing = svg.figure("turned", WIDTH, height, "Notes that other wordings turn, with 95 % intervals", told, parts)
    return Markup(drawing)  # noqa: S704


def _short(name: str) -> str:
    short = {"coding-supported": "coding, supported", "coding-any": "coding, any", "reorder": "another order"}
    return short.get(name, SETS.get(name, (name,))[0])
