"""CMS DE-SynPUF inpatient claims: real format and coding habits, synthetic patients; ICD-9-CM of 2008 to 2010.

Lines of the file are kept as they are and become claims when they are asked for. The published DRG is nearly decoupled
from the diagnoses and there are no charges: regroup, and take the payment from the header.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Literal, NamedTuple

from nocere.cases.claim import Claim, Diagnosis, Line, System
from nocere.cases.claim_check import OnConflict, code_problem, validate
from nocere.cases.claim_map import targets, to_icd10
from nocere.cases.claim_text import amount, day, dotted, fiscal_year, procedure, whole
from nocere.cases.datasets.claims_set import ClaimSet, above, claim_case, lines_of, one_of, read_text, split, subgroups
from nocere.clinical.codes.graph import RuleGraph, load_rules
from nocere.core.canonical import Json, sha256
from nocere.core.case import Case, CaseRef, CaseSet, Truth
from nocere.core.errors import DataError
from nocere.core.registry import register

SOURCE = "CMS DE-SynPUF (synthetic patients)"
EARLIEST = 2008  # fiscal year of the first claims
SEX: dict[str, Literal["F", "M"]] = {"1": "M", "2": "F"}
NEEDED = (
    "DESYNPUF_ID", "CLM_ID", "SEGMENT", "CLM_FROM_DT", "CLM_THRU_DT", "PRVDR_NUM", "CLM_PMT_AMT", "CLM_ADMSN_DT",
    "ADMTNG_ICD9_DGNS_CD", "CLM_UTLZTN_DAY_CNT", "CLM_DRG_CD", "ICD9_DGNS_CD_1",
)  # fmt: skip
PEOPLE = ("DESYNPUF_ID", "BENE_BIRTH_DT", "BENE_SEX_IDENT_CD")


@register("dataset", "claims.desynpuf", source="CMS 2008-2010 Data Entrepreneurs' Synthetic Public Use File, inpatient")
def desynpuf(
    inpatient: str | Path,
    *,
    beneficiary: str | Path | Sequence[str | Path] = (),
    system: System = "ICD-9-CM",
    label: Literal["", "payment", "days"] = "",
    line: float = 0.0,
    labels: tuple[str, str] | list[str] = ("usual", "high"),
    on_conflict: OnConflict = "keep",
    limit: int = 0,
) -> ClaimSet:
    """Inpatient claims of the synthetic public use file.

    Args:
        inpatient: CSV of inpatient claims (.xz and .gz are unpacked).
        beneficiary: CSV files of beneficiaries, for age and sex; all years may be given.
        system: "ICD-10-CM" maps the diagnoses by GEM; the report says which share has no target.
        label: payment or length of stay as the truth; empty gives none.
        line: from this payment or stay on, the second label holds.
        labels: below and at or above the line.
        on_conflict: "keep" lets pairs under an Excludes1 note pass (the mapping makes some; `survey` counts them).
        limit: only the first so many; 0 takes all.

    Raises:
        DataError: another layout, a repeated claim, or a code that no code system has; the sentence names the claim.
    """
    one_of("system", system, ("ICD-9-CM", "ICD-10-CM"))
    one_of("label", label, ("", "payment", "days"))
    one_of("on_conflict", on_conflict, ("refuse", "keep"))
    rules = load_rules()
    table = _Table.read(inpatient, NEEDED)
    born = _people([beneficiary] if isinstance(beneficiary, (str, Path)) else beneficiary)
    kept: dict[str, _Row] = {}
    refs: list[CaseRef] = []
    count: Counter[str] = Counter()
    unmapped: Counter[str] = Counter()
    known: dict[str, bool] = {}
    place, codes_at = table.place, table.diagnoses
    more = _payments(table)
    for text, row in table.rows():
        if row[place["SEGMENT"]] != "1":
            count["second_segments"] += 1
            continue
        case_id = row[place["CLM_ID"]]
        codes = [row[i] for i in codes_at if row[i]]
        for code in codes:
            if code not in known:
                known[code] = _know(code, rules, case_id, system)
            if not known[code]:
                unmapped[code] += 1
        count["diagnoses"] += len(codes)
        if not row[codes_at[0]]:
            count["without_principal"] += 1
            continue
        if not known[codes[0]]:
            count["principal_unmapped"] += 1
            continue
        if any(not known[c] for c in codes):
            count["with_unmapped"] += 1
        patient = row[place["DESYNPUF_ID"]]
        birth, sex = born.get(patient, ("", ""))
        age = _age(birth, row[place["CLM_ADMSN_DT"]] or row[place["CLM_FROM_DT"]], case_id)
        extra = more.get(case_id, 0.0)
        payment = amount(row[place["CLM_PMT_AMT"]], f"Claim {case_id}", "its payment") + extra
        days = whole(row[place["CLM_UTLZTN_DAY_CNT"]], f"Claim {case_id}", "its length of stay")
        truth = Truth()
        if label:
            truth = above(payment if label == "payment" else days, line, labels)
        attrs = subgroups(row[place["PRVDR_NUM"]], age, sex, row[place["CLM_THRU_DT"]][:4])
        refs.append(CaseRef(case_id, truth, patient, attrs, sha256(text.encode())))
        kept[case_id] = _Row(text, payment, age, sex, truth)
        if limit and len(refs) == limit:
            break
    count["claims"] = len(refs)
    report: dict[str, Json] = {k: count[k] for k in sorted(count)}
    if system == "ICD-10-CM":
        report["unmapped_diagnoses"] = sum(unmapped.values())
        report["unmapped_share"] = sum(unmapped.values()) / max(1, count["diagnoses"])

    def load(case_id: str) -> Case[Claim]:
        kept_row = kept[case_id]
        claim, header = _claim(table, kept_row, case_id)
        if system == "ICD-10-CM":
            mapped = to_icd10(claim, rules)
            claim, header = mapped.claim, header | {"icd9": list(claim.codes), "unmapped": list(mapped.unmapped)}
        return claim_case(case_id, claim, header, kept_row.text.encode(), kept_row.truth)

    if not refs:
        raise DataError(f"{inpatient} holds no claim.")
    if on_conflict == "refuse":
        for ref in refs:
            validate(load(ref.id).x, rules, ref.id)
    return ClaimSet(refs, load, name=f"{Path(inpatient).name} ({system})", report=report)


@dataclass(frozen=True, slots=True)
class Mapped:
    """DE-SynPUF in ICD-10-CM, split so that no patient is in both parts.

    Args:
        train, test: the parts.
        unmapped: share of ICD-9-CM diagnoses that have no ICD-10-CM target.
        report: what was counted.
    """

    train: CaseSet
    test: CaseSet
    unmapped: float
    report: Mapping[str, Json]


def mapped_split(
    inpatient: str | Path,
    beneficiary: str | Path | Sequence[str | Path],
    *,
    share: float = 0.25,
    label: Literal["", "payment", "days"] = "",
    line: float = 0.0,
    limit: int = 0,
) -> Mapped:
    """ICD-10-CM claims with age and sex, the unmapped share, and a patient-disjoint split.

    Args:
        inpatient, beneficiary, label, line, limit: as in `desynpuf`.
        share: of the patients that are in the test part, about.
    """
    cases = desynpuf(inpatient, beneficiary=beneficiary, system="ICD-10-CM", label=label, line=line, limit=limit)
    train, test = split(cases, share)
    lost = cases.report["unmapped_share"]
    assert isinstance(lost, float)
    return Mapped(train, test, lost, cases.report)


class _Row(NamedTuple):
    """What is kept of a claim until it is asked for."""

    text: str
    payment: float
    age: int
    sex: Literal["F", "M", ""]
    truth: Truth


@dataclass(frozen=True, slots=True)
class _Table:
    """A CSV without quoted fields, as CMS publishes it; lines stay as they are."""

    file: str
    lines: list[str]
    columns: list[str]
    place: dict[str, int]
    diagnoses: list[int]
    procedures: list[int]
    services: list[int]

    @classmethod
    def read(cls, file: str | Path, needed: Sequence[str]) -> _Table:
        text = read_text(file)
        if '"' in text:
            raise DataError(f"{file} has quoted fields, which the files of CMS do not have.")
        lines = lines_of(text)
        columns = lines[0].split(",") if lines else []
        for name in needed:
            if name not in columns:
                raise DataError(
                    f"{file}: no column {name!r}.", "Give the file in the layout in which CMS publishes it."
                )
        places = (_numbered(columns, p) for p in ("ICD9_DGNS_CD_", "ICD9_PRCDR_CD_", "HCPCS_CD_"))
        return cls(str(file), lines[1:], columns, {name: i for i, name in enumerate(columns)}, *places)

    def rows(self) -> Iterator[tuple[str, list[str]]]:
        for number, text in enumerate(self.lines, 2):
            row = text.split(",")
            if len(row) != len(self.columns):
                raise DataError(f"{self.file} line {number}: {len(self.columns)} columns expected; got {len(row)}.")
            yield text, row

    def picked(self, *names: str) -> Iterator[tuple[str, ...]]:
        """Some columns of every row, without cutting up the rest of it."""
        places = [self.place[n] for n in names]
        pick, last, commas = itemgetter(*places), max(places) + 1, len(self.columns) - 1
        for number, text in enumerate(self.lines, 2):
            if text.count(",") != commas:
                raise DataError(f"{self.file} line {number}: {commas + 1} columns expected; got {text.count(',') + 1}.")
            yield pick(text.split(",", last))


def _numbered(columns: Sequence[str], prefix: str) -> list[int]:
    """Places of the columns prefix1, prefix2 and so on, by number."""
    found = {c.removeprefix(prefix): i for i, c in enumerate(columns) if c.startswith(prefix)}
    return [found[n] for n in sorted((n for n in found if n.isdecimal()), key=int)]


def _payments(table: _Table) -> dict[str, float]:
    """Payments of second segments: a long stay is billed in two records with one id, the second without codes."""
    found: dict[str, float] = {}
    for segment, case_id, paid in table.picked("SEGMENT", "CLM_ID", "CLM_PMT_AMT"):
        if segment != "1":
            found[case_id] = found.get(case_id, 0.0) + amount(paid, f"Claim {case_id}", "its payment")
    return found


def _people(files: Sequence[str | Path]) -> dict[str, tuple[str, Literal["F", "M", ""]]]:
    """Birth date and sex by beneficiary."""
    found: dict[str, tuple[str, Literal["F", "M", ""]]] = {}
    for file in files:
        for who, born, sex in _Table.read(file, PEOPLE).picked(*PEOPLE):
            found[who] = (born, SEX.get(sex, ""))
    return found


def _age(birth: str, when: str, case_id: str) -> int:
    if not birth:
        return -1
    try:
        age = (int(when) - int(birth)) // 10_000  # YYYYMMDD: whole years
    except ValueError as e:
        raise DataError(f"Claim {case_id}: {birth!r} or {when!r} is not a date.") from e
    if age < 0:
        raise DataError(f"Claim {case_id}: its patient is born on {birth}, after the care on {when}.")
    return age


def _know(code: str, rules: RuleGraph, case_id: str, system: System) -> bool:
    """Whether a code can be used: it must be a code of ICD-9-CM; where claims are mapped, False without a target."""
    whole_code = dotted(code, "ICD-9-CM")
    found = code_problem(whole_code, "ICD-9-CM", EARLIEST, rules)
    if found is not None:
        raise DataError(f"Claim {case_id}: {found.what}.", found.hint)
    return system == "ICD-9-CM" or bool(targets(whole_code, rules))


def _claim(table: _Table, kept: _Row, case_id: str) -> tuple[Claim, dict[str, Json]]:
    row = kept.text.split(",")
    place, where = table.place, f"Claim {case_id}"
    thru = day(row[place["CLM_THRU_DT"]], where)
    codes = [dotted(row[i], "ICD-9-CM") for i in table.diagnoses if row[i]]
    claim = Claim(
        diagnoses=tuple(Diagnosis(c) for c in codes),
        procedures=tuple(procedure(row[i], "ICD-9-CM") for i in table.procedures if row[i]),
        lines=tuple(Line(row[i]) for i in table.services if row[i]),
        system="ICD-9-CM",
        code_year=fiscal_year(thru),
        age=kept.age,
        sex=kept.sex,
        days=whole(row[place["CLM_UTLZTN_DAY_CNT"]], where, "its length of stay"),
        provider=row[place["PRVDR_NUM"]],
        patient=row[place["DESYNPUF_ID"]],
    )
    admitting = row[place["ADMTNG_ICD9_DGNS_CD"]]
    return claim, {
        "source": SOURCE,
        "from": day(row[place["CLM_FROM_DT"]], where).isoformat(),
        "thru": thru.isoformat(),
        "payment": kept.payment,
        "drg_as_published": row[place["CLM_DRG_CD"]],
        "admitting": dotted(admitting, "ICD-9-CM") if admitting else "",
    }
