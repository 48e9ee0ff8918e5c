"""Projected gradient descent on the goal's margin, with restarts, for every norm that a perturbation set projects to.

The loss is the margin to the decision that is really taken, so one-logit, two-logit and multi-label heads, fixed
directions and operating thresholds need nothing else; margins are in logits, so a saturated softmax does not kill the
gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nocere.attacks.base import Ask, AttackDefaults, Job, Search
from nocere.attacks.image.draws import averaged
from nocere.core.errors import UsageError
from nocere.core.registry import register
from nocere.targets.base import Access
from nocere.threats.base import Projects


@register(
    "attack",
    "image.pgd",
    source="Madry et al. 2018, arXiv:1706.06083; step rule: Croce & Hein 2020",
    access="gradients",
)
@dataclass(frozen=True, slots=True)
class Pgd(AttackDefaults):
    """Projected gradient descent: first start at the original, further ones random.

    Args:
        steps: gradient evaluations a start.
        restarts: number of starts.
        step: first step as a share of the radius; it shrinks linearly to a tenth of that.
        momentum: weight of the last displacement, as in APGD.
        eot: draws that a gradient is averaged over, for targets that answer at random.
    """

    steps: int = 20
    restarts: int = 1
    step: float = 0.5
    momentum: float = 0.25
    eot: int = 1
    name: ClassVar[str] = "image.pgd"
    needs: ClassVar[frozenset[Access]] = frozenset({"gradients"})

    def __post_init__(self) -> None:
        if self.steps < 1 or self.restarts < 1:
            raise UsageError(f"image.pgd needs at least one step and one start; got {self.steps} and {self.restarts}.")
        if self.eot < 1:
            raise UsageError(f"image.pgd averages over at least one draw; got eot = {self.eot}.")
        if not 0 < self.step <= 2:
            raise UsageError(f"image.pgd: step is a share of the radius in (0, 2]; got {self.step}.")

    def search(self, job: Job) -> Search:
        pset = job.pset
        if not isinstance(pset, Projects):
            raise UsageError(f"image.pgd cannot search {pset.name}: that set has no projection.")
        import torch

        n = len(job.cases)
        alive = np.arange(n)
        for restart in range(self.restarts):
            if alive.size == 0:
                break
            x0, radius = job.x0[alive], job.radius[alive]
            if restart == 0:
                x = x0.clone()
            else:
                draws = torch.from_numpy(job.rng.uniform(alive, x0.shape[1:]))
                x = pset.random(draws, x0, radius)
            last = torch.zeros_like(x)
            for t in range(self.steps):
                answer = yield from averaged(Ask(x, alive, grad=True), self.eot)
                if not answer.live.all():
                    keep = answer.live
                    alive, x, x0, last, radius = alive[keep], x[keep], x0[keep], last[keep], radius[keep]
                    answer.grad = answer.grad[keep]
                    if alive.size == 0:
                        break
                share = self.step * (1.0 - 0.9 * t / max(self.steps - 1, 1))
                moved = x + pset.ascend(answer.grad) * _rows(share * radius, x) + self.momentum * last
                moved = pset.project(moved, x0, radius)
                last, x = moved - x, moved
            else:
                answer = yield Ask(x, alive)
                alive = alive[answer.live]
        return []


def _rows(v: Any, x: Any) -> Any:
    import torch

    return torch.as_tensor(v, dtype=x.dtype).view(-1, *[1] * (x.ndim - 1))
