"""Single-frame 8-bit DICOM: stored values read with pydicom. Everything else is refused by name.

Windows, 12 and 16 bit, multi-frame and written DICOM exhibits are not built yet: what is read here is realised as PNG.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from nocere.cases.image import Pixels
from nocere.core.errors import DataError, PrerequisiteError

# MONOCHROME1, palettes and windows change what a model is shown, and need the display pipeline.
PHOTOMETRIC = {"MONOCHROME2": 1, "RGB": 3, "YBR_FULL": 3, "YBR_FULL_422": 3, "YBR_RCT": 3, "YBR_ICT": 3}


def is_dicom(data: bytes) -> bool:
    """True for a DICOM Part 10 file (PS3.10 section 7.1: "DICM" after 128 bytes)."""
    return data[128:132] == b"DICM"


def read_dicom(data: bytes, where: str) -> Pixels:
    """Stored values [1 or 3, H, W] of a single-frame 8-bit grey (MONOCHROME2) or colour DICOM; colour as RGB.

    Raises:
        DataError: no pixels, more than 8 bits, several frames, another photometric interpretation, a rescale or window
            that would change what is shown, or a transfer syntax that no installed plug-in decodes.
        PrerequisiteError: pydicom is not installed.
    """
    try:
        from pydicom import dcmread
        from pydicom.errors import InvalidDicomError
        from pydicom.pixels.utils import pixel_array
    except ModuleNotFoundError as e:
        raise PrerequisiteError(f"{where} is a DICOM file.", "Install it with: pip install 'nocere[dicom]'") from e
    try:
        ds = dcmread(io.BytesIO(data))
        bits, frames = ds.get("BitsStored"), int(ds.get("NumberOfFrames", 1) or 1)
        why = _refusal(ds, bits, frames)
        if why:
            raise DataError(f"{where}: {why}.", "Only single-frame 8-bit MONOCHROME2 and colour are read yet.")
        x = np.asarray(pixel_array(io.BytesIO(data)))
    except (InvalidDicomError, EOFError, KeyError, ValueError, AttributeError, NotImplementedError, RuntimeError) as e:
        first = str(e).strip().split("\n", 1)[0][:200]
        raise DataError(f"{where}: this DICOM cannot be decoded ({first}).") from e
    if x.dtype != np.uint8 or x.ndim not in (2, 3):
        raise DataError(f"{where}: decoded to {x.dtype} {x.shape}, not to 8-bit grey or colour.")
    x = x[None] if x.ndim == 2 else np.ascontiguousarray(x.transpose(2, 0, 1))
    x.setflags(write=False)
    return x


def _refusal(ds: Any, bits: Any, frames: int) -> str:
    if "PixelData" not in ds:
        return "this DICOM has no pixels"
    if ds.get("BitsAllocated") != 8 or bits != 8 or ds.get("PixelRepresentation", 0) != 0:
        return f"this DICOM stores {bits} bits"
    if frames != 1:
        return f"this DICOM has {frames} frames"
    kind = ds.get("PhotometricInterpretation", "")
    if PHOTOMETRIC.get(kind) != ds.get("SamplesPerPixel"):
        return f"photometric interpretation {kind} with {ds.get('SamplesPerPixel')} sample(s) is not read here"
    if (float(ds.get("RescaleSlope", 1) or 1), float(ds.get("RescaleIntercept", 0) or 0)) != (1.0, 0.0):
        return "this DICOM has a rescale"
    if "WindowCenter" in ds or "VOILUTSequence" in ds:
        return "this DICOM has a window or VOI LUT, which a model may or may not apply"
    return ""
