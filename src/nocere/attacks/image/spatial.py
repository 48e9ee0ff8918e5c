"""Noise on the worst of the moved images: the grid first, then gradients where the camera alone did not do it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.base import Ask, AttackDefaults, Job, Search
from nocere.attacks.image.grid import family_ask, family_axes, grid_points, turns
from nocere.core.canonical import Json
from nocere.core.errors import UsageError
from nocere.core.registry import register
from nocere.targets.base import Access
from nocere.threats.base import Axis
from nocere.threats.spatial_noise import RotationTranslationNoise


@register(
    "attack",
    "image.spatial_pgd",
    source="Engstrom et al. 2019, arXiv:1712.02779; Madry et al. 2018, arXiv:1706.06083",
    access="gradients",
    threat="image.rotation_translation_noise",
)
@dataclass(frozen=True, slots=True)
class SpatialPgd(AttackDefaults):
    """Every point of a grid of camera movements, then projected gradient descent on the best of the moved images.

    Args:
        points: grid points an axis, as in `image.grid`.
        keep: moved images a case that get noise, beside the unmoved one.
        steps: gradient steps on each.
    """

    points: tuple[int, ...] = (9, 3, 3)
    keep: int = 3
    steps: int = 20
    name: ClassVar[str] = "image.spatial_pgd"
    needs: ClassVar[frozenset[Access]] = frozenset({"gradients"})

    def __post_init__(self) -> None:
        if not self.points or min(self.points) < 2 or self.keep < 1 or self.steps < 1:
            raise UsageError(
                "image.spatial_pgd needs at least 2 points an axis, one image to keep and one step; got "
                f"{self.points}, {self.keep} and {self.steps}."
            )

    def search(self, job: Job) -> Search:
        if not isinstance(job.pset, RotationTranslationNoise):
            raise UsageError(f"image.spatial_pgd moves the camera and adds noise; {job.pset.name} is another set.")
        axes = family_axes(job, self.name)
        grids = np.stack([grid_points(a, self.points) for a in axes])
        margin = np.full(grids.shape[:2], -np.inf)
        alive = np.arange(len(job.cases))
        for part in turns(grids.shape[1], job.x0):
            answer = yield family_ask(job, alive, grids[alive, part], axes)
            margin[alive, part] = answer.margin.reshape(len(alive), -1)
            alive = alive[answer.live.reshape(len(alive), -1).any(1)]
            if alive.size == 0:
                return []
        best = np.argsort(-margin[alive], axis=1, kind="stable")[:, : self.keep]
        thetas = np.take_along_axis(grids[alive], best[:, :, None], axis=1)
        # Noise often does more than the camera: the image as it was is always among those that get it.
        thetas = np.concatenate([thetas, np.zeros_like(thetas[:, :1])], axis=1)
        yield from self._descend(job, np.repeat(alive, thetas.shape[1]), thetas.reshape(-1, thetas.shape[2]), axes)
        return []

    def _descend(self, job: Job, rows: NDArray[np.intp], theta: NDArray[np.float64], axes: list[list[Axis]]) -> Any:
        """Noise by gradient on each row's own rendering."""
        pset: Any = job.pset
        base = pset.render(job.x0[rows], theta)
        names = [a.name for a in axes[0]]
        x, last = base, base * 0.0
        for t in range(self.steps + 1):
            proofs: list[Json] = [dict(zip(names, row, strict=True)) for row in theta.tolist()]
            answer = yield Ask(x, rows, grad=t < self.steps, proofs=proofs)
            if t == self.steps:
                return
            if not answer.live.all():
                keep = answer.live
                rows, theta, base, x, last = rows[keep], theta[keep], base[keep], x[keep], last[keep]
                answer.grad = answer.grad[keep]
                if rows.size == 0:
                    return
            step = pset.noise * (0.5 - 0.45 * t / max(self.steps - 1, 1))
            moved = pset.within(x + step * answer.grad.sign() + 0.25 * last, base)
            last, x = moved - x, moved
