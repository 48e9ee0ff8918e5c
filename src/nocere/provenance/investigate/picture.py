"""Changed tiles as a picture: the suspect with outlined tiles, beside it the original and the amplified difference."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Box = tuple[int, int, int, int]

# Okabe, Ito 2008: told from one another with any colour vision; the white edge keeps it visible on dark tissue.
OUTLINE, EDGE = (213, 94, 0), (255, 255, 255)
PANEL, GAP, LINE = 384, 12, 22


def changed_tiles_picture(
    original: NDArray[np.integer] | None, suspect: NDArray[np.integer], boxes: Sequence[Box]
) -> bytes:
    """PNG of one frame.

    Args:
        original: samples [rows, columns, samples] of the same shape, or None when it is not at hand.
        suspect: samples [rows, columns, samples]; more than 8 bits are shown through a window from the 1st to the 99th
            percentile of the suspect, the same one for both.
        boxes: first row, first column, end row, end column of every changed tile.
    """
    low, high = np.percentile(suspect, (1, 99)) if suspect.dtype.itemsize > 1 else (0, 255)
    panels = [("suspect, changed tiles outlined", _outlined(_shown(suspect, low, high), boxes))]
    if original is not None:
        difference = np.abs(suspect.astype(np.int64) - original.astype(np.int64))
        largest = int(difference.max())
        panels.insert(0, ("original", _scaled(_shown(original, low, high))))
        panels.append((f"difference, largest {largest} levels", _scaled(_shown(difference, 0, max(largest, 1)))))
    width = sum(p.width for _, p in panels) + GAP * (len(panels) - 1)
    page = Image.new("RGB", (width, LINE + max(p.height for _, p in panels)), "white")
    draw, at = ImageDraw.Draw(page), 0
    for title, panel in panels:
        draw.text((at, 3), title, fill="black", font=ImageFont.load_default(14))
        page.paste(panel, (at, LINE))
        at += panel.width + GAP
    out = io.BytesIO()
    page.save(out, "PNG", optimize=True)
    return out.getvalue()


def _shown(x: NDArray[np.integer], low: float, high: float) -> Image.Image:
    """8-bit RGB; one sample is grey, the first three of more are taken as colour."""
    levels = np.clip((x.astype(np.float64) - low) / max(high - low, 1e-9) * 255, 0, 255).astype(np.uint8)
    colour = levels[:, :, :3] if levels.shape[2] >= 3 else np.repeat(levels[:, :, :1], 3, axis=2)
    return Image.fromarray(np.ascontiguousarray(colour))


def _factor(image: Image.Image) -> float:
    return PANEL / max(image.size)


def _scaled(image: Image.Image) -> Image.Image:
    f = _factor(image)
    kind = Image.Resampling.NEAREST if f > 1 else Image.Resampling.LANCZOS
    return image.resize((max(round(image.width * f), 1), max(round(image.height * f), 1)), kind)


def _outlined(image: Image.Image, boxes: Sequence[Box]) -> Image.Image:
    f, out = _factor(image), _scaled(image)
    draw = ImageDraw.Draw(out)
    for top, left, bottom, right in boxes:
        x0, y0 = left * f, top * f
        x1, y1 = max(right * f - 1, x0 + 4), max(bottom * f - 1, y0 + 4)
        draw.rectangle((x0, y0, x1, y1), outline=EDGE, width=4)
        draw.rectangle((x0 + 1, y0 + 1, x1 - 1, y1 - 1), outline=OUTLINE, width=2)
    return out
