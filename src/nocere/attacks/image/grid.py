"""Families of transforms: exhaustive grid (worst case, line 2) and random sampling (ordinary variation, line 1)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
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

# Points a case and turn, at most: whole tiles once few cases are left. Fewer of large images, to spare memory.
TURN = 16
TURN_VALUES = 1 << 18


def turns(total: int, x0: Any) -> Iterator[slice]:
    """Pieces of `total` points for rows x0 [n, ...]: few first, since most cases that break break soon."""
    most = max(1, min(TURN, TURN_VALUES // max(int(x0[0].numel()), 1)))
    start, size = 0, min(2, most)
    while start < total:
        yield slice(start, min(start + size, total))
        start, size = start + size, min(2 * size, most)


def family_axes(job: Job, name: str) -> list[list[Axis]]:
    """The family's axes at each case's radius.

    Raises:
        UsageError: the set is no family of transforms.
    """
    if not isinstance(job.pset, Parametric):
        raise UsageError(f"{name} searches families of transforms; {job.pset.name} has no parameters.")
    at = {float(r): list(job.pset.at(float(r)).axes()) for r in np.unique(job.radius)}
    return [at[float(r)] for r in job.radius]


def family_ask(job: Job, alive: NDArray[np.intp], thetas: NDArray[np.float64], axes: list[list[Axis]]) -> Ask:
    """Rows for every live case and parameter vector: thetas [len(alive), k, axes]."""
    rows = np.repeat(alive, thetas.shape[1])
    flat = thetas.reshape(-1, thetas.shape[2])
    names = [a.name for a in axes[0]]
    proofs: list[Json] = [dict(zip(names, theta, strict=True)) for theta in flat.tolist()]
    family: Any = job.pset
    return Ask(family.render(job.x0[rows], flat), rows, proofs=proofs)


def grid_points(axes: Sequence[Axis], points: tuple[int, ...]) -> NDArray[np.float64]:
    """A regular grid [n, axes], the points farthest from the middle first: strong transforms break more cases."""
    lines = []
    for i, a in enumerate(axes):
        v = np.linspace(a.low, a.high, points[min(i, len(points) - 1)])
        lines.append(np.rint(v) if a.whole else v)
    grid = np.array(list(itertools.product(*lines)))
    low, high = np.array([a.low for a in axes]), np.array([a.high for a in axes])
    far = (((grid - (low + high) / 2) / np.maximum((high - low) / 2, 1e-12)) ** 2).sum(1)
    # Rounded: equal distances must not be ordered by float noise.
    return np.asarray(grid[np.argsort(-far.round(9), kind="stable")])


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
        axes = family_axes(job, self.name)
        grids = np.stack([grid_points(a, self.points) for a in axes])
        alive = np.arange(len(job.cases))
        for part in turns(grids.shape[1], job.x0):
            if alive.size == 0:
                break
            answer = yield family_ask(job, alive, grids[alive, part], axes)
            alive = alive[answer.live.reshape(len(alive), -1).any(1)]
        return []


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
        axes = family_axes(job, self.name)
        low = np.array([[a.low for a in case] for case in axes])
        high = np.array([[a.high for a in case] for case in axes])
        whole = np.array([a.whole for a in axes[0]])
        alive = np.arange(len(job.cases))
        for part in turns(self.draws, job.x0):
            if alive.size == 0:
                break
            k = part.stop - part.start
            u = (job.rng.uniform(alive, (k, len(whole))).astype(np.float64) + 1.0) / 2.0
            thetas: Any = low[alive][:, None] + u * (high - low)[alive][:, None]
            thetas = np.where(whole, np.rint(thetas), thetas)
            answer = yield family_ask(job, alive, thetas, axes)
            alive = alive[answer.live.reshape(len(alive), -1).any(1)]
        return []
