"""Anti-rig: phantom classes differ only in the documented features; nuisances carry no label."""

from __future__ import annotations

import numpy as np
import pytest

from nocere.cases.phantoms import dermoscopy as derm
from nocere.core.ranking import auroc

N = 600


@pytest.fixture(scope="module")
def samples() -> list[derm.Sample]:
    return [derm.draw(11, i, 48) for i in range(N)]


def _auc(table: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:  # type: ignore[type-arg]
    """Cross-validated AUROC of a boosted-tree classifier on a table, with its interval."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import cross_val_predict

    model = HistGradientBoostingClassifier(max_iter=60, random_state=0)
    p = cross_val_predict(model, table, labels, cv=5, method="predict_proba")[:, 1]
    e = auroc(p, labels, [str(i) for i in range(len(labels))])
    return e.value, e.interval.low, e.interval.high


def test_documented_features_tell_the_classes_apart_and_nuisances_do_not(samples: list[derm.Sample]) -> None:
    labels = np.array([s.label for s in samples])
    features = np.array([list(s.features.values()) for s in samples])
    nuisances = np.array([list(s.nuisances.values()) for s in samples])
    assert _auc(features, labels)[1] > 0.9
    value, low, high = _auc(nuisances, labels)
    assert low < 0.5 < high or abs(value - 0.5) < 0.05, (value, low, high)


def test_the_surroundings_of_the_lesion_carry_no_label(samples: list[derm.Sample]) -> None:
    """Pixels well outside of every lesion (the corners) must not tell the classes apart: no hidden pattern."""
    labels = np.array([s.label for s in samples])
    corners = []
    for s in samples:
        x = s.image.astype(float)
        blocks = [x[:, :8, :8], x[:, :8, -8:], x[:, -8:, :8], x[:, -8:, -8:]]
        corners.append([v for b in blocks for v in (*b.mean((1, 2)), *b.std((1, 2)))])
    value, low, high = _auc(np.array(corners), labels)
    assert low < 0.5 < high or abs(value - 0.5) < 0.06, (value, low, high)


def test_every_feature_and_nuisance_is_documented(samples: list[derm.Sample]) -> None:
    for described, drawn in ((derm.FEATURES, samples[0].features), (derm.NUISANCES, samples[0].nuisances)):
        assert set(described) == set(drawn)
        for name, about in described.items():
            values = [(s.features | s.nuisances)[name] for s in samples]
            assert about.low - 1e-6 <= min(values) and max(values) <= about.high + 1e-6, name
            assert about.meaning


def test_the_photograph_cannot_move_a_label() -> None:
    """Lesion, scene, readers and noise are drawn from separate streams: size and scene leave votes unchanged."""
    for i in range(20):
        small, large = derm.draw(3, i, 48), derm.draw(3, i, 96)
        assert small.votes == large.votes and small.features == large.features


def test_borderline_cases_exist_and_classes_are_balanced(samples: list[derm.Sample]) -> None:
    malignant = np.mean([s.label for s in samples])
    assert 0.42 < malignant < 0.58
    close = np.mean([max(s.votes) <= 4 for s in samples])
    assert 0.05 < close < 0.25
    assert all(s.label == int(s.votes[1] > s.votes[0]) for s in samples)
