"""From facts to codes: the complete coding of a patient, and how each type of provider writes it.

The complete coding follows the guidelines where conditions meet (hypertension with heart or kidney disease I.C.9.a,
diabetes with kidney disease I.C.4.a, severe sepsis I.C.1.d). Honest types say only what the facts entail, with more or
less detail; an upcoder says more; a padder bills more minutes than there were.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from nocere.cases.phantoms.claims_facts import CONDITIONS, grade_of

TYPES: dict[str, tuple[int, str]] = {
    "specific": (14, "honest: the complete coding, now and then without a code that is optional"),
    "lazy": (12, "honest: unspecified codes, conditions not linked, the syndrome alone, codes left out"),
    "optimiser": (6, "honest: everything that is true, in the most detail, nothing left out"),
    "upcoder": (5, "codes that the record does not support, half of the time"),
    "padder": (3, "honest codes, more minutes of anaesthesia than there were"),
}
"""Provider type -> how many providers of it there are, and what it does."""

# What has to stand before what where both are on a claim ("code first"; prefixes).
_BEFORE = (
    ("I11", "I50"),
    ("I13", "I50"),
    ("I12", "N18"),
    ("I13", "N18"),
    ("E11.22", "N18"),
    ("N18", "D63.1"),
    ("A41", "R65.20"),
    ("E66", "Z68"),
)
_SYNDROME = ("hypertension", "hypercholesterolaemia", "hypertriglyceridaemia")
_ORGANS = ("respiratory failure", "kidney injury", "encephalopathy")
# What an upcoder adds without support: in hospital, and outside of it.
_ADDED = (
    ("malnutrition", "respiratory failure", "encephalopathy", "pressure ulcer", "kidney injury"),
    ("insulin", "chronic respiratory failure", "renal anaemia", "hypertension", "hypercholesterolaemia", "depression"),
)


@dataclass(frozen=True, slots=True)
class Written:
    """What a provider puts on a claim: codes, the principal one first, and minutes of anaesthesia."""

    codes: tuple[str, ...]
    minutes: int


def atoms(facts: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Condition -> its own codes in full detail, each condition for itself.

    Diabetes with kidney disease is coded as such: the guidelines presume the link.
    """
    codes = {name: CONDITIONS[name].grades[grade].codes for name, grade in facts.items()}
    if {"diabetes", "kidney disease"} <= set(facts):
        detail = () if facts["diabetes"] == "controlled" else codes["diabetes"]
        codes["diabetes"] = ("E11.22", *detail)
    return codes


def complete(facts: Mapping[str, str], reason: str) -> tuple[str, ...]:
    """The complete coding of the facts, the reason of the claim first where no other code has to precede it."""
    return _sequence(_combined(atoms(facts), facts), reason)


def _combined(codes: dict[str, tuple[str, ...]], facts: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    codes = dict(codes)
    heart = facts.get("heart disease") == "not specified"
    failure, kidney = "heart failure" in facts, facts.get("kidney disease")
    if "hypertension" in facts and (failure or heart or kidney):
        late = kidney == "stage 5"
        if kidney and failure:
            code = "I13.2" if late else "I13.0"
        elif kidney and heart:
            code = "I13.11" if late else "I13.10"
        elif kidney:
            code = "I12.0" if late else "I12.9"
        else:
            code = "I11.0" if failure else "I11.9"
        codes["hypertension"] = (code,)
        if heart:
            codes.pop("heart disease")
    if {"hypercholesterolaemia", "hypertriglyceridaemia"} <= set(facts):
        codes["hypercholesterolaemia"] = ("E78.2",)
        codes.pop("hypertriglyceridaemia")
    if {"COPD", "pneumonia"} <= set(facts):
        codes["COPD"] = ("J44.0",)
    if "sepsis" in facts and any(o in facts for o in _ORGANS):
        codes["severe sepsis"] = ("R65.20",)
    return codes


def _sequence(codes: Mapping[str, tuple[str, ...]], reason: str) -> tuple[str, ...]:
    """All codes, those of the reason first, then each moved behind what must stand before it."""
    held = reason if reason in codes else "hypertension" if reason == "heart disease" else "hypercholesterolaemia"
    named = [held, *(k for k in (*CONDITIONS, "severe sepsis") if k in codes and k != held)]
    left = [c for k in named for c in codes[k]]
    out: list[str] = []
    while left:
        nxt = _first_before(left, left[0])
        out.append(nxt)
        left.remove(nxt)
    return tuple(out)


def _first_before(left: list[str], code: str) -> str:
    """What must stand before `code`, and before that, and so on; `code` itself where nothing must."""
    before = next((o for o in left if _must_precede(o, code)), None)
    return code if before is None else _first_before(left, before)


@cache
def _must_precede(one: str, other: str) -> bool:
    return any(one.startswith(a) and other.startswith(b) for a, b in _BEFORE)


def supported(facts: Mapping[str, str]) -> dict[str, str]:
    """Every code that is a fact -> the document that shows it: each condition for itself, and combined."""
    found: dict[str, str] = {}
    own = atoms(facts)
    for name, codes in own.items():
        found.update(dict.fromkeys(codes, CONDITIONS[name].document))
    for name, codes in _combined(own, facts).items():
        document = CONDITIONS[name].document if name in CONDITIONS else CONDITIONS["sepsis"].document
        for c in codes:
            found.setdefault(c, document)
    return found


def write(
    provider: str, facts: Mapping[str, str], reason: str, minutes: int, stay: bool, rng: np.random.Generator
) -> Written:
    """What a provider of this type writes for a patient with these facts."""
    if provider == "lazy":
        return Written(_lazy(facts, reason, rng), minutes)
    if provider == "upcoder" and rng.random() < 0.5:
        said = _upcoded(facts, reason, stay, rng)
        return Written(complete(said, reason), minutes)
    if provider == "padder" and minutes:
        minutes = (minutes + int(rng.integers(10, 36)) + 4) // 5 * 5
    drop = 0.0 if provider == "optimiser" else 0.08
    return Written(_thinned(complete(facts, reason), drop, rng), minutes)


def _thinned(codes: tuple[str, ...], drop: float, rng: np.random.Generator) -> tuple[str, ...]:
    """Without some of the codes that no other code asks for; never without the first."""
    tied = {c for c in codes if any(_must_precede(c, o) or _must_precede(o, c) for o in codes)}
    gone = rng.random(len(codes)) < drop
    return tuple(c for i, c in enumerate(codes) if i == 0 or c in tied or not gone[i])


def _lazy(facts: Mapping[str, str], reason: str, rng: np.random.Generator) -> tuple[str, ...]:
    """Unspecified codes for most conditions; the syndrome without its parts; optional codes often left out."""
    said = dict(facts)
    if "metabolic syndrome" in said and rng.random() < 0.6:
        for name in _SYNDROME:
            if name != reason:
                said.pop(name, None)
    own = atoms(said)
    codes = _combined(own, said) if rng.random() < 0.5 else own
    for name in list(codes):
        if rng.random() >= 0.7:
            continue
        if codes[name] == own.get(name):
            grade = CONDITIONS[name].grades[said[name]]
            codes[name] = ("E11.8",) if "E11.22" in codes[name] else (grade.general,)
        elif codes[name] == ("E78.2",):
            codes[name] = ("E78.5",)
    return _thinned(_sequence(codes, reason), 0.3, rng)


def _upcoded(facts: Mapping[str, str], reason: str, stay: bool, rng: np.random.Generator) -> dict[str, str]:
    """Facts with one or two things that are not so: another grade of the reason, or a condition that is not there."""
    said = dict(facts)
    grades = [g for g, about in CONDITIONS[reason].grades.items() if g != said[reason] and (stay or about.share)]
    if grades and rng.random() < 0.5:
        said[reason] = grades[int(rng.integers(len(grades)))]
    missing = [n for n in _ADDED[0 if stay else 1] if n not in said and _possible(n, said)]
    for name in rng.permutation(missing)[: 1 + int(rng.random() < 0.4)]:
        if _possible(str(name), said):
            said[str(name)] = grade_of(str(name), float(rng.random()))
    return said


def _possible(name: str, said: Mapping[str, str]) -> bool:
    c = CONDITIONS[name]
    others = ("respiratory failure",) if name == "chronic respiratory failure" else ()
    return (not c.only_with or any(o in said for o in c.only_with)) and not any(
        o in said for o in (*c.never_with, *others)
    )
