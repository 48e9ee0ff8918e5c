"""How often and by which route: BID is "twice a day" is "2/day", PO is "by mouth" is "oral"."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from nocere.clinical.notes.model import QuantityKind
from nocere.clinical.notes.numerals import plain
from nocere.clinical.notes.words import Trie, words

_SAID: dict[QuantityKind, dict[str, str]] = {
    "frequency": {
        "1/day": "qd|q.d.|q day|daily|once daily|once a day|once per day|every day|each day",
        "2/day": "bid|b.i.d.|b.i.d|twice daily|twice a day|twice per day|twice each day|twice every day",
        "3/day": "tid|t.i.d.|t.i.d|thrice daily|thrice a day",
        "4/day": "qid|q.i.d.|q.i.d",
        "1/week": "weekly|once weekly|once a week|once per week|every week|each week|qweek|qwk",
        "2/week": "twice weekly|twice a week|twice per week",
        "1/month": "monthly|once monthly|once a month|once per month|every month|each month|qmonth",
        "2/month": "twice monthly|twice a month",
        "1/year": "yearly|annually|once a year|once yearly|every year|each year",
        "q2d": "qod|q.o.d.|every other day|every second day|on alternate days",
        "q2week": "every other week",
        "q1h": "hourly|every hour|qh|q.h.",
        "bedtime": "qhs|q.h.s.|at bedtime|every night at bedtime|nightly at bedtime|at hour of sleep",
        "night": "nightly|every night|each night|qnight",
        "morning": "qam|q.a.m.|every morning|each morning",
        "evening": "qpm|q.p.m.|every evening|each evening",
        "noon": "every noon",
        "prn": "prn|p.r.n.|as needed|as required|as necessary|when needed|when required",
        "stat": "stat|immediately",
        "before meals": "before meals|before each meal|ante cibum",
        "after meals": "after meals|after each meal",
        "with meals": "with meals|with each meal",
    },
    "route": {
        "oral": "po|p.o.|by mouth|orally|per os",
        "nothing by mouth": "npo|n.p.o.|nothing by mouth",
        "intravenous": "IV|i.v.|intravenous|intravenously",
        "intramuscular": "IM|i.m.|intramuscular|intramuscularly",
        "subcutaneous": "SC|SQ|SubQ|subcut|s.c.|s.q.|subcutaneous|subcutaneously",
        "sublingual": "SL|s.l.|sublingual|sublingually|under the tongue",
        "rectal": "PR|p.r.|per rectum|rectally",
        "vaginal": "PV|per vagina|vaginally",
        "topical": "topically|topical",
        "inhaled": "inhaled|by inhalation|via inhalation",
        "nebulized": "nebulized|by nebulizer|via nebulizer|per nebulizer",
        "nasal": "intranasal|intranasally",
        "transdermal": "transdermal|transdermally",
        "intrathecal": "intrathecal|intrathecally",
        "intradermal": "intradermal|intradermally",
        "nasogastric": "per NG tube|via NG tube|through NG tube",
        "gastrostomy": "per G tube|via G tube|per PEG tube|via PEG tube",
    },
    "time": {"12:00": "noon|at noon", "00:00": "midnight"},
}
_SIZES = {"min": "min", "minute": "min", "h": "h", "hr": "h", "hour": "h", "d": "d", "day": "d"}
_SIZES |= {"wk": "week", "week": "week", "mo": "month", "month": "month"}
_SIZE = r"(minutes?|mins?|hours?|hrs?|h|days?|d|weeks?|wks?|months?|mos?)"
_N = (
    r"(\d+|one|two|three|four|five|six|seven|eight|nine|ten|twelve|twenty-four)"
    r"(?:(?:\s?[-–]\s?|\s(?:to|or)\s)(\d+|one|two|three|four|five|six|eight|twelve))?"
)
_USUAL = {"q1d": "1/day", "q1week": "1/week", "q1month": "1/month"}
_EVERY = re.compile(rf"(?:q\.?\s?|every\s+|each\s+){_N}\.?[\s-]?{_SIZE}(?![^\W_])\.?", re.I)
_TIMES = re.compile(
    rf"{_N}(?:\s?x\s?|\s+times\s+)(?:(?:a|per|each|every)\s+|/\s?)?(day|daily|d|week|weekly|wk|month|monthly|night|nightly)\b",
    re.I,
)
_EACH = {"day": "day", "daily": "day", "d": "day", "week": "week", "weekly": "week", "wk": "week", "mo": "month"}
_EACH |= {"month": "month", "monthly": "month", "night": "night", "nightly": "night", "year": "year"}
_RATE = re.compile(r"\s?/\s?(day|d|week|wk|month|mo|year)\b|\s+(?:a|per)\s+(day|week|month|year)\b", re.I)


class Said(NamedTuple):
    """A fixed wording of a frequency, a route or a time; `cased` as it must be written, "" where case is free."""

    kind: QuantityKind
    value: str
    cased: str


@cache
def said() -> Trie[Said]:
    """Fixed wordings of frequencies, routes and times."""
    trie: Trie[Said] = Trie()
    for kind, of in _SAID.items():
        for value, forms in of.items():
            for form in forms.split("|"):
                trie.add(words(form).keys, Said(kind, value, form if form.isupper() else ""))
    return trie


def every(text: str, at: int) -> tuple[str, int] | None:
    """An interval with a number ("q6h", "every 4 to 6 hours") and where it ends."""
    match = _EVERY.match(text, at)
    if not match:
        return None
    size = _SIZES[match[3].lower().rstrip("s") if len(match[3]) > 1 else match[3].lower()]
    n = plain(match[1]) + (f"-{plain(match[2])}" if match[2] else "")
    value = f"q{n}{size}"
    return _USUAL.get(value, value), match.end() - (match.group()[-1] == "." and closes(text, match.end()))


def times(text: str, at: int) -> tuple[str, int] | None:
    """A count a day ("3 times daily", "2x/week") and where it ends."""
    match = _TIMES.match(text, at)
    if not match:
        return None
    n = plain(match[1]) + (f"-{plain(match[2])}" if match[2] else "")
    return f"{n}/{_EACH[match[3].lower()]}", match.end()


def rate(text: str, at: int) -> tuple[str, int, int] | None:
    """What follows an amount ("/day", " per week", " a day"): frequency, where it begins and where it ends."""
    match = _RATE.match(text, at)
    if not match:
        return None
    begins = match.start() + len(match.group()) - len(match.group().lstrip())
    return f"1/{_EACH[(match[1] or match[2]).lower()]}", begins, match.end()


def closes(text: str, at: int) -> bool:
    """Whether a full stop before a place also ends the sentence."""
    rest = text[at : at + 8].lstrip(" \t")
    return not rest or rest[0] in "\r\n" or rest[0].isupper()
