"""The display pipeline beside pydicom and DCMTK, in numpy and in torch; the display function beside DCMTK."""

from __future__ import annotations

import shutil
import subprocess
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch
from PIL import Image
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut, convert_color_space
from tests.unit.cases.test_dicom import CODEC, case, dataset, found

from nocere.cases.dicom import FILE
from nocere.clinical.dicom.display import Display, displayed, of_header, table
from nocere.clinical.dicom.gsdf import index, luminance, steps_per_level
from nocere.clinical.dicom.luts import Lut, Window
from nocere.clinical.dicom.pipeline import levels
from nocere.core.errors import DataError, UsageError

GREY = (
    "693_UNCR.dcm", "693_J2KI.dcm", "MR_small.dcm", "dicomdirtests/77654033/CR1/6154", "vlut_04.dcm", "mlut_18.dcm",
    "J2K_pixelrep_mismatch.dcm", "examples_overlay.dcm", "RG3_UNCI.dcm", "JPGLosslessP14SV1_1s_1f_8b.dcm",
)  # fmt: skip
COLOUR = ("SC_rgb_16bit.dcm", "SC_ybr_full_uncompressed.dcm", "OBXXXX1A.dcm", "examples_palette.dcm", "color-pl.dcm")


def shown(name: str) -> np.ndarray[Any, Any]:
    c = case(name)
    return displayed(of_header(c.header, len(c.x)), c.x)


@pytest.mark.parametrize("name", GREY)
def test_grey_is_shown_as_pydicom_shows_it(name: str) -> None:
    ds = dataset(found(name))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stored = pydicom.pixels.pixel_array(ds, raw=True)
        seen = apply_voi_lut(apply_modality_lut(stored, ds), ds, prefer_lut=False).astype(float)
    d = of_header(case(name).header, 1)
    # pydicom leaves values in the range of what its last step gives out; ours is 0 to 255.
    if d.windows:
        slope, intercept = float(ds.get("RescaleSlope", 1)), float(ds.get("RescaleIntercept", 0))
        low, high = (v * slope + intercept for v in (d.least, d.least + 2**d.bits - 1))
    else:
        low, high = 0.0, float(2 ** (d.tables[0] if d.tables else d.modality or Lut(0, d.bits, ())).bits - 1)
    want = (seen - low) / (high - low) * 255
    want = 255 - want if ds.PhotometricInterpretation == "MONOCHROME1" else want
    np.testing.assert_allclose(shown(name)[0], want, atol=1e-6 if "RescaleSlope" not in ds else 0.05)


@pytest.mark.parametrize("name", [*GREY, "RG1_UNCI.dcm", *COLOUR])
def test_dcmtk_renders_the_written_file_within_a_level(name: str, tmp_path: Path) -> None:
    if shutil.which("dcm2pnm") is None:
        pytest.skip("DCMTK is not installed")
    c = case(name)
    d = of_header(c.header, len(c.x))
    (tmp_path / FILE).write_bytes(CODEC.encode(c, c.x)[FILE])
    chosen = ["+Wi", "1"] if d.windows else ["+Wl", "1"] if d.tables else []
    command = ["dcm2pnm", "-O", *chosen, str(tmp_path / FILE), str(tmp_path / "out.pnm")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    image = np.asarray(Image.open(tmp_path / "out.pnm")).astype(float)
    image = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
    # DCMTK cuts to whole levels where we do not round at all; in YBR it cuts once more on the way.
    off = np.abs(image - displayed(d, c.x))
    assert off.max() <= (1.0 if d.kind != "ybr" else 2.0) + 1e-9


def test_palettes_and_ybr_are_what_pydicom_makes_of_them() -> None:
    ds = dataset(found("OBXXXX1A.dcm"))
    rgb = apply_color_lut(pydicom.pixels.pixel_array(ds, raw=True), ds)
    top = 65535 if rgb.dtype == np.uint16 else 255
    np.testing.assert_allclose(shown("OBXXXX1A.dcm"), rgb.transpose(2, 0, 1) / top * 255, atol=1e-9)
    ds = dataset(found("SC_ybr_full_uncompressed.dcm"))
    rgb = convert_color_space(pydicom.pixels.pixel_array(ds, raw=True), "YBR_FULL", "RGB")
    assert np.abs(shown("SC_ybr_full_uncompressed.dcm") - rgb.transpose(2, 0, 1)).max() <= 0.51


def test_windows_at_their_edges() -> None:
    """PS3.3 C.11.2.1.2.1, the standard's own examples: c = 2048, w = 4096; c = 2048, w = 1; and the other functions."""
    x = np.array([-5.0, 0.0, 2047.0, 2047.5, 2048.0, 4095.0, 5000.0])
    np.testing.assert_allclose(Window(2048, 4096)(x), np.clip(x / 4095, 0, 1))
    np.testing.assert_array_equal(Window(2048, 1)(x), [0, 0, 0, 0, 1, 1, 1])
    np.testing.assert_allclose(Window(2048, 4096, "LINEAR_EXACT")(x), np.clip(x / 4096, 0, 1))
    np.testing.assert_allclose(Window(2048, 1024, "SIGMOID")(np.array([2048.0, 1792.0])), [0.5, 1 / (1 + np.e)])
    with pytest.raises(DataError, match="width of at least 1"):
        Window(0, 0.5)
    with pytest.raises(DataError, match="more than 0"):
        Window(0, 0, "SIGMOID")


def test_the_files_windows_are_chosen_by_number() -> None:
    c = case("examples_overlay.dcm")
    d = of_header(c.header, 1)
    assert [w.width for w in d.windows] == [790, 443]
    assert (displayed(d, c.x, 1) != displayed(d, c.x)).any()
    np.testing.assert_array_equal(displayed(d, c.x, 1), displayed(d, c.x, d.windows[1]))
    with pytest.raises(DataError, match="Window 2 is asked for, but the file has 2"):
        displayed(d, c.x, 2)


@pytest.mark.parametrize(
    "display",
    [
        Display("grey", 12, windows=(Window(1000, 500),)),
        Display("grey", 16, True, 1.5, -1024.0, windows=(Window(40, 400, "SIGMOID"),), invert=True),
        Display("grey", 10, tables=(Lut(100, 12, tuple(range(0, 4000, 7))),), invert=True),
        Display("grey", 9, modality=Lut(3, 10, tuple(range(400)))),
        Display("palette", 8, palette=tuple(Lut(0, 16, tuple(range(k, 60000, 211))) for k in (1, 2, 3))),
        Display("rgb", 16),
        Display("ybr", 8),
    ],
)
def test_torch_agrees_with_numpy_and_its_gradient_with_differences(display: Display) -> None:
    rng = np.random.default_rng(0)
    channels = 3 if display.kind in ("rgb", "ybr") else 1
    low = display.least
    x = rng.integers(low + 1, low + (1 << display.bits) - 2, (channels, 6, 5))
    t = torch.tensor(x[None], dtype=torch.float32, requires_grad=True)
    out = levels(t, [display])
    want = displayed(display, x)
    np.testing.assert_allclose(out[0].detach().numpy(), want, atol=2e-4)
    weight = torch.from_numpy(rng.normal(size=out.shape)).float()
    (g,) = torch.autograd.grad((out * weight).sum(), t)
    for at in [(0, 0, 0), (channels - 1, 3, 2), (0, 5, 4)]:
        up = x.copy()
        up[at] += 1
        slope = float(((displayed(display, up) - want) * weight[0].numpy()).sum())
        inside = (want > 1).all() and (want < 254).all()
        if channels == 1 or inside:
            assert float(g[(0, *at)]) == pytest.approx(slope, abs=2e-4)
    assert Display.from_json(display.to_json()) == display


def test_every_row_of_a_batch_goes_through_its_own_file() -> None:
    kinds = [
        Display("grey", 12, windows=(Window(1000, 500),)),
        Display("grey", 10, True, windows=(Window(0, 200),), invert=True),
        Display("grey", 16),
        Display("grey", 12, windows=(Window(2000, 50),)),
    ]
    rng = np.random.default_rng(1)
    x = [rng.integers(d.least, d.least + (1 << d.bits), (1, 7, 4)) for d in kinds]
    rows = torch.tensor(np.stack(x), dtype=torch.float32)
    got = levels(rows, kinds).numpy()
    for d, one, row in zip(kinds, x, got, strict=True):
        np.testing.assert_allclose(row, displayed(d, one), atol=2e-4)


def test_without_a_window_all_that_can_be_stored_is_shown() -> None:
    np.testing.assert_allclose(table(Display("grey", 12, True))[0, [0, -1]], [0, 255])
    np.testing.assert_allclose(table(Display("grey", 12, slope=-2.0))[0, [0, -1]], [255, 0])


def test_display_function_is_that_of_dcmtk(tmp_path: Path) -> None:
    """DCMTK's standard display curve for the default luminance range, at 256 levels."""
    if shutil.which("dcmdspfn") is None:
        pytest.skip("DCMTK is not installed")
    out = tmp_path / "curve.txt"
    done = subprocess.run(
        ["dcmdspfn", "+Il", "0.5", "350", "+Cd", "256", "+Ca", "0", "+Og", str(out)], capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    rows = [r.split() for r in out.read_text().splitlines() if r[:1].isdigit()]
    curve = np.array([[float(v) for v in r] for r in rows])
    assert len(curve) == 256
    step = steps_per_level()
    want = luminance(index(0.5) + step * curve[:, 0])
    np.testing.assert_allclose(curve[:, 1], want, rtol=0.002)


def test_display_function_at_its_ends() -> None:
    assert luminance(1.0) == pytest.approx(0.05, rel=1e-3) and luminance(1023.0) == pytest.approx(3993.4, rel=1e-3)
    j = np.linspace(1, 1023, 200)
    np.testing.assert_allclose(index(luminance(j)), j, atol=0.2)
    with pytest.raises(UsageError, match=r"0\.05 to 3993"):
        steps_per_level(range_=(0.0, 350.0))


def test_pictures_that_are_no_dicom_are_shown_as_stored() -> None:
    assert of_header({"bits": 8}, 1) == Display("grey", 8)
    np.testing.assert_array_equal(displayed(of_header({"bits": 8}, 3), np.full((3, 1, 1), 77, np.uint8)), 77.0)
