"""Checkpoints: the signed head of the log (origin, size, root).

Source: C2SP tlog-checkpoint. Extension lines are accepted and ignored; this log never writes one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from nocere.core.errors import VerificationError
from nocere.provenance.log.note import Verifier, b64, open_note, unb64
from nocere.provenance.merkle import EMPTY_ROOT, HASH_BYTES

MAX_SIZE = 2**63 - 1
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")


def whole_number(text: str) -> int | None:
    """A decimal number from 0 to 2**63 - 1 without leading zeros, or None."""
    value = int(text) if _NUMBER.fullmatch(text) else None
    return value if value is not None and value <= MAX_SIZE else None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint says: the log's origin, its number of entries and its root (32 bytes)."""

    origin: str
    size: int
    root: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text of a note.

        Raises:
            VerificationError: it is not a checkpoint.
        """
        lines = text.removesuffix("\n").split("\n")
        size = whole_number(lines[1]) if len(lines) > 2 else None
        root = unb64(lines[2]) if len(lines) > 2 else None
        if not text.endswith("\n") or not all(lines) or size is None or root is None or len(root) != HASH_BYTES:
            raise VerificationError("The text is not a checkpoint: origin, size and root, one line each.")
        if size == 0 and root != EMPTY_ROOT:
            raise VerificationError("The checkpoint claims no entries but has not the root of an empty log.")
        return cls(lines[0], size, root)

    @property
    def text(self) -> str:
        """The text of the note, as it is signed."""
        return f"{self.origin}\n{self.size}\n{b64(self.root)}\n"


def open_checkpoint(note: str | bytes, known: Sequence[Verifier]) -> Checkpoint:
    """Verify a signed checkpoint against the log's keys; its origin must be the name of the keys.

    Raises:
        VerificationError: the note does not verify, is not a checkpoint, or is one of another log.
    """
    opened = open_note(note, known)
    checkpoint = Checkpoint.parse(opened.text)
    if any(signer.name != checkpoint.origin for signer in opened.signers):
        raise VerificationError(
            f"The checkpoint is of the log {checkpoint.origin!r}, the key is of {opened.signers[0].name!r}.",
            "Use the verifier key of that log.",
        )
    return checkpoint
