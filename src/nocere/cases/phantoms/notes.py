"""Phantom notes: seeded visit notes of patients with pain, with known facts, known wording and a known outcome."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.random import default_rng

from nocere.cases.phantoms.notes_facts import SETTINGS, Patient, draw_patient
from nocere.cases.phantoms.notes_wording import CLOSINGS, HEADINGS, word
from nocere.cases.phantoms.sets import FIRST
from nocere.core.canonical import Json, dumps, sha256
from nocere.core.case import Case, CaseRef, CaseSet, Truth
from nocere.core.errors import UsageError
from nocere.core.registry import register

LABELS = ("low", "high")
"""Risk of opioid misuse within a year, the one that is acted on last."""

_PATIENT, _WORDS = 1, 2


@dataclass(frozen=True, slots=True)
class Sample:
    """A drawn note with all that is known of it."""

    text: str
    patient: Patient

    def header(self) -> dict[str, Json]:
        """Codes that the record supports, as a case carries them."""
        return {"facts": list(self.patient.codes)}


def draw(seed: int, index: int) -> Sample:
    """The note number `index` of the stream `seed`."""
    patient = draw_patient(default_rng([seed, index, _PATIENT]))
    return Sample(_written(patient, default_rng([seed, index, _WORDS])), patient)


def _written(p: Patient, rng: np.random.Generator) -> str:
    clinic = SETTINGS.index(p.setting)

    def say(fact: str) -> str:
        return word(fact, clinic, rng)

    who = "man" if p.sex == "M" else "woman"
    they = "He" if p.sex == "M" else "She"
    pain = say(p.pain)
    story = f"The patient is a {p.age}-year-old {who} who {say('complains')} {pain} for {p.weeks} weeks. "
    story += f"The pain is rated {p.score}/10. "
    if p.alcohol:
        story += f"The patient has a history of {pain} and chronic {say(p.alcohol)}. "
    if p.shopping:
        story += "More recently the patient has been seen in several emergency departments. "
    denied = [say(s) for s in p.denied]
    story += f"{they} denies {_listed(denied, 'or')}."
    past = [say(o) for o in p.others]
    family = [say(f) for f in p.family]
    drugs = [f"ibuprofen {p.dose * 40} mg {say('by mouth')} {say('twice')} {say('needed')} for pain"]
    if "hypertension" in p.others:
        drugs.append(f"lisinopril {p.dose} mg {say('by mouth')} {say('daily')}")
    bodies = (
        f"{pain[0].upper()}{pain[1:]}.",
        story,
        f"Significant for {_listed(past, 'and')}." if past else "None.",
        f"Father with {_listed(family, 'and')}." if family else "Noncontributory.",
        f"{'; '.join(drugs)}.",
        f"Blood pressure {118 + p.score}/{70 + p.score}, heart rate {68 + p.score}. No acute distress.",
        f"Continue the current regimen. {CLOSINGS[p.setting][int(rng.integers(2))]}",
    )
    return "\n".join(f"{h}: {b}" for h, b in zip(HEADINGS[p.setting], bodies, strict=True)) + "\n"


def _listed(names: list[str], last: str) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}"


@register("phantom", "notes.opioid", source="Opioid Risk Tool (Webster, Webster 2005) simplified; not a patient in it")
def opioid(*, n: int = 300, seed: int = 7, split: str = "test") -> CaseSet:
    """Synthetic visit notes of patients with pain, from clinics that word alike things differently; outcome: misuse.

    Args:
        n: number of notes.
        seed: another seed is another world of the same kind.
        split: train, val or test; they never share a patient.
    """
    if split not in FIRST:
        raise UsageError(f"A phantom has the splits {', '.join(FIRST)}; got {split!r}.")
    if not 1 <= n <= 1_000_000:
        raise UsageError(f"A phantom set needs 1 to 1,000,000 cases; got n = {n}.")
    name = f"phantom-opioid-{seed}-{split}"

    @lru_cache(maxsize=4096)
    def load(case_id: str) -> Case[str]:
        return case_of(draw(seed, FIRST[split] + int(case_id.rsplit("/", 1)[1])), case_id)

    refs = []
    for i in range(n):
        c = load(f"{name}/{i:06d}")
        refs.append(CaseRef(c.id, c.truth, c.group, c.attrs, c.sha256))
    return CaseSet(refs, load, phantom=True, name=name)


def case_of(sample: Sample, case_id: str) -> Case[str]:
    """A drawn note as a case; truth is what happened within the year."""
    header, p = sample.header(), sample.patient
    attrs = {"age": "under 46" if p.age < 46 else "46 and over", "clinic": p.setting, "sex": p.sex}
    digest = sha256(dumps({"note": sample.text, "header": header}))
    return Case(case_id, sample.text, header, Truth.of(LABELS[p.misuse]), case_id, attrs, digest)
