"""One picture under two patients is found again, turned, mirrored, cropped and coded; other pictures are not."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("cv2", reason="opencv-python-headless is not installed")

from nocere.cases.phantoms.sets import dermoscopy
from nocere.provenance.investigate.reuse.index import Index

PICTURES = {c.id: np.ascontiguousarray(np.moveaxis(c.x, 0, -1)) for c in dermoscopy(n=12, size=224)}


def jpeg(x: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    out = io.BytesIO()
    Image.fromarray(x).save(out, "JPEG", quality=70)
    return np.asarray(Image.open(io.BytesIO(out.getvalue())))


CHANGES = {
    "same": lambda x: x,
    "mirrored": lambda x: np.ascontiguousarray(x[:, ::-1]),
    "quarter turn": lambda x: np.ascontiguousarray(np.rot90(x)),
    "turned by 20 degrees": lambda x: np.asarray(Image.fromarray(x).rotate(20, Image.Resampling.BICUBIC)),
    "crop to 80 %": lambda x: np.ascontiguousarray(x[22:202, 22:202]),
    "jpeg": jpeg,
}


@pytest.fixture(scope="module")
def index() -> Index:
    made = Index()
    for name, picture in PICTURES.items():
        made.add(name, f"patient of {name}", picture)
    return made


@pytest.mark.parametrize("how", CHANGES)
def test_a_picture_is_found_again(index: Index, how: str) -> None:
    found = 0
    for name, picture in list(PICTURES.items())[:6]:
        matches = index.search(CHANGES[how](picture))
        assert all(m.id == name for m in matches), (name, matches)
        found += bool(matches)
    assert found >= 5


def test_other_pictures_do_not_match(index: Index) -> None:
    for case in dermoscopy(n=6, seed=99, size=224):
        assert index.search(np.ascontiguousarray(np.moveaxis(case.x, 0, -1))) == []


def test_an_index_file_is_private_and_comes_back(index: Index, tmp_path: Path) -> None:
    index.save(tmp_path / "i.npz")
    assert (tmp_path / "i.npz").stat().st_mode & 0o077 == 0
    again = Index.load(tmp_path / "i.npz")
    name, picture = next(iter(PICTURES.items()))
    assert [m.id for m in again.search(picture)] == [name]
