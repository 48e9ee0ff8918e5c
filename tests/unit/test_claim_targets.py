"""Models on claims: encoder, boosters with their own comparisons, and errors of one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.coded import DECISION, LABELS, coded, encoder, fitted, scores, target

from nocere.cases.claim import Claim, Diagnosis, Line
from nocere.core.decision import OneLogit, Softmax
from nocere.core.errors import TargetError
from nocere.core.registry import get
from nocere.targets import boosters
from nocere.targets.boosters import booster_of, scorer, trees_of
from nocere.targets.claims.encoder import Encoder
from nocere.targets.claims.target import ClaimTarget, claim_target
from nocere.targets.structure import TreeEnsemble


def numbers(n: int, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    x = np.hstack([rng.integers(0, 2, (n, 12)), rng.integers(0, 9, (n, 4)), rng.integers(0, 40, (n, 4)) / 3.0])
    z = x[:, 0] + x[:, 1] * x[:, 2] - x[:, 3] + x[:, 12] / 4 + x[:, 16] / 8 + rng.normal(size=n)
    return x.astype(np.float64), z


def makes(k: int = 2) -> dict[str, Any]:
    """Boosters of several makes, on two or three classes."""
    import lightgbm
    import xgboost

    x, z = numbers(1500)
    y = np.digitize(z, np.quantile(z, np.arange(1, k) / k))
    light: dict[str, Any] = {"num_leaves": 12, "verbose": -1, "num_threads": 1, "seed": 0}
    light |= {"objective": "binary"} if k == 2 else {"objective": "multiclass", "num_class": k}
    extreme: dict[str, Any] = {"max_depth": 4, "nthread": 1}
    extreme |= {"objective": "binary:logistic"} if k == 2 else {"objective": "multi:softprob", "num_class": k}
    sampled = {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}
    data = lightgbm.Dataset
    return {
        "lightgbm": lightgbm.train(light, data(x, y), 30),
        "lightgbm dart": lightgbm.train({**light, "boosting": "dart"}, data(x, y), 20),
        "lightgbm rf": lightgbm.train({**light, **sampled}, data(x, y), 15),
        "xgboost": xgboost.train(extreme, xgboost.DMatrix(x, y), 30),
        "xgboost forest": xgboost.train(
            {**extreme, "num_parallel_tree": 3, "subsample": 0.5}, xgboost.DMatrix(x, y), 5
        ),
    }


def edges(trees: TreeEnsemble, n: int, seed: int = 0) -> Any:
    """Random rows whose values lie at thresholds, and one double beside them."""
    rng = np.random.default_rng(seed)
    x, _ = numbers(n, seed + 1)
    for row in x:
        for node in rng.choice(np.flatnonzero(trees.feature >= 0), 6):
            cut = trees.threshold[node]
            row[trees.feature[node]] = rng.choice(
                [cut, np.nextafter(cut, np.inf), np.nextafter(cut, -np.inf), cut + 0.5]
            )
    return x


@pytest.mark.parametrize("k", [2, 3])
def test_trees_of_boosters_answer_as_the_boosters_do(k: int) -> None:
    decision: Any = OneLogit(LABELS) if k == 2 else Softmax(("a", "b", "c"))
    for name, booster in makes(k).items():
        ask = scorer(booster)
        made = trees_of(booster, decision, ask)
        assert made is not None, name
        x = np.vstack([numbers(300, 5)[0], edges(made, 500)])
        near = 1e-12 if name.startswith("lightgbm") else 2e-5
        np.testing.assert_allclose(made.outputs(x), ask(x), atol=near, err_msg=name)
        # Leaf by leaf, where the booster tells: a wrong side of a threshold is not hidden by rounding.
        if name == "lightgbm":
            theirs = booster.predict(x, pred_leaf=True)
            leaf_numbers = np.zeros(len(made.feature), dtype=np.int64)
            for a, b in zip(made.roots, [*made.roots[1:], len(made.feature)], strict=True):
                leaf_numbers[a:b] = np.arange(b - a) - (b - a) // 2
            np.testing.assert_array_equal(leaf_numbers[made.leaves(x)], theirs)
        if name == "xgboost":
            import xgboost

            theirs = booster.predict(xgboost.DMatrix(x), pred_leaf=True).astype(np.int64)
            np.testing.assert_array_equal(made.leaves(x) - made.roots, theirs.reshape(len(x), -1))


def test_thresholds_of_single_precision_are_rounded_as_xgboost_rounds() -> None:
    rng = np.random.default_rng(1)
    cut = np.concatenate([rng.normal(size=200), [0.5, 1.5, 3.0, 1e-3]]).astype(np.float32)
    low = boosters._below(cut)
    assert (low.astype(np.float32) < cut).all()
    assert (np.nextafter(low, np.inf).astype(np.float32) >= cut).all()


def test_a_wrong_comparison_loses_its_structure(monkeypatch: pytest.MonkeyPatch) -> None:
    booster = makes()["xgboost"]
    monkeypatch.setattr(boosters, "_below", lambda cut: cut.astype(np.float64))  # <= where XGBoost has <
    assert trees_of(booster, OneLogit(LABELS), scorer(booster)) is None


def test_kinds_of_trees_that_are_not_known_have_no_structure() -> None:
    import lightgbm
    import xgboost

    x, z = numbers(600)
    y = (z > np.median(z)).astype(int)
    plain = {"objective": "binary", "num_leaves": 7, "verbose": -1, "num_threads": 1}
    whole = np.floor(x)
    for booster in (
        lightgbm.train({**plain, "linear_tree": True}, lightgbm.Dataset(x, y), 5),
        lightgbm.train({**plain, "zero_as_missing": True}, lightgbm.Dataset(x, y), 5),
        lightgbm.train(plain, lightgbm.Dataset(whole, y, categorical_feature=[12, 13]), 20),
        xgboost.train({"objective": "binary:logistic", "booster": "gblinear"}, xgboost.DMatrix(x, y), 5),
    ):
        assert trees_of(booster, OneLogit(LABELS), scorer(booster)) is None


def test_wrappers_that_stopped_early_answer_by_their_best_round() -> None:
    import lightgbm
    import xgboost

    x, z = numbers(900)
    y = (z > np.median(z)).astype(int)
    flipped = np.where(np.random.default_rng(0).random(300) < 0.45, 1 - y[600:], y[600:])
    one = xgboost.XGBClassifier(n_estimators=60, early_stopping_rounds=3, nthread=1)
    one.fit(x[:600], y[:600], eval_set=[(x[600:], flipped)], verbose=False)
    other = lightgbm.LGBMClassifier(n_estimators=60, verbose=-1, num_threads=1)
    stop = lightgbm.early_stopping(3, verbose=False)
    other.fit(x[:600], y[:600], eval_X=x[600:], eval_y=flipped, callbacks=[stop])
    for model in (one, other):
        booster = booster_of(model)
        p = model.predict_proba(x)[:, 1]
        np.testing.assert_allclose(1 / (1 + np.exp(-scorer(booster)(x)[:, 0])), p, atol=1e-6)
        made = trees_of(booster, OneLogit(LABELS), scorer(booster))
        assert made is not None and len(made.roots) < 60


@pytest.mark.parametrize("make", ["lightgbm", "xgboost", "boosted", "forest", "logistic", "scorecard"])
def test_structure_and_target_give_the_same_scores(make: str) -> None:
    model = target(make, "counts")
    claims = [c.x for c in coded(60, 4, lines=True)]
    rows = model.encoder.rows(claims)
    np.testing.assert_allclose(model.structure.form.scores(rows), scores(model, claims), atol=1e-5)
    assert "structure" in model.access and model.state() == model.state()
    again = claim_target(fitted(make, model.encoder), model.encoder, DECISION)
    assert again.fingerprint == model.fingerprint


@pytest.mark.parametrize("make", ["lightgbm", "xgboost", "forest", "scorecard"])
def test_targets_survive_being_sent_to_another_process(make: str) -> None:
    """As audits do; whoever compares states must see no change."""
    import pickle

    model = target(make, "codes")
    again = pickle.loads(pickle.dumps(model))
    claims = [c.x for c in coded(20, 4)]
    np.testing.assert_array_equal(scores(again, claims), scores(model, claims))
    assert again.state() == model.state() and again.fingerprint == model.fingerprint
    assert pickle.loads(pickle.dumps(again)).state() == model.state()


def test_nets_and_functions_on_claims_answer() -> None:
    import torch

    enc = encoder("codes")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(enc.width, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    claims = [c.x for c in coded(70, 4)]
    model = claim_target(net, enc, DECISION)
    whole = scores(model, claims)
    # No row depends on which others are asked with it.
    np.testing.assert_array_equal(whole[33:34], scores(model, claims[33:34]))
    np.testing.assert_array_equal(whole[:40], scores(model, claims[:40]))
    assert "structure" not in model.access
    rules = claim_target(lambda cs: np.array([len(c.codes) - 2.5 for c in cs]), None, DECISION, outputs="logits")
    np.testing.assert_array_equal(scores(rules, claims)[:, 0], [len(c.codes) - 2.5 for c in claims])
    assert get("target", "claims").make is claim_target


def test_an_encoder_says_what_is_there() -> None:
    line = Line("J1100", units=2.5, minutes=31, charge=12.25)
    claim = Claim(
        (Diagnosis("E11.9"), Diagnosis("E11.22"), Diagnosis("I10")), ("0SR90JZ",), (line, line), age=71, sex="F", days=3
    )  # fmt: skip
    names = (
        "code=E11.9", "category=E11", "n:category=E11", "principal=E11.9", "principal=I10", "principal_category=E11",
        "class=sugar", "n:class=sugar", "class=I10", "procedure=0SR90JZ", "line=J1100", "n:line=J1100", "minutes",
        "units", "units=J1100", "minutes=J1100", "diagnoses", "lines", "procedures", "age", "days", "charge", "sex=F",
        "sex=M", "setting=inpatient", "discharge=01",
    )  # fmt: skip
    enc = Encoder(names, (("E11.9", "sugar"), ("E11.22", "sugar")))
    row = dict(zip(names, enc.rows([claim])[0].tolist(), strict=True))
    assert row == {
        "code=E11.9": 1, "category=E11": 1, "n:category=E11": 2, "principal=E11.9": 1, "principal=I10": 0,
        "principal_category=E11": 1, "class=sugar": 1, "n:class=sugar": 2, "class=I10": 1, "procedure=0SR90JZ": 1,
        "line=J1100": 1, "n:line=J1100": 2, "minutes": 62, "units": 5, "units=J1100": 5, "minutes=J1100": 62,
        "diagnoses": 3, "lines": 2, "procedures": 1, "age": 71, "days": 3, "charge": 0, "sex=F": 1, "sex=M": 0,
        "setting=inpatient": 1, "discharge=01": 0,
    }  # fmt: skip
    assert Encoder.from_json(enc.to_json()) == enc
    learned = Encoder.learn([c.x for c in coded(200, 0)], ("code", "principal_category", "sex"), least=20)
    assert "sex=F" in learned.features and "diagnoses" in learned.features
    assert all(f.split("=")[0] in ("code", "principal_category", "sex") for f in learned.features[:-3])


@pytest.mark.parametrize(
    ("features", "said"),
    [
        (("colour=red",), "knows no feature 'colour=red'"),
        (("n:age",), "knows no feature 'n:age'"),
        (("code=",), "knows no feature 'code='"),
        (("age", "age"), "the feature 'age' twice"),
    ],
)
def test_features_that_nobody_knows_are_refused(features: tuple[str, ...], said: str) -> None:
    with pytest.raises(TargetError, match=said):
        Encoder(features)


def test_a_model_that_wants_other_features_is_refused() -> None:
    import lightgbm
    import pandas as pd

    enc = encoder("codes")
    small = Encoder(enc.features[:-1])
    for make in ("lightgbm", "xgboost", "logistic", "scorecard"):
        model = fitted(make, enc)
        with pytest.raises(TargetError, match=f"wants {enc.width} features; the encoder makes {small.width}"):
            ClaimTarget(model, small, DECISION)
    rows = enc.rows([c.x for c in coded(200, 0)])
    table = pd.DataFrame(rows, columns=list(enc.features))
    about = {"objective": "binary", "verbose": -1, "num_threads": 1, "min_data_in_leaf": 5}
    named = lightgbm.train(about, lightgbm.Dataset(table, (rows[:, 0] > 0).astype(int)), 3)
    assert ClaimTarget(named, enc, DECISION).structure is not None
    other = Encoder(("code=Z00.00", *enc.features[1:]))
    with pytest.raises(TargetError, match=r"wants features that the encoder does not make: code=D"):
        ClaimTarget(named, other, DECISION)
    with pytest.raises(TargetError, match="in another order"):
        ClaimTarget(named, Encoder(enc.features[::-1]), DECISION)


def test_what_cannot_be_asked_is_refused_in_one_sentence() -> None:
    import lightgbm

    with pytest.raises(TargetError, match="does not know how to ask a dict"):
        claim_target({}, encoder("codes"), DECISION)
    with pytest.raises(TargetError, match="must be a function of a list of claims"):
        claim_target(3, None, DECISION)
    with pytest.raises(TargetError, match="is not fitted"):
        claim_target(lightgbm.LGBMClassifier(), encoder("codes"), DECISION)
    with pytest.raises(TargetError, match="takes claims, not str"):
        scores(target("scorecard", "codes"), ["E11.9"])  # type: ignore[list-item]
    with pytest.raises(TargetError, match="learns no feature of kind 'age'"):
        Encoder.learn([c.x for c in coded(3, 0)], ("age",))
