"""Triptychs of image evidence: original, what was changed, adversarial; as PNG data URIs at whole multiples of size.

DICOM is shown as its file says: through the first of its windows, which also decides what is seen of the change.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.audit.bundle import Bundle, evidence_path, short
from nocere.cases import dicom
from nocere.cases.image import FILE, Pixels, read_pixels, write_png
from nocere.clinical.dicom.display import displayed, of_header

GAINS = (50, 20, 10, 5, 2, 1)
GREY = 128
LARGEST = 448  # pixels a side; a larger picture is cut to a window, because shrinking would hide the change
SHOWN = 208  # pixels a side that a small picture is enlarged to, by a whole factor


def has_pictures(bundle: Bundle, cell: str, case_id: str, radius: float) -> bool:
    """True when both the original and the adversarial picture are in the bundle."""
    return _file(bundle, cell, case_id, radius) != ""


def _file(bundle: Bundle, cell: str, case_id: str, radius: float) -> str:
    """Name of the picture's file in the folders of original and evidence; empty where one has none."""
    files = bundle.manifest["files"]
    places = (f"originals/{short(case_id)}", evidence_path(cell, case_id, radius))
    return next((n for n in (FILE, dicom.FILE) if all(f"{p}/{n}" in files for p in places)), "")


def _picture(data: bytes, name: str, where: str) -> Pixels:
    """Stored values of a PNG; of DICOM what is displayed, in whole levels."""
    if name == FILE:
        return read_pixels(data, where)
    x, header = dicom.read_dicom(data, where)
    return np.asarray(np.rint(displayed(of_header(header, len(x)), x)), dtype=np.uint8)


def triptych(bundle: Bundle, cell: str, case_id: str, radius: float) -> dict[str, Any] | None:
    """The three pictures of one finding, or None where it has none."""
    name = _file(bundle, cell, case_id, radius)
    if not name:
        return None
    before = _picture(bundle.bytes(f"originals/{short(case_id)}/{name}"), name, case_id)
    after = _picture(bundle.bytes(f"{evidence_path(cell, case_id, radius)}/{name}"), name, case_id)
    if before.shape != after.shape:
        return None
    d = after.astype(np.int64) - before.astype(np.int64)
    height, width = before.shape[1:]
    rows, columns = _window(d)
    before, after, d = before[:, rows, columns], after[:, rows, columns], d[:, rows, columns]
    k = gain(d)
    changed = np.clip(GREY + k * d, 0, 255).astype(np.uint8)
    factor = max(1, SHOWN // max(before.shape[1:]))
    return {
        "original": _uri(_shown(before, before)),
        "change": _uri(changed),
        "adversarial": _uri(_shown(after, before)),
        "gain": k,
        "clipped": bool(k * np.abs(d).max() > 127),
        "width": int(before.shape[2]) * factor,
        "height": int(before.shape[1]) * factor,
        "factor": factor,
        "pixels": [width, height],
        "detail": None if before.shape[1:] == (height, width) else [int(before.shape[2]), int(before.shape[1])],
    }


def _shown(x: Pixels, like: Pixels) -> NDArray[np.uint8]:
    """8 bits to look at: as stored, or for deeper images stretched over the range of `like`."""
    if x.dtype == np.uint8:
        return x.astype(np.uint8)
    low, high = np.percentile(like, (0.5, 99.5))
    return np.asarray(np.clip((x - low) * (255.0 / max(float(high - low), 1.0)), 0, 255).astype(np.uint8))


def gain(d: NDArray[np.int64]) -> int:
    """The largest of 1, 2, 5, 10, 20, 50 that keeps every change inside of the grey scale; 1 where none does."""
    most = int(np.abs(d).max())
    return next((k for k in GAINS if k * most <= 127), 1)


def _window(d: NDArray[np.int64]) -> tuple[slice, slice]:
    """A window of at most `LARGEST` a side about the largest change."""
    _, y, x = np.unravel_index(int(np.abs(d).argmax()), d.shape)
    return _span(int(y), d.shape[1]), _span(int(x), d.shape[2])


def _span(at: int, size: int) -> slice:
    start = min(max(0, at - LARGEST // 2), max(0, size - LARGEST))
    return slice(start, min(size, start + LARGEST))


def _uri(x: NDArray[np.uint8]) -> str:
    return "data:image/png;base64," + base64.b64encode(write_png(np.ascontiguousarray(x))).decode("ascii")
