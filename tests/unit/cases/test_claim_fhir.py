"""FHIR: real explanations of benefit, claims written and read back, fhir.resources as judge of what is written."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from nocere.cases.claim import Claim, Diagnosis, Line
from nocere.cases.claim_fhir import read_fhir
from nocere.cases.claim_fhir_write import write_fhir
from nocere.core.errors import DataError

CLAIM = Claim(
    diagnoses=(Diagnosis("E11.22", "Y", ("doc-1", "doc-2")), Diagnosis("N18.4", "1"), Diagnosis("I10")),
    procedures=("5A1D70Z", "0DTJ4ZZ"),
    lines=(Line("G0001", ("LT", "ZZ"), 2.5, 95, 100.5, (1, 0), ("doc-3",)), Line("")),
    age=67,
    sex="F",
    days=3,
    charge=1234.5,
    provider="p",
    patient="q",
    discharge="01",
)
NINE = Claim((Diagnosis("250.00"),), ("39.95",), system="ICD-9-CM", code_year=2014, setting="professional", sex="M")


def samples() -> list[dict[str, Any]]:
    hccinfhir = pytest.importorskip("hccinfhir", reason="the claims extra is not installed")
    folder = Path(hccinfhir.__file__).parent / "sample_files"
    lines = (folder / "sample_eob_200.ndjson").read_text().splitlines()
    return [json.loads(x) for x in lines] + [
        json.loads((folder / f"sample_eob_{i}.json").read_text()) for i in (1, 2, 3)
    ]


@pytest.mark.parametrize("exhibit", [True, False])
@pytest.mark.parametrize("claim", [CLAIM, NINE, Claim((Diagnosis("E11.9"),), setting="outpatient", age=0)])
def test_what_is_written_is_valid_r4_and_reads_back(claim: Claim, exhibit: bool) -> None:
    judge = pytest.importorskip("fhir.resources.R4B.claim", reason="the fhir extra is not installed")
    written = write_fhir(claim, "c1", {"from": "2025-11-01", "thru": "2025-11-04"}, exhibit=exhibit)
    judge.Claim.model_validate(written)
    found = read_fhir(json.loads(json.dumps(written)), "file")
    assert found.claim == claim
    assert found.id == "c1"
    assert found.header == {"from": "2025-11-01", "thru": "2025-11-04"}


def test_an_exhibit_cannot_be_billed() -> None:
    exhibit, plain = write_fhir(CLAIM, "c1"), write_fhir(CLAIM, "c1", exhibit=False)
    assert exhibit["status"] == "draft" and exhibit["meta"]["security"][0]["code"] == "HTEST"
    assert plain["status"] == "active" and "meta" not in plain


def test_the_judge_is_awake() -> None:
    judge = pytest.importorskip("fhir.resources.R4B.claim", reason="the fhir extra is not installed")
    for spoiled in ({"patient": None}, {"diagnosis": [{"sequence": "one"}]}, {"colour": 1}):
        with pytest.raises(ValueError, match="validation error"):
            judge.Claim.model_validate({k: v for k, v in (write_fhir(CLAIM, "c1") | spoiled).items() if v is not None})


def test_real_benefits_are_read_as_another_reader_reads_them() -> None:
    """hccinfhir reads codes, lines and pointers of the same files; ICD-10-CM without dots."""
    benefits = samples()
    from hccinfhir.extractor_fhir import extract_sld_fhir

    settings: Counter[str] = Counter()
    for i, benefit in enumerate(benefits):
        if any(c["code"] == "pharmacy" for c in benefit["type"]["coding"]):
            with pytest.raises(DataError, match="a pharmacy claim has no diagnoses"):
                read_fhir(benefit, f"benefit {i}")
            settings["pharmacy"] += 1
            continue
        found = read_fhir(benefit, f"benefit {i}")
        settings[found.claim.setting] += 1
        theirs = extract_sld_fhir(benefit)
        codes = {c.replace(".", "") for c in found.claim.codes} | {
            str(found.header.get("admitting", "")).replace(".", "")
        }
        assert {c.replace(".", "") for c in theirs[0].claim_diagnosis_codes} | {""} == codes | {""}
        assert theirs[0].patient_id in (found.claim.patient, None)
        coded = [line for line in found.claim.lines if line.code]
        procedures = [t for t in theirs if t.procedure_code]
        assert [line.code for line in coded] == [t.procedure_code for t in procedures]
        for line, t in zip(coded, procedures, strict=True):
            assert line.units == (t.quantity if t.quantity is not None else 1.0)
            if t.linked_diagnosis_codes:
                pointed = [found.claim.codes[p].replace(".", "") for p in line.pointers]
                assert pointed == [c.replace(".", "") for c in t.linked_diagnosis_codes]
    assert settings == {"inpatient": 11, "outpatient": 72, "pharmacy": 35, "professional": 85}


def test_an_inpatient_benefit_in_full() -> None:
    """The first stay of the samples, field by field as its JSON says."""
    stay = next(b for b in samples() if any(c["code"] == "INPATIENT" for c in b["type"]["coding"]))
    found = read_fhir(stay, "x")
    claim = found.claim
    assert claim.codes == ("J20.8", "R09.02", "E78.5", "J32.9", "E66.9")
    assert claim.procedures == ("BW03ZZZ",)
    assert (claim.setting, claim.days, claim.charge, claim.code_year) == ("inpatient", 9, 22436.56, 2020)
    assert found.header == {"from": "2020-03-13", "thru": "2020-03-22", "payment": 22436.56}
    assert (claim.patient, claim.provider) == ("-10000000000066", "220135")


def test_order_principal_admitting_and_patient() -> None:
    claim: dict[str, Any] = write_fhir(CLAIM, "c1", {"from": "2025-11-01", "thru": "2025-11-04"})
    first, second, third = claim["diagnosis"]
    first.pop("type")
    third["type"] = [{"coding": [{"code": "principal"}]}]
    second["type"] = [{"coding": [{"code": "admitting"}]}]
    claim["diagnosis"] = [third, second, first]
    assert read_fhir(claim | {"diagnosis": [second, first], "item": []}, "x").claim.codes == ("E11.22",)
    plain = [{k: v for k, v in d.items() if k != "type"} for d in (second, third, first)]
    assert read_fhir(claim | {"diagnosis": plain}, "x").claim.codes == CLAIM.codes
    claim["item"][0]["diagnosisSequence"] = [1, 3]
    claim["contained"][0]["birthDate"] = "1950-11-02"
    claim["supportingInfo"] = [s for s in claim["supportingInfo"] if s["code"]["text"] != "age at admission"]
    found = read_fhir(claim, "x")
    assert found.claim.codes == ("I10", "E11.22")
    assert found.claim.lines[0].pointers == (1, 0)
    assert found.header["admitting"] == "N18.4"
    assert found.claim.age == 74  # the day before the birthday
    claim["patient"] = {"reference": "Patient/7"}
    outside = read_fhir(
        claim, "x", {"Patient/7": {"resourceType": "Patient", "gender": "male", "birthDate": "2000-01-01"}}
    )
    assert (outside.claim.patient, outside.claim.sex, outside.claim.age) == ("7", "M", 25)


def test_what_blue_button_adds_to_r4() -> None:
    """Present on admission in an extension, DRG as a diagnosis or as information, the rate beside the charge, no total."""
    button = "https://bluebutton.cms.gov/resources/variables/"
    code = {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "A40"}]}
    poa = [{"url": button + "clm_poa_ind_sw1", "valueCoding": {"code": "y"}}]

    def amount(value: float, *codes: str) -> dict[str, Any]:
        return {"category": {"coding": [{"code": c} for c in codes]}, "amount": {"value": value}}

    rate = amount(5, "submitted", button + "rev_cntr_rate_amt")
    charge = amount(80.5, "submitted", button + "rev_cntr_tot_chrg_amt")
    stay = {"start": "2016-01-14", "end": "2016-01-27"}
    benefit: dict[str, Any] = {
        "resourceType": "ExplanationOfBenefit",
        "id": "b1",
        "type": {"coding": [{"system": button + "nch_clm_type_cd", "code": "60"}]},
        "billablePeriod": {"start": "2016-01-15", "end": "2016-01-27"},
        "diagnosis": [
            {"sequence": 1, "packageCode": {"coding": [{"code": "695"}]}},
            {"sequence": 2, "diagnosisCodeableConcept": code, "extension": poa},
        ],
        "supportingInfo": [
            {"sequence": 1, "category": {"coding": [{"code": "admissionperiod"}]}, "timingPeriod": stay},
            {
                "sequence": 2,
                "category": {"coding": [{"code": "discharge-status"}]},
                "code": {"coding": [{"code": "51"}]},
            },
        ],
        "item": [
            {"sequence": n, "adjudication": a}
            for n, a in enumerate([[rate, amount(3, "submitted"), charge], [amount(7, "submitted")], [rate]], 1)
        ],
    }
    found = read_fhir(benefit, "x")
    claim = found.claim
    assert claim.diagnoses == (Diagnosis("A40", "Y"),)
    assert [line.charge for line in claim.lines] == [80.5, 7.0, 0.0] and claim.charge == 87.5
    assert (claim.days, claim.discharge, claim.setting, found.header["drg"]) == (13, "51", "inpatient", "695")
    benefit["total"] = [amount(1, "priorpayerpaid"), amount(99, "submitted")]
    benefit["diagnosis"] = benefit["diagnosis"][1:]
    drg = {
        "sequence": 3,
        "category": {"coding": [{"code": button + "clm_drg_cd"}]},
        "code": {"coding": [{"code": "696"}]},
    }
    benefit["supportingInfo"].append(drg)
    again = read_fhir(benefit, "x")
    assert (again.claim.charge, again.header["drg"]) == (99.0, "696")


def _changed(**parts: Any) -> dict[str, Any]:
    return write_fhir(CLAIM, "c1", {"from": "2025-11-01", "thru": "2025-11-04"}) | parts


TEN = {"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "E11.9"}
OLD = {"system": "http://hl7.org/fhir/sid/icd-9-cm", "code": "250.00"}
HCPCS = {"coding": [{"system": "x", "code": "G0001"}]}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "file 1: expected a FHIR Claim or ExplanationOfBenefit; got 'list'"),
        ({"resourceType": "Patient"}, "file 1: expected a FHIR Claim .*; got 'Patient'"),
        (_changed(type={"coding": [{"code": "pharmacy"}]}), "Claim c1: a pharmacy claim has no diagnoses"),
        (_changed(type={}, subType={}), "Claim c1: its type is neither institutional nor professional"),
        (_changed(type=5), "Claim c1: broken FHIR, type must be an object; got int"),
        (_changed(diagnosis={}), "Claim c1: broken FHIR, diagnosis must be a list of objects"),
        (
            _changed(diagnosis=[{"diagnosisCodeableConcept": {"coding": [TEN]}}]),
            "Claim c1: broken FHIR, a diagnosis has no seq",
        ),
        (_changed(diagnosis=[{"sequence": 1}], item=[]), "Claim c1: diagnosis 1 has no ICD-10-CM or ICD-9-CM code"),
        (
            _changed(diagnosis=[{"sequence": 1, "diagnosisCodeableConcept": {"coding": [TEN]}}] * 2),
            "Claim c1: broken FHIR, two diagnoses have the same sequence number",
        ),
        (
            _changed(
                diagnosis=[
                    {"sequence": i, "diagnosisCodeableConcept": {"coding": [c]}} for i, c in ((1, TEN), (2, OLD))
                ]
            ),
            "Claim c1: its diagnoses mix ICD-9-CM and ICD-10-CM",
        ),
        (
            _changed(item=[{"productOrService": HCPCS, "diagnosisSequence": [9]}]),
            "Claim c1: an item points to diagnosis 9",
        ),
        (
            _changed(item=[{"productOrService": HCPCS, "diagnosisSequence": ["1"]}]),
            "diagnosisSequence must be a list of pos",
        ),
        (
            _changed(item=[{"productOrService": HCPCS, "net": {"value": "5"}}]),
            "Claim c1: broken FHIR, value must be a number",
        ),
        (_changed(total={"value": float("nan")}), "Claim c1: broken FHIR, value must be a number; got nan"),
        (_changed(item=[{"quantity": {"value": 2.5, "code": "min"}}]), "Claim c1: an item has 2.5 minutes"),
        (_changed(billablePeriod={"end": "2025-02-30"}), "Claim c1: '2025-02-30' is not a date"),
        (_changed(billablePeriod={"end": 5}), "Claim c1: broken FHIR, end must be text"),
        (
            _changed(billablePeriod={}, diagnosis=[], item=[]),
            "Claim c1: neither billablePeriod nor a code system version says its code year",
        ),
    ],
)
def test_broken_fhir_is_one_sentence_with_the_claim(data: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_fhir(data, "file 1")
