"""Simple models, cross-validated by patient: what anybody could predict from a sight alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nocere.core.errors import UsageError

Kind = Literal["linear", "forest"]
KINDS: tuple[Kind, ...] = ("linear", "forest")
FOLDS = 5
TREES = 100


def folds_of(truth: NDArray[np.bool_], groups: Sequence[str], seed: int) -> list[NDArray[np.intp]]:
    """Rows of each fold; a patient lies in one fold, and every fold and its rest hold both classes.

    Raises:
        UsageError: too few patients of a class.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    names = np.asarray(groups)
    fewest = min(len(set(names[truth])), len(set(names[~truth])))
    if fewest < 2 * FOLDS:
        raise UsageError(
            f"Shortcuts need {2 * FOLDS} patients of each class; the rarer class has {fewest}.", "Give more cases."
        )
    split = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    return [test for _, test in split.split(np.zeros(len(truth)), truth, names)]


def predicted(
    features: NDArray[np.float64], truth: NDArray[np.bool_], folds: Sequence[NDArray[np.intp]], kind: Kind, seed: int
) -> NDArray[np.float64]:
    """Probability of every row from a model that saw none of its fold; classes weigh alike, so folds can be pooled."""
    out = np.empty(len(truth))
    for test in folds:
        rest = np.setdiff1d(np.arange(len(truth)), test)
        model = _model(kind, seed).fit(features[rest], truth[rest])
        out[test] = _score(model, features[test])
    return out


def _model(kind: Kind, seed: int) -> Any:
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if kind == "linear":
        # Firmly regularised: some sights have more columns than there are cases.
        return make_pipeline(StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=2000))
    return ExtraTreesClassifier(TREES, min_samples_leaf=3, class_weight="balanced", random_state=seed)


def _score(model: Any, features: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(model.predict_proba(features)[:, 1], dtype=np.float64)
