"""Data sets of claims: JSON, FHIR, 837, DE-SynPUF and RIF layouts, on files made here."""

from __future__ import annotations

import gzip
import json
import lzma
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nocere.cases.claim import Claim, Diagnosis, Line
from nocere.cases.claim_check import survey
from nocere.cases.claim_fhir_write import write_fhir
from nocere.cases.claim_json import ClaimCodec
from nocere.cases.datasets.claims_desynpuf import desynpuf
from nocere.cases.datasets.claims_fhir import claims_fhir
from nocere.cases.datasets.claims_json import claims_json, write_claims
from nocere.cases.datasets.claims_rif import claims_rif
from nocere.cases.datasets.claims_set import above, age_band, relabelled, split
from nocere.cases.datasets.claims_x12 import claims_x12
from nocere.clinical.codes.graph import load_rules
from nocere.core.case import Case, CaseSet, Truth
from nocere.core.errors import DataError
from nocere.core.registry import get

FACTS = {"facts": [{"code": "E11.22", "evidence": ["doc-1"]}], "thru": "2025-11-04"}
ONE = Claim((Diagnosis("E11.22"), Diagnosis("N18.4")), age=67, sex="F", provider="h1", patient="p1", charge=10.0)
TWO = Claim((Diagnosis("I10"),), patient="p2", provider="h1", setting="professional")
CONFLICT = Claim((Diagnosis("E11.9"), Diagnosis("E10.9")), patient="p3", provider="h2")
OLD = Claim((Diagnosis("I10"),), code_year=2024, patient="p4")


def cases(*claims: Claim) -> list[Case[Any]]:
    return [Case(f"c{i}", x, FACTS if x is ONE else {}, Truth.of("paid")) for i, x in enumerate(claims)]


# JSON


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.xz", ".jsonl.gz", ".json"])
def test_json_round_trip(tmp_path: Path, ending: str) -> None:
    data = write_claims(cases(ONE, TWO))
    if ending == ".json":
        data = json.dumps([json.loads(x) for x in data.splitlines()], indent=2).encode()
    pack = {".xz": lzma.compress, ".gz": gzip.compress}.get(Path(ending).suffix, bytes)
    file = tmp_path / f"claims{ending}"
    file.write_bytes(pack(data))
    found = claims_json(file)
    assert [c.x for c in found] == [ONE, TWO]
    assert [r.id for r in found.refs] == ["c0", "c1"]
    assert [r.group for r in found.refs] == ["p1", "p2"]
    assert found.refs[0].truth == Truth.of("paid")
    assert dict(found.load("c0").header) == FACTS
    assert found.refs[0].attrs == {"provider": "h1", "age": "65-74", "sex": "F", "year": "2025"}
    assert found.refs[1].attrs == {"provider": "h1", "year": "2026"}
    assert found.report == {"claims": 2} and not found.phantom
    case = found.load("c0")
    x, header = ClaimCodec().decode(ClaimCodec().encode(case, case.x))
    assert x == ONE and dict(header) == dict(case.header)


def test_policies_for_conflicts_other_problems_and_years(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(write_claims(cases(ONE, CONFLICT, OLD)))
    with pytest.raises(DataError, match=r"Claim c1: E11.9 and E10.9 exclude.*1 more claims have problems"):
        claims_json(file)
    with pytest.raises(DataError, match="Claim c2: it is coded for fiscal year 2024"):
        claims_json(file, on_conflict="keep")
    kept = claims_json(file, on_conflict="keep", on_year="recode")
    assert kept.report == {"claims": 3, "excludes1": 1, "recoded": 1}
    assert kept.load("c2").x.code_year == 2026 and kept.load("c2").header["coded_for"] == 2024
    left = claims_json(file, invalid="leave_out")
    assert [r.id for r in left.refs] == ["c0"] and left.report == {"claims": 1, "left_out": 2}
    assert len(claims_json(file, on_conflict="keep", on_year="recode", limit=2)) == 2
    none = tmp_path / "n.jsonl"
    none.write_bytes(write_claims(cases(OLD)))
    with pytest.raises(DataError, match="Claim c0: it is coded for fiscal year 2024"):
        claims_json(none, invalid="leave_out")
    retired = tmp_path / "r.jsonl"
    retired.write_bytes(write_claims(cases(replace(OLD, diagnoses=(Diagnosis("E66.8"),)))))
    with pytest.raises(DataError, match=r"Claim c0: E66.8 .* is a heading"):
        claims_json(retired, on_year="recode")
    for wrong in ({"on_conflict": "drop"}, {"invalid": "keep"}, {"on_year": "no"}):
        with pytest.raises(DataError, match=f"{next(iter(wrong))} must be one of"):
            claims_json(file, **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no claim"),
        ("{", "a.jsonl line 1: not valid JSON"),
        ("5", "a.jsonl line 1: a claim is an object with a text id"),
        ('{"id": "c1"}', "Claim c1: a record needs the field 'claim'"),
        ('{"id": "c1", "claim": {"diagnoses": []}, "x": 1}', "Claim c1: a record has no field 'x'"),
        ('{"id": "c1", "claim": {"diagnoses": []}}', "Claim c1: it has no diagnosis"),
        ('{"id": "c1", "claim": {"diagnoses": 1}}', "Claim c1: diagnoses must be a list"),
        ('{"id": "c1", "claim": {}, "header": 1}', "Claim c1: its header must be an object"),
        ('{"id": "c1", "claim": {}, "label": 1}', "Claim c1: its label must be text"),
    ],
)
def test_bad_json_records(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(DataError, match=words):
        claims_json(tmp_path / "a.jsonl")


def test_unreadable_files(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "b.json.xz").write_bytes(b"not xz")
    (tmp_path / "c.jsonl").write_bytes(b"\xff\xfe")
    (tmp_path / "e.json.gz").write_bytes(gzip.compress(b"[]" * 99)[:-9] + b"123456789")
    record = json.dumps({"id": "c1", "claim": TWO.to_json(), "header": {"a": "\ud800"}})
    (tmp_path / "f.jsonl").write_text(record)
    twice = write_claims(cases(TWO))
    (tmp_path / "d.jsonl").write_bytes(twice * 2)
    for name, words in (
        ("a.json", "must hold a list of claims"),
        ("b.json.xz", "Cannot read"),
        ("e.json.gz", "Cannot read"),
        ("f.jsonl", "Claim c1: it holds text that UTF-8 cannot"),
        ("c.jsonl", "is not UTF-8 text"),
        ("none.json", "Cannot read .*No such file"),
        ("d.jsonl", "Case id 'c0' appears more than once"),
    ):
        with pytest.raises(DataError, match=words):
            claims_json(tmp_path / name)


# FHIR and 837


def test_fhir_files_bundles_people_and_labels(tmp_path: Path) -> None:
    one, two = (write_fhir(c, f"c{i}", exhibit=False) for i, c in enumerate((ONE, TWO)))
    two["patient"] = {"reference": "Patient/p2"}
    person = {"resourceType": "Patient", "id": "p2", "gender": "male", "birthDate": "1990-05-05"}
    two["billablePeriod"] = {"start": "2025-11-03", "end": "2025-11-04"}
    drugs = {"resourceType": "ExplanationOfBenefit", "id": "d", "type": {"coding": [{"code": "pharmacy"}]}}
    (tmp_path / "a.json").write_text(json.dumps(one))
    entries = [{"resource": r} for r in (person, two, drugs)]
    (tmp_path / "b.json").write_text(json.dumps({"resourceType": "Bundle", "entry": entries}))
    (tmp_path / "c.csv").write_text("not read")
    with pytest.raises(DataError, match="Claim d: a pharmacy claim has no diagnoses"):
        claims_fhir(tmp_path)
    found = claims_fhir(tmp_path, setting="professional")
    assert [r.id for r in found.refs] == ["c1"]
    assert found.load("c1").x == replace(TWO, sex="M", age=35)
    stays = claims_fhir(tmp_path, setting="inpatient")
    assert [c.x for c in stays] == [ONE]
    labels = tmp_path / "labels.txt"
    labels.write_text("id,label\nc0,denied\n")
    assert claims_fhir(tmp_path, setting="inpatient", labels=labels).refs[0].truth == Truth.of("denied")
    labels.write_text("id,label\nc9,denied\n")
    with pytest.raises(DataError, match=r"Claim c0: .*labels.txt has no label for it"):
        claims_fhir(tmp_path, setting="inpatient", labels=labels)
    labels.write_text("id,label\nc0,denied\nc9,denied\n")
    with pytest.raises(DataError, match="has a label for 'c9', and there is no such claim"):
        claims_fhir(tmp_path, setting="inpatient", labels=labels)
    for text, words in (("id,label\nc0,\n", "must both be filled"), ("id,label\nc0,a\nc0,b\n", "stands twice")):
        labels.write_text(text)
        with pytest.raises(DataError, match=words):
            claims_fhir(tmp_path, setting="inpatient", labels=labels)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1]", "a.json entry 1: not a FHIR resource"),
        ('{"resourceType": "Bundle", "entry": 5}', "a.json entry 1: not a FHIR resource"),
        ('{"resourceType": "Patient"}', "holds no FHIR Claim"),
        ("<Claim/>", "not valid JSON"),
    ],
)
def test_files_that_are_not_fhir(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=words):
        claims_fhir(tmp_path / "a.json")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no file that ends in"):
        claims_fhir(tmp_path / "empty")


def test_837_folder(tmp_path: Path) -> None:
    from tests.unit.cases.test_claim_x12 import STAY, VISIT, interchange

    (tmp_path / "a.x12").write_text(interchange(*STAY))
    (tmp_path / "b.edi").write_text(interchange(*VISIT, guide="005010X222A1"))
    with pytest.raises(DataError, match="Claim a/stay-1: it is coded for fiscal year 2025"):
        claims_x12(tmp_path)
    found = claims_x12(tmp_path, on_year="recode")
    assert [r.id for r in found.refs] == ["a/stay-1", "b/visit-1"]
    assert found.refs[0].attrs["year"] == "2024" and found.report == {"claims": 2, "recoded": 1}
    assert found.load("b/visit-1").x.system == "ICD-9-CM"
    only = claims_x12(tmp_path, on_year="recode", setting="professional")
    assert [r.id for r in only.refs] == ["b/visit-1"]
    labels = tmp_path / "labels.csv"
    labels.write_text("id,label\nstay-1,paid\nb/visit-1,denied\n")
    marked = claims_x12(tmp_path, on_year="recode", labels=labels)
    assert [r.truth.label for r in marked.refs] == ["paid", "denied"]


# DE-SynPUF

HEAD = (
    "DESYNPUF_ID,CLM_ID,SEGMENT,CLM_FROM_DT,CLM_THRU_DT,PRVDR_NUM,CLM_PMT_AMT,CLM_ADMSN_DT,ADMTNG_ICD9_DGNS_CD,"
    "CLM_UTLZTN_DAY_CNT,CLM_DRG_CD,ICD9_DGNS_CD_1,ICD9_DGNS_CD_2,ICD9_DGNS_CD_10,ICD9_PRCDR_CD_1,HCPCS_CD_1"
)
STAYS = [
    "P1,100,1,20081230,20090104,H1,9000.00,20081230,7866,5,201,4019,25000,V5866,3995,",
    "P1,100,2,,,H1,1000.00,20081230,,,000,,,,,",
    "P2,101,1,20091001,20091002,H2,-50.00,20091001,,1,202,E9412,,2724,,G0001",
    "P3,102,1,20100101,20100102,H2,20000.00,20100101,,1,OTH,,4019,,,",
]
PEOPLE = "DESYNPUF_ID,BENE_BIRTH_DT,BENE_DEATH_DT,BENE_SEX_IDENT_CD\nP1,19430101,,1\nP2,19300930,,2\n"


def synpuf(tmp_path: Path, *rows: str, **options: Any) -> Any:
    (tmp_path / "in.csv.xz").write_bytes(lzma.compress("\n".join([HEAD, *rows, ""]).encode()))
    (tmp_path / "people.csv").write_text(PEOPLE)
    return desynpuf(tmp_path / "in.csv.xz", beneficiary=tmp_path / "people.csv", **options)


def test_desynpuf(tmp_path: Path) -> None:
    found = synpuf(tmp_path, *STAYS, label="payment", line=10000)
    assert [r.id for r in found.refs] == ["100", "101"]
    assert found.report == {"claims": 2, "diagnoses": 6, "second_segments": 1, "without_principal": 1}
    first, second = found
    assert first.x == Claim(
        (Diagnosis("401.9"), Diagnosis("250.00"), Diagnosis("V58.66")), ("39.95",), (), "ICD-9-CM", 2009, "inpatient",
        65, "M", 5, 0.0, "H1", "P1",
    )  # fmt: skip
    assert first.header == {
        "source": "CMS DE-SynPUF (synthetic patients)", "from": "2008-12-30", "thru": "2009-01-04",
        "payment": 10000.0, "drg_as_published": "201", "admitting": "786.6",
    }  # fmt: skip
    assert (first.truth, first.group) == (Truth(frozenset({"high"}), value=10000.0), "P1")
    assert first.attrs == {"provider": "H1", "age": "65-74", "sex": "M", "year": "2009"}
    assert second.x.codes == ("E941.2", "272.4") and second.x.lines == (Line("G0001"),)
    assert (second.x.age, second.x.sex, second.x.code_year) == (79, "F", 2010)
    assert second.truth.label == "usual" and second.header["payment"] == -50.0
    for ref, case in zip(found.refs, found, strict=True):
        assert (ref.truth, ref.group, ref.attrs, ref.sha256) == (case.truth, case.group, case.attrs, case.sha256)
    days = synpuf(tmp_path, *STAYS, label="days", line=2, labels=["short", "long"])
    assert [r.truth.label for r in days.refs] == ["long", "short"]
    assert desynpuf(tmp_path / "in.csv.xz").load("100").x.age == -1
    assert len(synpuf(tmp_path, *STAYS, limit=1)) == 1


def test_desynpuf_in_icd10(tmp_path: Path) -> None:
    both = STAYS[0].replace("4019,25000,V5866", "25000,25001,V854")
    lost = STAYS[2].replace("E9412", "V854")
    found = synpuf(tmp_path, both, *STAYS[1:2], lost, system="ICD-10-CM")
    (case,) = found
    assert case.x.codes == ("E11.9", "E10.9") and case.x.code_year == 2026 and case.x.procedures == ()
    assert case.header["icd9"] == ["250.00", "250.01", "V85.4"] and case.header["unmapped"] == ["V85.4"]
    assert found.report == {
        "claims": 1, "diagnoses": 5, "principal_unmapped": 1, "second_segments": 1, "with_unmapped": 1,
        "unmapped_diagnoses": 2, "unmapped_share": 0.4,
    }  # fmt: skip
    assert survey(found, load_rules()) == {"claims": 1, "excludes1": 1}
    with pytest.raises(DataError, match=r"Claim 100: E11.9 and E10.9 exclude each other"):
        synpuf(tmp_path, both, *STAYS[1:2], system="ICD-10-CM", on_conflict="refuse")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([STAYS[0].replace("4019", "ZZ1")], "Claim 100: 'ZZ1' is not a code of ICD-9-CM"),
        ([STAYS[0].replace("4019", "401")], "Claim 100: 401 \\(Essential hypertension\\) is a heading"),
        ([STAYS[0].replace("9000.00", "much")], "Claim 100: its payment must be a number; got 'much'"),
        ([STAYS[0].replace(",5,201", ",x,201")], "Claim 100: its length of stay must be a number"),
        ([STAYS[0].replace("20081230,7866", "2008-12-30,7866")], "is not a date"),
        ([STAYS[0].replace("20081230", "19421230")], "Claim 100: its patient is born on 19430101, after the care"),
        ([STAYS[0] + ",1"], "line 2: 16 columns expected; got 17"),
        ([STAYS[0]] * 2, "Case id '100' appears more than once"),
        ([STAYS[3]], "holds no claim"),
        (['"a"' + STAYS[0]], "has quoted fields"),
    ],
)
def test_bad_desynpuf_rows(tmp_path: Path, rows: list[str], words: str) -> None:
    with pytest.raises(DataError, match=words):
        synpuf(tmp_path, *rows)


def test_desynpuf_layout_is_checked(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("CLM_ID\n1\n")
    with pytest.raises(DataError, match=r"a.csv: no column 'DESYNPUF_ID'"):
        desynpuf(tmp_path / "a.csv")
    (tmp_path / "people.csv").write_text(PEOPLE + "P3,19300930,,2,1\n")
    (tmp_path / "in.csv").write_text("\n".join([HEAD, *STAYS]))
    with pytest.raises(DataError, match=r"people.csv line 4: 4 columns expected; got 5"):
        desynpuf(tmp_path / "in.csv", beneficiary=[tmp_path / "people.csv"])
    with pytest.raises(DataError, match="system must be one of"):
        desynpuf(tmp_path / "a.csv", system="ICD-11")  # type: ignore[arg-type]


# RIF

COLUMNS = (
    "BENE_ID|CLM_ID|NCH_CLM_TYPE_CD|CLM_FROM_DT|CLM_THRU_DT|PRVDR_NUM|CLM_PMT_AMT|PTNT_DSCHRG_STUS_CD|CLM_TOT_CHRG_AMT|"
    "CLM_ADMSN_DT|CLM_UTLZTN_DAY_CNT|CLM_DRG_CD|ADMTG_DGNS_CD|PRNCPAL_DGNS_CD|PRNCPAL_DGNS_VRSN_CD|"
    "ICD_DGNS_CD1|ICD_DGNS_VRSN_CD1|CLM_POA_IND_SW1|ICD_DGNS_CD2|ICD_DGNS_VRSN_CD2|CLM_POA_IND_SW2|ICD_DGNS_E_CD1|"
    "CLM_E_POA_IND_SW1|ICD_PRCDR_CD1|CLM_LINE_NUM|REV_CNTR|HCPCS_CD|HCPCS_1ST_MDFR_CD|REV_CNTR_UNIT_CNT|REV_CNTR_TOT_CHRG_AMT"
)
CLAIM = (
    "-7|-1|60|28-Nov-2025|02-DEC-2025|H1|900.5|01|1500.25|28-Nov-2025|4|871|R509|N184|0|E1122|0|Y|N184|0|N|W1830XA|Y|"
    "5A1D70Z"
)
ROWS = [f"{CLAIM}|1|0300|G0001|LT|2|500.25", f"{CLAIM}|2|0120||||1000", f"{CLAIM}|3|0001||||1500.25"]


def rif(tmp_path: Path, *rows: str, **options: Any) -> Any:
    (tmp_path / "in.csv").write_text("\n".join([COLUMNS, *rows, ""]))
    return claims_rif(tmp_path / "in.csv", **options)


def test_rif(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("BENE_ID|BENE_BIRTH_DT|BENE_SEX_IDENT_CD\n-7|29-Nov-1950|2\n")
    found = rif(tmp_path, *ROWS, ROWS[0].replace("|-1|", "|-2|"), beneficiary=tmp_path / "people.csv")
    case = found.load("-1")
    assert case.x == Claim(
        (Diagnosis("N18.4", "N"), Diagnosis("E11.22", "Y"), Diagnosis("W18.30XA", "Y")), ("5A1D70Z",),
        (Line("G0001", ("LT",), 2.0, 0, 500.25), Line("", (), 1.0, 0, 1000.0)), "ICD-10-CM", 2026, "inpatient",
        74, "F", 4, 1500.25, "H1", "-7", "01",
    )  # fmt: skip
    assert case.header == {
        "from": "2025-11-28", "thru": "2025-12-02", "payment": 900.5, "drg": "871", "admitting": "R50.9"
    }  # fmt: skip
    assert [len(c.x.lines) for c in found] == [2, 1]
    assert {r.group for r in found.refs} == {"-7"}
    closed = rif(tmp_path, *(r + "|" for r in ROWS), beneficiary=tmp_path / "people.csv")
    assert closed.load("-1").x == case.x
    alone = rif(tmp_path, *(r.replace("N184|0|E1122", "I10|0|E1122") for r in ROWS))
    assert alone.load("-1").x.codes == ("I10", "E11.22", "N18.4", "W18.30XA") and alone.load("-1").x.age == -1
    old = rif(tmp_path, ROWS[0].replace("2025", "2014").replace("|0|E1122|0|Y|N184|0", "|9|25000|9|Y|4019|9").replace(
        "|N184|9", "|25000|9").replace("W1830XA", "E8889").replace("R509", "78060"))  # fmt: skip
    assert old.load("-1").x.codes == ("250.00", "401.9", "E888.9") and old.load("-1").x.code_year == 2015
    unsaid = rif(tmp_path, ROWS[0].replace("2025", "2014").replace("|0|E1122|0|Y|N184|0", "||25000||Y|4019|").replace(
        "|N184|", "|25000|").replace("W1830XA", "E8889").replace("R509", "78060"))  # fmt: skip
    assert unsaid.load("-1").x == old.load("-1").x


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (ROWS[0].replace("E1122", "E11"), r"Claim -1: E11 \(Type 2 diabetes mellitus\) is a heading"),
        (ROWS[0].replace("E1122", "ZZ11"), "Claim -1: 'ZZ1.1' is not a code of ICD-10-CM"),
        (ROWS[0].replace("E1122|0", "E1122|9"), "Claim -1: its diagnoses mix ICD-9-CM and ICD-10-CM"),
        (ROWS[0].replace("|0|", "|7|"), "Claim -1: ICD version '7' is neither"),
        (ROWS[0].replace("|60|", "|71|"), "Claim -1: NCH claim type 71 is not"),
        (ROWS[0].replace("02-DEC-2025", "02-DEZ-2025"), "Claim -1: '02-DEZ-2025' is not a date"),
        (ROWS[0].replace("|2|500.25", "|-2|500.25"), "Claim -1: line 1 has units -2"),
        (ROWS[0].replace("|500.25", "|-500.25"), "Claim -1: line 1 has a charge of -500.25"),
        (ROWS[0].replace("1500.25", "-1500.25"), "Claim -1: its charge is -1500.25 dollars"),
        (ROWS[0].replace("|2|500.25", "|two|500.25"), "Claim -1: the units of a line must be a number"),
        (ROWS[0].replace("2025", "2023"), "Claim -1: it is coded for fiscal year 2024"),
        (ROWS[0] + "|x", "line 2: 30 columns expected; got 31"),
    ],
)
def test_bad_rif_rows(tmp_path: Path, row: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        rif(tmp_path, row)


# What all share


def test_splits_share_no_patient_and_do_not_depend_on_the_rest() -> None:
    made = [Case(f"c{i}", TWO, group=f"p{i // 3}", attrs={"provider": f"h{i % 40}"}) for i in range(1200)]
    whole = CaseSet.of(made)
    train, test = split(whole, 0.25)
    assert len(train) + len(test) == 1200 and 0.19 < len(test) / 1200 < 0.31
    assert not {r.group for r in train.refs} & {r.group for r in test.refs}
    half = CaseSet.of(made[:600])
    assert {r.id for r in split(half, 0.25)[1].refs} == {r.id for r in test.refs} & {r.id for r in half.refs}
    assert {r.id for r in split(whole, 0.25, salt="b")[1].refs} != {r.id for r in test.refs}
    train, test = split(whole, 0.5, by="provider")
    assert test.refs and not {r.attrs["provider"] for r in train.refs} & {r.attrs["provider"] for r in test.refs}
    with pytest.raises(DataError, match="between 0 and 1"):
        split(whole, 1.0)


def test_other_labels() -> None:
    whole = CaseSet.of(cases(ONE, TWO))
    truth = {"c0": above(2.0, 2.0, ("low", "high")), "c1": above(1.9, 2.0, ("low", "high"))}
    marked = relabelled(whole, truth)
    assert [r.truth.label for r in marked.refs] == [c.truth.label for c in marked] == ["high", "low"]
    assert marked.load("c1").x == TWO and marked.refs[0].truth.value == 2.0


def test_age_bands() -> None:
    got = [age_band(a) for a in (-1, 0, 17, 18, 44, 45, 64, 65, 74, 75, 84, 85, 124)]
    assert got == [
        "",
        "0-17",
        "0-17",
        "18-44",
        "18-44",
        "45-64",
        "45-64",
        "65-74",
        "65-74",
        "75-84",
        "75-84",
        "85+",
        "85+",
    ]


def test_all_are_registered_with_their_source() -> None:
    for name in ("claims.json", "claims.fhir", "claims.x12", "claims.desynpuf", "claims.rif"):
        entry = get("dataset", name)
        assert entry.source and entry.summary.endswith(".")
