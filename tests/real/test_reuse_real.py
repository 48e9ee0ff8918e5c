"""The re-use search on real images. Skipped without the data or OpenCV."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nocere.provenance.investigate.reuse import Index

pytest.importorskip("cv2", reason="OpenCV is not installed")

DATA = Path(__file__).parents[3] / "shared" / "data"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"the real data sets are not at {DATA}"),
]


def test_moles_are_found_again_turned_mirrored_cropped_and_re_encoded(tmp_path: Path) -> None:
    index = Index()
    paths = sorted((DATA / "derm" / "images").glob("*.jpg"))[:60]
    for path in paths:
        index.add(path.stem, path.stem, np.asarray(Image.open(path)))
    assert list(index.duplicates()) == [] and index.unsearchable == []
    for k, path in enumerate(paths[:10]):
        turned = Image.open(path).rotate(24 * k, Image.Resampling.BICUBIC).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        turned.crop((30, 40, 187, 197)).save(tmp_path / "a.jpg", quality=60)
        assert [m.id for m in index.search(np.asarray(Image.open(tmp_path / "a.jpg")))] == [path.stem]


def test_true_duplicates_in_a_public_set_are_found() -> None:
    """IDRiD holds the same photograph under two numbers, also across its own train and test split."""
    known = [("train/IDRiD_279", "train/IDRiD_079"), ("test/IDRiD_064", "train/IDRiD_118")]
    index = Index()
    for path in sorted((DATA / "fundus" / "train").glob("*.jpg"))[:119]:
        index.add(f"train/{path.stem}", path.stem, np.asarray(Image.open(path)))
    for later, earlier in known:
        found = index.search(np.asarray(Image.open(DATA / "fundus" / f"{later}.jpg")))
        assert [m.id for m in found] == [earlier] and found[0].score > 0.95
