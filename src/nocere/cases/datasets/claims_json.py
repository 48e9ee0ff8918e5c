"""Claims as JSON: a list in one file, or one claim a line (.jsonl), with id, claim, header and label."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from nocere.cases.claim_check import OnConflict
from nocere.cases.claim_json import claim_of, parse_json
from nocere.cases.claim_text import Found
from nocere.cases.datasets.claims_set import ClaimSet, Entry, Invalid, OnYear, canonical, claim_set, lines_of, read_text
from nocere.clinical.codes.graph import load_rules
from nocere.core.canonical import Json, dumps
from nocere.core.case import Case, Truth
from nocere.core.errors import DataError
from nocere.core.registry import register

FIELDS = ("id", "claim", "header", "label")


@register("dataset", "claims.json", source="nocere's own form of a claim, in the words of FHIR R4 Claim and X12 837")
def claims_json(
    file: str | Path,
    *,
    on_conflict: OnConflict = "refuse",
    invalid: Invalid = "refuse",
    on_year: OnYear = "refuse",
    limit: int = 0,
) -> ClaimSet:
    """Claims of a JSON or JSON Lines file.

    Args:
        file: a list of `{"id", "claim", "header", "label"}`, or one of them a line in a file named .jsonl (.xz and .gz
            are unpacked). `header` (facts, evidence) and `label` (one or a list) may be left out.
        on_conflict: "keep" lets pairs under an Excludes1 note pass and counts them.
        invalid: "leave_out" drops claims that have another problem, and counts them.
        on_year: "recode" takes claims of another ICD-10-CM year as ones of the rules' year if their codes are valid
            there.
        limit: only the first so many; 0 takes all.

    Raises:
        DataError: not JSON, or a claim that is wrong; the sentence names it.
    """
    file = Path(file)
    return claim_set(
        (_entry(data, where) for data, where in _records(file)),
        load_rules(),
        name=f"{file.name} (claims)",
        on_conflict=on_conflict,
        invalid=invalid,
        on_year=on_year,
        limit=limit,
    )


def write_claims(cases: Iterable[Case[Any]]) -> bytes:
    """Claims as JSON Lines that `claims.json` reads: one canonical record a line."""
    return b"".join(dumps(_record(case)) + b"\n" for case in cases)


def _record(case: Case[Any]) -> dict[str, Json]:
    record: dict[str, Json] = {"id": case.id, "claim": case.x.to_json(), "header": case.header}
    if case.truth.labels:
        record["label"] = sorted(case.truth.labels)
    return record


def _records(file: Path) -> Iterator[tuple[Any, str]]:
    text = read_text(file)
    if ".jsonl" in file.suffixes:
        for line, part in enumerate(lines_of(text), 1):
            if part.strip():
                yield parse_json(part, f"{file} line {line}"), f"{file} line {line}"
        return
    data = parse_json(text, str(file))
    if not isinstance(data, list):
        raise DataError(f"{file} must hold a list of claims; got {type(data).__name__}.")
    for i, record in enumerate(data, 1):
        yield record, f"{file} record {i}"


def _entry(data: Any, where: str) -> Entry:
    if not isinstance(data, dict) or not isinstance(data.get("id"), str) or not data["id"]:
        raise DataError(f"{where}: a claim is an object with a text id.")
    case_id = data["id"]
    odd = sorted(set(data) - set(FIELDS))
    if odd or "claim" not in data:
        said = f"has no field {odd[0]!r}" if odd else "needs the field 'claim'"
        raise DataError(f"Claim {case_id}: a record {said}.", f"Its fields are: {', '.join(FIELDS)}.")
    header, label = data.get("header", {}), data.get("label", [])
    labels = [label] if isinstance(label, str) else label
    if not isinstance(header, dict):
        raise DataError(f"Claim {case_id}: its header must be an object.")
    if not isinstance(labels, list) or not all(isinstance(x, str) and x for x in labels):
        raise DataError(f"Claim {case_id}: its label must be text, or a list of texts.")
    found = Found(case_id, claim_of(data["claim"], f"Claim {case_id}"), header)
    return Entry(case_id, found, canonical(data, f"Claim {case_id}"), Truth.of(*labels))
