"""Numbers of a note with what they measure, and how often and by which route, in canonical values.

Equal values are the same statement: "5 mg" and "5mg", "twice daily" and "BID", "1,000" and "1000", "March 5, 2024" and
"03/05/2024"; 5 mg and 50 mg, mg and mcg, 1/2 and 2 are not. A vital sign or laboratory value carries its name in the
unit ("heart rate", "glucose mg/dl"), and its usual unit goes without saying.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from nocere.clinical.notes.dates import date, time, year
from nocere.clinical.notes.measures import named, unit
from nocere.clinical.notes.model import Quantity, QuantityKind
from nocere.clinical.notes.numerals import WORDS, bound, fraction, number
from nocere.clinical.notes.schedules import closes, every, rate, said, times
from nocere.clinical.notes.words import Words

_AGE = re.compile(
    r"[\s-]*(?:(years?|yrs?|y|months?|mos?|weeks?|wks?|days?|d)[\s-]*(?:/\s?o\b|old\b|of\s+age\b)|(y\.?o\b\.?|y\.\s?o\.))",
    re.I,
)
_AGES = {"y": "year", "m": "month", "w": "week", "d": "day"}
_GLUED = re.compile(r"[qx]\d")  # q6h, x3
_REST = re.compile(r"[^\W_]+")
_BETWEEN = frozenset(
    (
        "of", "is", "was", "are", "were", "at", "to", "in", "the", "on", "from", "between", "level", "reading", "count",
        "today", "currently", "measured", "elevated", "low", "high", "stable", "around", "about", "approximately",
        "ranging", ":", "=", "(", "~", "<", ">", "≤", "≥",
    )
)  # fmt: skip
_BEFORE_YEAR = frozenset(("in", "since", "of", "from", "during", "until", "by", "year", "early", "late", "mid"))
_A_BEFORE = frozenset(("for", "in", "within", "over", "about", "approximately", "almost", "nearly", "after", "over"))
_A_AFTER = re.compile(r"\s+(?:ago|later|earlier|prior|before)\b", re.I)
_MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "jan",
    "feb",
    "mar",
    "apr",
    "jun",
    "jul",
    "aug",
    "sep",
    "sept",
    "oct",
    "nov",
    "dec",
]
REACH = 3
"""Words that may stand between a name and its number."""


class _Name(NamedTuple):
    """What the next number is a value of, its usual unit, and the word after the name."""

    kind: QuantityKind
    name: str
    usual: str
    after: int


def quantities(text: str, of: Words) -> list[Quantity]:
    """Quantities in order, none overlapping another."""
    found: list[Quantity] = []
    keys, starts, triggers = of.keys, of.starts, _triggers()
    name: _Name | None = None
    done, n = 0, len(keys)
    for i in [
        i for i, k in enumerate(keys) if "0" <= k[0] <= "9" or k in triggers or (k[0] in "qx" and _GLUED.match(k))
    ]:
        if starts[i] < done:
            continue
        key = keys[i]
        if name and (i > name.after + REACH or any(k not in _BETWEEN for k in keys[name.after : i])):
            name = None
        if "0" <= key[0] <= "9":
            new = _amount(text, starts[i], keys[i - 1] if i else "", name)
        elif (heard := named().longest(of, i, n)) and (key != "hr" or text[starts[i]] == "H"):
            name, done = _Name(*heard[1], heard[0]), of.ends[heard[0] - 1]
            continue
        elif key in ("age", "aged"):
            name = _Name("age", "year", "", i + 1)
            continue
        else:
            new = _worded(text, of, i, name)
        if new:
            found.extend(new)
            done = new[-1].end
            name = None
    return found


@cache
def _triggers() -> frozenset[str]:
    """First words of everything that is not a number in digits."""
    fixed = ("every", "each", "q", "half", "a", "an", "x", "age", "aged", "<", ">", "≤", "≥", "~", ".")
    bounds = ("less", "fewer", "greater", "more", "at", "up")
    return frozenset((*fixed, *bounds, *_MONTHS, *WORDS, *said().first, *named().first))


def _worded(text: str, of: Words, i: int, name: _Name | None) -> list[Quantity]:
    """What begins at a word or a mark."""
    key, at = of.keys[i], of.starts[i]
    if hit := said().longest(of, i, len(of.keys)):
        end = of.ends[hit[0] - 1]
        if text[end - 1] == "." and closes(text, end):
            end -= 1
        if hit[1].cased in ("", text[at:end]):
            return [Quantity(at, end, hit[1].kind, hit[1].value)]
    if key[0] == "q" or key in ("every", "each"):
        interval = every(text, at)
        return [Quantity(at, interval[1], "frequency", interval[0])] if interval else []
    if key[0] == "x":
        at += 1 + (text[at + 1 : at + 2] == " ")
        return _amount(text, at, "x", None) if text[at : at + 1].isdigit() else []
    if key in ("a", "an"):
        return _article(text, of, i)
    if key in _MONTHS:
        day = date(text, at)
        return [Quantity(at, day[1], "date", day[0])] if day else []
    if key in WORDS or key == "half":
        new = _amount(text, at, "", name)
        return [] if key == "one" and new and not new[0].unit and new[0].value == "1" else new
    limit = bound(text, at)
    if limit and (new := _amount(text, limit[1], "", name)) and new[0].kind not in ("date", "time", "frequency"):
        first = new[0]
        return [Quantity(at, first.end, first.kind, limit[0] + first.value, first.unit), *new[1:]]
    return []


def _article(text: str, of: Words, i: int) -> list[Quantity]:
    """ "A week ago" and "for an hour" are one week and one hour; "a day" may also mean "per day" and is left."""
    end = of.ends[i]
    size = unit(text, end + 1) if text[end : end + 1] == " " else None
    if not size or size[0] != "duration":
        return []
    if (i and of.keys[i - 1] in _A_BEFORE) or _A_AFTER.match(text, size[2]):
        return [Quantity(of.starts[i], size[2], "duration", "1", size[1])]
    return []


def _amount(text: str, at: int, before: str, name: _Name | None) -> list[Quantity]:
    """A date, time, count a day or number with its unit, and the rate after it."""
    if day := date(text, at):
        return [Quantity(at, day[1], "date", day[0])]
    if clock := time(text, at):
        return [Quantity(at, clock[1], "time", clock[0])]
    if count := times(text, at):
        return [Quantity(at, count[1], "frequency", count[0])]
    start, sign = _start(text, at)
    if start > 1 and text[start - 1] in "-‐‑" and text[start - 2].isalpha() and not name:
        return []  # COVID-19, L-5
    parsed = number(text, start)
    if not parsed:
        return []
    value, end, ratio = parsed
    value = sign + value
    start -= len(sign)
    if age := _AGE.match(text, end):
        return [Quantity(start, age.end(), "age", value, _AGES[(age[1] or "y")[0].lower()])]
    size = unit(text, end + (text[end : end + 1] in (" ", "-", "\u00a0")))
    if size:
        kind, of, end = size
        value = fraction(value) if ratio else value
    else:
        kind, of = "number", ""
        if text[end : end + 1] == "+":
            value, end = value + "+", end + 1
        elif (rest := _REST.match(text, end)) and text[end - 1].isdigit():
            return [Quantity(start, rest.end(), "number", value + rest.group().lower())]
    if name and (not size or kind in ("vital", "lab", "share") or (name.name in ("weight", "height"))):
        kind, of = name.kind, name.name + (f" {of}" if of and of != name.usual else "")
    elif not size and (stated := year(text, start)) and stated[1] == end and before in _BEFORE_YEAR:
        kind = "date"
    elif ratio and of == "mmhg":
        of = "blood pressure"
    found = [Quantity(start, end, kind, value, of)]
    if often := rate(text, end):
        found.append(Quantity(often[1], often[2], "frequency", often[0]))
    return found


def _start(text: str, at: int) -> tuple[int, str]:
    """Where a number whose first digit is at a place begins, and its sign."""
    if at and text[at - 1] == "." and text[at].isdigit() and not text[at - 2 : at - 1].isalnum():
        at -= 1
    signed = at > 1 and text[at - 1] in "-−" and text[at - 2] in " (=:" and text[at].isdigit()
    # A hyphen at the beginning of a line is a bullet.
    return at, "-" if signed and text[: at - 1].rstrip(" \t")[-1:] not in ("", "\n") else ""
