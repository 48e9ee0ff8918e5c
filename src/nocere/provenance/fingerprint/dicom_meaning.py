"""Which DICOM attributes decide how pixels are read, and which say whose they are: closed lists (docs/spec).

An attribute of the lists that is absent is said to be absent: putting one in is a change like any other.
"""

from __future__ import annotations

import re

from nocere.provenance.fingerprint.dicom_elements import Dataset, dictionary_vr, tag_text
from nocere.provenance.fingerprint.dicom_values import charset_of, flatten, value_of

# Tag -> (name as in PS3.6, what a change of it does).
MEANING: dict[int, tuple[str, str]] = {
    0x00080016: ("SOP Class UID", "the file is taken for another kind of image"),
    0x00080060: ("Modality", "the image is taken for one of another modality"),
    0x00180015: ("Body Part Examined", "the image is taken for another part of the body"),
    0x00180050: ("Slice Thickness", "volumes are computed otherwise"),
    0x00180088: ("Spacing Between Slices", "volumes are computed otherwise"),
    0x00181063: ("Frame Time", "speeds and rates are computed otherwise"),
    0x00181065: ("Frame Time Vector", "speeds and rates are computed otherwise"),
    0x00181164: ("Imager Pixel Spacing", "lengths and areas are computed otherwise"),
    0x00185100: ("Patient Position", "left and right, or head and feet, may be exchanged"),
    0x00185101: ("View Position", "the projection is taken for another one"),
    0x00186011: ("Sequence of Ultrasound Regions", "lengths, times and velocities are computed otherwise"),
    0x00200020: ("Patient Orientation", "left and right, or head and feet, may be exchanged"),
    0x00200032: ("Image Position (Patient)", "the slice lies elsewhere in the body"),
    0x00200037: ("Image Orientation (Patient)", "left and right, or head and feet, may be exchanged"),
    0x00200060: ("Laterality", "the other side of the body is meant"),
    0x00200062: ("Image Laterality", "the other side of the body is meant"),
    0x00201041: ("Slice Location", "the slice lies elsewhere in the body"),
    0x00280004: ("Photometric Interpretation", "light and dark, or colours, are exchanged"),
    0x00280009: ("Frame Increment Pointer", "frames are ordered by another axis"),
    0x00280030: ("Pixel Spacing", "lengths and areas are computed otherwise"),
    0x00280034: ("Pixel Aspect Ratio", "the image is shown stretched"),
    0x00280120: ("Pixel Padding Value", "other pixels count as background"),
    0x00280121: ("Pixel Padding Range Limit", "other pixels count as background"),
    0x00281050: ("Window Center", "the image is shown brighter or darker"),
    0x00281051: ("Window Width", "the image is shown with another contrast"),
    0x00281052: ("Rescale Intercept", "stored values become other Hounsfield or physical units"),
    0x00281053: ("Rescale Slope", "stored values become other Hounsfield or physical units"),
    0x00281054: ("Rescale Type", "rescaled values are read in another unit"),
    0x00281056: ("VOI LUT Function", "the window is applied otherwise"),
    0x00281101: ("Red Palette Color Lookup Table Descriptor", "colours are exchanged"),
    0x00281102: ("Green Palette Color Lookup Table Descriptor", "colours are exchanged"),
    0x00281103: ("Blue Palette Color Lookup Table Descriptor", "colours are exchanged"),
    0x00281201: ("Red Palette Color Lookup Table Data", "colours are exchanged"),
    0x00281202: ("Green Palette Color Lookup Table Data", "colours are exchanged"),
    0x00281203: ("Blue Palette Color Lookup Table Data", "colours are exchanged"),
    0x00281221: ("Segmented Red Palette Color Lookup Table Data", "colours are exchanged"),
    0x00281222: ("Segmented Green Palette Color Lookup Table Data", "colours are exchanged"),
    0x00281223: ("Segmented Blue Palette Color Lookup Table Data", "colours are exchanged"),
    0x00282000: ("ICC Profile", "colours are shown otherwise"),
    0x00282002: ("Color Space", "colours are shown otherwise"),
    0x00282110: ("Lossy Image Compression", "a lossy image passes for an original, or the reverse"),
    0x00282112: ("Lossy Image Compression Ratio", "the loss of detail is stated otherwise"),
    0x00282114: ("Lossy Image Compression Method", "the loss of detail is stated otherwise"),
    0x00283000: ("Modality LUT Sequence", "stored values become other physical units"),
    0x00283010: ("VOI LUT Sequence", "the image is shown with another contrast"),
    0x00409096: ("Real World Value Mapping Sequence", "stored values become other physical units"),
    0x00480006: ("Total Pixel Matrix Columns", "the tile lies elsewhere on the slide"),
    0x00480007: ("Total Pixel Matrix Rows", "the tile lies elsewhere on the slide"),
    0x00480008: ("Total Pixel Matrix Origin Sequence", "the tile lies elsewhere on the slide"),
    0x00480102: ("Image Orientation (Slide)", "the slide is shown turned"),
    0x00540016: ("Radiopharmaceutical Information Sequence", "uptake values are computed otherwise"),
    0x00541001: ("Units", "pixel values are read in another unit"),
    0x00541102: ("Decay Correction", "uptake values are computed otherwise"),
    0x00620001: ("Segmentation Type", "the segments are read otherwise"),
    0x00620002: ("Segment Sequence", "the segments stand for other structures"),
    0x20500010: ("Presentation LUT Sequence", "the image is shown with another contrast"),
    0x20500020: ("Presentation LUT Shape", "light and dark are exchanged"),
    0x30040002: ("Dose Units", "the dose is read in another unit"),
    0x30040004: ("Dose Type", "the dose is read otherwise"),
    0x3004000C: ("Grid Frame Offset Vector", "the dose planes lie elsewhere in the body"),
    0x3004000E: ("Dose Grid Scaling", "stored values become other doses"),
    0x52009229: ("Shared Functional Groups Sequence", "scale, place or display of all frames changes"),
    0x52009230: ("Per-Frame Functional Groups Sequence", "scale, place or display of a frame changes"),
}

OVERLAY: dict[int, tuple[str, str]] = {
    0x0010: ("Overlay Rows", "the overlay is drawn otherwise"),
    0x0011: ("Overlay Columns", "the overlay is drawn otherwise"),
    0x0015: ("Number of Frames in Overlay", "the overlay is drawn over other frames"),
    0x0040: ("Overlay Type", "graphics pass for a region of interest, or the reverse"),
    0x0050: ("Overlay Origin", "the overlay is drawn elsewhere"),
    0x0051: ("Image Frame Origin", "the overlay is drawn over other frames"),
    0x0102: ("Overlay Bit Position", "the overlay is taken from other bits"),
    0x3000: ("Overlay Data", "other graphics are drawn over the image"),
}

IDENTITY: dict[int, str] = {
    0x00080018: "SOP Instance UID",
    0x00080020: "Study Date",
    0x00080021: "Series Date",
    0x00080022: "Acquisition Date",
    0x00080023: "Content Date",
    0x0008002A: "Acquisition DateTime",
    0x00080030: "Study Time",
    0x00080031: "Series Time",
    0x00080032: "Acquisition Time",
    0x00080033: "Content Time",
    0x00080050: "Accession Number",
    0x00080080: "Institution Name",
    0x00080090: "Referring Physician's Name",
    0x00081010: "Station Name",
    0x00100010: "Patient's Name",
    0x00100020: "Patient ID",
    0x00100021: "Issuer of Patient ID",
    0x00100030: "Patient's Birth Date",
    0x00100040: "Patient's Sex",
    0x00101000: "Other Patient IDs",
    0x00101010: "Patient's Age",
    0x00101020: "Patient's Size",
    0x00101030: "Patient's Weight",
    0x00181000: "Device Serial Number",
    0x0020000D: "Study Instance UID",
    0x0020000E: "Series Instance UID",
    0x00200010: "Study ID",
    0x00200011: "Series Number",
    0x00200013: "Instance Number",
    0x00200052: "Frame of Reference UID",
}

# Inside of a sequence: what de-identification and coercion change, and free text, decide no reading.
NOT_MEANING = frozenset({"UI", "DA", "TM", "DT", "PN", "LT", "ST", "UT", "UC", "UR", "AE", "AS", "UN"})
# Names for colour that only say how a codec stored RGB (PS3.5 section 8.2.4); the codec's transform is undone here.
CODEC_COLOUR = {"YBR_RCT": "RGB", "YBR_ICT": "RGB"}
PHOTOMETRIC = 0x00280004
PADDING = 0xFFFCFFFC  # Data Set Trailing Padding, in items as well


def overlay_groups(dataset: Dataset) -> list[int]:
    """Groups 6000, 6002 ... 601E that the data set has elements of."""
    return sorted({tag >> 16 for tag in dataset if 0x6000 <= tag >> 16 <= 0x601E and not tag >> 16 & 1})


def _nested(dataset: Dataset, tag: int, charset: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for path, inner, element, inner_charset in flatten({tag: dataset[tag]}, charset):
        padding_or_private = inner >> 16 & 1 or inner & 0xFFFF == 0 or inner == PADDING
        if not padding_or_private and dictionary_vr(inner) not in NOT_MEANING:
            found[path] = value_of(inner, element, inner_charset)
    return found


def meaning_of(dataset: Dataset) -> dict[str, str | None]:
    """F3 attributes: each of the closed list with its canonical value, or None where it is absent.

    Elements inside of sequences are named by their path. Overlay groups are there as far as the file has them.
    """
    charset = charset_of(dataset, "iso8859")
    out: dict[str, str | None] = {}
    overlays = [group << 16 | element for group in overlay_groups(dataset) for element in OVERLAY]
    for tag in (*MEANING, *overlays):
        if tag not in dataset:
            out[tag_text(tag)] = None
        elif dataset[tag].items is not None:
            out.update(_nested(dataset, tag, charset))
        else:
            out[tag_text(tag)] = value_of(tag, dataset[tag], charset)
    colour = out[tag_text(PHOTOMETRIC)]
    out[tag_text(PHOTOMETRIC)] = CODEC_COLOUR.get(colour or "", colour)
    return out


def identity_of(dataset: Dataset) -> dict[str, str | None]:
    """F4 fields: each of the closed list with its canonical value, or None where it is absent."""
    charset = charset_of(dataset, "iso8859")
    return {tag_text(t): value_of(t, dataset[t], charset) if t in dataset else None for t in IDENTITY}


def dataset_of(dataset: Dataset) -> dict[str, str | None]:
    """F1 elements: all but pixel data (F2 has it), group lengths, signatures and trailing padding."""
    out: dict[str, str | None] = {}
    for path, tag, element, charset in flatten(dataset, "iso8859"):
        group = tag >> 16
        signature = "(FFFA,FFFA)" in path or group == 0x4FFE
        encoding = tag & 0xFFFF == 0 or tag == PADDING or (group == 0x7FE0 and "/" not in path)
        if not signature and not encoding:
            out[path] = value_of(tag, element, charset)
    return out


def describe(attribute: str) -> tuple[str, str]:
    """Name of a DICOM attribute path and what a change of it does, in plain words."""
    tags = [int(group + element, 16) for group, element in re.findall(r"\(([0-9A-F]{4}),([0-9A-F]{4})\)", attribute)]
    if not tags:
        return "", "the image is read otherwise"
    outer, inner = tags[0], tags[-1]
    table = OVERLAY.get(outer & 0xFFFF) if outer >> 24 == 0x60 else MEANING.get(outer)
    name, effect = table or ("", "the image is read otherwise")
    if len(tags) > 1:
        name = f"{name} > {_description(inner)}"
        effect = MEANING[inner][1] if inner in MEANING else effect
    return name, effect


def _description(tag: int) -> str:
    from pydicom.datadict import dictionary_description

    try:
        return str(dictionary_description(tag))
    except KeyError:
        return "unknown attribute"
