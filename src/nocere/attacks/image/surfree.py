"""SurFree: the smallest L2 change by labels, from planes and circles instead of an estimated normal.

In the plane of the original, a point of the decision's edge and a random smooth direction, contents on a circle are all
nearer than that point; the first one that meets the goal is kept and its angle is widened by bisection. An improvement
costs a few queries where HopSkipJump first spends a hundred on a normal, so it leads at small budgets.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.base import Answer, Ask, AttackDefaults, Job, Search
from nocere.attacks.image.by_label import Ledger, Rays, shortest, starts
from nocere.core.errors import UsageError
from nocere.core.registry import register
from nocere.core.units import Unit
from nocere.targets.base import Access
from nocere.threats.base import Projects
from nocere.threats.pixels import per_row

# Angles that are tried at first, as shares of the largest one, and bisections of the one that was met.
ANGLES = (1.0, -1.0, 0.5, -0.5, 0.25, -0.25)
BISECTIONS = 4
# Directions that later ones must be orthogonal to.
KEPT = 20
LARGEST = np.pi / 6
SMALLEST = np.pi / 2000


@register(
    "attack",
    "image.surfree",
    source="Maho, Furon & Le Merrer 2021, arXiv:2011.12807",
    access="labels",
    threat="image.l2",
)
@dataclass(frozen=True, slots=True)
class SurFree(AttackDefaults):
    """Smallest L2 change by labels: arcs of circles through the edge, in random smooth directions.

    Args:
        queries: evaluations a case.
        smooth: share of the spatial frequencies, lowest first, that directions are made of.
    """

    queries: int = 1000
    smooth: float = 0.5
    name: ClassVar[str] = "image.surfree"
    needs: ClassVar[frozenset[Access]] = frozenset({"labels"})
    minimal: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.queries < 1:
            raise UsageError(f"image.surfree needs at least one query; got {self.queries}.")
        if not 0 < self.smooth <= 1:
            raise UsageError(f"image.surfree: smooth is a share in (0, 1]; got {self.smooth}.")

    def search(self, job: Job) -> Search:
        pset = job.pset
        if not isinstance(pset, Projects) or pset.unit != Unit.L2_GREY_LEVELS:
            raise UsageError(f"image.surfree knows L2 in grey levels only, not {pset.name}.")
        import torch

        book, rays = Ledger(job, self.queries), Rays(job, pset)
        rows, d, size = yield from starts(job, book, rays, min(100, self.queries // 2))
        channels, height, width = job.x0.shape[1:]
        waves = _Waves(channels, height, width, self.smooth)
        angle = np.full(len(rows), LARGEST)
        before = torch.zeros((len(rows), KEPT, *d.shape[1:]))
        turn = 0
        while True:
            keep = book.left(rows) > 0
            if not keep.all():
                rows, d, size, angle, before = rows[keep], d[keep], size[keep], angle[keep], before[keep]
            if rows.size == 0:
                return []
            if turn == 0:
                size = yield from _edge(book, rays, rows, d, size)
            along = d / per_row(rays.size(d), d)
            aside = waves.of(job.rng.normal(rows, waves.shape))
            for other in (along, *before.unbind(1)):
                aside = aside - other * per_row((aside * other).flatten(1).sum(1), aside)
            aside = aside / per_row(aside.flatten(1).norm(dim=1).clamp_min(1e-12), aside)
            before[:, turn % KEPT] = aside
            share, turned = yield from self._first(book, rays, rows, along, aside, size, angle)
            angle = np.clip(np.where(share == 0, angle * 0.7, angle * 1.1), SMALLEST, LARGEST)
            hit = np.flatnonzero(share != 0)
            if hit.size:
                best = yield from self._widen(book, rays, rows, along, aside, size, turned, hit)
                d[hit] = _arc(along[hit], aside[hit], best)
                size = size.copy()
                size[hit] = size[hit] * np.cos(best)
                d = rays.fitted(d, size)
            turn += 1

    def _first(
        self, book: Ledger, rays: Rays, rows: NDArray[np.intp], along: Any, aside: Any, size: NDArray[np.float64],
        angle: NDArray[np.float64],
    ) -> Generator[Ask, Answer, tuple[NDArray[np.float64], NDArray[np.float64]]]:  # fmt: skip
        """The first angle of each case that meets the goal, as a share of its largest one (0: none), and itself."""
        share = np.zeros(len(rows))
        for s in ANGLES:
            missing = np.flatnonzero((share == 0) & (book.left(rows) > 0))
            if missing.size == 0:
                break
            t = s * angle[missing]
            x = rays.point(rows[missing], _arc(along[missing], aside[missing], t), size[missing] * np.cos(t))
            met = yield from book.met(x, rows[missing])
            share[missing[met]] = s
        return share, share * angle

    def _widen(
        self, book: Ledger, rays: Rays, rows: NDArray[np.intp], along: Any, aside: Any, size: NDArray[np.float64],
        turned: NDArray[np.float64], hit: NDArray[np.intp],
    ) -> Generator[Ask, Answer, NDArray[np.float64]]:  # fmt: skip
        """Bisect between the angle that was met and twice that one."""
        low, high = turned[hit], 2 * turned[hit]
        for _ in range(BISECTIONS):
            middle = 0.5 * (low + high)
            x = rays.point(rows[hit], _arc(along[hit], aside[hit], middle), size[hit] * np.cos(middle))
            met = yield from book.met(x, rows[hit])
            low, high = np.where(met, middle, low), np.where(met, high, middle)
        return low


def _edge(
    book: Ledger, rays: Rays, rows: NDArray[np.intp], d: Any, size: NDArray[np.float64]
) -> Generator[Ask, Answer, NDArray[np.float64]]:
    """How far along its direction each case meets the goal, to a part in 500."""
    _, size = yield from shortest(book, rays, rows, d, np.zeros(len(rows)), size, size / 500)
    return size


def _arc(along: Any, aside: Any, t: NDArray[np.float64]) -> Any:
    """Unit directions turned by the angle t [n] from `along` towards `aside`."""
    return along * per_row(np.cos(t), along) + aside * per_row(np.sin(t), along)


class _Waves:
    """Random pictures of low spatial frequencies (the type-2 cosine transform)."""

    def __init__(self, channels: int, height: int, width: int, smooth: float) -> None:
        self.rows, self.columns = _cosines(height, smooth), _cosines(width, smooth)
        self.shape = (channels, self.rows.shape[0], self.columns.shape[0])

    def of(self, weights: NDArray[np.float32]) -> Any:
        import torch

        return torch.einsum("nckl,kh,lw->nchw", torch.from_numpy(weights), self.rows, self.columns)


def _cosines(n: int, smooth: float) -> Any:
    """The lowest cosines over n points: [k, n]."""
    import torch

    k = np.arange(max(1, round(smooth * n)))
    waves = np.cos(np.pi * (np.arange(n)[None] + 0.5) * k[:, None] / n)
    return torch.from_numpy((waves / np.linalg.norm(waves, axis=1, keepdims=True)).astype(np.float32))
