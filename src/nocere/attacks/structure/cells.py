"""Which leaves of each tree a box of whole stored values can reach, and in which part of the box."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.structure.box import Box
from nocere.core.errors import UsageError
from nocere.targets.structure import TreeEnsemble

MOST = 50_000_000  # ends of leaves that are held at once: 0.4 GB


@dataclass(frozen=True, slots=True)
class Cells:
    """Parts of a box in which the value of some trees is constant.

    Args:
        features: those that a tree still tests inside of the box [f].
        low: smallest whole value of each such feature [n, f].
        high: largest [n, f].
        value: sum of the leaves [n, k].
    """

    features: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    value: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.value)

    def take(self, index: NDArray[np.generic]) -> Cells:
        """These cells."""
        return Cells(self.features, self.low[index], self.high[index], self.value[index])

    def nearest(self, x0: NDArray[np.int64]) -> NDArray[np.int64]:
        """The point of each cell that is nearest to x0 [d], in every norm: [n, d]."""
        points = np.repeat(x0[None], len(self), axis=0)
        points[:, self.features] = np.clip(x0[self.features], self.low, self.high)
        return points


def reachable(trees: TreeEnsemble, b: Box) -> list[Cells]:
    """For every tree, the cells of its leaves inside of the box.

    Raises:
        UsageError: there are too many to be held at once.
    """
    features = _tested(trees, b)
    tree = np.arange(len(trees.roots))
    node = trees.roots.copy()
    low = np.repeat(b.low[features][None], len(node), axis=0)
    high = np.repeat(b.high[features][None], len(node), axis=0)
    place = np.full(int(trees.feature.max(initial=0)) + 1, -1)
    place[features] = np.arange(len(features))
    done: list[tuple[NDArray[np.int64], ...]] = []
    while node.size:
        if low.size > MOST:
            raise UsageError(f"The trees have more leaves and features inside of this box than {MOST} numbers hold.")
        leaf = trees.feature[node] < 0
        done.append((tree[leaf], node[leaf], low[leaf], high[leaf]))
        tree, node, low, high = tree[~leaf], node[~leaf], low[~leaf], high[~leaf]
        f, cut = trees.feature[node], np.floor(trees.threshold[node]).astype(np.int64)
        at, rows = place[f], np.arange(len(node))
        # A feature that no tree splits inside of the box is where the box has it.
        lo = np.where(at >= 0, low[rows, at], b.low[f]) if len(features) else b.low[f]
        hi = np.where(at >= 0, high[rows, at], b.high[f]) if len(features) else b.high[f]
        parts = []
        for goes, child, side in ((lo <= cut, trees.left, 0), (hi > cut, trees.right, 1)):
            k = np.flatnonzero(goes)
            new_low, new_high = low[k], high[k]
            split = np.flatnonzero(at[k] >= 0)
            column = at[k][split]
            if side == 0:
                new_high[split, column] = np.minimum(new_high[split, column], cut[k][split])
            else:
                new_low[split, column] = np.maximum(new_low[split, column], cut[k][split] + 1)
            parts.append((tree[k], child[node[k]], new_low, new_high))
        tree, node, low, high = (np.concatenate([p[i] for p in parts]) for i in range(4))
    trees_of, leaves, lows, highs = (np.concatenate([d[i] for d in done]) for i in range(4))
    out = []
    for t in range(len(trees.roots)):
        mine = trees_of == t
        out.append(Cells(features, lows[mine], highs[mine], trees.value[leaves[mine]]))
    return out


def _tested(trees: TreeEnsemble, b: Box) -> NDArray[np.int64]:
    """Features with a threshold inside of the box, at a node that the box may reach."""
    node, found = trees.roots, [np.zeros(0, dtype=np.int64)]
    while node.size:
        node = node[trees.feature[node] >= 0]
        f, cut = trees.feature[node], trees.threshold[node]
        left, right = b.low[f] <= cut, b.high[f] > cut
        found.append(f[left & right])
        node = np.concatenate([trees.left[node[left]], trees.right[node[right]]])
    return np.unique(np.concatenate(found))
