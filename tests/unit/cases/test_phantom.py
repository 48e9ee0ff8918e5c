"""Anti-rig: phantom classes differ only in the documented features; nuisances carry no label."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nocere.cases.phantoms import chest, dermoscopy, fundus
from nocere.core.ranking import auroc

N, SIZE = 600, 48
PHANTOMS = {"dermoscopy": dermoscopy, "chest": chest, "fundus": fundus}


def _corners() -> np.ndarray:  # type: ignore[type-arg]
    """Four regions [4, H, W]: the corners, which hardly a skin lesion and no lung reaches."""
    regions = np.zeros((4, SIZE, SIZE), bool)
    for region, rows, columns in zip(regions, (0, 0, 1, 1), (0, 1, 0, 1), strict=True):
        region[rows * (SIZE - 8) :, columns * (SIZE - 8) :][:8, :8] = True
    return regions


def _rim() -> np.ndarray:  # type: ignore[type-arg]
    """Quarters [4, H, W] of a ring in the periphery of the fundus: its corners are black, so they would tell little."""
    axis = (np.arange(SIZE) + 0.5) / SIZE * 2 - 1
    x, y = np.meshgrid(axis, axis)
    far = np.hypot(x, y)
    ring = (far > 0.84) & (far < 0.93)
    assert fundus.NUISANCES["field"].low >= 0.93 and fundus.LESIONS_WITHIN < 0.7
    return np.stack([ring & (a * x > 0) & (b * y > 0) for a in (1, -1) for b in (1, -1)])


SURROUNDINGS = {"dermoscopy": _corners(), "chest": _corners(), "fundus": _rim()}


@pytest.fixture(scope="module", params=PHANTOMS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def phantom(name: str) -> Any:
    return PHANTOMS[name]


@pytest.fixture(scope="module")
def samples(phantom: Any) -> list[Any]:
    return [phantom.draw(11, i, SIZE) for i in range(N)]


def _auc(table: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:  # type: ignore[type-arg]
    """Cross-validated AUROC of a boosted-tree classifier on a table, with its interval."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import cross_val_predict

    model = HistGradientBoostingClassifier(max_iter=60, random_state=0)
    p = cross_val_predict(model, table, labels, cv=5, method="predict_proba")[:, 1]
    e = auroc(p, labels, [str(i) for i in range(len(labels))])
    return e.value, e.interval.low, e.interval.high


def test_documented_features_tell_the_classes_apart_and_nuisances_do_not(samples: list[Any]) -> None:
    labels = np.array([s.label for s in samples])
    features = np.array([list(s.features.values()) for s in samples])
    nuisances = np.array([list(s.nuisances.values()) for s in samples])
    assert _auc(features, labels)[1] > 0.9
    value, low, high = _auc(nuisances, labels)
    assert low < 0.5 < high or abs(value - 0.5) < 0.05, (value, low, high)


def test_the_surroundings_of_the_lesion_carry_no_label(name: str, samples: list[Any]) -> None:
    """Pixels well outside of every lesion must not tell the classes apart: no hidden pattern."""
    labels = np.array([s.label for s in samples])
    touched = [bool(s.mask[SURROUNDINGS[name].any(0)].any()) for s in samples]
    assert np.mean(touched) < 0.02
    table = []
    for s in samples:
        blocks = [s.image[:, region].astype(float) for region in SURROUNDINGS[name]]
        table.append([v for b in blocks for v in (*b.mean(1), *b.std(1))])
    value, low, high = _auc(np.array(table), labels)
    assert low < 0.5 < high or abs(value - 0.5) < 0.06, (value, low, high)


def test_every_feature_and_nuisance_is_documented(phantom: Any, samples: list[Any]) -> None:
    for described, drawn in ((phantom.FEATURES, samples[0].features), (phantom.NUISANCES, samples[0].nuisances)):
        assert set(described) == set(drawn)
        for name, about in described.items():
            values = [(s.features | s.nuisances)[name] for s in samples]
            assert about.low - 1e-6 <= min(values) and max(values) <= about.high + 1e-6, name
            assert about.meaning


def test_the_photograph_cannot_move_a_label(phantom: Any) -> None:
    """Lesion, scene, readers and noise are drawn from separate streams: size and scene leave votes unchanged."""
    for i in range(20):
        small, large = phantom.draw(3, i, 48), phantom.draw(3, i, 96)
        assert small.votes == large.votes and small.features == large.features


def test_borderline_cases_exist_and_classes_are_balanced(phantom: Any, samples: list[Any]) -> None:
    diseased = np.mean([s.label for s in samples])
    assert 0.42 < diseased < 0.58
    close = np.mean([max(s.votes) <= phantom.READERS // 2 + 1 for s in samples])
    assert 0.05 < close < 0.25
    assert all(s.label == int(s.votes[1] > s.votes[0]) for s in samples)
