"""Is this the same photograph? Matching features, one affine map through them, and correlation of what it aligns.

The last is what convinces: after alignment the fine structure of two photographs of different subjects is uncorrelated,
whatever their colours and outlines share.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nocere.provenance.investigate.reuse.features import SIDE, SMALL, Features, opencv

BITS = 32  # most bits of 128 in which two codes of the same place differ
INLIERS = 8  # fewest features on one affine map
ENOUGH = 14  # features from which the lower of the two scores is asked
REACH = 3.0  # pixels of the described picture within which a feature lies on the map
SCALES, STRETCH = (0.3, 3.0), 1.6  # benign scale, and ratio of the scales along the two axes
OVERLAP = 0.2  # least share of the smaller picture that both show
SCORE, FEW_SCORE = 0.7, 0.85  # least correlation with ENOUGH features, and with fewer


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """An indexed image that shows the same photograph.

    Attributes:
        id, group: as given to `Index.add`.
        score: correlation of fine structure where the two overlap once aligned, up to 1.
        transform: [2, 3]; takes x, y, 1 of a pixel of the indexed image to its place in the searched one.
        inliers: features that lie on that map.
    """

    id: str
    group: str
    score: float
    transform: NDArray[np.float64]
    inliers: int

    @property
    def mirrored(self) -> bool:
        """Whether one is the mirror image of the other."""
        return bool(np.linalg.det(self.transform[:, :2]) < 0)

    @property
    def scale(self) -> float:
        """Pixels of the searched image for one of the indexed image."""
        return math.sqrt(abs(float(np.linalg.det(self.transform[:, :2]))))

    @property
    def rotation(self) -> float:
        """Degrees by which the x axis of the indexed image is turned (y down) in the searched one, -180 to 180."""
        return math.degrees(math.atan2(self.transform[1, 0], self.transform[0, 0]))


def pairs(a: Features, b: Features) -> NDArray[np.intp]:
    """Rows of `a` and of `b` [n, 2] that are each other's nearest code, within BITS."""
    first, second = (np.bitwise_count(a.codes[:, None, k] ^ b.codes[None, :, k]) for k in (0, 1))
    distance = first + second  # at most 128, in 8 bits
    to_b, to_a = distance.argmin(axis=1), distance.argmin(axis=0)
    rows = np.arange(len(to_b))
    mutual = (to_a[to_b] == rows) & (distance[rows, to_b] <= BITS)
    return np.stack([rows[mutual], to_b[mutual]], axis=1)


def aligned(query: Features, held: Features) -> tuple[NDArray[np.float64], int] | None:
    """The affine map [2, 3] from the described picture of `held` to that of `query`, and how many features lie on it.

    RANSAC (Fischler & Bolles 1981) with a fixed draw. None if there is no benign map through enough features.
    """
    if len(query.points) < INLIERS or len(held.points) < INLIERS:
        return None
    at = pairs(query, held)
    if len(at) < INLIERS:
        return None
    found, inside = opencv().estimateAffine2D(
        held.points[at[:, 1]], query.points[at[:, 0]], ransacReprojThreshold=REACH, maxIters=1000
    )
    if found is None:
        return None
    # Several features may lie at one place; they are one witness.
    places = np.unique(query.points[at[:, 0]][inside.ravel() > 0].round(), axis=0)
    scales = np.linalg.svd(found[:, :2], compute_uv=False)
    benign = SCALES[0] <= scales[1] and scales[0] <= SCALES[1] and scales[0] <= STRETCH * scales[1]
    return (found, len(places)) if benign and len(places) >= INLIERS and np.linalg.det(found[:, :2]) > 0 else None


def correlation(query: Features, held: Features, found: NDArray[np.float64]) -> float:
    """Correlation of fine structure of the small pictures where they overlap; 0 if they hardly do."""
    cv2 = opencv()
    ratio = SMALL / SIDE
    small, shift = found.copy(), (1 - ratio) / 2  # pixel centres: x of the large grid is ratio * x - shift in the small
    small[:, 2] = ratio * found[:, 2] + found[:, :2] @ np.full(2, shift) - shift
    rows, columns = query.small.shape
    moved = cv2.warpAffine(held.small, small, (columns, rows), flags=cv2.INTER_LINEAR, borderValue=0)
    outside = cv2.warpAffine((held.small > 0).astype(np.uint8), small, (columns, rows), flags=cv2.INTER_NEAREST)
    both = cv2.erode(((query.small > 0) & (outside > 0)).astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0) > 0
    least = OVERLAP * min(int((query.small > 0).sum()), int(abs(np.linalg.det(small[:, :2])) * (held.small > 0).sum()))
    if both.sum() < max(least, 64):
        return 0.0
    a, b = _fine(query.small, both)[both], _fine(moved, both)[both]
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm if norm > 0 else 0.0


def _fine(picture: NDArray[np.uint8], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The picture less its surroundings, over the contrast there; nothing from outside of `inside` leaks in."""
    cv2 = opencv()
    weight = inside.astype(np.float32)
    values = picture.astype(np.float32) * weight

    def mean(x: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.GaussianBlur(x, (0, 0), 5) / np.maximum(cv2.GaussianBlur(weight, (0, 0), 5), 1e-3))

    high = (values - mean(values)) * weight
    return np.asarray(high / np.sqrt(mean(high * high) + 4.0), dtype=np.float32)


def same(query: Features, held: Features) -> tuple[float, NDArray[np.float64], int] | None:
    """Score, map and inliers if both show the same photograph; None if not."""
    found = aligned(query, held)
    if found is None:
        return None
    score = correlation(query, held, found[0])
    return (score, *found) if score >= (SCORE if found[1] >= ENOUGH else FEW_SCORE) else None
