"""What is kept of an image: local features as 128-bit codes, where they lie, and a small picture to align.

Keypoints and descriptors are SIFT (Lowe 2004), from OpenCV. A descriptor is kept as the signs of 128 fixed random
projections (Charikar 2002): the share of bits in which two codes differ grows with the angle between the descriptors.
Features and the small picture show the image to whoever holds them: keep them where the images are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.core.errors import PrerequisiteError, UsageError

SIDE, SMALL = 256, 96  # longer side of the picture that is described, and of the one that is kept
MOST = 300  # features of an image
BORDER = 6  # pixels from the black surround within which a feature would describe the surround
DARK = 24  # of 255: darker is surround, if it touches the border of the picture


@dataclass(frozen=True, slots=True)
class Features:
    """One image, described.

    Attributes:
        points: x and y [n, 2] of each feature, in pixels of the described picture.
        codes: 128 bits a feature, [n, 2] uint64.
        mirror_codes: the same of the mirror image, whose features lie at mirrored places.
        small: grey picture [rows, columns] uint8, SMALL pixels on its longer side; 0 outside of the subject.
        scale: pixels of the described picture for one pixel of the image.
        size: rows and columns of the image.
    """

    points: NDArray[np.float32]
    codes: NDArray[np.uint64]
    mirror_codes: NDArray[np.uint64]
    small: NDArray[np.uint8]
    scale: float
    size: tuple[int, int]


@cache
def opencv() -> Any:
    """OpenCV, or PrerequisiteError with how to install it."""
    try:
        import cv2
    except ImportError as e:
        raise PrerequisiteError("The re-use search needs OpenCV.", 'Install it: pip install "nocere[reuse]".') from e
    return cv2


@cache
def _projections() -> NDArray[np.float32]:
    """128 random directions in descriptor space, the same in every index."""
    drawn = np.random.default_rng(20260101).standard_normal((128, 128))
    return np.asarray(drawn - drawn.mean(axis=1, keepdims=True), dtype=np.float32)


def grey_levels(image: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
    """One plane of 8 bits from integers [rows, columns(, samples)] of any depth, stretched over its own range.

    Raises:
        UsageError: not such an array, or a side below 16 pixels.
    """
    array = np.asarray(image)
    if array.dtype.kind not in "iu" or array.ndim not in (2, 3) or min(array.shape[:2], default=0) < 16:
        raise UsageError(
            f"An image of type {array.dtype} and shape {array.shape} cannot be searched for.",
            "Give integers [rows, columns] or [rows, columns, samples], at least 16 pixels a side.",
        )
    plane = array.astype(np.float32) if array.ndim == 2 else array.astype(np.float32).mean(axis=2)
    low, high = np.percentile(plane, (0.5, 99.5))
    return np.asarray(np.clip((plane - low) * (255.0 / max(float(high - low), 1e-6)), 0, 255), dtype=np.uint8)


def subject(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """255 where the picture is, 0 in a dark surround that touches its border (dermatoscope, fundus camera)."""
    cv2 = opencv()
    _, labels = cv2.connectedComponents((plane < DARK).astype(np.uint8), connectivity=4)
    rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    surround = np.isin(labels, np.setdiff1d(rim, 0))
    return np.where(surround, 0, 255).astype(np.uint8)


def mirrored(features: Features) -> Features:
    """Features of the mirror image (left to right), without looking at it again."""
    points = features.points.copy()
    points[:, 0] = round(features.size[1] * features.scale) - 1 - points[:, 0]
    small = np.ascontiguousarray(features.small[:, ::-1])
    return Features(points, features.mirror_codes, features.codes, small, features.scale, features.size)


def describe(image: NDArray[np.integer[Any]]) -> Features:
    """Describe an image, integers [rows, columns(, samples)] of any depth.

    Raises:
        UsageError: not such an image.
        PrerequisiteError: OpenCV is not installed.
    """
    cv2 = opencv()
    plane = grey_levels(image)
    size = (plane.shape[0], plane.shape[1])
    scale = SIDE / max(size)
    picture = _scaled(plane, scale)
    inside = subject(picture)
    core = cv2.erode(inside, np.ones((2 * BORDER + 1, 2 * BORDER + 1), np.uint8), borderValue=255)
    smooth = cv2.GaussianBlur(picture, (0, 0), 1.0)  # below this scale a codec decides what is there
    found, descriptors = cv2.SIFT_create(nfeatures=MOST, contrastThreshold=0.005).detectAndCompute(smooth, core)
    small = np.maximum(_scaled(picture, SMALL / SIDE), 1)
    small[_scaled(inside, SMALL / SIDE) < 255] = 0
    points = np.array([p.pt for p in found[:MOST]], dtype=np.float32).reshape(-1, 2)
    wide = np.zeros((0, 128), np.float32) if descriptors is None else descriptors[:MOST]
    return Features(points, _codes(wide), _codes(_mirrored(wide)), small, scale, size)


def _mirrored(descriptors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Descriptors of the mirror image: 4 x 4 cells of 8 directions, seen along the keypoint's own direction."""
    cells = descriptors.reshape(-1, 4, 4, 8)[:, ::-1]
    return cells[..., [-k % 8 for k in range(8)]].reshape(-1, 128)


def _scaled(plane: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    cv2 = opencv()
    rows, columns = (max(1, round(n * scale)) for n in plane.shape)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(plane, (columns, rows), interpolation=how))


def _codes(descriptors: NDArray[np.float32]) -> NDArray[np.uint64]:
    root = np.sqrt(descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-6))  # RootSIFT
    bits = (root - root.mean(axis=1, keepdims=True)) @ _projections().T > 0
    return np.packbits(bits, axis=1).view(np.uint64)
