"""Pictures of what changed: the suspect with its changed tiles outlined, beside the original and the difference.

Colours are from the palette of Okabe and Ito (2008), which the colour-blind can tell apart: blue is darker, orange is
brighter than the original. The outline is blue between two black lines, so that it shows on skin, bone and black.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from nocere.core.errors import UsageError

Array: TypeAlias = NDArray[Any]
Box: TypeAlias = tuple[int, int, int, int]
BLUE, ORANGE, BLACK, WHITE = (86, 180, 233), (230, 159, 0), (0, 0, 0), (255, 255, 255)
LEAST, MOST, GAP, TEXT = 320, 768, 12, 16  # pixels: longer side of a panel at least and at most, space, letter height
FAINTEST = 0.5  # brightness of the smallest change: one grey level must be seen beside a hundred
ROWS = 8  # frames that one picture shows


@dataclass(frozen=True, slots=True, eq=False)
class ChangedFrame:
    """One frame that changed.

    Attributes:
        number: of the frame, from 0.
        original: samples [rows, columns(, samples)], or None where it is not at hand.
        suspect: likewise.
        boxes: changed tiles of the suspect: first row, first column, end row, end column (ends exclusive).
    """

    number: int
    original: Array | None
    suspect: Array
    boxes: Sequence[Box]


def changed_tiles_picture(
    original: Array | None,
    suspect: Array,
    boxes: Sequence[Box],
    *,
    window: tuple[float, float] | None = None,
) -> bytes:
    """PNG of one frame: the suspect outlined; with the original also the original and the amplified difference.

    Args:
        original: samples [rows, columns(, samples)] of any depth, or None where it is not at hand.
        suspect: likewise; of another size, the difference is left out.
        boxes: changed tiles: first row, first column, end row, end column (ends exclusive).
        window: stored values shown as black and as white; by default 0 and 255 for 8 bits, else the 0.5th and 99.5th
            percentile of both images.

    Raises:
        UsageError: not an image of 1 or 3 samples, or a box outside of the suspect.
    """
    return _png(_row(ChangedFrame(0, original, suspect, boxes), window, ""))


def changed_frames_picture(frames: Sequence[ChangedFrame], *, window: tuple[float, float] | None = None) -> bytes:
    """PNG of several changed frames, a row each; the first 8, and how many more there are.

    Raises:
        UsageError: no frame, not an image of 1 or 3 samples, or a box outside of a suspect.
    """
    if not frames:
        raise UsageError("There is no changed frame to show.", "Give at least one.")
    rows = [_row(f, window, f"Frame {f.number}: ") for f in frames[:ROWS]]
    left = len(frames) - len(rows)
    if left:
        rows.append(_labelled(Image.new("RGB", (LEAST, 1), WHITE), f"{left} more changed frames are not shown."))
    out = Image.new("RGB", (max(r.width for r in rows), sum(r.height for r in rows) + GAP * (len(rows) - 1)), WHITE)
    top = 0
    for row in rows:
        out.paste(row, (0, top))
        top += row.height + GAP
    return _png(out)


def _png(picture: Image.Image) -> bytes:
    held = io.BytesIO()
    picture.save(held, "PNG")
    return held.getvalue()


def _row(frame: ChangedFrame, window: tuple[float, float] | None, before: str) -> Image.Image:
    suspect = _checked(frame.suspect)
    original = None if frame.original is None else _checked(frame.original)
    for top, left, bottom, right in frame.boxes:
        if not (0 <= top < bottom <= suspect.shape[0] and 0 <= left < right <= suspect.shape[1]):
            raise UsageError(
                f"The tile {(top, left, bottom, right)} lies outside of an image of {suspect.shape[:2]} pixels.",
                "Give first row, first column, end row, end column.",
            )
    window = window or _window([a for a in (original, suspect) if a is not None])
    said = f"{len(frame.boxes)} changed tile{'' if len(frame.boxes) == 1 else 's'}"
    panels = [_labelled(_outlined(_shown(suspect, window), frame.boxes, suspect.shape), f"{before}suspect, {said}")]
    if original is not None:
        panels.insert(0, _labelled(_sized(_shown(original, window)), f"{before}original"))
        if original.shape == suspect.shape:
            picture, gain = _difference(original, suspect, window)
            if _factor(picture) < 1:
                picture = picture.filter(
                    ImageFilter.MaxFilter(5)
                )  # or one changed pixel is lost when it is made smaller
            panels.append(_labelled(_sized(picture), f"difference x {gain:g} (blue darker, orange brighter)"))
        else:
            panels[0] = _labelled(_sized(_shown(original, window)), f"{before}original (another size: no difference)")
    out = Image.new("RGB", (sum(p.width + GAP for p in panels) - GAP, max(p.height for p in panels)), WHITE)
    left = 0
    for panel in panels:
        out.paste(panel, (left, 0))
        left += panel.width + GAP
    return out


def _checked(array: Array) -> Array:
    array = np.asarray(array)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.dtype.kind not in "iuf" or array.size == 0 or not (array.ndim == 2 or array.shape[2:] == (3,)):
        raise UsageError(
            f"An array of type {array.dtype} and shape {array.shape} cannot be drawn.",
            "Give samples [rows, columns] or [rows, columns, 3].",
        )
    return array


def _window(arrays: list[Array]) -> tuple[float, float]:
    if all(a.dtype == np.uint8 for a in arrays):
        return 0.0, 255.0
    low, high = np.nanpercentile(np.concatenate([a.ravel() for a in arrays]), (0.5, 99.5))
    return float(low), float(max(high, low + 1))


def _shown(array: Array, window: tuple[float, float]) -> Image.Image:
    low, high = window
    grey = np.nan_to_num((array.astype(np.float64) - low) * (255 / (high - low)))
    return Image.fromarray(np.rint(np.clip(grey, 0, 255)).astype(np.uint8)).convert("RGB")


def _factor(picture: Image.Image) -> float:
    """Enlargement by a whole number, or reduction, that makes a panel neither tiny nor huge."""
    longer = max(picture.size)
    return max(1, -(-LEAST // longer)) if longer <= MOST else MOST / longer


def _sized(picture: Image.Image) -> Image.Image:
    factor = _factor(picture)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    return picture.resize(size, Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.BOX)


def _outlined(picture: Image.Image, boxes: Sequence[Box], shape: tuple[int, ...]) -> Image.Image:
    """The outline of all tiles together: borders between two changed tiles are not drawn."""
    out = _sized(picture)
    x, y = out.width / shape[1], out.height / shape[0]
    mask = Image.new("L", out.size)
    draw = ImageDraw.Draw(mask)
    for top, left, bottom, right in boxes:
        end = (max(round(right * x) - 1, round(left * x)), max(round(bottom * y) - 1, round(top * y)))
        draw.rectangle((round(left * x), round(top * y), *end), fill=255)
    framed = Image.new("L", (out.width + 10, out.height + 10))  # so that a tile at the border has an outline there too
    framed.paste(mask, (5, 5))
    for inner, outer, colour in ((7, 1, BLACK), (5, 0, BLUE), (3, 0, BLUE)):
        inside = framed.filter(ImageFilter.MinFilter(inner))
        outside = framed.filter(ImageFilter.MaxFilter(2 * outer + 1))
        ring = ImageChops.subtract(outside, inside).crop((5, 5, 5 + out.width, 5 + out.height))
        out.paste(colour, (0, 0, *out.size), ring)
    return out


def _difference(original: Array, suspect: Array, window: tuple[float, float]) -> tuple[Image.Image, float]:
    """Suspect less original on black, the largest sample of each pixel, and by how much it was amplified."""
    change = np.nan_to_num(suspect.astype(np.float64) - original.astype(np.float64)) * (255 / (window[1] - window[0]))
    if change.ndim == 3:
        change = np.take_along_axis(change, np.abs(change).argmax(axis=2)[..., None], axis=2)[..., 0]
    largest = float(np.abs(change).max())
    gain = 1.0 if largest == 0 else float(2 ** max(0, np.floor(np.log2(255 / largest))))
    share = np.clip(np.abs(change) * gain / 255, FAINTEST, 1)[..., None] * (change != 0)[..., None]
    colour = np.where(change[..., None] < 0, BLUE, ORANGE)
    return Image.fromarray(np.rint(share * colour).astype(np.uint8)), gain


def _labelled(picture: Image.Image, text: str) -> Image.Image:
    font = ImageFont.load_default(TEXT)
    width = max(picture.width, int(font.getlength(text)) + 8)
    out = Image.new("RGB", (width, picture.height + TEXT + 12), WHITE)
    ImageDraw.Draw(out).text((4, 4), text, fill=BLACK, font=font)
    out.paste(picture, (0, TEXT + 12))
    return out
