"""FHIR R4 Claim and ExplanationOfBenefit resources: single, listed, in a Bundle, or one a line (.ndjson)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from nocere.cases.claim_check import OnConflict
from nocere.cases.claim_fhir import read_fhir
from nocere.cases.claim_json import parse_json
from nocere.cases.datasets.claims_set import (
    ClaimSet,
    Entry,
    Invalid,
    OnYear,
    canonical,
    claim_set,
    files_in,
    lines_of,
    one_of,
    read_text,
    with_labels,
)
from nocere.clinical.codes.graph import load_rules
from nocere.core.errors import DataError
from nocere.core.registry import register

CLAIMS = ("Claim", "ExplanationOfBenefit")
ENDINGS = (".json", ".ndjson", ".jsonl", ".json.xz", ".ndjson.xz", ".json.gz", ".ndjson.gz")


@register("dataset", "claims.fhir", source="HL7 FHIR R4 (4.0.1) Claim and ExplanationOfBenefit")
def claims_fhir(
    path: str | Path,
    *,
    setting: Literal["", "inpatient", "outpatient", "professional"] = "",
    labels: str | Path = "",
    on_conflict: OnConflict = "refuse",
    invalid: Invalid = "refuse",
    on_year: OnYear = "refuse",
    limit: int = 0,
) -> ClaimSet:
    """Claims and explanations of benefit in FHIR.

    Args:
        path: a file or a folder. Patient resources in the same files give age and sex.
        setting: only claims of this setting; empty takes every one, and refuses those for drugs, eyes and teeth.
        labels: CSV with the columns id and label.
        on_conflict, invalid, on_year, limit: as in `claims.json`.

    Raises:
        DataError: not FHIR JSON, another resource, or a claim that is wrong; the sentence names it.
    """
    one_of("setting", setting, ("", "inpatient", "outpatient", "professional"))
    return claim_set(
        with_labels(_entries(files_in(path, ENDINGS), setting), labels),
        load_rules(),
        name=f"{Path(path).name} (claims)",
        on_conflict=on_conflict,
        invalid=invalid,
        on_year=on_year,
        limit=limit,
    )


def _entries(files: list[Path], setting: str) -> Iterator[Entry]:
    every = [r for file in files for r in resources(file)]
    people = {f"Patient/{r.get('id')}": r for r, _ in every if r.get("resourceType") == "Patient"}
    claims = [(r, where) for r, where in every if r.get("resourceType") in CLAIMS]
    if not claims:
        raise DataError(f"{files[0]} holds no FHIR Claim or ExplanationOfBenefit.")
    for resource, where in claims:
        if setting and _other(resource):
            continue
        found = read_fhir(resource, where, people)
        if setting in ("", found.claim.setting):
            yield Entry(found.id, found, canonical(resource, f"Claim {found.id}"))


def _other(resource: dict[str, Any]) -> bool:
    """Claims for drugs, eyes and teeth."""
    kind = resource.get("type")
    codings = kind.get("coding") if isinstance(kind, dict) else None
    codes = [c.get("code") for c in codings if isinstance(c, dict)] if isinstance(codings, list) else []
    return any(other in codes for other in ("pharmacy", "oral", "vision"))


def resources(file: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """The FHIR resources of a file, those of a Bundle one by one, each with where it stands."""
    text = read_text(file)
    lines = bool({".ndjson", ".jsonl"} & set(file.suffixes))
    texts = [(t, f"{file} line {i}") for i, t in enumerate(lines_of(text), 1) if t.strip()] if lines else []
    for part, where in texts or [(text, str(file))]:
        data = parse_json(part, where)
        if isinstance(data, dict) and data.get("resourceType") == "Bundle":
            bundled = data.get("entry", [])
            data = (
                [e.get("resource") if isinstance(e, dict) else e for e in bundled] if isinstance(bundled, list) else [0]
            )
        several = isinstance(data, list)
        for i, one in enumerate(data if several else [data], 1):
            place = f"{where} entry {i}" if several else where
            if not isinstance(one, dict) or not isinstance(one.get("resourceType"), str):
                raise DataError(f"{place}: not a FHIR resource: it has no resourceType.")
            yield one, place
