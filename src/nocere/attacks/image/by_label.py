"""What searches by label share: a ledger of queries for every case, rays on stored whole numbers, starting points.

Only the sign of the margin is heard. A ray leads from the original in one direction; `size` is how far along it a
content lies (Euclidean length, or in L-infinity the level at which the direction is clipped). Every case has its own
bracket and its own count, so a result does not depend on which other cases are searched.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.base import Answer, Ask, Job
from nocere.attacks.image.lattice import along, lengths, of_length
from nocere.core.units import Unit
from nocere.threats.base import Projects
from nocere.threats.pixels import per_row

Heard = Generator[Ask, Answer, NDArray[np.bool_]]
# Share of the current size by which a ray is first shortened; it doubles as long as the goal stays met.
STRIDE = 0.02


class Ledger:
    """Queries of every case, and which cases may still ask.

    Args:
        job: the cohort.
        queries: most evaluations of a case.
    """

    def __init__(self, job: Job, queries: int) -> None:
        self.used = np.zeros(len(job.cases), dtype=np.int64)
        self.queries = queries
        self.gone = np.zeros(len(job.cases), dtype=bool)

    def left(self, rows: NDArray[np.intp]) -> NDArray[np.int64]:
        """Queries that each of `rows` may still make."""
        return np.where(self.gone[rows], 0, self.queries - self.used[rows])

    def met(self, x: Any, rows: NDArray[np.intp]) -> Heard:
        """Ask, and hear for every row whether the goal is met; rows beyond a case's queries are not asked."""
        order = np.argsort(rows, kind="stable")
        first = np.searchsorted(rows[order], rows[order])
        number = np.empty(len(rows), dtype=np.int64)
        number[order] = np.arange(len(rows)) - first
        granted = number < self.left(rows)
        met = np.zeros(len(rows), dtype=bool)
        if not granted.any():
            return met
        asked = rows[granted]
        answer = yield Ask(x if granted.all() else x[granted], asked)
        np.add.at(self.used, asked, 1)
        self.gone[asked[~answer.live]] = True
        met[granted] = answer.live & (answer.margin > 0)
        return met


class Rays:
    """Contents along rays from the originals, in the norm of a perturbation set."""

    def __init__(self, job: Job, pset: Projects) -> None:
        self.x0, self.span, self.distance = job.x0, pset.span, pset.distance
        self.euclidean = job.pset.unit == Unit.L2_GREY_LEVELS

    def size(self, d: Any) -> NDArray[np.float64]:
        """How far each direction reaches as it is."""
        far = lengths(d) if self.euclidean else d.abs().flatten(1).amax(1)
        return np.asarray(far.numpy(), dtype=np.float64)

    def fitted(self, d: Any, size: NDArray[np.float64]) -> Any:
        """The direction made to reach exactly this far."""
        if self.euclidean:
            return d * per_row(size / np.maximum(self.size(d), 1e-12), d)
        r = per_row(size, d)
        return d.clamp(-r, r)

    def point(self, rows: NDArray[np.intp], d: Any, size: NDArray[np.float64]) -> Any:
        """Stored whole numbers at this size. Between two levels values change one after the other, not together."""
        import torch

        x0 = self.x0[rows]
        if self.euclidean:
            return along(x0, self.fitted(d, size), np.ones(len(rows)), self.span)
        fitted = self.fitted(d, size)
        turn = torch.remainder(torch.arange(fitted[0].numel()) * 0.6180339887498949, 1.0).view(fitted.shape[1:])
        return (x0 + fitted.sign() * (fitted.abs() + turn).floor()).clamp_(*self.span)

    def within(self, rows: NDArray[np.intp], d: Any, size: NDArray[np.float64]) -> Any:
        """Stored whole numbers in this direction that reach no farther than `size`, and as far as fits."""
        if self.euclidean:
            return of_length(self.x0[rows], d, np.minimum(size, self.size(d)), self.span)
        return self.point(rows, d, np.floor(size))


def shortest(
    book: Ledger, rays: Rays, pairs: NDArray[np.intp], d: Any, low: NDArray[np.float64], high: NDArray[np.float64],
    tolerance: NDArray[np.float64], stride: float = STRIDE,
) -> Generator[Ask, Answer, tuple[NDArray[np.intp], NDArray[np.float64]]]:  # fmt: skip
    """Race of rays: which one of each case meets the goal at the smallest size, to a tolerance.

    Args:
        book: the ledger.
        rays: the geometry.
        pairs: the case of every ray; rays of one case stand together.
        d: the rays; each meets the goal at its case's `high`.
        low, high: brackets of the cases that occur, in the order of `np.unique(pairs)`; `low` may be 0.
        tolerance: when to stop, likewise.
        stride: first shortening as a share of `high`.

    Returns:
        For every case the index of its ray, and its size.
    """
    cases, case = np.unique(pairs, return_inverse=True)
    low, high = low.copy(), high.copy()
    width = stride * high
    running = np.ones(len(pairs), dtype=bool)
    while True:
        open_ = (high - low > tolerance) & (book.left(cases) > 0)
        if not open_.any():
            break
        middle = np.maximum(high - width, 0.5 * (low + high))
        asked = np.flatnonzero(running & open_[case])
        x = rays.point(pairs[asked], d[asked], middle[case[asked]])
        met = yield from book.met(x, pairs[asked])
        some = np.zeros(len(cases), dtype=bool)
        some[case[asked[met]]] = True
        # Rays that fell behind leave the race; where all failed, all stay.
        behind = asked[~met]
        running[behind[some[case[behind]]]] = False
        width = np.where(some, 2 * width, np.inf)
        high = np.where(open_ & some, middle, high)
        low = np.where(open_ & ~some, middle, low)
    winner = np.zeros(len(cases), dtype=np.intp)
    left = np.flatnonzero(running)[::-1]
    winner[case[left]] = left
    return winner, high


def starts(
    job: Job, book: Ledger, rays: Rays, most: int
) -> Generator[Ask, Answer, tuple[NDArray[np.intp], Any, NDArray[np.float64]]]:
    """Far contents that meet the goal: the negative, black, white, and noise in blocks of all sizes.

    Returns:
        The cases for which one was found, its direction, and its size after a race of all that were found at once.
    """
    import torch

    rows = np.arange(len(job.cases))
    bottom, top = rays.span
    # A search from far away may never come near: the set itself is asked about once in any case.
    yield from book.met(rays.within(rows, bottom + top - 2 * job.x0, job.radius), rows)
    found: list[tuple[NDArray[np.intp], Any]] = []
    blocks = 2 ** np.arange(int(np.log2(max(job.x0.shape[2:]))) + 1)
    tries = 0
    while rows.size and tries < most:
        x0 = job.x0[rows]
        kinds = [] if tries else [top + bottom - x0, torch.full_like(x0, bottom), torch.full_like(x0, top)]
        kinds += [_blocks(job, rows, int(b), rays.span) for b in blocks]
        tries += len(kinds)
        x = torch.stack(kinds, dim=1).flatten(0, 1)
        pairs = np.repeat(rows, len(kinds))
        met = yield from book.met(x, pairs)
        met &= rays.distance(x, job.x0[pairs]) > 0
        found.append((pairs[met], x[met] - job.x0[pairs[met]]))
        rows = rows[~met.reshape(len(rows), -1).any(1) & (book.left(rows) > 0)]
    pairs = np.concatenate([p for p, _ in found]) if found else np.zeros(0, dtype=np.intp)
    if pairs.size == 0:
        return pairs, job.x0[:0], np.zeros(0)
    order = np.argsort(pairs, kind="stable")
    pairs, d = pairs[order], torch.cat([x for _, x in found])[order]
    # Rays are compared at equal size: that of the nearest content found.
    cases, case = np.unique(pairs, return_inverse=True)
    sizes, high = rays.size(d), np.full(len(cases), np.inf)
    np.minimum.at(high, case, sizes)
    near = sizes <= high[case]
    others = np.flatnonzero(~near)
    if others.size:
        near[others] = yield from book.met(rays.point(pairs[others], d[others], high[case[others]]), pairs[others])
    pairs, d = pairs[near], d[near]
    tolerance = 0.02 * high
    winner, size = yield from shortest(book, rays, pairs, d, np.zeros(len(cases)), high, tolerance, 0.25)
    return cases, rays.fitted(d[winner], size), size


def _blocks(job: Job, rows: NDArray[np.intp], block: int, span: tuple[float, float]) -> Any:
    """Uniform noise in squares of `block` pixels, whole numbers."""
    import torch

    channels, height, width = job.x0.shape[1:]
    u = torch.from_numpy(job.rng.uniform(rows, (channels, -(-height // block), -(-width // block))))
    grown = u.repeat_interleave(block, 2).repeat_interleave(block, 3)[:, :, :height, :width]
    return (span[0] + (grown + 1.0) / 2.0 * (span[1] - span[0])).round()
