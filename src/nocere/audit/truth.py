"""Exact answers for small models, to measure an evaluator with: can any stored content of a box meet a condition?

ReLU networks by mixed-integer programming with interval bounds (Tjeng et al. 2019, arXiv:1711.07356), sums of trees by
the program of Kantchelian et al. 2016 (arXiv:1509.07892). Both are about whole stored values: an example between two
grey levels is none. Nothing here is used by a search or by a checker.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nocere.targets.structure import TreeEnsemble

Answer: TypeAlias = Literal["broken", "robust", "unknown"]

# A condition counts as met from here on: far above float32 noise, far below a margin that anybody would report.
MET = 1e-4


@dataclass(frozen=True, slots=True)
class ReluNet:
    """Affine layers with ReLU between them, on flattened stored values: weights [out, in] and biases [out]."""

    layers: tuple[tuple[NDArray[np.float64], NDArray[np.float64]], ...]

    def scores(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Stored values [n, d] to scores [n, k]."""
        h = np.asarray(x, dtype=np.float64)
        for i, (w, b) in enumerate(self.layers):
            h = h @ w.T + b
            if i + 1 < len(self.layers):
                h = np.maximum(h, 0.0)
        return h


@dataclass(frozen=True, slots=True)
class Truth:
    """An answer, and for "broken" the stored values [d] that show it; "unknown" when the time was over."""

    answer: Answer
    x: NDArray[np.int64] | None = None


def relu_truth(
    net: ReluNet,
    weight: NDArray[np.float64],
    offset: NDArray[np.float64],
    low: NDArray[np.int64],
    high: NDArray[np.int64],
    seconds: float = 60.0,
) -> Truth:
    """Whether weight . scores + offset > 0 for any condition at any whole point of a box.

    Args:
        net: maps stored values to scores.
        weight: conditions [m, k], one of which is enough.
        offset: [m].
        low: smallest stored values [d].
        high: largest.
        seconds: for each program.
    """
    unknown = False
    for w, c in zip(weight, offset, strict=True):
        last_w, last_b = net.layers[-1]
        one = ReluNet((*net.layers[:-1], ((w @ last_w)[None], np.array([w @ last_b + c]))))
        for whole in (False, True):
            found = _relu_program(one, low, high, whole, seconds)
            if found is None:
                break  # no real point, or no whole one, meets the condition
            x = np.clip(np.rint(found), low, high).astype(np.int64) if found.size else None
            if x is not None and one.scores(x[None])[0, 0] > MET:
                return Truth("broken", x)
            if whole:
                unknown = True
    return Truth("unknown" if unknown else "robust")


def _relu_program(
    net: ReluNet, low: NDArray[np.int64], high: NDArray[np.int64], whole: bool, seconds: float
) -> NDArray[np.float64] | None:
    """A point of the box with net > MET; None where there is none; empty where the time was over."""
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_matrix

    d = len(low)
    lower, upper = low.astype(float).tolist(), high.astype(float).tolist()
    integer = [int(whole)] * d
    rows: list[dict[int, float]] = []
    limits: list[float] = []  # rows . variables <= limits

    # Each neuron as an affine function of variables: coefficients by variable, constant.
    units: list[tuple[dict[int, float], float]] = [({i: 1.0}, 0.0) for i in range(d)]
    bounds = np.stack([low, high], axis=1).astype(float)
    for i, (w, b) in enumerate(net.layers):
        pos, neg = np.maximum(w, 0.0), np.minimum(w, 0.0)
        before = np.stack([pos @ bounds[:, 0] + neg @ bounds[:, 1] + b, pos @ bounds[:, 1] + neg @ bounds[:, 0] + b], 1)
        sums = [_affine(w[j], b[j], units) for j in range(len(b))]
        if i + 1 == len(net.layers):
            if before[0, 1] <= MET:
                return None
            coefficients, constant = sums[0]
            rows.append({k: -v for k, v in coefficients.items()})
            limits.append(constant - MET)
            objective = rows[-1]
            break
        units = []
        for (coefficients, constant), (lo, hi) in zip(sums, before, strict=True):
            if hi <= 0:
                units.append(({}, 0.0))
            elif lo >= 0:
                units.append((coefficients, constant))
            else:
                h, on = len(lower), len(lower) + 1
                lower += [0.0, 0.0]
                upper += [float(hi), 1.0]
                integer += [0, 1]
                minus = {k: -v for k, v in coefficients.items()}
                rows += [{**coefficients, h: -1.0}, {**minus, h: 1.0, on: -float(lo)}, {h: 1.0, on: -float(hi)}]
                limits += [-constant, constant - float(lo), 0.0]
                units.append(({h: 1.0}, 0.0))
        bounds = np.maximum(before, 0.0)
    n = len(lower)
    at = [(r, k, v) for r, row in enumerate(rows) for k, v in row.items()]
    index = tuple(np.array(part) for part in zip(*((r, k) for r, k, _ in at), strict=True))
    table = csr_matrix((np.array([v for _, _, v in at]), index), (len(rows), n))
    cost = np.zeros(n)
    for variable, value in objective.items():
        cost[variable] = value
    answer = milp(
        cost,
        constraints=LinearConstraint(table, ub=np.array(limits)),
        integrality=np.array(integer),
        bounds=Bounds(np.array(lower), np.array(upper)),
        # The first point that meets the condition is enough.
        options={"time_limit": seconds, "mip_rel_gap": 1e9},
    )
    if answer.status == 2:
        return None
    return np.zeros(0) if answer.x is None else np.asarray(answer.x[:d])


def _affine(
    w: NDArray[np.float64], b: float, units: list[tuple[dict[int, float], float]]
) -> tuple[dict[int, float], float]:
    """w . units + b as one affine function."""
    out: dict[int, float] = {}
    constant = float(b)
    for weight, (coefficients, c) in zip(w, units, strict=True):
        constant += float(weight) * c
        for k, v in coefficients.items():
            out[k] = out.get(k, 0.0) + float(weight) * v
    return out, constant


def tree_truth(
    trees: TreeEnsemble,
    weight: NDArray[np.float64],
    offset: NDArray[np.float64],
    low: NDArray[np.int64],
    high: NDArray[np.int64],
    seconds: float = 60.0,
) -> Truth:
    """Whether weight . outputs + offset > 0 for any condition at any whole point of a box; arguments as above."""
    unknown = False
    for w, c in zip(weight, offset, strict=True):
        found = _tree_program(trees, w, low, high, seconds)
        if found is None:
            unknown = True
        elif float(trees.outputs(found[None])[0] @ w + c) > 1e-9:
            return Truth("broken", found)
    return Truth("unknown" if unknown else "robust")


def _tree_program(
    trees: TreeEnsemble, w: NDArray[np.float64], low: NDArray[np.int64], high: NDArray[np.int64], seconds: float
) -> NDArray[np.int64] | None:
    """The whole point of the box with the largest w . outputs; None where the time was over.

    Variables: for each feature and whole cut, whether x is at most the cut (ordered along a feature); for each leaf,
    whether x falls into it. A leaf implies the cuts of its path, and every tree has one leaf.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_matrix

    cuts: dict[tuple[int, int], int] = {}
    leaves: list[tuple[int, list[tuple[tuple[int, int], bool]], float]] = []
    for t, root in enumerate(trees.roots):
        stack: list[tuple[int, list[tuple[tuple[int, int], bool]]]] = [(int(root), [])]
        while stack:
            node, path = stack.pop()
            f = int(trees.feature[node])
            if f < 0:
                leaves.append((t, path, float(trees.value[node] @ w)))
                continue
            key = (f, int(np.floor(trees.threshold[node])))
            cuts.setdefault(key, len(cuts))
            stack += [(int(trees.left[node]), [*path, (key, True)]), (int(trees.right[node]), [*path, (key, False)])]
    m = len(cuts)
    n = m + len(leaves)
    rows: list[tuple[dict[int, float], float, float]] = [
        ({m + i: 1.0 for i, leaf in enumerate(leaves) if leaf[0] == t}, 1.0, 1.0) for t in range(len(trees.roots))
    ]
    for i, (_, path, _) in enumerate(leaves):
        for key, below in path:
            # leaf <= cut, or leaf <= 1 - cut.
            rows.append(({m + i: 1.0, cuts[key]: -1.0 if below else 1.0}, -np.inf, 0.0 if below else 1.0))
    ordered = sorted(cuts)
    for a, b in itertools.pairwise(ordered):
        if a[0] == b[0]:
            rows.append(({cuts[a]: 1.0, cuts[b]: -1.0}, -np.inf, 0.0))
    fixed_low, fixed_high = np.zeros(n), np.ones(n)
    for (f, cut), k in cuts.items():
        fixed_low[k] = float(high[f] <= cut)
        fixed_high[k] = float(low[f] <= cut)
    at = [(r, k, v) for r, (row, _, _) in enumerate(rows) for k, v in row.items()]
    index = tuple(np.array(part) for part in zip(*((r, k) for r, k, _ in at), strict=True))
    table = csr_matrix((np.array([v for _, _, v in at]), index), (len(rows), n))
    answer = milp(
        np.concatenate([np.zeros(m), [-leaf[2] for leaf in leaves]]),
        constraints=LinearConstraint(table, [row[1] for row in rows], [row[2] for row in rows]),
        integrality=np.ones(n),
        bounds=Bounds(fixed_low, fixed_high),
        options={"time_limit": seconds, "mip_rel_gap": 0.0},
    )
    if answer.x is None or answer.status != 0:
        return None
    x = low.copy()
    for (f, cut), k in cuts.items():
        if answer.x[k] < 0.5:
            x[f] = max(x[f], cut + 1)
    return x
