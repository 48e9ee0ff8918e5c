"""Edit: one licensed step from a claim to another, with the rule that licenses it; a proof is a list of edits.

Every edit of diagnoses is "these codes leave, those come": a generalisation is one for one, a combination two for one, an
omission one for none. `replay` is the only meaning of an edit; the generator of moves, the perturbation sets and the
independent checker all have theirs from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias

from nocere.cases.claim import Claim, Diagnosis
from nocere.core.canonical import Json

EditClass: TypeAlias = Literal["E0", "E1", "E2", "E3", "E4", "E5", "E6", "X7"]
CLASSES: tuple[EditClass, ...] = ("E0", "E1", "E2", "E3", "E4", "E5", "E6", "X7")


@dataclass(frozen=True, slots=True)
class Edit:
    """One step.

    Args:
        edit: its class (facts: E0 representation, E1 generalise, E2 combine or decompose, E3 omit or restore, E4 refine,
            E5 another principal diagnosis, E6 numbers, X7 misstatement).
        remove: codes that leave the claim.
        add: codes that come; the first one takes the place of the first that left, others go to the end.
        principal: code that moves to the first place ("" for none).
        order: new order of the diagnoses as positions (empty for none).
        line: service line whose numbers change, or -1.
        units, minutes: new numbers of that line.
        rule: id of the rule that licenses the edit (`RuleGraph.rule(id)` finds it).
        evidence: references that support what is added, as the facts of the case name them.
    """

    edit: EditClass
    remove: tuple[str, ...] = ()
    add: tuple[str, ...] = ()
    principal: str = ""
    order: tuple[int, ...] = ()
    line: int = -1
    units: float = 0.0
    minutes: int = 0
    rule: str = ""
    evidence: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """Plain form, without what is at its default."""
        mine: dict[str, Any] = asdict(self)
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in mine.items()}
        return {k: v for k, v in plain.items() if k == "edit" or v != _DEFAULT[k]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Edit:
        """Inverse of `to_json`.

        Raises:
            ValueError: not the form of an edit.
        """
        try:
            made = cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in data.items()})
        except TypeError as e:
            raise ValueError(f"not an edit: {e}") from e
        if made.edit not in CLASSES:
            raise ValueError(f"no edit class {made.edit!r}")
        return made


_DEFAULT: dict[str, Any] = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(Edit("E0")).items()}


def replay(claim: Claim, edits: Sequence[Edit]) -> Claim:
    """The claim after all edits, in order.

    Raises:
        ValueError: an edit does not fit the claim that it meets (a code is not there, or already there).
    """
    for e in edits:
        claim = _step(claim, e)
    return claim


def _step(claim: Claim, e: Edit) -> Claim:
    there = list(claim.diagnoses)
    codes = [d.code for d in there]
    if set(e.remove) - set(codes):
        raise ValueError(f"{', '.join(sorted(set(e.remove) - set(codes)))} is not on the claim")
    if set(e.add) & (set(codes) - set(e.remove)):
        raise ValueError(f"{', '.join(sorted(set(e.add) & set(codes)))} is on the claim already")
    if len(set(e.add)) != len(e.add) or len(set(e.remove)) != len(e.remove):
        raise ValueError("an edit names a code twice")
    if e.remove or e.add:
        place = codes.index(e.remove[0]) if e.remove else len(there)
        poa = there[place].poa if e.remove else ""
        new = [Diagnosis(c, poa, e.evidence) for c in e.add]
        kept = [d for d in there if d.code not in e.remove]
        at = sum(d.code not in e.remove for d in there[:place])
        there = [*kept[:at], *new[:1], *kept[at:], *new[1:]]
    if e.principal:
        first = next((d for d in there if d.code == e.principal), None)
        if first is None:
            raise ValueError(f"{e.principal} is not on the claim")
        there = [first, *(d for d in there if d is not first)]
    if e.order:
        if sorted(e.order) != list(range(len(there))):
            raise ValueError("a new order names every diagnosis once")
        there = [there[i] for i in e.order]
    lines = list(claim.lines)
    if e.line >= 0:
        if e.line >= len(lines):
            raise ValueError(f"the claim has no service line {e.line}")
        lines[e.line] = replace(lines[e.line], units=e.units, minutes=e.minutes)
    if len({d.code for d in there}) != len(there) and len(set(codes)) == len(codes):
        raise ValueError("a code would stand twice")
    return replace(claim, diagnoses=tuple(there), lines=tuple(lines))
