"""Random noise of the attack's own size: the control that every adversarial figure needs beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nocere.attacks.base import Ask, AttackDefaults, Job, Search
from nocere.core.errors import UsageError
from nocere.core.registry import register
from nocere.targets.base import Access
from nocere.threats.base import Projects


@register("attack", "image.random_noise", source="control; Pintor et al. 2022 ask for one", access="scores or labels")
@dataclass(frozen=True, slots=True)
class RandomNoise(AttackDefaults):
    """Independent random points of the perturbation set, in stored whole numbers.

    Args:
        draws: points a case.
        corners: draw only the extreme changes (plus or minus the radius) instead of all of the set.
    """

    draws: int = 1000
    corners: bool = False
    name: ClassVar[str] = "image.random_noise"
    needs: ClassVar[frozenset[Access]] = frozenset({"labels"})

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise UsageError(f"image.random_noise needs at least one draw; got {self.draws}.")

    def search(self, job: Job) -> Search:
        pset = job.pset
        if not isinstance(pset, Projects):
            raise UsageError(f"image.random_noise cannot draw from {pset.name}.")
        import torch

        alive = np.arange(len(job.cases))
        for _ in range(self.draws):
            if alive.size == 0:
                break
            x0 = job.x0[alive]
            draws = torch.from_numpy(job.rng.uniform(alive, x0.shape[1:]))
            if self.corners:
                draws = draws.sign()
            answer = yield Ask(pset.random(draws, x0, job.radius[alive]), alive)
            alive = alive[answer.live]
        return []
