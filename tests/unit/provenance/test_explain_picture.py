"""Pictures of changed tiles: what must be seen is there, in colours that the colour-blind can tell apart."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from nocere.core.errors import UsageError
from nocere.provenance.investigate.picture import (
    BLUE,
    ORANGE,
    ChangedFrame,
    changed_frames_picture,
    changed_tiles_picture,
)

GREY = np.add.outer(np.arange(128), np.arange(160)).astype(np.uint8) // 2 + 40
TILE = [(0, 0, 64, 64)]


def read(png: bytes) -> np.ndarray:
    picture = Image.open(io.BytesIO(png))
    assert picture.format == "PNG"
    return np.asarray(picture.convert("RGB"))


def count(picture: np.ndarray, colour: tuple[int, int, int], share: float = 1.0) -> int:
    wanted = np.rint(np.array(colour) * share)
    return int((np.abs(picture.astype(int) - wanted) <= 1).all(axis=2).sum())


def test_one_level_is_seen_beside_a_hundred() -> None:
    suspect = GREY.copy()
    suspect[3, 5] += 1
    suspect[100:110, 100:110] -= 30
    drawn = read(changed_tiles_picture(GREY, suspect, [*TILE, (64, 64, 128, 128)]))
    assert count(drawn, ORANGE, 0.5) == 2 * 2  # one pixel, enlarged twice
    assert drawn.shape[1] >= 3 * 320


def test_a_single_pixel_is_not_lost_when_a_large_image_is_made_smaller() -> None:
    large = np.full((1800, 2000), 3000, np.uint16)
    suspect = large.copy()
    suspect[901, 1203] += 1
    drawn = read(changed_tiles_picture(large, suspect, [(896, 1152, 960, 1216)], window=(0, 4095)))
    assert (drawn[..., 0].astype(int) - drawn[..., 2] > 60).any()


def test_neighbouring_tiles_have_one_outline() -> None:
    one = count(read(changed_tiles_picture(None, GREY, [(0, 0, 128, 128)])), BLUE)
    four = [(r, c, r + 64, c + 64) for r in (0, 64) for c in (0, 64)]
    assert one > 0 and count(read(changed_tiles_picture(None, GREY, four)), BLUE) == one


def test_equal_images_have_a_black_difference() -> None:
    drawn = read(changed_tiles_picture(GREY, GREY, []))
    assert count(drawn, BLUE) == 0 and count(drawn, (0, 0, 0)) > 128 * 160


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
@pytest.mark.parametrize("samples", [(), (1,), (3,)])
def test_depths_and_samples(dtype: type, samples: tuple[int, ...]) -> None:
    image = np.broadcast_to(GREY.astype(dtype).reshape(*GREY.shape, *[1] * len(samples)), GREY.shape + samples)
    suspect = image.copy()
    suspect[0, 0] += 5
    assert count(read(changed_tiles_picture(image, suspect, TILE)), BLUE) > 0


def test_window_of_sixteen_bits() -> None:
    deep = GREY.astype(np.uint16) * 16
    by_hand = read(changed_tiles_picture(None, deep, [], window=(0, 255 * 16)))
    assert np.array_equal(by_hand, read(changed_tiles_picture(None, GREY, [])))
    assert read(changed_tiles_picture(None, deep, [])).std() > by_hand.std()  # by default over its own range


def test_another_size_has_no_difference() -> None:
    both = read(changed_tiles_picture(GREY, GREY[:100], TILE))
    assert count(both, BLUE) > 0 and count(both, ORANGE) == 0


def test_frames_are_rows_and_the_rest_is_counted() -> None:
    frames = [ChangedFrame(n, GREY, GREY, TILE) for n in range(11)]
    one, eight, more = (read(changed_frames_picture(frames[:k])).shape[0] for k in (1, 8, 11))
    assert eight > 7 * one and eight < more < eight + one


@pytest.mark.parametrize("box", [(0, 0, 129, 64), (-1, 0, 5, 5), (5, 5, 5, 9)])
def test_a_tile_outside_of_the_image_is_said(box: tuple[int, int, int, int]) -> None:
    with pytest.raises(UsageError, match="outside"):
        changed_tiles_picture(None, GREY, [box])


def test_what_cannot_be_drawn_is_said() -> None:
    with pytest.raises(UsageError, match="cannot be drawn"):
        changed_tiles_picture(None, np.zeros((4, 4, 2), np.uint8), [])
    with pytest.raises(UsageError, match="no changed frame"):
        changed_frames_picture([])
