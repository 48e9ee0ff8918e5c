"""Headings of a note and what they say of everything under them (data/sections.tsv)."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from nocere.clinical.notes.forms import fold
from nocere.clinical.notes.model import Section

_NAME = r"([A-Za-z][A-Za-z/&’'()\-]*(?:[ \t]+[A-Za-z/&’'()\-]+){0,7})"
_HEADING = re.compile(
    rf"^[ \t]*(?:[#*•\-]+[ \t]*|\d{{1,2}}[.)][ \t]*)?{_NAME}[ \t*]*(?:(:)|$)|(?<=[.,;!?])[ \t,]*{_NAME}[ \t]*(:)",
    re.MULTILINE,
)
_BLANK = re.compile(r"[\s\-‐‑]+")
LEAST = 6
"""Letters of a heading in capitals that is not in the table; fewer may be an abbreviation in the text."""


@cache
def _table() -> dict[str, tuple[str, str]]:
    rows = files("nocere.clinical.notes").joinpath("data/sections.tsv").read_text(encoding="utf-8").splitlines()[1:]
    return {heading: (kind, reading) for heading, kind, reading in (row.split("\t") for row in rows)}


def sections(text: str) -> list[Section]:
    """Headings with what stands under them, in order; a part without heading comes first where there is one.

    A heading of the table is known by a colon, or by a line of its own that begins with a capital. Another one is known
    by capitals, and its kind is its own words.
    """
    found: list[Section] = []
    kind, start, body = "", 0, 0
    for match in _HEADING.finditer(text):
        name = match[1] or match[3]
        known = _kind(name, colon=bool(match[2] or match[4]))
        if not known:
            continue
        at = match.start(1) if match[1] else match.start(3)
        if found or kind or text[:at].strip():
            found.append(Section(start, at, kind, body))
        kind, start, body = known, at, match.end()
    found.append(Section(start, len(text), kind, body))
    return found


def reading(kind: str) -> str:
    """What a heading says of mentions under it: "", "historical", "family", "hypothetical" or "possible"."""
    return _readings().get(kind, "")


@cache
def _readings() -> dict[str, str]:
    return {kind: what for kind, what in _table().values() if what}


def _kind(name: str, colon: bool) -> str:
    folded = " ".join(fold(w) for w in _BLANK.split(name))
    row = _table().get(folded)
    if row:
        return row[0] if colon or (name[0].isupper() and len(name) > 3) else ""
    if name.isupper() and sum(map(str.isalpha, name)) >= LEAST and (colon or " " in name):
        return folded
    return ""
