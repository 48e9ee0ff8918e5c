"""What is wrong with a claim, in one sentence each, against the rule graph: codes, code year, Excludes1 and numbers.

A model is audited on claims that a payer would have let in; one that breaks a rule before anything was edited would be
counted as a finding of the audit.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal, TypeAlias

from nocere.cases.claim import Claim, System
from nocere.clinical.codes.graph import RuleGraph
from nocere.core.case import Case
from nocere.core.errors import DataError

OnConflict: TypeAlias = Literal["refuse", "keep"]
Kind: TypeAlias = Literal["no diagnosis", "unknown code", "not billable", "code year", "excludes1", "number", "facts"]
FIRST, LAST = 2016, 2015  # fiscal years: ICD-10-CM from 1 October 2015, ICD-9-CM until the day before
PCS = re.compile(r"[0-9A-HJ-NP-Z]{7}")  # ICD-10-PCS uses no I and no O
POA = ("Y", "N", "U", "W", "1", "")
OLDEST = 124


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: its kind, what it is, and what to do about it."""

    kind: Kind
    what: str
    hint: str = ""


def year_of(rules: RuleGraph) -> int:
    """The fiscal year of the ICD-10-CM code set that the rules were compiled from."""
    found = re.search(r"20\d\d", rules.version)
    assert found is not None, rules.version
    return int(found[0])


def problems(claim: Claim, rules: RuleGraph, *, conflicts: bool = True) -> tuple[Problem, ...]:
    """Everything that is wrong with the claim, codes first.

    Args:
        claim: the claim.
        rules: the compiled rules.
        conflicts: also look for pairs of diagnoses that exclude each other (ICD-10-CM Excludes1).
    """
    found = [*_year(claim, rules), *_codes(claim, rules), *_numbers(claim)]
    if conflicts and claim.system == "ICD-10-CM" and not any(p.kind in ("unknown code", "not billable") for p in found):
        found += _conflicts(claim, rules)
    return tuple(found)


def validate(
    claim: Claim,
    rules: RuleGraph,
    where: str,
    *,
    header: Mapping[str, Any] | None = None,
    on_conflict: OnConflict = "refuse",
) -> None:
    """Refuse a claim that is not one.

    Args:
        claim: the claim.
        rules: the compiled rules.
        where: the claim, as the error names it.
        header: header of the case; its facts are checked where there are any.
        on_conflict: "keep" lets pairs under an Excludes1 note pass (real data have them); `survey` counts them.

    Raises:
        DataError: the first thing that is wrong, with the claim's id.
    """
    found = problems(claim, rules, conflicts=on_conflict == "refuse") + _facts(header or {}, rules)
    if found:
        raise DataError(f"Claim {where}: {found[0].what}.", found[0].hint)


def survey(cases: Iterable[Case[Any]], rules: RuleGraph) -> dict[str, int]:
    """How many claims have problems of which kind; "claims" is the number that was looked at."""
    seen: Counter[str] = Counter({"claims": 0})
    for case in cases:
        seen["claims"] += 1
        seen.update({p.kind for p in problems(case.x, rules) + _facts(case.header, rules)})
    return dict(sorted(seen.items()))


def _year(claim: Claim, rules: RuleGraph) -> list[Problem]:
    if claim.system == "ICD-9-CM":
        if claim.code_year <= LAST:
            return []
        said = f"it is coded in ICD-9-CM for fiscal year {claim.code_year}, and ICD-9-CM ended with {LAST}"
        return [Problem("code year", said, "Correct its code system or its date.")]
    if claim.code_year < FIRST:
        said = f"it is coded in ICD-10-CM for fiscal year {claim.code_year}, and ICD-10-CM began with {FIRST}"
        return [Problem("code year", said, "Correct its code system or its date.")]
    if claim.code_year != year_of(rules):
        said = f"it is coded for fiscal year {claim.code_year}, and the rules are those of {year_of(rules)}"
        return [Problem("code year", said, "Load it with on_year = 'recode' if its codes are still valid.")]
    return []


def _codes(claim: Claim, rules: RuleGraph) -> list[Problem]:
    if not claim.diagnoses:
        return [Problem("no diagnosis", "it has no diagnosis")]
    found = (code_problem(code, claim.system, claim.code_year, rules) for code in dict.fromkeys(claim.codes))
    return [p for p in found if p is not None]


def code_problem(code: str, system: System, year: int, rules: RuleGraph) -> Problem | None:
    """Why a diagnosis code cannot be billed, None where it can.

    ICD-9-CM is known as it was in its last year. A subcategory that was divided by then may have been complete before,
    so it passes in an earlier year; a three-digit category with codes below it does not.
    """
    if not rules.exists(code, system):
        said = f"{code!r} is not a code of {system}, or is retired"
        return Problem("unknown code", said, f"The rules hold the codes of {rules.version}.")
    earlier = system == "ICD-9-CM" and year < LAST and "." in code
    if rules.billable(code, system) or earlier:
        return None
    said = f"{code} ({rules.title(code, system)}) is a heading, not a code that can be billed"
    return Problem("not billable", said, "Give one of the codes below it.")


def _numbers(claim: Claim) -> list[Problem]:
    wrong: list[str] = []
    if not claim.charge >= 0:
        wrong.append(f"its charge is {claim.charge:g} dollars")
    if not -1 <= claim.age <= OLDEST:
        wrong.append(f"its patient is {claim.age} years old")
    if not claim.days >= 0:
        wrong.append(f"its length of stay is {claim.days} days")
    for i, line in enumerate(claim.lines, 1):
        for what, value in (("units", line.units), ("minutes", line.minutes), ("a charge of", line.charge)):
            if not value >= 0:
                wrong.append(f"line {i} has {what} {value:g}")
        if any(not 0 <= p < len(claim.diagnoses) for p in line.pointers):
            wrong.append(f"line {i} points to a diagnosis that the claim does not have")
    wrong += [
        f"present on admission of {d.code} is {d.poa!r}, not one of Y, N, U, W, 1 or empty"
        for d in claim.diagnoses
        if d.poa not in POA
    ]
    if claim.system == "ICD-10-CM":
        odd = (c for c in claim.procedures if not PCS.fullmatch(c))
        wrong += [f"{c!r} has not the form of an ICD-10-PCS code" for c in odd]
    return [Problem("number", w) for w in wrong]


def _conflicts(claim: Claim, rules: RuleGraph) -> list[Problem]:
    found = []
    for a, b in combinations(dict.fromkeys(claim.codes), 2):
        rule = rules.excludes1(a, b)
        if rule is not None:
            said = f"{a} and {b} exclude each other (Excludes1 at {rule.at}: {rule.text})"
            found.append(Problem("excludes1", said, "Correct it, or load with on_conflict = 'keep'."))
    return found


def _facts(header: Mapping[str, Any], rules: RuleGraph) -> tuple[Problem, ...]:
    facts = header.get("facts", [])
    shape = "its facts must be a list of objects with code and evidence, a list of references"
    if not isinstance(facts, (list, tuple)):
        return (Problem("facts", shape),)
    for fact in facts:
        if not isinstance(fact, Mapping) or set(fact) - {"code", "evidence"} or not isinstance(fact.get("code"), str):
            return (Problem("facts", shape),)
        evidence = fact.get("evidence", [])
        if not isinstance(evidence, (list, tuple)) or not all(isinstance(e, str) for e in evidence):
            return (Problem("facts", shape),)
        if not any(rules.exists(fact["code"], s) for s in ("ICD-10-CM", "ICD-9-CM")):
            return (Problem("facts", f"its fact {fact['code']!r} is not a code that the rules know"),)
    return ()
