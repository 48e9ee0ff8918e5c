"""Edits of DICOM files with their planted truth: what was done is known from the edit, never from the code under test.

Shared by the tests and by benchmarks/provenance_tools.py. Files are read and written with pydicom; truth about pixels
is a comparison of the two arrays that pydicom decodes, truth about attributes is the list of elements that were touched.
"""

from __future__ import annotations

import importlib.util
import io
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.dataelem import DataElement
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

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


# ---- pixels -------------------------------------------------------------------------------------------------------

Array = np.ndarray[Any, Any]
ArrayEdit = Callable[[Array, np.random.Generator, int, int], "Array | None"]


def planted_tiles(before: Array, after: Array) -> frozenset[tuple[int, int, int]]:
    """(frame, tile row, tile column) of every tile in which a value differs."""
    frame, row, column, _ = np.nonzero(before != after)
    return frozenset(zip(frame.tolist(), (row // TILE).tolist(), (column // TILE).tolist(), strict=True))


def pixels(name: str) -> Callable[[ArrayEdit], ArrayEdit]:
    """Register an edit of the array; it gets a copy, a generator, and the least and largest value that fits."""

    def add(edit: ArrayEdit) -> ArrayEdit:
        def apply(subject: Subject) -> Edited | None:
            if not subject.editable:
                return None
            ds, before = subject.dataset, subject.array
            low = -(1 << ds.BitsStored - 1) if ds.PixelRepresentation else 0
            high = low + (1 << ds.BitsStored) - 1
            after = edit(before.astype(np.int64), _rng(subject), low, high)
            if after is None:
                return None
            after = np.clip(after, low, high).astype(before.dtype)
            two = frozenset({"F2"})
            if after.shape != before.shape:
                names = ("frames", "rows", "columns", "samples")
                shape = frozenset(n for n, a, b in zip(names, before.shape, after.shape, strict=True) if a != b)
                if shape == {"frames"}:
                    return None
                return Edited(subject.with_pixels(after), two, "PIXELS-CHANGED", shape=shape)
            tiles = planted_tiles(before, after)
            others = [(i, j) for i in range(len(before)) for j in range(len(after)) if i != j]
            if not tiles or any(np.array_equal(before[i], after[j]) for i, j in others):
                return None  # a frame that now looks like another one is moved, which `_frames` plants on purpose
            return Edited(subject.with_pixels(after), two, "PIXELS-CHANGED", tiles)

        EDITS.append(Edit("pixels", name, apply))
        return edit

    return add


def _at(name: str, where: Callable[[Array], tuple[int, int] | None], bit: int = 0) -> None:
    @pixels(name)
    def _(a: Array, rng: np.random.Generator, low: int, high: int) -> Array | None:
        place = where(a)
        if place is None:
            return None
        frame = int(rng.integers(len(a)))
        value = int(a[frame, place[0], place[1], 0]) - low
        a[frame, place[0], place[1], 0] = (value ^ (1 << bit % (high - low).bit_length())) + low
        return a


_at("lsb of the first pixel", lambda a: (0, 0))
_at("lsb of the last pixel", lambda a: (a.shape[1] - 1, a.shape[2] - 1))
_at("lsb of the middle pixel", lambda a: (a.shape[1] // 2, a.shape[2] // 2))
_at("lsb left of a tile border", lambda a: (0, TILE - 1) if a.shape[2] >= TILE else None)
_at("lsb right of a tile border", lambda a: (0, TILE) if a.shape[2] > TILE else None)
_at("lsb above a tile border", lambda a: (TILE - 1, 0) if a.shape[1] >= TILE else None)
_at("lsb at a tile corner", lambda a: (TILE, TILE) if min(a.shape[1:3]) > TILE else None)
_at("msb of one pixel", lambda a: (a.shape[1] // 2, 0), -1)
_at("second bit of one pixel", lambda a: (0, a.shape[2] // 2), 1)


def _simple(name: str, edit: Callable[[Array], Array]) -> None:
    @pixels(name)
    def _(a: Array, rng: np.random.Generator, low: int, high: int) -> Array | None:
        return edit(a)


_simple("flip left right", lambda a: a[:, :, ::-1])
_simple("flip up down", lambda a: a[:, ::-1])
_simple("turn by 180 degrees", lambda a: a[:, ::-1, ::-1])
_simple("turn by 90 degrees", lambda a: np.rot90(a, axes=(1, 2)))
_simple("transpose", lambda a: a.transpose(0, 2, 1, 3))
_simple("shift one column", lambda a: np.roll(a, 1, axis=2))
_simple("shift one row", lambda a: np.roll(a, 1, axis=1))
_simple("add one everywhere", lambda a: a + 1)
_simple("gain of 1.1", lambda a: (a * 1.1).astype(np.int64))
_simple("drop the lowest bit", lambda a: a >> 1 << 1)
_simple("drop the lowest four bits", lambda a: a >> 4 << 4)
_simple("reverse colours", lambda a: a[..., ::-1])
_simple("crop one row", lambda a: a[:, :-1])
_simple("crop one column", lambda a: a[:, :, :-1])
_simple("pad one row", lambda a: np.pad(a, ((0, 0), (0, 1), (0, 0), (0, 0)), mode="edge"))
_simple("pad one column with zeros", lambda a: np.pad(a, ((0, 0), (0, 0), (0, 1), (0, 0))))
_simple("halve the resolution", lambda a: a[:, ::2, ::2])
_simple("double the resolution", lambda a: a.repeat(2, axis=1).repeat(2, axis=2))
_simple("blur", lambda a: (a + np.roll(a, 1, 1) + np.roll(a, 1, 2) + np.roll(a, (1, 1), (1, 2))) // 4)


@pixels("invert")
def _(a: Array, rng: np.random.Generator, low: int, high: int) -> Array:
    return high + low - a


@pixels("noise of one grey level")
def _(a: Array, rng: np.random.Generator, low: int, high: int) -> Array:
    return a + rng.integers(-1, 2, a.shape)


@pixels("sparse noise")
def _(a: Array, rng: np.random.Generator, low: int, high: int) -> Array:
    return np.where(rng.random(a.shape) < 0.02, rng.integers(low, high + 1, a.shape), a)


@pixels("sign noise of eight levels, as PGD leaves it")
def _(a: Array, rng: np.random.Generator, low: int, high: int) -> Array:
    return a + 8 * rng.choice([-1, 1], a.shape)


@pixels("blocky noise")
def _(a: Array, rng: np.random.Generator, low: int, high: int) -> Array:
    rows, columns = -(-a.shape[1] // 8), -(-a.shape[2] // 8)
    noise = rng.choice([-2, 2], (1, rows, columns, 1)).repeat(8, axis=1).repeat(8, axis=2)
    return a + noise[:, : a.shape[1], : a.shape[2]]


@pixels("bright patch")
def _(a: Array, rng: np.random.Generator, low: int, high: int) -> Array:
    top, left = (int(rng.integers(max(1, n - 5))) for n in a.shape[1:3])
    a[0, top : top + 5, left : left + 5] = high
    return a


@pixels("patch copied from elsewhere")
def _(a: Array, rng: np.random.Generator, low: int, high: int) -> Array:
    a[0, :4, :4] = a[0, -4:, -4:]
    return a


@pixels("bar burnt in")
def _(a: Array, rng: np.random.Generator, low: int, high: int) -> Array:
    a[:, -2:, : a.shape[2] // 2] = low
    a[:, -1:, : a.shape[2] // 3] = high
    return a


@pixels("border blanked")
def _(a: Array, rng: np.random.Generator, low: int, high: int) -> Array:
    a[:, 0] = a[:, -1] = a[:, :, 0] = a[:, :, -1] = low
    return a


@pixels("two pixels swapped")
def _(a: Array, rng: np.random.Generator, low: int, high: int) -> Array:
    a[0, 0, 0], a[0, -1, -1] = a[0, -1, -1].copy(), a[0, 0, 0].copy()
    return a


@pixels("contrast stretched")
def _(a: Array, rng: np.random.Generator, low: int, high: int) -> Array | None:
    spread = int(a.max() - a.min())
    return (a - a.min()) * (high - low) // spread + low if spread else None


def _lossy(name: str, **options: Any) -> None:
    @pixels(name)
    def _(a: Array, rng: np.random.Generator, low: int, high: int) -> Array | None:
        from PIL import Image

        scale = max(1, (high - low + 1) >> 8)
        coarse = ((a[0] - low) // scale).astype(np.uint8)
        out = io.BytesIO()
        Image.fromarray(coarse[..., 0] if coarse.shape[2] == 1 else coarse).save(out, **options)
        decoded = np.array(Image.open(out), dtype=np.int64).reshape(coarse.shape)
        a[0] = decoded * scale + low
        return a


_lossy("JPEG of quality 90", format="JPEG", quality=90)
_lossy("JPEG of quality 40", format="JPEG", quality=40)
_lossy("JPEG 2000, 10 to 1", format="JPEG2000", irreversible=True, quality_layers=[10], quality_mode="rates")


def _header(name: str, field_name: str, change: Callable[[Dataset], bool]) -> None:
    """An edit of the header of the samples: their bytes stay, what they say does not."""

    def apply(subject: Subject) -> Edited | None:
        if not subject.editable or not subject.native:
            return None
        ds = subject.copy()
        if not change(ds):
            return None
        before = subject.array.astype(np.int64)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            size = ds.BitsAllocated // 8
            raw = before & ((1 << ds.BitsStored) - 1)
            signed = ds.PixelRepresentation and size
            after = np.where(raw >> ds.BitsStored - 1 & 1, raw - (1 << ds.BitsStored), raw) if signed else raw
        tiles = planted_tiles(before, after) if field_name != "bits" or ds.BitsStored > 8 else frozenset()
        if field_name == "bits" and (ds.BitsStored > 8) != (subject.dataset.BitsStored > 8):
            return None
        # Signedness leaves the bytes of every sample as they are, so no tile differs, only the header.
        tiles = frozenset() if field_name == "number" else tiles
        content = written(ds, subject.syntax)
        return Edited(content, frozenset({"F2"}), "PIXELS-CHANGED", tiles, shape=frozenset({field_name}))

    EDITS.append(Edit("pixels", name, apply))


def _fewer_bits(ds: Dataset) -> bool:
    if ds.BitsStored < 10:
        return False
    ds.BitsStored, ds.HighBit = ds.BitsStored - 1, ds.BitsStored - 2
    return True


def _other_sign(ds: Dataset) -> bool:
    if ds.BitsStored != ds.BitsAllocated:  # else the sign extension changes bytes too
        return False
    ds.PixelRepresentation = 1 - ds.PixelRepresentation
    return True


_header("one bit fewer stored", "bits", _fewer_bits)
_header("other signedness", "number", _other_sign)


def _frames(name: str, edit: Callable[[Array], tuple[Array, dict[str, Any]]]) -> None:
    def apply(subject: Subject) -> Edited | None:
        a = subject.array
        distinct = len({f.tobytes() for f in a})
        if not subject.editable or len(a) < 2 or distinct != len(a):
            return None
        after, truth = edit(a)
        shape = frozenset({"frames"} if len(after) != len(a) else ())
        return Edited(subject.with_pixels(after), frozenset({"F2"}), "PIXELS-CHANGED", shape=shape, **truth)

    EDITS.append(Edit("pixels", name, apply))


def _swapped(a: Array) -> Array:
    return a[[1, 0, *range(2, len(a))]]


_frames("first two frames swapped", lambda a: (_swapped(a), {"moved": frozenset({(0, 1), (1, 0)})}))
_frames("last frame removed", lambda a: (a[:-1], {"removed": frozenset({len(a) - 1})}))
_frames("first frame removed", lambda a: (a[1:], {"removed": frozenset({0})}))
_frames("blank frame added", lambda a: (np.concatenate([a, a[:1] * 0 + 1]), {"added": frozenset({len(a)})}))
_frames(
    "frames reversed",
    lambda a: (a[::-1], {"moved": frozenset((i, len(a) - 1 - i) for i in range(len(a)) if 2 * i != len(a) - 1)}),
)


# ---- meaning ------------------------------------------------------------------------------------------------------

# Keyword -> two values; the one that the file does not have is put in. From facts/provenance 2.4, not from the code.
MEANING_VALUES: dict[str, tuple[Any, Any]] = {
    "SOPClassUID": ("1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.1.1"),
    "Modality": ("CT", "MG"),
    "BodyPartExamined": ("CHEST", "HEAD"),
    "SliceThickness": ("5", "2.5"),
    "SpacingBetweenSlices": ("5", "2.5"),
    "FrameTime": ("33.3", "40"),
    "ImagerPixelSpacing": (["0.1", "0.1"], ["0.2", "0.2"]),
    "PatientPosition": ("HFS", "FFS"),
    "ViewPosition": ("PA", "AP"),
    "PatientOrientation": (["L", "P"], ["R", "P"]),
    "ImagePositionPatient": (["0", "0", "1"], ["0", "0", "2"]),
    "ImageOrientationPatient": (["1", "0", "0", "0", "1", "0"], ["-1", "0", "0", "0", "1", "0"]),
    "Laterality": ("L", "R"),
    "ImageLaterality": ("L", "R"),
    "SliceLocation": ("10", "20"),
    "PhotometricInterpretation": ("MONOCHROME1", "MONOCHROME2"),
    "PixelSpacing": (["0.5", "0.5"], ["1", "1"]),
    "PixelAspectRatio": (["1", "2"], ["2", "1"]),
    "PixelPaddingValue": (0, 1),
    "PixelPaddingRangeLimit": (2, 3),
    "WindowCenter": ("40", "600"),
    "WindowWidth": ("400", "1600"),
    "RescaleIntercept": ("-1024", "0.001"),
    "RescaleSlope": ("1.5", "2"),
    "RescaleType": ("HU", "US"),
    "VOILUTFunction": ("SIGMOID", "LINEAR_EXACT"),
    "RedPaletteColorLookupTableDescriptor": ([256, 0, 16], [256, 0, 8]),
    "RedPaletteColorLookupTableData": (b"\x01\x00" * 256, b"\x02\x00" * 256),
    "GreenPaletteColorLookupTableData": (b"\x01\x00" * 256, b"\x02\x00" * 256),
    "BluePaletteColorLookupTableData": (b"\x01\x00" * 256, b"\x02\x00" * 256),
    "ICCProfile": (b"\x00\x01" * 64, b"\x00\x02" * 64),
    "ColorSpace": ("SRGB", "ADOBERGB"),
    "LossyImageCompression": ("01", "00"),
    "LossyImageCompressionRatio": ("10", "20"),
    "LossyImageCompressionMethod": ("ISO_10918_1", "ISO_15444_1"),
    "TotalPixelMatrixColumns": (1000, 2000),
    "ImageOrientationSlide": (["0", "-1", "0", "-1", "0", "0"], ["0", "1", "0", "1", "0", "0"]),
    "Units": ("BQML", "CNTS"),
    "SegmentationType": ("BINARY", "FRACTIONAL"),
    "PresentationLUTShape": ("INVERSE", "IDENTITY"),
    "DoseUnits": ("GY", "RELATIVE"),
    "DoseType": ("PHYSICAL", "EFFECTIVE"),
    "GridFrameOffsetVector": (["0", "1"], ["0", "2"]),
    "DoseGridScaling": ("0.01", "0.02"),
}


def plain_value(value: Any) -> Any:
    """A value that can be compared: numbers as numbers, since 0 and 00 are one."""
    try:
        return [float(v) for v in value] if not isinstance(value, (str, bytes)) and len(value) > 1 else float(value)
    except (TypeError, ValueError):
        return [str(v) for v in value] if not isinstance(value, (str, bytes)) and hasattr(value, "__len__") else value


def _set(keyword: str) -> None:
    def apply(subject: Subject) -> Edited | None:
        ds = subject.copy()
        if keyword == "PhotometricInterpretation" and ds.SamplesPerPixel != 1:
            return None
        present = ds.get(keyword)
        first, second = MEANING_VALUES[keyword]
        value = second if present is not None and plain_value(present) == plain_value(first) else first
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            number = pydicom.datadict.tag_for_keyword(keyword)
            vr = pydicom.datadict.dictionary_VR(keyword)
            vr = {"US or SS": "SS" if ds.get("PixelRepresentation") else "US"}.get(vr, vr)
            ds[number] = DataElement(number, vr, value)  # type: ignore[index, arg-type]
            if keyword == "SOPClassUID":
                ds.file_meta.MediaStorageSOPClassUID = value
        truth = frozenset({tag(keyword)})
        return Edited(written(ds), frozenset({"F3"}), "MEANING-CHANGED", meaning=truth)

    EDITS.append(Edit("meaning", f"{keyword} set", apply))


def _without(keyword: str, empty: bool) -> None:
    def apply(subject: Subject) -> Edited | None:
        ds = subject.copy()
        if keyword not in ds or (empty and not ds[keyword].value) or keyword == "PhotometricInterpretation":
            return None
        if empty:
            ds[keyword].value = b"" if ds[keyword].VR.startswith("O") else None
        else:
            del ds[keyword]
        if keyword == "SOPClassUID":
            return None  # pydicom will not write such a file
        return Edited(written(ds), frozenset({"F3"}), "MEANING-CHANGED", meaning=frozenset({tag(keyword)}))

    EDITS.append(Edit("meaning", f"{keyword} {'emptied' if empty else 'removed'}", apply))


for _keyword in MEANING_VALUES:
    _set(_keyword)
    _without(_keyword, empty=False)
    _without(_keyword, empty=True)


def _lut_sequence(keyword: str, extra: str, value: str) -> None:
    def apply(subject: Subject) -> Edited | None:
        ds = subject.copy()
        if keyword in ds:
            return None
        item = Dataset()
        item.add_new(0x00283002, "US", [2, 0, 16])
        item.add_new(0x00283006, "US", [0, 7])
        setattr(item, extra, value)
        setattr(ds, keyword, [item])
        inner = ("(0028,3002)", "(0028,3006)", *([tag(extra)] if extra == "ModalityLUTType" else []))
        truth = frozenset({tag(keyword), *(f"{tag(keyword)}[0]/{t}" for t in (*inner, tag(extra)))})
        return Edited(written(ds), frozenset({"F3"}), "MEANING-CHANGED", meaning=truth)

    EDITS.append(Edit("meaning", f"{keyword} put in", apply))


_lut_sequence("ModalityLUTSequence", "ModalityLUTType", "HU")
_lut_sequence("VOILUTSequence", "LUTExplanation", "brighter")


def _overlay(subject: Subject) -> Edited | None:
    ds = subject.copy()
    if any(0x6000 <= e.tag.group < 0x6020 for e in ds):
        return None
    bits = (ds.Rows * ds.Columns + 15) // 16 * 2
    ds.add_new(0x60000010, "US", ds.Rows)
    ds.add_new(0x60000011, "US", ds.Columns)
    ds.add_new(0x60000040, "CS", "G")
    ds.add_new(0x60000050, "SS", [1, 1])
    ds.add_new(0x60000100, "US", 1)
    ds.add_new(0x60000102, "US", 0)
    ds.add_new(0x60003000, "OW", b"\x0f" * bits)
    truth = frozenset(f"(6000,{e})" for e in ("0010", "0011", "0040", "0050", "0102", "3000"))
    return Edited(written(ds), frozenset({"F3"}), "MEANING-CHANGED", meaning=truth)


EDITS.append(Edit("meaning", "overlay drawn", _overlay))


def _functional_group(subject: Subject) -> Edited | None:
    ds = subject.copy()
    groups = ds.get("PerFrameFunctionalGroupsSequence") or []
    if not groups or "PlanePositionSequence" not in groups[0]:
        return None
    groups[0].PlanePositionSequence[0].ImagePositionPatient = ["1", "2", "3.25"]
    truth = frozenset({"(5200,9230)[0]/(0020,9113)[0]/(0020,0032)"})
    return Edited(written(ds), frozenset({"F3"}), "MEANING-CHANGED", meaning=truth)


EDITS.append(Edit("meaning", "one frame moved in space", _functional_group))


# ---- identity -----------------------------------------------------------------------------------------------------

IDENTITY_VALUES: dict[str, tuple[str, str]] = {
    "SOPInstanceUID": ("1.2.3.4", "1.2.3.5"),
    "StudyDate": ("20010101", "20010102"),
    "SeriesDate": ("20010101", "20010102"),
    "AcquisitionDate": ("20010101", "20010102"),
    "ContentDate": ("20010101", "20010102"),
    "AcquisitionDateTime": ("20010101101010", "20010102101010"),
    "StudyTime": ("101010", "111111"),
    "SeriesTime": ("101010", "111111"),
    "AcquisitionTime": ("101010", "111111"),
    "ContentTime": ("101010", "111111"),
    "AccessionNumber": ("A1", "A2"),
    "InstitutionName": ("Here", "There"),
    "ReferringPhysicianName": ("Doe^John", "Roe^Jane"),
    "StationName": ("CT1", "CT2"),
    "PatientName": ("Doe^John", "Roe^Jane"),
    "PatientID": ("4711", "4712"),
    "IssuerOfPatientID": ("HERE", "THERE"),
    "PatientBirthDate": ("19500101", "19510101"),
    "PatientSex": ("F", "M"),
    "PatientAge": ("050Y", "051Y"),
    "PatientSize": ("1.7", "1.8"),
    "PatientWeight": ("70", "80"),
    "DeviceSerialNumber": ("SN1", "SN2"),
    "StudyInstanceUID": ("1.2.3.6", "1.2.3.7"),
    "SeriesInstanceUID": ("1.2.3.8", "1.2.3.9"),
    "StudyID": ("S1", "S2"),
    "SeriesNumber": ("1", "2"),
    "InstanceNumber": ("1", "2"),
    "FrameOfReferenceUID": ("1.2.3.10", "1.2.3.11"),
}


def _relabel(keyword: str) -> None:
    def apply(subject: Subject) -> Edited | None:
        ds = subject.copy()
        first, second = IDENTITY_VALUES[keyword]
        value = second if keyword in ds and plain_value(ds.get(keyword)) == plain_value(first) else first
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            setattr(ds, keyword, value)
            if keyword == "SOPInstanceUID":
                ds.file_meta.MediaStorageSOPInstanceUID = value
        return Edited(written(ds), frozenset({"F4"}), "IDENTITY-COERCED", identity=frozenset({tag(keyword)}))

    EDITS.append(Edit("identity", f"{keyword} set", apply))


def _unlabel(keyword: str) -> None:
    def apply(subject: Subject) -> Edited | None:
        ds = subject.copy()
        if keyword not in ds:
            return None
        del ds[keyword]
        return Edited(written(ds), frozenset({"F4"}), "IDENTITY-COERCED", identity=frozenset({tag(keyword)}))

    EDITS.append(Edit("identity", f"{keyword} removed", apply))


for _keyword in IDENTITY_VALUES:
    _relabel(_keyword)
for _keyword in ("PatientID", "PatientName", "AccessionNumber", "StudyDate", "FrameOfReferenceUID"):
    _unlabel(_keyword)


# ---- encoding: nothing but the way of writing changes ---------------------------------------------------------------


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


# ---- broken: must be refused ------------------------------------------------------------------------------------------


def broken(name: str) -> Callable[[Callable[[Subject], bytes | None]], Callable[[Subject], bytes | None]]:
    """Register an edit after which the file must be refused."""

    def add(edit: Callable[[Subject], bytes | None]) -> Callable[[Subject], bytes | None]:
        def apply(subject: Subject) -> Edited | None:
            content = edit(subject)
            return None if content is None else Edited(content, frozenset(), "REFUSED")

        EDITS.append(Edit("broken", name, apply))
        return edit

    return add


def _explicit(subject: Subject) -> bytes | None:
    if not subject.editable:
        return None
    return subject.with_pixels(subject.array) if subject.syntax != ExplicitVRBigEndian else None


@broken("a tag twice")
def _(subject: Subject) -> bytes | None:
    content = _explicit(subject)
    at = content.find(b"\x28\x00\x10\x00US") if content else -1
    return content[:at] + content[at : at + 10] + content[at:] if content and at > 0 else None


@broken("pixel data twice")
def _(subject: Subject) -> bytes | None:
    content = _explicit(subject)
    at = content.rfind(b"\xe0\x7f\x10\x00O") if content else -1
    return content + content[at:] if content and at > 0 else None


@broken("float pixel data beside pixel data")
def _(subject: Subject) -> bytes | None:
    if not subject.editable or subject.syntax == ExplicitVRBigEndian:
        return None
    ds = subject.copy()
    set_pixels(ds, subject.array)
    ds.add_new(0x7FE00008, "OF", b"\x00" * 4 * subject.array.size)
    return written(ds)


@broken("cut off by one byte")
def _(subject: Subject) -> bytes:
    return subject.content[:-1]


@broken("cut in half")
def _(subject: Subject) -> bytes:
    return subject.content[: len(subject.content) // 2]


@broken("one row more in the header")
def _(subject: Subject) -> bytes | None:
    ds = subject.copy()
    size = subject.array.size * ds.BitsAllocated // 8
    if not subject.editable or (subject.native and len(ds.PixelData) > size + 1):
        return None  # with padding for one more row the header is right again
    ds.Rows += 1
    return written(ds)


@broken("three frames more in the header")
def _(subject: Subject) -> bytes:
    ds = subject.copy()
    ds.NumberOfFrames = int(ds.get("NumberOfFrames") or 1) + 3
    return written(ds)


@broken("high bit below bits stored")
def _(subject: Subject) -> bytes:
    ds = subject.copy()
    ds.HighBit = ds.BitsStored - 2 if ds.BitsStored > 1 else 5
    return written(ds)


@broken("no transfer syntax")
def _(subject: Subject) -> bytes:
    return subject.content.replace(b"\x02\x00\x10\x00UI", b"\x02\x00\x11\x00UI", 1)


@broken("unknown transfer syntax")
def _(subject: Subject) -> bytes | None:
    old = subject.syntax.encode()
    return subject.content.replace(old, old[:-1] + b"7", 1) if UID(subject.syntax).is_compressed else None


def edits(group: str | None = None) -> Iterator[Edit]:
    """All operators, or those of one group."""
    return (e for e in EDITS if group in (None, e.group))
