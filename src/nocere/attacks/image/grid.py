"""Families of transforms: exhaustive grid (worst case, line 2) and random sampling (ordinary variation, line 1)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.base import Ask, AttackDefaults, Job, Search
from nocere.core.canonical import Json
from nocere.core.errors import UsageError
from nocere.core.registry import register
from nocere.targets.base import Access
from nocere.threats.base import Axis, Parametric

TURN = 8


def _family(job: Job, name: str) -> Parametric:
    if not isinstance(job.pset, Parametric):
        raise UsageError(f"{name} searches families of transforms; {job.pset.name} has no parameters.")
    return job.pset


def _ask(job: Job, alive: NDArray[np.intp], thetas: NDArray[np.float64], axes: list[list[Axis]]) -> Ask:
    """Rows for every live case and parameter vector: thetas [len(alive), k, axes]."""
    rows = np.repeat(alive, thetas.shape[1])
    flat = thetas.reshape(-1, thetas.shape[2])
    family = _family(job, "")
    proofs: list[Json] = [
        {a.name: float(v) for a, v in zip(axes[int(r)], theta, strict=True)}
        for r, theta in zip(rows, flat, strict=True)
    ]
    return Ask(family.render(job.x0[rows], flat), rows, proofs=proofs)


@register("attack", "image.grid", source="Engstrom et al. 2019, arXiv:1712.02779", access="scores or labels")
@dataclass(frozen=True, slots=True)
class Grid(AttackDefaults):
    """Every point of a regular grid over the family's parameters.

    Args:
        points: grid points an axis, in the order of the family's axes; the last number serves all further axes.
    """

    points: tuple[int, ...] = (9, 3, 3)
    name: ClassVar[str] = "image.grid"
    needs: ClassVar[frozenset[Access]] = frozenset({"labels"})

    def __post_init__(self) -> None:
        if not self.points or min(self.points) < 2:
            raise UsageError(f"image.grid needs at least 2 points an axis; got {self.points}.")

    def search(self, job: Job) -> Search:
        axes = _axes(job, self.name)
        grids = [self._grid(a) for a in axes]
        alive = np.arange(len(job.cases))
        total = max(len(g) for g in grids)
        for start in range(0, total, TURN):
            if alive.size == 0:
                break
            thetas = np.stack([grids[int(i)][start : start + TURN] for i in alive])
            answer = yield _ask(job, alive, thetas, axes)
            alive = alive[answer.live.reshape(len(alive), -1).any(1)]
        return []

    def _grid(self, axes: list[Axis]) -> NDArray[np.float64]:
        lines = []
        for i, a in enumerate(axes):
            v = np.linspace(a.low, a.high, self.points[min(i, len(self.points) - 1)])
            lines.append(np.rint(v) if a.whole else v)
        return np.array(list(itertools.product(*lines)))


@register(
    "attack",
    "image.sampled",
    source="uniform sampling of the family (design, section 5, line 1)",
    access="scores or labels",
)
@dataclass(frozen=True, slots=True)
class Sampled(AttackDefaults):
    """Random members of the family, uniform over its parameters.

    Args:
        draws: members a case.
    """

    draws: int = 100
    name: ClassVar[str] = "image.sampled"
    needs: ClassVar[frozenset[Access]] = frozenset({"labels"})

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise UsageError(f"image.sampled needs at least one draw; got {self.draws}.")

    def search(self, job: Job) -> Search:
        axes = _axes(job, self.name)
        low = np.array([[a.low for a in case] for case in axes])
        high = np.array([[a.high for a in case] for case in axes])
        whole = np.array([a.whole for a in axes[0]])
        alive = np.arange(len(job.cases))
        for start in range(0, self.draws, TURN):
            if alive.size == 0:
                break
            k = min(TURN, self.draws - start)
            u = (job.rng.uniform(alive, (k, len(whole))).astype(np.float64) + 1.0) / 2.0
            thetas: Any = low[alive][:, None] + u * (high - low)[alive][:, None]
            thetas = np.where(whole, np.rint(thetas), thetas)
            answer = yield _ask(job, alive, thetas, axes)
            alive = alive[answer.live.reshape(len(alive), -1).any(1)]
        return []


def _axes(job: Job, name: str) -> list[list[Axis]]:
    """The family's axes at each case's radius."""
    _family(job, name)
    out = []
    for r in job.radius:
        at: Any = job.pset.at(float(r))
        out.append(list(at.axes()))
    return out
