"""The patient of the paper's fourth panel, as reference cases: both code sets of the figure, in ICD-9-CM and ICD-10-CM.

Finlayson et al., Science 363:1287 (2019), show a claim with 277.7, 429.9 and 278.00 that is denied, and one with 401.0,
272.0, 272.2, 429.9 and 278.00 that is approved, for the same patient (the text writes 277.77; there is no such code).
The codes are kept as printed, although 401.0 is malignant hypertension and 272.2 alone says what 272.0 with it says. In
ICD-10-CM hypertension and heart disease are presumed to be linked (I11.9): I10 with I51.9 is not how one would code it.
What was billed, age and sex are not in the paper: here it is counselling (G0446) of a woman of 62.
"""

from __future__ import annotations

from nocere.cases.claim import Claim, Diagnosis, Line, System
from nocere.cases.phantoms.claims_policy import TREATMENTS
from nocere.core.canonical import Json, dumps, sha256
from nocere.core.case import Case, CaseSet, Truth

TREATMENT = "cardiovascular counselling"
CODES: dict[str, tuple[System, tuple[str, ...]]] = {
    "icd9-denied": ("ICD-9-CM", ("277.7", "429.9", "278.00")),
    "icd9-approved": ("ICD-9-CM", ("401.0", "272.0", "272.2", "429.9", "278.00")),
    "icd10-denied": ("ICD-10-CM", ("E88.810", "I51.9", "E66.9")),
    "icd10-approved": ("ICD-10-CM", ("I10", "E78.00", "E78.2", "I51.9", "E66.9")),
}
"""Case -> code system and the codes in the figure's order."""

FACTS: dict[System, dict[str, str]] = {
    "ICD-9-CM": {
        "277.7": "clinic letter",
        "401.0": "blood pressure log",
        "272.0": "laboratory: lipids",
        "272.2": "laboratory: lipids",
        "429.9": "echocardiogram",
        "278.00": "vital signs",
    },
    "ICD-10-CM": {
        "E88.810": "clinic letter",
        "I10": "blood pressure log",
        "E78.00": "laboratory: lipids",
        "E78.1": "laboratory: lipids",
        "E78.2": "laboratory: lipids",
        "I51.9": "echocardiogram",
        "I11.9": "blood pressure log",
        "E66.9": "vital signs",
    },
}
"""What is true of the patient, and the document that shows it."""


def paper_cases() -> CaseSet:
    """The four reference cases; what they ask for is covered, so the truth is "approve"."""
    return CaseSet.of([_case(k, *CODES[k]) for k in CODES], phantom=True, name="phantom-paper")


def _case(name: str, system: System, codes: tuple[str, ...]) -> Case[Claim]:
    claim = Claim(
        tuple(Diagnosis(c) for c in codes),
        lines=(Line(TREATMENTS[TREATMENT].service, charge=60.0, pointers=(0,)),),
        system=system,
        code_year=2015 if system == "ICD-9-CM" else 2026,
        setting="outpatient",
        age=62,
        sex="F",
        charge=60.0,
        provider="provider-paper",
        patient="patient-paper",
    )
    facts: list[Json] = [
        {"code": c, "evidence": [document], "principal": True} for c, document in sorted(FACTS[system].items())
    ]
    header: dict[str, Json] = {"facts": facts, "phantom": {"treatment": TREATMENT}}
    digest = sha256(dumps({"claim": claim.to_json(), "header": header}))
    return Case(f"phantom-paper/{name}", claim, header, Truth.of("approve"), claim.patient, {"sex": "F"}, digest)
