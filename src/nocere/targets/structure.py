"""What a model is made of, where it is simple enough to be searched exactly: a linear form, or sums of trees.

Both map flattened stored values [n, d] to the scores that the target's decision reads. They are copies of a fitted
model, made once and compared with it (see `extract`); arrays are read-only.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

CLIP = 1e-12  # as targets clip probabilities

Link: TypeAlias = Literal["identity", "logit", "log"]


def _freeze(structure: Any) -> None:
    for f in fields(structure):
        value = getattr(structure, f.name)
        if isinstance(value, np.ndarray):
            own = value.copy()
            own.setflags(write=False)
            object.__setattr__(structure, f.name, own)


@dataclass(frozen=True, slots=True)
class LinearForm:
    """scores = x . weight + bias.

    Args:
        weight: [d, k], per stored unit.
        bias: [k].
    """

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]

    def __post_init__(self) -> None:
        _freeze(self)

    def outputs(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Stored values [n, ...] to scores [n, k]."""
        return np.asarray(np.asarray(x, dtype=np.float64).reshape(len(x), -1) @ self.weight + self.bias)

    scores = outputs


@dataclass(frozen=True, slots=True)
class TreeEnsemble:
    """outputs = base + the sum over trees of the value of the leaf that x falls into; scores = link(outputs).

    A node sends x to its left child when `x[feature] <= threshold`.

    Args:
        feature: [nodes], -1 at leaves.
        threshold: [nodes].
        left: child of each node [nodes].
        right: child of each node [nodes].
        value: [nodes, k], learning rate and averaging folded in; only those of leaves count.
        roots: first node of each tree [trees].
        base: [k].
        link: "identity" where outputs are logits; where they are probabilities, "logit" for columns that are judged
            alone and "log" for columns under a softmax.
    """

    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    value: NDArray[np.float64]
    roots: NDArray[np.int64]
    base: NDArray[np.float64]
    link: Link = "identity"

    def __post_init__(self) -> None:
        _freeze(self)

    def leaves(self, x: NDArray[Any]) -> NDArray[np.int64]:
        """Stored values [n, ...] to the leaf of every tree [n, trees]."""
        flat = np.asarray(x, dtype=np.float64).reshape(len(x), -1)
        node = np.broadcast_to(self.roots, (len(flat), len(self.roots))).copy()
        rows = np.arange(len(flat))[:, None]
        while True:
            inner = self.feature[node] >= 0
            if not inner.any():
                return node
            goes_left = flat[rows, np.maximum(self.feature[node], 0)] <= self.threshold[node]
            node = np.where(inner, np.where(goes_left, self.left[node], self.right[node]), node)

    def outputs(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Stored values [n, ...] to sums of leaf values [n, k]."""
        return np.asarray(self.base + self.value[self.leaves(x)].sum(axis=1))

    def linked(self, outputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Outputs [n, k] to scores [n, k]."""
        if self.link == "identity":
            return outputs
        p = np.clip(outputs, CLIP, 1.0 - CLIP)
        return np.asarray(np.log(p) if self.link == "log" else np.log(p) - np.log1p(-p))

    def scores(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Stored values [n, ...] to scores [n, k]."""
        return self.linked(self.outputs(x))


Structure: TypeAlias = LinearForm | TreeEnsemble
