"""One flipped bit is never missed: every bit of the pixels of small files, every bit of one tiny file (G1)."""

from __future__ import annotations

import io
import os
import warnings
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from tests.provenance_edits import IDENTITY_VALUES, MEANING_VALUES, Subject, plain_value, tag, test_files

from nocere.core.errors import DataError
from nocere.provenance.fingerprint import Fingerprint, Verdict, compare, fingerprint, headline, read

KEY = bytes(range(32))
FILES = test_files()
STEP = 1 if os.environ.get("NOCERE_SOAK") else 5
PARTS = 4


def capture(content: bytes) -> Fingerprint | None:
    try:
        return fingerprint(read(content, "dicom"), KEY)
    except DataError:
        return None


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def pixel_offset(file: Subject) -> tuple[int, int]:
    data = file.dataset.PixelData
    return file.content.index(data), len(data)


@pytest.mark.parametrize(
    ("name", "step"),
    [("SC_rgb_small_odd.dcm", 1), ("dicomdirtests/98892003/MR1/4919", STEP), ("rtdose_1frame.dcm", STEP)],
)
def test_every_bit_of_every_pixel_byte(name: str, step: int) -> None:
    """All bits of these files are stored bits, so each flip changes one value of one tile."""
    if name not in FILES:
        pytest.skip(f"pydicom's {name} is not here")
    file = Subject(name, FILES[name].read_bytes())
    start, _ = pixel_offset(file)
    size = file.array.nbytes
    original = capture(file.content)
    assert original is not None
    for bit in range(0, 8 * size, step):
        suspect = capture(flipped(file.content, 8 * start + bit))
        assert suspect is not None
        difference = compare(original, suspect)
        assert headline(difference) is Verdict.PIXELS_CHANGED
        assert difference.tiers - {"F5"} == {"F0", "F2"}
        frame = bit // 8 // (size // len(file.array))
        assert [(t.frame, t.row, t.column) for t in difference.tiles] == [(frame, 0, 0)]


def test_unused_bits_change_only_the_encoding() -> None:
    """12 of 16 bits are stored: the upper four are not pixels."""
    file = Subject("CR", FILES["dicomdirtests/77654033/CR1/6154"].read_bytes())
    assert file.dataset.BitsStored == 12
    start, _ = pixel_offset(file)
    original = capture(file.content)
    assert original is not None
    for bit in range(32):
        suspect = capture(flipped(file.content, 8 * start + bit))
        assert suspect is not None
        expected = Verdict.PIXELS_CHANGED if bit % 16 < 12 else Verdict.LOSSLESS_EQUIVALENT
        assert headline(compare(original, suspect)) is expected


def tiny() -> bytes:
    """4 x 4 pixels, with an attribute of every kind that matters."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\x00" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = "1.2.840.10008.5.1.4.1.1.7", "1.2.3", "CT"
    ds.PatientID, ds.PatientName = "4711", "Doe^John"
    ds.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    ds.Laterality = "L"
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.Rows, ds.Columns = 1, "MONOCHROME2", 4, 4
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 1
    ds.WindowCenter, ds.WindowWidth, ds.RescaleIntercept, ds.RescaleSlope = "40", "400", "-1024", "1"
    ds.PixelData = np.arange(-8, 8, dtype="<i2").tobytes()
    out = io.BytesIO()
    pydicom.dcmwrite(out, ds, enforce_file_format=True)
    return out.getvalue()


def as_pydicom_sees(content: bytes) -> dict[str, Any] | None:
    """Pixels, meaning and identity as pydicom reads them; None when it cannot."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ds = pydicom.dcmread(io.BytesIO(content))
            pixels = pydicom.pixels.pixel_array(ds, raw=True)
            meaning = {tag(k): str(plain_value(ds.get(k))) for k in MEANING_VALUES}
            identity = {tag(k): str(ds.get(k)) for k in IDENTITY_VALUES}
        except Exception:  # whatever a lenient parser raises, it did not read the file
            return None
    return {"F2": (pixels.shape, pixels.dtype.kind, pixels.tobytes()), "F3": meaning, "F4": identity}


@pytest.mark.parametrize("part", range(PARTS))
def test_every_bit_of_a_whole_file(part: int) -> None:
    """Whatever pydicom sees change is seen to change, or the file is refused. Bits of the preamble: every eighth."""
    content = tiny()
    original, before = capture(content), as_pydicom_sees(content)
    assert original is not None and before is not None
    refused = compared = 0
    for bit in [*range(0, 1024, 8), *range(1024, 8 * len(content))][part::PARTS]:
        changed = flipped(content, bit)
        suspect, after = capture(changed), as_pydicom_sees(changed)
        if suspect is None:
            refused += 1
            continue
        compared += 1
        difference = compare(original, suspect)
        assert headline(difference) is not Verdict.IDENTICAL
        if after is not None:
            missed = {t for t in ("F2", "F3", "F4") if before[t] != after[t]} - difference.tiers
            assert not missed, f"bit {bit % 8} of byte {bit // 8}: pydicom sees {missed} change"
    assert refused > 50 and compared > 300
