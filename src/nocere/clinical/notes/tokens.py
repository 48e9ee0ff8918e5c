"""Words, numbers, dates and marks of a stretch of text, before anything is known of their meaning.

Only ASCII letters and digits, accented Latin-1 letters and a few typographic marks are read. Every other character is a
token of its own that equals nothing but itself, so that a look-alike letter, an invisible character or a combining mark
can never pass as the letter that it resembles.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

TokenKind: TypeAlias = Literal["word", "number", "measure", "date", "mark", "break", "odd"]
Keys: TypeAlias = tuple[str, ...]

MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan", "february feb", "march mar", "april apr", "may", "june jun", "july jul", "august aug",
            "september sept sep", "october oct", "november nov", "december dec",
        ),
        1,
    )
    for name in names.split()
}  # fmt: skip
_MONTH = "(?:" + "|".join(sorted(MONTHS, key=len, reverse=True)) + r")\b\.?"
_TYPOGRAPHY = str.maketrans("\u2018\u2019\u201c\u201d\u2013", "''\"\"-")
_LETTER = "A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u00ff"
_TOKEN = re.compile(
    rf"""
    (?P<iso>(?<![0-9A-Za-z/.-])[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}(?![0-9A-Za-z/-]))
  | (?P<slash>(?<![0-9A-Za-z/.-])[0-9]{{1,2}}/[0-9]{{1,2}}/(?:[0-9]{{4}}|[0-9]{{2}})(?![0-9A-Za-z/-]))
  | (?P<mdy>(?<![0-9A-Za-z])(?i:{_MONTH})[ ][0-9]{{1,2}}(?:st|nd|rd|th)?(?:,[ ]?|[ ])[0-9]{{4}}(?![0-9A-Za-z]))
  | (?P<dmy>(?<![0-9A-Za-z.,/-])[0-9]{{1,2}}(?:st|nd|rd|th)?[ ](?i:{_MONTH}),?[ ][0-9]{{4}}(?![0-9A-Za-z]))
  | (?P<my>(?<![0-9A-Za-z])(?i:{_MONTH}),?[ ][12][0-9]{{3}}(?![0-9A-Za-z]))
  | (?P<md>(?<![0-9A-Za-z])(?i:{_MONTH})[ ][0-9]{{1,2}}(?:st|nd|rd|th)?(?![0-9A-Za-z/.-]))
  | (?P<dots>(?<![0-9A-Za-z])(?:[A-Za-z]\.){{2,}}(?![A-Za-z]))
  | (?P<ordinal>(?<![0-9A-Za-z.,])[0-9]{{1,2}}(?:st|nd|rd|th)(?![0-9A-Za-z]))
  | (?P<number>[0-9]{{1,3}}(?:,[0-9]{{3}})+(?:\.[0-9]+)?(?![0-9])|[0-9]+(?:\.[0-9]+)?|(?<![0-9A-Za-z.])\.[0-9]+)
  | (?P<word>[{_LETTER}]+(?:'[{_LETTER}]+)*)
  | (?P<space>[ \t]+)
  | (?P<break>(?:[ \t]*(?:\r\n|\n))+[ \t]*)
  | (?P<dash>--+|\u2014)
  | (?P<mark>[!-/:-@\[-`{{-~\u00b0\u00b5\u03bc\u00d7])
  | (?P<odd>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_PART = re.compile(r"[0-9]+|[A-Za-z]+")


@dataclass(slots=True)
class Token:
    """A piece of a text: `key` is what it is compared by, `glued` whether it touches the one before.

    `joined` says that a hyphen was dropped before it, `raw` is the text itself (typographic quotes folded).
    """

    start: int
    end: int
    key: str
    kind: TokenKind
    glued: bool
    raw: str
    joined: bool = False


def tokenise(text: str) -> list[Token]:
    """The tokens of a text in order; blanks are dropped, offsets are into the text."""
    folded = text if text.isascii() else text.translate(_TYPOGRAPHY)
    found: list[Token] = []
    glued = False
    for match in _TOKEN.finditer(folded):
        group = match.lastgroup
        if group == "space":
            glued = False
            continue
        raw = match.group()
        start, end = match.span()
        if group in ("iso", "slash", "mdy", "dmy", "my", "md"):
            key = _date(group, raw)
            found.append(Token(start, end, key, "date", glued, raw))
        elif group == "number":
            found.append(Token(start, end, _number(raw, glued, found), "number", glued, raw))
        elif group == "dots":
            found.extend(_dotted(folded, start, end, raw, glued))
        elif group == "ordinal":
            found.append(Token(start, end, raw, "word", glued, raw))
        elif group == "break":
            found.append(Token(start, end, "\n", "break", False, raw))
        elif group == "dash":
            found.append(Token(start, end, "--", "mark", glued, raw))
        else:
            kind: TokenKind = "word" if group == "word" else "odd" if group == "odd" else "mark"
            found.append(Token(start, end, raw, kind, glued, raw))
        glued = group != "break"
    return found


def _number(raw: str, glued: bool, before: list[Token]) -> str:
    """5.0 and 5, .5 and 0.5, 1,000 and 1000 are equal; digits inside a code (M54.50) and leading zeros stay."""
    if glued and before and before[-1].kind in ("word", "odd"):
        return raw
    text = raw.replace(",", "")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
        text = "0" + text if text.startswith(".") else text
    return text or "0"


def _dotted(text: str, start: int, end: int, raw: str, glued: bool) -> list[Token]:
    """p.o. is po; its last full stop also ends the sentence where nothing or a capital follows."""
    word = Token(start, end, raw.replace(".", ""), "word", glued, raw.replace(".", ""))
    rest = text[end:].lstrip(" \t")
    if not rest or rest[0] in "\r\n" or (rest[0].isupper() and rest[1:2].islower()):
        word.end = end - 1
        return [word, Token(end - 1, end, ".", "mark", True, ".")]
    return [word]


def _date(group: str, raw: str) -> str:
    """A key that equals that of another form only where both can mean but one day."""
    parts = [p.lower() for p in _PART.findall(raw) if p.lower() not in ("st", "nd", "rd", "th")]
    if group == "slash":
        first, second, year = int(parts[0]), int(parts[1]), parts[2]
        if len(year) == 4 and first <= 12 < second <= 31:
            return f"{year}-{first:02}-{second:02}"
        if len(year) == 4 and second <= 12 < first <= 31:
            return f"{year}-{second:02}-{first:02}"
        return f"{first}/{second}/{year}"
    if group == "iso":
        return raw
    month = next(MONTHS[p] for p in parts if p in MONTHS)
    numbers = [p for p in parts if p.isdigit()]
    if group == "my":
        return f"{numbers[0]}-{month:02}"
    if group == "md":
        return f"-{month:02}-{int(numbers[0]):02}"
    return f"{numbers[1]}-{month:02}-{int(numbers[0]):02}"
