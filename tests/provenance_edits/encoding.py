"""Edits of nothing but the way of writing: no alarm."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pydicom
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from tests.provenance_edits.subject import EDITS, Edit, Edited, Subject, set_pixels, written


def encoding(name: str) -> Callable[[Callable[[Subject], bytes | None]], Callable[[Subject], bytes | None]]:
    """Register an edit after which samples, meaning and identity are what they were."""

    def add(edit: Callable[[Subject], bytes | None]) -> Callable[[Subject], bytes | None]:
        def apply(subject: Subject) -> Edited | None:
            content = edit(subject)
            if content is None or content == subject.content:
                return None
            return Edited(content, frozenset(), "LOSSLESS-EQUIVALENT")

        EDITS.append(Edit("encoding", name, apply))
        return edit

    return add


def _rewritten(name: str, syntax: str) -> None:
    @encoding(name)
    def _(subject: Subject) -> bytes | None:
        if not subject.native:
            return None
        if syntax == subject.syntax:
            return written(subject.copy(), syntax)
        big = ExplicitVRBigEndian in (syntax, subject.syntax)
        ds = subject.copy()
        if big and not subject.editable:
            return None
        if big and any(e.VR in ("OW", "UN") and e.tag != 0x7FE00010 and len(e.value or b"") > 1 for e in ds):
            return None  # pydicom does not swap such values
        ds.file_meta.TransferSyntaxUID = UID(syntax)
        if big:
            set_pixels(ds, subject.array)
        return written(ds, syntax)


_rewritten("explicit little endian", ExplicitVRLittleEndian)
_rewritten("implicit little endian", ImplicitVRLittleEndian)
_rewritten("explicit big endian", ExplicitVRBigEndian)
_rewritten("deflated", "1.2.840.10008.1.2.1.99")


@encoding("decoded to native")
def _(subject: Subject) -> bytes | None:
    return subject.with_pixels(subject.array) if subject.editable and not subject.native else None


@encoding("preamble filled")
def _(subject: Subject) -> bytes:
    return b"II*\x00" + b"\x07" * 124 + subject.content[128:]


@encoding("file meta rewritten")
def _(subject: Subject) -> bytes:
    ds = subject.copy()
    ds.file_meta.ImplementationVersionName = "ANOTHER_1"
    ds.file_meta.SourceApplicationEntityTitle = "ELSEWHERE"
    return written(ds)


@encoding("trailing padding")
def _(subject: Subject) -> bytes:
    ds = subject.copy()
    ds.add_new(0xFFFCFFFC, "OB", b"\x00" * 126)
    return written(ds)


@encoding("private elements put in")
def _(subject: Subject) -> bytes:
    ds = subject.copy()
    block = ds.private_block(0x0099, "NOCERE TEST", create=True)
    block.add_new(0x01, "LO", "anything")
    return written(ds)


@encoding("private elements removed")
def _(subject: Subject) -> bytes | None:
    ds = subject.copy()
    if not any(e.tag.is_private for e in ds):
        return None
    ds.remove_private_tags()
    return written(ds)


@encoding("group lengths put in")
def _(subject: Subject) -> bytes:
    ds = subject.copy()
    ds.add_new(0x00080000, "UL", 128)
    return written(ds)


@encoding("free text put in")
def _(subject: Subject) -> bytes:
    ds = subject.copy()
    ds.ImageComments = "a comment"
    ds.StudyDescription = "a study"
    return written(ds)


@encoding("numbers written otherwise")
def _(subject: Subject) -> bytes | None:
    ds = subject.copy()
    touched = False
    for keyword in ("PixelSpacing", "RescaleSlope", "RescaleIntercept", "WindowCenter", "SliceThickness"):
        if keyword in ds and ds[keyword].value is not None and str(ds[keyword].value):
            values = ds[keyword].value if ds[keyword].VM > 1 else [ds[keyword].value]
            texts = [str(v) for v in values]
            if all(len(t) <= 12 and "e" not in t.lower() for t in texts):
                # Raw bytes, since pydicom would write numbers in its own form.
                text = "\\".join((f" +{t}" if t[0] != "-" else t) + ("00" if "." in t else ".0") for t in texts)
                raw = text.encode() + b" " * (len(text) % 2)
                number = ds[keyword].tag
                ds._dict[number] = pydicom.dataelem.RawDataElement(number, "DS", len(raw), raw, 0, False, True)
                touched = True
    return written(ds) if touched else None


@encoding("sequences of undefined length")
def _(subject: Subject) -> bytes | None:
    ds = subject.copy()
    sequences = [e for e in ds if e.VR == "SQ"]
    for element in sequences:
        element.is_undefined_length = not element.is_undefined_length
        for item in element.value:
            item.is_undefined_length_sequence_item = element.is_undefined_length
    return written(ds) if sequences else None


def _compressed(name: str, syntax: str, plugin: str) -> None:
    @encoding(name)
    def _(subject: Subject) -> bytes | None:
        ds = subject.copy()
        if not subject.editable or ds.BitsAllocated > 16 or subject.syntax == ExplicitVRBigEndian:
            return None
        if min(ds.Rows, ds.Columns) < 32 or ds.PhotometricInterpretation == "PALETTE COLOR":
            return None
        set_pixels(ds, subject.array)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ds.compress(syntax, encoding_plugin=plugin, generate_instance_uid=False)
        return written(ds)


_compressed("RLE", "1.2.840.10008.1.2.5", "pydicom")
_compressed("JPEG 2000 lossless", "1.2.840.10008.1.2.4.90", "pylibjpeg")
_compressed("JPEG-LS lossless", "1.2.840.10008.1.2.4.80", "pyjpegls")


@encoding("colours by plane")
def _(subject: Subject) -> bytes | None:
    ds = subject.copy()
    if not subject.editable or ds.SamplesPerPixel != 3 or subject.syntax == ExplicitVRBigEndian:
        return None
    set_pixels(ds, subject.array)
    planes = np.frombuffer(ds.PixelData, f"<u{ds.BitsAllocated // 8}")[: subject.array.size].reshape(
        subject.array.shape
    )
    data = planes.transpose(0, 3, 1, 2).tobytes()
    ds.PixelData = data + b"\x00" * (len(data) % 2)
    ds.PlanarConfiguration = 1
    return written(ds)


@encoding("larger containers")
def _(subject: Subject) -> bytes | None:
    ds = subject.copy()
    if not subject.editable or ds.BitsAllocated != 8 or subject.syntax == ExplicitVRBigEndian:
        return None
    ds.BitsAllocated = 16
    ds["PixelData"].VR = "OW"
    set_pixels(ds, subject.array)
    return written(ds)


@encoding("unused bits filled")
def _(subject: Subject) -> bytes | None:
    ds = subject.copy()
    if not subject.editable or ds.BitsStored == ds.BitsAllocated or subject.syntax == ExplicitVRBigEndian:
        return None
    set_pixels(ds, subject.array)
    size = ds.BitsAllocated // 8
    unused = np.array(((1 << ds.BitsAllocated) - 1) ^ ((1 << ds.BitsStored) - 1), f"<u{size}")
    ds.PixelData = (np.frombuffer(ds.PixelData, f"<u{size}") | unused).tobytes()
    return written(ds)
