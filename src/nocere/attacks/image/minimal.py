"""The smallest change by gradients, in whole stored units: minimum-norm search, then a walk back on the lattice."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.base import Ask, AttackDefaults, Job, Search
from nocere.core.errors import UsageError
from nocere.core.registry import register
from nocere.targets.base import Access
from nocere.threats.base import Projects


@register("attack", "image.minimal", source="FMN: Pintor et al. 2021, arXiv:2102.12827", access="gradients")
@dataclass(frozen=True, slots=True)
class Minimal(AttackDefaults):
    """Walks along the decision's edge while the allowed length shrinks where the goal is met and grows where it is not.

    The length starts at the distance to the edge that the first gradient foretells. What was found is then walked back:
    single units that the gradient says matter least are undone, as many as the goal bears.

    Args:
        steps: gradient evaluations of the walk.
        back: rounds of walking back, each of one gradient and eight evaluations.
    """

    steps: int = 100
    back: int = 3
    name: ClassVar[str] = "image.minimal"
    needs: ClassVar[frozenset[Access]] = frozenset({"gradients"})
    minimal: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.steps < 1 or self.back < 0:
            raise UsageError(f"image.minimal needs at least one step; got {self.steps} and {self.back} rounds back.")

    def search(self, job: Job) -> Search:
        if not isinstance(job.pset, Projects):
            raise UsageError(f"image.minimal cannot search {job.pset.name}: that set has no projection.")
        import torch

        pset: Any = job.pset
        walks = bool(getattr(pset, "keeps_length", False))
        alive = np.arange(len(job.cases))
        x0, most = job.x0, job.radius.astype(np.float64)
        x, length = x0.clone(), np.full(len(alive), np.inf)
        best, nearest = x0.clone(), np.full(len(alive), np.inf)
        for t in range(self.steps):
            answer = yield Ask(x, alive, grad=True)
            if not answer.live.all():
                keep = answer.live
                alive, x0, most, x, best = alive[keep], x0[keep], most[keep], x[keep], best[keep]
                length, nearest = length[keep], nearest[keep]
                answer.grad, answer.margin = answer.grad[keep], answer.margin[keep]
                if alive.size == 0:
                    return []
            met, far = answer.margin > 0, pset.distance(x, x0)
            nearer = met & (far < nearest)
            best[torch.as_tensor(nearer)] = x[torch.as_tensor(nearer)]
            nearest = np.where(nearer, far, nearest)
            share = 0.5 * (1 + math.cos(math.pi * t / self.steps))
            shrink = 0.001 + share * 0.049
            slope = (answer.grad * pset.ascend(answer.grad)).flatten(1).sum(1).double().cpu().numpy()
            foretold = far + np.where(met, 0.0, -answer.margin) / np.maximum(slope, 1e-30)
            # A little more than foretold: rounding to the lattice may fall short of the edge again and again.
            grown = (1 + shrink) * np.where(np.isfinite(nearest), length, foretold)
            length = np.where(met, np.minimum(length, nearest) * (1 - shrink), grown)
            if not walks:  # a largest change has whole levels
                length = np.where(met, np.minimum(np.ceil(length), np.ceil(far) - 1), np.ceil(length))
            length = np.minimum(np.maximum(length, 1.0), np.minimum(most, 1.01 * nearest))
            step = pset.ascend(answer.grad) * _rows(np.maximum(share, 0.01) * length, x)
            x = pset.project(x + step, x0, length)
        rows = np.flatnonzero(np.isfinite(nearest) & walks)
        for k in rows:
            best[k] = torch.as_tensor(pset.realise(best[k], job.cases[int(alive[k])], float(nearest[k]))).to(best.dtype)
        for _ in range(self.back):
            if rows.size == 0:
                break
            rows = yield from self._walk_back(job, alive, rows, x0, best)
        return []

    def _walk_back(self, job: Job, alive: NDArray[np.intp], rows: NDArray[np.intp], x0: Any, best: Any) -> Any:
        """Undo the units that matter least; the rows where some were. `best` is changed in place."""
        import torch

        at = best[rows]
        answer = yield Ask(at, alive[rows], grad=True)
        d = (at - x0[rows]).flatten(1)
        # What one unit less takes from the margin, for what it takes from the squared length.
        price = (answer.grad.flatten(1) * d.sign()) / (2 * d.abs() - 1).clamp_min(1)
        order = torch.where(d == 0, torch.inf, price).argsort(dim=1)
        changed = (d != 0).sum(1).cpu().numpy()
        low, high = np.zeros(len(rows)), changed.astype(np.float64)
        for _ in range(8):
            k = np.maximum(np.ceil((low + high) / 2), 1).astype(np.int64)
            tried = _undone(at, d, order, k)
            heard = yield Ask(tried, alive[rows])
            met = heard.live & (heard.margin > 0)
            low, high = np.where(met, k, low), np.where(met, high, k - 1)
        made = torch.as_tensor(low > 0)
        best[torch.as_tensor(rows)[made]] = _undone(at, d, order, low.astype(np.int64))[made]
        return rows[low > 0]


def _undone(at: Any, d: Any, order: Any, k: NDArray[np.int64]) -> Any:
    """The first k[i] coordinates of each row's order moved one unit back towards the original."""
    import torch

    rank = torch.empty_like(order).scatter_(1, order, torch.arange(d.shape[1]).expand_as(order))
    back = torch.where(rank < torch.as_tensor(k)[:, None], d.sign(), torch.zeros_like(d))
    return at - back.view_as(at)


def _rows(v: Any, x: Any) -> Any:
    import torch

    return torch.as_tensor(v, dtype=x.dtype).view(-1, *[1] * (x.ndim - 1))
