"""8-bit images: read from PNG or JPEG, realised as PNG (lossless, so stored values survive)."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from nocere.core.candidate import Files
from nocere.core.canonical import Json, sha256
from nocere.core.case import Case, Truth
from nocere.core.errors import DataError

Pixels: TypeAlias = NDArray[np.uint8]

FILE = "image.png"


def read_pixels(data: bytes, where: str) -> Pixels:
    """Stored values of an 8-bit grey or colour PNG or JPEG: [1 or 3, H, W], read-only.

    Palette and alpha images are refused unless they are grey or colour without transparency, because dropping a
    channel silently would change what the model sees.

    Raises:
        DataError: not an image, truncated, or not 8-bit grey or RGB.
    """
    try:
        with Image.open(io.BytesIO(data)) as opened:
            opened.load()
            if opened.format not in ("PNG", "JPEG"):
                raise DataError(f"{where}: the format {opened.format} is not read here.", "Use PNG or JPEG.")
            image: Image.Image = opened
            if image.mode == "P" and "transparency" not in image.info:
                image = image.convert("RGB")
            if image.mode not in ("L", "RGB"):
                raise DataError(
                    f"{where}: image mode {image.mode} is not 8-bit grey or colour.",
                    "Convert it to mode L or RGB without transparency.",
                )
            x = np.asarray(image, dtype=np.uint8)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as e:
        raise DataError(f"{where}: not a readable PNG or JPEG image ({e}).", "Replace or remove the file.") from e
    x = x[None] if x.ndim == 2 else np.ascontiguousarray(x.transpose(2, 0, 1))
    x.setflags(write=False)
    return x


def write_png(x: Pixels) -> bytes:
    """Stored values [1 or 3, H, W] as PNG bytes; fast compression, no metadata, same bytes every time."""
    out = io.BytesIO()
    Image.fromarray(x[0] if x.shape[0] == 1 else x.transpose(1, 2, 0)).save(out, "PNG", compress_level=1)
    return out.getvalue()


def image_case(
    case_id: str, data: bytes, truth: Truth, *, group: str = "", attrs: Mapping[str, str] | None = None, where: str = ""
) -> Case[Pixels]:
    """A case from the bytes of a PNG or JPEG file; its hash is taken over these bytes."""
    x = read_pixels(data, where or case_id)
    return Case(case_id, x, header_of(x), truth, group or case_id, attrs or {}, sha256(data))


def array_case(
    case_id: str, x: Pixels, truth: Truth, *, group: str = "", attrs: Mapping[str, str] | None = None
) -> Case[Pixels]:
    """A case from stored values [1 or 3, H, W] that never were a file; hashed over its PNG form."""
    if x.dtype != np.uint8 or x.ndim != 3 or x.shape[0] not in (1, 3):
        raise DataError(
            f"Case {case_id}: stored values must be uint8 of shape [1 or 3, H, W]; got {x.dtype} {x.shape}."
        )
    x = np.array(x)
    x.setflags(write=False)
    return Case(case_id, x, header_of(x), truth, group or case_id, attrs or {}, sha256(write_png(x)))


def header_of(x: Pixels) -> dict[str, Json]:
    """Everything in a realised PNG besides the pixels."""
    return {"bits": 8, "channels": int(x.shape[0])}


class ImageCodec:
    """Realises image cases as PNG."""

    name = "image"

    def encode(self, case: Case[Any], x: Any) -> Files:
        return {FILE: write_png(x)}

    def decode(self, files: Files) -> tuple[Any, Mapping[str, Json]]:
        x = read_pixels(files[FILE], FILE)
        return x, header_of(x)
