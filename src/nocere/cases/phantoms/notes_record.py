"""Phantom notes with the claim of the same visit: records whose two parts say the same of one patient."""

from __future__ import annotations

from typing import Any

from nocere.cases.claim import Claim, Diagnosis
from nocere.cases.claim_json import ClaimCodec
from nocere.cases.note import NoteCodec
from nocere.cases.phantoms.notes import LABELS, Sample, case_of, draw
from nocere.cases.phantoms.notes_facts import ALCOHOL, OTHERS, PAINS
from nocere.cases.phantoms.sets import FIRST
from nocere.cases.record import RecordCodec, record_case
from nocere.core.canonical import dumps, sha256
from nocere.core.case import Case, CaseSet, Truth

CODEC = RecordCodec({"note": NoteCodec(), "claim": ClaimCodec()})
"""Writes and reads such records: `note/note.txt` and the claim's file."""


def records(*, n: int = 100, seed: int = 7, split: str = "test") -> CaseSet:
    """Records of a note and its claim; truth is what happened within the year.

    Args:
        n: number of records.
        seed: of the phantom's world.
        split: train, val or test.
    """
    name = f"phantom-opioid-record-{seed}-{split}"
    made = [record_of(draw(seed, FIRST[split] + i), f"{name}/{i:06d}") for i in range(n)]
    return CaseSet.of(made, phantom=True, name=name)


def record_of(sample: Sample, case_id: str) -> Case[dict[str, Any]]:
    """A drawn note with its claim: the most specific code of what the visit was about first, then those of the rest."""
    p = sample.patient
    alcohol = [ALCOHOL[p.alcohol]] if p.alcohol else []
    conditions = [PAINS[p.pain], *alcohol, *(OTHERS[o] for o in p.others)]
    claim = Claim(
        tuple(Diagnosis(c.codes[0]) for c in conditions),
        setting="outpatient",
        age=p.age,
        sex="F" if p.sex == "F" else "M",
        patient=case_id,
    )
    truth = Truth.of(LABELS[p.misuse])
    parts: dict[str, Case[Any]] = {
        "note": case_of(sample, case_id),
        "claim": Case(case_id, claim, {}, truth, case_id, {}, sha256(dumps(claim.to_json()))),
    }
    return record_case(case_id, parts, truth)
