"""Square: random search with square-shaped changes, by scores.

A change is kept when the margin rises. Every case has its own squares, and in L-infinity no query is spent on a change
that would leave a content as it is. In L-infinity a square takes the far ends of the allowed range; in L2 it takes
over the length of another square. Both ask whole stored numbers only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.base import Ask, AttackDefaults, Job, Search
from nocere.attacks.image.lattice import of_length
from nocere.core.errors import UsageError
from nocere.core.registry import register
from nocere.core.units import Unit
from nocere.targets.base import Access
from nocere.threats.base import Projects
from nocere.threats.pixels import per_row

# Ten-thousandths of the queries after which the area of a square is halved, as published.
HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
# Steps whose random numbers are drawn at once: a generator for every row and step would cost as much as a small model.
BLOCK = 32
TILES = 5


@register("attack", "image.square", source="Andriushchenko et al. 2020, arXiv:1912.00049", access="scores")
@dataclass(frozen=True, slots=True)
class Square(AttackDefaults):
    """Random squares, each kept when it raises the margin (L-infinity and L2).

    Args:
        queries: evaluations a case; the published schedule of square sizes is rescaled to them.
        area: share of the picture that the first squares cover.
    """

    queries: int = 1000
    area: float = 0.8
    name: ClassVar[str] = "image.square"
    needs: ClassVar[frozenset[Access]] = frozenset({"scores"})

    def __post_init__(self) -> None:
        if self.queries < 1:
            raise UsageError(f"image.square needs at least one query; got {self.queries}.")
        if not 0 < self.area <= 1:
            raise UsageError(f"image.square: area is a share of the picture in (0, 1]; got {self.area}.")

    def search(self, job: Job) -> Search:
        pset = job.pset
        if not isinstance(pset, Projects) or pset.unit not in (Unit.GREY_LEVELS, Unit.L2_GREY_LEVELS):
            raise UsageError(f"image.square knows L-infinity and L2 in grey levels; {pset.name} is neither.")
        alive = np.arange(len(job.cases))
        walk: Any = (_Linf if pset.unit == Unit.GREY_LEVELS else _L2)(job, pset)
        x = walk.start(job.rng.uniform(alive, walk.start_draws))
        u = np.zeros((len(alive), 0, 0), np.float32)
        answer = yield Ask(x, alive)
        margin = answer.margin
        for i in range(1, self.queries):
            if not answer.live.all():
                keep = answer.live
                alive, x, margin = alive[keep], x[keep], margin[keep]
                if alive.size == 0:
                    break
                walk.take(keep)
                u = u[keep]
            if (i - 1) % BLOCK == 0:
                u = job.rng.uniform(alive, (BLOCK, walk.draws))
            tried = walk.step(x, u[:, (i - 1) % BLOCK], self._side(i, *x.shape[2:]))
            answer = yield Ask(tried, alive)
            raised = answer.margin > margin
            x[raised], margin[raised] = tried[raised], answer.margin[raised]
        return []

    def _side(self, i: int, height: int, width: int) -> int:
        """Side of the i-th square, in pixels."""
        share = self.area / 2 ** sum(10_000 * i > h * self.queries for h in HALVINGS)
        return int(np.clip(round((share * height * width) ** 0.5), 1, min(height, width)))


def _places(u: NDArray[np.float32], room: int) -> NDArray[np.int64]:
    """Uniform draws on [-1, 1) to whole numbers in 0..room."""
    return np.asarray(np.minimum((u.astype(np.float64) + 1.0) / 2.0 * (room + 1), room).astype(np.int64))


def _windows(top: NDArray[np.int64], left: NDArray[np.int64], side: int, height: int, width: int) -> Any:
    """Which pixels lie in the square of every row: bool [n, 1, height, width]."""
    import torch

    def band(first: NDArray[np.int64], size: int) -> Any:
        at = np.arange(size)[None] - first[:, None]
        return torch.from_numpy((at >= 0) & (at < side))

    return band(top, height)[:, None, :, None] & band(left, width)[:, None, None, :]


class _Linf:
    """Every value at one of the two ends of its allowed range."""

    def __init__(self, job: Job, pset: Projects) -> None:
        x0 = job.x0
        r = per_row(job.radius, x0)
        span = pset.span
        self.low, self.high = (x0 - r).clamp(*span), (x0 + r).clamp(*span)
        channels, _, width = x0.shape[1:]
        self.start_draws = (channels, 1, width)
        self.draws = 2 + channels

    def take(self, keep: NDArray[np.bool_]) -> None:
        self.low, self.high = self.low[keep], self.high[keep]

    def start(self, u: NDArray[np.float32]) -> Any:
        """Vertical stripes."""
        import torch

        return torch.where(torch.from_numpy(u >= 0), self.high, self.low)

    def step(self, x: Any, u: NDArray[np.float32], side: int) -> Any:
        import torch

        height, width = x.shape[2:]
        square = _windows(_places(u[:, 0], height - side), _places(u[:, 1], width - side), side, height, width)
        up = torch.from_numpy(u[:, 2:] >= 0)[:, :, None, None]
        tried = torch.where(square, torch.where(up, self.high, self.low), x)
        same = (tried == x).flatten(1).all(1)
        if same.any():
            turned = torch.where(up[same], self.low[same], self.high[same])
            tried[same] = torch.where(square[same], turned, x[same])
        return tried


class _L2:
    """The whole length is kept; one square takes over what another one gives up."""

    def __init__(self, job: Job, pset: Projects) -> None:
        self.x0, self.radius, self.span = job.x0, job.radius, pset.span
        channels = job.x0.shape[1]
        self.start_draws = (channels + 1, TILES, TILES)
        self.draws = 5 + channels

    def take(self, keep: NDArray[np.bool_]) -> None:
        self.x0, self.radius = self.x0[keep], self.radius[keep]

    def start(self, u: NDArray[np.float32]) -> Any:
        """A grid of bumps with random signs."""
        import torch

        channels, height, width = self.x0.shape[1:]
        side = max(min(height, width) // TILES, 1)
        d = torch.zeros_like(self.x0)
        bumps = _bumps(side)
        for i in range(min(TILES, height // side)):
            for j in range(min(TILES, width // side)):
                bump = bumps[(u[:, channels, i, j] >= 0).astype(np.int64)][:, None]
                sign = torch.from_numpy(np.where(u[:, :channels, i, j] >= 0, 1.0, -1.0).astype(np.float32))
                d[:, :, i * side : (i + 1) * side, j * side : (j + 1) * side] = bump * sign[:, :, None, None]
        return of_length(self.x0, d, self.radius, self.span)

    def step(self, x: Any, u: NDArray[np.float32], side: int) -> Any:
        import torch

        n, channels, height, width = x.shape
        # Bumps have a middle: odd sides from three pixels on, as published.
        side = min(max(side, 3) | 1, height, width)
        top, left = _places(u[:, 0], height - side), _places(u[:, 1], width - side)
        taker = _windows(top, left, side, height, width)
        giver = _windows(_places(u[:, 2], height - side), _places(u[:, 3], width - side), side, height, width)
        d = x - self.x0
        squared = d * d
        free = (torch.as_tensor(self.radius, dtype=x.dtype) ** 2 - squared.flatten(1).sum(1)).clamp_min(0.0)
        given = torch.where(taker | giver, squared, 0.0).sum((2, 3))
        row = torch.arange(n)[:, None, None]
        at = torch.arange(side)
        down = (torch.from_numpy(top)[:, None] + at)[:, :, None]
        right = (torch.from_numpy(left)[:, None] + at)[:, None, :]
        old = d[row, :, down, right].permute(0, 3, 1, 2)
        bump = _bumps(side)[(u[:, 4] >= 0).astype(np.int64)][:, None]
        sign = torch.from_numpy(np.where(u[:, 5:] >= 0, 1.0, -1.0).astype(np.float32))[:, :, None, None]
        new = bump * sign + old / old.flatten(2).norm(dim=2).clamp_min(1e-12)[:, :, None, None]
        new = new / new.flatten(2).norm(dim=2).clamp_min(1e-12)[:, :, None, None]
        new = new * (free[:, None] / channels + given).sqrt()[:, :, None, None]
        d = torch.where(giver, 0.0, d)
        d[row, :, down, right] = new.permute(0, 2, 3, 1)
        return of_length(self.x0, d, self.radius, self.span)


def _bumps(side: int) -> Any:
    """Two hills of opposite sign side by side, and one above the other: [2, side, side], each of length 1."""
    import torch

    half = side // 2

    def hill(height: int, width: int) -> NDArray[np.float64]:
        rings = max(height, width) // 2 + 1
        far = np.maximum(np.abs(np.arange(height)[:, None] - height // 2), np.abs(np.arange(width)[None] - width // 2))
        tail = np.cumsum(1.0 / np.arange(rings + 1, 0, -1) ** 2)[::-1]
        return np.asarray(tail[np.minimum(far, rings)])

    pair = np.concatenate([hill(half, side), -hill(side - half, side)]) if half else np.ones((1, 1))
    pair /= np.linalg.norm(pair)
    return torch.from_numpy(np.stack([pair, pair.T]).astype(np.float32))
