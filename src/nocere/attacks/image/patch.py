"""Patches: the best content and place for one image, or one patch for many images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.base import Ask, AttackDefaults, Job, Search, Share
from nocere.attacks.image.universal import one_radius, pull, shuffled
from nocere.core.errors import UsageError
from nocere.core.registry import register
from nocere.targets.base import Access
from nocere.threats.patch import Pasted, Patch, place_proof


def _patch(job: Job, name: str) -> Patch:
    if not isinstance(job.pset, Patch):
        raise UsageError(f"{name} searches patches; {job.pset.name} is none.")
    return job.pset


@register(
    "attack",
    "image.patch_pgd",
    source="Karmon et al. 2018, arXiv:1801.02608; places by saliency and halving are ours",
    access="gradients",
    threat="image.patch",
)
@dataclass(frozen=True, slots=True)
class PatchPgd(AttackDefaults):
    """A patch for each image: several places at once, the less promising half given up after every quarter.

    Half of the places are those where a gradient at the original promises most, the others are random, with random
    sides and angles where the set allows them.

    Args:
        steps: gradient steps; each costs one evaluation for every place still open.
        places: places to begin with.
    """

    steps: int = 40
    places: int = 8
    name: ClassVar[str] = "image.patch_pgd"
    needs: ClassVar[frozenset[Access]] = frozenset({"gradients"})

    def __post_init__(self) -> None:
        if self.steps < 4 or self.places < 1:
            raise UsageError(
                f"image.patch_pgd needs at least four steps and one place; got {self.steps} and {self.places}."
            )

    def search(self, job: Job) -> Search:

        pset = _patch(job, self.name)
        low, high = pset.span
        answer = yield Ask(job.x0, grad=True)
        alive = np.flatnonzero(answer.live)
        if alive.size == 0:
            return []
        places = self._places(job, alive, answer.grad[alive])
        rows = np.repeat(alive, self.places)
        x0 = job.x0[rows]
        under = pset.under(places, *x0.shape[2:])
        x, best = x0, np.full(len(rows), -np.inf)
        for t in range(self.steps):
            answer = yield Ask(x, rows, grad=True, proofs=[place_proof(p) for p in places])
            best = np.maximum(best, answer.margin)
            step = high * (0.5 - 0.48 * t / max(self.steps - 1, 1))
            x = (x + step * answer.grad.sign()).clamp(low, high).where(under, x0)
            keep = answer.live
            if t + 1 in (self.steps // 4, self.steps // 2, 3 * self.steps // 4):
                keep = keep & _better_half(rows, best)
            if not keep.all():
                rows, places, best = rows[keep], places[keep], best[keep]
                x, x0, under = x[keep], x0[keep], under[keep]
                if rows.size == 0:
                    return []
        yield Ask(x, rows, proofs=[place_proof(p) for p in places])
        return []

    def _places(self, job: Job, alive: NDArray[np.intp], g: Any) -> NDArray[np.float64]:
        """Placements [len(alive) * places, 4], case after case."""
        pset = _patch(job, self.name)
        h, w = g.shape[2:]
        out = np.zeros((len(alive), self.places, 4))
        masks = pset.masks([job.cases[r] for r in alive])
        chosen = (self.places + 1) // 2
        for r in np.unique(job.radius[alive]):
            at, mine = pset.at(float(r)), np.flatnonzero(job.radius[alive] == r)
            draws = job.rng.uniform(alive[mine], (self.places, 3))
            own = None if masks is None else masks[mine]
            each = None if own is None else own.repeat(self.places, axis=0)
            out[mine] = at.places(draws.reshape(-1, 3), h, w, each).reshape(len(mine), self.places, 4)
            out[mine, :chosen] = _salient(at, job.x0[alive[mine]], g[mine], chosen, own)
        return out.reshape(-1, 4)


def _better_half(rows: NDArray[np.intp], margin: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The better half (rounded up) of each case's rows."""
    order = np.lexsort((-margin, rows))
    first = np.searchsorted(rows[order], rows[order])
    rank = np.empty(len(rows), dtype=np.intp)
    rank[order] = np.arange(len(rows)) - first
    count = np.bincount(rows)[rows]
    return rank < (count + 1) // 2


def _salient(pset: Patch, x0: Any, g: Any, n: int, masks: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """`n` upright placements a row [rows, n, 4], half a side or more apart, where the linear gain is largest."""
    import torch

    low, high = pset.span
    h, w = x0.shape[2:]
    side = max(1, round(pset.radius))
    gain = torch.maximum(g * (high - x0), g * (low - x0)).sum(1, keepdim=True)
    windows = torch.nn.functional.avg_pool2d(gain.double(), side, stride=1)[:, 0].numpy()
    free = pset.spots(np.full(len(x0), pset.radius), np.zeros(len(x0)), h, w, masks)
    score = np.full((len(x0), h, w), -np.inf)
    first = (side - 1) // 2
    score[:, first : first + windows.shape[1], first : first + windows.shape[2]] = windows
    score[~free] = -np.inf
    row, column = np.mgrid[0:h, 0:w]
    out = np.zeros((len(x0), n, 4))
    for k in range(n):
        flat = score.reshape(len(x0), -1)
        pick = flat.argmax(1)
        place = pset.centred(pick, np.full(len(x0), pset.radius), np.zeros(len(x0)), w)
        # A small image has fewer places than were asked for: the best one then serves again.
        none = ~np.isfinite(flat.max(1))
        out[:, k] = np.where(none[:, None], out[:, 0], place)
        near = np.maximum(np.abs(row - (pick // w)[:, None, None]), np.abs(column - (pick % w)[:, None, None]))
        score[near < side / 2] = -np.inf
    return out


@register(
    "attack",
    "image.patch_universal",
    source="Brown et al. 2017, arXiv:1712.09665; expectation over transforms: Athalye et al. 2018",
    access="gradients",
    threat="image.patch",
)
@dataclass(frozen=True, slots=True)
class PatchUniversal(AttackDefaults):
    """One patch for all images, fitted on the fit cases over random places, then laid on the held-out ones at random.

    Args:
        epochs: passes over the fit cases, every image at a new place each time.
        batch: fit cases a step.
        step: Adam's step, as a share of the range of stored values.
        tries: random places on every held-out case; one that turns it is enough.
    """

    epochs: int = 40
    batch: int = 32
    step: float = 0.05
    tries: int = 1
    name: ClassVar[str] = "image.patch_universal"
    needs: ClassVar[frozenset[Access]] = frozenset({"gradients"})
    scope: ClassVar[Literal["case", "group"]] = "group"

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch, self.tries) < 1 or not 0 < self.step <= 1:
            raise UsageError(
                "image.patch_universal needs at least one epoch, one case a step and one place a case, and a step in "
                f"(0, 1]; got {self.epochs}, {self.batch}, {self.tries} and {self.step:g}."
            )

    def search(self, job: Job) -> Search:
        import torch

        radius = one_radius(job, self.name)
        pset = _patch(job, self.name).at(radius)
        low, high = pset.span
        channels, h, w = job.x0.shape[1:]
        side = int(np.ceil(radius))
        texels = torch.full((1, channels, side, side), (low + high) / 2).requires_grad_(True)
        # Gradients per stored unit of far cases are minute: Adam's usual floor under their size would swallow them.
        adam = torch.optim.Adam([texels], lr=self.step * (high - low), eps=1e-16)
        fit = np.flatnonzero(job.fit)
        masks = pset.masks(job.cases)

        def laid(rows: NDArray[np.intp]) -> NDArray[np.float64]:
            return pset.places(job.rng.uniform(rows, (3,)), h, w, None if masks is None else masks[rows])

        for _ in range(self.epochs):
            order = shuffled(job, fit)
            for start in range(0, len(order), self.batch):
                rows = order[start : start + self.batch]
                places = laid(rows)
                with torch.enable_grad():
                    x = pset.paste(job.x0[rows], texels, places)
                answer = yield Ask(
                    x.detach(), rows, grad=True, proofs=[place_proof(p) for p in places], loss="ce"
                )  # fmt: skip
                (g,) = torch.autograd.grad(x, texels, -answer.grad * pull(answer))
                texels.grad = g
                adam.step()
                with torch.no_grad():
                    texels.clamp_(low, high)
        everyone = np.arange(len(job.cases))
        for _ in range(self.tries):
            places = laid(everyone)
            by_case = {c.id: p for c, p in zip(job.cases, places, strict=True)}
            yield Share(Pasted(texels.detach()[0].clone(), by_case))
        return []
