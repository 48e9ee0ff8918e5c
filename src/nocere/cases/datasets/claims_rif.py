"""CMS research identifiable files (RIF), institutional claims: a row a revenue centre line, columns named as by ResDAC.

The layout in which CMS Blue Button, the CCW and the synthetic Medicare files come: separated by | (or comma), up to 25
diagnoses with present on admission, 12 external causes, 25 procedures, an ICD version for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Literal

from nocere.cases.claim import Claim, Diagnosis, Line, Setting, System
from nocere.cases.claim_check import OnConflict
from nocere.cases.claim_text import Found, age_on, amount, day, dotted, fiscal_year, procedure, whole
from nocere.cases.datasets.claims_set import (
    ClaimSet,
    Entry,
    Invalid,
    OnYear,
    claim_set,
    lines_of,
    read_text,
    with_labels,
)
from nocere.clinical.codes.graph import load_rules
from nocere.core.canonical import Json
from nocere.core.errors import DataError
from nocere.core.registry import register

NEEDED = ("BENE_ID", "CLM_ID", "CLM_THRU_DT", "PRVDR_NUM", "PRNCPAL_DGNS_CD", "ICD_DGNS_CD1", "CLM_LINE_NUM")
PEOPLE = ("BENE_ID", "BENE_BIRTH_DT", "BENE_SEX_IDENT_CD")
VERSIONS: dict[str, System] = {"0": "ICD-10-CM", "9": "ICD-9-CM"}
TEN = date(2015, 10, 1)  # first day of ICD-10-CM
SETTINGS: dict[str, Setting] = {
    "60": "inpatient", "61": "inpatient", "63": "inpatient", "64": "inpatient",
    "20": "inpatient", "30": "inpatient", "40": "outpatient",
}  # fmt: skip
SEX: dict[str, Literal["F", "M"]] = {"1": "M", "2": "F"}
TOTAL = "0001"  # revenue centre of the sum of all others

Row = Mapping[str, str]


@register("dataset", "claims.rif", source="CMS research identifiable files, inpatient base and revenue centre (ResDAC)")
def claims_rif(
    file: str | Path,
    *,
    beneficiary: str | Path | Sequence[str | Path] = (),
    labels: str | Path = "",
    on_conflict: OnConflict = "refuse",
    invalid: Invalid = "refuse",
    on_year: OnYear = "refuse",
    limit: int = 0,
) -> ClaimSet:
    """Institutional claims in the RIF layout.

    Args:
        file: inpatient (or outpatient) file, separated by | or comma (.xz and .gz are unpacked).
        beneficiary: beneficiary files for age and sex, where the claims have no DOB_DT and GNDR_CD.
        labels: CSV with the columns id and label.
        on_conflict, invalid, on_year, limit: as in `claims.json`.

    Raises:
        DataError: another layout, or a claim that is wrong; the sentence names it.
    """
    people: dict[str, Row] = {}
    for one in [beneficiary] if isinstance(beneficiary, (str, Path)) else beneficiary:
        people |= {row["BENE_ID"]: row for row, _ in _rows(one, PEOPLE)}
    return claim_set(
        with_labels(_entries(file, people), labels),
        load_rules(),
        name=f"{Path(file).name} (claims)",
        on_conflict=on_conflict,
        invalid=invalid,
        on_year=on_year,
        limit=limit,
    )


def _rows(file: str | Path, needed: Sequence[str]) -> Iterator[tuple[dict[str, str], str]]:
    lines = lines_of(read_text(file))
    between = "|" if lines and "|" in lines[0] else ","
    columns = [c.strip().strip('"') for c in lines[0].split(between)] if lines else []
    for name in needed:
        if name not in columns:
            raise DataError(f"{file}: no column {name!r}.", "Give the file in the RIF layout, with its header line.")
    for number, text in enumerate(lines[1:], 2):
        if not text.strip():
            continue
        values = [v.strip().strip('"') for v in text.split(between)]
        if len(values) == len(columns) + 1 and not values[-1]:
            values.pop()  # a closing separator
        if len(values) != len(columns):
            raise DataError(f"{file} line {number}: {len(columns)} columns expected; got {len(values)}.")
        yield dict(zip(columns, values, strict=True)), text


def _entries(file: str | Path, people: Mapping[str, Row]) -> Iterator[Entry]:
    claims: dict[str, list[tuple[Row, str]]] = {}
    for row, text in _rows(file, NEEDED):
        claims.setdefault(row["CLM_ID"], []).append((row, text))
    for case_id, rows in claims.items():
        found = _found(case_id, [row for row, _ in rows], people)
        yield Entry(case_id, found, "\n".join(text for _, text in rows).encode())


def _found(case_id: str, rows: Sequence[Row], people: Mapping[str, Row]) -> Found:
    head, where = rows[0], f"Claim {case_id}"
    thru = day(head["CLM_THRU_DT"], where)
    start = day(head["CLM_FROM_DT"], where) if head.get("CLM_FROM_DT") else thru
    admitted = day(head["CLM_ADMSN_DT"], where) if head.get("CLM_ADMSN_DT") else start
    system = _system(head, thru, where)
    kind = head.get("NCH_CLM_TYPE_CD") or "60"
    if kind not in SETTINGS:
        raise DataError(f"{where}: NCH claim type {kind} is not inpatient, skilled nursing or outpatient.")
    person = people.get(head["BENE_ID"], {})
    born = head.get("DOB_DT") or person.get("BENE_BIRTH_DT", "")
    header: dict[str, Json] = {"from": start.isoformat(), "thru": thru.isoformat()}
    if head.get("CLM_PMT_AMT"):
        header["payment"] = amount(head["CLM_PMT_AMT"], where, "its payment")
    if head.get("CLM_DRG_CD"):
        header["drg"] = head["CLM_DRG_CD"]
    admitting = head.get("ADMTG_DGNS_CD") or head.get("ADMTNG_DGNS_CD") or ""
    if admitting:
        header["admitting"] = dotted(admitting, system)
    claim = Claim(
        diagnoses=_diagnoses(head, system),
        procedures=tuple(procedure(c, system) for c in (head.get(f"ICD_PRCDR_CD{n}", "") for n in range(1, 26)) if c),
        lines=tuple(line for row in rows if (line := _line(row, where)) is not None),
        system=system,
        code_year=fiscal_year(thru),
        setting=SETTINGS[kind],
        age=age_on(day(born, where), admitted, where) if born else -1,
        sex=SEX.get(head.get("GNDR_CD") or person.get("BENE_SEX_IDENT_CD", ""), ""),
        days=whole(head.get("CLM_UTLZTN_DAY_CNT", ""), where, "its length of stay"),
        charge=amount(head.get("CLM_TOT_CHRG_AMT", ""), where, "its charge"),
        provider=head["PRVDR_NUM"],
        patient=head["BENE_ID"],
        discharge=head.get("PTNT_DSCHRG_STUS_CD", ""),
    )
    return Found(case_id, claim, header)


def _system(head: Row, thru: date, where: str) -> System:
    said = {v for k, v in head.items() if k.startswith(("PRNCPAL_DGNS_VRSN", "ICD_DGNS_VRSN")) and v}
    if len(said) > 1:
        raise DataError(f"{where}: its diagnoses mix ICD-9-CM and ICD-10-CM.")
    version = said.pop() if said else "0" if thru >= TEN else "9"
    if version not in VERSIONS:
        raise DataError(f"{where}: ICD version {version!r} is neither 0 (ICD-10-CM) nor 9 (ICD-9-CM).")
    return VERSIONS[version]


def _diagnoses(head: Row, system: System) -> tuple[Diagnosis, ...]:
    """Principal first; external causes, which have columns of their own, last."""
    named = [(f"ICD_DGNS_CD{n}", f"CLM_POA_IND_SW{n}") for n in range(1, 26)]
    named += [(f"ICD_DGNS_E_CD{n}", f"CLM_E_POA_IND_SW{n}") for n in range(1, 13)]
    found = [Diagnosis(dotted(head[c], system), head.get(p, "")) for c, p in named if head.get(c)]
    if not head["PRNCPAL_DGNS_CD"]:
        return tuple(found)
    principal = dotted(head["PRNCPAL_DGNS_CD"], system)
    first = next((d for d in found if d.code == principal), Diagnosis(principal))
    return (first, *(d for d in found if d is not first))


def _line(row: Row, where: str) -> Line | None:
    code = row.get("HCPCS_CD", "")
    if not code and row.get("REV_CNTR") == TOTAL:
        return None
    modifiers = (row.get(f"HCPCS_{n}_MDFR_CD", "") for n in ("1ST", "2ND", "3RD", "4TH"))
    units = row.get("REV_CNTR_UNIT_CNT", "")
    return Line(
        code=code,
        modifiers=tuple(m for m in modifiers if m),
        units=amount(units, where, "the units of a line") if units else 1.0,
        charge=amount(row.get("REV_CNTR_TOT_CHRG_AMT", ""), where, "the charge of a line"),
    )
