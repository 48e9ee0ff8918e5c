"""Ensembles of trees: moves to just beyond the trees' own thresholds, and a bound on what any point can reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.base import Ask, AttackDefaults, Certificate, Job, Search
from nocere.attacks.structure.box import Box, box, conditions, contents, score_margins, structure
from nocere.attacks.structure.cells import Cells, reachable
from nocere.attacks.structure.cliques import reach
from nocere.core.errors import UsageError
from nocere.core.registry import register
from nocere.targets.base import Access
from nocere.targets.structure import TreeEnsemble

TRIED = 4  # candidates that are shown to the target
AT_ONCE = 4_000_000  # stored values of the moves that are evaluated together


@register(
    "attack",
    "tree.threshold_search",
    source="Chen et al. 2019, arXiv:1906.03849; Zhang et al. 2020, arXiv:2010.11598",
    access="structure",
    model="forest",
)
@dataclass(frozen=True, slots=True)
class ThresholdSearch(AttackDefaults):
    """Greedy search over the trees' own thresholds, then a bound over cliques of leaves.

    A case ends as broken, as certified where the bound shows that nothing can break it, or undecided (held).

    Args:
        starts: starting points a case; the first is the case itself.
        moves: single-value moves a start.
        entries: numbers that the bound may hold at once (memory and time).
    """

    starts: int = 4
    moves: int = 64
    entries: int = 4_000_000
    name: ClassVar[str] = "tree.threshold_search"
    needs: ClassVar[frozenset[Access]] = frozenset({"structure"})
    cohort: ClassVar[int | None] = 1

    def __post_init__(self) -> None:
        if self.starts < 1 or self.moves < 1 or self.entries < 1:
            raise UsageError(f"{self.name} needs at least one start, one move and one entry.")

    def search(self, job: Job) -> Search:
        trees = structure(job, TreeEnsemble, self.name)
        b = box(job, 0, self.name)
        cells = reachable(trees, b)
        found, margin = self._greedy(job, trees, b, cells)
        claims = []
        if margin.max() <= 0:
            left = reach(cells, trees.base, conditions(job, 0), self.entries)
            if left is not None and len(left):
                exact = score_margins(job, 0, trees.linked(left.value))
                found = np.concatenate([found, left.take(np.argsort(-exact)[:TRIED]).nearest(b.x0)])
                margin = np.concatenate([margin, np.sort(exact)[::-1][:TRIED]])
            if left is not None and margin.max() <= 0:
                claims.append(Certificate(0, "tree_ensemble", {}))
        best = np.argsort(-margin, kind="stable")[:TRIED]
        yield Ask(contents(job, 0, found[best]), np.zeros(len(best), dtype=np.intp))
        return claims

    def _greedy(
        self, job: Job, trees: TreeEnsemble, b: Box, cells: list[Cells]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """End points of all starts [n, d] and their goal margins."""
        features = cells[0].features
        # Beside each threshold, the whole values that lie on its two sides; between thresholds nothing changes.
        sides = [_sides(cells, k) for k in range(len(features))]
        feature = np.repeat(features, [len(s) for s in sides])
        value = np.concatenate([*sides, np.zeros(0, dtype=np.int64)])

        def best_move(x: NDArray[np.int64]) -> tuple[NDArray[np.int64], float]:
            """Every move at once: one value set to one side of one of its thresholds."""
            top, at = -np.inf, 0
            for s in range(0, len(value), max(1, AT_ONCE // len(x))):
                part = slice(s, s + max(1, AT_ONCE // len(x)))
                moved = np.repeat(x[None], len(value[part]), axis=0)
                moved[np.arange(len(moved)), feature[part]] = value[part]
                margin = score_margins(job, 0, trees.scores(moved))
                if margin.max() > top:
                    top, at = float(margin.max()), s + int(np.argmax(margin))
            out = x.copy()
            out[feature[at]] = value[at]
            return out, top

        ends, margins = [b.x0], [float(score_margins(job, 0, trees.scores(b.x0[None]))[0])]
        for start in range(self.starts if len(value) else 0):
            x = b.x0.copy()
            if start:
                u = job.rng.uniform([0], (len(features),))[0].astype(np.float64) * 0.5 + 0.5
                x[features] = [s[min(int(v * len(s)), len(s) - 1)] for s, v in zip(sides, u, strict=True)]
            now = float(score_margins(job, 0, trees.scores(x[None]))[0])
            for _ in range(self.moves):
                moved, margin = best_move(x)
                if margin <= now:
                    # The best neighbour: without any change there would be nothing to judge.
                    ends.append(moved)
                    margins.append(margin)
                    break
                x, now = moved, margin
            ends.append(x)
            margins.append(now)
            if now > 0:
                break
        return np.array(ends), np.array(margins)


def _sides(cells: list[Cells], k: int) -> NDArray[np.int64]:
    """The ends of all cells in one feature."""
    return np.unique(np.concatenate([np.concatenate([c.low[:, k], c.high[:, k]]) for c in cells]))
