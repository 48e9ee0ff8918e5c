"""What is true of a patient, and which claims say nothing else: the definition that every truthful set stands on.

Facts are the most specific codes that the record supports, with references to the documents that do. A code is entailed
by facts if it is one of them or the new name of one (E0), generalises one (E1), or is what a decided rule E2 makes of
entailed ones: their combination code, or what a combination code says in parts. A claim is truthful if all of its codes
are entailed and its documented minutes are right within `TOLERANCE`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from nocere.cases.claim import Claim
from nocere.core.case import Case
from nocere.core.errors import DataError
from nocere.threats.codes.edit import Undecided
from nocere.threats.codes.language import Language

# Median difference between minutes in the chart and on the claim (PMC3273329).
TOLERANCE = 5


@dataclass(frozen=True, slots=True)
class Fact:
    """A code that the record supports; `principal`: it meets the definition of principal diagnosis (Section II.B)."""

    code: str
    evidence: tuple[str, ...] = ()
    principal: bool = False


@dataclass(frozen=True, slots=True)
class Documented:
    """Minutes of one service line as the record has them."""

    line: int
    minutes: int
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is known to be true. `closed`: nothing but the claim is known, and it is taken at its word."""

    codes: tuple[Fact, ...]
    lines: tuple[Documented, ...] = ()
    closed: bool = False


def facts_of(case: Case[Claim]) -> Facts:
    """The facts of a case: header entries "facts" and "documented", or its own codes and evidenced lines.

    Raises:
        DataError: entries that are not of the form {"code": ..., "evidence": [...], "principal": ...} and {"line": ...,
            "minutes": ..., "evidence": [...]}.
    """
    if "facts" not in case.header:
        return closed_world(case.x)
    try:
        given: Any = case.header["facts"]
        codes: dict[str, Fact] = {}
        for f in given:
            fact = Fact(f["code"], _listed(f.get("evidence", ())), f.get("principal", False) is True)
            if fact.code in codes or type(fact.code) is not str:
                raise ValueError(fact.code)
            codes[fact.code] = fact
        noted: Any = case.header.get("documented", ())
        lines = tuple(Documented(d["line"], d["minutes"], _listed(d.get("evidence", ()))) for d in noted)
        if not all(type(d.line) is int and type(d.minutes) is int for d in lines):
            raise ValueError("documented")
    except (TypeError, KeyError, AttributeError, ValueError) as e:
        raise DataError(
            f"Claim {case.id}: its facts cannot be read ({type(e).__name__}: {e}).",
            'Give every code once, as {"code": "E11.22", "evidence": ["doc-1"]}.',
        ) from e
    return Facts(tuple(codes.values()), lines)


def closed_world(claim: Claim) -> Facts:
    """The claim at its word: its codes are the facts, without evidence; its minutes are right where it has evidence."""
    lines = (Documented(k, li.minutes, li.evidence) for k, li in enumerate(claim.lines) if li.evidence)
    return Facts(tuple(Fact(c) for c in dict.fromkeys(claim.codes)), tuple(lines), closed=True)


def entailed(facts: Facts, rules: Language, undecided: Undecided = "reject") -> frozenset[str]:
    """Every code that is true, given the facts; relations that are not decided count only where they are allowed."""
    return _closure(tuple(f.code for f in facts.codes), rules, undecided)


@lru_cache(maxsize=1024)
def _closure(codes: tuple[str, ...], rules: Language, undecided: Undecided) -> frozenset[str]:
    true = set(codes)
    while True:
        more = {b for a in true for b, rule in rules.generalisations(a) if rule.decided or undecided == "allow"}
        more |= {after[0] for after in map(rules.successor, true) if after is not None}
        for c in rules.combinations(sorted(true)):
            if true.issuperset((*c.remove, *c.keep)) and (c.rule.decided or undecided == "allow"):
                more.update(c.add)
        if more <= true:
            return frozenset(true)
        true |= more


def untrue(claim: Claim, facts: Facts, rules: Language, undecided: Undecided = "reject") -> str | None:
    """The first thing on the claim that the facts do not support, or None."""
    true = entailed(facts, rules, undecided)
    for code in claim.codes:
        if code not in true:
            return f"{code} is not supported by the facts"
    for d in facts.lines:
        if not 0 <= d.line < len(claim.lines) or abs(claim.lines[d.line].minutes - d.minutes) > TOLERANCE:
            return f"service line {d.line} does not state the documented {d.minutes} minutes"
    return None


def _listed(evidence: Any) -> tuple[str, ...]:
    if not isinstance(evidence, (list, tuple)) or any(type(v) is not str or not v for v in evidence):
        raise ValueError("evidence")
    return tuple(evidence)
