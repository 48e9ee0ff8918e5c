"""X12 837 professional and institutional files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from nocere.cases.claim_check import OnConflict
from nocere.cases.claim_x12 import claims_in
from nocere.cases.datasets.claims_set import (
    ClaimSet,
    Entry,
    Invalid,
    OnYear,
    claim_set,
    files_in,
    one_of,
    read_text,
    with_labels,
)
from nocere.clinical.codes.graph import load_rules
from nocere.core.canonical import digest
from nocere.core.registry import register

ENDINGS = (".txt", ".x12", ".edi", ".837")


@register("dataset", "claims.x12", source="ASC X12N 837 005010X222A1 (professional) and 005010X223A2 (institutional)")
def claims_x12(
    path: str | Path,
    *,
    setting: Literal["", "inpatient", "outpatient", "professional"] = "",
    labels: str | Path = "",
    on_conflict: OnConflict = "refuse",
    invalid: Invalid = "refuse",
    on_year: OnYear = "refuse",
    limit: int = 0,
) -> ClaimSet:
    """Claims of X12 837 files, read only.

    Args:
        path: a file or a folder (.txt, .x12, .edi, .837). Case ids are `file/claim`.
        setting: only claims of this setting; empty takes every one.
        labels: CSV with the columns id (of the case or of the claim) and label.
        on_conflict, invalid, on_year, limit: as in `claims.json`.

    Raises:
        DataError: not an 837, cut off, or a claim that is wrong; the sentence names it.
    """
    one_of("setting", setting, ("", "inpatient", "outpatient", "professional"))
    files = [(file.name, read_text(file)) for file in files_in(path, ENDINGS)]
    return claim_set(
        with_labels(_entries(files, setting), labels),
        load_rules(),
        name=f"{Path(path).name} (claims)",
        on_conflict=on_conflict,
        invalid=invalid,
        on_year=on_year,
        limit=limit,
    )


def _entries(files: list[tuple[str, str]], setting: str) -> Iterator[Entry]:
    for case_id, found in claims_in(files):
        if setting in ("", found.claim.setting):
            # A claim has no bytes of its own in an interchange: its hash is over what was read of it.
            source = digest({"claim": found.claim.to_json(), "header": found.header}).encode()
            yield Entry(case_id, found, source)
