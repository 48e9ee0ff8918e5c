"""The rule graph: what the classification's own words license and forbid between diagnosis codes, with the note of each.

Compiled from the CMS / NCHS tabular list of ICD-10-CM (FY2026, 1 April 2026), ICD-9-CM version 32 and the CMS General
Equivalence Mapping. Read lazily: titles, notes, residuals and the GEM each load on first use.
"""

from __future__ import annotations

from functools import cache, cached_property

from nocere.clinical.codes.notes import PREFIX, Notes
from nocere.clinical.codes.packed import Packed
from nocere.clinical.codes.residual import Residuals
from nocere.clinical.codes.rules import Rule
from nocere.clinical.codes.tree import Tree
from nocere.core.errors import UsageError

NINTH, TENTH = "ICD-9-CM", "ICD-10-CM"


class RuleGraph:
    """Codes and rules of one compiled file.

    Codes are dotted (E11.9). Methods on ICD-10-CM codes raise UsageError for a code that the list does not have.
    """

    def __init__(self, packed: Packed) -> None:
        self._packed = packed
        self.version: str = packed.manifest["version"]
        self.sha256 = packed.sha256

    @cached_property
    def _tenth(self) -> Tree:
        return Tree(self._packed, "10", TENTH)

    @cached_property
    def _ninth(self) -> Tree:
        return Tree(self._packed, "9", NINTH)

    @cached_property
    def _notes(self) -> Notes:
        return Notes(self._packed, self._tenth)

    @cached_property
    def _residuals(self) -> Residuals:
        return Residuals(self._packed, self._tenth)

    @cached_property
    def _siblings(self) -> dict[str, tuple[str, ...]]:
        return {}

    def tree(self, system: str = TENTH) -> Tree:
        """The tree of a code system.

        Raises:
            UsageError: neither ICD-9-CM nor ICD-10-CM.
        """
        if system == TENTH:
            return self._tenth
        if system == NINTH:
            return self._ninth
        raise UsageError(f"No code system {system!r}.", f"Use {TENTH} or {NINTH}.")

    def title(self, code: str, system: str = TENTH) -> str:
        """Title of a code, block or chapter."""
        return self.tree(system).title(code)

    def exists(self, code: str, system: str = TENTH) -> bool:
        """Whether the list has the node."""
        return code in self.tree(system).index

    def billable(self, code: str, system: str = TENTH) -> bool:
        """Whether the code is complete: a leaf, with its seventh character where one is asked for."""
        return self.tree(system).billable(code)

    def parent(self, code: str, system: str = TENTH) -> str:
        """The node above, "" above a chapter."""
        return self.tree(system).parent(code)

    def ancestors(self, code: str, system: str = TENTH) -> tuple[str, ...]:
        """All nodes above, nearest first."""
        return self.tree(system).lineage(code)[1:]

    def children(self, code: str, system: str = TENTH) -> tuple[str, ...]:
        """Nodes directly below."""
        return self.tree(system).children(code)

    def leaves(self, code: str, system: str = TENTH) -> tuple[str, ...]:
        """Billable codes at or below a node."""
        return self.tree(system).leaves(code)

    def rule(self, rule_id: str) -> Rule:
        """The rule of an id.

        Raises:
            KeyError: there is none.
        """
        prefix, _, rest = rule_id.partition(":")
        kind, _, rest = rest.partition(":")
        if prefix != PREFIX:
            raise KeyError(rule_id)
        if kind in ("residual", "residual-undecided"):
            return self._residuals.rule(rest, kind == "residual")
        return self._notes.find(kind, rest)

    def generalisations(self, code: str) -> tuple[tuple[str, Rule], ...]:
        """E1: residual leaves that say less than the code and nothing else; `Rule.decided` False where that is open."""
        return self._residuals.generalisations(code)

    def refinements(self, code: str) -> tuple[tuple[str, Rule], ...]:
        """The inverse of `generalisations`: what an unspecified code may stand for. True only with evidence (E4)."""
        return self._residuals.refinements(code)

    def laterals(self, code: str) -> tuple[str, ...]:
        """Other leaves of the three-character category: other statements about another patient, unless facts say so."""
        known = self._siblings.get(code)
        if known is None:
            self._tenth.at(code)
            known = tuple(c for c in self._tenth.leaves(code[:3]) if c != code)
            self._siblings[code] = known
        return known

    def excludes1(self, a: str, b: str) -> Rule | None:
        """The Excludes1 note, own or inherited, that forbids two codes on one claim; None where none does."""
        return self._notes.excludes1(a, b)

    def code_first(self, code: str) -> tuple[Rule, ...]:
        """Notes that ask for another code before this one."""
        return self._notes.above("code_first", code)

    def use_additional(self, code: str) -> tuple[Rule, ...]:
        """Notes that ask for another code after this one."""
        return self._notes.above("use_additional", code)

    def code_also(self, code: str) -> tuple[Rule, ...]:
        """Notes that ask for another code, in any order."""
        return self._notes.above("code_also", code)

    def undecided(self, code: str) -> tuple[Rule, ...]:
        """Notes that hold for the code and cannot be resolved to codes."""
        return self._notes.undecided(code)


@cache
def load_rules() -> RuleGraph:
    """The packaged rule graph.

    Raises:
        VerificationError: the packaged file is not the one that was recorded.
    """
    return RuleGraph(Packed())
