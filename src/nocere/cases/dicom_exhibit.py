"""Marks that keep an adversarial DICOM file from being mistaken for a patient's, and their removal for gate tests.

A marked file has SOP and Series UIDs of its own (made from its content, so that equal files get equal ones), Image Type
DERIVED, a Derivation Description, Quality Control Image YES and a reference to its source. What these attributes were
before is kept in a private element, so that taking the marks off gives back the data set as it was, attribute by
attribute. The marks are outside of everything that says how pixels are read or shown.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nocere.core.canonical import sha256
from nocere.core.errors import DataError

DESCRIPTION = "adversarial exhibit, not for clinical use"
GROUP, CREATOR, BEFORE = 0x4E43, "NOCERE EXHIBIT 1", 0x01
MARKED = (
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "ImageType",
    "DerivationDescription",
    "QualityControlImage",
    "SourceImageSequence",
)
IMPLEMENTATION = "2.25.237648226017438523901346274891208514233"
NATIVE = "1.2.840.10008.1.2.1"  # explicit VR little endian


@contextmanager
def quiet() -> Iterator[None]:
    """Without pydicom's warnings: odd values of attributes that are only carried along are nobody's concern here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def uid(*parts: str) -> str:
    """A UID from its parts (PS3.5 annex B.2: a UUID in decimal under 2.25), here of version 8 of RFC 9562."""
    n = int(sha256("\n".join(parts).encode())[:32], 16)
    n = n & ~(0xF << 76) | 0x8 << 76
    n = n & ~(0x3 << 62) | 0x2 << 62
    return f"2.25.{n}"


def is_marked(ds: Any) -> bool:
    """True for a data set that carries the marks."""
    return any(str(ds[tag].value).strip() == CREATOR for tag in _creators(ds))


def _creators(ds: Any) -> list[Any]:
    return [tag for tag in ds.keys() if tag.group == GROUP and 0x10 <= tag.element <= 0xFF]  # noqa: SIM118


def mark(ds: Any, content: bytes) -> None:
    """Put the marks on a data set in place; `content` is its pixel data.

    Raises:
        DataError: it is an exhibit already.
    """
    from pydicom.dataset import Dataset
    from pydicom.multival import MultiValue

    if is_marked(ds):
        raise DataError("This DICOM is an adversarial exhibit already.", "Audit the file that it was made from.")
    before = _taken(ds)
    source = Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    kind, series = ds.get("ImageType"), ds.get("SeriesInstanceUID")
    ds.SOPInstanceUID = uid("exhibit", str(ds.SOPInstanceUID), sha256(content))
    ds.SeriesInstanceUID = uid("exhibits", str(series or ""))
    ds.ImageType = ["DERIVED", *(list(kind)[1:] if isinstance(kind, (list, MultiValue)) else ["SECONDARY"])]
    ds.DerivationDescription = DESCRIPTION
    ds.QualityControlImage = "YES"
    ds.SourceImageSequence = [source]
    ds.private_block(GROUP, CREATOR, create=True).add_new(BEFORE, "OB", before)


def _taken(ds: Any) -> bytes:
    """The attributes that marks replace, in explicit VR little endian, as they were written, odd as they may be."""
    from pydicom.datadict import tag_for_keyword
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_data_element

    out = DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = True, False
    for keyword in MARKED:
        tag: Any = tag_for_keyword(keyword)
        if tag in ds:
            write_data_element(out, ds.get_item(tag), ds.original_character_set)
    return out.getvalue()


def unmark(ds: Any) -> None:
    """Take the marks off in place; a data set without them is left as it is."""
    if not is_marked(ds):
        return
    from pydicom.filereader import read_dataset

    held = io.BytesIO(ds.private_block(GROUP, CREATOR)[BEFORE].value)
    before = read_dataset(held, is_implicit_VR=False, is_little_endian=True)
    for keyword in MARKED:
        if keyword in ds:
            del ds[keyword]
    for tag in before.keys():  # noqa: SIM118
        ds[tag] = before.get_item(tag)
    for tag in [t for t in ds.keys() if t.group == GROUP]:  # noqa: SIM118
        del ds[tag]


def read(data: bytes, where: str) -> Any:
    """A Part 10 file as a pydicom data set; pixel data stay bytes.

    Raises:
        DataError: not DICOM, or cut short.
        PrerequisiteError: pydicom is not installed.
    """
    from nocere.core.errors import PrerequisiteError

    try:
        from pydicom import dcmread
        from pydicom.errors import InvalidDicomError
    except ModuleNotFoundError as e:
        raise PrerequisiteError(f"{where} is a DICOM file.", "Install it with: pip install 'nocere[dicom]'") from e
    try:
        with quiet():
            return dcmread(io.BytesIO(data))
    except (InvalidDicomError, EOFError, KeyError, ValueError, AttributeError, NotImplementedError, OSError) as e:
        first = " ".join(str(e).split())[:200]
        raise DataError(f"{where}: this DICOM cannot be read ({first}).") from e


def write(ds: Any, where: str) -> bytes:
    """A data set as a Part 10 file in explicit VR little endian; the same bytes every time.

    Raises:
        DataError: it cannot be written, for want of a SOP Class or SOP Instance UID for example.
    """
    from pydicom import dcmwrite
    from pydicom.dataset import FileMetaDataset

    meta: Any = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.get("SOPClassUID"), ds.get("SOPInstanceUID")
    meta.TransferSyntaxUID = NATIVE
    meta.ImplementationClassUID, meta.ImplementationVersionName = IMPLEMENTATION, "NOCERE"
    ds.file_meta, ds.preamble = meta, b"\0" * 128
    out = io.BytesIO()
    try:
        with quiet():
            dcmwrite(out, ds, enforce_file_format=True, little_endian=True, implicit_vr=False, overwrite=True)
    except Exception as e:  # values that pydicom read and cannot write: many kinds of error
        first = str(e).split("\n", 1)[0][:200]
        raise DataError(f"{where}: this DICOM cannot be written again ({first}).") from e
    return out.getvalue()
