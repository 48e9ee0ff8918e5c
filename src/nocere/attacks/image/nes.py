"""Natural evolution strategy over directions, by scores.

What is searched is a direction on a coarse grid (the prior of the bandit attack: neighbouring pixels matter alike). A
draw is asked at the border of the set in that direction (the corner in L-infinity, the full length in L2), so every
query is itself a candidate and nothing is lost by rounding to whole numbers, as small finite differences would be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nocere.attacks.base import Ask, AttackDefaults, Job, Search
from nocere.attacks.image.lattice import of_length
from nocere.core.errors import UsageError
from nocere.core.registry import register
from nocere.core.units import Unit
from nocere.targets.base import Access
from nocere.threats.base import Projects
from nocere.threats.pixels import per_row


@register(
    "attack",
    "image.nes",
    source="Ilyas et al. 2018, arXiv:1804.08598; tiles: Ilyas et al. 2019, arXiv:1807.07978",
    access="scores",
)
@dataclass(frozen=True, slots=True)
class Nes(AttackDefaults):
    """Antithetic pairs of directions around a mean that moves to where the margin rises (L-infinity and L2).

    Args:
        queries: evaluations a case.
        pairs: pairs of draws a step.
        cells: grid cells along the longer side of a picture.
        rate: step of the mean, in units of the draws' spread.
    """

    queries: int = 1000
    pairs: int = 5
    cells: int = 14
    rate: float = 0.5
    name: ClassVar[str] = "image.nes"
    needs: ClassVar[frozenset[Access]] = frozenset({"scores"})

    def __post_init__(self) -> None:
        if self.queries < 2 or self.pairs < 1 or self.cells < 1:
            raise UsageError(
                f"image.nes needs two queries, a pair and a grid cell at least; got {self.queries}, {self.pairs} "
                f"and {self.cells}."
            )
        if not self.rate > 0:
            raise UsageError(f"image.nes needs a positive rate; got {self.rate}.")

    def search(self, job: Job) -> Search:
        pset = job.pset
        if not isinstance(pset, Projects) or pset.unit not in (Unit.GREY_LEVELS, Unit.L2_GREY_LEVELS):
            raise UsageError(f"image.nes knows L-infinity and L2 in grey levels; {pset.name} is neither.")
        import torch

        channels, height, width = job.x0.shape[1:]
        tile = -(-max(height, width) // self.cells)
        grid = (channels, -(-height // tile), -(-width // tile))
        alive, x0, radius = np.arange(len(job.cases)), job.x0, job.radius
        mean = torch.zeros((len(alive), *grid))
        left = self.queries
        while left >= 2 and alive.size:
            k = min(self.pairs, left // 2)
            left -= 2 * k
            u = torch.from_numpy(job.rng.normal(alive, (k, *grid)))
            both = torch.cat([mean[:, None] + u, mean[:, None] - u], dim=1).flatten(0, 1)
            d = both.repeat_interleave(tile, 2).repeat_interleave(tile, 3)[:, :, :height, :width]
            rows = np.repeat(np.arange(len(alive)), 2 * k)
            if pset.unit == Unit.GREY_LEVELS:
                x = pset.project(x0[rows] + d.sign() * per_row(radius[rows], d), x0[rows], radius[rows])
            else:
                x = of_length(x0[rows], d, radius[rows], pset.span)
            answer = yield Ask(x, alive[rows])
            margin = answer.margin.reshape(len(alive), 2, k)
            gain = margin[:, 0] - margin[:, 1]
            scale = np.maximum(np.abs(gain).mean(1, keepdims=True), 1e-12)
            weight = torch.from_numpy((gain / scale).astype(np.float32))
            mean = mean + self.rate * torch.einsum("nk,nkchw->nchw", weight, u) / k
            keep: Any = answer.live.reshape(len(alive), -1).all(1)
            alive, x0, radius, mean = alive[keep], x0[keep], radius[keep], mean[keep]
        return []
