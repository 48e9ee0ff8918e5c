"""DICOM images: elements, pixels and closed lists put together into one reading."""

from __future__ import annotations

from nocere.core.canonical import sha256
from nocere.core.errors import DataError
from nocere.provenance.fingerprint.dicom_elements import Dataset, parse, tag_text
from nocere.provenance.fingerprint.dicom_meaning import dataset_of, identity_of, meaning_of, overlay_groups
from nocere.provenance.fingerprint.dicom_pixels import Decoded, decode, embedded_overlay
from nocere.provenance.fingerprint.reading import Reading, Undecodable


def _embedded_overlays(dataset: Dataset, decoded: Decoded) -> dict[str, str]:
    """Overlay Data (60xx,3000) of overlays that lie in unused bits of the pixels, which F2 does not cover."""
    found = {}
    for group in overlay_groups(dataset):
        data, where = group << 16 | 0x3000, group << 16 | 0x0102
        bit = int.from_bytes(dataset[where].value, "little") if where in dataset else 0
        if data not in dataset and bit > 0:
            plane = embedded_overlay(decoded, bit)
            found[tag_text(data)] = f"sha256:{sha256(plane)}:{len(plane)}"
    return found


def read_dicom(content: bytes, max_decoded: int) -> Reading:
    """Read a Part 10 file with pixels, in any transfer syntax that an installed plug-in decodes.

    Raises:
        DataError: the file breaks a rule of PS3.5 or PS3.10.
        Undecodable: no pixels, pixels that cannot be decoded here, or header and pixels that disagree.
    """
    file = parse(content, max_decoded)
    try:
        decoded = decode(file, max_decoded)
        meaning = {**meaning_of(file.dataset), **_embedded_overlays(file.dataset, decoded)}
    except (MemoryError, OverflowError) as e:
        raise Undecodable("The pixels do not fit into memory.") from e
    if len(decoded.codestreams) not in (0, decoded.layout.frames):
        raise DataError("Some frames are lossy and others are not.")
    return Reading(
        "dicom",
        sha256(content),
        decoded.pixels,
        decoded.layout.shape,
        decoded.codestreams,
        meaning,
        identity_of(file.dataset),
        dataset_of(file.dataset),
    )
