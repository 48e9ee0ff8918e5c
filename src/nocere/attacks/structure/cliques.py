"""What a sum of trees can reach in a box: cells of trees merged into cells of groups of trees.

Leaves of different trees that have a point in common form the cliques of a multipartite graph (Chen et al. 2019,
arXiv:1906.03849). Groups are merged two by two; cells that cannot meet the goal, whatever the other groups give, are
dropped. If a group runs out of cells, no point of the box meets the goal; if one group is left, its cells are all
that can.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.structure.cells import Cells
from nocere.attacks.structure.clauses import Clause

# Rounding of a sum of leaf values, beside which nothing is dropped.
SLACK = 1e-9


def reach(groups: list[Cells], base: NDArray[np.float64], goal: list[Clause], entries: int) -> Cells | None:
    """The cells that may meet the goal (none: nothing in the box can), with whole outputs; None where undecided.

    Args:
        groups: cells of each tree.
        base: [k].
        goal: any of these clauses is to be met.
        entries: numbers that one merged group may need; beyond that nothing is decided.
    """
    features = groups[0].features
    base = base + sum((g.value[0] for g in groups if len(g) == 1), np.zeros_like(base))
    groups = [g for g in groups if len(g) > 1]
    if not groups:
        groups = [Cells(features[:0], np.zeros((1, 0), np.int64), np.zeros((1, 0), np.int64), np.zeros((1, len(base))))]
    while True:
        if all(len(g) for g in groups):
            groups = _dropped(groups, base, goal)
        last = min(groups, key=len)
        if len(groups) == 1 or len(last) == 0:
            return Cells(last.features, last.low, last.high, last.value + base)
        merged = _merged(groups, entries)
        if merged is None:
            return None
        groups = merged


def _dropped(groups: list[Cells], base: NDArray[np.float64], goal: list[Clause]) -> list[Cells]:
    """Groups without the cells that no clause can be met with."""
    alive = [np.zeros(len(g), dtype=bool) for g in groups]
    for c in goal:
        values = [g.value @ c.weight.T for g in groups]
        total = sum((v.max(0) for v in values), base @ c.weight.T + c.offset)
        for a, v in zip(alive, values, strict=True):
            a |= (v + (total - v.max(0)) > -SLACK).all(1)
    return [g.take(a) for g, a in zip(groups, alive, strict=True)]


def _merged(groups: list[Cells], entries: int) -> list[Cells] | None:
    """Neighbours joined two by two, smallest first, as far as the size allows; None where nothing could be joined."""
    groups = sorted(groups, key=len)
    out: list[Cells] = []
    k, joined = 0, False
    while k < len(groups):
        a = groups[k]
        b = groups[k + 1] if k + 1 < len(groups) else None
        if b is not None and len(a) * len(b) * max(len(a.features), 1) <= entries:
            out.append(_pair(a, b))
            joined, k = True, k + 2
        else:
            out.append(a)
            k += 1
    return out if joined else None


def _pair(a: Cells, b: Cells) -> Cells:
    """Cells that a cell of each have in common."""
    low = np.maximum(a.low[:, None], b.low[None])
    high = np.minimum(a.high[:, None], b.high[None])
    i, j = np.nonzero((low <= high).all(2))
    return Cells(a.features, low[i, j], high[i, j], a.value[i] + b.value[j])
