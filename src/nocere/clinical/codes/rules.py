"""What the rule graph hands out: a rule that licenses or forbids, a combination of codes, a row of the GEM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

PREFIX = "icd10cm-2026"  # every id of a rule on ICD-10-CM codes begins with it
PREFIX_9 = "icd9cm-32"
RuleKind: TypeAlias = Literal[
    "residual",
    "excludes1",
    "combine",
    "syndrome",
    "code_first",
    "use_additional",
    "code_also",
    "optional",
    "gem",
    "year",
]


@dataclass(frozen=True, slots=True)
class Rule:
    """One relation between codes, with the words that it stands on; what a proof cites.

    Args:
        id: such as "icd10cm-2026:excludes1:I10#0"; `RuleGraph.rule(id)` finds it again.
        kind: which relation.
        at: node where the note stands.
        text: the note's own words (a residual: title and inclusion terms; a curated rule: its citation).
        codes: residual: the leaves any one of which may become `add`; excludes1, code_first, use_additional, code_also:
            nodes (codes or category prefixes) that the note names; combine, syndrome: `remove` and `keep`; optional:
            the code; gem, year: the codes that take its place.
        decided: False where the words do not decide, or name no code.
        remove, add: the step that the rule licenses (residual: `add` alone, optional: `remove` alone).
        keep: codes that must be on the claim and stay there.
    """

    id: str
    kind: RuleKind
    at: str
    text: str
    codes: tuple[str, ...] = ()
    decided: bool = True
    remove: tuple[str, ...] = ()
    add: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Combination:
    """A step of E2 on given codes: `remove` leaves, `add` comes, `keep` must be there; `rule` licenses it."""

    remove: tuple[str, ...]
    add: tuple[str, ...]
    keep: tuple[str, ...]
    rule: Rule


@dataclass(frozen=True, slots=True)
class GemRow:
    """One row of the CMS General Equivalence Mapping (2018) from ICD-9-CM to ICD-10-CM.

    `approximate`, `no_map`, `combination`: flags as CMS writes them. The rows of one `scenario` with `choice` 1, 2, ...
    stand for the ICD-9-CM code together. `target` is "" where there is no map.
    """

    code: str
    target: str
    approximate: bool
    no_map: bool
    combination: bool
    scenario: int
    choice: int

    @property
    def exact(self) -> bool:
        """Whether CMS calls the two codes equivalent (flags 00000)."""
        return not (self.approximate or self.no_map or self.combination)
