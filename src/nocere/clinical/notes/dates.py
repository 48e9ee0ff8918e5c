"""Dates and times of day in a note, as ISO 8601 as far as they are stated. Slashed dates are read month first."""

from __future__ import annotations

import re

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
]
_MONTH = "|".join(f"{m}|{m[:3]}" if m != "september" else "september|sept|sep" for m in _MONTHS)
_SUFFIX = r"(?:st|nd|rd|th)?"
_ISO = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})(?![\w-])")
_SLASHED = re.compile(r"(\d{1,2})([/-])(\d{1,2})\2(\d{4}|(?<=/)\d{2})(?![\w/])")
_DAY_FIRST = re.compile(rf"(\d{{1,2}}){_SUFFIX}[\s-]+(?:of\s+)?({_MONTH})\b\.?(?:,?[\s-]+(\d{{4}})\b)?", re.I)
_NAMED = re.compile(
    rf"({_MONTH})\b\.?\s+(?:(\d{{1,2}}){_SUFFIX}(?![\w/.]|:\d)(?:,?\s+(\d{{4}})\b)?|(?:of\s+)?(\d{{4}})\b)", re.I
)
_CLOCK = re.compile(r"(\d{1,2})(?::(\d{2}))?(?::(\d{2}))?\s?([ap])(?:\.m\.|\.?m\b)", re.I)
_COLON = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?(?![\w:])")
_MILITARY = re.compile(r"([01]\d|2[0-3])([0-5]\d)\s(?:hours|hrs|h)\b")
_YEAR = re.compile(r"(?:19|20)\d\d(?![\w/%])(?![.,-]\d)")


def date(text: str, at: int) -> tuple[str, int] | None:
    """The date that begins at a digit or at the name of a month, and where it ends.

    A year of two digits stays one ("24-03-05"); a date without year begins with two hyphens.
    """
    if match := _ISO.match(text, at):
        return _day(match[1], int(match[2]), int(match[3]), match.end())
    if match := _SLASHED.match(text, at):
        first, second = int(match[1]), int(match[3])
        if first > 12 >= second:
            first, second = second, first
        return _day(match[4], first, second, match.end())
    if match := _DAY_FIRST.match(text, at):
        return _day(match[3] or "-", _month(match[2]), int(match[1]), match.end())
    if (match := _NAMED.match(text, at)) and match[1][0].isupper():
        month = _month(match[1])
        if match[4]:
            return f"{match[4]}-{month:02}", match.end()
        return _day(match[3] or "-", month, int(match[2]), match.end())
    return None


def year(text: str, at: int) -> tuple[str, int] | None:
    """A year of four digits and where it ends."""
    match = _YEAR.match(text, at)
    return (match.group(), match.end()) if match else None


def time(text: str, at: int) -> tuple[str, int] | None:
    """The time of day that begins at a digit, in 24 hours, and where it ends; 8:00 without am or pm stays "8:00"."""
    if match := _CLOCK.match(text, at):
        hour = int(match[1])
        if 1 <= hour <= 12:
            hour = hour % 12 + (12 if match[4] in "pP" else 0)
            return f"{hour:02}:{match[2] or '00'}" + (f":{match[3]}" if match[3] else ""), match.end()
    if match := _COLON.match(text, at):
        return match.group(), match.end()
    if match := _MILITARY.match(text, at):
        return f"{match[1]}:{match[2]}", match.end()
    return None


def _month(name: str) -> int:
    return next(i for i, m in enumerate(_MONTHS, 1) if m.startswith(name.lower()[:3]))


def _day(year: str, month: int, day: int, end: int) -> tuple[str, int] | None:
    return (f"{year}-{month:02}-{day:02}", end) if 1 <= month <= 12 and 1 <= day <= 31 else None
