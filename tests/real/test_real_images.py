"""Real images: loading, patient grouping, and an audit end to end. Skipped where the data sets are absent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nocere.audit.api import probe
from nocere.cases.datasets.folder import folder
from nocere.cases.datasets.medmnist import medmnist
from nocere.cases.image import ImageCodec
from nocere.core.decision import OneLogit
from nocere.targets.card import load_target
from nocere.targets.reference.train import Recipe, train

DATA = Path(__file__).parents[3] / "shared" / "data"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"the real data sets are not at {DATA}"),
]
CXR = {"columns": {"path": "file", "patient": "patient_id"}, "labels": {"0": "no finding", "1": "pneumonia"}}


def test_folders_load_with_their_patients() -> None:
    cases = folder(DATA / "cxr" / "labels.csv", split="test", **CXR)  # type: ignore[arg-type]
    assert len(cases) == 190
    assert len({r.group for r in cases.refs}) < len(cases)
    case = cases.load(cases.refs[0].id)
    assert case.x.shape == (1, 224, 224) and case.x.dtype == np.uint8
    derm = folder(
        DATA / "derm" / "labels.csv", split="test", columns={"path": "file", "patient": "lesion_id"}, subgroups=["sex"]
    )
    x, header = ImageCodec().decode(ImageCodec().encode(derm.load(derm.refs[0].id), derm.load(derm.refs[0].id).x))
    assert x.shape == (3, 224, 224) and header["channels"] == 3


def test_train_audit_and_replay_on_chest_x_rays(tmp_path: Path) -> None:
    """PneumoniaMNIST-layout images, 28 pixels: a minute from training to evidence."""
    npz = DATA / "cxr" / "pneumoniamnist28_balanced.npz"
    labels = {"0": "normal", "1": "pneumonia"}
    sets = {s: medmnist(npz, labels=labels, split=s) for s in ("train", "val")}
    test = medmnist(npz, labels=labels, split="test")
    recipe = Recipe(arch="tiny_resnet", size=28, epochs=3)
    about = train(sets["train"], sets["val"], ("normal", "pneumonia"), tmp_path / "model", recipe)
    assert about["validation"]["auroc"] > 0.9
    target = load_target(tmp_path / "model")
    assert isinstance(target.decision, OneLogit)
    cell = {
        "name": "noise",
        "threat": "image.linf",
        "radii": [2, 8],
        "limit": 128,
        "attacks": [{"name": "image.pgd", "steps": 10}],
    }
    bundle = probe(target, test, tmp_path / "audit", cells=[cell])
    m = {(x.key, x.cell, x.radius): x for x in bundle.measures if x.group == "all"}
    clean, attacked = m["accuracy", "", None], m["accuracy", "noise", 8]
    assert clean.value is not None and attacked.value is not None
    assert clean.value > 0.7 and attacked.value < clean.value
    survived = m["yield", "noise", 8]
    assert survived.value is not None and survived.value >= 0.99

    from nocere.audit.replay import replay

    again = replay(bundle, target, ImageCodec())
    assert again.failed == () and again.replayed > 0
