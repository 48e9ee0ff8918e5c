"""Small models with a known structure on images of a few stored values, where every point of a box can be listed."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from nocere.cases.image import array_case
from nocere.core.batch import Batch
from nocere.core.case import CaseSet, Truth
from nocere.core.decision import MultiLabel, OneLogit, OneVsRest, Softmax
from nocere.targets.sklearn import SklearnTarget
from tests.images import pictures

BITS = 4
TOP = (1 << BITS) - 1

DECISIONS: dict[str, tuple[Any, int]] = {
    "one_logit": (OneLogit(("0", "1"), 0.3), 2),
    "two_logit": (OneVsRest(("0", "1"), 2, 1, 0.6), 2),
    "one_vs_rest": (OneVsRest(("rest", "1"), 3, 1, 0.4), 3),
    "softmax_2": (Softmax(("0", "1")), 2),
    "softmax_4": (Softmax(("0", "1", "2", "3")), 4),
    "multi_label": (MultiLabel(("x", "y", "z"), (0.5, 0.3, 0.6)), 3),
}


def estimators() -> dict[str, Any]:
    from sklearn.ensemble import (
        ExtraTreesClassifier,
        GradientBoostingClassifier,
        HistGradientBoostingClassifier,
        RandomForestClassifier,
    )
    from sklearn.linear_model import LogisticRegression, SGDClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler
    from sklearn.svm import LinearSVC
    from sklearn.tree import DecisionTreeClassifier

    return {
        "logistic": LogisticRegression(max_iter=2000),
        "logistic_scaled": make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
        "svc_scaled": make_pipeline(MinMaxScaler(), LinearSVC()),
        "sgd": SGDClassifier(random_state=0),
        "tree": DecisionTreeClassifier(max_depth=5, min_samples_leaf=3, random_state=0),
        "tree_scaled": make_pipeline(StandardScaler(), DecisionTreeClassifier(max_depth=5, random_state=0)),
        "forest": RandomForestClassifier(7, max_depth=4, random_state=0),
        "extra": ExtraTreesClassifier(6, max_depth=4, random_state=0),
        "boosted": GradientBoostingClassifier(n_estimators=8, max_depth=2, random_state=0),
        "boosted_scaled": make_pipeline(
            MinMaxScaler(), GradientBoostingClassifier(n_estimators=8, max_depth=2, random_state=0)
        ),
        "histogram": HistGradientBoostingClassifier(max_iter=6, max_leaf_nodes=5, min_samples_leaf=5),
    }


LINEAR = ("logistic", "logistic_scaled", "svc_scaled", "sgd")
TREES = ("tree", "tree_scaled")
ENSEMBLES = ("forest", "extra", "boosted", "boosted_scaled", "histogram")


def table(classes: int, d: int, seed: int, n: int = 240) -> tuple[Any, Any]:
    """Stored values [n, d] in 0..15, and classes by noisy linear and product terms."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, TOP + 1, (n, d))
    unit = x / TOP - 0.5
    z = unit @ rng.normal(size=(d, classes)) * 2 + 3 * unit[:, :1] * unit[:, 1:2] * rng.normal(size=classes)
    return x, (z + 0.3 * rng.normal(size=z.shape)).argmax(1)


def target(name: str, decision: str, d: int = 4, seed: int = 0) -> SklearnTarget:
    """A fitted target; findings are one model for each."""
    made, classes = DECISIONS[decision]
    model = estimators()[name]
    if decision == "multi_label":
        from sklearn.multiclass import OneVsRestClassifier

        x, _ = table(2, d, seed)
        y = np.stack([table(2, d, seed + k)[1] for k in range(classes)], axis=1)
        if hasattr(model, "steps"):
            model.steps[-1] = ("findings", OneVsRestClassifier(model.steps[-1][1]))
        else:
            model = OneVsRestClassifier(model)
        return SklearnTarget(model.fit(x, y), made)
    x, y = table(classes, d, seed)
    return SklearnTarget(model.fit(x, y), made)


def judged_by_itself(model: Any, d: int, n: int, seed: int) -> CaseSet:
    """Cases whose truth is what the model says; some lie at the edge of what can be stored."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, TOP + 1, (n, 1, 1, d)).astype(np.uint8)
    x[::3] = np.where(rng.random(x[::3].shape) < 0.5, 0, TOP)
    margins = model.decision.margins(model.scores(Batch(x, (None,) * n)))  # type: ignore[arg-type]
    cases = []
    for i, m in enumerate(margins):
        labels = [label for label, v in zip(model.decision.labels, m, strict=True) if v > 0]
        if labels or not model.decision.exclusive:  # a tie of leaves asserts nothing
            cases.append(array_case(f"case/{i:03d}", x[i], Truth.of(*labels)))
    return CaseSet.of(cases)


def every_point(x: Any, radius: int) -> np.ndarray[Any, Any]:
    """All stored contents within the radius, [n, ...]."""
    flat = x.astype(int).ravel()
    axes = [range(max(v - radius, 0), min(v + radius, TOP) + 1) for v in flat]
    return np.array(list(itertools.product(*axes)), dtype=np.uint8).reshape(-1, *x.shape)


def brute_force(model: Any, case: Any, goal: Any, radius: int) -> float:
    """The largest goal margin that the target itself gives anywhere in the box."""
    clean = model.decision.margins(model.scores(Batch(case.x[None], (case,))))[0]
    lit = goal.bind(case, model.decision, clean)
    points = every_point(case.x, radius)
    margins = model.decision.margins(model.scores(Batch(points, (case,) * len(points))))
    return float(goal.margin(lit.take(np.zeros(len(points), dtype=int)), margins).max())


def pictured(kind: str, n: int) -> tuple[CaseSet, SklearnTarget]:
    """Pictures of the image world with a model of one kind of structure that was fitted to them."""
    x = pictures(60 + n)
    y = (x[:, 0].mean((1, 2)) > 127.5).astype(int).astype(str)
    model = SklearnTarget(estimators()[kind].fit(x[n:].reshape(60, -1), y[n:]), OneLogit(("0", "1")))
    return CaseSet.of([array_case(f"case/{i:03d}", x[i], Truth.of(y[i])) for i in range(n)]), model
