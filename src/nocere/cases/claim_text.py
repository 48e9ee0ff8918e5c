"""How files write codes, dates and amounts, and what a claim holds instead: dotted codes, ISO dates, dollars."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from nocere.cases.claim import Claim, System
from nocere.core.canonical import Json
from nocere.core.errors import DataError

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
FORMS = (
    re.compile(r"(?P<y>\d{4})(?P<m>\d\d)(?P<d>\d\d)"),  # CMS public use files, X12 D8
    re.compile(r"(?P<y>\d{4})-(?P<m>\d\d)-(?P<d>\d\d)(?:T.*)?"),  # FHIR
    re.compile(r"(?P<d>\d\d)-(?P<n>[A-Za-z]{3})-(?P<y>\d{4})"),  # CMS research identifiable files
)


@dataclass(frozen=True, slots=True)
class Found:
    """A claim as a file held it: its own id, the claim, and everything else."""

    id: str
    claim: Claim
    header: Mapping[str, Json]


def dotted(code: str, system: System) -> str:
    """A diagnosis code with its dot, in capitals: after the third character, in ICD-9-CM E codes after the fourth."""
    plain = code.strip().replace(".", "").upper()
    head = 4 if system == "ICD-9-CM" and plain.startswith("E") else 3
    return f"{plain[:head]}.{plain[head:]}" if len(plain) > head else plain


def procedure(code: str, system: System) -> str:
    """A procedure code in capitals: ICD-10-PCS has no dot, ICD-9-CM volume 3 one after the second digit."""
    plain = code.strip().replace(".", "").upper()
    return f"{plain[:2]}.{plain[2:]}" if system == "ICD-9-CM" and plain.isdecimal() and len(plain) > 2 else plain


def day(text: str, where: str) -> date:
    """A date as CMS files, X12 and FHIR write it.

    Raises:
        DataError: none of these forms, or no such day.
    """
    for form in FORMS:
        found = form.fullmatch(text.strip())
        if found is None:
            continue
        part = found.groupdict()
        try:
            month = MONTHS.index(part["n"].upper()) + 1 if "n" in part else int(part["m"])
            return date(int(part["y"]), month, int(part["d"]))
        except ValueError:
            break
    raise DataError(f"{where}: {text!r} is not a date.")


def fiscal_year(when: date) -> int:
    """The year of the code set that holds on this day: it changes on 1 October (45 CFR 162.1002)."""
    return when.year + (when.month >= 10)


def age_on(born: date, when: date, where: str) -> int:
    """Whole years from birth to a day.

    Raises:
        DataError: born after that day.
    """
    if born > when:
        raise DataError(f"{where}: its patient is born on {born}, after the care on {when}.")
    return when.year - born.year - ((when.month, when.day) < (born.month, born.day))


def amount(text: str, where: str, what: str) -> float:
    """Dollars or units; empty is 0.

    Raises:
        DataError: not a finite number.
    """
    try:
        value = float(text) if text.strip() else 0.0
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{where}: {what} must be a number; got {text!r}.")
    return value


def whole(text: str, where: str, what: str) -> int:
    """A whole number; empty is 0.

    Raises:
        DataError: anything else.
    """
    value = amount(text, where, what)
    if value != int(value):
        raise DataError(f"{where}: {what} must be a whole number; got {text!r}.")
    return int(value)
