"""What everybody may read: checkpoint, tiles and entry bundles as plain files, served as they are.

Source: C2SP tlog-tiles (the folder is the log's prefix). Whatever is read is checked against the signed checkpoint; a
reader needs neither the key nor the database. `vkey` lists the verifier keys, newest first, for convenience: whoever
checks evidence gets the key from the operator by another way.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from nocere.core.errors import UsageError, VerificationError
from nocere.provenance.log.checkpoint import Checkpoint, open_checkpoint
from nocere.provenance.log.disk import make_folder, replace, sync_folders, write_durably
from nocere.provenance.log.note import Verifier
from nocere.provenance.log.tiles import (
    ENTRIES,
    HEIGHT,
    WIDTH,
    TileReader,
    changed,
    decode_bundle,
    encode_bundle,
    hash_reader,
    levels,
    split_hashes,
    tile_path,
)
from nocere.provenance.merkle import HASH_BYTES, HashReader, inclusion_proof, leaf_hash, verify_inclusion

FOLDER = "public"
CHECKPOINT = "checkpoint"
VKEY = "vkey"
_HINT = "Run fsck on the log; delete public/checkpoint to have the files written anew from the database."


class Published:
    """The published folder of one log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def verifiers(self) -> list[Verifier]:
        """The verifier keys in the `vkey` file, newest first.

        Raises:
            UsageError: there is no log here, or the file is malformed.
        """
        path = self.folder / VKEY
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as e:
            raise UsageError(
                f"There is no log in {self.folder.parent}.", "Create one first, or correct the path."
            ) from e
        return [Verifier.parse(line) for line in lines]

    def note(self) -> str | None:
        """The published checkpoint as it stands in its file, or None."""
        path = self.folder / CHECKPOINT
        try:
            return path.read_bytes().decode()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as e:
            raise VerificationError(f"The checkpoint {path} cannot be read.", _HINT) from e

    def checkpoint(self, known: list[Verifier]) -> tuple[Checkpoint, str]:
        """The published checkpoint, verified, and its note.

        Raises:
            VerificationError: it is missing or does not verify.
        """
        note = self.note()
        if note is None:
            raise VerificationError(f"There is no checkpoint in {self.folder}.", "Open the log with its key once.")
        try:
            return open_checkpoint(note, known), note
        except VerificationError as e:
            raise VerificationError(f"{self.folder / CHECKPOINT}: {e.message}", e.hint or _HINT) from e

    def _read(self, level: int | str, n: int, width: int) -> tuple[bytes, int, Path]:
        """A tile file of at least this width, and its width: the partial one, or the full one in its place."""
        for found in (width, WIDTH):
            path = self.folder / tile_path(level, n, found)
            try:
                return path.read_bytes(), found, path
            except FileNotFoundError:
                continue
            except OSError as e:
                raise VerificationError(f"{path} cannot be read ({e.strerror}).", _HINT) from e
        raise VerificationError(f"The tile {self.folder / tile_path(level, n, width)} is missing.", _HINT)

    def tile(self, size: int) -> TileReader:
        """Reads hash tiles of the tree of `size` leaves.

        Raises (when read):
            VerificationError: a file is missing or too short; the sentence names it.
        """

        def read(level: int, n: int) -> bytes:
            width = min(WIDTH, (size >> (HEIGHT * level)) - n * WIDTH)
            data, found, path = self._read(level, n, width)
            if len(data) != found * HASH_BYTES:
                raise VerificationError(f"{path} has {len(data)} bytes instead of {found * HASH_BYTES}.", _HINT)
            return data[: width * HASH_BYTES]

        return read

    def hashes(self, size: int) -> HashReader:
        """Hash reader over the tiles of the tree of `size` leaves."""
        return hash_reader(self.tile(size))

    def bundle(self, n: int, size: int) -> list[bytes]:
        """The entries of bundle `n` in the log of `size` entries; checked for its form only.

        Raises:
            VerificationError: the file is missing, cut or too long; the sentence names it.
        """
        width = min(WIDTH, size - n * WIDTH)
        data, found, path = self._read(ENTRIES, n, width)
        try:
            return decode_bundle(data, found)[:width]
        except VerificationError as e:
            raise VerificationError(f"{path}: {e.message}", _HINT) from e

    def checked_bundle(self, n: int, checkpoint: Checkpoint) -> list[bytes]:
        """The entries of bundle `n`, each checked against the checkpoint.

        Raises:
            VerificationError: a file is missing or wrong; the sentence names it.
        """
        entries = self.bundle(n, checkpoint.size)
        hashes = self.hashes(checkpoint.size)  # one reader: what is compared is what is proved
        first = n * WIDTH
        for i, entry in enumerate(entries, first):
            if leaf_hash(entry) != hashes(0, i):
                path = self.folder / tile_path(ENTRIES, n, len(entries))
                raise VerificationError(f"Entry {i} in {path} is not the one in its hash tile.", _HINT)
        # The proof of one leaf holds every other leaf of its tile, so this checks them all.
        self._prove(first, checkpoint, hashes)
        return entries

    def inclusion(self, index: int, checkpoint: Checkpoint) -> list[bytes]:
        """The inclusion proof of one entry, which verifies against the checkpoint.

        Raises:
            UsageError: there is no such entry.
            VerificationError: the tiles do not make up the checkpoint.
        """
        return self._prove(index, checkpoint, self.hashes(checkpoint.size))

    def _prove(self, index: int, checkpoint: Checkpoint, hashes: HashReader) -> list[bytes]:
        proof = inclusion_proof(index, checkpoint.size, hashes)
        try:
            verify_inclusion(hashes(0, index), index, checkpoint.size, proof, checkpoint.root)
        except VerificationError as e:
            raise VerificationError(f"The tiles in {self.folder} do not make up the checkpoint.", _HINT) from e
        return proof

    def write_tiles(self, old: int, new: int, tile: TileReader, entries: Callable[[int, int], list[bytes]]) -> None:
        """Write every tile and bundle that differs between the trees of `old` and `new` entries, durably.

        Raises:
            WriteError: the system refuses; the checkpoint still covers whole tiles only.
        """
        folders, overtaken = set(), []
        for level, n, width in _files(old, new):
            if level == ENTRIES:
                data = encode_bundle(entries(n * WIDTH, n * WIDTH + width))
            else:
                data = b"".join(split_hashes(tile(int(level), n), width))
            path = self.folder / tile_path(level, n, width)
            make_folder(path.parent)
            replace(path, data)
            folders.add(path.parent)
            if width == WIDTH:
                overtaken.append(path.with_name(path.name + ".p"))
        sync_folders(folders)
        for partial in overtaken:
            shutil.rmtree(partial, ignore_errors=True)

    def write_keys(self, vkeys: tuple[str, ...]) -> None:
        """Write the `vkey` file, newest first, if it says something else."""
        text = "".join(vkey + "\n" for vkey in reversed(vkeys))
        path = self.folder / VKEY
        try:
            same = path.read_bytes() == text.encode()
        except OSError:
            same = False
        if not same:
            make_folder(self.folder)
            write_durably(path, text.encode())

    def write_checkpoint(self, note: str) -> None:
        """Publish a signed checkpoint; its tiles are there already."""
        write_durably(self.folder / CHECKPOINT, note.encode())


def _files(old: int, new: int) -> Iterator[tuple[int | str, int, int]]:
    """(level, n, width) of the bundles and tiles that differ."""
    for n, width in changed(old, new):
        yield ENTRIES, n, width
    for level in levels(new):
        for n, width in changed(old, new, level):
            yield level, n, width
