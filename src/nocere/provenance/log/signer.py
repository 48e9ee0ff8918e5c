"""The log's key, and its memory: the last checkpoint that it signed and released.

A log must not sign a checkpoint that is inconsistent with one it signed before (C2SP tlog-checkpoint). The memory lies
beside the key and not in the log's folder, so that a log restored from an old backup cannot sign a second history.
Three files: `K` (private key), `K.memory` (a checkpoint signed by the key itself), `K.lock`.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TypeAlias

from nocere.core.errors import DataError, UsageError, VerificationError
from nocere.provenance.log.checkpoint import Checkpoint
from nocere.provenance.log.disk import make_folder, write_durably, write_error
from nocere.provenance.log.note import SigningKey, Verifier, open_note, sign_note
from nocere.provenance.merkle import verify_consistency

Prove: TypeAlias = Callable[[int, int], list[bytes]]
_RETIRED = "retired\n"


class Signer:
    """An Ed25519 key that remembers what it promised."""

    def __init__(self, path: Path) -> None:
        """Open the key file at `path`.

        Raises:
            UsageError: there is none.
            DataError: it is not a key.
        """
        self.path = path
        try:
            self._key = SigningKey.parse(path.read_text(encoding="ascii"))
        except FileNotFoundError:
            raise UsageError(f"There is no key file {path}.", "Give the path of the log's private key.") from None
        except (OSError, UnicodeDecodeError) as e:
            raise DataError(f"The key file {path} cannot be read.", "Check its permissions.") from e
        except DataError as e:
            raise DataError(f"{path}: {e.message}", e.hint) from e
        self.verifier: Verifier = self._key.verifier

    @classmethod
    def create(cls, path: Path, checkpoint: Checkpoint) -> Self:
        """Make a new key, named like the log, whose memory starts at `checkpoint`.

        Raises:
            UsageError: a file is in the way, or the origin cannot name a key.
            WriteError: the system refuses.
        """
        key = SigningKey.generate(checkpoint.origin)
        for taken in (path, _memory(path)):
            if taken.exists():
                raise UsageError(f"{taken} exists already.", "A key belongs to one log: give a path that is free.")
        make_folder(path.parent)
        write_durably(path, key.text.encode())
        signer = cls(path)
        signer._write(checkpoint.text)
        return signer

    def _remembered(self) -> str:
        path = _memory(self.path)
        try:
            return open_note(path.read_bytes(), [self.verifier]).text
        except OSError as e:
            raise VerificationError(
                f"The memory {path} of the log key cannot be read, so nobody knows what the key has signed.",
                "Put the file back; if it is lost, close this log and create a new one with a new key.",
            ) from e
        except VerificationError as e:
            raise VerificationError(
                f"The memory {path} of the log key was changed: {e.message}",
                "Put the file back; if it is lost, close this log and create a new one with a new key.",
            ) from e

    @property
    def retired(self) -> bool:
        """Whether the key was told never to sign again."""
        return self._remembered().endswith("\n" + _RETIRED)

    def memory(self) -> Checkpoint:
        """The last checkpoint that was signed and released.

        Raises:
            VerificationError: the memory is missing, changed, or says that the key is retired.
        """
        text = self._remembered()
        if text.endswith("\n" + _RETIRED):
            raise VerificationError(f"The key {self.path} is retired and signs no more.", "Use the log's new key.")
        return Checkpoint.parse(text)

    def check(self, checkpoint: Checkpoint, prove: Prove) -> Checkpoint:
        """The memory, if `checkpoint` is consistent with it; `prove(old, new)` gives the consistency proof.

        Raises:
            VerificationError: the checkpoint is older than the memory, or does not extend it.
        """
        memory = self.memory()
        if checkpoint.origin != memory.origin:
            raise VerificationError(f"The key {self.path} belongs to the log {memory.origin!r}.", "Use the log's key.")
        if checkpoint.size < memory.size:
            raise VerificationError(
                f"The log has {checkpoint.size} entries, but its key has signed {memory.size}: "
                "the database was set back, perhaps to an old backup.",
                "Restore it with its published tiles, which bring it forward; if they are lost, create a new log.",
            )
        try:
            proof = prove(memory.size, checkpoint.size)
            verify_consistency(memory.size, checkpoint.size, memory.root, checkpoint.root, proof)
        except VerificationError as e:
            raise VerificationError(
                f"The log does not extend what its key has signed: {e.message}",
                "The database was changed, or is a copy that went its own way. Run fsck on the log.",
            ) from e
        return memory

    def sign(self, checkpoint: Checkpoint, prove: Prove) -> str:
        """The signature line over a checkpoint that extends the memory; not yet a promise (see `release`)."""
        self.check(checkpoint, prove)
        return self._key.signature_line(checkpoint.text)

    def release(self, checkpoint: Checkpoint, prove: Prove) -> None:
        """Remember a checkpoint for good; only then may its signature leave.

        Raises:
            VerificationError: as `check`.
            WriteError: the system refuses; the checkpoint must not leave.
        """
        if self.check(checkpoint, prove) != checkpoint:
            self._write(checkpoint.text)

    def retire(self) -> None:
        """Never sign again.

        Raises:
            WriteError: the system refuses.
        """
        self._write(self.memory().text + _RETIRED)

    def _write(self, text: str) -> None:
        write_durably(_memory(self.path), sign_note(text, [self._key]).encode())

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the key: one writer at a time, in any process of this machine. Released by the system on a crash."""
        path = self.path.with_name(self.path.name + ".lock")
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
            except OSError:
                os.close(handle)
                raise
        except OSError as e:
            raise write_error(path, e) from e
        try:
            yield
        finally:
            os.close(handle)


def _memory(key: Path) -> Path:
    return key.with_name(key.name + ".memory")
