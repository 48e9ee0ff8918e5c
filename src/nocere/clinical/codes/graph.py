"""The rule graph: what the classification's own words license and forbid between diagnosis codes, each with its note.

Compiled from the CMS / NCHS tabular list of ICD-10-CM (FY2026, 1 April 2026), ICD-9-CM version 32 and the CMS General
Equivalence Mapping. Read lazily: titles, notes, residuals and the GEM each load on first use. Answers are kept, so that
a second question about a code is a look-up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache, cached_property

from nocere.clinical.codes import demographics
from nocere.clinical.codes.combine import Combinations
from nocere.clinical.codes.mapping import Gem, Years
from nocere.clinical.codes.notes import Notes
from nocere.clinical.codes.packed import Packed
from nocere.clinical.codes.residual import Residuals
from nocere.clinical.codes.rules import PREFIX, PREFIX_9, Combination, GemRow, Rule
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
        self._siblings: dict[str, tuple[str, ...]] = {}

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
    def _combinations(self) -> Combinations:
        return Combinations(self._packed, self._tenth, "10", PREFIX)

    @cached_property
    def _combinations9(self) -> Combinations:
        return Combinations(self._packed, self._ninth, "9", PREFIX_9)

    @cached_property
    def _gem(self) -> Gem:
        return Gem(self._packed)

    @cached_property
    def _years(self) -> Years:
        return Years(self._packed, self._tenth)

    @cached_property
    def _texts(self) -> dict[str, str]:
        texts: dict[str, str] = self._packed.json("combine")["texts"]
        return texts

    @property
    def sources(self) -> dict[str, dict[str, object]]:
        """Packages that the file was compiled from, with version and SHA-256 of each file read."""
        sources: dict[str, dict[str, object]] = self._packed.manifest["sources"]
        return sources

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
        if kind in ("combine", "decompose", "syndrome") and prefix in (PREFIX, PREFIX_9):
            return (self._combinations if prefix == PREFIX else self._combinations9).rule(kind, rest)
        if prefix == PREFIX_9 and kind == "gem":
            return self._gem.rule(rest)
        if prefix != PREFIX:
            raise KeyError(rule_id)
        if kind in ("residual", "residual-undecided"):
            return self._residuals.rule(rest, kind == "residual")
        if kind in ("optional", "optional-undecided"):
            if not self.billable(rest):
                raise KeyError(rule_id)
            return self._optional(rest, kind == "optional")
        if kind == "year":
            return self._years.rule(rest)
        return self._notes.find(kind, rest)

    def generalisations(self, code: str) -> tuple[tuple[str, Rule], ...]:
        """E1: residual leaves that say less than the code and nothing else; `Rule.decided` False where that is open."""
        return self._residuals.generalisations(code)

    def refinements(self, code: str) -> tuple[tuple[str, Rule], ...]:
        """The inverse of `generalisations`: what an unspecified code may stand for. True only with evidence (E4)."""
        return self._residuals.refinements(code)

    def laterals(self, code: str) -> tuple[str, ...]:
        """Other leaves of the three-character category: statements about another patient, unless facts say so (X7)."""
        category = code[:3]
        known = self._siblings.get(category)
        if known is None:
            known = self._siblings[category] = self._tenth.leaves(self._tenth.codes[self._tenth.at(category)])
        self._tenth.at(code)
        if code not in known:
            return known
        i = known.index(code)
        return known[:i] + known[i + 1 :]

    def combinations(self, codes: Iterable[str], system: str = TENTH) -> tuple[Combination, ...]:
        """E2: what these codes may be combined into or taken apart into, both ways."""
        self.tree(system)
        return (self._combinations if system == TENTH else self._combinations9).of(codes)

    def combination_steps(self) -> Iterator[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], bool]]:
        """Every E2 step of ICD-10-CM: codes that leave, come and stay, and whether the rule is decided."""
        return self._combinations.steps()

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

    def optional(self, code: str, codes: Sequence[str]) -> Rule | None:
        """E3: the rule under which a secondary diagnosis may be left out of a claim with these codes.

        None for the principal diagnosis and for what a use-additional or code-first note of another code on the claim
        asks for. Not decided where such a note is open ("such as ...") and not met by another code on the claim.
        """
        if codes and codes[0] == code:
            return None
        if self._notes.demanded(code, codes):
            return None
        return self._optional(code, self._notes.open_demand([c for c in codes if c != code]) is None)

    def _optional(self, code: str, decided: bool) -> Rule:
        name = f"{PREFIX}:{'optional' if decided else 'optional-undecided'}:{code}"
        return Rule(name, "optional", code, self._texts["additional"], (code,), decided, remove=(code,))

    def sex(self, code: str) -> demographics.Sex:
        """Sex that a title at or above the code implies, "" where none does."""
        return demographics.sex(self._tenth, code)

    def ages(self, code: str) -> tuple[int, int]:
        """Years of age that a title at or above the code implies, (0, 124) where none does."""
        return demographics.ages(self._tenth, code)

    def gem(self, code9: str) -> tuple[GemRow, ...]:
        """Rows of the General Equivalence Mapping of an ICD-9-CM code; targets may have been retired since."""
        return self._gem.rows(code9)

    def years(self, code: str) -> tuple[int, ...]:
        """Fiscal years, of the two lists that we have (2024 and 2026), in which the code is a complete one."""
        return self._years.valid(code)

    @property
    def retired_codes(self) -> tuple[str, ...]:
        """Codes that were complete in FY2024 and are not in FY2026."""
        return self._years.gone

    def retired(self, code: str) -> str:
        """Title of a code that was complete in FY2024 and is not in FY2026, else ""."""
        return self._years.retired(code)

    def successors(self, code: str) -> Rule | None:
        """The rule from a retired code to those that took its place; None where the code is not a retired one."""
        return self._years.rule(code) if self._years.retired(code) else None

    def coverage(self) -> dict[str, dict[str, int]]:
        """Counts a kind of rule: notes, those that name codes, those decided, and what was compiled from them."""
        return {
            **self._notes.counts(),
            "residual": self._residuals.counts(),
            "combine": self._combinations.counts(),
            "gem": self._gem.counts(),
        }


@cache
def load_rules() -> RuleGraph:
    """The packaged rule graph.

    Raises:
        VerificationError: the packaged file is not the one that was recorded.
    """
    return RuleGraph(Packed())
