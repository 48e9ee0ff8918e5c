"""Candidate, Cost, Violation, Finding and the Judge: an attack proposes, somebody else decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from nocere.core.canonical import Json

Files: TypeAlias = Mapping[str, bytes]
Proof: TypeAlias = Json


@dataclass(frozen=True, slots=True)
class Candidate:
    """A content proposed for a case at a radius, with what makes membership checkable.

    `proof` holds the parameters of a rotation, or a list of edits each with its rule; None where content alone decides.
    """

    case_id: str
    x: Any
    radius: float
    proof: Proof = None


@dataclass(frozen=True, slots=True)
class Cost:
    """How far a candidate is from its case: a value in a unit, and other distances for the reader."""

    value: float
    unit: str
    more: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Violation:
    """Why a candidate is not in the perturbation set."""

    why: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What the judge found for one candidate.

    `margin` is the goal's margin on the shipped target; `rate` the share of draws that met the goal (0 or 1 for a
    deterministic target); `files` the realised files when the finding is kept as evidence.
    """

    ok: bool
    why: str
    margin: float
    cost: Cost | None
    files: Files | None
    margins: tuple[float, ...]
    rate: float
    probabilities: tuple[float, ...] | None = None
    proof: Proof = None


class Judge(Protocol):
    """The only thing that an engine sees of the referee."""

    def judge(self, candidates: Sequence[Candidate]) -> list[Finding]:
        """A finding for every candidate, in order."""
        ...
