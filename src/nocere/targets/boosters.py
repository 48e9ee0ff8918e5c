"""Boosters of LightGBM and XGBoost: their raw scores, and their trees with exactly the comparisons that they make.

LightGBM compares double values by `<=`. XGBoost rounds values to single precision and compares by `<`; its thresholds
are moved to the largest double that still goes left, so that one `<=` serves both. Sums are in double precision here,
as in LightGBM; XGBoost adds in single precision, so its own scores differ by some 1e-6. What is read is compared with
the booster's own answers, and a model built in another way than expected has no structure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.core.decision import Decision
from nocere.core.errors import TargetError
from nocere.core.rng import generator
from nocere.targets.structure import TreeEnsemble

ROWS = 128
AGREES = 1e-5  # relative to the sum of absolute leaf values that a row can meet
CATEGORICAL, MISSING_ZERO = 1, 1 << 2

Scorer = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def booster_of(model: Any) -> Any | None:
    """The booster behind a LightGBM or XGBoost model, or None where it is of another make.

    Raises:
        TargetError: a wrapper that was not fitted.
    """
    made, name = type(model).__module__.split(".")[0], type(model).__name__
    if made not in ("lightgbm", "xgboost"):
        return None
    if name == "Booster":
        return model
    try:
        booster = model.booster_ if made == "lightgbm" else model.get_booster()
    except Exception as e:
        raise TargetError(f"This {name} is not fitted.", "Fit it first.") from e
    # A wrapper of XGBoost that stopped early predicts by its best round; its booster has all of them.
    best = booster.attr("best_iteration") if made == "xgboost" else None
    return booster if best is None else booster[: int(best) + 1]


def is_lightgbm(booster: Any) -> bool:
    """Whether a booster is LightGBM's."""
    return type(booster).__module__.split(".")[0] == "lightgbm"


def text_of(booster: Any) -> bytes:
    """What a booster is saved as: all that decides its answers."""
    if is_lightgbm(booster):
        return str(booster.model_to_string()).encode()  # up to the best iteration, as predictions are
    return bytes(booster.save_raw("json"))


def names_of(booster: Any) -> list[str]:
    """Names of the features that a booster wants."""
    if is_lightgbm(booster):
        return [str(n) for n in booster.feature_name()]
    return [str(n) for n in booster.feature_names or (f"f{i}" for i in range(booster.num_features()))]


@dataclass(frozen=True, slots=True)
class RawScores:
    """Raw scores [n, k] of rows [n, d] by a booster itself, in one thread.

    Args:
        booster: of LightGBM or XGBoost.
        slope: what LightGBM's sums are multiplied by.
    """

    booster: Any
    slope: float = 1.0

    def __call__(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        if is_lightgbm(self.booster):
            raw = self.booster.predict(x, raw_score=True, num_threads=1, validate_features=False)
        else:
            raw = self.booster.inplace_predict(x, predict_type="margin", validate_features=False)
        return np.asarray(raw, dtype=np.float64).reshape(len(x), -1) * self.slope


def scorer(booster: Any) -> RawScores:
    """What asks a booster."""
    return RawScores(booster, _slope(text_of(booster).decode()) if is_lightgbm(booster) else 1.0)


def _slope(text: str) -> float:
    """What turns LightGBM's sum of leaves into a logit: the sigmoid of its link, and in a random forest the mean."""
    head = text.split("\nTree=", 1)[0].splitlines()
    objective = next((line for line in head if line.startswith("objective=binary")), "")
    sigmoid = next((float(w.split(":")[1]) for w in objective.split() if w.startswith("sigmoid:")), 1.0)
    k = next((int(line.split("=")[1]) for line in head if line.startswith("num_tree_per_iteration=")), 1)
    return sigmoid * (k / text.count("\nTree=") if "average_output" in head else 1.0)


def trees_of(booster: Any, decision: Decision, scores: Scorer) -> TreeEnsemble | None:
    """The trees of a booster, or None where they are of a kind that is not known here, or do not agree with its scores.

    Args:
        booster: fitted.
        decision: that reads the scores; one raw score may feed a pair of columns, as [0, z].
        scores: raw scores of rows [n, d], to compare with.
    """
    try:
        made = _lightgbm(text_of(booster).decode()) if is_lightgbm(booster) else _xgboost(text_of(booster))
        if made is None:
            return None
        if not is_lightgbm(booster):
            x = np.zeros((1, len(names_of(booster))))
            made = replace(made, base=scores(x)[0] - made.outputs(x)[0])
        if not _agrees(made, scores, len(names_of(booster))):
            return None
    except (KeyError, ValueError, IndexError):
        return None
    if made.value.shape[1] == 1 and decision.columns == 2 and decision.exclusive:
        value = np.hstack([np.zeros_like(made.value), made.value])
        made = replace(made, value=value, base=np.concatenate([[0.0], made.base]))
    return made if made.value.shape[1] == decision.columns else None


# --- LightGBM --------------------------------------------------------------------------------------------------------


def _lightgbm(text: str) -> TreeEnsemble | None:
    head, *blocks = text.split("\nTree=")
    about = dict(line.split("=", 1) for line in head.splitlines() if "=" in line)
    blocks[-1:] = [b.split("\nend of trees", 1)[0] for b in blocks[-1:]]
    k = int(about.get("num_tree_per_iteration", "1"))
    slope = _slope(text)
    parts = []
    for t, block in enumerate(blocks):
        fields = dict(line.split("=", 1) for line in block.splitlines()[1:] if "=" in line)
        if fields.get("is_linear", "0") != "0":
            return None
        leaf = _floats(fields["leaf_value"])
        inner = len(leaf) - 1
        kind = _ints(fields["decision_type"]) if inner else np.zeros(0, dtype=np.int64)
        if ((kind & CATEGORICAL) | (kind & MISSING_ZERO)).any():
            return None
        left, right = (
            (_ints(fields[n]) if inner else np.zeros(0, dtype=np.int64)) for n in ("left_child", "right_child")
        )
        value = np.zeros((inner + len(leaf), k))
        value[inner:, t % k] = slope * leaf
        none = np.full(len(leaf), -1)
        parts.append(
            (
                np.concatenate([_ints(fields["split_feature"]) if inner else none[:0], none]),
                np.concatenate([_floats(fields["threshold"]) if inner else leaf[:0], np.zeros(len(leaf))]),
                np.concatenate([np.where(left < 0, inner + ~left, left), none]),
                np.concatenate([np.where(right < 0, inner + ~right, right), none]),
                value,
            )
        )
    return _joined(parts, k)


def _floats(text: str) -> NDArray[np.float64]:
    return np.array([float(v) for v in text.split()])


def _ints(text: str) -> NDArray[np.int64]:
    return np.array([int(v) for v in text.split()], dtype=np.int64)


# --- XGBoost ---------------------------------------------------------------------------------------------------------


def _xgboost(raw: bytes) -> TreeEnsemble | None:
    learner = json.loads(raw)["learner"]
    booster = learner["gradient_booster"]
    if booster["name"] != "gbtree":
        return None
    model = booster["model"]
    k = max(1, int(learner["learner_model_param"]["num_class"]))
    parts = []
    for tree, group in zip(model["trees"], model["tree_info"], strict=True):
        if any(tree.get("split_type", ())) or int(tree["tree_param"]["size_leaf_vector"]) > 1:
            return None
        left, right = np.array(tree["left_children"]), np.array(tree["right_children"])
        inner = left >= 0
        cut = np.array(tree["split_conditions"], dtype=np.float32)
        value = np.zeros((len(left), k))
        value[:, group] = np.where(inner, 0.0, cut.astype(np.float64))
        feature = np.where(inner, np.array(tree["split_indices"]), -1)
        parts.append((feature, np.where(inner, _below(cut), 0.0), left, right, value))
    return _joined(parts, k)


def _below(cut: NDArray[np.float32]) -> NDArray[np.float64]:
    """The largest double that, rounded to single precision, is less than `cut`.

    Halfway to the number before it; a double that lies there rounds to the even one of the two.
    """
    before = np.nextafter(cut, np.float32(-np.inf))
    half = (before.astype(np.float64) + cut.astype(np.float64)) / 2.0
    return np.where(half.astype(np.float32) < cut, half, np.nextafter(half, -np.inf))


# --- both ------------------------------------------------------------------------------------------------------------


def _joined(parts: Sequence[tuple[NDArray[Any], ...]], k: int) -> TreeEnsemble:
    """Trees (feature, threshold, left, right, value) as one list of nodes."""
    roots = np.cumsum([0, *(len(p[0]) for p in parts[:-1])])
    feature = np.concatenate([p[0] for p in parts]).astype(np.int64)
    left, right = (
        np.concatenate([np.where(p[0] >= 0, p[i] + r, 0) for p, r in zip(parts, roots, strict=True)]) for i in (2, 3)
    )
    threshold, value = (np.concatenate([p[i] for p in parts]) for i in (1, 4))
    return TreeEnsemble(feature, threshold, left, right, value, roots, np.zeros(k))


def _agrees(made: TreeEnsemble, scores: Scorer, d: int) -> bool:
    """Whether scores are the same on random whole values and at, below and above thresholds."""
    rng = generator("booster")
    x = np.rint(rng.random((ROWS, d)) * np.repeat([1.0, 3.0, 100.0, 5000.0], ROWS // 4)[:, None])
    nodes = np.flatnonzero(made.feature >= 0)
    if nodes.size:
        some = rng.choice(nodes, (ROWS, min(8, d)))
        cut = made.threshold[some]
        side = rng.integers(0, 3, some.shape)
        edge = np.where(side == 0, cut, np.where(side == 1, np.nextafter(cut, np.inf), np.floor(cut)))
        x[np.arange(ROWS)[:, None], made.feature[some]] = edge
    mine, theirs = made.outputs(x), scores(x)
    size = np.abs(made.value[made.leaves(x)]).sum(axis=1) + np.abs(made.base)
    return mine.shape == theirs.shape and bool((np.abs(mine - theirs) <= AGREES * (size + 1e-3)).all())
