"""Numbers as they are written: digits, words, fractions, ranges and bounds, each as one canonical value."""

from __future__ import annotations

import re

_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
WORDS = frozenset((*_ONES, *_TENS))
_ONE = "|".join(_ONES[1:10])
_WORD = rf"(?:(?:{'|'.join(_TENS)})(?:[\s-](?:{_ONE}))?|{'|'.join(reversed(_ONES))})(?:\s(?:hundred|thousand))?\b"
_DIGITS = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)|\d+(?:\.\d+)?|\.\d+"
_ONE_NUMBER = rf"{_DIGITS}|(?i:{_WORD})"
_BOUND = re.compile(r"(?:<=|>=|[<>≤≥~])\s*|(?:less|fewer|greater|more)\sthan\s|at\sleast\s|up\sto\s|at\smost\s", re.I)
_BOUNDS = {"≤": "<=", "≥": ">=", "less than": "<", "fewer than": "<", "greater than": ">", "more than": ">"}
_BOUNDS |= {"at least": ">=", "up to": "<=", "at most": "<="}
_NUMBER = re.compile(_ONE_NUMBER)
_HALF = re.compile(
    rf"(?:(?P<whole>{_ONE_NUMBER})\sand\s(?:a|one)[\s-]half|(?:one[\s-])?half(?:\s+of)?(?:\s+an?)?)(?=\s)", re.I
)
_MIXED = re.compile(r"(\d+)[\s-]([13])/([248])(?![\d/])")
_OVER = re.compile(rf"(?:\s?/\s?|\s+out\s+of\s+)({_ONE_NUMBER})(?![\d/])")
_UP_TO = re.compile(rf"\s?[-–]\s?({_ONE_NUMBER})|\s(?:to|or)\s({_ONE_NUMBER})")
_BY = re.compile(rf"\s?[x×]\s?({_DIGITS})|\sby\s({_DIGITS})")
_SAID = {w: i for i, w in enumerate(_ONES)} | _TENS


def bound(text: str, at: int) -> tuple[str, int] | None:
    """A bound before a number ("less than", ">="): its sign, and where the number may begin."""
    match = _BOUND.match(text, at)
    if not match:
        return None
    said = " ".join(match.group().lower().split())
    return _BOUNDS.get(said, said), match.end()


def number(text: str, at: int) -> tuple[str, int, bool] | None:
    """The number, range, ratio or product that begins at a digit or a word: (value, end, whether it is a ratio)."""
    if match := _HALF.match(text, at):
        return (f"{plain(match['whole'])}.5" if match["whole"] else "0.5"), match.end(), False
    if match := _MIXED.match(text, at):
        return _decimal(float(match[1]) + int(match[2]) / int(match[3])), match.end(), False
    match = _NUMBER.match(text, at)
    if not match:
        return None
    value, end = plain(match.group()), match.end()
    if over := _OVER.match(text, end):
        return f"{value}/{plain(over[1])}", over.end(), True
    dimensions = False
    while by := _BY.match(text, end):
        value, end, dimensions = f"{value}x{plain(by[1] or by[2])}", by.end(), True
    # "from 5 to 10 mg" tells of a change.
    ranged = not dimensions and not text[max(0, at - 5) : at].lower().endswith("from ")
    if ranged and (up := _UP_TO.match(text, end)):
        value, end = f"{value}-{plain(up[1] or up[2])}", up.end()
    return value, end, False


def plain(written: str) -> str:
    """One number as digits: "1,000" is 1000, ".5" is 0.5, "5.0" is 5, "twenty-five" is 25."""
    if written[0].isdigit() or written[0] == ".":
        whole, _, part = written.replace(",", "").partition(".")
        whole, part = whole.lstrip("0") or "0", part.rstrip("0")
        return f"{whole}.{part}" if part else whole
    total = 0
    for word in re.split(r"[\s-]+", written.lower()):
        total = total * 100 if word == "hundred" else total * 1000 if word == "thousand" else total + _SAID[word]
    return str(total)


def fraction(value: str) -> str:
    """A ratio as a decimal number where it is a fraction that tablets come in ("1/2" is 0.5)."""
    return {"1/2": "0.5", "1/4": "0.25", "3/4": "0.75"}.get(value, value)


def _decimal(value: float) -> str:
    return f"{value:g}"
