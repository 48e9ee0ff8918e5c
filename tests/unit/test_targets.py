"""Adapters: every head and file kind gives the margins that plain torch or scikit-learn gives."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.images import LABELS, Linear, heads, pictures

from nocere.core.batch import Batch
from nocere.core.decision import OneLogit, OneVsRest, Softmax
from nocere.core.errors import TargetError
from nocere.targets.callable import callable_target
from nocere.targets.card import load_target
from nocere.targets.preprocess import ImageInput
from nocere.targets.sklearn import SklearnTarget
from nocere.targets.torch import TorchTarget


def batch(x: np.ndarray[Any, Any]) -> Batch:
    return Batch(torch.from_numpy(x.astype(np.float32)), (None,) * len(x))  # type: ignore[arg-type]


@pytest.mark.parametrize("head", list(heads()))
def test_scores_and_gradients_of_every_head(head: str) -> None:
    decision, weight, bias = heads()[head]
    x = pictures(5)
    target = TorchTarget(Linear(weight, bias), decision)
    want = x.reshape(5, -1) @ weight.T + bias
    np.testing.assert_allclose(target.scores(batch(x)), want, atol=2e-3)
    scores, pullback = target.vjp(batch(x))
    g = pullback(torch.ones_like(scores)).numpy().reshape(5, -1)
    np.testing.assert_allclose(g, np.repeat(weight.sum(0)[None], 5, 0), rtol=1e-4, atol=1e-6)


def test_the_users_module_is_left_alone() -> None:
    module = Linear(*heads()["one_logit"][1:]).train()
    target = TorchTarget(module, OneLogit(LABELS))
    assert module.training and all(p.requires_grad for p in module.parameters())
    assert not target._module.training
    before = target.fingerprint
    with torch.no_grad():
        module.head.weight.add_(1)
    assert TorchTarget(module, OneLogit(LABELS)).fingerprint != before
    assert target.scores(batch(pictures(2))).shape == (2, 1)
    assert (
        TorchTarget(module, OneLogit(LABELS, 0.4)).fingerprint != TorchTarget(module, OneLogit(LABELS, 0.5)).fingerprint
    )


def test_preprocessing_equals_plain_torch() -> None:
    x = pictures(3)
    input_ = ImageInput(3, (8, 8), resize=True, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    got = input_(torch.from_numpy(x).float())
    want = torch.nn.functional.interpolate(torch.from_numpy(x).float(), (8, 8), mode="bilinear", antialias=True) / 255
    want = (want - torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)) / torch.tensor([0.5, 0.6, 0.7]).view(1, 3, 1, 1)
    torch.testing.assert_close(got, want)
    assert ImageInput.from_json(input_.to_json()) == input_
    grey = ImageInput(3)(torch.zeros(2, 1, 4, 4))
    assert grey.shape == (2, 3, 4, 4)


def test_wrong_head_and_wrong_outputs_are_said() -> None:
    decision, weight, bias = heads()["softmax"]
    with pytest.raises(TargetError, match=r"shape \(2, 4\) for 2 rows"):
        TorchTarget(Linear(weight, bias), OneLogit(LABELS)).scores(batch(pictures(2)))
    with pytest.raises(TargetError, match="declared to return probabilities"):
        TorchTarget(Linear(weight * 9, bias), decision, outputs="probabilities").scores(batch(pictures(2)))


def test_sklearn_agrees_with_its_own_decision_function() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = pictures(60)
    y = (x.reshape(60, -1).mean(1) > 127.5).astype(int)
    flat = x.reshape(60, -1)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(flat, y)
    one = SklearnTarget(model, OneLogit(LABELS, 0.5))
    np.testing.assert_allclose(one.scores(batch(x))[:, 0], model.decision_function(flat), rtol=1e-5, atol=1e-5)
    two = SklearnTarget(model, OneVsRest(LABELS, 2, 1, 0.5))
    m = two.decision.margins(two.scores(batch(x)))
    np.testing.assert_array_equal(m[:, 1] > 0, model.predict(flat) == 1)
    assert "gradients" not in one.access
    with pytest.raises(TargetError, match="neither predict_proba nor decision_function"):
        SklearnTarget(StandardScaler(), OneLogit(LABELS))


def test_callables_of_every_output() -> None:
    p = callable_target(lambda x: np.full(len(x), 0.9), OneLogit(LABELS, 0.5))
    np.testing.assert_allclose(p.scores(batch(pictures(3)))[:, 0], np.log(9))  # type: ignore[union-attr]
    labels = callable_target(lambda x: ["malignant"] * len(x), OneLogit(LABELS), outputs="labels")
    assert labels.labels(batch(pictures(2))).tolist() == [[False, True]] * 2  # type: ignore[union-attr]
    assert labels.access == frozenset({"labels"})
    with pytest.raises(TargetError, match="none of its labels"):
        callable_target(lambda x: ["melanoma"], OneLogit(LABELS), outputs="labels").labels(batch(pictures(1)))  # type: ignore[union-attr]
    with pytest.raises(TargetError, match="raised ZeroDivisionError"):
        callable_target(lambda x: 1 / 0, OneLogit(LABELS)).scores(batch(pictures(1)))  # type: ignore[union-attr]


CARD = '[target]\nkind = "{kind}"\nweights = "{file}"\n[decision]\nkind = "softmax"\nlabels = ["a", "b", "c", "d"]\n'


@pytest.mark.parametrize("kind", ["torchscript", "pt2"])
def test_exported_files_give_the_same_scores_and_gradients(tmp_path: Path, kind: str) -> None:
    decision, weight, bias = heads()["softmax"]
    module, x = Linear(weight, bias).eval(), pictures(4)
    rows = torch.from_numpy(x.astype(np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "torchscript":
            torch.jit.save(torch.jit.trace(module, rows), tmp_path / "m.bin")
        else:
            n = torch.export.Dim("n", min=1)
            torch.export.save(torch.export.export(module, (rows,), dynamic_shapes=({0: n},)), tmp_path / "m.pt2")
    file = "m.bin" if kind == "torchscript" else "m.pt2"
    (tmp_path / "card.toml").write_text(CARD.format(kind=kind, file=file))
    with warnings.catch_warnings():
        # torch's exported modules warn of torch's own internals when they are called.
        warnings.simplefilter("ignore")
        target: Any = load_target(tmp_path / "card.toml")
        plain = TorchTarget(module, Softmax(("a", "b", "c", "d")))
        np.testing.assert_allclose(target.scores(batch(x)), plain.scores(batch(x)), atol=1e-5)
        for t in (target, plain):
            scores, pullback = t.vjp(batch(x))
            g = pullback(torch.ones_like(scores))
            np.testing.assert_allclose(g[0].numpy().ravel(), weight.sum(0), rtol=1e-4, atol=1e-6)
    (tmp_path / file).write_bytes(b"nothing")
    with pytest.raises(TargetError, match="is not a"):
        load_target(tmp_path / "card.toml")
