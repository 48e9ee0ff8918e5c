"""Universal perturbations: one change fitted on some cases and applied to all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.base import Answer, Ask, AttackDefaults, Job, Search, Share
from nocere.core.errors import UsageError
from nocere.core.registry import register
from nocere.targets.base import Access
from nocere.threats.base import Projects, Shifts

CLIP = 9.0  # log odds of the goal, Shafahi et al. 2020


def one_radius(job: Job, name: str) -> float:
    """The radius that all cases of a universal attack share.

    Raises:
        UsageError: cases at different radii, or none to fit on.
    """
    if not job.fit.any():
        raise UsageError(f"{name} has no case to fit on.")
    if len(np.unique(job.radius)) != 1:
        raise UsageError(f"{name} fits one change for all: its cell cannot bisect; use aim 'flip' or 'worst'.")
    return float(job.radius[0])


def shuffled(job: Job, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """The rows in a random order that is keyed by their cases."""
    return rows[np.argsort(job.rng.uniform(rows, (1,))[:, 0], kind="stable")]


def pull(answer: Answer) -> Any:
    """Weight of each row: that of ascent on the cross-entropy, which is near 1 where the goal is met and small far off.

    Weighing the cases that are still far instead would pull two classes against each other, and break few of either.
    Cases that are met by far need no more (clipped cross-entropy, Shafahi et al. 2020).
    """
    import torch

    loss = torch.as_tensor(answer.loss, dtype=answer.grad.dtype)
    weight = torch.sigmoid(loss) * (loss < CLIP)
    return weight.view(-1, *[1] * (answer.grad.ndim - 1))


@register(
    "attack",
    "image.universal",
    source="Moosavi-Dezfooli et al. 2017, arXiv:1610.08401; as gradient ascent: Shafahi et al. 2020, arXiv:1811.11304",
    access="gradients",
    threat="image.linf",
)
@dataclass(frozen=True, slots=True)
class Universal(AttackDefaults):
    """One change for all images, by projected gradient ascent on the fit cases; held-out ones get the best epoch's.

    Args:
        epochs: passes over the fit cases.
        batch: fit cases a step.
        step: first step as a share of the radius; it shrinks linearly to a tenth of that.
    """

    epochs: int = 10
    batch: int = 32
    step: float = 0.5
    name: ClassVar[str] = "image.universal"
    needs: ClassVar[frozenset[Access]] = frozenset({"gradients"})
    scope: ClassVar[Literal["case", "group"]] = "group"

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch) < 1 or not 0 < self.step <= 2:
            raise UsageError(
                "image.universal needs at least one epoch and one case a step, and a step in (0, 2]; got "
                f"{self.epochs}, {self.batch} and {self.step:g}."
            )

    def search(self, job: Job) -> Search:
        import torch

        pset: Any = job.pset
        if not (isinstance(pset, Projects) and isinstance(pset, Shifts)):
            raise UsageError(f"image.universal cannot search {pset.name}: it has no one change for many cases.")
        radius = one_radius(job, self.name)
        fit = np.flatnonzero(job.fit)
        # A change alone is projected on a mid-grey image, where no edge of the range is in the way.
        grey = torch.full_like(job.x0[:1], float(np.mean(pset.span)))
        delta = best = torch.zeros_like(grey)
        most = (-1, -np.inf)
        for epoch in range(self.epochs):
            share = self.step * (1.0 - 0.9 * epoch / max(self.epochs - 1, 1))
            order = shuffled(job, fit)
            for start in range(0, len(order), self.batch):
                rows = order[start : start + self.batch]
                x0 = job.x0[rows]
                answer = yield Ask(pset.project(x0 + delta, x0, job.radius[rows]), rows, grad=True, loss="ce")
                g = (answer.grad * pull(answer)).sum(0, keepdim=True)
                delta = pset.project(grey + delta + share * radius * pset.ascend(g), grey, [radius]) - grey
            x0 = job.x0[fit]
            answer = yield Ask(pset.project(x0 + delta, x0, job.radius[fit]), fit)
            met = (int((answer.margin > 0).sum()), float(answer.margin.mean()))
            if met > most:
                most, best = met, delta
        yield Share(best[0])
        return []
