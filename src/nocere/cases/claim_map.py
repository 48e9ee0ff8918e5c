"""ICD-9-CM claims in ICD-10-CM by the General Equivalence Mappings (CMS, last issued 2018), and what they cannot map.

A mapping is a best effort: most rows are approximate. The rule here adds as little as it can: an exact row first, else
the target that says least ("unspecified"), else the first in order of code. A row that needs several targets gives all
of them. A code that was divided later becomes its unspecified leaf where there is one. Procedures are not mapped.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from nocere.cases.claim import Claim, Diagnosis, System
from nocere.cases.claim_check import year_of
from nocere.clinical.codes.graph import RuleGraph


@dataclass(frozen=True, slots=True)
class Mapped:
    """A claim in ICD-10-CM, and what was lost on the way.

    Args:
        claim: the claim, coded for the year of the rules; a code that two old ones map to stands once.
        unmapped: ICD-9-CM diagnoses without a target.
        procedures: ICD-9-CM procedures, which are dropped.
    """

    claim: Claim
    unmapped: tuple[str, ...]
    procedures: tuple[str, ...]


def to_icd10(claim: Claim, rules: RuleGraph) -> Mapped:
    """The claim in ICD-10-CM; one that is in ICD-10-CM already stays as it is.

    Pointers of service lines follow their diagnoses. A claim whose principal diagnosis has no target begins with the
    first one that has: look at `unmapped` before trusting its principal diagnosis.
    """
    if claim.system == "ICD-10-CM":
        return Mapped(claim, (), ())
    made: dict[str, Diagnosis] = {}
    unmapped = []
    goes: list[tuple[str, ...]] = []
    for d in claim.diagnoses:
        codes = targets(d.code, rules)
        goes.append(codes)
        if not codes:
            unmapped.append(d.code)
        for code in codes:
            made.setdefault(code, Diagnosis(code, d.poa, d.evidence))
    place = {code: i for i, code in enumerate(made)}
    lines = tuple(
        replace(line, pointers=tuple(dict.fromkeys(place[c] for p in line.pointers for c in goes[p])))
        for line in claim.lines
    )
    mapped = replace(
        claim,
        diagnoses=tuple(made.values()),
        procedures=(),
        lines=lines,
        system="ICD-10-CM",
        code_year=year_of(rules),
    )
    return Mapped(mapped, tuple(unmapped), claim.procedures)


@lru_cache(maxsize=1 << 15)
def targets(code9: str, rules: RuleGraph) -> tuple[str, ...]:
    """The ICD-10-CM codes that stand for an ICD-9-CM diagnosis, () where there is none."""
    last = _complete(code9, "ICD-9-CM", rules)  # the mapping knows the codes of the last year only
    rows = [(r, _complete(r.target, "ICD-10-CM", rules)) for r in rules.gem(last) if r.target] if last else []
    alone = [(not r.exact, _said(code, "ICD-10-CM", rules), code) for r, code in rows if code and not r.combination]
    if alone:
        return (min(alone)[2],)
    for scenario in sorted({r.scenario for r, _ in rows}):
        choices: dict[int, list[tuple[int, str]]] = {}
        for r, code in rows:
            if r.scenario == scenario:
                choices.setdefault(r.choice, []).extend([(_said(code, "ICD-10-CM", rules), code)] if code else [])
        if all(choices.values()):  # a scenario holds only whole
            return tuple(dict.fromkeys(min(choices[n])[1] for n in sorted(choices)))
    return ()


def _complete(code: str, system: System, rules: RuleGraph) -> str:
    """The code as it is billed in the last year of the rules, "" where that would say more than the code did."""
    if rules.billable(code, system):
        return code
    if not rules.exists(code, system):
        return ""
    leaves = rules.leaves(code, system)
    open_ended = [(_said(leaf, system, rules), leaf) for leaf in leaves if _said(leaf, system, rules) < 0]
    return leaves[0] if len(leaves) == 1 else min(open_ended)[1] if open_ended else ""


def _said(code: str, system: System, rules: RuleGraph) -> int:
    """How much a code leaves open, as its title says: the lower, the more."""
    return -rules.title(code, system).lower().count("unspecified")
