"""Masks: the pixels of a picture that a reader marked (a lesion), kept with the case as the bytes of a one-bit PNG.

Bytes, because they cannot be written to: what a rule reads of a case is out of reach of whoever searches it.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from nocere.core.case import Case
from nocere.core.errors import DataError


def write_mask(mask: NDArray[np.bool_]) -> bytes:
    """Marked pixels [H, W] as PNG bytes; the same bytes every time."""
    out = io.BytesIO()
    Image.fromarray(np.asarray(mask, dtype=bool)).save(out, "PNG", compress_level=9)
    return out.getvalue()


def read_mask(data: bytes, where: str) -> NDArray[np.bool_]:
    """Marked pixels [H, W] of a PNG of one channel: every value above 0 is marked.

    Raises:
        DataError: not a picture of one channel.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            if image.format != "PNG" or image.mode not in ("1", "L", "I;16"):
                raise DataError(
                    f"{where}: a mask is a PNG of one channel; this is {image.format}, mode {image.mode}.",
                    "Save it with 0 outside and any other value inside.",
                )
            return np.asarray(image) > 0
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as e:
        raise DataError(f"{where}: not a readable PNG mask ({e}).", "Replace it, or leave its column empty.") from e


def fitted_mask(data: bytes, shape: tuple[int, ...], where: str) -> bytes:
    """The mask in `data` as it is kept with a picture of stored shape [C, H, W].

    Raises:
        DataError: another size than the picture, or no marked pixel.
    """
    mask = read_mask(data, where)
    if mask.shape != shape[1:]:
        raise DataError(
            f"{where}: the mask has {mask.shape[0]} x {mask.shape[1]} pixels, its picture {shape[1]} x {shape[2]}.",
            "A mask has the size of its picture.",
        )
    if not mask.any():
        raise DataError(f"{where}: the mask marks no pixel.", "Leave its column empty if nothing is marked.")
    return write_mask(mask)


def marked(case: Case[Any]) -> NDArray[np.bool_] | None:
    """Marked pixels [H, W] of a case; None where it has no mask."""
    return read_mask(case.mask, case.id) if case.mask else None
