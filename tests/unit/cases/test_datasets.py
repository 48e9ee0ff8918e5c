"""Folders with a manifest and MedMNIST-layout files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nocere.cases.datasets.folder import folder
from nocere.cases.datasets.medmnist import medmnist
from nocere.core.errors import DataError


def test_columns_votes_patients_sites_and_subgroups(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, mode in (("a.png", "RGB"), ("b.jpg", "RGB"), ("c.png", "L")):
        shape = (9, 7) if mode == "L" else (9, 7, 3)
        Image.fromarray(rng.integers(0, 256, shape).astype(np.uint8)).save(tmp_path / name)
    (tmp_path / "m.csv").write_text(
        "file,votes:benign,votes:malignant,patient_id,site,split,sex\n"
        "a.png,5,2,p1,east,test,f\nb.jpg,1,6,p1,west,test,m\nc.png,3,3,p2,west,train,m\n"
    )
    columns = {"path": "file", "patient": "patient_id"}
    cases = folder(tmp_path / "m.csv", split="test", columns=columns, subgroups=["sex"])
    assert [r.truth.label for r in cases.refs] == ["benign", "malignant"]
    assert [r.group for r in cases.refs] == ["p1", "p1"]
    assert cases.refs[0].attrs == {"sex": "f", "site": "east"}
    assert cases.refs[0].truth.borderline is True
    assert cases.load("a.png").x.shape == (3, 9, 7)
    np.testing.assert_array_equal(cases.load("b.jpg").x, np.asarray(Image.open(tmp_path / "b.jpg")).transpose(2, 0, 1))
    assert not cases.load("a.png").x.flags.writeable
    whole = folder(tmp_path / "m.csv", columns=columns)
    assert whole.load("c.png").x.shape == (1, 9, 7)
    assert whole.refs[2].truth.label is None
    assert cases.phantom is False


def test_a_file_that_changes_under_the_audit_is_found(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "m.csv").write_text("path,label\na.png,x\n")
    cases = folder(tmp_path / "m.csv")
    Image.fromarray(np.ones((4, 4), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="has changed since it was listed"):
        cases.load("a.png")


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_other_image_modes_are_refused(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (4, 4)).save(tmp_path / "a.png")
    (tmp_path / "m.csv").write_text("path,label\na.png,x\n")
    with pytest.raises(DataError, match="neither 8-bit grey or colour"):
        folder(tmp_path / "m.csv").load("a.png")


def test_medmnist_layout(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (5, 8, 8)).astype(np.uint8)
    np.savez(tmp_path / "g.npz", test_images=grey, test_labels=np.array([[0], [1], [1], [0], [1]]))
    cases = medmnist(tmp_path / "g.npz", labels={"0": "normal", "1": "pneumonia"})
    assert [r.truth.label for r in cases.refs] == ["normal", "pneumonia", "pneumonia", "normal", "pneumonia"]
    np.testing.assert_array_equal(cases.load(cases.refs[2].id).x[0], grey[2])
    colour = rng.integers(0, 256, (2, 8, 8, 3)).astype(np.uint8)
    np.savez(tmp_path / "c.npz", test_images=colour, test_labels=np.array([[1, 0], [1, 1]]))
    multi = medmnist(tmp_path / "c.npz", labels={"0": "a", "1": "b"})
    assert [sorted(r.truth.labels) for r in multi.refs] == [["a"], ["a", "b"]]
    np.testing.assert_array_equal(multi.load(multi.refs[1].id).x, colour[1].transpose(2, 0, 1))
    for bad, words in (
        ({"labels": {"0": "normal"}}, "not one of"),
        ({"labels": {"0": "n", "1": "p"}, "split": "val"}, "no array 'val_images'"),
    ):
        with pytest.raises(DataError, match=words):
            medmnist(tmp_path / "g.npz", **bad)
    (tmp_path / "x.npz").write_bytes(b"nothing")
    with pytest.raises(DataError, match="Cannot read"):
        medmnist(tmp_path / "x.npz", labels={"0": "a"})
