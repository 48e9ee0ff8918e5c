"""The phantom payer learns from history alone, the same every time, and its line denies as many as history did."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from nocere.cases.phantoms.claims_policy import covered
from nocere.core.batch import Batch
from nocere.core.errors import PrerequisiteError, UsageError
from nocere.targets.claims import payer as p
from nocere.targets.claims.payer import Payer, auprc, fit, history, outcome, train_payer


@pytest.fixture(scope="module")
def payer() -> Payer:
    return train_payer(n=3000, trees=80)


def test_it_learns_and_what_it_learns_is_the_policy(payer: Payer) -> None:
    assert payer.trained_on == 3000 and payer.auroc.interval.low > 0.75
    assert payer.auprc.value > payer.base_rate + 0.2
    held = history(1500, 7, "val", "denial")
    scores = payer.target.row_scores(payer.target.encoder.rows([b.claim for b in held]))[:, 0]
    truth = outcome(held, "denial")
    assert payer.auroc.value == pytest.approx(roc_auc_score(truth, scores))
    assert payer.auprc.value == pytest.approx(average_precision_score(truth, scores))
    assert payer.base_rate == pytest.approx(truth.mean())
    # It never saw what the policy says, and comes closer to it than to the noisy decisions that it learnt from.
    policy = [not covered(b.treatment, b.facts) for b in held]
    assert roc_auc_score(policy, scores) > payer.auroc.value


def test_nothing_can_be_learnt_from_shuffled_decisions() -> None:
    train, held = history(1500, 7, "train", "denial"), history(750, 7, "val", "denial")
    encoder = p.Encoder.learn([b.claim for b in train], p.KINDS, least=20, sums=p.SUMS)
    shuffled = np.random.default_rng(0).permutation(outcome(train, "denial"))
    model = fit(encoder.rows([b.claim for b in train]), shuffled, "lightgbm", encoder, 40, 15, 7)
    scores = model.predict(encoder.rows([b.claim for b in held]), raw_score=True)
    assert abs(roc_auc_score(outcome(held, "denial"), scores) - 0.5) < 0.07


def test_its_line_denies_as_many_as_history_did(payer: Payer) -> None:
    held = [b.claim for b in history(1500, 7, "val", "denial")]
    margins = payer.target.decision.margins(payer.target.scores(Batch(held, (None,) * len(held))))  # type: ignore[arg-type]
    assert (margins[:, 1] > 0).mean() == pytest.approx(payer.base_rate, abs=0.02)
    assert payer.target.decision.labels == ("approve", "deny")


def test_the_same_seed_trains_the_same_model(payer: Payer) -> None:
    one, other = train_payer(n=1000, trees=15), train_payer(n=1000, trees=15)
    assert one.target.fingerprint == other.target.fingerprint != payer.target.fingerprint
    assert "structure" in one.target.access
    assert train_payer(n=1000, trees=15, seed=8).target.fingerprint != one.target.fingerprint


def test_it_sees_what_a_payer_sees(payer: Payer) -> None:
    kinds = {f.partition("=")[0] for f in payer.target.encoder.features}
    assert kinds <= {*p.KINDS, *p.SUMS}
    assert not any("provider" in f for f in payer.target.encoder.features)


def test_audits_and_the_linear_model() -> None:
    found = train_payer(n=4000, learns="audit", trees=30)
    assert found.target.decision.labels == ("pass", "review")
    assert found.auroc.value > 0.6 and 1500 < found.trained_on < 2500
    linear = train_payer(n=1000, model="logistic")
    assert linear.auroc.value > 0.6 and "structure" in linear.target.access


def test_average_precision_has_an_interval_over_patients() -> None:
    rng = np.random.default_rng(2)
    truth = np.repeat(rng.integers(0, 2, 100), 4)
    scores = truth + rng.normal(size=400)
    alone = auprc(scores, truth, [str(i) for i in range(400)])
    clustered = auprc(scores, truth, [str(i // 4) for i in range(400)])
    assert alone.value == clustered.value == pytest.approx(average_precision_score(truth, scores))
    assert clustered.interval.high - clustered.interval.low > alone.interval.high - alone.interval.low
    assert clustered.groups == 100


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="at least 1,000"):
        train_payer(n=10)
    real = builtins.__import__

    def none(name: str, *args: Any, **more: Any) -> Any:
        if name == "lightgbm":
            raise ModuleNotFoundError(name)
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", none)
    with pytest.raises(PrerequisiteError, match="nocere\\[claims\\]"):
        train_payer(n=1000)
