"""Edits of attributes that decide how samples are read."""

from __future__ import annotations

import warnings
from typing import Any

import pydicom
from pydicom import Dataset
from pydicom.dataelem import DataElement

from tests.provenance_edits.subject import EDITS, Edit, Edited, Subject, tag, written

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
