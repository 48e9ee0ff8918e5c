"""ONNX files: the runtime's scores, gradients by a copy in torch that agrees, and what is refused."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nocere.core.batch import Batch
from nocere.core.case import Case
from nocere.core.decision import OneLogit, Softmax
from nocere.core.errors import TargetError
from nocere.targets.card import load_target
from nocere.targets.onnx import onnx_target
from nocere.targets.preprocess import ImageInput
from nocere.targets.torch import TorchTarget

onnx = pytest.importorskip("onnx", reason="needs onnx")
pytest.importorskip("onnxruntime", reason="needs onnxruntime")
LABELS = ("a", "b")


class Block(nn.Module):
    """Convolution with padding, batch norm, two poolings, concatenation, a skip: what image classifiers are made of."""

    def __init__(self, columns: int = 2) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.b = nn.Conv2d(8, 8, 3, padding=1, groups=2, bias=False)
        self.head = nn.Linear(16, columns)

    def forward(self, x: Any) -> Any:
        x = nn.functional.silu(self.norm(self.a(x)))
        x = x + nn.functional.gelu(self.b(x))
        low, high = nn.functional.avg_pool2d(x, 2, padding=1, count_include_pad=False), nn.functional.max_pool2d(x, 2)
        x = torch.cat([low.mean((2, 3)), high.amax((2, 3))], 1)
        return self.head(nn.functional.layer_norm(x, (16,)))


def net(columns: int = 2) -> nn.Module:
    torch.manual_seed(3)
    made = Block(columns)
    with torch.no_grad():
        made.norm.running_mean.uniform_(-0.2, 0.2)
        made.norm.running_var.uniform_(0.5, 2)
    return made.eval()


def export(module: nn.Module, path: Path, *, rows: int | None = None) -> Path:
    """Written by torch's older exporter, which needs no onnxscript."""
    axes = None if rows else {"x": {0: "n"}, "scores": {0: "n"}}
    x = torch.rand(rows or 2, 3, 16, 16)
    torch.onnx.export(
        module, (x,), str(path), dynamo=False, input_names=["x"], output_names=["scores"], dynamic_axes=axes
    )
    return path


def rows(n: int, side: int = 16) -> Batch:
    x = np.random.default_rng(0).integers(0, 256, (n, 3, side, side)).astype(np.uint8)
    return Batch(torch.from_numpy(x.astype(np.float32)), tuple(Case(str(i), r) for i, r in enumerate(x)))


@pytest.fixture(autouse=True)
def quiet() -> Any:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        yield


@pytest.mark.parametrize("fixed", [None, 1, 3])
def test_scores_and_gradients_are_those_of_the_module(tmp_path: Path, fixed: int | None) -> None:
    decision, input_ = Softmax(LABELS), ImageInput(3, (16, 16), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    target: Any = onnx_target(export(net(), tmp_path / "m.onnx", rows=fixed), decision, input_)
    plain = TorchTarget(net(), decision, input_)
    np.testing.assert_allclose(target.scores(rows(7)), plain.scores(rows(7)), atol=1e-5)
    weight = torch.tensor([[1.0, -0.5]]).expand(7, 2)
    if fixed:
        return  # a graph of a fixed number of rows may have it in its reshapes; scores are what is promised
    assert target.access == {"labels", "scores", "gradients"} and target.gradients_why == ""
    (z, back), (_, want) = target.vjp(rows(7)), plain.vjp(rows(7))
    np.testing.assert_allclose(z, plain.scores(rows(7)), atol=1e-5)
    g = want(weight)
    torch.testing.assert_close(back(weight), g, rtol=1e-3, atol=1e-4 * float(g.abs().max()))
    again = pickle.loads(pickle.dumps(target))
    np.testing.assert_array_equal(again.scores(rows(3)), target.scores(rows(3)))
    assert again.fingerprint == target.fingerprint


def test_the_newer_exporter_and_weights_in_a_file_beside_it(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="needs onnxscript")
    n = torch.export.Dim("n")
    x = torch.rand(2, 3, 16, 16)
    torch.onnx.export(net(), (x,), str(tmp_path / "m.onnx"), dynamo=True, dynamic_shapes=({0: n},), verbose=False)
    proto = onnx.load(tmp_path / "m.onnx")
    onnx.save(proto, tmp_path / "split.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    one: Any = onnx_target(tmp_path / "m.onnx", Softmax(LABELS))
    two: Any = onnx_target(tmp_path / "split.onnx", Softmax(LABELS))
    assert "gradients" in one.access and "gradients" in two.access, (one.gradients_why, two.gradients_why)
    np.testing.assert_allclose(one.scores(rows(5)), TorchTarget(net(), Softmax(LABELS)).scores(rows(5)), rtol=1e-4)
    np.testing.assert_array_equal(one.scores(rows(5)), two.scores(rows(5)))
    weights = (tmp_path / "w.bin").read_bytes()
    (tmp_path / "w.bin").write_bytes(weights[4:8] + weights[4:])
    assert onnx_target(tmp_path / "split.onnx", Softmax(LABELS)).fingerprint != two.fingerprint


def test_a_graph_without_a_torch_form_stays_a_black_box(tmp_path: Path) -> None:
    h = onnx.helper
    graph = h.make_graph(
        [
            h.make_node("GlobalLpPool", ["x"], ["p"], p=3),
            h.make_node("Flatten", ["p"], ["scores"]),
        ],
        "g",
        [h.make_tensor_value_info("x", 1, ["n", 3, 16, 16])],
        [h.make_tensor_value_info("scores", 1, ["n", 3])],
    )
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 18)]), tmp_path / "m.onnx")
    target: Any = onnx_target(tmp_path / "m.onnx", Softmax(("a", "b", "c")))
    assert target.access == {"labels", "scores"}
    assert target.gradients_why == "its operator GlobalLpPool has no torch form here"
    want = (rows(4).x.double() ** 3).sum((2, 3)) ** (1 / 3)
    np.testing.assert_allclose(target.scores(rows(4)), want, rtol=1e-5)


def test_a_copy_with_other_scores_lends_no_gradients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nocere.targets import onnx_torch

    monkeypatch.setitem(onnx_torch.PLAIN, "Sigmoid", torch.tanh)
    target: Any = onnx_target(export(net(), tmp_path / "m.onnx"), Softmax(LABELS))
    assert "gradients" not in target.access
    assert "gives other scores" in target.gradients_why


CARD = """
[target]
kind = "onnx"
weights = "m.onnx"
{more}
[decision]
kind = "one_logit"
labels = ["a", "b"]
"""


def test_bad_files_shapes_and_cards_are_one_sentence_each(tmp_path: Path) -> None:
    export(net(1), tmp_path / "m.onnx")
    (tmp_path / "card.toml").write_text(CARD.format(more=""))
    target: Any = load_target(tmp_path / "card.toml")
    np.testing.assert_allclose(target.scores(rows(3)), TorchTarget(net(1), OneLogit(LABELS)).scores(rows(3)), rtol=1e-4)
    with pytest.raises(TargetError, match=r"takes input of shape 3 x 16 x 16 .* got 3 x 20 x 20"):
        target.scores(rows(2, 20))
    with pytest.raises(TargetError, match=r"shape \(2, 1\) for 2 rows, but its decision Softmax reads 2"):
        onnx_target(tmp_path / "m.onnx", Softmax(LABELS)).scores(rows(2))  # type: ignore[union-attr]
    (tmp_path / "card.toml").write_text(CARD.format(more='output = "logits"'))
    with pytest.raises(TargetError, match="has the outputs scores, and no 'logits'"):
        load_target(tmp_path / "card.toml")
    (tmp_path / "card.toml").write_text(CARD.format(more="threads = 3"))
    with pytest.raises(TargetError, match="has no 'threads'"):
        load_target(tmp_path / "card.toml")
    (tmp_path / "card.toml").write_text(CARD.format(more="output = 3"))
    with pytest.raises(TargetError, match="output = 3 is of the wrong kind"):
        load_target(tmp_path / "card.toml")
    (tmp_path / "m.onnx").write_bytes(b"nothing")
    (tmp_path / "card.toml").write_text(CARD.format(more=""))
    with pytest.raises(TargetError, match="is not a valid ONNX file"):
        load_target(tmp_path / "card.toml")
