"""Check a whole log: rebuild every tile and root from the entries, and compare with all that is stored.

Four things must agree: the published files, the database, the signed checkpoints of both, and what the key remembers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from nocere.core.errors import NocereError, UsageError, VerificationError
from nocere.provenance.log.checkpoint import Checkpoint, open_checkpoint
from nocere.provenance.log.disk import ASIDE
from nocere.provenance.log.note import Verifier
from nocere.provenance.log.published import CHECKPOINT, FOLDER, VKEY, Published
from nocere.provenance.log.signer import Signer
from nocere.provenance.log.store import DATABASE, Store
from nocere.provenance.log.tiles import (
    ENTRIES,
    HEIGHT,
    WIDTH,
    TileReader,
    changed,
    encode_bundle,
    grow,
    hash_reader,
    parse_tile_path,
    tile_path,
)
from nocere.provenance.merkle import HASH_BYTES, leaf_hash, root

T = TypeVar("T")


def fsck(folder: Path, vkey: str | None = None, key: Path | Sequence[Path] | None = None) -> list[str]:
    """Everything that is wrong with the log in `folder`, one sentence each; empty if nothing is.

    Reads every entry. Safe beside a running writer. A published copy without a database is checked as far as it goes.

    Args:
        folder: the log's folder.
        vkey: the verifier key that the published checkpoint must verify with; the published ones if None.
        key: the log's key files, to check what they remember too.

    Raises:
        UsageError: there is no log, or `vkey` or `key` cannot be read.
    """
    published = Published(folder / FOLDER)
    has_database = (folder / DATABASE).is_file()
    if not published.folder.is_dir() and not has_database:
        raise UsageError(f"There is no log in {folder}.", "Create one first, or correct the path.")
    given = [Verifier.parse(vkey)] if vkey else None
    signers = [Signer(path) for path in ([] if key is None else [key] if isinstance(key, Path) else key)]
    found: list[str] = []
    # Read in the order opposite to writing, so that a writer at work never looks like a log set back.
    out = _told(found, lambda: published.checkpoint(given or published.verifiers())[0])
    memories = [(signer, _told(found, signer.memory)) for signer in signers]
    if has_database:
        _told(found, lambda: check_database(folder / DATABASE, out, memories, found))
    if out is not None:
        _told(found, lambda: _check_published(published, out, found))
        for signer, memory in memories:
            if memory is not None and memory.size < out.size:
                found.append(f"{out.size} entries are published, but the key {signer.path} remembers {memory.size}.")
    return found


def _told(found: list[str], ask: Callable[[], T]) -> T | None:
    """What `ask` gives, or None with its error among the problems."""
    try:
        return ask()
    except NocereError as e:
        found.append(e.message)
        return None


def _check_tree(
    where: str, head: Checkpoint, bundles: Iterable[list[bytes]], tile: TileReader, found: list[str]
) -> None:
    """Rebuild the tree from its entries; compare each tile with the stored one, and the root with the signed one."""
    edge: dict[tuple[int, int], bytes] = {}
    size = 0

    def compare(level: int, n: int, right: bytes) -> None:
        stored = _told(found, lambda: tile(level, n))
        if stored is not None and stored != right:
            width = len(right) // HASH_BYTES
            below = tile_path(ENTRIES, n, width) if level == 0 else f"the tiles of level {level - 1}"
            found.append(f"{tile_path(level, n, width)} in {where} is not what {below} gives.")

    for entries in bundles:
        new = grow(size, [leaf_hash(entry) for entry in entries], lambda level, n: edge[level, n])
        size += len(entries)
        edge.update(new)
        for place, data in new.items():
            if len(data) == WIDTH * HASH_BYTES:
                compare(*place, data)
                del edge[place]
    for place, data in edge.items():
        compare(*place, data)
    full = hash_reader(lambda level, n: edge[level, n] if (level, n) in edge else tile(level, n))
    if size != head.size:
        found.append(f"{where} holds {size} entries, its checkpoint is of {head.size}.")
    elif root(size, full) != head.root:
        found.append(f"The entries in {where} do not give the root that its checkpoint signs.")


def check_database(
    path: Path, out: Checkpoint | None, memories: Sequence[tuple[Signer, Checkpoint | None]], found: list[str]
) -> None:
    """Check one database by itself, and against what is published and remembered; adds sentences to `found`.

    Raises:
        NocereError: it cannot be read on; the message is one more problem.
    """
    with closing(Store(path, read_only=True)) as store, store.snapshot():
        found.extend(store.problems())
        head = store.head()
        checkpoint = head.checkpoint
        signed = open_checkpoint(head.note, [Verifier.parse(vkey) for vkey in head.vkeys])
        if signed != checkpoint:
            found.append(f"The head in {path} is not the one in its own signed checkpoint.")
        bundles = (
            store.entries(n * WIDTH, n * WIDTH + width) for n, width in changed(0, checkpoint.size)
        )  # one bundle in memory at a time
        _check_tree(str(path), checkpoint, bundles, store.tile, found)
        tiles = set(store.places())
        tiles -= {(level, n) for level in range(64) for n, _ in changed(0, checkpoint.size, level)}
        found.extend(f"{tile_path(level, n)} in {path} is beyond the head." for level, n in sorted(tiles))
        others = [(f"what the key {signer.path} has signed", memory) for signer, memory in memories]
        for what, other in [("what is published", out), *others]:
            if other is None:
                continue
            if other.origin != checkpoint.origin:
                found.append(f"The database {path} is of the log {checkpoint.origin!r}; {what} is {other.origin!r}.")
            elif other.size > checkpoint.size:
                found.append(f"The database {path} has {checkpoint.size} entries; {what} has {other.size}.")
            elif root(other.size, hash_reader(store.tile)) != other.root:
                found.append(f"The database {path} does not extend {what} ({other.size} entries).")


def _check_published(published: Published, out: Checkpoint, found: list[str]) -> None:
    where = str(published.folder)

    def bundles() -> Iterator[list[bytes]]:
        for n, _ in changed(0, out.size):
            yield published.bundle(n, out.size)

    _told(found, lambda: _check_tree(where, out, bundles(), published.tile(out.size), found))
    for path in sorted(p for p in published.folder.rglob("*") if p.is_file()):
        name = path.relative_to(published.folder).as_posix()
        if name not in (CHECKPOINT, VKEY) and not name.endswith(ASIDE):
            problem = _told(found, lambda path=path, name=name: _check_file(published, out, path, name))  # type: ignore[misc]
            found.extend([problem] if problem else [])


def _check_file(published: Published, out: Checkpoint, path: Path, name: str) -> str | None:
    """What is wrong with one tile file that a reader of an older checkpoint may still ask for."""
    try:
        level, n, width = parse_tile_path(name)
    except VerificationError:
        return f"{path} does not belong to a log."
    covered = (out.size >> (0 if level == ENTRIES else HEIGHT * int(level))) - n * WIDTH
    if width >= covered:  # the newest, which was checked, or one that a crash left behind before its checkpoint
        return None
    if level == ENTRIES:
        right = encode_bundle(published.bundle(n, out.size)[:width])
    else:
        right = published.tile(out.size)(int(level), n)[: width * HASH_BYTES]
    try:
        same = path.read_bytes() == right
    except FileNotFoundError:  # a full tile has just taken its place
        same = True
    return None if same else f"{path} is not the beginning of the newest tile in its place."
