"""Where sentences of a note begin and end: full stops, line breaks, and lists of short lines."""

from __future__ import annotations

import re
from collections.abc import Sequence

from nocere.clinical.notes.model import Span

_END = re.compile(r"[.!?]+[\"'’”)\]]*(?=\s|,|$)|\n")
_TITLES = frozenset(
    (
        "dr", "mr", "mrs", "ms", "prof", "st", "vs", "e.g", "i.e", "cf", "approx",
    )
)  # fmt: skip
_SHORT = frozenset(
    (
        "temp", "resp", "wt", "ht", "lt", "rt", "tab", "tabs", "cap", "caps", "mg", "ml", "hr", "hrs", "min",
        "mins", "wk", "wks", "mo", "mos", "yr", "yrs", "sec", "hx", "dx", "rx", "tx", "pt", "pts", "est", "ave",
        "dept", "inc", "ext", "abd",
    )
)  # fmt: skip
_DOTTED = re.compile(r"(?:[a-z]\.)+[a-z]")
_APART = re.compile(r"[\s(,;:]")
_NUMBERED = re.compile(r"[\s,]*\(?\d{1,2}")
_ITEM = re.compile(r"[-•*·–]|\(?\d{1,2}[.)]\s|[A-Z][^\n.]{0,40}:")
_TRIM = " \t\r\n,•*·"
LONGEST = 16
"""Characters before a full stop in which an abbreviation is looked for."""
WRAPPED = 55
"""Characters of a line from which a capital on the next one may continue its sentence."""


def sentences(text: str, headings: Sequence[int] = ()) -> list[Span]:
    """Sentences in order, without the blanks and bullets around them; together they hold every word.

    One also begins at each of `headings` (places in the text, in order).
    """
    found: list[Span] = []
    start = line = 0
    coming = 0
    for match in _END.finditer(text):
        at, end = match.span()
        while coming < len(headings) and headings[coming] <= at:
            if headings[coming] > start:
                _keep(found, text, start, headings[coming])
                start = headings[coming]
            coming += 1
        if text[at] == "\n":
            ends = _breaks(text, line, at, end)
            line = end
        else:
            ends = text[at] != "." or _stops(text, start, at, end)
        if ends:
            _keep(found, text, start, end)
            start = end
    for heading in headings[coming:]:
        if heading > start:
            _keep(found, text, start, heading)
            start = heading
    _keep(found, text, start, len(text))
    return found


def _keep(found: list[Span], text: str, start: int, end: int) -> None:
    part = text[start:end]
    inner = part.lstrip(_TRIM)
    start += len(part) - len(inner)
    end = start + len(inner.rstrip(_TRIM))
    if end > start:
        found.append(Span(start, end))


def _stops(text: str, start: int, at: int, end: int) -> bool:
    """Whether a full stop ends the sentence."""
    word = _APART.split(text[max(start, at - LONGEST) : at])[-1].casefold()
    rest = text[end : end + 8].lstrip()
    if end < len(text) and text[end] == ",":  # lines of a list, joined by commas
        return rest[1:].lstrip()[:1].isupper() or rest[1:].lstrip()[:1].isdigit()
    if word in _TITLES:
        return False
    if word in ("no", "fig") and rest[:1].isdigit():
        return False
    if word.isdigit():  # the number of a list
        return not _NUMBERED.fullmatch(text, start, at)
    if word in _SHORT or len(word) == 1 or _DOTTED.fullmatch(word):
        return not rest or rest[0].isupper()
    return True


def _breaks(text: str, line: int, at: int, end: int) -> bool:
    """Whether a line break ends the sentence."""
    following = text[end:].lstrip(" \t") if len(text) - end < 64 else text[end : end + 64].lstrip(" \t")
    if not following or following[0] in "\r\n" or text[line:at].rstrip().endswith(":"):
        return True
    if _ITEM.match(following):
        return True
    if following[0].islower():
        return False
    return at - line < WRAPPED
