"""Rows of a CSV manifest, the truth that a row states, and the bytes of the file that it names."""

from __future__ import annotations

import csv
import io
import lzma
import zlib
from collections.abc import Mapping
from pathlib import Path

from nocere.cases.datasets.claims_set import OPENERS
from nocere.core.case import Truth
from nocere.core.errors import DataError

VOTES = "votes:"


def rows_of(manifest: Path, *, widest: int = 1 << 17) -> list[tuple[int, dict[str, str]]]:
    """Rows of a UTF-8 CSV file (RFC 4180), packed (.xz, .gz) or not, each with the number of its last line.

    Args:
        manifest: the file; its first line names the columns.
        widest: characters of the longest field that is read.

    Raises:
        DataError: missing, unreadable, no rows, or a row with another number of columns.
    """
    try:
        data = OPENERS.get(manifest.suffix, bytes)(manifest.read_bytes())
        reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
    except (OSError, EOFError, UnicodeDecodeError, lzma.LZMAError, zlib.error) as e:
        why = getattr(e, "strerror", None) or e
        raise DataError(f"Cannot read the manifest {manifest}: {why}.", "Give a UTF-8 CSV file.") from e
    before = csv.field_size_limit(widest)
    try:
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as e:
        raise DataError(f"{manifest} line {reader.line_num}: not valid CSV ({e}).") from e
    finally:
        csv.field_size_limit(before)
    if not rows:
        raise DataError(f"{manifest} has no rows.", "Its first line names the columns, each further line is a case.")
    for line, row in rows:
        if None in row or None in row.values():
            raise DataError(
                f"{manifest} line {line}: {len(reader.fieldnames or ())} columns expected, as in its first line."
            )
    return rows


def truth_of(
    row: Mapping[str, str], label: str, votes: list[str], labels: Mapping[str, str] | None, where: str
) -> Truth:
    """What a row states: reader votes where there are such columns, else its label, renamed by `labels` if given.

    Raises:
        DataError: an empty label, one that is not listed, or votes that are no whole numbers.
    """
    if votes:
        try:
            return Truth.from_votes({c.removeprefix(VOTES): int(row[c]) for c in votes})
        except (ValueError, DataError) as e:
            raise DataError(f"{where}: reader votes must be whole numbers, at least one of them above 0.") from e
    written = row[label]
    if not written:
        raise DataError(f"{where}: the label is empty.", "Fill it in or remove the row.")
    if labels is None:
        return Truth.of(written)
    if written not in labels:
        raise DataError(f"{where}: label {written!r} is not one of {', '.join(labels)}.", "Correct it or map it.")
    return Truth.of(labels[written])


def bytes_of(path: Path, where: str) -> bytes:
    """The bytes of a file that a row names.

    Raises:
        DataError: missing or unreadable.
    """
    try:
        return path.read_bytes()
    except OSError as e:
        raise DataError(f"{where}: cannot read {path} ({e.strerror}).", "Correct the path or remove the row.") from e
