"""FHIR narrative (XHTML, https://hl7.org/fhir/R4/narrative.html) as lines of text, and lines written back.

A line is what a reader sees as one: the text between two block elements or line breaks, blanks run together as XHTML
has it; inside of `pre`, the source's own lines.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

BLOCKS = "address|blockquote|br|caption|div|dd|dl|dt|h[1-6]|hr|li|ol|p|pre|table|tbody|td|tfoot|th|thead|tr|ul"
TAG = re.compile(r"<!--.*?-->|<[^>]*>", re.S)
BLOCK = re.compile(rf"</?(?:{BLOCKS})(?=[\s/>])", re.I)
PRE = re.compile(r"<(/?)pre(?=[\s/>])", re.I)
XHTML = "http://www.w3.org/1999/xhtml"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text, and the part of the source that holds it."""

    text: str
    start: int
    end: int


def lines(div: str) -> list[Line]:
    """The lines of a narrative that are not blank, in order."""
    found = []
    for start, end, pre in _runs(div):
        for a, b in _source_lines(div, start, end) if pre else [(start, end)]:
            text = html.unescape(TAG.sub("", div[a:b]))
            text = text if pre else " ".join(text.split())
            if text.strip():
                found.append(Line(text, a, b))
    return found


def replaced(div: str, texts: Sequence[str]) -> str:
    """The narrative with other lines: an unchanged line keeps its source, a changed one loses its inline markup.

    Where the number of lines is another one, paragraphs take the place of all markup.
    """
    old = lines(div)
    if len(old) != len(texts):
        return f'<div xmlns="{XHTML}">{"".join(f"<p>{html.escape(t, quote=False)}</p>" for t in texts)}</div>'
    out, at = [], 0
    for line, text in zip(old, texts, strict=True):
        out += [
            div[at : line.start],
            div[line.start : line.end] if text == line.text else html.escape(text, quote=False),
        ]
        at = line.end
    return "".join([*out, div[at:]])


def _runs(div: str) -> Iterator[tuple[int, int, bool]]:
    """Stretches without a block tag: start, end, and whether they are inside of `pre`."""
    at, pre = 0, 0
    for tag in TAG.finditer(div):
        if BLOCK.match(tag[0]):
            yield at, tag.start(), pre > 0
            at = tag.end()
            inside = PRE.match(tag[0])
            if inside and not tag[0].endswith("/>"):
                pre += -1 if inside[1] else 1
    yield at, len(div), pre > 0


def _source_lines(div: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    at = start
    for part in div[start:end].split("\n"):
        yield at, at + len(part)
        at += len(part) + 1
