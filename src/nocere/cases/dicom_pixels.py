"""Stored pixel values of one frame of a DICOM data set, in any transfer syntax that an installed plug-in decodes.

What is handed out are the integers of the file: unused high bits cleared, two's complement extended, colour as it was
stored (what belongs to a codec, such as the reversible transform of JPEG 2000, is undone). Attributes that contradict
each other are refused by name, because two readers would show two pictures.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.cases.dicom_exhibit import quiet
from nocere.core.errors import DataError

# The order decides which plug-in is asked, so that two hosts with the same packages decode lossy JPEG alike.
PLUGINS = ("pylibjpeg", "pyjpegls", "pillow", "pydicom", "gdcm")
INSTALL = "Install it with: pip install 'nocere[dicom]'"
SAMPLES = {"MONOCHROME1": 1, "MONOCHROME2": 1, "PALETTE COLOR": 1, "RGB": 3, "YBR_FULL": 3, "YBR_FULL_422": 3}
CODEC_COLOURS = {"YBR_RCT": 3, "YBR_ICT": 3}  # exist inside of JPEG 2000 only
MOST = 200_000_000  # stored values of a frame
HIGH = "HighBit"


def check(ds: Any, where: str) -> None:
    """Refuse what is not read here, or contradicts itself.

    Raises:
        DataError: one sentence that names the attribute.
    """
    why = _refusal(ds)
    if why:
        raise DataError(f"{where}: {why}.")


def _refusal(ds: Any) -> str:
    if "PixelData" not in ds:
        other = next((k for k in ("FloatPixelData", "DoubleFloatPixelData") if k in ds), "")
        return f"its pixels are {other}, and only whole numbers are read" if other else "this DICOM has no pixels"
    numbers = {
        k: _whole(ds, k)
        for k in ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", HIGH, "PixelRepresentation")
    }
    absent = next((k for k, v in numbers.items() if v is None), "")
    if absent:
        return f"{absent} is missing or no number, and pixels cannot be read without it"
    rows, columns, samples, allocated, stored, high, sign = (int(v or 0) for v in numbers.values())
    if allocated not in (8, 16) or not 8 <= stored <= allocated:
        return f"this DICOM stores {stored} bits in {allocated}; 8 to 16 bits in 8 or 16 are read"
    if high != stored - 1:
        return f"High Bit is {high} for {stored} bits stored; only {stored - 1} is read"
    kind = str(ds.get("PhotometricInterpretation", ""))
    wanted = {**SAMPLES, **CODEC_COLOURS}.get(kind)
    if wanted is None:
        return f"photometric interpretation {kind or '(none)'} is not read here"
    if wanted != samples:
        return f"photometric interpretation {kind} contradicts {samples} sample(s) per pixel"
    if samples == 3 and (sign or stored != allocated):
        return f"colour of {stored} bits in {allocated}{', signed,' if sign else ''} is not read"
    if kind.startswith("YBR") and stored != 8:
        return f"{kind} of {stored} bits is not read"
    if kind == "PALETTE COLOR" and sign:
        return "palette indices with a sign contradict PALETTE COLOR"
    if min(rows, columns) < 1 or rows * columns * samples > MOST:
        return f"{rows} x {columns} pixels are not read"
    return ""


def _whole(ds: Any, keyword: str) -> int | None:
    value = ds.get(keyword)
    return int(value) if isinstance(value, int) else None


def frames_of(ds: Any, where: str) -> int:
    """Number of frames.

    Raises:
        DataError: no number of at least 1.
    """
    try:
        n = int(ds.get("NumberOfFrames", 1) or 1)
    except (TypeError, ValueError):
        n = 0
    if n < 1:
        raise DataError(f"{where}: Number of Frames (0028,0008) is no number of at least 1.")
    return n


def decode(ds: Any, frame: int, where: str) -> tuple[NDArray[Any], str]:
    """Stored values [1 or 3, H, W] of a frame counted from 1, and the photometric interpretation that they are in.

    The data type is uint8 for 8 unsigned bits in 8, else uint16 or int16.

    Raises:
        DataError: no installed plug-in decodes the transfer syntax, or the pixel data are broken.
    """
    from pydicom.pixels.decoders.base import get_decoder

    syntax = ds.file_meta.get("TransferSyntaxUID")
    if not syntax:
        raise DataError(f"{where}: the file does not say its transfer syntax (0002,0010).")
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as e:
        raise DataError(f"{where}: transfer syntax {syntax.name} ({syntax}) is not read here.") from e
    plugins = [p for p in PLUGINS if p in decoder.available_plugins] if syntax.is_encapsulated else [""]
    if not plugins:
        needs = "; ".join(decoder.missing_dependencies) or "no plug-in is known"
        raise DataError(
            f"{where}: no installed plug-in decodes transfer syntax {syntax.name} ({syntax}): {needs}.", INSTALL
        )
    failed: list[str] = []
    for plugin in plugins:
        try:
            with quiet():
                raw, about = decoder.as_array(ds, index=frame - 1, raw=True, decoding_plugin=plugin)
            break
        except Exception as e:  # a plug-in may raise anything
            failed.append(f"{plugin or 'pydicom'}: {' '.join(str(e).split())[:200]}")
    else:
        raise DataError(f"{where}: the pixels cannot be decoded ({syntax.name}; {'; '.join(failed)}).")
    x = np.asarray(raw)
    if x.ndim not in (2, 3) or x.shape[:2] != (ds.Rows, ds.Columns) or x.dtype.kind not in "ui" or x.itemsize > 2:
        raise DataError(f"{where}: decoded to {x.dtype} {x.shape}, which is not what its header says.")
    x = x[None] if x.ndim == 2 else x.transpose(2, 0, 1)
    if len(x) != ds.SamplesPerPixel:
        raise DataError(f"{where}: decoded to {len(x)} sample(s) a pixel; its header says {ds.SamplesPerPixel}.")
    # Samples that shared a chroma value have one each once they are decoded.
    photometric = str(about["photometric_interpretation"]).replace("YBR_FULL_422", "YBR_FULL")
    return _stored(x, int(ds.BitsStored), bool(ds.PixelRepresentation), int(ds.BitsAllocated)), photometric


def _stored(x: NDArray[Any], bits: int, signed: bool, allocated: int) -> NDArray[Any]:
    """Containers [C, H, W] as stored values; read-only."""
    v = x.astype(np.int32) & ((1 << bits) - 1)
    if signed:
        sign = 1 << (bits - 1)
        v = (v ^ sign) - sign
    kind = np.int16 if signed else np.uint8 if allocated == 8 else np.uint16
    out = np.ascontiguousarray(v.astype(kind))
    out.setflags(write=False)
    return out


def pixel_bytes(x: NDArray[Any], allocated: int) -> bytes:
    """Stored values [C, H, W] as native little-endian pixel data, colour by pixel, padded to an even length."""
    kind = f"<{'i' if x.dtype.kind == 'i' else 'u'}{allocated // 8}"
    data = x.transpose(1, 2, 0).astype(kind).tobytes()
    return data + b"\0" * (len(data) % 2)
