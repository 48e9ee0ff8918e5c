"""ICD-9-CM claims in ICD-10-CM by the General Equivalence Mappings (CMS, last issued 2018), and what they cannot map.

A mapping is a best effort: most rows are approximate. The rule here adds as little as it can: an exact row first, else
the target that says least ("unspecified"), else the first in order of code. A row that needs several targets gives all
of them. A code that was divided later becomes the leaf that says no more than it did, where there is one. Procedures
are not mapped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product

from nocere.cases.claim import Claim, Diagnosis, System
from nocere.cases.claim_check import year_of
from nocere.clinical.codes.graph import RuleGraph

SEVENTH = 8  # characters of a code that has a seventh, with the dot


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
    alone = [(not r.exact, _said(code, rules), code) for r, code in rows if code and not r.combination]
    if alone:
        return (min(alone)[2],)
    for scenario in sorted({r.scenario for r, _ in rows}):
        choices: dict[int, list[str]] = {}
        for r, code in rows:
            if r.scenario == scenario:
                choices.setdefault(r.choice, []).extend([code] if code else [])
        together = [tuple(dict.fromkeys(picks)) for picks in product(*(choices[n] for n in sorted(choices)))]
        if together:  # a scenario holds only whole
            return min(together, key=lambda codes: _fit(codes, rules))
    return ()


def _fit(codes: tuple[str, ...], rules: RuleGraph) -> tuple[int, int, tuple[str, ...]]:
    """How well codes go together: of few categories, and then such as say little."""
    return len({c[:3] for c in codes}), sum(_said(c, rules) for c in codes), codes


def _complete(code: str, system: System, rules: RuleGraph) -> str:
    """The code as it is billed in the last year of the rules, "" where every way would say more than the code did."""
    if rules.billable(code, system):
        return code
    if rules.exists(code, system):
        return _residual(code, {leaf: leaf for leaf in rules.leaves(code, system)}, system, rules)
    base = code[:-1].rstrip("X").rstrip(".")  # a code with placeholders and a seventh character, divided since
    if system == "ICD-10-CM" and len(code) == SEVENTH and rules.exists(base, system):
        same = [leaf for leaf in rules.leaves(base, system) if leaf[-1] == code[-1]]
        return _residual(base, {leaf: leaf[:-1].rstrip("X") for leaf in same}, system, rules)
    return ""


def _residual(base: str, stems: Mapping[str, str], system: System, rules: RuleGraph) -> str:
    """The one leaf that says no more than what all of them share, "" where there is none.

    What the rules call residual; else, directly below the code, the one that ends in 9 or 0 and is "unspecified" most.

    Args:
        base: the divided code.
        stems: its leaves, and each without placeholders and seventh character.
    """
    if system == "ICD-10-CM":
        less = {leaf: {code for code, rule in rules.generalisations(leaf) if rule.decided} for leaf in stems}
        found = [x for x in stems if all(x in less[other] for other in stems if other != x)]
        if len(found) == 1:
            return found[0]
    below = len(base.replace(".", "")) + 1
    near = [x for x, stem in stems.items() if len(stem.replace(".", "")) == below and stem[-1] in "90"]
    ranked = sorted((_said(x, rules, system), x) for x in near)
    if not ranked or ranked[0][0] == 0 or (len(ranked) > 1 and ranked[1][0] == ranked[0][0]):
        return ""
    return ranked[0][1]


def _said(code: str, rules: RuleGraph, system: System = "ICD-10-CM") -> int:
    """How much a code leaves open, as its title says: the lower, the more."""
    return -rules.title(code, system).lower().count("unspecified")
