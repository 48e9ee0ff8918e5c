"""The explanation search on real images: benign is explained, an attack then a codec is not. Skipped without the data."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nocere.provenance.investigate.explain import explain

DATA = Path(__file__).parents[3] / "shared" / "data"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"the real data sets are not at {DATA}"),
]


def some(name: str, n: int) -> list[np.ndarray]:
    with (DATA / name / "labels.csv").open() as f:
        rows = [r["file"] for r in csv.DictReader(f) if r["split"] == "test"]
    return [np.asarray(Image.open(DATA / name / file)) for file in rows[:: len(rows) // n][:n]]


def coded(image: np.ndarray, kind: str, **options: object) -> np.ndarray:
    held = io.BytesIO()
    Image.fromarray(image).save(held, kind, **options)
    return np.asarray(Image.open(io.BytesIO(held.getvalue())))


@pytest.mark.parametrize("name", ["derm", "cxr"])
def test_benign_is_explained_and_noise_under_a_codec_is_not(name: str) -> None:
    rng = np.random.default_rng(0)
    for image in some(name, 2):
        rows, columns = image.shape[:2]
        smaller = np.asarray(Image.fromarray(image).resize((columns // 2, rows // 2), Image.Resampling.LANCZOS))
        for suspect, transform in (
            (coded(image, "JPEG", quality=75), "jpeg"),
            (coded(smaller, "JPEG", quality=90), "resize then jpeg"),
            (coded(image, "JPEG2000", quality_mode="rates", quality_layers=[15]), "jpeg2000"),
            (np.ascontiguousarray(np.rot90(image)), "turn"),
        ):
            found = explain(image, suspect, bits=8)
            assert found.explained and found.transform == transform, str(found)
        noisy = np.clip(image.astype(int) + rng.choice([-1, 1], image.shape), 0, 255).astype(np.uint8)
        assert not explain(image, coded(noisy, "JPEG", quality=50), bits=8).explained
