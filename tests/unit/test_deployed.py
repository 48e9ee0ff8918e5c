"""MONAI bundles, classical models on features, image classifiers of transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nocere.core.batch import Batch
from nocere.core.case import Case
from nocere.core.decision import OneLogit, Softmax
from nocere.core.errors import TargetError
from nocere.targets.card import load_target
from nocere.targets.features import FeaturesTarget
from nocere.targets.preprocess import ImageInput
from nocere.targets.torch import TorchTarget

LABELS = ("a", "b")
NETWORK = {
    "_target_": "ResNet",
    "block": "basic",
    "layers": [1, 1, 1, 1],
    "block_inplanes": [4, 4, 8, 8],
    "spatial_dims": 2,
    "n_input_channels": "@channels",
    "num_classes": 2,
}
CARD = '[target]\nkind = "{kind}"\n{more}\n{input}\n[decision]\nkind = "softmax"\nlabels = ["a", "b"]\n'


def batch(n: int, channels: int = 1, side: int = 32) -> Batch:
    x = np.random.default_rng(0).integers(0, 256, (n, channels, side, side)).astype(np.uint8)
    return Batch(torch.from_numpy(x.astype(np.float32)), tuple(Case(str(i), r) for i, r in enumerate(x)))


def resnet() -> Any:
    nets = pytest.importorskip("monai.networks.nets", reason="needs MONAI")
    torch.manual_seed(0)
    return nets.ResNet("basic", (1, 1, 1, 1), (4, 4, 8, 8), spatial_dims=2, n_input_channels=1, num_classes=2).eval()


def bundle(folder: Path, net: Any, network: Any = NETWORK) -> Path:
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    config = {"channels": 1, "network_def": network, "preprocessing": {"_target_": "$import os"}}
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    data = {"network_data_format": {"inputs": {"image": {"num_channels": 1}}}}
    (folder / "configs" / "metadata.json").write_text(json.dumps(data))
    torch.save({"model": net.state_dict()}, folder / "models" / "model.pt")
    return folder


def test_a_bundle_gives_its_networks_scores_and_gradients(tmp_path: Path) -> None:
    net = resnet()
    bundle(tmp_path / "bundle", net)
    card = tmp_path / "card.toml"
    card.write_text(CARD.format(kind="monai", more='weights = "bundle"', input="[input]\nchannels = 1"))
    target: Any = load_target(card)
    plain = TorchTarget(net, Softmax(LABELS), ImageInput(1))
    np.testing.assert_allclose(target.scores(batch(3)), plain.scores(batch(3)), atol=1e-6)
    assert "gradients" in target.access
    turned = batch(3).x.transpose(-1, -2).contiguous()
    card.write_text(
        CARD.format(kind="monai", more='weights = "bundle"\ntransposed = true', input="[input]\nchannels = 1")
    )
    want = plain.scores(Batch(turned, batch(3).like))
    np.testing.assert_allclose(load_target(card).scores(batch(3)), want, atol=1e-5)  # type: ignore[attr-defined]
    card.write_text(CARD.format(kind="monai", more='weights = "bundle"', input="[input]\nchannels = 3"))
    with pytest.raises(TargetError, match=r"takes 1 channel\(s\); \[input\] declares 3"):
        load_target(card)


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ({**NETWORK, "num_classes": "$__import__('os').system('touch hacked')"}, "which is code"),
        ({**NETWORK, "_target_": "os.system"}, "no network of MONAI"),
        ({**NETWORK, "n_input_channels": "@absent"}, "refers to '@absent', which is not there"),
        ({**NETWORK, "blocks": 3}, "ResNet cannot be made"),
        ({**NETWORK, "num_classes": 5}, "holds no state dict that fits network_def"),
        ({**NETWORK, "num_classes": "@network_def"}, "refers to itself"),
    ],
)
def test_bundles_that_are_refused(tmp_path: Path, network: Any, said: str) -> None:
    bundle(tmp_path / "bundle", resnet(), network)
    (tmp_path / "card.toml").write_text(CARD.format(kind="monai", more='weights = "bundle"', input=""))
    with pytest.raises(TargetError, match=said):
        load_target(tmp_path / "card.toml")


def test_expressions_run_where_the_bundle_is_trusted(tmp_path: Path) -> None:
    net = resnet()
    bundle(tmp_path / "bundle", net, {**NETWORK, "num_classes": "$1 + 1"})
    (tmp_path / "card.toml").write_text(CARD.format(kind="monai", more='weights = "bundle"', input=""))
    target: Any = load_target(tmp_path / "card.toml", trust=True)
    np.testing.assert_allclose(target.scores(batch(2)), TorchTarget(net, Softmax(LABELS)).scores(batch(2)), atol=1e-5)


def moments(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    flat = x.reshape(len(x), -1).astype(np.float64)
    return np.stack([flat.mean(1), flat.std(1), (flat > 200).mean(1)], 1)


def fitted(kind: str) -> tuple[Any, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    rng = np.random.default_rng(1)
    x = np.clip(rng.normal(rng.uniform(60, 190, (200, 1, 1, 1)), 30, (200, 1, 8, 8)), 0, 255).round().astype(np.float32)
    y = (x.mean((1, 2, 3)) + rng.normal(size=200) * 5 > 125).astype(int)
    if kind == "sklearn":
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(20, random_state=0).fit(moments(x), y), x, y
    if kind == "lightgbm":
        lightgbm = pytest.importorskip("lightgbm", reason="needs LightGBM")
        return lightgbm.LGBMClassifier(n_estimators=10, verbose=-1, n_jobs=1).fit(moments(x), y), x, y
    xgboost = pytest.importorskip("xgboost", reason="needs XGBoost")
    return xgboost.XGBClassifier(n_estimators=10, n_jobs=1).fit(moments(x), y), x, y


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize("kind", ["sklearn", "lightgbm", "xgboost"])
def test_models_on_features_give_their_own_probabilities(tmp_path: Path, kind: str) -> None:
    model, x, _ = fitted(kind)
    rows = Batch(torch.from_numpy(x), tuple(Case(str(i), r) for i, r in enumerate(x)))
    target = FeaturesTarget(moments, model, OneLogit(LABELS, 0.3))
    p = np.clip(model.predict_proba(moments(x))[:, 1], 1e-12, 1 - 1e-12)
    np.testing.assert_allclose(1 / (1 + np.exp(-target.scores(rows)[:, 0])), p, atol=1e-6)
    (tmp_path / "features.py").write_text(
        "import numpy as np\ndef moments(x):\n    flat = x.reshape(len(x), -1).astype(np.float64)\n"
        "    return np.stack([flat.mean(1), flat.std(1), (flat > 200).mean(1)], 1)\n"
    )
    file = {"sklearn": "m.joblib", "lightgbm": "m.txt", "xgboost": "m.ubj"}[kind]
    if kind == "sklearn":
        import joblib

        joblib.dump(model, tmp_path / file)
    else:
        (model.booster_ if kind == "lightgbm" else model.get_booster()).save_model(tmp_path / file)
    more = f'weights = "{file}"\nfactory = "features.py:moments"'
    text = CARD.format(kind="features", more=more, input="").replace('"softmax"', '"one_logit"')
    (tmp_path / "card.toml").write_text(text)
    loaded: Any = load_target(tmp_path / "card.toml", trust=kind == "sklearn")
    np.testing.assert_allclose(loaded.scores(rows), target.scores(rows), atol=1e-9)
    (tmp_path / "features.py").write_text((tmp_path / "features.py").read_text() + "# changed\n")
    assert load_target(tmp_path / "card.toml", trust=kind == "sklearn").fingerprint != loaded.fingerprint
    with pytest.raises(TargetError, match="was fitted on 3 features; the function gives 2"):
        FeaturesTarget(lambda x: moments(x)[:, :2], model, OneLogit(LABELS)).scores(rows)
    with pytest.raises(TargetError, match=r"have the shape \(3,\) for 200 rows"):
        FeaturesTarget(lambda x: moments(x)[0], model, OneLogit(LABELS)).scores(rows)
    (tmp_path / file).write_bytes(b"nothing")
    with pytest.raises(TargetError, match=r"is not a model of|cannot be opened"):
        load_target(tmp_path / "card.toml", trust=True)


def test_an_image_classifier_of_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="needs transformers (extra text)")
    torch.manual_seed(0)
    config = transformers.ResNetConfig(
        num_channels=3,
        embedding_size=8,
        hidden_sizes=[8, 8],
        depths=[1, 1],
        layer_type="basic",
        id2label={0: "a", 1: "b"},
    )
    model = transformers.ResNetForImageClassification(config).eval()
    model.save_pretrained(tmp_path / "hf")
    about = {
        "size": {"height": 32, "width": 32},
        "image_mean": [0.5] * 3,
        "image_std": [0.25] * 3,
        "rescale_factor": 1 / 255,
    }
    (tmp_path / "hf" / "preprocessor_config.json").write_text(json.dumps(about))
    (tmp_path / "card.toml").write_text(CARD.format(kind="hf-image", more='weights = "hf"', input=""))
    target: Any = load_target(tmp_path / "card.toml")
    with torch.inference_mode():
        want = model(pixel_values=(batch(3, 3).x / 255 - 0.5) / 0.25).logits.numpy()
    np.testing.assert_allclose(target.scores(batch(3, 3)), want, atol=1e-5)
    assert "gradients" in target.access
    text = (tmp_path / "card.toml").read_text()
    (tmp_path / "card.toml").write_text(text.replace('["a", "b"]', '["b", "a"]'))
    with pytest.raises(TargetError, match="labels are a, b; the decision's are b, a"):
        load_target(tmp_path / "card.toml")
    (tmp_path / "card.toml").write_text(text)
    (tmp_path / "hf" / "preprocessor_config.json").write_text(json.dumps({**about, "do_center_crop": True}))
    with pytest.raises(TargetError, match="crops, or does not resize"):
        load_target(tmp_path / "card.toml")
