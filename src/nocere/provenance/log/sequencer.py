"""The one place where the log grows: stage, sign, compare and swap, commit; then remember, publish, and receipt.

Order (design 0005): one transaction holds the entries, the tiles and the signed head, on condition of the head that
they were built on. Only after its commit is the signer's memory written, then the tiles, then the checkpoint file, and
only then does a receipt go out. Whatever a crash cuts off is made up for by the next release, before anything is added.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from nocere.core.errors import UsageError, VerificationError
from nocere.provenance.log.checkpoint import Checkpoint, open_checkpoint
from nocere.provenance.log.note import Verifier
from nocere.provenance.log.published import Published
from nocere.provenance.log.signer import Prove, Signer
from nocere.provenance.log.store import Head, Store
from nocere.provenance.log.tiles import TileReader, check_entry, grow, hash_reader
from nocere.provenance.merkle import consistency_proof, leaf_hash, root


@dataclass(frozen=True, slots=True)
class Receipt:
    """The promise that an entry is in the log for good: its index, and a signed checkpoint of `size` entries."""

    index: int
    size: int
    checkpoint: str


class Sequencer:
    """Appends to one log. Threads may share it; other processes may have their own."""

    def __init__(self, store: Store, published: Published, signers: Sequence[Signer]) -> None:
        self.store = store
        self.published = published
        self.signers = list(signers)
        self._thread = threading.Lock()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._thread, ExitStack() as stack:
            for signer in sorted(self.signers, key=lambda s: str(s.path.absolute())):
                stack.enter_context(signer.lock())
            yield

    def append(
        self, entries: Sequence[bytes], keys: Sequence[str | None], *, whole: bool
    ) -> list[Receipt | UsageError]:
        """Append entries; a key that is known already gives the receipt of its entry, or a UsageError if that differs.

        Args:
            entries, keys: see `Log.append`.
            whole: raise such a UsageError and append nothing, instead of handing it back in the entry's place.

        Raises:
            UsageError: an entry is too long, or as above.
            WriteError, VerificationError: nothing was receipted; the entries may be in the log or not, and the same
                call with the same keys finds out.
        """
        for position, entry in enumerate(entries):
            check_entry(entry, position)
        with self._alone():
            self._release()
            with self.store.transaction():
                head = self.store.head()
                indices, fresh, known = self._place(head.checkpoint.size, entries, keys)
                conflict = next((i for i in indices if isinstance(i, UsageError)), None)
                if whole and conflict is not None:
                    raise conflict
                if fresh:
                    self._extend(head, fresh, known)
            head = self._release()
        size = head.checkpoint.size
        return [i if isinstance(i, UsageError) else Receipt(i, size, head.note) for i in indices]

    def _place(
        self, size: int, entries: Sequence[bytes], keys: Sequence[str | None]
    ) -> tuple[list[int | UsageError], list[bytes], dict[str, int]]:
        """The index of every entry, the entries that are new, and the keys that are new."""
        indices: list[int | UsageError] = []
        fresh: list[bytes] = []
        known: dict[str, int] = {}
        for entry, key in zip(entries, keys, strict=True):
            at = None if key is None else known.get(key, self.store.find(key))
            if at is None:
                at = size + len(fresh)
                fresh.append(entry)
                if key is not None:
                    known[key] = at
            elif (fresh[at - size] if at >= size else self.store.entries(at, at + 1)[0]) != entry:
                indices.append(UsageError(
                    f"The key {key!r} stands for another entry already (index {at}).",
                    "Send the same entry under the same key, or a new entry under a new key.",
                ))  # fmt: skip
                continue
            indices.append(at)
        return indices, fresh, known

    def _extend(self, head: Head, fresh: Sequence[bytes], known: dict[str, int]) -> None:
        """Stage entries, tiles and the newly signed head in the open transaction."""
        start = head.checkpoint.size
        tiles = grow(start, [leaf_hash(entry) for entry in fresh], self.store.tile)
        size = start + len(fresh)

        def tile(level: int, n: int) -> bytes:
            return tiles[level, n] if (level, n) in tiles else self.store.tile(level, n)

        checkpoint = Checkpoint(head.checkpoint.origin, size, root(size, hash_reader(tile)))
        note = self._sign(checkpoint, self.signers, tile)
        self.store.add(start, fresh, known)
        self.store.put_tiles(tiles)
        self.store.advance(head, Head(checkpoint, note, head.vkeys))

    def _sign(self, checkpoint: Checkpoint, signers: Sequence[Signer], tile: TileReader) -> str:
        return checkpoint.text + "\n" + "".join(signer.sign(checkpoint, prover(tile)) for signer in signers)

    def release(self) -> Head:
        """Make up for what a crash left behind; see `_release`."""
        with self._alone():
            return self._release()

    def _release(self) -> Head:
        """Let the newest committed head out: memory, tiles, checkpoint file. Does nothing if it is out already.

        Raises:
            VerificationError: the database does not extend what the key remembers or what is published.
            UsageError: the log is signed by other keys than these.
            WriteError: the system refuses; the next call goes on.
        """
        head = self.store.head()
        self._check_keys(head)
        staying = [signer for signer in self.signers if not signer.retired]
        if 0 < len(staying) < len(self.signers):  # a retirement was cut off: finish it
            head = self._sign_again(head, staying)
        self._published_size(head)  # the key must not remember what contradicts the published log
        for signer in self.signers:
            signer.release(head.checkpoint, prover(self.store.tile))
        self.publish(head)
        return head

    def publish(self, head: Head) -> None:
        """Write what is not published of a head whose signatures may leave."""
        old = self._published_size(head)
        self.published.write_keys(head.vkeys)
        if self.published.note() != head.note:
            self.published.write_tiles(old, head.checkpoint.size, self.store.tile, self.store.entries)
            self.published.write_checkpoint(head.note)

    def _published_size(self, head: Head) -> int:
        """Size of the published checkpoint, which the database must extend; 0 if none is published."""
        note = self.published.note()
        if note in (None, head.note):
            return 0 if note is None else head.checkpoint.size
        hint = "Run fsck on the log; restore the database if it was set back."
        try:
            out = open_checkpoint(note, [Verifier.parse(vkey) for vkey in head.vkeys])
        except VerificationError as e:
            raise VerificationError(f"The published checkpoint does not verify: {e.message}", hint) from e
        if out.size > head.checkpoint.size:
            raise VerificationError(
                f"The published log has {out.size} entries, the database only {head.checkpoint.size}.", hint
            )
        if root(out.size, hash_reader(self.store.tile)) != out.root:
            raise VerificationError("The database holds another log than the published one.", hint)
        return out.size

    def _check_keys(self, head: Head) -> None:
        if [signer.verifier.vkey for signer in self.signers] != list(head.vkeys):
            needed = ", ".join(Verifier.parse(vkey).id.hex() for vkey in head.vkeys)
            raise UsageError(
                f"The log {head.checkpoint.origin} must be signed by the keys with the ids {needed}, oldest first; "
                f"it was opened with {', '.join(s.verifier.id.hex() for s in self.signers)}.",
                "Open it with exactly these key files.",
            )

    def rotate(self, path: Path) -> None:
        """Begin an overlap: make a new key at `path`; from now on it signs together with the present ones.

        Raises:
            UsageError: a file is in the way.
            WriteError, VerificationError: as `release`.
        """
        with self._alone():
            head = self._release()
            self._sign_again(head, [*self.signers, Signer.create(path, head.checkpoint)])
            self._release()

    def retire(self) -> None:
        """End the overlap: the oldest key never signs again.

        Raises:
            UsageError: there is only one key.
            WriteError, VerificationError: as `release`.
        """
        with self._alone():
            if len(self.signers) == 1:
                raise UsageError("The log's only key cannot be retired.", "Rotate to a new key first.")
            self._release()
            self.signers[0].retire()
            self._release()

    def _sign_again(self, head: Head, signers: list[Signer]) -> Head:
        """Put the same checkpoint, signed by other keys, into the database."""
        with self.store.transaction():
            note = self._sign(head.checkpoint, signers, self.store.tile)
            new = Head(head.checkpoint, note, tuple(signer.verifier.vkey for signer in signers))
            self.store.advance(head, new)
        self.signers = signers
        return new


def prover(tile: TileReader) -> Prove:
    """Consistency proofs over tiles."""
    return lambda old, new: consistency_proof(old, new, hash_reader(tile))
