"""What can be true of a phantom patient with pain, and what it does to the risk of opioid misuse.

The factors are those of the Opioid Risk Tool (Webster and Webster 2005, Pain Med 6:432): substance use of the patient
and of the family, psychiatric disease, young age; weights and prevalences are invented. A condition lists every
ICD-10-CM code that its record supports, the most specific one first: whoever has low back pain has back pain, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SETTINGS = ("emergency", "primary care", "pain clinic")
SETTING_SHARES = (0.35, 0.40, 0.25)
SETTING_RISK = {"emergency": 0.7, "primary care": 0.0, "pain clinic": -0.9}
"""Log odds: who comes to which clinic differs; the words that the clinics write differ as well (`notes_wording`)."""

BASE_RISK = -3.3
YOUNG_RISK, SHOPPING_RISK = 0.5, 0.9
SHOPPING_SHARE = 0.25
"""Seen in several emergency departments of late."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition: codes that its record supports, share of patients, log odds of misuse."""

    codes: tuple[str, ...]
    share: float
    risk: float = 0.0


PAINS: dict[str, Condition] = {
    "low back pain": Condition(("M54.50", "M54.9"), 0.45),
    "neck pain": Condition(("M54.2",), 0.15),
    "knee osteoarthritis": Condition(("M17.9",), 0.20, -0.3),
    "fibromyalgia": Condition(("M79.7",), 0.10, 0.2),
    "migraine": Condition(("G43.909",), 0.10),
}
"""Exactly one is what the visit is about; shares add up to one."""

ALCOHOL: dict[str, Condition] = {
    "alcohol abuse": Condition(("F10.10",), 0.14, 1.3),
    "alcohol dependence": Condition(("F10.20", "F10.10"), 0.14, 1.3),
}
"""At most one. Both weigh alike: what tells them apart in a note is mostly who wrote it."""

OTHERS: dict[str, Condition] = {
    "opioid dependence": Condition(("F11.20",), 0.07, 2.2),
    "tobacco use": Condition(("Z72.0",), 0.30, 0.5),
    "anxiety": Condition(("F41.9",), 0.25, 0.5),
    "depression": Condition(("F32.A",), 0.25, 0.6),
    "bipolar disorder": Condition(("F31.9",), 0.05, 0.9),
    "insomnia": Condition(("G47.00",), 0.20, 0.2),
    "hypertension": Condition(("I10",), 0.45),
    "type 2 diabetes": Condition(("E11.9",), 0.20),
    "hyperlipidemia": Condition(("E78.5",), 0.35),
    "GERD": Condition(("K21.9",), 0.20),
    "asthma": Condition(("J45.909",), 0.12),
    "hypothyroidism": Condition(("E03.9",), 0.10),
    "obesity": Condition(("E66.9",), 0.25),
    "kidney stones": Condition(("N20.0",), 0.08),
}
DENIED = ("chest pain", "shortness of breath", "fever", "nausea", "abdominal pain", "dizziness", "headache")
"""Symptoms that a note says are absent."""

FAMILY = {"alcohol abuse": Condition(("Z81.1",), 0.15, 0.5), "hypertension": Condition(("Z82.49",), 0.30)}
"""Of a parent."""


@dataclass(frozen=True, slots=True)
class Patient:
    """A drawn patient: facts, and whether he or she misused opioids in the year after the visit."""

    setting: str
    age: int
    sex: str
    pain: str
    weeks: int
    score: int
    alcohol: str
    others: tuple[str, ...]
    family: tuple[str, ...]
    shopping: bool
    denied: tuple[str, ...]
    dose: int
    misuse: bool

    @property
    def codes(self) -> tuple[str, ...]:
        """Every code that the record supports, sorted."""
        named = [PAINS[self.pain], *(OTHERS[o] for o in self.others)]
        if self.alcohol:
            named.append(ALCOHOL[self.alcohol])
        return tuple(sorted({code for c in named for code in c.codes}))


def draw_patient(rng: np.random.Generator) -> Patient:
    """A patient; the same generator state gives the same one."""
    setting = SETTINGS[int(rng.choice(len(SETTINGS), p=SETTING_SHARES))]
    age, sex = int(np.clip(rng.normal(50, 15), 19, 89)), "FM"[int(rng.integers(2))]
    pain = list(PAINS)[int(rng.choice(len(PAINS), p=[c.share for c in PAINS.values()]))]
    drinks = [c.share for c in ALCOHOL.values()]
    alcohol = str(rng.choice(["", *ALCOHOL], p=[1 - sum(drinks), *drinks]))
    others = tuple(name for name, c in OTHERS.items() if rng.random() < c.share)
    family = tuple(name for name, c in FAMILY.items() if rng.random() < c.share)
    shopping = bool(rng.random() < SHOPPING_SHARE)
    denied = tuple(str(s) for s in rng.permutation(DENIED)[: int(rng.integers(1, 4))])
    odds = BASE_RISK + SETTING_RISK[setting] + PAINS[pain].risk + YOUNG_RISK * (age < 46) + SHOPPING_RISK * shopping
    odds += sum(OTHERS[o].risk for o in others) + sum(FAMILY[f].risk for f in family)
    odds += ALCOHOL[alcohol].risk if alcohol else 0.0
    misuse = bool(rng.random() < 1 / (1 + np.exp(-odds)))
    weeks, score, dose = int(rng.integers(2, 40)), int(rng.integers(3, 10)), int(rng.choice([5, 10, 20]))
    return Patient(setting, age, sex, pain, weeks, score, alcohol, others, family, shopping, denied, dose, misuse)
