"""What the loaders of notes share: columns that must be there, facts, and a set of notes that are in memory."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from nocere.core.case import Case, CaseRef, CaseSet
from nocere.core.errors import DataError

BETWEEN = re.compile(r"[\s,;|]+")


def require(file: Path, header: Mapping[str, str], columns: Sequence[str]) -> None:
    """Refuse a CSV file that lacks a column.

    Raises:
        DataError: the first one that is missing.
    """
    for column in columns:
        if column not in header:
            raise DataError(f"{file}: no column {column!r}.", f"Its columns are: {', '.join(header)}.")


def facts_of(written: str) -> list[str]:
    """Codes as a column holds them, in the order written."""
    return [code for code in BETWEEN.split(written) if code]


def note_set(cases: Iterable[Case[str]], name: str) -> CaseSet:
    """Notes in memory. Where no patient is stated, notes of the same text are one group: they depend on each other."""
    made: list[Case[str]] = []
    first: dict[str, str] = {}
    for case in cases:
        same = first.setdefault(case.x, case.id)
        made.append(replace(case, group=same) if case.group == case.id else case)
    if not made:
        raise DataError(f"{name} holds no note.")
    by_id = {c.id: c for c in made}
    refs = [CaseRef(c.id, c.truth, c.group, c.attrs, c.sha256) for c in made]
    return CaseSet(refs, by_id.__getitem__, phantom=False, name=name)
