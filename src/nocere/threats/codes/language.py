"""The rule graph as edits ask it: for one code system, and silent about what its list does not have.

Notes and residuals are those of ICD-10-CM. An ICD-9-CM claim must not meet them: V10.3 is a code of both,
a history of cancer in one and a bicycle in the other. A code that the list does not have (retired, mistyped) has no
rules, so nothing is licensed on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from nocere.cases.claim import System
from nocere.clinical.codes.rules import Combination, Rule

if TYPE_CHECKING:
    from nocere.clinical.codes.graph import RuleGraph

Step = tuple[str, Rule]


class Language:
    """Rules for the codes of one system."""

    def __init__(self, graph: RuleGraph, system: System) -> None:
        self._graph, self._system = graph, system
        self.rule = graph.rule
        self._asked: dict[str, tuple[Rule, ...]] = {}
        self._patients: dict[str, tuple[str, tuple[int, int]]] = {}

    def _has(self, code: str) -> bool:
        return self._system == "ICD-10-CM" and self._graph.exists(code)

    def successor(self, code: str) -> Step | None:
        """The one code that a retired code was renamed to, saying no more."""
        rule = self._graph.successors(code) if self._system == "ICD-10-CM" else None
        return (rule.codes[0], rule) if rule is not None and rule.decided else None

    def billable(self, code: str) -> bool:
        """Whether the code is complete in this system."""
        return self._graph.billable(code, self._system)

    def generalisations(self, code: str) -> tuple[Step, ...]:
        """Residual codes that say less."""
        return self._graph.generalisations(code) if self._has(code) else ()

    def refinements(self, code: str) -> tuple[Step, ...]:
        """What an unspecified code may stand for."""
        return self._graph.refinements(code) if self._has(code) else ()

    def laterals(self, code: str) -> tuple[str, ...]:
        """Other leaves of the category."""
        return self._graph.laterals(code) if self._has(code) else ()

    def combinations(self, codes: Iterable[str]) -> tuple[Combination, ...]:
        """Steps between components and combination codes that these codes allow."""
        known = [c for c in codes if self._graph.exists(c, self._system)]
        return self._graph.combinations(known, self._system)

    def excludes1(self, a: str, b: str) -> Rule | None:
        """The note that forbids both on one claim."""
        return self._graph.excludes1(a, b) if self._has(a) and self._has(b) else None

    def code_first(self, code: str) -> tuple[Rule, ...]:
        """Notes that ask for a code before this one."""
        return self._graph.code_first(code) if self._has(code) else ()

    def partners(self, code: str) -> tuple[Rule, ...]:
        """Decided notes that ask for another code: first, in addition, or also."""
        known = self._asked.get(code)
        if known is None:
            g = self._graph
            notes = (g.code_first, g.use_additional, g.code_also) if self._has(code) else ()
            known = self._asked[code] = tuple(r for of in notes for r in of(code) if r.decided and r.codes)
        return known

    def undecided(self, code: str) -> tuple[Rule, ...]:
        """Notes in prose that hold for the code; of ICD-9-CM, whose notes nobody has compiled, all of its notes."""
        if self._system == "ICD-9-CM":
            return (Rule(f"icd9cm:notes:{code}", "excludes1", code, "notes of ICD-9-CM, not compiled", (), False),)
        return self._graph.undecided(code) if self._has(code) else ()

    def optional(self, code: str, codes: Iterable[str]) -> Rule | None:
        """The rule by which the code may be left out of a claim with these codes, the principal one first."""
        known = [c for c in codes if self._has(c)]
        return self._graph.optional(code, known) if code in known and self.billable(code) else None

    def fits(self, code: str, sex: str, age: int) -> bool:
        """Whether the code may stand for a patient of this sex ("" unknown) and age (-1 unknown)."""
        known = self._patients.get(code)
        if known is None:
            has = self._has(code)
            known = self._patients[code] = (self._graph.sex(code), self._graph.ages(code)) if has else ("", (0, 999))
        wanted, (low, high) = known
        return not (wanted and sex and wanted != sex) and (age < 0 or low <= age <= high)


@lru_cache(maxsize=16)
def language(graph: RuleGraph, system: System) -> Language:
    """The rules for one system; the same object for the same graph."""
    return Language(graph, system)
