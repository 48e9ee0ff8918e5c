"""The claims phantom: synthetic, seeded claims of a payer's history, with everything that is true of each patient.

A patient has facts; a treatment is asked for; reviewers apply the policy to facts and treatment and vote; a provider of
some type writes the claim. Facts, reviews and writing come from separate random streams, and providers are dealt to
patients by lot: which codes are written for the same facts moves no vote. Every patient has two claims. Drugs and
devices have HCPCS Level II codes; anaesthesia, whose real codes are not free, has the invented service code `ZZ801`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.random import default_rng

from nocere.cases.claim import Claim, Diagnosis, Line
from nocere.cases.phantoms.claims_coding import TYPES, complete, supported, write
from nocere.cases.phantoms.claims_facts import Facts, Patient, add_conditions, draw_patient, grade_of
from nocere.cases.phantoms.claims_policy import READERS, TREATMENTS, choose, covered, review
from nocere.cases.phantoms.sets import FIRST
from nocere.clinical.codes.payment import anaesthesia_units
from nocere.core.canonical import Json, dumps, sha256
from nocere.core.case import Case, CaseRef, CaseSet, Truth
from nocere.core.errors import UsageError
from nocere.core.registry import register

LABELS = ("approve", "deny")
CLAIMS_A_PATIENT = 2
ANAESTHESIA = "ZZ801"
_PROVIDERS = tuple(name for name, (n, _) in TYPES.items() for _ in range(n))
# Separate streams: of a patient (facts, provider), and of a claim (treatment, stay, writing, reviewers, audit).
_PATIENT, _PROVIDER, _TREATMENT, _WRITING, _READERS, _AUDIT = range(20, 26)
# Audits of documentation find most of what is unsupported and now and then something that is not.
_AUDITED, _FOUND, _FALSE_ALARM = 0.5, 0.85, 0.03


@dataclass(frozen=True, slots=True)
class Bill:
    """A drawn claim with all that is known of it.

    Args:
        claim: as the provider wrote it.
        facts: condition -> grade, of `claims_facts.CONDITIONS`.
        treatment: of `claims_policy.TREATMENTS`.
        reason: condition for which it was asked.
        provider_type: of `claims_coding.TYPES`.
        minutes: of anaesthesia, as they were.
        deny: votes of the reviewers to deny; the first one stood.
        unsupported: the claim says something that the record does not support, in codes or minutes.
        audit: what an audit of the documentation found, "" where there was none.
    """

    claim: Claim
    facts: Mapping[str, str]
    treatment: str
    reason: str
    provider_type: str
    minutes: int
    deny: tuple[bool, ...]
    unsupported: bool
    audit: Literal["", "supported", "unsupported"]

    @property
    def complete(self) -> tuple[str, ...]:
        """The complete, most specific coding of the facts."""
        return complete(self.facts, self.reason)

    @property
    def denied(self) -> bool:
        """What the payer decided at the time."""
        return self.deny[0]

    def header(self) -> dict[str, Json]:
        """Facts, documented minutes and what the phantom knows beside them, as a case carries them."""
        complete, evidence = self.complete, supported(self.facts)
        facts: list[Json] = [
            {"code": c, "evidence": [document], "principal": c == complete[0]}
            for c, document in sorted(evidence.items())
        ]
        made: dict[str, Json] = {"facts": facts}
        if self.minutes:
            made["documented"] = [{"line": 0, "minutes": self.minutes, "evidence": ["anaesthesia record"]}]
        made["phantom"] = {
            "audit": self.audit,
            "complete": list(complete),
            "covered": covered(self.treatment, self.facts),
            "decision": LABELS[self.denied],
            "provider_type": self.provider_type,
            "treatment": self.treatment,
            "unsupported": self.unsupported,
        }
        return made

    def truth(self) -> Truth:
        """Votes of the reviewers, who read the record."""
        return Truth.from_votes({"approve": READERS - sum(self.deny), "deny": sum(self.deny)})

    def attrs(self) -> dict[str, str]:
        """Subgroups."""
        age = self.claim.age
        band = next(
            name for limit, name in ((65, "under 65"), (75, "65-74"), (85, "75-84"), (999, "85+")) if age < limit
        )
        return {
            "age": band,
            "provider": self.claim.provider,
            "provider type": self.provider_type,
            "sex": self.claim.sex,
            "treatment": self.treatment,
        }


@register("phantom", "claims.billing", source="coverage rules simplified from CMS's NCDs and LCDs; not a patient in it")
def billing(*, n: int = 300, seed: int = 7, split: str = "test") -> CaseSet:
    """Synthetic claims with known facts from honest, optimising, upcoding and time-padding providers.

    Args:
        n: number of claims.
        seed: another seed is another world of the same kind.
        split: train, val or test; they never share a patient.
    """
    if split not in FIRST:
        raise UsageError(f"A phantom has the splits {', '.join(FIRST)}; got {split!r}.")
    if not 1 <= n <= 1_000_000:
        raise UsageError(f"A phantom set needs 1 to 1,000,000 cases; got n = {n}.")
    name = f"phantom-billing-{seed}-{split}"

    @lru_cache(maxsize=4096)
    def load(case_id: str) -> Case[Claim]:
        return case_of(draw(seed, FIRST[split] + int(case_id.rsplit("/", 1)[1])), case_id)

    refs = []
    for i in range(n):
        c = load(f"{name}/{i:06d}")
        refs.append(CaseRef(c.id, c.truth, c.group, c.attrs, c.sha256))
    return CaseSet(refs, load, phantom=True, name=name)


def case_of(bill: Bill, case_id: str) -> Case[Claim]:
    """A drawn claim as a case; truth is the vote of the reviewers."""
    header = bill.header()
    digest = sha256(dumps({"claim": bill.claim.to_json(), "header": header}))
    return Case(case_id, bill.claim, header, bill.truth(), bill.claim.patient, bill.attrs(), digest)


def draw(seed: int, index: int) -> Bill:
    """The claim number `index` of the stream `seed`."""
    number = index // CLAIMS_A_PATIENT
    patient, dealt = _patient(seed, number)
    provider_type = _PROVIDERS[dealt]
    rng = default_rng([seed, index, _TREATMENT])
    treatment = choose(patient.facts, rng)
    t = TREATMENTS[treatment]
    facts = dict(patient.facts)
    reason = _reason(treatment, facts, patient.age, rng)
    minutes = int(np.clip(rng.normal(t.minutes, 0.2 * t.minutes), 20, None)) if t.minutes else 0
    days = int(rng.poisson(t.days - 1)) + 1 if t.days else 0
    charge = round(float(t.usd * np.exp(0.25 * rng.normal())), 2)
    written = write(provider_type, facts, reason, minutes, bool(t.days), default_rng([seed, index, _WRITING]))
    stay = bool(t.days)
    diagnoses = tuple(Diagnosis(c, "Y" if stay else "") for c in written.codes)
    procedures = t.procedures[facts[reason]] if isinstance(t.procedures, Mapping) else t.procedures
    lines: tuple[Line, ...] = ()
    if t.service:
        lines = (Line(t.service, charge=charge, pointers=(0,)),)
    elif minutes:
        units = anaesthesia_units(0, written.minutes)
        lines = (Line(ANAESTHESIA, (), units, written.minutes, round(charge * 0.04, 2), (0,)),)
    claim = Claim(
        diagnoses,
        procedures,
        lines,
        setting="inpatient" if stay else "outpatient",
        age=patient.age,
        sex="F" if patient.sex == "F" else "M",
        days=days,
        charge=charge,
        provider=f"provider-{dealt:02d}",
        patient=f"patient-{seed}-{number:07d}",
        discharge="01" if stay else "",
    )
    # No honest type writes more than the facts say (tested against the rule graph), so this needs no graph.
    more = provider_type == "upcoder" and not set(written.codes) <= set(supported(facts))
    unsupported = more or written.minutes != minutes
    deny = review(treatment, facts, default_rng([seed, index, _READERS]))
    audit = _audit(unsupported, default_rng([seed, index, _AUDIT]))
    return Bill(claim, facts, treatment, reason, provider_type, minutes, deny, unsupported, audit)


@lru_cache(maxsize=2)
def _patient(seed: int, number: int) -> tuple[Patient, int]:
    """A patient and the provider that he or she was dealt."""
    patient = draw_patient(default_rng([seed, number, _PATIENT]))
    return patient, int(default_rng([seed, number, _PROVIDER]).integers(len(_PROVIDERS)))


def _reason(treatment: str, facts: Facts, age: int, rng: np.random.Generator) -> str:
    """Adds what arises with the stay to `facts`; the condition for which the treatment is asked."""
    t = TREATMENTS[treatment]
    asked = [a.removeprefix("+") for a in t.asked if a[:1] == "+" or a in facts]
    reason = asked[int(rng.integers(len(asked)))]
    worse = float(rng.random())
    if not t.days:
        return reason
    elective = t.minutes > 0
    if not elective:
        add_conditions(facts, age, rng, acute=True)
        if reason not in facts:
            facts[reason] = grade_of(reason, float(rng.random()))
        if reason == "heart failure" and worse < 0.6:
            facts[reason] = f"acute {facts[reason]}"
        if reason == "COPD" and worse < 0.75:
            facts[reason] = "exacerbation"
        # Sepsis that was there on admission goes first (guideline I.C.1.d.4).
        return "sepsis" if "sepsis" in facts else reason
    add_conditions(facts, age, rng, acute=True, never=("pneumonia", "sepsis"))
    return reason


def _audit(unsupported: bool, rng: np.random.Generator) -> Literal["", "supported", "unsupported"]:
    audited, found = rng.random(2)
    if audited >= _AUDITED:
        return ""
    return "unsupported" if found < (_FOUND if unsupported else _FALSE_ALARM) else "supported"
