"""Edit: one licensed step from a claim to another, with the rule that licenses it; a proof is a list of edits.

Every edit of diagnoses is "these codes leave, those come": a generalisation is one for one, a combination two for one,
an omission one for none. `replay` is the only meaning of an edit; the generator of moves, the perturbation sets and the
independent checker all have theirs from it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias

from nocere.cases.claim import Claim, Diagnosis, Line
from nocere.core.canonical import Json

EditClass: TypeAlias = Literal["E0", "E1", "E2", "E3", "E4", "E5", "E6", "X7"]
Undecided: TypeAlias = Literal["reject", "allow"]
# A diagnosis with the old positions that it stands for.
_Row: TypeAlias = tuple[Diagnosis, tuple[int, ...]]
CLASSES: tuple[EditClass, ...] = ("E0", "E1", "E2", "E3", "E4", "E5", "E6", "X7")


@dataclass(frozen=True, slots=True)
class Edit:
    """One step.

    Args:
        edit: its class (E0 representation, E1 generalise, E2 combine or decompose, E3 omit or restore, E4 refine, E5
            another principal diagnosis, E6 numbers, X7 misstatement).
        remove: codes that leave the claim.
        add: codes that come; the first one takes the place of the first that left, others go to the end. An edit of
            class E0 that removes nothing may name a code that is there: it is written once more.
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
        mine = {k: getattr(self, k) for k in _DEFAULT}
        said = {k: v for k, v in mine.items() if k == "edit" or v != _DEFAULT[k]}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in said.items()}

    @classmethod
    def from_json(cls, data: Any) -> Edit:
        """Inverse of `to_json`; what comes from an attack may be anything, so every field is looked at.

        Raises:
            ValueError: not the form of an edit.
        """
        if not isinstance(data, Mapping):
            raise ValueError("an edit is an object")
        try:
            made = cls(**_tuples(data))
        except TypeError as e:
            raise ValueError(f"not an edit: {e}") from e
        if made.edit not in CLASSES:
            raise ValueError(f"no edit class {made.edit!r}")
        lists = {"remove": str, "add": str, "evidence": str, "order": int}
        for name, kind in lists.items():
            value = getattr(made, name)
            if not isinstance(value, tuple) or any(type(v) is not kind for v in value):
                raise ValueError(f"{name} of an edit is a list of {kind.__name__}")
        whole = type(made.line) is int and type(made.minutes) is int and type(made.units) in (int, float)
        if not whole or not math.isfinite(made.units) or made.line < -1:
            raise ValueError("line, units and minutes of an edit are numbers")
        if type(made.principal) is not str or type(made.rule) is not str:
            raise ValueError("principal and rule of an edit are text")
        return made


def _tuples(data: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}


_DEFAULT: dict[str, Any] = asdict(Edit("E0"))


@dataclass(frozen=True, slots=True)
class Terms:
    """What a set of edits allows.

    Args:
        classes: of edits.
        evidence: whether evidence is asked for: E4 to E6 need documents that support them, and the claim that comes out
            says nothing that the facts do not entail.
        undecided: whether what hangs on prose that could not be resolved to codes is rejected or allowed.
        laterals: most X7 swaps, and most refinements without evidence, of one code; evenly spread over all of them.
        mue: most units of a service line by its code, where a table of medically unlikely edits is given.
    """

    classes: frozenset[EditClass]
    evidence: bool = True
    undecided: Undecided = "reject"
    laterals: int = 3
    mue: tuple[tuple[str, float], ...] = ()


def ordered(edits: Iterable[Edit]) -> tuple[Edit, ...]:
    """Edits as a proof lists them: a new order first (its positions are those of the original claim), then by class.

    What is added goes to the end of a claim, so a set of edits has one meaning only in one order.
    """
    return tuple(sorted(edits, key=_place))


def _place(e: Edit) -> tuple[Any, ...]:
    return (not e.order, CLASSES.index(e.edit), *(getattr(e, k) for k in _DEFAULT))


def replay(claim: Claim, edits: Sequence[Edit]) -> Claim:
    """The claim after all edits, in order. Service lines keep pointing at their diagnoses, wherever these go.

    Raises:
        ValueError: an edit does not fit the claim that it meets (a code is not there, or already there, or a service
            line would be left without a diagnosis).
    """
    for e in edits:
        claim = _step(claim, e)
    return claim


def _step(claim: Claim, e: Edit) -> Claim:
    codes = claim.codes
    if set(e.remove) - set(codes):
        raise ValueError(f"{', '.join(sorted(set(e.remove) - set(codes)))} is not on the claim")
    again = set(e.add) & (set(codes) - set(e.remove))
    if again and (e.edit != "E0" or e.remove):
        raise ValueError(f"{', '.join(sorted(again))} is on the claim already")
    if len(set(e.add)) != len(e.add) or len(set(e.remove)) != len(e.remove):
        raise ValueError("an edit names a code twice")
    rows: list[_Row] = [(d, (i,)) for i, d in enumerate(claim.diagnoses)]
    if e.remove or e.add:
        rows = _exchange(claim, e)
    if e.principal:
        first = next((r for r in rows if r[0].code == e.principal), None)
        if first is None:
            raise ValueError(f"{e.principal} is not on the claim")
        rows = [first, *(r for r in rows if r is not first)]
    if e.order:
        if sorted(e.order) != list(range(len(rows))):
            raise ValueError("a new order names every diagnosis once")
        rows = [rows[i] for i in e.order]
    lines = _point(claim.lines, {old: new for new, (_, olds) in enumerate(rows) for old in olds})
    if e.line >= 0:
        if e.line >= len(lines):
            raise ValueError(f"the claim has no service line {e.line}")
        lines[e.line] = replace(lines[e.line], units=float(e.units), minutes=e.minutes)
    return replace(claim, diagnoses=tuple(d for d, _ in rows), lines=tuple(lines))


def _exchange(claim: Claim, e: Edit) -> list[_Row]:
    """Diagnoses after some left and others came; the first that came stands for all that left."""
    there, codes = claim.diagnoses, claim.codes
    gone = tuple(i for i, c in enumerate(codes) if c in e.remove)
    place = codes.index(e.remove[0]) if e.remove else len(there)
    poa = there[place].poa if e.remove else ""
    new: list[_Row] = []
    for k, c in enumerate(e.add):
        copied = c in codes and c not in e.remove
        new.append((there[codes.index(c)] if copied else Diagnosis(c, poa, e.evidence), () if k else gone))
    kept: list[_Row] = [(d, (i,)) for i, d in enumerate(there) if i not in gone]
    at = sum(i not in gone for i in range(place))
    return [*kept[:at], *new[:1], *kept[at:], *new[1:]]


def _point(lines: Sequence[Line], where: Mapping[int, int]) -> list[Line]:
    """Lines that point at the same diagnoses as before, wherever these stand now."""
    out = []
    for k, line in enumerate(lines):
        at = tuple(dict.fromkeys(where[p] for p in line.pointers if p in where))
        if line.pointers and not at:
            raise ValueError(f"service line {k} would be for no diagnosis")
        out.append(line if at == line.pointers else replace(line, pointers=at))
    return out
