"""Sights: what simple models are shown of a picture, as a vector of numbers each; none of them shows a lesion's detail.

A picture is [3, H, W] on 0..1, as its file shows it; grey is three equal channels.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from nocere.clinical.dicom.display import displayed, of_header
from nocere.core.case import Case
from nocere.core.errors import UsageError

Array = NDArray[np.float64]
RING = 0.04  # width of the border, as a share of the picture's shorter side
CORNER = 0.14  # side of a corner, as a share of the same
BINS = 16
TABLE = 64  # entries of a JPEG quantisation table (ITU-T T.81)


def picture(case: Case[Any]) -> Array:
    """A case as a picture on 0..1, [3, H, W]; of DICOM what its first window shows.

    Raises:
        UsageError: the case is no picture of one or three channels.
    """
    x = case.x
    if not isinstance(x, np.ndarray) or x.ndim != 3 or len(x) not in (1, 3):
        raise UsageError(f"{case.id} is no picture.", "Shortcuts are looked for in pictures.")
    shown = displayed(of_header(case.header, len(x)), x) / 255.0
    return np.asarray(np.broadcast_to(shown, (3, *x.shape[1:])), dtype=np.float64)


def thumbnail(p: Array, side: int) -> Array:
    """Mean colours of `side` x `side` equal areas."""
    small = [
        Image.fromarray(c.astype(np.float32)).resize((side, side), Image.Resampling.BOX)
        for c in np.ascontiguousarray(p)
    ]
    return np.concatenate([np.asarray(s, dtype=np.float64).ravel() for s in small])


def border(p: Array) -> Array:
    """Mean and spread of colour along each of the four edges."""
    k = _share(p, RING)
    edges = (p[:, :k], p[:, -k:], p[:, :, :k], p[:, :, -k:])
    return np.concatenate([[*e.mean((1, 2)), *e.std((1, 2))] for e in edges])


def corners(p: Array) -> Array:
    """Of each corner, where marks are burned in: mean, spread, extremes, and how sharp its edges are."""
    k = _share(p, CORNER)
    out: list[float] = []
    for c in (p[:, :k, :k], p[:, :k, -k:], p[:, -k:, :k], p[:, -k:, -k:]):
        sharp = (np.abs(np.diff(c, axis=1)).mean() + np.abs(np.diff(c, axis=2)).mean()) if k > 1 else 0.0
        out += [*c.mean((1, 2)), float(c.std()), float(c.min()), float(c.max()), float(sharp)]
    return np.array(out)


def colours(p: Array) -> Array:
    """Mean, spread and histogram of each channel: nothing of where anything is."""
    bars = [np.histogram(c, bins=BINS, range=(0.0, 1.0))[0] / c.size for c in p]
    return np.concatenate([p.mean((1, 2)), p.std((1, 2)), *bars])


def _share(p: Array, share: float) -> int:
    return max(1, round(share * int(min(p.shape[1:]))))


OF_PICTURES: Mapping[str, Callable[[Array], Array]] = {
    "thumbnail 16 x 16": lambda p: thumbnail(p, 16),
    "thumbnail 8 x 8": lambda p: thumbnail(p, 8),
    "colours": colours,
    "border": border,
    "corners": corners,
}
WITHOUT_LESION = ("border", "corners", "file")
"""Sights that show no lesion unless it lies there; so does every attribute."""


def of_file(data: bytes) -> Array:
    """Of a file that is no DICOM: size, form, and the quantisation tables of a JPEG; no pixel of it.

    How many bytes it has is left out: a compressed file is as long as its pixels are busy.
    """
    out = np.zeros(7 + 2 * TABLE)
    try:
        with Image.open(io.BytesIO(data)) as image:
            out[0:6] = (
                *image.size,
                len(image.getbands()),
                image.format == "JPEG",
                len(image.info),
                len(image.getexif()),
            )
            tables = getattr(image, "quantization", None) or {}
            out[6] = len(tables)
            for i, table in sorted(tables.items())[:2]:
                out[7 + TABLE * min(i, 1) :][: len(table)] = table[:TABLE]
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        # Not a picture that Pillow reads: nothing is told of it.
        pass
    return out


def of_values(values: Sequence[str]) -> Array | None:
    """One attribute of all cases as columns: a number, or one column a value; None where all are alike."""
    if len(set(values)) < 2:
        return None
    known = [v for v in values if v.strip()]
    try:
        numbers = np.array([float(v) for v in known])
    except ValueError:
        numbers = np.array([np.nan])
    if np.isfinite(numbers).all():
        there = np.array([bool(v.strip()) for v in values])
        column = np.full(len(values), numbers.mean())
        column[there] = numbers
        return np.stack([column, there.astype(float)], axis=1)
    names = sorted(set(values), key=lambda v: (-values.count(v), v))[:30]
    return np.array([[float(v == name) for name in names] for v in values])
