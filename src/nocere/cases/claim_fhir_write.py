"""A claim as a FHIR R4 Claim, readable by `read_fhir` without loss.

An exhibit of an audit is marked so that nobody bills it: status draft, and the security label HTEST (HL7 v3 ActReason:
test health data).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nocere.cases.claim import Claim, Diagnosis, Line
from nocere.cases.claim_fhir import AGE, DISCHARGE, EVIDENCE, MINUTES, STAY
from nocere.core.canonical import Json

HL7 = "http://terminology.hl7.org/CodeSystem/"
UCUM = "http://unitsofmeasure.org"
ICD = {"ICD-10-CM": "http://hl7.org/fhir/sid/icd-10-cm", "ICD-9-CM": "http://hl7.org/fhir/sid/icd-9-cm"}
PROCEDURES = {"ICD-10-CM": "http://www.cms.gov/Medicare/Coding/ICD10", "ICD-9-CM": "http://hl7.org/fhir/sid/icd-9-cm"}
HCPCS = "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"
POA = "https://www.nubc.org/CodeSystem/PresentOnAdmissionIndicator"
STATUS = "https://www.nubc.org/CodeSystem/PatDischargeStatus"
SUBTYPE = "http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBInstitutionalClaimSubType"
GENDER = {"F": "female", "M": "male", "": "unknown"}


def write_fhir(
    claim: Claim, claim_id: str, header: Mapping[str, Json] | None = None, *, exhibit: bool = True
) -> dict[str, Any]:
    """The FHIR R4 Claim resource, plain JSON.

    Args:
        claim: the claim.
        claim_id: id of the case, written as identifier.
        header: header of the case; `from` and `thru` become the billable period.
        exhibit: mark it as test data that nobody may bill.
    """
    header = header or {}
    period = {k: header[n] for n, k in (("from", "start"), ("thru", "end")) if header.get(n)}
    notes = _Notes()
    items = [_item(i, line, notes) for i, line in enumerate(claim.lines, 1)]
    notes.add("other", AGE, {"valueQuantity": _quantity(claim.age, "a")}, when=claim.age >= 0)
    notes.add("hospitalized", STAY, {"valueQuantity": _quantity(claim.days, "d")}, when=claim.days != 0)
    discharge = {"code": {"coding": [{"system": STATUS, "code": claim.discharge}], "text": DISCHARGE}}
    notes.add("discharge", DISCHARGE, discharge, when=claim.discharge != "")
    person: dict[str, Any] = {"resourceType": "Patient", "id": "patient", "gender": GENDER[claim.sex]}
    if claim.patient:
        person["identifier"] = [{"value": claim.patient}]
    resource: dict[str, Any] = {
        "resourceType": "Claim",
        "contained": [person],
        "identifier": [{"value": claim_id}],
        "status": "draft" if exhibit else "active",
        "type": _coded(HL7 + "claim-type", "professional" if claim.setting == "professional" else "institutional"),
        "use": "claim",
        "patient": {"reference": "#patient"},
        "created": header.get("thru") or str(claim.code_year),
        "provider": {"identifier": {"value": claim.provider}} if claim.provider else {"display": "not stated"},
        "priority": _coded(HL7 + "processpriority", "normal"),
        "insurance": [{"sequence": 1, "focal": True, "coverage": {"display": "not stated"}}],
        "total": {"value": claim.charge, "currency": "USD"},
    }
    if claim.setting != "professional":
        resource["subType"] = _coded(SUBTYPE, claim.setting)
    if exhibit:
        label = {"system": HL7 + "v3-ActReason", "code": "HTEST", "display": "test health data"}
        resource["meta"] = {"security": [label]}
    lists = {
        "billablePeriod": period,
        "diagnosis": [_diagnosis(i, d, claim) for i, d in enumerate(claim.diagnoses, 1)],
        "procedure": [_procedure(i, code, claim) for i, code in enumerate(claim.procedures, 1)],
        "item": items,
        "supportingInfo": notes.made,
    }
    return resource | {k: v for k, v in lists.items() if v}


class _Notes:
    """supportingInfo, numbered as it grows."""

    def __init__(self) -> None:
        self.made: list[dict[str, Any]] = []

    def add(self, category: str, called: str, value: Mapping[str, Any], *, when: bool = True) -> list[int]:
        if not when:
            return []
        about = {"category": _coded(HL7 + "claiminformationcategory", category), "code": {"text": called}}
        self.made.append({"sequence": len(self.made) + 1, **about, **value})
        return [len(self.made)]


def _diagnosis(place: int, d: Diagnosis, claim: Claim) -> dict[str, Any]:
    code = {"system": ICD[claim.system], "version": str(claim.code_year), "code": d.code}
    made: dict[str, Any] = {"sequence": place, "diagnosisCodeableConcept": {"coding": [code]}}
    if place == 1:
        made["type"] = [_coded(HL7 + "ex-diagnosistype", "principal")]
    if d.poa:
        made["onAdmission"] = _coded(POA, d.poa)
    if d.evidence:
        made["extension"] = [{"url": EVIDENCE, "valueString": e} for e in d.evidence]
    return made


def _procedure(place: int, code: str, claim: Claim) -> dict[str, Any]:
    return {"sequence": place, "procedureCodeableConcept": _coded(PROCEDURES[claim.system], code)}


def _item(place: int, line: Line, notes: _Notes) -> dict[str, Any]:
    said = notes.add("info", MINUTES, {"valueQuantity": _quantity(line.minutes, "min")}, when=line.minutes != 0)
    for reference in line.evidence:
        said += notes.add("attachment", "evidence", {"valueReference": {"identifier": {"value": reference}}})
    made: dict[str, Any] = {
        "sequence": place,
        "productOrService": _coded(HCPCS, line.code) if line.code else {"text": "not stated"},
        "modifier": [_coded(HCPCS, m) for m in line.modifiers],
        "quantity": {"value": line.units},
        "net": {"value": line.charge, "currency": "USD"},
        "diagnosisSequence": [p + 1 for p in line.pointers],
        "informationSequence": said,
    }
    return {k: v for k, v in made.items() if v != []}


def _coded(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def _quantity(value: float, unit: str) -> dict[str, Any]:
    return {"value": value, "unit": unit, "system": UCUM, "code": unit}
