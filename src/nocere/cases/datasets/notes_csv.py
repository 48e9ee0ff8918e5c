"""Notes in the rows of one CSV file: id, text, label, and whatever else the row says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from nocere.cases.datasets.manifest import rows_of, truth_of
from nocere.cases.datasets.notes_set import facts_of, note_set, require
from nocere.cases.note import LARGEST, note_case
from nocere.core.canonical import Json
from nocere.core.case import Case, CaseSet, Truth
from nocere.core.errors import DataError
from nocere.core.registry import register

Rows = list[tuple[int, dict[str, str]]]


@register("dataset", "notes.csv", source="CSV (RFC 4180), UTF-8, as it is or packed (.xz, .gz)")
def notes_csv(
    file: str | Path,
    *,
    text: str = "text",
    label: str = "label",
    id: str = "id",
    patient: str = "",
    facts: str = "",
    split: str = "",
    labels: Mapping[str, str] | None = None,
    subgroups: tuple[str, ...] | list[str] = (),
    limit: int = 0,
) -> CaseSet:
    """Notes in a column of a CSV file.

    Args:
        file: the CSV file; its first row names the columns.
        text, label, id: names of the columns; an empty `label` takes notes without labels.
        patient: column that says whose note it is; without one, notes of the same text are one group.
        facts: column with the codes that the record supports, parted by blanks, commas or `;`.
        split: only rows whose `split` column says this; empty takes every row.
        labels: label as written in the file -> label of the target; a written label that is not listed is refused.
        subgroups: further columns to report on.
        limit: only the first so many rows of the split; 0 takes all.

    Further columns stay in the case's header under `row`.

    Raises:
        DataError: not UTF-8 CSV, a missing column, a note that is empty or too large, an empty or unknown label, an id
            that is empty or stands twice; the sentence names file and row.
    """
    file = Path(file)
    rows = rows_of(file, widest=4 * LARGEST)
    named = [id, text, *(c for c in (label, patient, facts) if c), *subgroups, *(["split"] if split else [])]
    require(file, rows[0][1], named)
    chosen = [(n, row) for n, (_, row) in enumerate(rows, 2) if not split or row["split"] == split]
    if not chosen:
        raise DataError(f"{file}: no row with split {split!r}.", "Check the split's name.")

    def cases() -> Iterator[Case[str]]:
        seen: dict[str, int] = {}
        for n, row in chosen[: limit or None]:
            key = row[id]
            where = f"{file} row {n}"
            if not key:
                raise DataError(f"{where}: the column {id!r} is empty.", "Give every note its own id.")
            if key in seen:
                raise DataError(f"{where}: the id {key!r} stands on row {seen[key]} already.", "Remove one row.")
            seen[key] = n
            truth = truth_of(row, label, [], labels, where) if label else Truth()
            rest = {c: v for c, v in row.items() if c not in named}
            header: dict[str, Json] = {"row": rest} if rest else {}
            codes = facts_of(row[facts]) if facts else []
            try:
                yield note_case(
                    key, row[text], truth, header=header, facts=codes, group=(row[patient] if patient else ""),
                    attrs={c: row[c] for c in subgroups},
                )  # fmt: skip
            except DataError as e:
                raise DataError(f"{where}, {e.message[0].lower()}{e.message[1:]}", e.hint) from e

    return note_set(cases(), file.name)
