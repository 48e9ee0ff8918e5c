"""Perturbation sets of claims: at most `radius` licensed edits, each with its proof.

`claims.truthful` holds what facts and rules prove; `claims.truthful_wide` also what hangs on prose that could not be
resolved. What gaming by true codes is worth lies between the two. `claims.all` asks for no evidence and adds false
swaps: its difference to the first is what asking for evidence is worth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from nocere.cases.claim import Claim
from nocere.core.candidate import Cost, Proof, Violation
from nocere.core.case import Case
from nocere.core.errors import VerificationError
from nocere.core.registry import register
from nocere.core.units import Kind, Unit, edit_kind, line
from nocere.threats.codes.check import check
from nocere.threats.codes.edit import Edit, EditClass, Terms, Undecided, ordered, replay
from nocere.threats.codes.moves import allowed, compatible, moves
from nocere.threats.codes.truth import facts_of

if TYPE_CHECKING:
    from nocere.clinical.codes.graph import RuleGraph

SOURCE = "ICD-10-CM Official Guidelines FY2026, Sections I-III; Finlayson et al. 2019, Science 363:1287"
TRUE_CLASSES: frozenset[EditClass] = frozenset({"E0", "E1", "E2", "E3", "E4", "E5", "E6"})


@dataclass(frozen=True, slots=True)
class CodeEdits:
    """At most `radius` licensed edits of a claim; what the sets have in common.

    Args:
        radius: most edits.
        laterals: most X7 swaps, and most refinements without evidence, of one code.
        mue: most units of a service line by its code (the user's own table), as pairs.
        rules: SHA-256 of the rule file that was used; empty for the packaged one.
    """

    radius: float = 2.0
    laterals: int = 3
    mue: tuple[tuple[str, float], ...] = ()
    rules: str = ""
    name: ClassVar[str] = ""
    unit: ClassVar[Unit] = Unit.EDITS
    kind: ClassVar[Kind] = Kind.TRUTHFUL
    resolution: ClassVar[float] = 1.0
    classes: ClassVar[frozenset[EditClass]] = TRUE_CLASSES
    evidence: ClassVar[bool] = True
    undecided: ClassVar[Undecided] = "reject"

    def __post_init__(self) -> None:
        # Plans and bundles hold lists.
        object.__setattr__(self, "mue", tuple((str(code), float(most)) for code, most in self.mue))

    @property
    def terms(self) -> Terms:
        """What the edits of this set may be."""
        return Terms(self.classes, self.evidence, self.undecided, self.laterals, self.mue)

    def graph(self) -> RuleGraph:
        """The rule graph.

        Raises:
            VerificationError: the packaged rules are others than those that this set names.
        """
        from nocere.clinical.codes.graph import load_rules

        graph = load_rules()
        if self.rules not in ("", graph.sha256):
            raise VerificationError(
                f"{self.name}: it was made with other code rules ({self.rules[:12]}) than this version of nocere has "
                f"({graph.sha256[:12]}).",
                "Open it with the version of nocere that made it.",
            )
        return graph

    def at(self, radius: float) -> Self:
        return replace(self, radius=radius)

    def to_json(self) -> dict[str, Any]:
        mue = [list(pair) for pair in self.mue]
        rules = self.rules or self.graph().sha256
        return {"name": self.name, "radius": self.radius, "laterals": self.laterals, "mue": mue, "rules": rules}

    def check(self, case: Case[Any], x: Any, proof: Proof) -> Violation | None:
        if isinstance(proof, list) and len(proof) > self.radius:
            return Violation(f"{len(proof)} edits, {self.radius:g} allowed")
        why = check(case.x, x, proof, facts_of(case), self.graph(), self.terms)
        return None if why is None else Violation(why)

    def cost(self, case: Case[Any], x: Any, proof: Proof) -> Cost:
        edits = edits_of(proof)
        # In a truthful set nothing is false: what it holds without evidence is undecided, and it says so.
        false = sum(not self.evidence and proof_kind([e]) is Kind.MISSTATEMENT for e in edits)
        return Cost(float(len(edits)), str(self.unit), {"edits": float(len(edits)), "misstatements": float(false)})

    # --- search tools --------------------------------------------------------------------------------------------

    def edits(self, case: Case[Claim]) -> tuple[Edit, ...]:
        """All single edits that sets are made of, in a fixed order."""
        return moves(case, self.graph(), self.terms)

    def compatible(self, a: Edit, b: Edit) -> bool:
        """Whether two edits can be in one set."""
        return compatible(a, b)

    def permits(self, case: Case[Claim], edits: Sequence[Edit]) -> bool:
        """Whether a set of such edits may stand: what is left of it is a claim of this set."""
        return bool(edits) and len(edits) <= self.radius and allowed(case, edits, self.graph(), self.terms) is None

    def moves(self, case: Case[Claim], x: Claim, proof: Proof) -> Iterator[tuple[Claim, Proof]]:
        """Claims with one more edit."""
        done = edits_of(proof)
        for e in self.edits(case) if len(done) < self.radius else ():
            both = ordered([*done, e])
            if all(compatible(e, d) for d in done) and allowed(case, both, self.graph(), self.terms) is None:
                yield replay(case.x, both), proof_of(both)

    def members(self, case: Case[Claim]) -> Iterator[tuple[Claim, Proof]]:
        """Every claim of the set but the original, once, with a proof of the fewest edits."""
        single, graph = self.edits(case), self.graph()
        seen = {case.x}
        chosen: list[tuple[int, ...]] = [()]
        for _ in range(int(self.radius)):
            chosen = [
                (*c, k)
                for c in chosen
                for k in range(c[-1] + 1 if c else 0, len(single))
                if all(compatible(single[k], single[i]) for i in c)
            ]
            for c in chosen:
                edits = ordered([single[i] for i in c])
                if allowed(case, edits, graph, self.terms) is None and (x := replay(case.x, edits)) not in seen:
                    seen.add(x)
                    yield x, proof_of(edits)


@register("threat", "claims.truthful", source=SOURCE, kind="truthful")
@dataclass(frozen=True, slots=True)
class Truthful(CodeEdits):
    """Claims that say nothing but what the facts support, by rules that are decided."""

    name: ClassVar[str] = "claims.truthful"


@register("threat", "claims.truthful_wide", source=SOURCE, kind="truthful")
@dataclass(frozen=True, slots=True)
class TruthfulWide(CodeEdits):
    """The same, and also what hangs on prose notes that could not be resolved to codes."""

    name: ClassVar[str] = "claims.truthful_wide"
    undecided: ClassVar[Undecided] = "allow"


@register("threat", "claims.all", source=SOURCE, kind="misstatement")
@dataclass(frozen=True, slots=True)
class AllEdits(CodeEdits):
    """No evidence asked for: unsupported refinements and false swaps inside a category too."""

    name: ClassVar[str] = "claims.all"
    kind: ClassVar[Kind] = Kind.MISSTATEMENT
    classes: ClassVar[frozenset[EditClass]] = TRUE_CLASSES | {"X7"}
    evidence: ClassVar[bool] = False
    undecided: ClassVar[Undecided] = "allow"


def proof_of(edits: Sequence[Edit]) -> Proof:
    """Edits as a proof."""
    return [e.to_json() for e in edits]


def edits_of(proof: Proof) -> tuple[Edit, ...]:
    """Inverse of `proof_of`; no proof is no edit.

    Raises:
        ValueError: not a proof.
    """
    return tuple(Edit.from_json(e) for e in proof) if isinstance(proof, list) else ()


def proof_kind(edits: Sequence[Edit]) -> Kind:
    """The worst kind among edits of a checked proof: X7 is a misstatement, so are E4 to E6 without evidence."""
    kinds = [edit_kind(e.edit, supported=bool(e.evidence)) for e in edits]
    return max(kinds, key=lambda k: line(k, "flip"), default=Kind.REPRESENTATION)
