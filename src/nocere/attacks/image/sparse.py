"""Changes of few pixels by gradient: projected descent finds a first choice of pixels, swaps find better ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nocere.attacks.base import Ask, AttackDefaults, Job, Search
from nocere.core.errors import UsageError
from nocere.core.registry import register
from nocere.targets.base import Access
from nocere.threats.pixels import per_row
from nocere.threats.sparse import L0, largest


@register(
    "attack",
    "image.sparse",
    source="PGD-L0: Croce & Hein 2019, arXiv:1909.05040; saliency: Papernot et al. 2016, arXiv:1511.07528; swaps: ours",
    access="gradients",
    threat="image.l0",
)
@dataclass(frozen=True, slots=True)
class Sparse(AttackDefaults):
    """Changes few pixels, chosen by gradient times range and improved by swaps.

    A third of the steps are projected gradient descent. From its best point on, every step proposes to exchange the
    weakest changed pixels for the most promising unchanged ones. The exchange stands if the margin rises; otherwise
    fewer are exchanged, and those that did not help are left out for a while.

    Args:
        steps: gradient evaluations a start.
        restarts: number of starts; the first is at the original, the others at random members of the set.
    """

    steps: int = 60
    restarts: int = 1
    name: ClassVar[str] = "image.sparse"
    needs: ClassVar[frozenset[Access]] = frozenset({"gradients"})

    def __post_init__(self) -> None:
        if self.steps < 3 or self.restarts < 1:
            raise UsageError(
                f"image.sparse needs at least three steps and one start; got {self.steps} and {self.restarts}."
            )

    def search(self, job: Job) -> Search:
        if not isinstance(job.pset, L0):
            raise UsageError(f"image.sparse changes few pixels; {job.pset.name} does not count pixels.")
        import torch

        alive = np.arange(len(job.cases))
        for restart in range(self.restarts):
            if alive.size == 0:
                break
            x = job.x0[alive]
            if restart:
                draws = torch.from_numpy(job.rng.uniform(alive, x.shape[1:]))
                x = job.pset.random(draws, x, job.radius[alive])
            alive = yield from self._climb(job, alive, x)
        return []

    def _climb(self, job: Job, alive: Any, x: Any) -> Any:
        """One start; returns the cases that are still open."""
        import torch

        assert isinstance(job.pset, L0)
        best, last, descent = _Rows.start(x, np.floor(job.radius[alive])), torch.zeros_like(x), self.steps // 3
        for t in range(self.steps):
            answer = yield Ask(x, alive, grad=True)
            best = best.heard(x, answer)
            if not answer.live.all():
                keep = torch.as_tensor(answer.live)
                alive, best, x, last, answer.grad = alive[answer.live], *best.take(keep, x, last, answer.grad)
                if alive.size == 0:
                    break
            if t < descent:
                share = per_row(job.radius[alive] * (0.5 - 0.45 * t / descent), x)
                far = x + job.pset.ascend(answer.grad) * share + 0.25 * last
                moved = job.pset.project(far, job.x0[alive], job.radius[alive])
                last, x = moved - x, moved
            else:
                best.swaps = best.pixels if t == descent else best.swaps
                x = best.proposal(job.x0[alive], job.pset.span)
        return alive


@dataclass(slots=True)
class _Rows:
    """The best content of each row so far, its gradient, and what was tried around it.

    x, grad [n, C, H, W]; margin [n]; pixels [n, 1]: how many may change; swaps [n, 1]: how many are exchanged next;
    tried [n, H * W]: pixels that were brought in from here without success; brought [n, H * W]: those of this step.
    """

    x: Any
    grad: Any
    margin: Any
    pixels: Any
    swaps: Any
    tried: Any
    brought: Any

    @classmethod
    def start(cls, x: Any, pixels: Any) -> _Rows:
        import torch

        n = torch.as_tensor(pixels, dtype=torch.float32)[:, None]
        none = torch.zeros(len(x), x[0, 0].numel(), dtype=torch.bool)
        return cls(x, torch.zeros_like(x), torch.full((len(x),), -torch.inf), n, n, none, none)

    def take(self, keep: Any, *others: Any) -> tuple[Any, ...]:
        """These rows, and those of other tensors."""
        return _Rows(*(getattr(self, name)[keep] for name in self.__slots__)), *(v[keep] for v in others)

    def heard(self, x: Any, answer: Any) -> _Rows:
        """After an answer to `x`: rows that rose move there; the others exchange half as many from where they were."""
        import torch

        margin = torch.as_tensor(answer.margin, dtype=torch.float32)
        up = margin > self.margin
        wide, flat = up.view(-1, 1, 1, 1), up[:, None]
        return _Rows(
            x=x.where(wide, self.x),
            grad=answer.grad.where(wide, self.grad),
            margin=margin.where(up, self.margin),
            pixels=self.pixels,
            swaps=self.swaps.where(flat, (self.swaps / 2).floor().clamp_min(1.0)),
            tried=~flat & (self.tried | self.brought),
            brought=torch.zeros_like(self.brought),
        )

    def proposal(self, x0: Any, span: tuple[float, float]) -> Any:
        """The best content with its weakest changed pixels put back and the most promising others changed."""
        import torch

        low, high = span
        g = self.grad
        end = torch.where(g > 0, torch.full_like(g, high), torch.full_like(g, low))
        # A first-order estimate of what each pixel is worth, relative to its original value.
        worth_end = (g * (end - x0)).sum(1).flatten(1)
        worth_now = (g * (self.x - x0)).sum(1).flatten(1)
        changed = (self.x != x0).any(1).flatten(1)
        free = self.pixels - changed.sum(1, keepdim=True)
        out = torch.minimum((self.swaps - free).clamp_min(0.0), changed.sum(1, keepdim=True))
        put_back = largest((-worth_now).where(changed, torch.full_like(worth_now, -torch.inf)), out)
        # Changed pixels whose best end has moved may flip; the others are candidates for what became free.
        flips = changed & ~put_back & (worth_end > worth_now)
        open_ = ~changed & ~self.tried
        self.brought = largest(worth_end.where(open_, torch.full_like(worth_end, -torch.inf)), free + out) & open_
        shape = (len(g), 1, *g.shape[2:])
        x = x0.where(put_back.view(shape), self.x)
        return end.where((self.brought | flips).view(shape), x)
