"""Pixels as a tree of tiles: which tile changed, and a proof for one frame or one tile.

Tree heads and paths follow RFC 6962 section 2.1 (split at the largest power of two below n), with other prefixes:
tile 0x00, node 0x01, frame 0x02.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.provenance.fingerprint.encoding import prefixed, tier_hash

Pixels = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """What F2 says about the samples besides their values.

    Attributes:
        frames, rows, columns, samples: extents of the array.
        bits: significant bits of a sample.
        number: "u" unsigned, "i" signed two's complement, "f" IEEE 754.
        tile_rows, tile_columns: extent of one leaf; leaves at the right and lower border may be smaller.
    """

    frames: int
    rows: int
    columns: int
    samples: int
    bits: int
    number: str
    tile_rows: int = 64
    tile_columns: int = 64

    @property
    def across(self) -> int:
        """Tiles in one row of tiles."""
        return -(-self.columns // self.tile_columns)

    @property
    def down(self) -> int:
        """Rows of tiles."""
        return -(-self.rows // self.tile_rows)

    def box(self, tile: int) -> tuple[int, int, int, int]:
        """First row, first column, end row, end column (both ends exclusive) of a tile, counted row by row."""
        y, x = divmod(tile, self.across)
        top, left = y * self.tile_rows, x * self.tile_columns
        return top, left, min(top + self.tile_rows, self.rows), min(left + self.tile_columns, self.columns)

    def header(self) -> bytes:
        """The eight fields, in the order above, each as text behind its length."""
        fields = (self.frames, self.rows, self.columns, self.samples, self.bits, self.number)
        return b"".join(prefixed(str(f).encode()) for f in (*fields, self.tile_rows, self.tile_columns))


def width(bits: int) -> int:
    """Bytes of one sample: the smallest of 1, 2, 4 and 8 that holds `bits`."""
    return next(w for w in (1, 2, 4, 8) if bits <= 8 * w)


def leaf(tile: bytes) -> bytes:
    """Hash of one tile's samples: little endian, row by row, samples of a pixel side by side."""
    return hashlib.sha256(b"\x00" + tile).digest()


def node(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def frame_leaf(root: bytes) -> bytes:
    """Leaf of the tree over frames."""
    return hashlib.sha256(b"\x02" + root).digest()


def frame_tiles(frame: Pixels, shape: Shape) -> list[bytes]:
    """Leaves of one frame [rows, columns, samples], row of tiles by row of tiles."""
    leaves = []
    for tile in range(shape.across * shape.down):
        top, left, bottom, right = shape.box(tile)
        leaves.append(leaf(frame[top:bottom, left:right].tobytes()))
    return leaves


def root_of(leaves: Sequence[bytes]) -> bytes:
    """Tree head over leaves; SHA-256 of nothing for no leaf."""
    level = list(leaves)
    if not level:
        return hashlib.sha256(b"").digest()
    # Pairing neighbours and carrying an odd last one up builds the same tree as RFC 6962's recursive split.
    while len(level) > 1:
        paired = [node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = paired + ([level[-1]] if len(level) % 2 else [])
    return level[0]


def pixel_root(shape: Shape, frame_roots: Sequence[bytes]) -> bytes:
    """F2 of an array: the header and the head of the tree over frames."""
    return tier_hash("pixels", shape.header(), root_of([frame_leaf(r) for r in frame_roots]))


def tile_leaves(pixels: Pixels, shape: Shape) -> list[list[bytes]]:
    """Leaves of every frame of `pixels` [frames, rows, columns, samples] (already little endian)."""
    return [frame_tiles(frame, shape) for frame in pixels]


def little_endian(pixels: Pixels) -> Pixels:
    """The array in C order with little-endian samples; a copy only where it is needed."""
    return np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<"))


def path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Neighbours on the way from leaf `index` to the head, lowest first (RFC 6962 section 2.1.1)."""
    level, out = list(leaves), []
    while len(level) > 1:
        neighbour = index ^ 1
        if neighbour < len(level):
            out.append(level[neighbour])
        paired = [node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = paired + ([level[-1]] if len(level) % 2 else [])
        index //= 2
    return out


def climb(start: bytes, index: int, size: int, neighbours: Sequence[bytes]) -> bytes | None:
    """The head that `start` at `index` of `size` leaves and its path lead to; None when the path has a wrong length."""
    left, at = list(neighbours), start
    if not 0 <= index < size:
        return None
    while size > 1:
        if index ^ 1 < size:
            if not left:
                return None
            other = left.pop(0)
            at = node(other, at) if index % 2 else node(at, other)
        index, size = index // 2, -(-size // 2)
    return None if left else at


@dataclass(frozen=True, slots=True)
class TileProof:
    """That one tile belongs to an F2: its place, and the neighbours up to the frame and up to the array.

    `tile` None proves a whole frame: its root is then computed from the frame's samples.
    """

    shape: Shape
    frame: int
    tile: int | None
    in_frame: tuple[bytes, ...]
    in_array: tuple[bytes, ...]

    def holds(self, samples: Pixels, f2: str) -> bool:
        """True when `samples` [rows, columns, samples] is that tile (or frame) of the array with this F2."""
        s = self.shape
        top, left, bottom, right = (0, 0, s.rows, s.columns) if self.tile is None else s.box(self.tile)
        if samples.shape != (bottom - top, right - left, s.samples) or samples.dtype.itemsize != width(s.bits):
            return False
        content = little_endian(samples)
        if self.tile is None:
            root: bytes | None = root_of(frame_tiles(content, s))
        else:
            root = climb(leaf(content.tobytes()), self.tile, s.across * s.down, self.in_frame)
        if root is None:
            return False
        head = climb(frame_leaf(root), self.frame, s.frames, self.in_array)
        return head is not None and tier_hash("pixels", s.header(), head).hex() == f2


def prove(leaves: Sequence[Sequence[bytes]], shape: Shape, frame: int, tile: int | None = None) -> TileProof:
    """Proof for a tile, or for a whole frame, from the tile leaves that are kept off the log.

    Raises:
        IndexError: no such frame or tile.
    """
    if not 0 <= frame < shape.frames or not (tile is None or 0 <= tile < shape.across * shape.down):
        raise IndexError(f"no frame {frame} or tile {tile} in {shape}")
    frames = [frame_leaf(root_of(f)) for f in leaves]
    inside = () if tile is None else tuple(path(leaves[frame], tile))
    return TileProof(shape, frame, tile, inside, tuple(path(frames, frame)))
