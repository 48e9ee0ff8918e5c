"""Structure of fitted scikit-learn estimators: weights of linear models, nodes of trees, through a scaler before them.

Whatever is read here is compared with the estimator on random inputs before it is offered: a model that is built in
another way than expected has no structure, rather than a wrong one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.core.decision import Decision, MultiLabel, OneLogit, OneVsRest, Softmax
from nocere.core.rng import generator
from nocere.targets.structure import LinearForm, Link, Structure, TreeEnsemble

LOWEST, HIGHEST = -(1 << 15), (1 << 16) - 1  # stored values that a threshold behind a scaler is looked for among
ROWS = 96  # to compare on; an eighth of them above WIDE features
WIDE = 10_000
# Probabilities near 0 and 1 have lost their logit: beyond this margin only its sign is compared.
SATURATED = 18.0
AGREES = 1e-6


def structure_of(
    estimator: Any, decision: Decision, scores: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> Structure | None:
    """The structure of a fitted estimator, or None where it has none that is known here and agrees with its scores.

    Args:
        estimator: fitted, on flattened stored values.
        decision: that reads the scores.
        scores: the target's own scores of rows [n, d], to compare with.
    """
    if not isinstance(decision, (OneLogit, OneVsRest, Softmax, MultiLabel)):
        return None
    try:
        scalers, model = _taken_apart(estimator)
        made = linear_form(model, scalers, decision) or _trees(model, scalers, decision, estimator)
        return made if made is not None and _agrees(made, decision, scores, int(estimator.n_features_in_)) else None
    except Exception:  # estimators of many makes: whatever does not fit has no structure
        return None


def _taken_apart(estimator: Any) -> tuple[list[Any], Any]:
    """Scalers and the model behind them."""
    from sklearn.pipeline import Pipeline

    if not isinstance(estimator, Pipeline):
        return [], estimator
    steps = [s for _, s in estimator.steps if s not in (None, "passthrough")]
    return steps[:-1], steps[-1]


def _affine(scalers: list[Any], d: int) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Scalers as x * slope + shift, each [d]; None where one of them is something else."""
    from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, StandardScaler

    slope, shift = np.ones(d), np.zeros(d)
    for s in scalers:
        if isinstance(s, StandardScaler):
            scale = np.ones(d) if s.scale_ is None else s.scale_
            mean = np.zeros(d) if s.mean_ is None else s.mean_
            slope, shift = slope / scale, (shift - mean) / scale
        elif isinstance(s, MinMaxScaler) and not s.clip:
            slope, shift = slope * s.scale_, shift * s.scale_ + s.min_
        elif isinstance(s, MaxAbsScaler) and not getattr(s, "clip", False):
            slope, shift = slope / s.scale_, shift / s.scale_
        else:
            return None
    return slope, shift


def linear_form(model: Any, scalers: list[Any], decision: Decision) -> LinearForm | None:
    """Weights of a linear model behind scalers, not compared with it yet; None where it has none."""
    from sklearn.multiclass import OneVsRestClassifier

    if isinstance(model, OneVsRestClassifier):
        parts = model.estimators_
        if not all(hasattr(p, "coef_") for p in parts):
            return None
        coef, bias = np.concatenate([p.coef_ for p in parts]), np.concatenate([p.intercept_ for p in parts])
    elif hasattr(model, "coef_") and hasattr(model, "intercept_"):
        coef, bias = np.atleast_2d(model.coef_), np.broadcast_to(model.intercept_, len(np.atleast_2d(model.coef_)))
    else:
        return None
    weight, bias = _columns(coef.T.astype(np.float64), np.array(bias, dtype=np.float64), decision)
    scaled = _affine(scalers, len(weight))
    if scaled is None:
        return None
    return LinearForm(scaled[0][:, None] * weight, scaled[1] @ weight + bias)


def _columns(
    value: NDArray[np.float64], base: NDArray[np.float64], decision: Decision
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values [n, k] and base [k] with as many columns as the decision reads: one logit may feed a pair, as [0, z]."""
    if value.shape[1] == 1 and decision.columns == 2 and decision.exclusive:
        return np.hstack([np.zeros_like(value), value]), np.concatenate([[0.0], base])
    if value.shape[1] != decision.columns:
        raise ValueError("another number of columns")
    return value, base


# --- trees -----------------------------------------------------------------------------------------------------------


def _trees(model: Any, scalers: list[Any], decision: Decision, whole: Any) -> TreeEnsemble | None:
    from sklearn.ensemble import (
        ExtraTreesClassifier,
        GradientBoostingClassifier,
        HistGradientBoostingClassifier,
        RandomForestClassifier,
    )
    from sklearn.tree import DecisionTreeClassifier

    precision: type[np.floating[Any]] = np.float32
    link: Link = "identity"
    parts: list[tuple[NDArray[Any], ...]] = []
    if isinstance(model, (DecisionTreeClassifier, RandomForestClassifier, ExtraTreesClassifier)):
        members = [model] if isinstance(model, DecisionTreeClassifier) else model.estimators_
        link = "log" if decision.exclusive and decision.columns > 1 else "logit"
        shares = [_shares(m.tree_, decision) / len(members) for m in members]
        parts = [(*_nodes(m.tree_), v) for m, v in zip(members, shares, strict=True)]
    elif isinstance(model, GradientBoostingClassifier):
        for stage in model.estimators_:
            for k, m in enumerate(stage):
                v = np.zeros((m.tree_.node_count, len(stage)))
                v[:, k] = model.learning_rate * m.tree_.value[:, 0, 0]
                parts.append((*_nodes(m.tree_), v))
    elif isinstance(model, HistGradientBoostingClassifier):
        parts = [
            (*_histogram(p.nodes), _column(p.nodes["value"], k, len(stage)))
            for stage in model._predictors
            for k, p in enumerate(stage)
        ]
        precision = np.float64
    else:
        return None
    made = _joined(parts, link)
    if scalers:
        made = _behind(made, scalers, int(whole.n_features_in_), precision)
    if link == "identity":
        # What the sum starts from is read off one answer: it is a constant for every way of boosting supported here.
        x = np.zeros((1, int(whole.n_features_in_)))
        start = np.asarray(whole.decision_function(x), dtype=np.float64).reshape(-1) - made.outputs(x)[0]
        value, base = _columns(made.value, start, decision)
        made = replace(made, value=value, base=base)
    return made


def _shares(tree: Any, decision: Decision) -> NDArray[np.float64]:
    """Class shares in the nodes of a classification tree [nodes, columns]."""
    v = tree.value[:, 0].astype(np.float64)
    v = v / v.sum(axis=1, keepdims=True)
    return np.asarray(v[:, 1:] if decision.columns == 1 and v.shape[1] == 2 else v)


def _nodes(tree: Any) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    leaf = tree.children_left < 0
    return np.where(leaf, -1, tree.feature), tree.threshold, tree.children_left, tree.children_right


def _histogram(nodes: Any) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    leaf = nodes["is_leaf"].astype(bool)
    if nodes["is_categorical"].any():
        raise ValueError("categorical splits")
    feature = np.where(leaf, -1, nodes["feature_idx"].astype(np.int64))
    return feature, nodes["num_threshold"], nodes["left"].astype(np.int64), nodes["right"].astype(np.int64)


def _column(value: NDArray[Any], k: int, n: int) -> NDArray[np.float64]:
    out = np.zeros((len(value), n))
    out[:, k] = value
    return out


def _joined(parts: list[tuple[NDArray[Any], ...]], link: Link) -> TreeEnsemble:
    """Trees (feature, threshold, left, right, value) as one list of nodes."""
    roots = np.cumsum([0, *(len(p[0]) for p in parts[:-1])])
    left, right = (
        np.concatenate([np.where(p[0] >= 0, p[i] + r, 0) for p, r in zip(parts, roots, strict=True)]) for i in (2, 3)
    )
    feature = np.concatenate([p[0] for p in parts]).astype(np.int64)
    value = np.concatenate([p[4] for p in parts])
    threshold = np.where(feature >= 0, np.concatenate([p[1] for p in parts]), 0.0)
    return TreeEnsemble(feature, threshold, left, right, value, roots, np.zeros(value.shape[1]), link)


def _behind(trees: TreeEnsemble, scalers: list[Any], d: int, dtype: Any) -> TreeEnsemble:
    """Thresholds moved before the scalers: halfway between the two stored values that each of them parts.

    Found by bisection through the scalers themselves, so that their rounding is not guessed.
    """
    at = np.flatnonzero(trees.feature >= 0)
    low, high = np.full(len(at), LOWEST - 1), np.full(len(at), HIGHEST)  # low goes left; above high goes right
    while (low < high).any():
        middle = (low + high + 1) // 2
        below = np.empty(len(at), dtype=bool)
        for s in range(0, len(at), 1024):
            part = slice(s, s + 1024)
            x = np.repeat(middle[part, None].astype(np.float64), d, axis=1)
            for scaler in scalers:
                x = scaler.transform(x)
            mine = x[np.arange(len(x)), trees.feature[at[part]]].astype(dtype)
            below[part] = mine <= trees.threshold[at[part]]
        low, high = np.where(below, middle, low), np.where(below, high, middle - 1)
    threshold = trees.threshold.copy()
    threshold[at] = low + 0.5
    return replace(trees, threshold=threshold)


# --- comparison ------------------------------------------------------------------------------------------------------


def _agrees(
    made: Structure, decision: Decision, scores: Callable[[NDArray[np.float64]], NDArray[np.float64]], d: int
) -> bool:
    """Whether margins are the same on random stored values and, for trees, on both sides of their thresholds."""
    rng = generator("structure")
    n = ROWS if d <= WIDE else ROWS // 8
    tops = np.repeat([15.0, 255.0, 4095.0], n // 3)
    x = np.rint(rng.random((n, d)) * tops[:, None])
    if isinstance(made, TreeEnsemble):
        nodes = np.flatnonzero(made.feature >= 0)
        if nodes.size:
            some = rng.choice(nodes, (n, min(8, d)))
            side = rng.integers(0, 2, some.shape)
            edge = np.clip(np.floor(made.threshold[some]) + side, LOWEST, HIGHEST)
            x[np.arange(n)[:, None], made.feature[some]] = edge
    mine, theirs = (np.asarray(decision.margins(z)) for z in (made.scores(x), scores(x)))
    if mine.shape != theirs.shape or not np.isfinite(mine).all() or not np.isfinite(theirs).all():
        return False
    clear = np.abs(theirs) >= SATURATED
    near = np.abs(mine - theirs) <= AGREES * np.maximum(1.0, np.abs(theirs))
    return bool(np.where(clear, np.sign(mine) == np.sign(theirs), near).all())
