"""Edits of samples, of frames, and of the header of the samples."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from pydicom import Dataset

from tests.provenance_edits.subject import EDITS, TILE, Edit, Edited, Subject, _rng, written

Array = np.ndarray[Any, Any]
ArrayEdit = Callable[[Array, np.random.Generator, int, int], "Array | None"]


def planted_tiles(before: Array, after: Array) -> frozenset[tuple[int, int, int]]:
    """(frame, tile row, tile column) of every tile in which a value differs."""
    frame, row, column, _ = np.nonzero(before != after)
    return frozenset(zip(frame.tolist(), (row // TILE).tolist(), (column // TILE).tolist(), strict=True))


def pixels(name: str) -> Callable[[ArrayEdit], ArrayEdit]:
    """Register an edit of the array; it gets a copy, a generator, and the least and largest value that fits."""

    def add(edit: ArrayEdit) -> ArrayEdit:
        def apply(subject: Subject) -> Edited | None:
            if not subject.editable:
                return None
            ds, before = subject.dataset, subject.array
            low = -(1 << ds.BitsStored - 1) if ds.PixelRepresentation else 0
            high = low + (1 << ds.BitsStored) - 1
            after = edit(before.astype(np.int64), _rng(subject), low, high)
            if after is None:
                return None
            after = np.clip(after, low, high).astype(before.dtype)
            two = frozenset({"F2"})
            if after.shape != before.shape:
                names = ("frames", "rows", "columns", "samples")
                shape = frozenset(n for n, a, b in zip(names, before.shape, after.shape, strict=True) if a != b)
                if shape == {"frames"}:
                    return None
                return Edited(subject.with_pixels(after), two, "PIXELS-CHANGED", shape=shape)
            tiles = planted_tiles(before, after)
            others = [(i, j) for i in range(len(before)) for j in range(len(after)) if i != j]
            if not tiles or any(np.array_equal(before[i], after[j]) for i, j in others):
                return None  # a frame that now looks like another one is moved, which `_frames` plants on purpose
            return Edited(subject.with_pixels(after), two, "PIXELS-CHANGED", tiles)

        EDITS.append(Edit("pixels", name, apply))
        return edit

    return add


def _at(name: str, where: Callable[[Array], tuple[int, int] | None], bit: int = 0) -> None:
    @pixels(name)
    def _(a: Array, rng: np.random.Generator, low: int, high: int) -> Array | None:
        place = where(a)
        if place is None:
            return None
        frame = int(rng.integers(len(a)))
        value = int(a[frame, place[0], place[1], 0]) - low
        a[frame, place[0], place[1], 0] = (value ^ (1 << bit % (high - low).bit_length())) + low
        return a


_at("lsb of the first pixel", lambda a: (0, 0))
_at("lsb of the last pixel", lambda a: (a.shape[1] - 1, a.shape[2] - 1))
_at("lsb of the middle pixel", lambda a: (a.shape[1] // 2, a.shape[2] // 2))
_at("lsb left of a tile border", lambda a: (0, TILE - 1) if a.shape[2] >= TILE else None)
_at("lsb right of a tile border", lambda a: (0, TILE) if a.shape[2] > TILE else None)
_at("lsb above a tile border", lambda a: (TILE - 1, 0) if a.shape[1] >= TILE else None)
_at("lsb at a tile corner", lambda a: (TILE, TILE) if min(a.shape[1:3]) > TILE else None)
_at("msb of one pixel", lambda a: (a.shape[1] // 2, 0), -1)
_at("second bit of one pixel", lambda a: (0, a.shape[2] // 2), 1)


def _simple(name: str, edit: Callable[[Array], Array]) -> None:
    @pixels(name)
    def _(a: Array, rng: np.random.Generator, low: int, high: int) -> Array | None:
        return edit(a)


_simple("flip left right", lambda a: a[:, :, ::-1])
_simple("flip up down", lambda a: a[:, ::-1])
_simple("turn by 180 degrees", lambda a: a[:, ::-1, ::-1])
_simple("turn by 90 degrees", lambda a: np.rot90(a, axes=(1, 2)))
_simple("transpose", lambda a: a.transpose(0, 2, 1, 3))
_simple("shift one column", lambda a: np.roll(a, 1, axis=2))
_simple("shift one row", lambda a: np.roll(a, 1, axis=1))
_simple("add one everywhere", lambda a: a + 1)
_simple("gain of 1.1", lambda a: (a * 1.1).astype(np.int64))
_simple("drop the lowest bit", lambda a: a >> 1 << 1)
_simple("drop the lowest four bits", lambda a: a >> 4 << 4)
_simple("reverse colours", lambda a: a[..., ::-1])
_simple("crop one row", lambda a: a[:, :-1])
_simple("crop one column", lambda a: a[:, :, :-1])
_simple("pad one row", lambda a: np.pad(a, ((0, 0), (0, 1), (0, 0), (0, 0)), mode="edge"))
_simple("pad one column with zeros", lambda a: np.pad(a, ((0, 0), (0, 0), (0, 1), (0, 0))))
_simple("halve the resolution", lambda a: a[:, ::2, ::2])
_simple("double the resolution", lambda a: a.repeat(2, axis=1).repeat(2, axis=2))
_simple("blur", lambda a: (a + np.roll(a, 1, 1) + np.roll(a, 1, 2) + np.roll(a, (1, 1), (1, 2))) // 4)


@pixels("invert")
def _(a: Array, rng: np.random.Generator, low: int, high: int) -> Array:
    return high + low - a


@pixels("noise of one grey level")
def _(a: Array, rng: np.random.Generator, low: int, high: int) -> Array:
    return a + rng.integers(-1, 2, a.shape)


@pixels("sparse noise")
def _(a: Array, rng: np.random.Generator, low: int, high: int) -> Array:
    return np.where(rng.random(a.shape) < 0.02, rng.integers(low, high + 1, a.shape), a)


@pixels("sign noise of eight levels, as PGD leaves it")
def _(a: Array, rng: np.random.Generator, low: int, high: int) -> Array:
    return a + 8 * rng.choice([-1, 1], a.shape)


@pixels("blocky noise")
def _(a: Array, rng: np.random.Generator, low: int, high: int) -> Array:
    rows, columns = -(-a.shape[1] // 8), -(-a.shape[2] // 8)
    noise = rng.choice([-2, 2], (1, rows, columns, 1)).repeat(8, axis=1).repeat(8, axis=2)
    return a + noise[:, : a.shape[1], : a.shape[2]]


@pixels("bright patch")
def _(a: Array, rng: np.random.Generator, low: int, high: int) -> Array:
    top, left = (int(rng.integers(max(1, n - 5))) for n in a.shape[1:3])
    a[0, top : top + 5, left : left + 5] = high
    return a


@pixels("patch copied from elsewhere")
def _(a: Array, rng: np.random.Generator, low: int, high: int) -> Array:
    a[0, :4, :4] = a[0, -4:, -4:]
    return a


@pixels("bar burnt in")
def _(a: Array, rng: np.random.Generator, low: int, high: int) -> Array:
    a[:, -2:, : a.shape[2] // 2] = low
    a[:, -1:, : a.shape[2] // 3] = high
    return a


@pixels("border blanked")
def _(a: Array, rng: np.random.Generator, low: int, high: int) -> Array:
    a[:, 0] = a[:, -1] = a[:, :, 0] = a[:, :, -1] = low
    return a


@pixels("two pixels swapped")
def _(a: Array, rng: np.random.Generator, low: int, high: int) -> Array:
    a[0, 0, 0], a[0, -1, -1] = a[0, -1, -1].copy(), a[0, 0, 0].copy()
    return a


@pixels("contrast stretched")
def _(a: Array, rng: np.random.Generator, low: int, high: int) -> Array | None:
    spread = int(a.max() - a.min())
    return (a - a.min()) * (high - low) // spread + low if spread else None


def _lossy(name: str, **options: Any) -> None:
    @pixels(name)
    def _(a: Array, rng: np.random.Generator, low: int, high: int) -> Array | None:
        from PIL import Image

        scale = max(1, (high - low + 1) >> 8)
        coarse = ((a[0] - low) // scale).astype(np.uint8)
        out = io.BytesIO()
        Image.fromarray(coarse[..., 0] if coarse.shape[2] == 1 else coarse).save(out, **options)
        decoded = np.array(Image.open(out), dtype=np.int64).reshape(coarse.shape)
        a[0] = decoded * scale + low
        return a


_lossy("JPEG of quality 90", format="JPEG", quality=90)
_lossy("JPEG of quality 40", format="JPEG", quality=40)
_lossy("JPEG 2000, 10 to 1", format="JPEG2000", irreversible=True, quality_layers=[10], quality_mode="rates")


def _header(name: str, field_name: str, change: Callable[[Dataset], bool]) -> None:
    """An edit of the header of the samples: their bytes stay, what they say does not."""

    def apply(subject: Subject) -> Edited | None:
        if not subject.editable or not subject.native:
            return None
        ds = subject.copy()
        if not change(ds):
            return None
        before = subject.array.astype(np.int64)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            size = ds.BitsAllocated // 8
            raw = before & ((1 << ds.BitsStored) - 1)
            signed = ds.PixelRepresentation and size
            after = np.where(raw >> ds.BitsStored - 1 & 1, raw - (1 << ds.BitsStored), raw) if signed else raw
        tiles = planted_tiles(before, after) if field_name != "bits" or ds.BitsStored > 8 else frozenset()
        if field_name == "bits" and (ds.BitsStored > 8) != (subject.dataset.BitsStored > 8):
            return None
        # Signedness leaves the bytes of every sample as they are, so no tile differs, only the header.
        tiles = frozenset() if field_name == "number" else tiles
        content = written(ds, subject.syntax)
        return Edited(content, frozenset({"F2"}), "PIXELS-CHANGED", tiles, shape=frozenset({field_name}))

    EDITS.append(Edit("pixels", name, apply))


def _fewer_bits(ds: Dataset) -> bool:
    if ds.BitsStored < 10:
        return False
    ds.BitsStored, ds.HighBit = ds.BitsStored - 1, ds.BitsStored - 2
    return True


def _other_sign(ds: Dataset) -> bool:
    if ds.BitsStored != ds.BitsAllocated:  # else the sign extension changes bytes too
        return False
    ds.PixelRepresentation = 1 - ds.PixelRepresentation
    return True


_header("one bit fewer stored", "bits", _fewer_bits)
_header("other signedness", "number", _other_sign)


def _frames(name: str, edit: Callable[[Array], tuple[Array, dict[str, Any]]]) -> None:
    def apply(subject: Subject) -> Edited | None:
        a = subject.array
        distinct = len({f.tobytes() for f in a})
        if not subject.editable or len(a) < 2 or distinct != len(a):
            return None
        after, truth = edit(a)
        shape = frozenset({"frames"} if len(after) != len(a) else ())
        return Edited(subject.with_pixels(after), frozenset({"F2"}), "PIXELS-CHANGED", shape=shape, **truth)

    EDITS.append(Edit("pixels", name, apply))


def _swapped(a: Array) -> Array:
    return a[[1, 0, *range(2, len(a))]]


_frames("first two frames swapped", lambda a: (_swapped(a), {"moved": frozenset({(0, 1), (1, 0)})}))
_frames("last frame removed", lambda a: (a[:-1], {"removed": frozenset({len(a) - 1})}))
_frames("first frame removed", lambda a: (a[1:], {"removed": frozenset({0})}))
_frames("blank frame added", lambda a: (np.concatenate([a, a[:1] * 0 + 1]), {"added": frozenset({len(a)})}))
_frames(
    "frames reversed",
    lambda a: (a[::-1], {"moved": frozenset((i, len(a) - 1 - i) for i in range(len(a)) if 2 * i != len(a) - 1)}),
)
