"""Leaves of an ensemble as conditions on levels: a feature's level is the number of its thresholds that it exceeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nocere.targets.structure import TreeEnsemble

TOP = 1 << 30  # no upper end


@dataclass(frozen=True, slots=True)
class Leaves:
    """All leaves of all trees.

    Args:
        cut: thresholds of all features, ascending within each [cuts].
        owner: feature of each threshold [cuts].
        offset: where the thresholds of a feature begin [features + 1].
        start: where the conditions of a leaf begin [leaves]; every leaf has one at least.
        leaf: of each condition [conditions]; conditions of a leaf are in the order of their features.
        feature: of each condition.
        low: smallest level that meets it.
        high: largest.
        value: of each leaf [leaves, k].
        base: [k].
    """

    cut: NDArray[np.float64]
    owner: NDArray[np.intp]
    offset: NDArray[np.intp]
    start: NDArray[np.intp]
    leaf: NDArray[np.intp]
    feature: NDArray[np.intp]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    value: NDArray[np.float64]
    base: NDArray[np.float64]

    def levels(self, x: NDArray[np.float64]) -> NDArray[np.int64]:
        """Values [features] to levels [features]."""
        return np.bincount(self.owner, self.cut < x[self.owner], len(self.offset) - 1).astype(np.int64)


def leaves(trees: TreeEnsemble, width: int) -> Leaves:
    """The leaves of an ensemble on `width` features."""
    inner = np.flatnonzero(trees.feature >= 0)
    pairs = np.unique(np.stack([trees.feature[inner], trees.threshold[inner]]), axis=1)
    owner, cut = pairs[0].astype(np.intp), pairs[1]
    offset = np.searchsorted(owner, np.arange(width + 1))
    level = np.zeros(len(trees.feature), dtype=np.int64)
    for at_node in inner:
        g = trees.feature[at_node]
        level[at_node] = np.searchsorted(cut[offset[g] : offset[g + 1]], trees.threshold[at_node])
    conditions: list[tuple[int, int, int, int]] = []
    values: list[NDArray[np.float64]] = []
    for root in trees.roots:
        stack: list[tuple[int, dict[int, tuple[int, int]]]] = [(int(root), {})]
        while stack:
            node, path = stack.pop()
            f = int(trees.feature[node])
            if f < 0:
                conditions += [(len(values), g, *path[g]) for g in sorted(path)] or [(len(values), 0, 0, TOP)]
                values.append(trees.value[node])
                continue
            low, high = path.get(f, (0, TOP))
            at = int(level[node])
            if low <= at:
                stack.append((int(trees.left[node]), {**path, f: (low, min(high, at))}))
            if high > at:
                stack.append((int(trees.right[node]), {**path, f: (max(low, at + 1), high)}))
    leaf, feature, lows, highs = (np.array(c, dtype=np.int64) for c in zip(*conditions, strict=True))
    start = np.searchsorted(leaf, np.arange(len(values)))
    return Leaves(cut, owner, offset, start, leaf, feature, lows, highs, np.array(values), trees.base)
