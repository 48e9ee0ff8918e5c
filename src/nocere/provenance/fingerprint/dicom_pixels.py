"""Stored pixel values of a DICOM file, frame by frame, whatever the transfer syntax (PS3.3 C.7.6.3, PS3.5 section 8).

pydicom's plug-ins decode; this module says what they are given, and that header and codestream agree. What it hands
out are stored values: high bits outside of Bits Stored cleared, two's complement extended, colour as it was stored.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from nocere.core.errors import DataError
from nocere.provenance.fingerprint import jpeg
from nocere.provenance.fingerprint.dicom_elements import NATIVE, PIXEL_TAGS, DicomFile, tag_text
from nocere.provenance.fingerprint.dicom_values import canonical, counting_vr
from nocere.provenance.fingerprint.reading import Undecodable
from nocere.provenance.fingerprint.tiles import Pixels, Shape, little_endian, width

RLE = "1.2.840.10008.1.2.5"
JPEG2000 = re.compile(r"1\.2\.840\.10008\.1\.2\.4\.(9[0-3]|20[1-3])")
JPEG = re.compile(r"1\.2\.840\.10008\.1\.2\.4\.(5[0-9]|6[0-6]|70|8[01])")
FLOAT_BITS = {0x7FE00008: 32, 0x7FE00009: 64}
KEYWORDS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}
# One named decoder a syntax, so that two hosts with the same packages decode alike. GDCM comes last: it is seen to end
# the process on some inputs.
PLUGINS = ("pylibjpeg", "pyjpegls", "pillow", "pydicom", "gdcm")
INSTALL = "Install pylibjpeg-openjpeg, pyjpegls, pillow or python-gdcm for this syntax, or check the file."
PHOTOMETRIC = re.compile(r"[A-Z0-9_ ]{1,16}")


@dataclass(frozen=True, slots=True)
class Layout:
    """The Image Pixel module (PS3.3 C.7.6.3), as numbers."""

    tag: int
    frames: int
    rows: int
    columns: int
    samples: int
    allocated: int
    stored: int
    high: int
    signed: bool
    planar: int
    photometric: str

    @property
    def shape(self) -> Shape:
        """The header that F2 hashes."""
        number = "f" if self.tag in FLOAT_BITS else "i" if self.signed else "u"
        return Shape(self.frames, self.rows, self.columns, self.samples, self.stored, number)


@dataclass(frozen=True, slots=True)
class Decoded:
    """Stored values [frames, rows, columns, samples], their containers before masking, and DCT codestream hashes."""

    pixels: Pixels
    containers: Pixels
    layout: Layout
    codestreams: tuple[str, ...]


def _integer(file: DicomFile, tag: int, default: int | None = None) -> int:
    element = file.dataset.get(tag)
    vr = counting_vr(tag, element.vr) if element else None
    text = canonical(vr, element.value, "") if element and vr else ""
    if not text and default is not None and (element is None or not element.value.strip(b" ")):
        return default
    if not re.fullmatch(r"\d{1,10}", text):
        raise Undecodable(f"{tag_text(tag)} is missing or not one number, and pixels cannot be read without it.")
    return int(text)


def layout_of(file: DicomFile, max_decoded: int) -> Layout:
    """The Image Pixel module of a file, checked.

    Raises:
        Undecodable: no pixels, several pixel elements, a value that cannot be, or more pixels than the limit.
    """
    tags = [t for t in PIXEL_TAGS if t in file.dataset]
    if len(tags) != 1:
        raise Undecodable(f"The file has {len(tags)} pixel data elements; exactly one is needed.")
    photometric = file.dataset.get(0x00280004)
    text = photometric.value.rstrip(b" \x00").decode("latin-1") if photometric else ""
    if not PHOTOMETRIC.fullmatch(text):
        raise Undecodable("(0028,0004) Photometric Interpretation is missing or not a code.")
    bits = FLOAT_BITS.get(tags[0], 0)
    allocated = bits or _integer(file, 0x00280100)
    stored = bits or _integer(file, 0x00280101)
    out = Layout(
        tags[0],
        _integer(file, 0x00280008, 1),
        _integer(file, 0x00280010),
        _integer(file, 0x00280011),
        _integer(file, 0x00280002, 1),
        allocated,
        stored,
        stored - 1 if bits else _integer(file, 0x00280102, stored - 1),
        not bits and _integer(file, 0x00280103, 0) == 1,
        _integer(file, 0x00280006, 0),
        text,
    )
    if out.allocated not in (1, 8, 16, 32, 64) or not 1 <= out.stored <= out.high + 1 <= out.allocated:
        raise Undecodable("Bits Allocated, Bits Stored and High Bit (0028,0100) to (0028,0102) do not fit each other.")
    if min(out.frames, out.rows, out.columns) < 1 or out.samples not in (1, 3, 4) or out.planar > 1:
        raise Undecodable("(0028,0002), (0028,0006), (0028,0008), (0028,0010) or (0028,0011) is out of range.")
    size = out.frames * out.rows * out.columns * out.samples * -(-out.allocated // 8)
    if size > max_decoded:
        raise Undecodable(f"The pixels decode to {size} bytes, more than {max_decoded}.", "Raise max_decoded if meant.")
    return out


def frames_of(fragments: tuple[bytes, ...], frames: int) -> list[bytes]:
    """Codestreams of the frames, from the fragments behind the Basic Offset Table (PS3.5 annex A.4).

    Raises:
        Undecodable: fragments cannot be assigned to frames without guessing, or the table contradicts them.
    """
    if not fragments or len(fragments) < 2:
        raise Undecodable("The encapsulated pixel data hold no fragment.")
    table, parts = fragments[0], fragments[1:]
    offsets = [int.from_bytes(table[i : i + 4], "little") for i in range(0, len(table), 4)]
    starts, at = [], 0
    for part in parts:
        starts.append(at)
        at += 8 + len(part)
    if offsets:
        if len(offsets) != frames or offsets[0] != 0 or sorted(set(offsets)) != offsets or set(offsets) - set(starts):
            raise Undecodable("The Basic Offset Table does not fit the fragments.")
    elif frames == 1:
        offsets = [0]
    elif len(parts) == frames:
        offsets = starts
    else:
        raise Undecodable(f"{len(parts)} fragments cannot be assigned to {frames} frames without an offset table.")
    firsts = [starts.index(o) for o in offsets] + [len(parts)]
    return [b"".join(parts[a:b]) for a, b in pairwise(firsts)]


def _jpeg2000_size(code: bytes) -> tuple[int, int, int, int]:
    """Rows, columns, components and bits of a JPEG 2000 codestream (ISO/IEC 15444-1 annex A.5.1)."""
    if code[:4] != b"\xff\x4f\xff\x51" or len(code) < 43:
        raise Undecodable("The JPEG 2000 codestream does not begin with SOC and SIZ.")
    x1, y1, x0, y0 = (int.from_bytes(code[i : i + 4], "big") for i in (8, 12, 16, 20))
    return y1 - y0, x1 - x0, int.from_bytes(code[40:42], "big"), (code[42] & 0x7F) + 1


def check_codestream(code: bytes, syntax: str, layout: Layout) -> str:
    """Compare a codestream's own header with the file's; the hash of a DCT codestream, else "".

    Raises:
        DataError: the codestream is broken.
        Undecodable: it has another size than the file says.
    """
    if JPEG2000.fullmatch(syntax):
        rows, columns, samples, bits = _jpeg2000_size(code)
        digest = ""
    elif JPEG.fullmatch(syntax):
        parts = jpeg.segments(code)
        header = jpeg.frame_header(parts)
        rows, columns, samples, bits = header.rows, header.columns, header.samples, header.bits
        digest = jpeg.codestream_hash(parts) if header.dct else ""
    else:
        return ""
    if (rows, columns, samples) != (layout.rows, layout.columns, layout.samples) or bits > layout.allocated:
        raise Undecodable(
            f"The codestream is {rows} x {columns} x {samples} of {bits} bits; the file says "
            f"{layout.rows} x {layout.columns} x {layout.samples} in {layout.allocated}."
        )
    return digest


def _decode(source: bytes, syntax: str, layout: Layout, stored: int, frames: int, vr: str) -> Pixels:
    from pydicom.pixels.decoders.base import get_decoder

    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as e:
        raise Undecodable(f"Transfer syntax {syntax} is not read here.") from e
    plugin = "" if syntax in NATIVE else next((p for p in PLUGINS if p in decoder.available_plugins), None)
    if plugin is None:
        raise Undecodable(f"No installed plug-in decodes transfer syntax {syntax}.", INSTALL)
    options: dict[str, Any] = {
        "rows": layout.rows,
        "columns": layout.columns,
        "number_of_frames": frames,
        "samples_per_pixel": layout.samples,
        "photometric_interpretation": layout.photometric,
        "pixel_representation": int(layout.signed),
        "bits_allocated": layout.allocated,
        "bits_stored": stored,
        "planar_configuration": layout.planar,
        "pixel_keyword": KEYWORDS[layout.tag],
        "pixel_vr": vr,
    }
    try:
        array, _ = decoder.as_array(source, raw=True, decoding_plugin=plugin, **options)
    except Exception as e:  # a plug-in may raise anything; its text may quote the file, so it is not shown
        raise Undecodable(
            f"{plugin or 'pydicom'} cannot decode these pixels (transfer syntax {syntax}, {type(e).__name__}).",
            INSTALL,
        ) from e
    return np.asarray(array).reshape(frames, layout.rows, layout.columns, layout.samples)


def _native_length(layout: Layout) -> int:
    values = layout.frames * layout.rows * layout.columns * layout.samples
    if layout.photometric == "YBR_FULL_422":
        values = values // 3 * 2
    return -(-values * layout.allocated // 8)


def mask(containers: Pixels, layout: Layout) -> Pixels:
    """Stored values from the containers: shifted down to bit 0, unused bits cleared, sign extended, minimum width."""
    size = containers.dtype.itemsize
    raw: Pixels = containers.view(f"u{size}") >> np.array(layout.high + 1 - layout.stored, f"u{size}")
    if layout.stored < 8 * size:
        raw &= np.array((1 << layout.stored) - 1, f"u{size}")
    number = "u"
    if layout.signed:
        sign = np.array(1 << (layout.stored - 1), f"u{size}")
        raw, number = ((raw ^ sign) - sign).view(f"i{size}"), "i"
    return raw.astype(f"<{number}{width(layout.stored)}")


def decode(file: DicomFile, max_decoded: int) -> Decoded:
    """Decode all frames once.

    Raises:
        Undecodable: no installed plug-in decodes this transfer syntax, or header and pixels disagree.
        DataError: a codestream is broken.
    """
    layout = layout_of(file, max_decoded)
    element = file.dataset[layout.tag]
    codestreams: list[str] = []
    if file.syntax in NATIVE:
        wanted = _native_length(layout)
        padding = element.value[wanted + wanted % 2 :]
        # Zeros up to less than a frame are padding; anything else could be read as another frame by someone.
        if element.fragments is not None or len(element.value) < wanted or any(padding):
            raise Undecodable(f"The pixel data are not the {wanted} bytes that the header speaks of.")
        if len(padding) * layout.frames >= wanted:
            raise Undecodable(f"The pixel data hold {len(padding)} more bytes than the {wanted} of the header.")
        stored = layout.allocated
        vr = element.vr or "OW"
        containers = _decode(element.value[: wanted + wanted % 2], file.syntax, layout, stored, layout.frames, vr)
    else:
        from pydicom.encaps import encapsulate

        if element.fragments is None:
            raise Undecodable(f"Transfer syntax {file.syntax} needs encapsulated pixel data.")
        if layout.high != layout.stored - 1 and file.syntax != RLE:
            raise Undecodable("High Bit (0028,0102) is not Bits Stored - 1 in compressed pixel data.")
        stored = layout.allocated if file.syntax == RLE else layout.stored
        decoded = []
        for code in frames_of(element.fragments, layout.frames):
            codestreams.append(check_codestream(code, file.syntax, layout))
            source = encapsulate([code], has_bot=False)
            decoded.append(_decode(source, file.syntax, layout, stored, 1, "OB"))
        containers = np.concatenate(decoded)
    containers = little_endian(containers)
    if layout.tag in FLOAT_BITS:
        pixels = containers
    elif layout.allocated == 1:
        pixels = containers.astype("u1")
    else:
        pixels = mask(containers, layout)
    pixels.setflags(write=False)
    return Decoded(pixels, containers, layout, tuple(c for c in codestreams if c))


def embedded_overlay(decoded: Decoded, bit: int) -> bytes:
    """An overlay plane kept in an unused bit of the pixel containers (retired, PS3.3 2004 C.9.2), packed, bit 0 first.

    Raises:
        DataError: the bit is not one of the container's unused bits.
    """
    low, high = decoded.layout.high + 1 - decoded.layout.stored, decoded.layout.high
    size = decoded.containers.dtype.itemsize
    if low <= bit <= high or not 0 <= bit < 8 * size or decoded.layout.tag in FLOAT_BITS:
        raise DataError("An overlay's bit position (60xx,0102) is not one of the unused bits.")
    plane = decoded.containers.view(f"u{size}") >> np.array(bit, f"u{size}") & np.array(1, f"u{size}")
    return np.packbits(plane.astype("u1"), bitorder="little").tobytes()
