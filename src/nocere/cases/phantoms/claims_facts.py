"""Patients of the claims phantom: a table of conditions, and how a patient's facts are drawn from it.

A condition has grades, each with the most specific ICD-10-CM codes that say it, the unspecified code that says less of
the same, and the document of the record that shows it. Shares are round numbers for an elderly population, not
estimates of anything. Conditions further down may depend on those above.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, slots=True)
class Grade:
    """One degree or kind of a condition: its share, its codes, and the same said without detail.

    A share of 0 is for what arises during a stay only.
    """

    share: float
    codes: tuple[str, ...]
    general: str


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition.

    Args:
        grades: by name; "" where there is only one.
        document: what of the record shows it.
        share: of patients aged 70 who have it where nothing else does anything.
        decade: change of its log odds with ten years of age.
        with_: log odds that other conditions add.
        only_with: conditions of which one must be there.
        never_with: conditions that must not be there.
        acute: arises during a stay in hospital only.
    """

    grades: Mapping[str, Grade]
    document: str
    share: float
    decade: float = 0.0
    with_: Mapping[str, float] = field(default_factory=dict)
    only_with: tuple[str, ...] = ()
    never_with: tuple[str, ...] = ()
    acute: bool = False


def _one(code: str, general: str = "") -> dict[str, Grade]:
    return {"": Grade(1.0, (code,), general or code)}


def _many(general: str, **grades: tuple[float, str]) -> dict[str, Grade]:
    return {k.replace("_", " "): Grade(share, (code,), general) for k, (share, code) in grades.items()}


CONDITIONS: dict[str, Condition] = {
    "obesity": Condition(
        {
            "class 1": Grade(0.45, ("E66.811", "Z68.32"), "E66.9"),
            "class 2": Grade(0.30, ("E66.812", "Z68.37"), "E66.9"),
            "class 3": Grade(0.25, ("E66.813", "Z68.42"), "E66.9"),
        },
        "vital signs",
        0.40,
        -0.2,
    ),
    "hypertension": Condition(_one("I10"), "blood pressure log", 0.52, 0.2, {"obesity": 0.5}),
    "diabetes": Condition(
        {
            "controlled": Grade(0.45, ("E11.9",), "E11.9"),
            "hyperglycaemia": Grade(0.35, ("E11.65",), "E11.8"),
            "neuropathy": Grade(0.20, ("E11.42",), "E11.8"),
        },
        "laboratory: HbA1c",
        0.24,
        0.0,
        {"obesity": 0.9, "hypertension": 0.4},
    ),
    "insulin": Condition(_one("Z79.4"), "medication list", 0.35, only_with=("diabetes",)),
    "hypercholesterolaemia": Condition(_one("E78.00"), "laboratory: lipids", 0.42),
    "hypertriglyceridaemia": Condition(
        _one("E78.1"), "laboratory: lipids", 0.22, 0.0, {"obesity": 0.8, "diabetes": 0.5}
    ),
    "metabolic syndrome": Condition(
        _one("E88.810"), "clinic letter", 0.40, 0.0, {"hypertriglyceridaemia": 1.0, "hypertension": 0.5}, ("obesity",)
    ),
    "heart disease": Condition(
        {
            "ischaemic": Grade(0.50, ("I25.10",), "I25.9"),
            "cardiomyopathy": Grade(0.20, ("I42.0",), "I42.9"),
            "not specified": Grade(0.30, ("I51.9",), "I51.9"),
        },
        "echocardiogram",
        0.28,
        0.3,
        {"hypertension": 0.4, "diabetes": 0.3, "hypercholesterolaemia": 0.3},
    ),
    "old infarction": Condition(_one("I25.2"), "clinic letter", 0.25, only_with=("heart disease",)),
    "heart failure": Condition(
        _many(
            "I50.9",
            systolic=(0.5, "I50.22"),
            diastolic=(0.5, "I50.32"),
            acute_systolic=(0.0, "I50.23"),
            acute_diastolic=(0.0, "I50.33"),
        ),
        "echocardiogram",
        0.12,
        0.4,
        {"heart disease": 1.6, "hypertension": 0.5},
    ),
    "atrial fibrillation": Condition(
        _many("I48.91", paroxysmal=(0.4, "I48.0"), persistent=(0.3, "I48.19"), permanent=(0.3, "I48.21")),
        "electrocardiogram",
        0.12,
        0.5,
        {"heart failure": 1.0},
    ),
    "kidney disease": Condition(
        _many(
            "N18.9", stage_3a=(0.4, "N18.31"), stage_3b=(0.3, "N18.32"), stage_4=(0.2, "N18.4"), stage_5=(0.1, "N18.5")
        ),
        "laboratory: eGFR",
        0.16,
        0.4,
        {"diabetes": 0.8, "hypertension": 0.6},
    ),
    "renal anaemia": Condition(_one("D63.1"), "laboratory: blood count", 0.35, only_with=("kidney disease",)),
    "smoking": Condition(_one("F17.210", "F17.200"), "clinic letter", 0.16, -0.3),
    "COPD": Condition(
        _many("J44.9", stable=(1.0, "J44.9"), exacerbation=(0.0, "J44.1")), "spirometry", 0.15, 0.1, {"smoking": 1.5}
    ),
    "asthma": Condition(
        _many("J45.909", mild=(0.4, "J45.30"), moderate=(0.35, "J45.40"), severe=(0.25, "J45.50")),
        "spirometry",
        0.12,
        never_with=("COPD",),
    ),
    "chronic respiratory failure": Condition(
        _one("J96.11", "J96.91"), "blood gases", 0.30, only_with=("COPD", "heart failure")
    ),
    "sleep apnoea": Condition(
        _many("G47.30", obstructive=(0.8, "G47.33"), central=(0.2, "G47.31")),
        "sleep study",
        0.10,
        0.0,
        {"obesity": 1.5},
    ),
    "hip arthritis": Condition(
        _many("M16.9", right=(0.5, "M16.11"), left=(0.5, "M16.12")), "radiograph", 0.10, 0.2, {"obesity": 0.3}
    ),
    "knee arthritis": Condition(
        _many("M17.9", right=(0.5, "M17.11"), left=(0.5, "M17.12")), "radiograph", 0.14, 0.2, {"obesity": 0.7}
    ),
    "rheumatoid arthritis": Condition(
        {
            "seropositive": Grade(0.6, ("M05.79",), "M05.9"),
            "seronegative": Grade(0.4, ("M06.09",), "M06.9"),
        },
        "laboratory: serology",
        0.06,
    ),
    "osteoporosis": Condition(
        {
            "fracture": Grade(0.35, ("M80.08XA",), "M80.00XA"),
            "no fracture": Grade(0.65, ("M81.0",), "M81.0"),
        },
        "bone densitometry",
        0.10,
        0.4,
    ),
    "depression": Condition(
        {
            "recurrent": Grade(0.6, ("F33.1",), "F33.9"),
            "single": Grade(0.4, ("F32.0",), "F32.9"),
        },
        "clinic letter",
        0.14,
    ),
    "hypothyroidism": Condition(_one("E03.9"), "laboratory: thyroid", 0.14),
    "reflux": Condition(_one("K21.9"), "clinic letter", 0.22),
    "malnutrition": Condition(
        {
            "severe": Grade(0.3, ("E43",), "E43"),
            "moderate": Grade(0.4, ("E44.0",), "E44.0"),
            "mild": Grade(0.3, ("E44.1",), "E44.1"),
        },
        "dietitian's note",
        0.07,
        0.3,
        {"kidney disease": 0.4},
        never_with=("obesity",),
        acute=True,
    ),
    "pneumonia": Condition(
        {
            "pneumococcal": Grade(0.30, ("J13",), "J13"),
            "Klebsiella": Grade(0.12, ("J15.0",), "J15.9"),
            "MRSA": Grade(0.08, ("J15.212",), "J15.9"),
            "organism unknown": Grade(0.50, ("J18.9",), "J18.9"),
        },
        "microbiology",
        0.05,
        acute=True,
    ),
    "sepsis": Condition(
        {
            "E. coli": Grade(0.35, ("A41.51",), "A41.9"),
            "S. aureus": Grade(0.20, ("A41.01",), "A41.9"),
            "organism unknown": Grade(0.45, ("A41.9",), "A41.9"),
        },
        "microbiology",
        0.03,
        acute=True,
    ),
    "respiratory failure": Condition(
        _one("J96.01", "J96.91"),
        "blood gases",
        0.07,
        with_={"pneumonia": 1.6, "heart failure": 0.8, "COPD": 1.0, "sepsis": 1.0},
        never_with=("chronic respiratory failure",),
        acute=True,
    ),
    "kidney injury": Condition(
        {
            "tubular necrosis": Grade(0.2, ("N17.0",), "N17.9"),
            "not specified": Grade(0.8, ("N17.9",), "N17.9"),
        },
        "laboratory: creatinine",
        0.10,
        with_={"sepsis": 1.4, "kidney disease": 0.9, "heart failure": 0.6},
        acute=True,
    ),
    "encephalopathy": Condition(
        _one("G93.41", "G93.40"), "neurology note", 0.03, 0.3, {"sepsis": 1.4, "kidney injury": 0.6}, acute=True
    ),
    "hyponatraemia": Condition(
        _one("E87.1"), "laboratory: electrolytes", 0.08, with_={"heart failure": 0.8}, acute=True
    ),
    "pressure ulcer": Condition(
        _many("L89.159", stage_2=(0.7, "L89.152"), stage_3=(0.3, "L89.153")), "wound chart", 0.04, 0.4, acute=True
    ),
}
"""Every condition that a patient of the phantom can have. Order is that of drawing."""

Facts = dict[str, str]
"""Condition -> grade."""


@dataclass(frozen=True, slots=True)
class Patient:
    """Who the patient is and what has long been known; facts of one stay come on top."""

    age: int
    sex: str
    facts: Mapping[str, str]


def draw_patient(rng: np.random.Generator) -> Patient:
    """A patient with chronic conditions only."""
    age = int(np.clip(rng.normal(71, 10), 35, 96))
    sex = "F" if rng.random() < 0.54 else "M"
    facts: Facts = {}
    add_conditions(facts, age, rng, acute=False)
    return Patient(age, sex, facts)


def add_conditions(
    facts: Facts, age: int, rng: np.random.Generator, *, acute: bool, never: tuple[str, ...] = ()
) -> None:
    """Draws the acute or the chronic conditions but those in `never` into `facts`, given those that are there."""
    draws = rng.random((len(CONDITIONS), 2))
    for (name, c), (has, which) in zip(CONDITIONS.items(), draws, strict=True):
        if c.acute is not acute or name in facts or name in never:
            continue
        if (c.only_with and not any(o in facts for o in c.only_with)) or any(o in facts for o in c.never_with):
            continue
        odds = math.log(c.share / (1 - c.share)) + c.decade * (age - 70) / 10
        odds += sum(v for other, v in c.with_.items() if other in facts)
        if has < 1 / (1 + math.exp(-odds)):
            facts[name] = grade_of(name, float(which))


def grade_of(name: str, u: float) -> str:
    """The grade of a condition at `u` of its cumulated shares, 0 <= u < 1."""
    reached = 0.0
    for grade, g in CONDITIONS[name].grades.items():
        reached += g.share
        if u < reached:
            return grade
    return grade
