"""PerturbationSet and the optional search tools; Threat joins one with goal, access and budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from nocere.core.budget import Budget
from nocere.core.candidate import Cost, Proof, Violation
from nocere.core.case import Case
from nocere.core.goal import Goal
from nocere.core.units import Kind, Unit
from nocere.targets.base import Access


class PerturbationSet(Protocol):
    """The rules on stored values; `check` shares no code with what generates candidates."""

    @property
    def name(self) -> str: ...
    @property
    def radius(self) -> float: ...
    @property
    def unit(self) -> Unit: ...
    @property
    def kind(self) -> Kind: ...
    def at(self, radius: float) -> Self:
        """The same rules with another radius."""
        ...

    def check(self, case: Case[Any], x: Any, proof: Proof) -> Violation | None:
        """None when content `x` with its proof is inside."""
        ...

    def cost(self, case: Case[Any], x: Any, proof: Proof) -> Cost:
        """How far it is, in `unit`."""
        ...

    def to_json(self) -> Mapping[str, Any]:
        """Name and parameters, for plans and keys."""
        ...


@runtime_checkable
class Projects(Protocol):
    """Search tool for arrays: rows are float tensors in stored units, radius [n] one number a row."""

    @property
    def span(self) -> tuple[float, float]:
        """Smallest and largest value that can be stored."""
        ...

    def distance(self, x: Any, x0: Any) -> NDArray[np.float64]:
        """Cost of each row [n], in the set's unit."""
        ...

    def project(self, x: Any, x0: Any, radius: Any) -> Any:
        """The nearest rows inside."""
        ...

    def inside(self, x: Any, x0: Any, radius: Any) -> NDArray[np.bool_]:
        """Which rows are inside, up to float rounding."""
        ...

    def realise(self, x: Any, case: Case[Any], radius: float) -> Any:
        """One row as stored integers inside of the set."""
        ...

    def ascend(self, g: Any) -> Any:
        """The unit step that raises a linear loss with gradient g the most under this norm."""
        ...

    def random(self, draws: Any, x0: Any, radius: Any) -> Any:
        """Uniform draws on [-1, 1) [n, ...] to points of the set around x0."""
        ...


@dataclass(frozen=True, slots=True)
class Axis:
    """One parameter of a transform: allowed range at radius r, and its unit."""

    name: str
    low: float
    high: float
    unit: str
    whole: bool = False


@runtime_checkable
class Parametric(Protocol):
    """Search tool for families of transforms: a candidate is `render(x0, theta)` with theta as its proof."""

    def axes(self) -> Sequence[Axis]:
        """The parameters, with their range at this radius."""
        ...

    def render(self, x0: Any, theta: NDArray[np.float64]) -> Any:
        """Rows x0 [n, ...] (floats, stored units) under parameters [n, axes]; stored integers as floats."""
        ...


@runtime_checkable
class Moves(Protocol):
    """Search tool for discrete contents: single steps from a content."""

    def moves(self, case: Case[Any], x: Any, proof: Proof) -> Iterator[tuple[Any, Proof]]:
        """Neighbours of `x`, each with its proof."""
        ...


@runtime_checkable
class Shifts(Protocol):
    """Search tool for universal attacks: one change applied to many cases."""

    def shift(self, case: Case[Any], delta: Any) -> tuple[Any, Proof]:
        """`delta` applied to a case, as stored content inside of the set."""
        ...


@runtime_checkable
class Obstructed(Protocol):
    """A set that has no member for some cases."""

    def at(self, radius: float) -> Self: ...
    def obstacle(self, case: Case[Any]) -> str:
        """Why nothing of this radius can be done to the case; empty where something can."""
        ...


@runtime_checkable
class Fitted(Protocol):
    """A set whose range or budget depends on the case: how its values are stored, or the window it is seen through."""

    def form(self, case: Case[Any]) -> Any:
        """What cases that are searched together must share; hashable."""
        ...

    def fitted(self, case: Case[Any]) -> Self:
        """The set as it is for cases of this form."""
        ...


def form_of(pset: PerturbationSet, case: Case[Any]) -> Any:
    """The form of a case under a set; None where all cases are alike to it."""
    return pset.form(case) if isinstance(pset, Fitted) else None


def fitted(pset: PerturbationSet, case: Case[Any]) -> Any:
    """A set as it is for a case."""
    return pset.fitted(case) if isinstance(pset, Fitted) else pset


@dataclass(frozen=True, slots=True)
class Threat:
    """A threat model: rules, what the attacker is after, may see and may spend, and for whom it matters."""

    pset: PerturbationSet
    goal: Goal
    access: frozenset[Access]
    budget: Budget
    gains: str = ""
    harmed: str = ""
