"""PNG and JPEG files: stored samples, what a viewer does with them, and what says whose they are.

PNG: W3C PNG, third edition. JPEG: ISO/IEC 10918-1, JFIF, Exif 3.0. Other picture formats are refused by name.
"""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from nocere.core.canonical import sha256
from nocere.core.errors import DataError
from nocere.provenance.fingerprint import jpeg
from nocere.provenance.fingerprint.reading import Reading, Undecodable
from nocere.provenance.fingerprint.tiles import Pixels, Shape, little_endian

PNG = b"\x89PNG\r\n\x1a\n"
COLOUR = {0: ("grey", 1), 2: ("rgb", 3), 3: ("palette", 1), 4: ("grey-alpha", 2), 6: ("rgb-alpha", 4)}
PNG_MEANING = ("PLTE", "tRNS", "gAMA", "cHRM", "sRGB", "iCCP", "cICP", "mDCV", "cLLI", "sBIT", "pHYs", "bKGD")
ONCE = frozenset({*PNG_MEANING, "IHDR", "eXIf", "IEND"})
PNG_TEXT = ("tEXt", "zTXt", "iTXt", "tIME")

MEANING = ("colour", "orientation", "icc", "exif colour space", "density", *(c for c in PNG_MEANING if c != "iCCP"))
EXIF_IDENTITY = {
    0x010F: "exif maker",
    0x0110: "exif model",
    0x0132: "exif date",
    0x013B: "exif artist",
    0x010E: "exif description",
    0x8298: "exif copyright",
    0x9003: "exif date original",
    0xA420: "exif image unique id",
    0xA430: "exif owner",
    0xA431: "exif body serial number",
    0x8825: "exif place",
}
EFFECT = {
    "colour": "samples stand for other colours",
    "orientation": "the picture is shown turned or mirrored",
    "icc": "colours are shown otherwise",
    "exif colour space": "colours are shown otherwise",
    "density": "lengths and areas are computed otherwise",
    "pHYs": "lengths and areas are computed otherwise",
    "PLTE": "colours are exchanged",
    "tRNS": "parts are shown transparent",
    "gAMA": "the picture is shown brighter or darker",
    "sBIT": "samples are scaled otherwise",
}


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the container says: colour, bits, extents, and the metadata blocks."""

    colour: str
    bits: int
    rows: int
    columns: int
    samples: int
    blocks: dict[str, bytes]
    texts: list[bytes]
    exif: bytes
    codestream: str


def _binary(data: bytes) -> str:
    return f"sha256:{sha256(data)}:{len(data)}"


def _inflate(data: bytes, limit: int, what: str) -> bytes:
    try:
        z = zlib.decompressobj()
        out = z.decompress(data, limit + 1)
    except zlib.error as e:
        raise DataError(f"The {what} of the PNG cannot be inflated.") from e
    if len(out) > limit or not z.eof:
        raise DataError(f"The {what} of the PNG is larger than {limit} bytes, or cut short.")
    return out


def _chunks(content: bytes) -> list[tuple[str, bytes]]:
    out: list[tuple[str, bytes]] = []
    at = len(PNG)
    while not out or out[-1][0] != "IEND":
        head = content[at : at + 8]
        size = int.from_bytes(head[:4], "big")
        data, crc = content[at + 8 : at + 8 + size], content[at + 8 + size : at + 12 + size]
        if len(head) < 8 or len(crc) < 4:
            raise DataError(f"The PNG is cut short in chunk {len(out)}.")
        if zlib.crc32(head[4:] + data).to_bytes(4, "big") != crc:
            raise DataError(f"Chunk {len(out)} of the PNG does not fit its checksum.")
        out.append((head[4:].decode("latin-1"), data))
        at += 12 + size
    if at != len(content):
        raise DataError("Something follows the end of the PNG.", "Two readers could take it for two pictures.")
    return out


def _png(content: bytes, max_decoded: int) -> _Parts:
    chunks = _chunks(content)
    names = [n for n, _ in chunks]
    twice = sorted({n for n in names if n in ONCE and names.count(n) > 1})
    if twice:
        raise DataError(f"Chunk {twice[0]} is there twice in the PNG.", "Readers disagree on which one counts.")
    if names[0] != "IHDR" or len(chunks[0][1]) != 13:
        raise DataError("The PNG does not begin with IHDR.")
    if "acTL" in names:
        raise Undecodable("Animated PNG is not read here.")
    head = chunks[0][1]
    columns, rows, bits, colour = int.from_bytes(head[:4], "big"), int.from_bytes(head[4:8], "big"), head[8], head[9]
    if colour not in COLOUR or bits not in (1, 2, 4, 8, 16):
        raise Undecodable(f"PNG colour type {colour} with {bits} bits does not exist.")
    if colour and bits == 16:
        raise Undecodable("PNG colour of 16 bits a sample is not read here.", "Save it as 16-bit grey or 8-bit colour.")
    name, samples = COLOUR[colour]
    # The compressed stream is inflated once under a cap of its true size, before any decoder sees it.
    row = -(-columns * samples * bits // 8) + 1
    size = row * rows + (7 * rows + 7 if head[12] else 0)
    if rows < 1 or columns < 1 or rows * columns * samples * (2 if bits == 16 else 1) > max_decoded:
        raise Undecodable(
            f"The PNG has {rows} x {columns} pixels, more than {max_decoded} bytes.", "Raise max_decoded."
        )
    _inflate(b"".join(d for n, d in chunks if n == "IDAT"), size * 2 if head[12] else size, "image data")
    blocks = {n: d for n, d in chunks if n in PNG_MEANING}
    if "iCCP" in blocks:
        _, _, rest = blocks.pop("iCCP").partition(b"\x00")
        blocks["icc"] = _inflate(rest[1:], 1 << 24, "colour profile")
    texts = [n.encode() + b"\x00" + d for n, d in chunks if n in PNG_TEXT]
    exif = next((d for n, d in chunks if n == "eXIf"), b"")
    return _Parts(name, bits, rows, columns, samples, blocks, texts, exif, "")


def _jpeg(content: bytes, max_decoded: int) -> _Parts:
    parts = jpeg.segments(content)
    head = jpeg.frame_header(parts)
    if not head.dct or head.bits != 8 or head.samples not in (1, 3, 4):
        raise Undecodable(f"JPEG of {head.samples} samples of {head.bits} bits is read here only as 8-bit DCT.")
    if head.rows < 1 or head.columns < 1 or head.rows * head.columns * head.samples > max_decoded:
        raise Undecodable(f"The JPEG has {head.rows} x {head.columns} pixels, more than {max_decoded} bytes.")
    blocks: dict[str, bytes] = {}
    exifs = [s.payload[6:] for s in parts if s.marker == 0xE1 and s.payload[:6] == b"Exif\x00\x00"]
    if len(exifs) > 1:
        raise DataError("The JPEG has two Exif segments.", "Readers disagree on which one counts.")
    profile = [s.payload for s in parts if s.marker == 0xE2 and s.payload[:12] == b"ICC_PROFILE\x00"]
    if profile:
        blocks["icc"] = b"".join(p[14:] for p in sorted(profile, key=lambda p: p[12:13]))
    jfif = [s.payload for s in parts if s.marker == 0xE0 and s.payload[:5] == b"JFIF\x00"]
    if jfif:
        blocks["density"] = jfif[0][7:12]
    colour = {1: "grey", 3: "rgb", 4: "cmyk"}[head.samples]
    texts = [s.payload for s in parts if s.marker == jpeg.COM]
    code = jpeg.codestream_hash(parts)
    return _Parts(colour, 8, head.rows, head.columns, head.samples, blocks, texts, (exifs or [b""])[0], code)


def _exif(data: bytes) -> dict[int, Any]:
    from PIL import Image

    if not data:
        return {}
    try:
        found = Image.Exif()
        found.load(b"Exif\x00\x00" + data)
        place = {0x8825: sorted(found.get_ifd(0x8825).items())} if 0x8825 in found else {}
        return {**found, **found.get_ifd(0x8769), **place}
    except Exception as e:  # Pillow raises what its struct calls raise; the block may hold patient data
        raise DataError(f"The Exif block is broken ({type(e).__name__}).", "Write it anew, or leave it out.") from e


def _samples(content: bytes, parts: _Parts) -> Pixels:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=["PNG", "JPEG"]) as picture:
            array = np.array(picture)
    except Exception as e:  # a decoder may raise anything; its text may quote the file
        raise Undecodable(f"The picture cannot be decoded ({type(e).__name__}).") from e
    if parts.colour == "grey" and parts.bits in (2, 4):
        array = array // (255 // ((1 << parts.bits) - 1))  # Pillow spreads them over 0 to 255
    array = array.astype("u2" if parts.bits == 16 else "u1")
    if array.size != parts.rows * parts.columns * parts.samples:
        raise Undecodable("The picture decodes to another size than its header says.")
    return array.reshape(1, parts.rows, parts.columns, parts.samples)


def read_image(content: bytes, max_decoded: int) -> Reading:
    """Read a PNG (grey up to 16 bits, 8-bit colour, palette) or an 8-bit DCT JPEG.

    Raises:
        DataError: the file breaks a rule of its format.
        Undecodable: another format, or samples that cannot be decoded here.
    """
    if content[:8] == PNG:
        parts = _png(content, max_decoded)
    elif content[:3] == b"\xff\xd8\xff":
        parts = _jpeg(content, max_decoded)
    else:
        raise Undecodable("This picture is neither PNG nor JPEG.", "Save it as PNG.")
    exif = _exif(parts.exif)
    pixels = little_endian(_samples(content, parts))
    pixels.setflags(write=False)
    meaning: dict[str, str | None] = dict.fromkeys(MEANING)
    meaning["colour"] = parts.colour
    meaning["orientation"] = str(exif[0x0112]) if 0x0112 in exif else None
    meaning["exif colour space"] = str(exif[0xA001]) if 0xA001 in exif else None
    meaning.update({name: _binary(d) if len(d) > 64 or name == "icc" else d.hex() for name, d in parts.blocks.items()})
    identity: dict[str, str | None] = {
        name: str(exif[tag]) if tag in exif else None for tag, name in EXIF_IDENTITY.items()
    }
    identity["comments"] = _binary(b"\x00".join(sorted(parts.texts))) if parts.texts else None
    dataset = {**meaning, **identity, **{f"exif {t:04X}": str(v) for t, v in exif.items()}}
    shape = Shape(1, parts.rows, parts.columns, parts.samples, parts.bits, "u")
    codes = (parts.codestream,) if parts.codestream else ()
    return Reading("image", sha256(content), pixels, shape, codes, meaning, identity, dataset)
