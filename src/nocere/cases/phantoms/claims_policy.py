"""Treatments of the claims phantom, and the payer's policy: one readable table that acts on facts, never on codes.

A treatment is covered when the facts of the patient meet one of its rows and none of its exclusions. Reviewers read the
record, each with a noise of their own, and vote; what the payer decided in the past is the vote of one of them. The
rows are modelled on public coverage rules (named in `source`) and simplified; they are this phantom's, not Medicare's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

READERS = 5
# Reviewers score +-1 for what the policy says; spread of a claim about that, and of a reviewer about the claim.
_CLAIM_NOISE, _READER_NOISE = 0.5, 0.6
# Doctors mostly ask for what is indicated; what brings its own illness (pneumonia, sepsis) is possible for everybody.
_MEANT, _RARE = 3.0, 0.4


@dataclass(frozen=True, slots=True)
class Treatment:
    """What is billed, and when the payer covers it.

    Args:
        asked: conditions that make somebody ask for it; one is enough. A condition that starts with "+" comes with it.
        covered: rows of facts, all of a row needed, one row enough: "condition" or "condition: grade".
        excluded: facts that rule it out.
        source: public rule that the rows are modelled on.
        service: HCPCS Level II code (outpatient), or "" for a stay in hospital.
        procedures: ICD-10-PCS codes; for what has a side, by grade of the asking condition.
        days: mean length of stay.
        minutes: mean anaesthesia time, 0 where there is none.
        usd: mean charge.
    """

    asked: tuple[str, ...]
    covered: tuple[tuple[str, ...], ...]
    excluded: tuple[str, ...] = ()
    source: str = ""
    service: str = ""
    procedures: Mapping[str, tuple[str, ...]] | tuple[str, ...] = ()
    days: float = 0.0
    minutes: int = 0
    usd: float = 0.0


TREATMENTS: dict[str, Treatment] = {
    # Stays in hospital.
    "sleeve gastrectomy": Treatment(
        asked=("obesity",),
        covered=(
            ("obesity: class 3",),
            ("obesity: class 2", "diabetes"),
            ("obesity: class 2", "sleep apnoea"),
            ("obesity: class 2", "hypertension", "hypercholesterolaemia"),
        ),
        source="NCD 100.1",
        procedures=("0DB64Z3",),
        days=1.6,
        minutes=105,
        usd=42_000,
    ),
    "hip replacement": Treatment(
        asked=("hip arthritis",),
        covered=(("hip arthritis",),),
        excluded=("obesity: class 3", "diabetes: hyperglycaemia", "smoking"),
        source="LCD L36007",
        procedures={"right": ("0SR90JA",), "left": ("0SRB0JA",)},
        days=2.0,
        minutes=95,
        usd=58_000,
    ),
    "knee replacement": Treatment(
        asked=("knee arthritis",),
        covered=(("knee arthritis",),),
        excluded=("obesity: class 3", "diabetes: hyperglycaemia", "smoking"),
        source="LCD L36007",
        procedures={"right": ("0SRC0J9",), "left": ("0SRD0J9",)},
        days=2.0,
        minutes=100,
        usd=56_000,
    ),
    "defibrillator": Treatment(
        asked=("heart failure",),
        covered=(
            ("heart failure: systolic", "heart disease: ischaemic"),
            ("heart failure: systolic", "heart disease: cardiomyopathy"),
        ),
        excluded=("kidney disease: stage 5",),
        source="NCD 20.4",
        procedures=("0JH608Z", "02HK3KZ"),
        days=2.5,
        minutes=80,
        usd=110_000,
    ),
    "heart failure stay": Treatment(
        asked=("heart failure",),
        covered=(
            ("respiratory failure",),
            ("kidney injury",),
            ("hyponatraemia",),
            ("heart failure: acute systolic",),
            ("heart failure: acute diastolic", "atrial fibrillation"),
            ("heart failure: acute diastolic", "kidney disease"),
        ),
        source="42 CFR 412.3 (two midnights)",
        days=4.5,
        usd=32_000,
    ),
    "pneumonia stay": Treatment(
        asked=("+pneumonia",),
        covered=(
            ("respiratory failure",),
            ("sepsis",),
            ("pneumonia: MRSA",),
            ("encephalopathy",),
            ("heart failure", "kidney disease"),
            ("COPD", "malnutrition"),
        ),
        source="42 CFR 412.3; severity after CURB-65",
        days=4.2,
        usd=30_000,
    ),
    "COPD stay": Treatment(
        asked=("COPD",),
        covered=(("respiratory failure",), ("COPD: exacerbation", "chronic respiratory failure"), ("pneumonia",)),
        source="42 CFR 412.3",
        days=3.6,
        usd=24_000,
    ),
    "sepsis stay": Treatment(
        asked=("+sepsis",),
        covered=(("respiratory failure",), ("kidney injury",), ("encephalopathy",)),
        source="Sepsis-3 (organ dysfunction), as some payers use it",
        days=6.0,
        usd=52_000,
    ),
    # Outpatient services, HCPCS Level II.
    "obesity counselling": Treatment(
        asked=("obesity", "metabolic syndrome", "diabetes", "hypertriglyceridaemia"),
        covered=(("obesity",),),
        source="NCD 210.12",
        service="G0447",
        usd=60,
    ),
    "cardiovascular counselling": Treatment(
        asked=("hypertension", "hypercholesterolaemia", "metabolic syndrome", "heart disease", "obesity"),
        covered=(
            ("hypertension", "hypercholesterolaemia"),
            ("hypertension", "hypertriglyceridaemia"),
            ("hypertension", "diabetes"),
            ("heart disease: ischaemic",),
        ),
        source="NCD 210.11",
        service="G0446",
        usd=60,
    ),
    "diabetes training": Treatment(
        asked=("diabetes", "metabolic syndrome", "obesity"),
        covered=(("diabetes",),),
        source="NCD 40.1",
        service="G0108",
        usd=120,
    ),
    "nutrition therapy": Treatment(
        asked=("diabetes", "kidney disease", "obesity", "metabolic syndrome", "hypercholesterolaemia"),
        covered=(("diabetes",), ("kidney disease",)),
        source="NCD 180.1",
        service="G0270",
        usd=70,
    ),
    "CPAP device": Treatment(
        asked=("sleep apnoea", "obesity"),
        covered=(("sleep apnoea: obstructive",),),
        source="NCD 240.4",
        service="E0601",
        usd=900,
    ),
    "glucose monitor": Treatment(
        asked=("diabetes",),
        covered=(("diabetes", "insulin"),),
        source="LCD L33822",
        service="E2103",
        usd=2_600,
    ),
    "insulin pump": Treatment(
        asked=("diabetes",),
        covered=(("insulin", "diabetes: hyperglycaemia"), ("insulin", "diabetes: neuropathy")),
        source="NCD 280.14",
        service="E0784",
        usd=5_200,
    ),
    "oxygen at home": Treatment(
        asked=("COPD", "heart failure", "chronic respiratory failure"),
        covered=(("chronic respiratory failure",),),
        source="NCD 240.2",
        service="E1390",
        usd=2_400,
    ),
    "epoetin": Treatment(
        asked=("kidney disease",),
        covered=(
            ("renal anaemia", "kidney disease: stage 3b"),
            ("renal anaemia", "kidney disease: stage 4"),
            ("renal anaemia", "kidney disease: stage 5"),
        ),
        source="NCD 110.21",
        service="J0885",
        usd=1_800,
    ),
    "infliximab": Treatment(
        asked=("rheumatoid arthritis",),
        covered=(("rheumatoid arthritis: seropositive",),),
        excluded=("heart failure",),
        source="LCD L35677",
        service="J1745",
        usd=4_800,
    ),
    "omalizumab": Treatment(
        asked=("asthma",),
        covered=(("asthma: severe",), ("asthma: moderate",)),
        excluded=("smoking",),
        source="label of the drug",
        service="J2357",
        usd=3_900,
    ),
    "denosumab": Treatment(
        asked=("osteoporosis",),
        covered=(("osteoporosis: fracture",), ("osteoporosis", "kidney disease")),
        source="label of the drug",
        service="J0897",
        usd=1_600,
    ),
    "cardiac rehabilitation": Treatment(
        asked=("heart failure", "old infarction", "heart disease"),
        covered=(("heart failure: systolic",), ("old infarction",)),
        source="42 CFR 410.49",
        service="G0422",
        usd=1_100,
    ),
}
"""What can be billed, and the payer's policy on it."""


def holds(fact: str, facts: Mapping[str, str]) -> bool:
    """Whether "condition" or "condition: grade" is one of the facts."""
    name, _, grade = fact.partition(": ")
    return name in facts and (not grade or facts[name] == grade)


def covered(treatment: str, facts: Mapping[str, str]) -> bool:
    """What the policy says of a treatment for a patient with these facts."""
    t = TREATMENTS[treatment]
    met = any(all(holds(f, facts) for f in row) for row in t.covered)
    return met and not any(holds(f, facts) for f in t.excluded)


def review(treatment: str, facts: Mapping[str, str], rng: np.random.Generator) -> tuple[bool, ...]:
    """The votes to deny of all reviewers; the first is the one whose decision stood."""
    score = (-1.0 if covered(treatment, facts) else 1.0) + _CLAIM_NOISE * rng.normal()
    return tuple((score + _READER_NOISE * rng.normal(size=READERS) > 0).tolist())


def choose(facts: Mapping[str, str], rng: np.random.Generator) -> str:
    """The treatment that is asked for, given what has long been known: more often one that is covered."""
    asked = {k: t for k, t in TREATMENTS.items() if any(a[:1] == "+" or a in facts for a in t.asked)}
    odds = np.array([_RARE if t.asked[0][:1] == "+" else 1 + _MEANT * covered(k, facts) for k, t in asked.items()])
    return list(asked)[int(rng.choice(len(odds), p=odds / odds.sum()))]
