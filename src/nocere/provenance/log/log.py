"""The transparency log: an append-only list of entries that anybody can check against its signed head.

A log is a folder: `log.sqlite` (private) and `public/` (checkpoint, tiles, entry bundles, verifier keys). Its key lives
elsewhere. Whoever has only `public/` can read, prove and check everything. Entries are bytes; the log never parses one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from nocere.core.errors import UsageError, VerificationError
from nocere.provenance.log.checkpoint import Checkpoint
from nocere.provenance.log.disk import make_folder, sync_folders
from nocere.provenance.log.note import split_note, valid_name
from nocere.provenance.log.proof import Proof
from nocere.provenance.log.published import FOLDER, Published
from nocere.provenance.log.sequencer import Receipt, Sequencer
from nocere.provenance.log.signer import Signer
from nocere.provenance.log.store import DATABASE, Head, Store
from nocere.provenance.log.tiles import WIDTH
from nocere.provenance.merkle import EMPTY_ROOT, consistency_proof, root


class Log:
    """One log, open for reading, or for writing too if it was opened with its key."""

    def __init__(self, folder: Path, sequencer: Sequencer | None) -> None:
        """Use `Log.create` or `Log.open`."""
        self.folder = folder
        self.published = Published(folder / FOLDER)
        self._sequencer = sequencer

    @classmethod
    def create(cls, folder: Path, origin: str, key: Path) -> Self:
        """Make a new log and its key; the only way in which a log comes into being.

        Args:
            folder: where the log goes; must not exist, or be empty. Gets mode 0700.
            origin: name of the log for ever, a URL without scheme such as `log.hospital.example/2026`.
            key: where the private key goes (mode 0600), with its memory beside it; outside of `folder`.

        Raises:
            UsageError: the origin cannot name a log, or something is in the way.
            WriteError: the system refuses.
        """
        if not valid_name(origin):
            raise UsageError(
                f"{origin!r} cannot name a log.", "Use a URL without scheme, such as log.hospital.example/2026."
            )
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{folder} exists and is not an empty folder.", "Choose another folder for the log.")
        if key.absolute().is_relative_to(folder.absolute()):
            raise UsageError(
                "The key must not lie in the log's folder.", "A backup of the folder would set it back too."
            )
        make_folder(folder)
        empty = Checkpoint(origin, 0, EMPTY_ROOT)
        signer = Signer.create(key, empty)
        with signer.lock():
            note = empty.text + "\n" + signer.sign(empty, lambda _old, _new: [])
            store = Store.create(folder / DATABASE, Head(empty, note, (signer.verifier.vkey,)))
            sync_folders([folder])
        return cls._released(folder, store, [signer])

    @classmethod
    def open(cls, folder: Path, key: Path | Sequence[Path] | None = None) -> Self:
        """Open a log.

        Args:
            folder: the log's folder.
            key: its key file, or all of them (oldest first) while two overlap; None to read only.

        Raises:
            UsageError: there is no log, or the key is not the log's.
            VerificationError: database, published files and what the key remembers disagree.
            WriteError: what a crash left behind cannot be made up for.
        """
        if not folder.is_dir():
            raise UsageError(f"There is no log in {folder}.", "Create one first, or correct the path.")
        if key is None:
            log = cls(folder, None)
            log.published.verifiers()
            return log
        signers = [Signer(path) for path in ([key] if isinstance(key, Path) else key)]
        return cls._released(folder, Store(folder / DATABASE), signers)

    @classmethod
    def _released(cls, folder: Path, store: Store, signers: Sequence[Signer]) -> Self:
        sequencer = Sequencer(store, Published(folder / FOLDER), signers)
        try:
            sequencer.release()
        except BaseException:
            store.close()
            raise
        return cls(folder, sequencer)

    def close(self) -> None:
        """Close the database."""
        if self._sequencer is not None:
            self._sequencer.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def sequencer(self) -> Sequencer:
        """What appends to the log.

        Raises:
            UsageError: the log was opened without its key.
        """
        if self._sequencer is None:
            raise UsageError(f"The log in {self.folder} is open for reading only.", "Open it with its key to write.")
        return self._sequencer

    def append(self, entries: Sequence[bytes], keys: Sequence[str | None] | None = None) -> list[Receipt]:
        """Append entries, all or none, durably; one receipt each, in order.

        Args:
            entries: up to 65,535 bytes each.
            keys: a name for each entry, such as `agent/counter`, that makes a repeated call harmless: a known key
                gives back the index of its entry and appends nothing.

        Raises:
            UsageError: an entry is too long, or a key stands for another entry. Nothing was appended.
            WriteError: the system refuses; nothing was receipted. Call again with the same keys.
            VerificationError: the log disagrees with what its key has signed.
        """
        if keys is not None and len(keys) != len(entries):
            raise UsageError(f"{len(keys)} keys were given for {len(entries)} entries.", "Give one key an entry.")
        out = self.sequencer.append(entries, keys or [None] * len(entries), whole=True)
        return [receipt for receipt in out if isinstance(receipt, Receipt)]

    def rotate(self, key: Path) -> None:
        """Make a new key at `key`; it and the present one sign together until `retire`. Newest last in `open`.

        Raises:
            UsageError, WriteError, VerificationError: see `Sequencer.rotate`.
        """
        self.sequencer.rotate(key)

    def retire(self) -> None:
        """End the overlap of keys: the oldest signs no more, and refuses to for ever.

        Raises:
            UsageError, WriteError, VerificationError: see `Sequencer.retire`.
        """
        self.sequencer.retire()

    @property
    def vkeys(self) -> list[str]:
        """The verifier keys that sign the log, newest first."""
        return [verifier.vkey for verifier in self.published.verifiers()]

    @property
    def vkey(self) -> str:
        """The newest verifier key."""
        return self.vkeys[0]

    def head(self) -> Checkpoint:
        """The published checkpoint, verified.

        Raises:
            VerificationError: it is missing or does not verify.
        """
        return self._head()[0]

    def _head(self) -> tuple[Checkpoint, str]:
        return self.published.checkpoint(self.published.verifiers())

    @property
    def size(self) -> int:
        """Number of published entries."""
        return self.head().size

    @property
    def origin(self) -> str:
        """The name of the log."""
        return self.head().origin

    def checkpoint(self) -> str:
        """The published checkpoint as a signed note."""
        return self._head()[1]

    def entry(self, index: int) -> bytes:
        """One entry, checked against the checkpoint.

        Raises:
            UsageError: there is no such entry.
            VerificationError: a published file is missing or wrong; the sentence names it.
        """
        return self.prove(index).entry

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Entries `start` to `stop - 1` (to the end if None), each checked against the checkpoint.

        Raises:
            UsageError: there are not so many entries.
            VerificationError: a published file is missing or wrong; the sentence names it.
        """
        head = self.head()
        stop = head.size if stop is None else stop
        if not 0 <= start <= stop <= head.size:
            raise UsageError(f"There are no entries {start} to {stop} in a log of {head.size} entries.")
        while start < stop:
            n, first = divmod(start, WIDTH)
            found = self.published.checked_bundle(n, head)[first : stop - n * WIDTH]
            yield from found
            start += len(found)

    def prove(self, index: int, checkpoint: str | None = None) -> Proof:
        """The inclusion proof of one entry.

        Args:
            index: which entry, from 0.
            checkpoint: a signed checkpoint of this log, such as a receipt's; the newest if None.

        Raises:
            UsageError: there is no such entry under that checkpoint.
            VerificationError: a published file is missing or wrong, or the checkpoint is not one of this log's.
        """
        newest, note = self._head()
        head = newest
        if checkpoint is not None:
            head, note = Checkpoint.parse(split_note(checkpoint)[0]), checkpoint
            if head.origin != newest.origin or head.size > newest.size or self._root(head.size, newest) != head.root:
                raise VerificationError("The checkpoint is not one of this log's.", "Give one that this log signed.")
        if not 0 <= index < head.size:
            raise UsageError(f"There is no entry {index} in a log of {head.size} entries.", "Entries count from 0.")
        n, at = divmod(index, WIDTH)
        entry = self.published.checked_bundle(n, newest)[at]
        return Proof(index, entry, tuple(self.published.inclusion(index, head)), note)

    def _root(self, size: int, newest: Checkpoint) -> bytes:
        return root(size, self.published.hashes(newest.size))

    def consistency(self, old: int, new: int | None = None) -> list[bytes]:
        """The consistency proof between two sizes (`new` is the newest if None).

        Raises:
            UsageError: the log has not, or never had, that many entries.
            VerificationError: a published file is missing or cut; the sentence names it.
        """
        size = self.size
        new = size if new is None else new
        if new > size:
            raise UsageError(f"The log has {size} entries, not {new}.")
        return consistency_proof(old, new, self.published.hashes(size))
