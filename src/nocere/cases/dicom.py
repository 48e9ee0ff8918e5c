"""DICOM images as cases: one frame's stored integers, with a header that holds all of the rest of the file.

8 to 16 bits, signed or not, grey (MONOCHROME1 and 2), palettes, RGB and YBR; single frames, and a chosen one of
several. Written as explicit VR little endian with native pixel data: the original as it was, everything else marked as
an exhibit (`dicom_exhibit`). Overlays, and pixel padding as something of its own, are carried along and not shown.
"""

from __future__ import annotations

import base64
import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.cases import dicom_exhibit as exhibit
from nocere.cases.dicom_display import display_of
from nocere.cases.dicom_pixels import check, decode, frames_of, pixel_bytes
from nocere.core.candidate import Files
from nocere.core.canonical import Json, sha256
from nocere.core.case import Case, Truth
from nocere.core.errors import DataError

FILE = "image.dcm"
WORDS = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}


def is_dicom(data: bytes) -> bool:
    """True for a DICOM Part 10 file (PS3.10 section 7.1: "DICM" after 128 bytes)."""
    return data[128:132] == b"DICM"


def read_dicom(data: bytes, where: str, frame: int = 0) -> tuple[NDArray[Any], dict[str, Json]]:
    """Stored values [1 or 3, H, W] of a frame, read-only, and the header of its case.

    The header has `bits`, `signed`, `channels`, `frame`, `display` (`clinical.dicom.display.Display`) and `file`: the
    data set without its pixels as a Part 10 file in base64. Of several frames the chosen one alone is kept: the data
    set then gets a SOP Instance UID of its own and says in its Source Image Sequence whence it comes.

    Args:
        data: a Part 10 file.
        where: named in errors.
        frame: counted from 1; 0 for a file that has one frame only.

    Raises:
        DataError: no pixels, a form that is not read here, attributes that contradict each other, no plug-in for the
            transfer syntax, or several frames and none chosen.
        PrerequisiteError: pydicom is not installed.
    """
    with exhibit.quiet():
        return _read(exhibit.read(data, where), where, frame)


def _read(ds: Any, where: str, frame: int) -> tuple[NDArray[Any], dict[str, Json]]:
    check(ds, where)
    frames = frames_of(ds, where)
    if not 0 <= frame <= frames or (frame == 0 and frames > 1):
        chosen = f"frame {frame} is not one of them" if frame else "none is chosen"
        raise DataError(
            f"{where}: this DICOM has {frames} frames, and {chosen}.", "Name one, counted from 1, in the column frame."
        )
    x, photometric = decode(ds, frame or 1, where)
    try:
        rest = _rest(ds, photometric, frames, frame or 1)
        display = display_of(rest, where)
    except (AttributeError, KeyError, TypeError, ValueError, NotImplementedError) as e:
        first = " ".join(str(e).split())[:200]
        raise DataError(f"{where}: an attribute of this DICOM cannot be read ({first}).") from e
    # Written twice: what one writer normalises stays as it is from then on.
    kept = exhibit.write(exhibit.read(exhibit.write(rest, where), where), where)
    cut = rest.get("SourceImageSequence") or [{}]
    header: dict[str, Json] = {
        "bits": display.bits,
        "signed": display.signed,
        "channels": len(x),
        "frame": int(cut[0].get("ReferencedFrameNumber", 1) or 1),
        "display": display.to_json(),
        "file": base64.b64encode(kept).decode("ascii"),
    }
    return x, header


def _rest(ds: Any, photometric: str, frames: int, frame: int) -> Any:
    """The data set without pixels, as it describes the decoded values of one frame."""
    rest = copy.copy(ds)
    for keyword in ("PixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        if keyword in rest:
            del rest[keyword]
    rest = copy.deepcopy(rest)
    if not ds.original_encoding[1]:
        rest.walk(_little)
    rest.PhotometricInterpretation = photometric
    if ds.SamplesPerPixel == 3:
        rest.PlanarConfiguration = 0
    if frames > 1:
        _cut(rest, frame)
    return rest


def _little(_: Any, element: Any) -> None:
    """Words that pydicom leaves in the byte order of the file, turned to little endian."""
    size = WORDS.get(element.VR, 0)
    if size and isinstance(element.value, bytes) and len(element.value) % size == 0:
        element.value = np.frombuffer(element.value, f">u{size}").astype(f"<u{size}").tobytes()


def _cut(ds: Any, frame: int) -> None:
    """Make the description of one frame out of that of all."""
    from pydicom.dataset import Dataset

    source = Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    source.ReferencedFrameNumber = frame
    ds.NumberOfFrames = 1
    groups = ds.get("PerFrameFunctionalGroupsSequence")
    if groups:
        ds.PerFrameFunctionalGroupsSequence = [groups[min(frame, len(groups)) - 1]]
    ds.SOPInstanceUID = exhibit.uid("frame", str(ds.SOPInstanceUID), str(frame))
    ds.SourceImageSequence = [source]


def dicom_case(
    case_id: str,
    data: bytes,
    truth: Truth,
    *,
    frame: int = 0,
    group: str = "",
    attrs: Mapping[str, str] | None = None,
    where: str = "",
) -> Case[Any]:
    """A case from the bytes of a DICOM file; its hash is taken over these bytes. See `read_dicom`."""
    x, header = read_dicom(data, where or case_id, frame)
    return Case(case_id, x, header, truth, group or case_id, attrs or {}, sha256(data))


class DicomCodec:
    """Realises DICOM cases as DICOM."""

    name = "dicom"

    def encode(self, case: Case[Any], x: Any) -> Files:
        """The case's own data set with these stored values; marked as an exhibit where they are not the case's own.

        Raises:
            DataError: another form than the case's, a value beyond its bits, or a case that is an exhibit itself.
        """
        x = np.asarray(x)
        bits, signed = int(str(case.header["bits"])), bool(case.header["signed"])
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        if x.dtype != case.x.dtype or x.shape != case.x.shape or int(x.min()) < low or int(x.max()) > high:
            raise DataError(f"Stored values must be {case.x.dtype} {case.x.shape} from {low} to {high}.")
        ds = exhibit.read(base64.b64decode(str(case.header["file"])), case.id)
        if exhibit.is_marked(ds):
            raise DataError(f"Case {case.id} is an adversarial exhibit already.", "Audit what it was made from.")
        pixels = pixel_bytes(x, int(ds.BitsAllocated))
        with exhibit.quiet():
            if not np.array_equal(x, case.x):
                exhibit.mark(ds, pixels)
            ds.add_new("PixelData", "OB" if ds.BitsAllocated == 8 else "OW", pixels)
            return {FILE: exhibit.write(ds, case.id)}

    def decode(self, files: Files) -> tuple[Any, Mapping[str, Json]]:
        if FILE not in files:
            raise DataError(f"This evidence has no {FILE}.")
        with exhibit.quiet():
            ds = exhibit.read(files[FILE], FILE)
            exhibit.unmark(ds)
            return _read(ds, FILE, 0)


def unmarked(data: bytes, where: str) -> bytes:
    """An exhibit without its marks: the original data set with other pixel data, for tests of gates only.

    Raises:
        DataError: not an exhibit of nocere.
    """
    ds = exhibit.read(data, where)
    if not exhibit.is_marked(ds):
        raise DataError(f"{where} carries no marks of an exhibit.")
    with exhibit.quiet():
        exhibit.unmark(ds)
        return exhibit.write(ds, where)
