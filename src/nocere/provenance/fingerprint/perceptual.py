"""F5, advisory: a 64-bit perceptual hash of the middle frame. It tells another picture from the same one, no more.

It is blind to adversarial noise by design and shows something of the picture, so it is never evidence, and it is kept
where the pictures are kept. Method: sign of the low DCT coefficients (the "pHash" of Zauner 2010, section 3.2.1).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from nocere.provenance.fingerprint.tiles import Pixels

SIDE, LOW = 32, 8
TIE = 1e-11  # of the sum of the plane; processors differ by about 1e-16


def _shrink_rows(plane: Pixels) -> Pixels:
    n = len(plane)
    if n < SIDE:
        return plane[np.arange(SIDE) * n // SIDE]
    bounds = np.arange(SIDE + 1) * n // SIDE
    return np.stack([plane[i:j].mean(axis=0, dtype=np.float64) for i, j in pairwise(bounds)])


def _shrink(plane: Pixels) -> NDArray[np.float64]:
    """Means over a SIDE x SIDE grid of boxes; small pictures repeat their pixels."""
    return _shrink_rows(_shrink_rows(plane).T).T.astype(np.float64)


def perceptual_hash(pixels: Pixels) -> str:
    """64 bits as 16 hexadecimal digits, of an array [frames, rows, columns, samples].

    Two hashes are compared by the number of bits in which they differ: 0 to about 8 is the same picture, about 32 is
    any other one.
    """
    frame = pixels[len(pixels) // 2]
    if frame.dtype.kind == "f":
        frame = np.nan_to_num(frame, posinf=0.0, neginf=0.0)
    plane = _shrink(frame[..., 0] if frame.shape[-1] == 1 else frame.mean(axis=-1))
    k, n = np.arange(LOW + 1)[:, None], np.arange(SIDE)[None, :]
    cosines = np.cos(np.pi * k * (2 * n + 1) / (2 * SIDE))
    low = (cosines @ plane @ cosines.T)[1:, 1:]
    # Symmetric pictures have many equal coefficients: what rounding alone tells apart counts as equal.
    bits = (low - np.median(low) > TIE * np.abs(plane).sum()).ravel()
    return np.packbits(bits).tobytes().hex()


def distance(a: str, b: str) -> int:
    """Bits in which two hashes differ, 0 to 64."""
    return (int(a, 16) ^ int(b, 16)).bit_count()
