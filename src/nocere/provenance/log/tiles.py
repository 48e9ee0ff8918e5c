"""Tiles: the tree as files of 256 hashes, entries as bundles of 256, and how both grow.

Source: C2SP tlog-tiles. The tile (level, n) holds the hashes of the perfect subtrees of 256**level leaves, from number
256 * n on; a full tile is 8,192 bytes. Only a full tile is hashed into the level above.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from nocere.core.errors import UsageError, VerificationError
from nocere.provenance.merkle import HASH_BYTES, HashReader, perfect_root

HEIGHT = 8
WIDTH = 1 << HEIGHT
MAX_ENTRY = 65_535
ENTRIES = "entries"
TileReader: TypeAlias = Callable[[int, int], bytes]

_PATH = re.compile(r"tile/(entries|[0-9]|[1-5][0-9]|6[0-3])/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


def tile_path(level: int | str, n: int, width: int = WIDTH) -> str:
    """Path below the log's prefix; `level` is 0 to 63 or `entries`."""
    groups = [f"{n % 1000:03d}"]
    while n >= 1000:
        n //= 1000
        groups.insert(0, f"x{n % 1000:03d}")
    partial = f".p/{width}" if width < WIDTH else ""
    return f"tile/{level}/{'/'.join(groups)}{partial}"


def parse_tile_path(path: str) -> tuple[int | str, int, int]:
    """(level, n, width) of a tile path.

    Raises:
        VerificationError: no tile has this path.
    """
    match = _PATH.fullmatch(path)
    if match:
        level = ENTRIES if match[1] == ENTRIES else int(match[1])
        n = int(match[2].replace("x", "").replace("/", ""))
        width = int(match[3] or WIDTH)
        if tile_path(level, n, width) == path:
            return level, n, width
    raise VerificationError(f"{path!r} is not the path of a tile.")


def changed(old: int, new: int, level: int = 0) -> Iterator[tuple[int, int]]:
    """(n, width) of the tiles of a level that are new or wider in a tree that grew from `old` to `new` leaves.

    The last may be partial; none is empty. `changed(0, size)` names every tile of a tree.
    """
    before, after = old >> (HEIGHT * level), new >> (HEIGHT * level)
    if before == after:
        return
    for n in range(before // WIDTH, -(-after // WIDTH)):
        yield n, min(WIDTH, after - n * WIDTH)


def levels(size: int) -> range:
    """Tile levels that a tree of `size` leaves has."""
    return range(-(-size.bit_length() // HEIGHT))


def grow(size: int, leaves: Sequence[bytes], tile: TileReader) -> dict[tuple[int, int], bytes]:
    """New content of every tile that changes when leaf hashes are appended to a tree of `size` leaves.

    Args:
        size: leaves before.
        leaves: 32-byte leaf hashes to append.
        tile: reads the tiles of the tree before; asked only for partial ones.
    """
    out: dict[tuple[int, int], bytes] = {}
    level, added = 0, list(leaves)
    while added:
        n, used = divmod(size >> (HEIGHT * level), WIDTH)
        row = split_hashes(tile(level, n), used) + added if used else added
        added = []
        for i in range(0, len(row), WIDTH):
            hashes = row[i : i + WIDTH]
            out[level, n + i // WIDTH] = b"".join(hashes)
            if len(hashes) == WIDTH:
                added.append(perfect_root(hashes))
        level += 1
    return out


def split_hashes(data: bytes, width: int, first: int = 0) -> list[bytes]:
    """The hashes `first` to `width - 1` of a tile.

    Raises:
        VerificationError: it holds fewer, or a part of one.
    """
    if len(data) % HASH_BYTES or len(data) < width * HASH_BYTES:
        raise VerificationError(f"A tile has {len(data)} bytes; {width} hashes of {HASH_BYTES} bytes are needed.")
    return [data[i * HASH_BYTES : (i + 1) * HASH_BYTES] for i in range(first, width)]


def hash_reader(tile: TileReader) -> HashReader:
    """A hash reader over tiles; each tile is read once."""
    seen: dict[tuple[int, int], bytes] = {}

    def read(level: int, index: int) -> bytes:
        tile_level, within = divmod(level, HEIGHT)
        n, first = divmod(index << within, WIDTH)
        if (tile_level, n) not in seen:
            seen[tile_level, n] = tile(tile_level, n)
        stop = first + (1 << within)
        return perfect_root(split_hashes(seen[tile_level, n], stop, first))

    return read


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Entries as one bundle: each behind its length, two bytes big endian."""
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def decode_bundle(data: bytes, width: int) -> list[bytes]:
    """The `width` entries of a bundle.

    Raises:
        VerificationError: it ends too early or goes on too long.
    """
    entries: list[bytes] = []
    at = 0
    for _ in range(width):
        start = at + 2
        at = start + int.from_bytes(data[at:start], "big")
        if at > len(data):
            raise VerificationError(f"An entry bundle ends within entry {len(entries)} of {width}.")
        entries.append(data[start:at])
    if at != len(data):
        raise VerificationError(f"An entry bundle of {width} entries has {len(data) - at} bytes too many.")
    return entries


def check_entry(entry: bytes, position: int = 0) -> None:
    """Refuse an entry that no bundle can hold.

    Raises:
        UsageError: longer than 65,535 bytes.
    """
    if len(entry) > MAX_ENTRY:
        raise UsageError(
            f"Entry {position} of this call has {len(entry):,} bytes; a log entry has at most {MAX_ENTRY:,}.",
            "Put the hash of the long part into the entry, and keep the part elsewhere.",
        )
