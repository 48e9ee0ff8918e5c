"""One reading of one captured input: the bytes are decoded once, and what was hashed is what the model is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from nocere.core.canonical import sha256
from nocere.core.errors import DataError, UsageError
from nocere.provenance.fingerprint.encoding import Attributes, encode_attributes, tier_hash
from nocere.provenance.fingerprint.tiles import Pixels, Shape

Content: TypeAlias = "bytes | Mapping[str, bytes]"

KINDS = ("dicom", "image", "wfdb", "note", "json")
MAX_DECODED = 4 << 30


class Undecodable(DataError):  # noqa: N818 (the verdict's name)
    """The samples cannot be decoded here. This is never a pass; the message names the encoding, not the content."""


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What one decoding of the received bytes gave.

    Attributes:
        kind: one of `KINDS`.
        received: F0, hexadecimal SHA-256 of the received bytes; over the named files when there are several.
        pixels: stored values [frames, rows, columns, samples], read-only; a recording is [1, samples, channels, 1];
            None for a kind without samples (note, json). Hand on this array: it is the one that is hashed.
        shape: extents, bits, signedness and tile size of `pixels`.
        codestreams: SHA-256 of every frame's DCT codestream; empty unless the samples are lossy DCT.
        meaning: what decides how the samples are read; None marks an attribute of the closed list that is absent.
        identity: whose and which input it is.
        dataset: every element or field other than the samples themselves, in canonical form.
    """

    kind: str
    received: str
    pixels: Pixels | None
    shape: Shape | None
    codestreams: tuple[str, ...]
    meaning: Attributes
    identity: Attributes
    dataset: Attributes


def received_hash(content: Content) -> str:
    """F0: SHA-256 of the bytes, or of the file names and their SHA-256 when the input is several files."""
    if isinstance(content, bytes):
        return sha256(content)
    return tier_hash("files", encode_attributes({name: sha256(data) for name, data in content.items()})).hex()


def detect(content: Content) -> str:
    """The kind of an input, from its first bytes; several files are WFDB.

    Raises:
        DataError: none of the kinds that are read here.
    """
    if not isinstance(content, bytes):
        return "wfdb"
    if content[128:132] == b"DICM":
        return "dicom"
    if content[:8] == b"\x89PNG\r\n\x1a\n" or content[:3] == b"\xff\xd8\xff":
        return "image"
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as e:
        raise DataError("This is neither DICOM, PNG, JPEG nor UTF-8 text.", f"Known kinds: {', '.join(KINDS)}.") from e
    return "json" if text.lstrip("\ufeff \t\r\n")[:1] in ("{", "[") else "note"


def read(content: Content, kind: str | None = None, *, max_decoded: int = MAX_DECODED) -> Reading:
    """Decode an input once.

    Args:
        content: the received bytes; for WFDB a mapping from file name to bytes (header, signals, annotations).
        kind: one of `KINDS`; found from the first bytes when None.
        max_decoded: refuse inputs that decode to more bytes than this.

    Raises:
        UsageError: unknown kind, or one file where several are needed.
        DataError: the input breaks the rules of its format.
        Undecodable: the samples cannot be decoded here.
        PrerequisiteError: the optional package for this kind is not installed.
    """
    kind = detect(content) if kind is None else kind
    if kind not in KINDS:
        raise UsageError(f"Unknown kind of input {kind!r}.", f"Known: {', '.join(KINDS)}.")
    if (kind == "wfdb") == isinstance(content, bytes):
        wanted = "a mapping from file name to bytes" if kind == "wfdb" else "the bytes of one file"
        raise UsageError(f"A {kind} input was given in the wrong form.", f"Give {wanted}.")
    if not isinstance(content, bytes):
        from nocere.provenance.fingerprint.wfdb import read_wfdb

        return read_wfdb(content, max_decoded)
    if kind == "dicom":
        from nocere.provenance.fingerprint.dicom import read_dicom

        return read_dicom(content, max_decoded)
    if kind == "image":
        from nocere.provenance.fingerprint.image import read_image

        return read_image(content, max_decoded)
    from nocere.provenance.fingerprint.text import read_json, read_note

    return read_note(content) if kind == "note" else read_json(content)
