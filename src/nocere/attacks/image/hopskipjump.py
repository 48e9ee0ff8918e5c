"""HopSkipJump: the normal of the decision's edge from labels alone, then a hop along it and a walk back to the edge.

All cases and all draws of a turn are one ask. Everything that is asked has whole stored numbers: a probe changes a few
values by one level where the published one would be rounded away, and the edge is found on the lattice.
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

# Values of one case's probes that are drawn, and asked, in one turn.
TURN = 1 << 15
HOPS = (4.0, 1.0, 0.3)
# Root mean square of a probe, as a share of that of the change it starts from.
PROBE = 0.1
FEWEST = 16


@register("attack", "image.hopskipjump", source="Chen, Jordan & Wainwright 2020, arXiv:1904.02144", access="labels")
@dataclass(frozen=True, slots=True)
class HopSkipJump(AttackDefaults):
    """Smallest change by labels: probes around a point of the edge foretell its normal, hops along it come nearer.

    Beyond the paper: the normals of earlier turns are kept with a weight, and hops of several lengths race.

    Args:
        queries: evaluations a case.
        probes: probes of the first turn; later turns take the square root of their number times as many.
        memory: weight of the normal of the turn before.
    """

    queries: int = 1000
    probes: int = 25
    memory: float = 0.9
    name: ClassVar[str] = "image.hopskipjump"
    needs: ClassVar[frozenset[Access]] = frozenset({"labels"})
    minimal: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.queries < 1 or self.probes < 2:
            raise UsageError(
                f"image.hopskipjump needs at least one query and two probes; got {self.queries} and {self.probes}."
            )
        if not 0 <= self.memory < 1:
            raise UsageError(f"image.hopskipjump: memory is a weight in [0, 1); got {self.memory}.")

    def search(self, job: Job) -> Search:
        pset = job.pset
        if not isinstance(pset, Projects) or pset.unit not in (Unit.GREY_LEVELS, Unit.L2_GREY_LEVELS):
            raise UsageError(f"image.hopskipjump knows L-infinity and L2 in grey levels; {pset.name} is neither.")
        import torch

        book, rays = Ledger(job, self.queries), Rays(job, pset)
        rows, d, size = yield from starts(job, book, rays, min(100, self.queries // 2))
        values = job.x0[0].numel()
        normal = torch.zeros_like(d)
        turn = 0
        while True:
            keep = book.left(rows) > 0
            rows, d, size, normal = rows[keep], d[keep], size[keep], normal[keep]
            if rows.size == 0:
                return []
            turn += 1
            spread = np.maximum(PROBE * size / (values**0.5 if rays.euclidean else 1.0), (FEWEST / values) ** 0.5)
            fine = 0.25 * spread if rays.euclidean else spread / values**0.5
            _, size = yield from shortest(book, rays, rows, d, np.zeros(len(rows)), size, np.maximum(fine, 1e-3))
            d = rays.fitted(d, size)
            probes = round(self.probes * turn**0.5)
            seen = yield from self._normal(job, book, rays, rows, rays.point(rows, d, size), spread, probes)
            normal = self.memory * normal + seen
            d, size = yield from self._hop(book, rays, rows, d, size, normal, turn)

    def _normal(
        self,
        job: Job,
        book: Ledger,
        rays: Rays,
        rows: NDArray[np.intp],
        x: Any,
        spread: NDArray[np.float64],
        probes: int,
    ) -> Generator[Ask, Answer, Any]:
        """Direction in which the goal is met more often, of length 1, from random probes around x."""
        import torch

        values = x[0].numel()
        chunk = max(1, TURN // values)
        with_met, all_ = torch.zeros_like(x), torch.zeros_like(x)
        share, count = np.zeros(len(rows)), np.zeros(len(rows))
        for at in range(0, probes, chunk):
            k = min(chunk, probes - at)
            v = _probes(torch.from_numpy(job.rng.uniform(rows, (k, *x.shape[1:]))), spread)
            shown = (x[:, None] + v).clamp_(*rays.span)
            v = shown - x[:, None]
            before = book.left(rows)
            met = yield from book.met(shown.flatten(0, 1), np.repeat(rows, k))
            on = np.arange(k)[None] < before[:, None]
            met = met.reshape(len(rows), k)
            weight = torch.from_numpy(np.stack([met & on, on]).astype(np.float32))
            with_met += torch.einsum("nk,nk...->n...", weight[0], v)
            all_ += torch.einsum("nk,nk...->n...", weight[1], v)
            share, count = share + (met & on).sum(1), count + on.sum(1)
        mean = per_row(share / np.maximum(count, 1), x)
        # With one answer only there is no difference to weigh: then all probes count, for or against.
        g = torch.where(mean == 1, all_, torch.where(mean == 0, -all_, with_met - mean * all_))
        return g / per_row(g.flatten(1).norm(dim=1).clamp_min(1e-12), g)

    def _hop(
        self,
        book: Ledger,
        rays: Rays,
        rows: NDArray[np.intp],
        d: Any,
        size: NDArray[np.float64],
        normal: Any,
        turn: int,
    ) -> Generator[Ask, Answer, tuple[Any, NDArray[np.float64]]]:
        """Race of hops along the normal that bring a case nearer; where none does, it stays."""
        import torch

        step = normal / per_row(normal.flatten(1).norm(dim=1).clamp_min(1e-12), normal)
        step = step if rays.euclidean else normal.sign()
        hops = torch.tensor(HOPS, dtype=d.dtype) / turn**0.5
        k = len(HOPS)
        tried = d[:, None] + hops.view(1, k, *[1] * (d.ndim - 1)) * (step * per_row(size, d))[:, None]
        tried = tried.flatten(0, 1)
        pairs = np.repeat(rows, k)
        nearer = np.repeat(0.99 * size, k)
        met = yield from book.met(rays.point(pairs, tried, nearer), pairs)
        if not met.any():
            return d, size
        pairs, tried = pairs[met], tried[met]
        moved = np.isin(rows, pairs)
        high = 0.99 * size[moved]
        winner, found = yield from shortest(book, rays, pairs, tried, np.zeros(len(high)), high, 0.02 * high)
        d[torch.as_tensor(moved)] = rays.fitted(tried[winner], found)
        size = size.copy()
        size[moved] = found
        return d, size


def _probes(u: Any, spread: NDArray[np.float64]) -> Any:
    """Uniform draws on [-1, 1) [n, k, ...] to whole numbers of root mean square `spread` [n]; if small, most are 0."""
    import torch

    s = per_row(spread, u)
    few = u.sign() * (u.abs() > 1.0 - s * s)
    return torch.where(s < 1.0, few, (u * 3**0.5 * s).round())
