"""MS-DRG relative weights of CMS (FY 2026 final rule, Table 5), and the severity ladder that their titles spell out.

Most base DRGs come as a ladder: without CC or MCC, with CC (complication or comorbidity), with MCC (major). One
secondary diagnosis is enough to climb a rung, which is why coding moves money.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from nocere.core.canonical import sha256
from nocere.core.errors import UsageError, VerificationError

FILE = "drg-weights-2026.csv"
SHA256 = "817d0ef2f5163b625e32de36783ec598ca71e5764c3f170ebd3ce7651e57c7c3"
FISCAL_YEAR = 2026
UNGROUPABLE = "999"

# What a title says of severity, and what it adds beside it ("... WITH MCC OR TOTAL ANKLE REPLACEMENT").
_RUNG = re.compile(r"\s+(?:WITH|AND|(?P<no>WITHOUT))\s+(?P<level>CC/MCC|MCC|CC)\b.*$")

_ORDER = {"without CC/MCC": 0, "without MCC": 0, "CC": 1, "CC/MCC": 1, "MCC": 2}


@dataclass(frozen=True, slots=True)
class Weight:
    """A row of Table 5.

    Args:
        drg: three digits.
        mdc: major diagnostic category, "PRE" for transplants and the like, "" where there is none.
        kind: "SURG", "MED" or "".
        title: as CMS writes it.
        weight: relative weight with the 10 % cap on falls; 0 for the two DRGs that do not pay (998, 999).
        days: geometric mean length of stay.
    """

    drg: str
    mdc: str
    kind: str
    title: str
    weight: float
    days: float

    @property
    def base(self) -> str:
        """The title without its words about severity: equal for the rungs of one ladder."""
        return _RUNG.sub("", self.title)

    @property
    def severity(self) -> str:
        """ "MCC", "CC", "CC/MCC" (either), "without MCC", "without CC/MCC", or "" where the title says nothing."""
        found = _RUNG.search(self.title)
        return "" if found is None else f"{'without ' if found['no'] else ''}{found['level']}"


@lru_cache(maxsize=1)
def weights() -> dict[str, Weight]:
    """DRG -> its row.

    Raises:
        VerificationError: the packaged file is not the one that was compiled.
    """
    raw = (files("nocere.clinical.codes") / "data" / FILE).read_bytes()
    if sha256(raw) != SHA256:
        raise VerificationError(f"The packaged table {FILE} has been changed.", "Install nocere again.")
    lines = [line for line in raw.decode().splitlines() if not line.startswith("#")]
    return {
        r["drg"]: Weight(
            r["drg"], r["mdc"], r["type"], r["title"], float(r["weight"] or 0), float(r["geometric_days"] or 0)
        )
        for r in csv.DictReader(lines)
    }


def weight_of(drg: str) -> Weight:
    """The row of one DRG.

    Raises:
        UsageError: no such DRG in fiscal year 2026.
    """
    try:
        return weights()[drg]
    except KeyError:
        raise UsageError(f"There is no MS-DRG {drg!r} in fiscal year {FISCAL_YEAR}.") from None


def ladder(drg: str) -> tuple[Weight, ...]:
    """The rungs of a DRG's ladder, least severe first; the DRG alone where there is no ladder.

    A few rungs weigh less than the one below them: CMS's averages say so.

    Raises:
        UsageError: no such DRG in fiscal year 2026.
    """
    row = weight_of(drg)
    rungs = _ladders().get((row.mdc, row.kind, row.base), (row,)) if row.severity else (row,)
    return rungs if row in rungs else (row,)


@lru_cache(maxsize=1)
def _ladders() -> dict[tuple[str, str, str], tuple[Weight, ...]]:
    found: dict[tuple[str, str, str], list[Weight]] = {}
    for row in weights().values():
        if row.severity:
            found.setdefault((row.mdc, row.kind, row.base), []).append(row)
    return {k: tuple(sorted(v, key=lambda w: (_ORDER[w.severity], w.drg))) for k, v in found.items()}
