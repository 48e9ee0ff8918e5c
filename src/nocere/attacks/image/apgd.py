"""APGD: projected gradient descent that halves its step where it stalls, with several losses and targets in turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.base import Ask, AttackDefaults, Job, Search
from nocere.attacks.image.draws import averaged
from nocere.attacks.losses import LOSSES, Loss, wanted
from nocere.core.errors import UsageError
from nocere.core.registry import register
from nocere.targets.base import Access
from nocere.threats.base import Projects

MOMENTUM, RISES = 0.75, 0.75


@register("attack", "image.apgd", source="Croce & Hein 2020, arXiv:2003.01690", access="gradients")
@dataclass(frozen=True, slots=True)
class Apgd(AttackDefaults):
    """Auto-PGD: no step size to choose; the best point so far is kept and gone back to whenever the step is halved.

    Args:
        steps: gradient evaluations a start.
        restarts: starts for each loss; the first is the original, further ones are random.
        loss: "margin", "ce" or "dlr"; heads other than a softmax of several labels have one direction for all three.
        targets: 0 climbs the loss as it is; k > 0 pushes towards each of the k best other labels in turn.
        first: where the first start is: "original" or "random" (as in the reference).
        eot: draws that a gradient is averaged over, for targets that answer at random.
    """

    steps: int = 100
    restarts: int = 1
    loss: Loss = "margin"
    targets: int = 0
    first: Literal["original", "random"] = "original"
    eot: int = 1
    name: ClassVar[str] = "image.apgd"
    needs: ClassVar[frozenset[Access]] = frozenset({"gradients"})

    def __post_init__(self) -> None:
        if self.steps < 1 or self.restarts < 1 or self.targets < 0:
            raise UsageError(
                f"image.apgd needs at least one step and one start, and targets from 0; got {self.steps}, "
                f"{self.restarts} and {self.targets}."
            )
        if self.eot < 1:
            raise UsageError(f"image.apgd averages over at least one draw; got eot = {self.eot}.")
        if self.loss not in LOSSES:
            raise UsageError(f"image.apgd climbs one of {', '.join(LOSSES)}; got {self.loss!r}.")

    def search(self, job: Job) -> Search:
        if not isinstance(job.pset, Projects):
            raise UsageError(f"image.apgd cannot search {job.pset.name}: that set has no projection.")
        alive = np.arange(len(job.cases))
        order = (yield from ranked(job)) if self.targets else np.full((len(alive), 1), -1)
        for restart in range(self.restarts):
            for towards in order[:, : max(self.targets, 1)].T:
                on = alive[towards[alive] >= 0] if self.targets else alive
                if on.size:
                    random = restart > 0 or self.first == "random"
                    left = yield from self._climb(job, on, towards[on] if self.targets else None, random)
                    alive = np.setdiff1d(alive, np.setdiff1d(on, left))
        return []

    def _climb(self, job: Job, alive: NDArray[np.intp], towards: NDArray[np.intp] | None, random: bool) -> Any:
        """One start; the rows that are still open after it."""
        import torch

        pset: Any = job.pset
        x0, radius = job.x0[alive], job.radius[alive]
        x = x0.clone()
        if random:
            x = pset.random(torch.from_numpy(job.rng.uniform(alive, x0.shape[1:])), x0, radius)
        run = _Run(self.steps, len(alive))
        last = x
        best_x, best_g = x.clone(), torch.zeros_like(x)
        for t in range(self.steps):
            answer = yield from averaged(Ask(x, alive, grad=True, loss=self.loss, towards=towards), self.eot)
            g, value = answer.grad, answer.loss
            if not answer.live.all():
                keep = answer.live
                alive, x0, radius, x, last = alive[keep], x0[keep], radius[keep], x[keep], last[keep]
                g, value, best_x, best_g = g[keep], value[keep], best_x[keep], best_g[keep]
                towards = None if towards is None else towards[keep]
                run.keep(keep)
                if alive.size == 0:
                    return alive
            better = torch.as_tensor(run.heard(t, value))
            best_x[better], best_g[better] = x[better], g[better]
            halved = torch.as_tensor(run.checkpoint(t))
            if halved.any():
                x, g, last = x.clone(), g.clone(), last.clone()
                x[halved], g[halved], last[halved] = best_x[halved], best_g[halved], best_x[halved]
            step = pset.ascend(g) * _rows(run.step * radius, x)
            moved = pset.project(x + step, x0, radius)
            # As in the reference: no momentum in the first step.
            a = MOMENTUM if t > 0 else 1.0
            following = pset.project(x + a * (moved - x) + (1.0 - a) * (x - last), x0, radius)
            last, x = x, following
        answer = yield Ask(x, alive)
        return alive[answer.live]


class _Run:
    """Steps, best losses and checkpoints of every row of one start (section 3 of the paper)."""

    def __init__(self, steps: int, rows: int) -> None:
        self.step = np.full(rows, 2.0)
        self.best = np.full(rows, -np.inf)
        self._last = np.full(rows, -np.inf)
        self._rises = np.zeros(rows, dtype=int)
        self._at_checkpoint = np.full(rows, -np.inf)
        self._halved = np.ones(rows, dtype=bool)
        self._since = 0
        self._length = max(int(0.22 * steps), 1)
        self._shortest, self._less = max(int(0.06 * steps), 1), max(int(0.03 * steps), 1)

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Forget rows that have left."""
        for name in ("step", "best", "_last", "_rises", "_at_checkpoint", "_halved"):
            setattr(self, name, getattr(self, name)[rows])

    def heard(self, t: int, value: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Take the losses of a step; the rows that never were better."""
        if t > 0:
            self._rises += value > self._last
            self._since += 1
        else:
            self._at_checkpoint = value.copy()
        better = value > self.best
        self.best = np.where(better, value, self.best)
        self._last = value
        return better

    def checkpoint(self, t: int) -> NDArray[np.bool_]:
        """Rows that stalled since the last checkpoint: their step is halved and they go back to their best point."""
        if self._since < self._length:
            return np.zeros(len(self.step), dtype=bool)
        few = self._rises <= RISES * self._since
        stuck = ~self._halved & (self.best <= self._at_checkpoint)
        halved = few | stuck
        self.step = np.where(halved, self.step / 2.0, self.step)
        self._halved, self._at_checkpoint = halved, self.best.copy()
        self._rises[:] = 0
        self._since = 0
        self._length = max(self._length - self._less, self._shortest)
        return halved


def ranked(job: Job) -> Any:
    """The wanted labels of every case [n, labels], nearest first by the clean answer, then -1.

    Costs one evaluation a wanted label, since an answer carries a loss and not the scores.
    """
    good = wanted(job.literals) if job.decision.exclusive else job.literals.weight != 0
    height = np.full(good.shape, -np.inf)
    for k in np.flatnonzero(good.any(0)):
        rows = np.flatnonzero(good[:, k])
        answer = yield Ask(job.x0[rows], rows, grad=True, towards=np.full(len(rows), k))
        height[rows, k] = np.where(answer.live, answer.loss, -np.finfo(float).max)
    order = np.argsort(-height, axis=1, kind="stable")
    return np.where(np.take_along_axis(good, order, 1), order, -1)


def _rows(v: Any, x: Any) -> Any:
    import torch

    return torch.as_tensor(v, dtype=x.dtype).view(-1, *[1] * (x.ndim - 1))
