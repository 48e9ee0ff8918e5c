"""Structure read off fitted estimators: the same scores as theirs, or none at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.structures import ENSEMBLES, LINEAR, TOP, TREES, estimators, pictured, table, target

from nocere.core.decision import OneLogit, Softmax
from nocere.targets.sklearn import SklearnTarget
from nocere.targets.structure import LinearForm, TreeEnsemble

RAW = (*LINEAR, "boosted", "boosted_scaled", "histogram")


def all_over(d: int) -> Any:
    """Stored values of training size and far beyond."""
    rng = np.random.default_rng(5)
    return np.concatenate([rng.integers(0, TOP + 1, (400, d)), rng.integers(0, 256, (100, d))])


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("name", RAW)
def test_sums_equal_the_estimators_own(name: str, classes: int) -> None:
    x, y = table(classes, 5, 3)
    model = estimators()[name].fit(x, y)
    labels = tuple(map(str, range(classes)))
    made: Any = SklearnTarget(model, Softmax(labels) if classes > 2 else OneLogit(("0", "1"))).structure
    raw = model.decision_function(all_over(5))
    np.testing.assert_allclose(made.scores(all_over(5)), raw.reshape(len(raw), -1), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("name", [*TREES, "forest", "extra"])
def test_shares_equal_the_estimators_own(name: str, classes: int) -> None:
    x, y = table(classes, 5, 3)
    model = estimators()[name].fit(x, y)
    made: Any = SklearnTarget(model, Softmax(tuple(map(str, range(classes))))).structure
    np.testing.assert_allclose(made.outputs(all_over(5)), model.predict_proba(all_over(5)), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["tree_scaled", "boosted_scaled"])
def test_thresholds_behind_a_scaler_part_the_same_whole_values(name: str) -> None:
    x, y = table(2, 2, 1)
    model = estimators()[name].fit(x, y)
    made: Any = SklearnTarget(model, OneLogit(("0", "1"))).structure
    every = np.stack(np.meshgrid(np.arange(40), np.arange(40)), axis=-1).reshape(-1, 2)
    p = 1.0 / (1.0 + np.exp(-made.scores(every)[:, 0]))
    np.testing.assert_allclose(p, np.clip(model.predict_proba(every)[:, 1], 1e-12, 1.0 - 1e-12), atol=1e-9)
    assert len(set(model.predict(every))) == 2


def test_access_says_whether_there_is_a_structure() -> None:
    from sklearn.ensemble import BaggingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, PolynomialFeatures

    assert isinstance(target("logistic", "softmax_4").structure, LinearForm)
    for name in (*TREES, *ENSEMBLES):
        made = target(name, "softmax_4")
        assert isinstance(made.structure, TreeEnsemble) and "structure" in made.access, name
    x, y = table(2, 3, 0)
    others = [
        GaussianNB(),
        BaggingClassifier(LogisticRegression(), 3),
        make_pipeline(PolynomialFeatures(2), LogisticRegression(max_iter=5000)),
        make_pipeline(MinMaxScaler(clip=True), LogisticRegression()),
    ]
    for model in others:
        none = SklearnTarget(model.fit(x, y), OneLogit(("0", "1")))
        assert none.structure is None and "structure" not in none.access, model


def test_a_structure_that_disagrees_is_not_offered() -> None:
    """A way of boosting whose probabilities are not those of its sums, and an estimator that overrides its scores."""
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    class Bent(LogisticRegression):
        def predict_proba(self, x: Any) -> Any:
            p = super().predict_proba(x)
            return np.where(np.asarray(x)[:, :1] > 9, p[:, ::-1], p)

    x, y = table(2, 3, 0)
    for model in (Bent(), GradientBoostingClassifier(loss="exponential", n_estimators=5)):
        made = SklearnTarget(model.fit(x, y), OneLogit(("0", "1")), source="bent")
        assert made.structure is None and "structure" not in made.access


def test_arrays_cannot_be_written() -> None:
    made: Any = target("forest", "one_logit").structure
    with pytest.raises(ValueError, match="read-only"):
        made.value[0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        target("logistic", "one_logit").structure.weight[0] = 1.0  # type: ignore[union-attr]


def test_plans_grant_structure_to_the_attacks_that_need_it() -> None:
    from nocere.audit.plan import Plan, resolve

    cases, model = pictured("tree", 6)
    tables = [
        {"name": "by-leaves", "threat": "image.linf", "radii": [1.0], "aim": "flip", "attacks": ["tree.leaf_box"]},
        {"name": "drawn", "threat": "image.linf", "radii": [1.0], "aim": "flip", "attacks": ["image.random_noise"]},
    ]
    spec = resolve(Plan.model_validate({"name": "p", "cell": tables}), model, cases)
    assert [("structure" in c.threat.access) for c in spec.cells] == [True, False]
