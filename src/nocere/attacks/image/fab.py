"""FAB: walks to the decision's edge by projections on its linearisation, and back towards the original."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.base import Ask, AttackDefaults, Job, Search
from nocere.attacks.image.apgd import ranked
from nocere.core.errors import UsageError
from nocere.core.registry import register
from nocere.targets.base import Access
from nocere.threats.base import Projects

MOST, PAST, BACK = 0.1, 1.05, 0.9  # alpha_max, eta and beta of the paper
HALVINGS = 40


@register("attack", "image.fab", source="Croce & Hein 2020, arXiv:1907.02044", access="gradients")
@dataclass(frozen=True, slots=True)
class Fab(AttackDefaults):
    """Fast adaptive boundary attack, towards each of the nearest other labels in turn; L-infinity and L2.

    Args:
        steps: gradient evaluations a start.
        restarts: starts; the first is the original, further ones are random.
        targets: how many labels are tried, nearest first; 0 goes for any.
    """

    steps: int = 100
    restarts: int = 1
    targets: int = 9
    name: ClassVar[str] = "image.fab"
    needs: ClassVar[frozenset[Access]] = frozenset({"gradients"})
    minimal: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.steps < 1 or self.restarts < 1 or self.targets < 0:
            raise UsageError(
                f"image.fab needs at least one step and one start, and targets from 0; got {self.steps}, "
                f"{self.restarts} and {self.targets}."
            )

    def search(self, job: Job) -> Search:
        if not isinstance(job.pset, Projects) or job.pset.name.rsplit(".", 1)[-1] not in ("linf", "l2"):
            raise UsageError(f"image.fab searches L-infinity and L2 sets; not {job.pset.name}.")
        alive = np.arange(len(job.cases))
        order = (yield from ranked(job)) if self.targets else np.full((len(alive), 1), -1)
        for restart in range(self.restarts):
            for towards in order[:, : max(self.targets, 1)].T:
                on = alive[towards[alive] >= 0] if self.targets else alive
                if on.size:
                    left = yield from self._walk(job, on, towards[on] if self.targets else None, restart > 0)
                    alive = np.setdiff1d(alive, np.setdiff1d(on, left))
        return []

    def _walk(self, job: Job, alive: NDArray[np.intp], towards: NDArray[np.intp] | None, random: bool) -> Any:
        """One start; the rows that are still open after it."""
        import torch

        pset: Any = job.pset
        x0 = job.x0[alive]
        x = x0.clone()
        if random:
            half = np.minimum(job.radius[alive] / 2, pset.span[1] / 2)
            x = pset.random(torch.from_numpy(job.rng.uniform(alive, x0.shape[1:])), x0, half)
        for _ in range(self.steps):
            answer = yield Ask(x, alive, grad=True, towards=towards)
            g, value, keep = answer.grad, answer.loss, answer.live
            if not keep.all():
                alive, x0, x, g, value = alive[keep], x0[keep], x[keep], g[keep], value[keep]
                towards = None if towards is None else towards[keep]
                if alive.size == 0:
                    return alive
            # The plane through the edge: g . (z - x) = -value. What is missing to it from x, and from the original.
            missing = -value
            there = _to_plane(pset, x, g, missing)
            home = _to_plane(pset, x0, g, missing + (g * (x - x0)).flatten(1).sum(1).double().cpu().numpy())
            a, b = pset.distance(x + there, x), pset.distance(x0 + home, x0)
            share = _column(np.minimum(a / np.maximum(a + b, 1e-12), MOST), x)
            x = ((1 - share) * (x + PAST * there) + share * (x0 + PAST * home)).clamp(*pset.span)
            answer = yield Ask(x, alive)
            met = torch.as_tensor(answer.margin > 0)
            x[met] = x0[met] + BACK * (x[met] - x0[met])
        # Where the walk stayed outside of the radius, what lies in its direction inside is still an answer.
        answer = yield Ask(pset.project(x, x0, job.radius[alive]), alive)
        return alive[answer.live]


def _to_plane(pset: Any, x: Any, g: Any, missing: NDArray[np.float64]) -> Any:
    """The shortest change of each row that adds `missing` to g . x, as far as the stored range has room for it.

    Within a box it lies on the steepest step clipped to the room that is left; its length is found by halving.
    """
    import torch

    low, high = pset.span
    sign = torch.as_tensor(np.sign(missing), dtype=x.dtype)
    way = pset.ascend(g) * _column(sign, x)
    room = torch.where(way > 0, high - x, x - low)
    wanted = torch.as_tensor(np.abs(missing), dtype=x.dtype)
    most = torch.where(way == 0, torch.zeros_like(x), room / way.abs().clamp_min(1e-30)).flatten(1).amax(1)
    below, above = torch.zeros_like(most), most
    for _ in range(HALVINGS):
        middle = 0.5 * (below + above)
        step = torch.minimum((way * _column(middle, x)).abs(), room)
        enough = (step * g.abs()).flatten(1).sum(1) >= wanted
        below, above = torch.where(enough, below, middle), torch.where(enough, middle, above)
    step = way * _column(above, x)
    return torch.minimum(step.abs(), room) * step.sign()


def _column(v: Any, x: Any) -> Any:
    """One number a row, shaped to broadcast against x."""
    import torch

    return torch.as_tensor(v, dtype=x.dtype).view(-1, *[1] * (x.ndim - 1))
