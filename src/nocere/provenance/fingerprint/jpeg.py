"""JPEG codestreams without decoding them: what the frame header says, and a hash that survives a new container.

Decoders of the discrete cosine transform differ by one grey level, so the identity of a DCT-coded image is its
codestream (ISO/IEC 10918-1 annex B), not what one decoder makes of it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from nocere.core.errors import DataError
from nocere.provenance.fingerprint.encoding import prefixed

SOI, EOI, SOS, COM, APP14 = 0xD8, 0xD9, 0xDA, 0xFE, 0xEE
STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
DCT_FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC5, 0xC6, 0xC9, 0xCA, 0xCD, 0xCE})
FRAMES = DCT_FRAMES | {0xC3, 0xC7, 0xCB, 0xCF, 0xF7}  # lossless processes; F7 is JPEG-LS


@dataclass(frozen=True, slots=True)
class Segment:
    """One marker segment: its marker (second byte) and its payload; for a scan header also the coded data."""

    marker: int
    payload: bytes
    scan: bytes = b""


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """What a codestream says about itself."""

    rows: int
    columns: int
    samples: int
    bits: int
    dct: bool


def segments(code: bytes) -> list[Segment]:
    """All marker segments from SOI to EOI; what follows EOI is not part of the codestream.

    Raises:
        DataError: no JPEG codestream, cut short, or a marker where none may be.
    """
    if code[:2] != b"\xff\xd8":
        raise DataError("The JPEG codestream does not begin with SOI.")
    out: list[Segment] = []
    at = 2
    while True:
        while code[at : at + 2] == b"\xff\xff":
            at += 1
        if at + 2 > len(code) or code[at] != 0xFF:
            raise DataError(f"The JPEG codestream has no marker after segment {len(out)}, or is cut short.")
        marker = code[at + 1]
        at += 2
        if marker == EOI:
            return out
        if marker in STANDALONE:
            continue
        length = int.from_bytes(code[at : at + 2], "big")
        if marker in (0x00, SOI) or length < 2 or at + length > len(code):
            raise DataError(f"JPEG segment {len(out)} is broken.")
        payload, at = code[at + 2 : at + length], at + length
        start = at
        if marker == SOS:
            at = _scan_end(code, at)
        out.append(Segment(marker, payload, code[start:at]))


def _scan_end(code: bytes, at: int) -> int:
    """Where the coded data of a scan end: at the next FF that is neither stuffed nor a restart marker."""
    while True:
        at = code.find(b"\xff", at)
        if at < 0 or at + 1 >= len(code):
            raise DataError("The JPEG codestream ends inside a scan.")
        after = code[at + 1]
        # JPEG-LS stuffs a bit, so any byte below 80 continues the scan (ISO/IEC 14495-1 annex A).
        if after < 0x80 or 0xD0 <= after <= 0xD7:
            at += 2
        elif after == 0xFF:
            at += 1
        else:
            return at


def frame_header(parts: list[Segment]) -> FrameHeader:
    """The one frame header of a codestream.

    Raises:
        DataError: none, several, or one that is too short.
    """
    frames = [s for s in parts if s.marker in FRAMES]
    if len(frames) != 1 or len(frames[0].payload) < 6:
        raise DataError(f"The JPEG codestream has {len(frames)} usable frame headers; one is needed.")
    p = frames[0].payload
    rows, columns = int.from_bytes(p[1:3], "big"), int.from_bytes(p[3:5], "big")
    return FrameHeader(rows, columns, p[5], p[0], frames[0].marker in DCT_FRAMES)


def codestream_hash(parts: list[Segment]) -> str:
    """SHA-256 of every segment that decoding depends on: all but comments and application data, with Adobe's APP14."""
    h = hashlib.sha256()
    for s in parts:
        if s.marker == COM or (0xE0 <= s.marker <= 0xEF and not (s.marker == APP14 and s.payload[:5] == b"Adobe")):
            continue
        h.update(bytes([s.marker]) + prefixed(s.payload) + prefixed(s.scan))
    return h.hexdigest()
