"""Which turn, crop, pad or resize brings the original onto the grid of the suspect: candidates, likeliest first."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from nocere.provenance.investigate.explain_catalogue import (
    CROP_SIDE,
    FILTERS,
    FLOAT_FILTERS,
    RESIZE_SIDE,
    Image,
    Step,
    apply_step,
)

SIDES = (128, 224, 256, 299, 320, 336, 384, 448, 512, 600, 640, 768, 1024, 2048)  # what pipelines shrink to
SHARES = (1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4, 4 / 5, 9 / 10)
TURNS = tuple((k, m) for m in (0, 1) for k in range(4))


def grey(image: Image) -> NDArray[np.float64]:
    """One plane [rows, columns] in float, the mean over the samples."""
    plane = image.astype(np.float64)
    return plane if plane.ndim == 2 else plane.mean(axis=2)


def correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Absolute Pearson correlation of two planes; 0 where one is constant. Absolute: an inverted image is at home."""
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return abs(float((a * b).sum())) / norm if norm > 0 else 0.0


def find_inside(part: NDArray[np.float64], whole: NDArray[np.float64]) -> tuple[float, int, int]:
    """Best place of `part` inside `whole`: normalised correlation (Lewis 1995), first row, first column."""
    n = part.size
    t = part - part.mean()
    energy = float((t * t).sum())
    shifted = whole - whole.mean()
    product = fftconvolve(shifted, t[::-1, ::-1], mode="valid")

    def box(values: NDArray[np.float64]) -> NDArray[np.float64]:
        total = np.pad(values.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        r, c = part.shape
        return np.asarray(total[r:, c:] - total[:-r, c:] - total[r:, :-c] + total[:-r, :-c])

    variance = box(shifted * shifted) - box(shifted) ** 2 / n
    floor = 1e-9 * max(float(variance.max()), 1.0)
    score = np.where(variance > floor, product / np.sqrt(np.maximum(variance, floor) * max(energy, 1e-12)), 0.0)
    at = int(score.argmax())
    row, column = divmod(at, score.shape[1])
    return float(score[row, column]), row, column


def _crop(original: Image, bits: int, suspect: Image) -> list[Step]:
    (rows, columns), best, place = suspect.shape[:2], -1.0, (0, 0, 0, 0)
    for k, m in TURNS:
        turned = grey(apply_step(original, bits, turn(k, m))[0])
        if turned.shape[0] < rows or turned.shape[1] < columns:
            continue
        if rows < CROP_SIDE * turned.shape[0] or columns < CROP_SIDE * turned.shape[1]:
            continue
        score, top, left = find_inside(grey(suspect), turned)
        if score > best + 1e-9:
            best, place = score, (k, m, top, left)
    if best < 0:
        return []
    crop = Step("crop", {"top": place[2], "left": place[3], "rows": rows, "columns": columns})
    return [crop] if place[:2] == (0, 0) else [turn(*place[:2]), crop]


def _pad(original: Image, suspect: Image) -> list[Step]:
    rows, columns = suspect.shape[:2]
    _, top, left = find_inside(grey(original), grey(suspect))
    outside = np.ones((rows, columns), dtype=bool)
    outside[top : top + original.shape[0], left : left + original.shape[1]] = False
    value = int(np.median(suspect[outside])) if outside.any() else 0
    return [Step("pad", {"top": top, "left": left, "rows": rows, "columns": columns, "value": value})]


def turn(quarter_turns: int, mirrored: int) -> Step:
    """Mirrored left to right (0 or 1), then turned counter-clockwise."""
    return Step("turn", {"quarter_turns": quarter_turns, "mirrored": mirrored})


def resize_to(rows: int, columns: int, kind: str) -> Step:
    """Resize with a named filter."""
    return Step("resize", {"rows": rows, "columns": columns, "filter": kind})


def _turned(original: Image, bits: int, suspect: Image) -> tuple[Step, ...]:
    """The likeliest of the eight ways to lay the image, compared on every 4th pixel; none if it lies as it was."""
    found, best, target = (0, 0), -1.0, grey(suspect)[::4, ::4]
    for k, m in TURNS:
        image, _ = apply_step(original, bits, turn(k, m))
        if image.shape == suspect.shape:
            score = correlation(grey(image)[::4, ::4], target)
            if score > best + 1e-9:
                best, found = score, (k, m)
    return () if found == (0, 0) else (turn(*found),)


def _shrunk_sizes(rows: int, columns: int) -> list[tuple[int, int]]:
    """Sizes that the image may have passed through: usual shares and usual lengths of the longer side."""
    longer = max(rows, columns)
    scales = {*SHARES, *(side / longer for side in SIDES if side < longer)}
    sizes = {(round(rows * s), round(columns * s)) for s in scales if s >= RESIZE_SIDE}
    return sorted(s for s in sizes if min(s) >= 8 and s != (rows, columns))


def same_grid(original: Image, bits: int, suspect: Image) -> tuple[Step, ...] | None:
    """Where both have the same number of rows and columns, up to a turn: the turn, () for none. None otherwise."""
    rows, columns = original.shape[:2]
    if suspect.shape[:2] not in ((rows, columns), (columns, rows)):
        return None
    return _turned(original, bits, suspect)


def other_grids(original: Image, bits: int, suspect: Image) -> Iterator[tuple[Step, ...]]:
    """Crop, pad and resize candidates whose result has the rows and columns of the suspect, simplest first.

    On the same grid: resized down and up again, through the usual sizes.
    """
    (rows, columns), (r, c) = original.shape[:2], suspect.shape[:2]
    if (rows, columns) == (r, c):
        for size in _shrunk_sizes(rows, columns):
            for kind in FILTERS:
                yield resize_to(*size, kind), resize_to(r, c, kind)
        return
    steps = _crop(original, bits, suspect)
    if steps:
        yield tuple(steps)
    if r >= rows and c >= columns and CROP_SIDE * r <= rows and CROP_SIDE * c <= columns:
        yield tuple(_pad(original, suspect))
    if r >= RESIZE_SIDE * rows and c >= RESIZE_SIDE * columns:
        for kind in FILTERS + FLOAT_FILTERS:
            yield (resize_to(r, c, kind),)
