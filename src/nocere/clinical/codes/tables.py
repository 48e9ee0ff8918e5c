"""Loaders of CMS layouts that a payer has and nocere does not ship: NCCI pairs, MUE, anaesthesia units, fee schedule.

The files hold CPT codes, which are the AMA's: they are the user's own files, and descriptions in them are never kept.
Layouts are those that CMS publishes as text: a preamble of any length, a header line, then rows, split by tab or comma.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from nocere.core.errors import DataError


@dataclass(frozen=True, slots=True)
class Pair:
    """A procedure-to-procedure edit: `column2` is not paid beside `column1` on a day from `start` until before `end`.

    `modifier`: 0 no modifier makes it payable, 1 one may, 9 not applicable (deleted on the day it began).
    """

    column1: str
    column2: str
    start: date
    end: date | None
    modifier: int

    def holds(self, on: date) -> bool:
        """Whether the edit is in force on a day."""
        return self.modifier != 9 and self.start <= on and (self.end is None or on < self.end)


@dataclass(frozen=True, slots=True)
class Limit:
    """A medically unlikely edit: most units of a code; adjudicated by line (1) or by day of service (2, 3)."""

    code: str
    units: int
    indicator: int


@dataclass(frozen=True, slots=True)
class Fee:
    """Relative value units of one code and modifier; conversion factor in US dollars, not adjusted for locality."""

    code: str
    modifier: str
    status: str
    work: float
    practice: float
    practice_facility: float
    malpractice: float
    factor: float

    def amount(self, facility: bool = False) -> float:
        """National payment amount in US dollars."""
        practice = self.practice_facility if facility else self.practice
        return (self.work + practice + self.malpractice) * self.factor


class Pairs:
    """The edits of one file."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self._pairs: dict[tuple[str, str], list[Pair]] = {}
        for p in pairs:
            self._pairs.setdefault((p.column1, p.column2), []).append(p)

    def __len__(self) -> int:
        return sum(map(len, self._pairs.values()))

    def edit(self, a: str, b: str, on: date) -> Pair | None:
        """The edit in force between two codes on a day, whichever column they stand in."""
        both = (*self._pairs.get((a, b), ()), *self._pairs.get((b, a), ()))
        return next((p for p in both if p.holds(on)), None)


def load_pairs(path: Path) -> Pairs:
    """NCCI PTP edits: column 1, column 2, prior-to-1996 mark, effective date, deletion date, modifier, rationale.

    Raises:
        DataError: no such file, no header line, or a row that is not of this layout.
    """
    rows = _rows(path, "column 1", 6)
    return Pairs([Pair(r[0], r[1], _day(r[3], w), _day(r[4], w) if r[4] not in ("", "*") else None,
                       _whole(r[5], w, "modifier indicator")) for w, r in rows])  # fmt: skip


def load_limits(path: Path) -> dict[str, Limit]:
    """MUE values by code: code, units, adjudication indicator ("2 Date of Service Edit: Policy"), rationale.

    Raises:
        DataError: as for `load_pairs`.
    """
    found = [Limit(r[0], _whole(r[1], w, "MUE value"), _whole(r[2][:1], w, "adjudication indicator"))
             for w, r in _rows(path, "hcpcs", 3)]  # fmt: skip
    return {x.code: x for x in found}


def load_base_units(path: Path) -> dict[str, int]:
    """Anaesthesia base units by code: code, base units.

    Raises:
        DataError: as for `load_pairs`.
    """
    return {r[0]: _whole(r[-1], w, "base units") for w, r in _rows(path, "code", 2)}


def load_fees(path: Path) -> dict[tuple[str, str], Fee]:
    """Relative value file (PPRRVU) by code and modifier.

    Columns by position as CMS numbers them (0 code, 1 modifier, 3 status, 5 work, 6 and 8 practice expense outside of
    and in a facility, 10 malpractice); the conversion factor by its header, the last line of which reads FACTOR.

    Raises:
        DataError: as for `load_pairs`, or no conversion factor in the header.
    """
    header = next((cells for _, cells in _lines(path) if _is_header(cells, "hcpcs")), [])
    if not header:
        raise _no_header(path, "hcpcs")
    at = next((i for i, h in enumerate(header) if h.lower().endswith("factor")), -1)
    if at < 0:
        raise DataError(f"{path.name} has no column for the conversion factor.", "Give CMS's PPRRVU file as CSV.")
    out = {}
    for where, r in _rows(path, "hcpcs", at + 1):
        values = [_number(r[i], where) for i in (5, 6, 8, 10, at)]
        out[r[0], r[1]] = Fee(r[0], r[1], r[3], *values)
    return out


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        text = path.read_text(encoding="latin-1")
    except OSError as e:
        raise DataError(f"{path} cannot be read: {e.strerror}.", "Give the path of the CMS file.") from e
    tab = "\t" in text
    for n, cells in enumerate(csv.reader(text.splitlines(), delimiter="\t" if tab else ","), 1):
        yield n, [" ".join(c.split()) for c in cells]


def _is_header(cells: list[str], first: str) -> bool:
    return bool(cells) and cells[0].lower().startswith(first)


def _no_header(path: Path, first: str) -> DataError:
    return DataError(
        f"{path.name} has no header line that begins with {first!r}.", "Give the file as CMS publishes it."
    )


def _rows(path: Path, first: str, columns: int) -> Iterator[tuple[str, list[str]]]:
    """Rows after the header, each with its place; lines that begin with no code (blanks, more header) are left out."""
    body = False
    for n, cells in _lines(path):
        if not body:
            body = _is_header(cells, first)
        elif cells and cells[0] and cells[0].isalnum() and any(c.isdigit() for c in cells[0]):
            where = f"{path.name}, line {n}"
            if len(cells) < columns:
                raise DataError(f"{where}: {len(cells)} columns, {columns} are wanted.")
            yield where, cells
    if not body:
        raise _no_header(path, first)


def _day(text: str, where: str) -> date:
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError as e:
        raise DataError(f"{where}: {text!r} is no date of the form YYYYMMDD.") from e


def _whole(text: str, where: str, what: str) -> int:
    if not text.isdigit():
        raise DataError(f"{where}: {what} {text!r} is not a whole number.")
    return int(text)


def _number(text: str, where: str) -> float:
    try:
        value = float(text or "0")
    except ValueError as e:
        raise DataError(f"{where}: {text!r} is not a number.") from e
    if not 0 <= value < float("inf"):
        raise DataError(f"{where}: {text!r} is not a number of 0 or more.")
    return value
