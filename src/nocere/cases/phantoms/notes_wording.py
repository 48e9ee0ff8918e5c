"""How phantom clinicians word what they know: declared frequencies by clinic.

The emergency department writes short and in lay terms, the pain clinic in the language of problem lists and bills,
primary care between them. Clinics also differ in risk (`notes_facts.SETTING_RISK`), so words stand for clinics: what a
model learns from history is partly who wrote the note. The frequencies (data/note_wordings.tsv) are invented and were
written before any model was trained on them.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import numpy as np

HEADINGS: dict[str, tuple[str, str, str, str, str, str, str]] = {
    "emergency": ("CC", "HPI", "PMH", "FHx", "Meds", "Exam", "Plan"),
    "primary care": ("Chief Complaint", "History of Present Illness", "Past Medical History", "Family History",
                     "Medications", "Physical Examination", "Assessment and Plan"),
    "pain clinic": ("CHIEF COMPLAINT", "HISTORY OF PRESENT ILLNESS", "PAST MEDICAL HISTORY", "FAMILY HISTORY",
                    "MEDICATIONS", "PHYSICAL EXAMINATION", "ASSESSMENT AND PLAN"),
}  # fmt: skip
CLOSINGS: dict[str, tuple[str, ...]] = {
    "emergency": ("Return precautions were given.", "Discharged home in stable condition."),
    "primary care": ("Follow up in four weeks.", "Questions were answered."),
    "pain clinic": ("Thank you for this referral.", "This note was dictated with voice recognition software."),
}
"""Sentences that a clinic puts under its notes; they say nothing of the patient's risk."""


@cache
def wordings() -> Mapping[str, Mapping[str, tuple[float, ...]]]:
    """Fact -> wording -> its share in each clinic of `notes_facts.SETTINGS`."""
    table = files("nocere.cases.phantoms").joinpath("data/note_wordings.tsv").read_text(encoding="utf-8")
    rows: dict[str, dict[str, tuple[float, ...]]] = {}
    for fact, wording, *shares in list(csv.reader(table.splitlines(), delimiter="\t"))[1:]:
        rows.setdefault(fact, {})[wording] = tuple(map(float, shares))
    return rows


def word(fact: str, clinic: int, rng: np.random.Generator) -> str:
    """A wording of a fact as clinic number `clinic` writes it; a fact without a row is written as it is called."""
    known = wordings().get(fact)
    if known is None:
        return fact
    shares = np.array([s[clinic] for s in known.values()])
    return list(known)[int(rng.choice(len(shares), p=shares / shares.sum()))]
