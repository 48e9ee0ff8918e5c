"""What an edit works on, and what it should lead to."""

from __future__ import annotations

import importlib.util
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.dataelem import DataElement
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian

TILE = 64
DCT = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")


def test_files() -> dict[str, Path]:
    """Every file of pydicom's wheel, and of pydicom-data where it is installed, by name; nothing is fetched."""
    found: dict[str, Path] = {}
    folders = [Path(pydicom.__file__).parent / "data" / "test_files"]
    extra = importlib.util.find_spec("data_store")
    if extra is not None and extra.origin:
        folders.append(Path(extra.origin).parent / "data")
    for folder in folders:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            found.setdefault(str(path.relative_to(folder)), path)
    return found


test_files.__test__ = False  # type: ignore[attr-defined]


def tag(keyword: str) -> str:
    """A keyword's tag as the standard writes it."""
    number = pydicom.datadict.tag_for_keyword(keyword)
    assert number is not None, keyword
    return f"({number >> 16:04X},{number & 0xFFFF:04X})"


def written(ds: Dataset, syntax: str | None = None) -> bytes:
    """A data set as a Part 10 file."""
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if syntax is not None:
            ds.file_meta.TransferSyntaxUID = UID(syntax)
        pydicom.dcmwrite(out, ds, enforce_file_format=True)
    return out.getvalue()


@dataclass
class Subject:
    """One original file: its bytes, its data set, and its stored pixel values as pydicom decodes them."""

    name: str
    content: bytes

    @cached_property
    def dataset(self) -> Dataset:
        return self.copy()

    def copy(self) -> Dataset:
        """A data set that may be changed."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pydicom.dcmread(io.BytesIO(self.content))

    @property
    def syntax(self) -> str:
        return str(self.dataset.file_meta.TransferSyntaxUID)

    @property
    def native(self) -> bool:
        return not UID(self.syntax).is_compressed or UID(self.syntax).is_deflated

    @cached_property
    def array(self) -> np.ndarray[Any, Any]:
        """[frames, rows, columns, samples]"""
        ds = self.dataset
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            a = pydicom.pixels.pixel_array(ds, raw=True)
        return np.asarray(a).reshape(int(ds.get("NumberOfFrames") or 1), ds.Rows, ds.Columns, ds.SamplesPerPixel)

    @property
    def editable(self) -> bool:
        """Pixels can be written back without losing anything: whole bytes, no hidden overlay, no subsampling, no DCT."""
        ds = self.dataset
        return (
            self.syntax not in DCT
            and "PixelData" in ds
            and ds.BitsAllocated in (8, 16, 32)
            and ds.PhotometricInterpretation != "YBR_FULL_422"
            and ds.HighBit == ds.BitsStored - 1
            and not any(e.tag.element == 0x0102 and e.value for e in ds if 0x6000 <= e.tag.group < 0x6020)
        )

    def with_pixels(self, array: np.ndarray[Any, Any]) -> bytes:
        """The file with these stored values, native little endian (big endian stays so)."""
        ds = self.copy()
        set_pixels(ds, array)
        return written(ds, ds.file_meta.TransferSyntaxUID)


def largest_difference(pixels: np.ndarray[Any, Any], content: bytes) -> int:
    """How far an array is from what pydicom decodes, in stored values; 1 is what two DCT decoders may differ by."""
    array = Subject("", content).array
    return int(np.abs(array.reshape(pixels.shape).astype(np.int64) - pixels.astype(np.int64)).max())


def set_pixels(ds: Dataset, array: np.ndarray[Any, Any]) -> None:
    """Put native pixel values into a data set, with the attributes that say how many they are."""
    if UID(ds.file_meta.TransferSyntaxUID).is_compressed:
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        if ds.PhotometricInterpretation in ("YBR_RCT", "YBR_ICT"):
            ds.PhotometricInterpretation = "RGB"
    order = ">" if ds.file_meta.TransferSyntaxUID == ExplicitVRBigEndian else "<"
    ds.Rows, ds.Columns = array.shape[1:3]
    if array.shape[0] > 1 or "NumberOfFrames" in ds:
        ds.NumberOfFrames = array.shape[0]
    if ds.SamplesPerPixel > 1:
        ds.PlanarConfiguration = 0
    size = ds.BitsAllocated // 8
    values = array.astype(f"{'i' if ds.PixelRepresentation else 'u'}{size}")
    if ds.BitsStored < ds.BitsAllocated:  # unused bits are zero, as encoders leave them
        values = values.view(f"u{size}") & np.array((1 << ds.BitsStored) - 1, f"u{size}")
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    if size == 1 and order == ">":
        words = np.frombuffer(data + b"\x00" * (len(data) % 2), "<u2")
        data = words.byteswap().tobytes() if _is_ow(ds) else data
    ds[0x7FE00010] = DataElement(0x7FE00010, "OW" if size > 1 or _is_ow(ds) else "OB", data + b"\x00" * (len(data) % 2))


def _is_ow(ds: Dataset) -> bool:
    return bool(ds["PixelData"].VR == "OW") and ds.BitsAllocated == 8


@dataclass(frozen=True)
class Edited:
    """An edited file and what must be found in it.

    `tiers` are those of F2, F3 and F4 that must differ; `pixels` is the array that the file now holds.
    """

    content: bytes
    tiers: frozenset[str]
    verdict: str
    tiles: frozenset[tuple[int, int, int]] = frozenset()
    meaning: frozenset[str] = frozenset()
    identity: frozenset[str] = frozenset()
    shape: frozenset[str] = frozenset()
    moved: frozenset[tuple[int, int]] = frozenset()
    added: frozenset[int] = frozenset()
    removed: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Edit:
    """One operator: its group (pixels, meaning, identity, encoding, broken), its name, and what it does.

    `apply` returns None where the edit does not apply to a file, or would change nothing in it.
    """

    group: str
    name: str
    apply: Callable[[Subject], Edited | None] = field(repr=False)

    def __str__(self) -> str:
        return f"{self.group}:{self.name}"


EDITS: list[Edit] = []


def _rng(subject: Subject) -> np.random.Generator:
    return np.random.default_rng(len(subject.content))
