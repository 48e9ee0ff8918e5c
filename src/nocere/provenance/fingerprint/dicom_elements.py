"""DICOM files as elements (PS3.5 section 7, PS3.10 section 7): strict, so that no two parsers read them differently.

Lenient parsers keep the first or the last of two equal tags, read past a short length or guess a transfer syntax. Here
each of these ends the reading, because the model's parser may guess otherwise than ours.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

from nocere.core.errors import DataError, PrerequisiteError

IMPLICIT = "1.2.840.10008.1.2"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
NATIVE = (IMPLICIT, "1.2.840.10008.1.2.1", BIG_ENDIAN, DEFLATED)

PIXEL_TAGS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
LONG_FORM = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
SHORT_FORM = frozenset(
    {"AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "PN", "SH", "SL", "SS", "ST", "TM", "UI"}
    | {"UL", "US"}
)
WORD = {
    **dict.fromkeys(("US", "SS", "OW", "AT"), 2),
    **dict.fromkeys(("UL", "SL", "FL", "OL", "OF"), 4),
    **dict.fromkeys(("FD", "OD", "UV", "SV", "OV"), 8),
}
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
MAX_DEPTH = 32


@dataclass(frozen=True, slots=True)
class Element:
    """One data element: its VR as written ("" in implicit VR), its value in little endian, or its items or fragments.

    Pixel data in big endian stays as it was written.
    """

    vr: str
    value: bytes = b""
    items: tuple[Dataset, ...] | None = None
    fragments: tuple[bytes, ...] | None = None


Dataset: TypeAlias = "dict[int, Element]"


@dataclass(frozen=True, slots=True)
class DicomFile:
    """A Part 10 file: its transfer syntax UID and its data set."""

    syntax: str
    dataset: Dataset


@lru_cache(maxsize=8192)
def tag_text(tag: int) -> str:
    """A tag as the standard writes it: (gggg,eeee), hexadecimal in capitals."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


@lru_cache(maxsize=8192)
def dictionary_vr(tag: int) -> str:
    """VR of a standard tag (PS3.6), such as "DS" or "US or SS"; "UN" for private and unknown ones.

    Raises:
        PrerequisiteError: pydicom, which holds the dictionary, is not installed.
    """
    try:
        from pydicom.datadict import dictionary_VR
    except ModuleNotFoundError as e:
        raise PrerequisiteError("DICOM files need pydicom.", "Install it with: pip install 'nocere[dicom]'") from e
    if tag >> 16 & 1:
        return "UN"
    if tag & 0xFFFF == 0:
        return "UL"
    try:
        return str(dictionary_VR(tag))
    except KeyError:
        return "UN"


@dataclass(slots=True)
class _Walker:
    data: bytes
    at: int
    big: bool = False
    explicit: bool = True
    depth: int = 0

    def take(self, n: int, tag: int) -> bytes:
        part = self.data[self.at : self.at + n]
        if len(part) != n:
            raise DataError(f"The file ends inside element {tag_text(tag)}, {n - len(part)} byte(s) short.")
        self.at += n
        return part

    def number(self, size: int, tag: int) -> int:
        return int.from_bytes(self.take(size, tag), "big" if self.big else "little")

    def tag(self) -> int:
        both = self.take(4, 0)
        order: Literal["big", "little"] = "big" if self.big else "little"
        return int.from_bytes(both[:2], order) << 16 | int.from_bytes(both[2:], order)

    def dataset(self, end: int | None, stop: Callable[[int], bool] = lambda _: False) -> Dataset:
        """Elements up to `end`, or up to an item delimiter when `end` is None (undefined length)."""
        if self.depth > MAX_DEPTH:
            raise DataError(f"Sequences are nested more than {MAX_DEPTH} deep.")
        found: Dataset = {}
        while end is None or self.at < end:
            start = self.at
            tag = self.tag()
            if stop(tag):
                self.at = start
                return found
            if tag == ITEM_END and end is None:
                if self.number(4, tag) != 0:
                    raise DataError("An item delimiter has a length.")
                return found
            if tag >> 16 == 0xFFFE:
                raise DataError(f"{tag_text(tag)} stands where an element should.")
            if tag in found:
                raise DataError(f"Element {tag_text(tag)} is there twice.", "Parsers disagree on which one counts.")
            found[tag] = self.element(tag)
            if end is not None and self.at > end:
                raise DataError(f"Element {tag_text(tag)} runs past the end of its item.")
        return found

    def element(self, tag: int) -> Element:
        vr = ""
        if self.explicit:
            vr = self.take(2, tag).decode("latin-1")
            if vr not in LONG_FORM and vr not in SHORT_FORM:
                raise DataError(f"Element {tag_text(tag)} has no known VR.")
            if vr in LONG_FORM:
                self.take(2, tag)
            length = self.number(4 if vr in LONG_FORM else 2, tag)
        else:
            length = self.number(4, tag)
        if length != UNDEFINED and length % 2:
            raise DataError(f"Element {tag_text(tag)} has the odd length {length}.", "PS3.5 wants even lengths.")
        known = dictionary_vr(tag)
        if tag in PIXEL_TAGS:
            if length == UNDEFINED:
                return Element(vr, fragments=self.fragments(tag))
            return Element(vr, self.take(length, tag))
        if vr == "SQ" or (not vr and (known == "SQ" or length == UNDEFINED)):
            return Element("SQ", items=self.sequence(tag, length))
        if vr == "UN" and (known == "SQ" or length == UNDEFINED):
            # CP-246: what is inside an unknown VR is implicit little endian, whatever the file is.
            inner = _Walker(self.data, self.at, False, False, self.depth)
            items = inner.sequence(tag, length)
            self.at = inner.at
            return Element("SQ", items=items)
        if length == UNDEFINED:
            raise DataError(f"Element {tag_text(tag)} has no length.")
        value = self.take(length, tag)
        word = WORD.get(vr, 1)
        if self.big and word > 1:
            if length % word:
                raise DataError(f"Element {tag_text(tag)} has the length {length}, which is not a multiple of {word}.")
            value = b"".join(value[i : i + word][::-1] for i in range(0, length, word))
        return Element(vr, value)

    def sequence(self, tag: int, length: int) -> tuple[Dataset, ...]:
        end = None if length == UNDEFINED else self.at + length
        items: list[Dataset] = []
        self.depth += 1
        while end is None or self.at < end:
            mark, size = self.tag(), self.number(4, tag)
            if mark == SEQUENCE_END and end is None:
                break
            if mark != ITEM:
                raise DataError(f"Sequence {tag_text(tag)} holds {tag_text(mark)} where an item should begin.")
            items.append(self.dataset(None if size == UNDEFINED else self.at + size))
        if end is not None and self.at != end:
            raise DataError(f"Sequence {tag_text(tag)} runs past its length.")
        self.depth -= 1
        return tuple(items)

    def fragments(self, tag: int) -> tuple[bytes, ...]:
        parts: list[bytes] = []
        while True:
            mark, size = self.tag(), self.number(4, tag)
            if mark == SEQUENCE_END and size == 0:
                return tuple(parts)
            if mark != ITEM or size == UNDEFINED or size % 2:
                raise DataError(f"The fragments of {tag_text(tag)} are broken after fragment {len(parts)}.")
            parts.append(self.take(size, tag))


def inflate(data: bytes, limit: int) -> bytes:
    """Raw deflate (RFC 1951), refused beyond `limit` bytes.

    Raises:
        DataError: not deflate, cut short, or larger than the limit.
    """
    try:
        z = zlib.decompressobj(-zlib.MAX_WBITS)
        out = z.decompress(data, limit + 1)
    except zlib.error as e:
        raise DataError("The deflated data set cannot be inflated.") from e
    if len(out) > limit:
        raise DataError(f"The deflated data set is larger than {limit} bytes.", "Raise max_decoded if that is meant.")
    # Some writers add the trailer of gzip (RFC 1952 section 2.3.1), others the padding byte of PS3.5 annex A.5.
    trailer = zlib.crc32(out).to_bytes(4, "little") + (len(out) & 0xFFFFFFFF).to_bytes(4, "little")
    if not z.eof or z.unused_data not in (b"", b"\x00", trailer):
        raise DataError("The deflated data set is cut short, or something follows it.")
    return out


def parse(content: bytes, max_decoded: int) -> DicomFile:
    """A Part 10 file as elements.

    Raises:
        DataError: the file breaks a rule of PS3.5 or PS3.10; the message names the tag, never a value.
    """
    if content[128:132] != b"DICM":
        raise DataError(
            "This is no DICOM Part 10 file: 'DICM' is not at byte 128.", "Save it with its file meta group."
        )
    walker = _Walker(content, 132)
    meta = walker.dataset(len(content), stop=lambda tag: tag >> 16 != 2)
    syntax = meta[0x00020010].value.rstrip(b"\x00 ").decode("latin-1") if 0x00020010 in meta else ""
    if not re.fullmatch(r"[0-9.]{1,64}", syntax):
        raise DataError("The file meta group does not say the transfer syntax (0002,0010) as a UID.")
    data, start = content, walker.at
    if syntax == DEFLATED:
        data, start = inflate(content[walker.at :], max_decoded), 0
    body = _Walker(data, start, big=syntax == BIG_ENDIAN, explicit=syntax != IMPLICIT)
    return DicomFile(syntax, body.dataset(len(data)))
