"""Single-frame 8-bit DICOM, on files that pydicom ships."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from nocere.cases.datasets.folder import folder
from nocere.cases.dicom import is_dicom, read_dicom
from nocere.core.errors import DataError

FILES = Path(pydicom.__file__).parent / "data" / "test_files"


def read(name: str) -> np.ndarray:  # type: ignore[type-arg]
    data = (FILES / name).read_bytes()
    assert is_dicom(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read_dicom(data, name)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("examples_rgb_color.dcm", (3, 240, 320)),
        ("SC_rgb_rle.dcm", (3, 100, 100)),
        ("SC_ybr_full_422_uncompressed.dcm", (3, 100, 100)),
        ("SC_rgb_small_odd_big_endian.dcm", (3, 3, 3)),
    ],
)
def test_stored_values_are_what_pydicom_reads(name: str, shape: tuple[int, ...]) -> None:
    got = read(name)
    assert got.shape == shape and got.dtype == np.uint8 and not got.flags.writeable
    ds = pydicom.dcmread(FILES / name)
    if ds.PhotometricInterpretation == "RGB":
        np.testing.assert_array_equal(got, ds.pixel_array.transpose(2, 0, 1))


def test_rle_and_uncompressed_of_one_picture_agree() -> None:
    # The same picture, in RLE and in uncompressed YBR 4:2:2, which loses a little.
    assert np.abs(read("SC_rgb_rle.dcm").astype(int) - read("SC_ybr_full_422_uncompressed.dcm").astype(int)).mean() < 20


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("CT_small.dcm", "stores 16 bits"),
        ("SC_rgb_rle_2frame.dcm", "2 frames"),
        ("examples_palette.dcm", "PALETTE COLOR"),
        ("rtplan.dcm", "no pixels"),
    ],
)
def test_what_is_not_read_is_refused_by_name(name: str, why: str) -> None:
    with pytest.raises(DataError, match=why):
        read(name)


def test_a_truncated_file_is_one_sentence() -> None:
    data = (FILES / "examples_rgb_color.dcm").read_bytes()[:3000]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(DataError):
            read_dicom(data, "cut.dcm")


def test_folders_may_mix_dicom_and_png(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes((FILES / "SC_rgb_rle.dcm").read_bytes())
    out = io.BytesIO()
    Image.fromarray(read("SC_rgb_rle.dcm").transpose(1, 2, 0)).save(out, "PNG")
    (tmp_path / "b.png").write_bytes(out.getvalue())
    (tmp_path / "m.csv").write_text("path,label\na.dcm,x\nb.png,y\n")
    cases = folder(tmp_path / "m.csv")
    np.testing.assert_array_equal(cases.load("a.dcm").x, cases.load("b.png").x)
