"""DICOM values in one canonical text each, so that encodings of the same value are equal (docs/spec/fingerprint-1.md).

A value that breaks the rules of its VR is kept as its bytes ("raw:..."): it equals itself and nothing else.
"""

from __future__ import annotations

import re
import struct
import unicodedata
from collections.abc import Iterator

import rfc8785

from nocere.core.canonical import sha256
from nocere.provenance.fingerprint.dicom_elements import Dataset, Element, dictionary_vr, tag_text

INTEGERS = {"US": "<H", "SS": "<h", "UL": "<I", "SL": "<i", "UV": "<Q", "SV": "<q", "US or SS": "<H"}
FLOATS = {"FL": "<f", "FD": "<d"}
# One value only, so a backslash in them is text (PS3.5 section 6.2).
SINGLE = frozenset({"LT", "ST", "UT", "UR"})
ENCODED = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
PLAIN = frozenset({"AE", "AS", "CS", "DA", "DT", "TM", "UI", "UR"})
CHARSET = 0x00080005
_DECIMAL = re.compile(r"([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,6}))?")


def raw(value: bytes) -> str:
    """A value that is not what its VR says, byte by byte."""
    return "raw:" + value.hex()


def decimal_text(text: str) -> str | None:
    """A decimal number in its only form, exactly: 1.50, +1.5 and 15e-1 are all "1.5"; None when it is no number."""
    match = _DECIMAL.fullmatch(text.strip(" "))
    if match is None or not (match[2] or match[3]):
        return None
    digits = match[2] + (match[3] or "")
    exponent = int(match[4] or 0) - len(match[3] or "")
    stripped = digits.rstrip("0")
    exponent += len(digits) - len(stripped)
    stripped = stripped.lstrip("0")
    if not stripped:
        return "0"
    sign = "-" if match[1] == "-" else ""
    if exponent >= 0 and len(stripped) + exponent <= 20:
        return sign + stripped + "0" * exponent
    if exponent < 0 and -exponent <= 20:
        padded = stripped.rjust(1 - exponent, "0")
        return f"{sign}{padded[:exponent]}.{padded[exponent:]}"
    return f"{sign}{stripped}E{exponent}"


def number_text(value: float) -> str | None:
    """A binary floating-point number as RFC 8785 writes it; None for NaN and infinity."""
    try:
        return rfc8785.dumps(value).decode("ascii")
    except rfc8785.FloatDomainError:
        return None


def charset_of(dataset: Dataset, inherited: str) -> str:
    """Python's name of the first Specific Character Set (0008,0005); "" when it is not known."""
    from pydicom.charset import python_encoding

    if CHARSET not in dataset:
        return inherited
    first = dataset[CHARSET].value.decode("latin-1").split("\\")[0].strip(" \x00")
    return str(python_encoding.get(first, ""))


def _text(vr: str, value: bytes, charset: str) -> str | None:
    if vr in PLAIN:
        charset = "ascii"
    elif b"\x1b" in value:
        return None  # ISO 2022 escapes
    try:
        text = value.decode(charset) if charset else ""
    except (UnicodeDecodeError, LookupError):
        return None
    if not charset:
        return None
    values = [text.rstrip(" \x00")] if vr in SINGLE else [v.strip(" \x00") for v in text.split("\\")]
    out = unicodedata.normalize("NFC", "\\".join(values))
    return None if out.startswith("raw:") else out


def _numbers(value: bytes, layout: str) -> list[int | float] | None:
    if len(value) % struct.calcsize(layout):
        return None
    return [n for (n,) in struct.iter_unpack(layout, value)]


def _parts(vr: str, value: bytes) -> list[str | None]:
    """The values of a numeric element, None for each that is not what its VR says."""
    if vr in ("DS", "IS"):
        texts = value.rstrip(b"\x00").decode("latin-1").split("\\")
        return [decimal_text(t) if t.strip(" \x00") else "" for t in texts]
    layout = INTEGERS.get(vr) or FLOATS.get(vr) or "<I"
    if len(value) % struct.calcsize(layout):
        return [None]
    numbers = [n for (n,) in struct.iter_unpack(layout, value)]
    if vr in FLOATS:
        return [number_text(n) for n in numbers]
    if vr == "AT":  # two words, the group first
        return [tag_text((n & 0xFFFF) << 16 | n >> 16) for n in numbers]
    return [str(n) for n in numbers]


def canonical(vr: str, value: bytes, charset: str) -> str:
    """The canonical text of a value.

    Args:
        vr: VR that counts (PS3.6), such as "DS" or "US or SS".
        value: little-endian bytes with their padding.
        charset: Python's name of the character set; "" when unknown.
    """
    if vr in ENCODED or vr in PLAIN:
        text = _text(vr, value, charset)
        return raw(value) if text is None else text
    if vr not in ("DS", "IS", "AT") and vr not in INTEGERS and vr not in FLOATS:
        return f"sha256:{sha256(value)}:{len(value)}" if value else ""
    parts = _parts(vr, value)
    known = [p for p in parts if p is not None]
    return "\\".join(known) if len(known) == len(parts) else raw(value)


def counting_vr(tag: int, written: str) -> str | None:
    """The VR by which a value is read: the dictionary's; the written one where that leaves a choice.

    None when the file writes a VR that the dictionary does not allow for this tag: parsers would disagree.
    """
    known = dictionary_vr(tag)
    if known == "UN" or written in ("", "UN", known):
        return known if known != "UN" or tag >> 16 & 1 else (written or "UN")
    if known == "US or SS" and written in ("US", "SS"):
        return known
    if " or " in known and (written in known.split(" or ") or written in ("OB", "OW")):
        return "OW"
    return None


def value_of(tag: int, element: Element, charset: str) -> str:
    """Canonical text of one element; a sequence says only how many items it has (`flatten` goes on into them)."""
    if element.items is not None:
        return f"items:{len(element.items)}"
    if element.fragments is not None:
        return f"fragments:{len(element.fragments)}"
    vr = counting_vr(tag, element.vr)
    if vr is None:
        return raw(element.vr.encode("latin-1") + b":" + element.value)
    return canonical(vr, element.value, charset)


def flatten(dataset: Dataset, charset: str, prefix: str = "") -> Iterator[tuple[str, int, Element, str]]:
    """Every element of a data set and of its sequences: path, tag, element, character set.

    A path is the tags from the outside in with the item's number: (5200,9230)[3]/(0020,9113)[0]/(0020,0032).
    """
    charset = charset_of(dataset, charset)
    for tag in sorted(dataset):
        element = dataset[tag]
        path = prefix + tag_text(tag)
        yield path, tag, element, charset
        for i, item in enumerate(element.items or ()):
            yield from flatten(item, charset, f"{path}[{i}]/")
