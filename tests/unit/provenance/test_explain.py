"""Benign transforms made by other code are explained by name; what is no benign transform is not."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from sklearn.datasets import load_sample_image

from nocere.core.errors import DataError, UsageError
from nocere.provenance.investigate.explain import Explanation, explain, residual
from nocere.provenance.investigate.explain_catalogue import Residual, Step, apply_steps

PHOTO = np.ascontiguousarray(load_sample_image("flower.jpg")[60:220, 180:380])  # 160 x 200
GREY = np.ascontiguousarray(np.asarray(Image.fromarray(PHOTO).convert("L")))


def saved(image: np.ndarray, kind: str, **options: object) -> np.ndarray:
    held = io.BytesIO()
    Image.fromarray(image).save(held, kind, **options)
    return np.asarray(Image.open(io.BytesIO(held.getvalue())))


def look_up(image: np.ndarray, f: Callable[[int], float]) -> np.ndarray:
    table = [int(min(255, max(0, f(v)))) for v in range(256)]
    return np.asarray(Image.fromarray(image).point(table * (image.ndim if image.ndim == 3 else 1)))


def small(image: np.ndarray, size: tuple[int, int], how: Image.Resampling) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize(size, how))


BENIGN: dict[str, tuple[str, Callable[[], np.ndarray]]] = {
    "nothing": ("identity", lambda: PHOTO.copy()),
    "upside down": ("turn", lambda: PHOTO[::-1]),
    "transposed": ("turn", lambda: PHOTO.transpose(1, 0, 2)),
    "crop": ("crop", lambda: PHOTO[13:140, 21:190]),
    "mirrored crop": ("turn then crop", lambda: PHOTO[:, ::-1][5:150, 40:200]),
    "pad": ("pad", lambda: np.pad(PHOTO, ((9, 20), (30, 1), (0, 0)), constant_values=7)),
    "half size": ("resize", lambda: small(PHOTO, (100, 80), Image.Resampling.LANCZOS)),
    "larger": ("resize", lambda: small(GREY, (300, 240), Image.Resampling.BICUBIC)),
    "down and up": (
        "resize then resize",
        lambda: small(small(PHOTO, (100, 80), Image.Resampling.BILINEAR), (200, 160), Image.Resampling.BILINEAR),
    ),
    "JPEG": ("jpeg", lambda: saved(PHOTO, "JPEG", quality=83, subsampling="4:2:0")),
    "JPEG 4:4:4": ("jpeg", lambda: saved(PHOTO, "JPEG", quality=41, subsampling="4:4:4")),
    "JPEG grey": ("jpeg", lambda: saved(GREY, "JPEG", quality=97)),
    "JPEG 2000": (
        "jpeg2000",
        lambda: saved(PHOTO, "JPEG2000", quality_mode="rates", quality_layers=[12], irreversible=True, mct=1),
    ),
    "JPEG 2000 reversible": ("jpeg2000", lambda: saved(GREY, "JPEG2000", quality_mode="rates", quality_layers=[23.7])),
    "rescale": ("affine", lambda: look_up(PHOTO, lambda v: round(1.13 * v - 7))),
    "brighter": ("affine", lambda: np.asarray(ImageEnhance.Brightness(Image.fromarray(PHOTO)).enhance(1.2))),
    "gamma": ("gamma", lambda: look_up(PHOTO, lambda v: round(255 * (v / 255) ** (1 / 1.4)))),
    "shrunk, JPEG": (
        "resize then jpeg",
        lambda: saved(small(PHOTO, (150, 120), Image.Resampling.HAMMING), "JPEG", quality=75),
    ),
    "crop, JPEG": ("crop then jpeg", lambda: saved(PHOTO[3:120, 7:180], "JPEG", quality=60)),
    "shrunk, JPEG 2000": (
        "resize then jpeg2000",
        lambda: saved(
            small(GREY, (150, 120), Image.Resampling.BICUBIC), "JPEG2000", quality_mode="rates", quality_layers=[9]
        ),
    ),
    "rescale, JPEG": (
        "affine then jpeg",
        lambda: saved(look_up(GREY, lambda v: round(0.9 * v + 12)), "JPEG", quality=80),
    ),
    "mirrored, rescale": ("turn then affine", lambda: look_up(PHOTO[:, ::-1].copy(), lambda v: round(0.8 * v + 5))),
}


@pytest.mark.parametrize("what", BENIGN)
def test_benign_is_explained_by_its_name_and_can_be_repeated(what: str) -> None:
    name, make = BENIGN[what]
    suspect = np.ascontiguousarray(make())
    original = GREY if suspect.ndim == 2 else PHOTO
    found = explain(original, suspect, bits=8)
    assert found.explained and found.transform == name, str(found)
    assert residual(apply_steps(original, 8, found.steps), suspect) == found.residual
    assert found.residual.within(found.tolerance)


def test_parameters_are_found() -> None:
    found = explain(PHOTO, saved(PHOTO, "JPEG", quality=83, subsampling="4:2:2"), bits=8)
    assert found.steps == (Step("jpeg", {"quality": 83, "subsampling": "4:2:2"}),)
    found = explain(PHOTO, np.ascontiguousarray(PHOTO[13:140, 21:190]), bits=8)
    assert found.steps == (Step("crop", {"top": 13, "left": 21, "rows": 127, "columns": 169}),)
    assert "crop (top 13, left 21" in str(found)


def test_window_burnt_in_by_pydicom() -> None:
    """12 bits to 8 through a window, as pydicom computes it."""
    pytest.importorskip("pydicom")
    from pydicom import Dataset
    from pydicom.pixels import apply_windowing

    deep = GREY.astype(np.uint16) * 16 + GREY[::-1] % 16
    d = Dataset()
    d.WindowCenter, d.WindowWidth, d.PhotometricInterpretation = 1500, 2200, "MONOCHROME2"
    d.BitsStored, d.PixelRepresentation = 12, 0
    suspect = np.rint(apply_windowing(deep, d) / 4095 * 255).astype(np.uint8)
    found = explain(deep, suspect, bits=12, suspect_bits=8)
    assert found.explained and found.transform == "window"
    assert dict(found.steps[0].parameters)["centre"] == 1500 and dict(found.steps[0].parameters)["width"] == 2200


def test_signed_ct_through_a_window_then_jpeg() -> None:
    pydicom = pytest.importorskip("pydicom")
    from pydicom.data import get_testdata_file

    original = pydicom.dcmread(get_testdata_file("CT_small.dcm")).pixel_array
    assert original.dtype == np.int16
    shown = np.rint(np.clip((original.astype(float) - (1100 - 0.5)) / (900 - 1) + 0.5, 0, 1) * 255).astype(np.uint8)
    found = explain(original, shown, bits=16, suspect_bits=8)
    assert found.explained and found.transform == "window", str(found)
    found = explain(original, saved(shown, "JPEG", quality=85), bits=16, suspect_bits=8)
    assert found.explained and found.transform == "window then jpeg", str(found)


@pytest.mark.parametrize("shift", [True, False])
def test_depth_reduction(shift: bool) -> None:
    deep = GREY.astype(np.uint16) * 16 + GREY[::-1] % 16
    suspect = (deep >> 4 if shift else np.rint(deep * (255 / 4095))).astype(np.uint8)
    found = explain(deep, suspect, bits=12, suspect_bits=8)
    assert found.explained and found.transform == "depth"


def test_twelve_bit_jpeg2000() -> None:
    utils = pytest.importorskip("openjpeg.utils")
    deep = GREY.astype(np.uint16) * 16 + GREY[::-1] % 16
    suspect = utils.decode(
        utils.encode_array(deep, bits_stored=12, photometric_interpretation=2, compression_ratios=[14])
    )
    found = explain(deep, suspect, bits=12)
    assert found.explained and found.transform == "jpeg2000", str(found)


def test_a_missing_codec_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openjpeg.utils", None)
    deep = GREY.astype(np.uint16) * 16
    suspect = deep.copy()
    suspect[50:60, 50:60] += 9
    found = explain(deep, suspect, bits=12)
    assert not found.explained
    assert len(found.not_tried) == 1 and "pylibjpeg-openjpeg" in found.not_tried[0]


@pytest.mark.skipif(shutil.which("dcmcjpeg") is None, reason="DCMTK is not installed")
@pytest.mark.parametrize("options", [["+sr"], []], ids=["range kept", "range stretched first"])
def test_jpeg_by_dcmtk(tmp_path: Path, options: list[str]) -> None:
    """DCMTK encodes and decodes with libjpeg 6b; by default it stretches the grey values before."""
    pydicom = pytest.importorskip("pydicom")
    from pydicom.data import get_testdata_file

    held = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    image = (GREY // 2 + 40).astype(np.uint8)
    held.Rows, held.Columns = image.shape
    held.BitsAllocated = held.BitsStored = 8
    held.HighBit, held.PixelRepresentation = 7, 0
    held.PixelData, held.Modality = image.tobytes(), "OT"
    for word in (
        "RescaleSlope",
        "RescaleIntercept",
        "PixelPaddingValue",
        "SmallestImagePixelValue",
        "LargestImagePixelValue",
    ):
        if word in held:
            delattr(held, word)
    held["PixelData"].VR = "OW"
    held.SOPClassUID = held.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    held.save_as(tmp_path / "a.dcm")
    subprocess.run(["dcmcjpeg", "+eb", "+q", "72", *options, tmp_path / "a.dcm", tmp_path / "b.dcm"], check=True)
    subprocess.run(["dcmdjpeg", tmp_path / "b.dcm", tmp_path / "c.dcm"], check=True)
    found = explain(image, pydicom.dcmread(tmp_path / "c.dcm").pixel_array, bits=8)
    assert found.explained and found.transform.endswith("jpeg"), str(found)
    assert found.steps[-1].parameters["quality"] == 72


NOT_BENIGN: dict[str, Callable[[], np.ndarray]] = {
    "blank": lambda: np.full_like(PHOTO, 90),
    "black": lambda: np.zeros_like(PHOTO),
    "negative": lambda: 255 - PHOTO,
    "another picture": lambda: np.ascontiguousarray(load_sample_image("china.jpg")[:160, :200]),
    "threshold": lambda: np.where(PHOTO > 120, 255, 0).astype(np.uint8),
    "crop to a third": lambda: np.ascontiguousarray(PHOTO[40:100, 50:120]),
    "thumbnail": lambda: small(PHOTO, (40, 32), Image.Resampling.BICUBIC),
    "ruined by JPEG": lambda: saved(PHOTO, "JPEG", quality=8),
    "one sample by one level": lambda: _one(PHOTO, 1),
    "one sample, then JPEG": lambda: saved(_one(PHOTO, 60), "JPEG", quality=90),
    "channels swapped": lambda: np.ascontiguousarray(PHOTO[..., ::-1]),
}


def _one(image: np.ndarray, step: int) -> np.ndarray:
    out = image.copy()
    out[80, 100, 1] = out[80, 100, 1] + step if out[80, 100, 1] < 128 else out[80, 100, 1] - step
    return out


@pytest.mark.parametrize("what", NOT_BENIGN)
def test_what_is_not_benign_is_not_explained(what: str) -> None:
    assert not explain(PHOTO, NOT_BENIGN[what](), bits=8).explained


def test_unexplained_says_the_closest_and_what_would_be_allowed() -> None:
    noisy = np.clip(PHOTO.astype(int) + np.random.default_rng(0).choice([-2, 2], PHOTO.shape), 0, 255).astype(np.uint8)
    found = explain(PHOTO, saved(noisy, "JPEG", quality=75), bits=8)
    assert not found.explained
    assert str(found).startswith("Unexplained. Closest: jpeg (quality 75") and "are allowed" in str(found)


def test_the_same_input_gives_the_same_answer_and_progress_is_told() -> None:
    suspect = saved(look_up(GREY, lambda v: round(1.1 * v)), "JPEG", quality=66)
    told: list[str] = []
    first, second = explain(GREY, suspect, bits=8, progress=told.append), explain(GREY, suspect, bits=8)
    assert first == second
    assert told[0] == "turns, crops and sizes" and len(told) > 2


def test_one_sample_axis_is_the_same_as_none() -> None:
    assert explain(GREY[..., None], GREY[::-1, :, None], bits=8).transform == "turn"


@pytest.mark.parametrize(
    ("original", "bits", "error", "word"),
    [
        (GREY.astype(float), 8, UsageError, "float64"),
        (GREY[0], 8, UsageError, "shape"),
        (GREY, 0, UsageError, "0 bits"),
        (GREY, 17, UsageError, "17 bits"),
        (GREY, 4, UsageError, "outside of its 4"),
        (PHOTO, 8, DataError, "samples a pixel"),
    ],
)
def test_bad_input_is_said(original: np.ndarray, bits: int, error: type[Exception], word: str) -> None:
    with pytest.raises(error, match=word):
        explain(original, GREY, bits=bits, suspect_bits=8)


def test_residual_against_all_windows_one_by_one() -> None:
    rng = np.random.default_rng(3)
    for shape in ((20, 17, 3), (5, 40), (1, 1), (8, 8)):
        a, b = rng.integers(0, 256, shape), rng.integers(0, 256, shape)
        d = np.abs(a - b).astype(float)
        plane = d.mean(axis=2) if d.ndim == 3 else d
        r, c = (min(8, n) for n in plane.shape)
        windows = [
            plane[i : i + r, j : j + c].mean()
            for i in range(plane.shape[0] - r + 1)
            for j in range(plane.shape[1] - c + 1)
        ]
        found = residual(a, b)
        assert found.mean == pytest.approx(d.mean()) and found.local == pytest.approx(max(windows))
        assert found.peak == d.max()


@pytest.mark.parametrize("over", ["mean", "local", "peak"])
def test_each_of_the_three_limits_alone_decides(over: str) -> None:
    held = {"mean": 0.04, "local": 0.5, "peak": 3.0}
    limit = Residual(**held)
    assert Residual(**held).within(limit)
    assert not Residual(**{**held, over: held[over] * 1.01}).within(limit)


def test_explanation_is_plain_data() -> None:
    found = explain(GREY, GREY, bits=8)
    assert isinstance(found, Explanation) and found.tried == 1 and found.not_tried == ()
