"""What the engine works on: a cell of search, and the cohorts of cases that are in flight in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.base import Ask, Attack, Certificate, Job, Propose, Share
from nocere.attacks.item import Item
from nocere.core.errors import AttackFaultError
from nocere.core.units import Aim
from nocere.targets.base import Target
from nocere.threats.base import Threat


@dataclass(frozen=True, slots=True)
class Cell:
    """One piece of search: a cascade of attacks at ascending radii under one threat.

    `lanes` is how many cases are in flight; it never changes a result, only speed and memory.
    """

    view: Target
    threat: Threat
    attacks: tuple[Attack, ...]
    radii: tuple[float, ...]
    aim: Aim
    seed: int
    lanes: int = 128

    @property
    def resolution(self) -> float:
        """Step of radii in a bisection."""
        return float(getattr(self.threat.pset, "resolution", 0.0) or self.radii[0] / 8)

    def minimises(self, attack: Attack) -> bool:
        """Whether the attack looks for the smallest cost itself here, instead of being asked radius by radius."""
        return attack.minimal and self.aim == "closest"


@dataclass(slots=True, eq=False)
class Cohort:
    """Cases of one shape that one attack searches together."""

    items: list[Item]
    attack: Attack
    job: Job
    search: Any
    turn: Ask | Propose | Share | None = None
    done: bool = False
    claims: Sequence[Certificate] = field(default_factory=list)

    def rows(self, turn: Ask | Propose) -> NDArray[np.intp]:
        """The cohort position behind each row of a turn.

        Raises:
            AttackFaultError: rows that do not belong to this cohort.
        """
        n = len(self.items)
        rows = np.arange(n) if turn.rows is None else np.asarray(turn.rows)
        whole = rows.ndim == 1 and np.issubdtype(rows.dtype, np.integer)
        if not whole or len(rows) == 0 or not hasattr(turn.x, "__len__") or len(turn.x) != len(rows):
            raise AttackFaultError("gave rows that do not belong to its cohort")
        if rows.min() < 0 or rows.max() >= n:
            raise AttackFaultError("gave rows that do not belong to its cohort")
        if turn.proofs is not None and len(turn.proofs) != len(rows):
            raise AttackFaultError("gave another number of proofs than rows")
        return rows
