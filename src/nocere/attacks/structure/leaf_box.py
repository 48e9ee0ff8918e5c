"""One decision tree: every leaf that the box reaches, and the nearest point of the best of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nocere.attacks.base import Ask, AttackDefaults, Certificate, Job, Search
from nocere.attacks.structure.box import box, contents, score_margins, structure
from nocere.attacks.structure.cells import reachable
from nocere.core.errors import UsageError
from nocere.core.registry import register
from nocere.targets.base import Access
from nocere.targets.structure import TreeEnsemble


@register(
    "attack",
    "tree.leaf_box",
    source="Papernot et al. 2016, arXiv:1605.07277; Chen et al. 2019, arXiv:1906.03849",
    access="structure",
    model="tree",
)
@dataclass(frozen=True, slots=True)
class LeafBox(AttackDefaults):
    """Nearest leaf box of a single tree that meets the goal: exact under L-infinity.

    Where no leaf inside of the set meets the goal, that is claimed as a certificate.
    """

    name: ClassVar[str] = "tree.leaf_box"
    needs: ClassVar[frozenset[Access]] = frozenset({"structure"})

    def search(self, job: Job) -> Search:
        tree = structure(job, TreeEnsemble, self.name)
        if len(tree.roots) != 1:
            raise UsageError(f"{self.name} searches one tree, not {len(tree.roots)}.", "Use tree.threshold_search.")
        points = []
        claims = []
        for row in range(len(job.cases)):
            b = box(job, row, self.name)
            (cells,) = reachable(tree, b)
            near = cells.nearest(b.x0)
            margin = score_margins(job, row, tree.linked(tree.base + cells.value))
            # Of equal leaves the nearest one; among those that leave the case as it is, one that moves.
            far = np.abs(near - b.x0).max(1)
            best = np.lexsort((far, far == 0, -margin))[0]
            points.append(near[best])
            if margin.max() <= 0:
                claims.append(Certificate(row, "tree_leaf_box", {"leaves": len(cells)}))
        import torch

        yield Ask(torch.cat([contents(job, row, p[None]) for row, p in enumerate(points)]))
        return claims
