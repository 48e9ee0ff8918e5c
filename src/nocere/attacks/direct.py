"""Calls of libraries that evaluate the model themselves: the same rows, meter, candidates and referee as an ask.

Such a library holds the thread until it is done, so its rows never share a batch with those of other cohorts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.base import Ask, Heard, Spent, Stopped
from nocere.attacks.candidates import Candidates
from nocere.attacks.cell import Cell, Cohort
from nocere.attacks.evaluate import Tiles, decided_rows
from nocere.attacks.item import Item
from nocere.core.arrays import rows as take_rows
from nocere.core.budget import Meter
from nocere.core.errors import NocereError
from nocere.core.goal import Literals
from nocere.core.rng import seed_of
from nocere.targets.base import Target


@dataclass(slots=True, eq=False)
class Asked:
    """An ask on its way through an evaluation: the rows as shown, the cases behind them, and which were granted."""

    cohort: Cohort
    ask: Ask
    x: Any
    rows: NDArray[np.intp]
    on: NDArray[np.intp]

    @property
    def evaluated(self) -> Any:
        return self.x if self.on.size == len(self.rows) else take_rows(self.x, self.on)


def drawn(view: Target, items: Sequence[Item], seed: int) -> NDArray[np.uint64] | None:
    """Seeds of the next draw of each item, where the view draws."""
    if not view.stochastic:
        return None
    return np.array([seed_of(seed, "search", i.case.id, i.radius, i.next_draw()) for i in items], dtype=np.uint64)


class DirectCalls:
    """`Job.direct` of one cohort.

    Args:
        cohort: whose rows are evaluated.
        cell: what is searched.
        candidates: remembers and judges what met the goal.
        meter: counts passes back.
        prepare: an ask as it will be shown, with the rows that were granted and charged.
        parts: how rows of an item's shape are cut.
    """

    def __init__(
        self,
        cohort: Cohort,
        cell: Cell,
        candidates: Candidates,
        meter: Meter,
        prepare: Callable[[Cohort, Ask], Asked],
        parts: Callable[[Item], Tiles],
    ) -> None:
        self._cohort, self._cell, self._candidates, self._meter = cohort, cell, candidates, meter
        self._prepare, self._parts = prepare, parts

    def __call__(self, x: Any, rows: NDArray[np.intp] | None = None, grad: bool = False) -> Heard:
        """Evaluate rows at once; see `Direct`.

        Raises:
            Spent: every case behind the rows is decided or has nothing left to spend.
            Stopped: the target failed.
            AttackFaultError: rows, values or access that an ask would be refused for too.
        """
        cohort = self._cohort
        cohort.turn = Ask(x, rows, grad)
        try:
            asked = self._prepare(cohort, cohort.turn)
            if not asked.on.size:
                raise Spent
            return self._evaluated(asked)
        except NocereError as e:
            raise Stopped from e
        finally:
            cohort.turn = None  # answered: no turn that the engine should evaluate

    def _evaluated(self, b: Asked) -> Heard:
        cell, cohort = self._cell, self._cohort
        items = [cohort.items[int(r)] for r in b.rows[b.on]]
        seeds = drawn(cell.view, items, cell.seed)
        behind = [i.case for i in items]
        m, z, back = decided_rows(cell.view, b.evaluated, behind, seeds, self._parts(items[0]), b.ask.grad)
        goal = cell.threat.goal.margin(Literals.join([i.literals for i in items]), m)
        finite = np.isfinite(goal)
        for k in np.flatnonzero(~finite):
            items[k].fail("the target returned a score that is not finite")
        goal = np.where(finite, goal, 0.0)
        fresh = self._candidates.watch(cohort, b.evaluated, b.rows[b.on], goal)
        self._candidates.visit([i for i in fresh if i.visits < self._meter.budget.confirms])
        going = np.array([not i.decided for i in items])
        if not going.any():
            raise Spent
        return self._heard(b, items, going, m, z, back)

    def _heard(
        self,
        b: Asked,
        items: Sequence[Item],
        going: NDArray[np.bool_],
        m: NDArray[np.float64],
        z: Any,
        back: Callable[[Any], Any] | None,
    ) -> Heard:
        import torch

        live = np.zeros(len(b.rows), dtype=bool)
        live[b.on] = going
        decided = np.zeros((len(live), m.shape[1]))
        decided[live] = m[going]
        at, kept = torch.from_numpy(b.on[going]), torch.from_numpy(going)
        scores = None if z is None else z.new_zeros(len(live), z.shape[1]).index_copy(0, at, z[kept])

        def pullback(weight: Any) -> Any:
            assert back is not None
            inner = weight[torch.from_numpy(b.on)] * kept[:, None]
            g = back(inner.to(z.dtype)) * kept.view(-1, *[1] * (b.x.ndim - 1))
            for item, row, on in zip(items, g, going, strict=True):
                if on:
                    item.pulled(float(row.abs().max()))
                    self._meter.pulled(item.case.id, 1)
            return torch.zeros_like(b.x).index_copy(0, torch.from_numpy(b.on), g.to(b.x.dtype))

        return Heard(decided, scores, live, None if back is None else pullback)
