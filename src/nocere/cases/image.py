"""Images: 8-bit grey and colour, grey of 9 to 16 bits; read from PNG or JPEG, realised as PNG (lossless).

A PNG of more than 8 bits says how many of its 16 are significant in an sBIT chunk (PNG third edition, 11.3.2.4).
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from nocere.cases.masks import fitted_mask, write_mask
from nocere.core.candidate import Files
from nocere.core.canonical import Json, sha256
from nocere.core.case import Case, Truth
from nocere.core.errors import DataError

Pixels: TypeAlias = NDArray[np.unsignedinteger[Any]]  # uint8 or uint16

FILE = "image.png"


def read_pixels(data: bytes, where: str) -> Pixels:
    """Stored values of an 8-bit grey or colour PNG or JPEG, or a 16-bit grey PNG: [1 or 3, H, W], read-only.

    Palette and alpha images are refused unless they are grey or colour without transparency, because dropping a
    channel silently would change what the model sees.

    Raises:
        DataError: not an image, truncated, or neither 8-bit grey or RGB nor 16-bit grey.
    """
    try:
        with Image.open(io.BytesIO(data)) as opened:
            opened.load()
            if opened.format not in ("PNG", "JPEG"):
                raise DataError(f"{where}: the format {opened.format} is not read here.", "Use PNG or JPEG.")
            image: Image.Image = opened
            if image.mode == "P" and "transparency" not in image.info:
                image = image.convert("RGB")
            if image.mode not in ("L", "RGB", "I;16"):
                raise DataError(
                    f"{where}: image mode {image.mode} is neither 8-bit grey or colour nor 16-bit grey.",
                    "Convert it to mode L, RGB without transparency, or I;16.",
                )
            x: Pixels = np.asarray(image, dtype=np.uint16 if image.mode == "I;16" else np.uint8)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as e:
        raise DataError(f"{where}: not a readable PNG or JPEG image ({e}).", "Replace or remove the file.") from e
    x = x[None] if x.ndim == 2 else np.ascontiguousarray(x.transpose(2, 0, 1))
    x.setflags(write=False)
    return x


def significant_bits(data: bytes, x: Pixels) -> int:
    """Bits of a stored value: 8, or what a 16-bit PNG declares in its sBIT chunk, else 16."""
    if x.dtype == np.uint8:
        return 8
    at = 8
    while at + 8 <= len(data) and data[at + 4 : at + 8] not in (b"IDAT", b"IEND"):
        length = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"sBIT" and length == 1:
            return max(1, min(data[at + 8], 16))
        at += 12 + length
    return 16


def write_png(x: Pixels, bits: int = 8) -> bytes:
    """Stored values [1 or 3, H, W] as PNG bytes; fast compression, no other metadata, same bytes every time."""
    out = io.BytesIO()
    about = PngInfo()
    if x.dtype == np.uint16 and bits < 16:
        about.add(b"sBIT", bytes([bits]))
    image = Image.fromarray(x[0] if x.shape[0] == 1 else x.transpose(1, 2, 0))
    image.save(out, "PNG", compress_level=1, pnginfo=about)
    return out.getvalue()


def image_case(
    case_id: str, data: bytes, truth: Truth, *, group: str = "", attrs: Mapping[str, str] | None = None, where: str = ""
) -> Case[Pixels]:
    """A case from the bytes of a PNG or JPEG file; its hash is taken over these bytes."""
    x = read_pixels(data, where or case_id)
    header = header_of(x, significant_bits(data, x))
    return Case(case_id, x, header, truth, group or case_id, attrs or {}, sha256(data))


def array_case(
    case_id: str,
    x: Pixels,
    truth: Truth,
    *,
    group: str = "",
    attrs: Mapping[str, str] | None = None,
    bits: int = 8,
    mask: NDArray[np.bool_] | None = None,
) -> Case[Pixels]:
    """A case from stored values that never were a file, hashed over its PNG form.

    Args:
        case_id: its id.
        x: uint8 [1 or 3, H, W], or uint16 [1, H, W] with values of 9 to 16 bits.
        truth: what is known of it.
        group: patient; default is the case itself.
        attrs: subgroups.
        bits: significant bits of a stored value.
        mask: pixels that a reader marked [H, W], such as a lesion.

    Raises:
        DataError: another form, or a value that does not fit into `bits`.
    """
    form = (x.dtype == np.uint8 and bits == 8) or (x.dtype == np.uint16 and 9 <= bits <= 16 and x.shape[:1] == (1,))
    if not form or x.ndim != 3 or x.shape[0] not in (1, 3) or int(x.max(initial=0)) >= 1 << bits:
        raise DataError(
            f"Case {case_id}: stored values must be uint8 of shape [1 or 3, H, W], or uint16 of shape [1, H, W] with 9 "
            f"to 16 bits that hold them; got {x.dtype} {x.shape} with {bits} bits."
        )
    x = np.array(x)
    x.setflags(write=False)
    kept = b"" if mask is None else fitted_mask(write_mask(mask), x.shape, f"Case {case_id}")
    digest = sha256(write_png(x, bits))
    return Case(case_id, x, header_of(x, bits), truth, group or case_id, attrs or {}, digest, kept)


def header_of(x: Pixels, bits: int) -> dict[str, Json]:
    """Everything in a realised PNG besides the pixels."""
    return {"bits": bits, "channels": int(x.shape[0])}


class ImageCodec:
    """Realises image cases as PNG."""

    name = "image"

    def encode(self, case: Case[Any], x: Any) -> Files:
        return {FILE: write_png(x, int(str(case.header["bits"])))}

    def decode(self, files: Files) -> tuple[Any, Mapping[str, Json]]:
        x = read_pixels(files[FILE], FILE)
        return x, header_of(x, significant_bits(files[FILE], x))
