"""Evidence files: entry, inclusion proof and signed checkpoint in one text that verifies offline.

Source: C2SP tlog-proof v1 (`c2sp.org/tlog-proof@v1`, file extension `.tlog-proof`). The `extra` line carries the entry:
the specification leaves it unauthenticated, here the inclusion proof binds it, since its hash is the leaf.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nocere.core.errors import VerificationError
from nocere.provenance.log.checkpoint import open_checkpoint, whole_number
from nocere.provenance.log.note import MAX_BYTES, Verifier, b64, unb64
from nocere.provenance.log.tiles import MAX_ENTRY
from nocere.provenance.merkle import HASH_BYTES, leaf_hash, verify_inclusion

HEADER = "c2sp.org/tlog-proof@v1"
MAX_HASHES = 63


@dataclass(frozen=True, slots=True)
class Proof:
    """That `entry` is entry `index` of the log under `checkpoint` (a signed note); `hashes` from the leaf upward."""

    index: int
    entry: bytes
    hashes: tuple[bytes, ...]
    checkpoint: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verified evidence file says."""

    origin: str
    index: int
    size: int
    root: bytes
    entry: bytes


def evidence_text(proof: Proof) -> str:
    """The evidence file of a proof."""
    hashes = "".join(b64(h) + "\n" for h in proof.hashes)
    return f"{HEADER}\nextra {b64(proof.entry)}\nindex {proof.index}\n{hashes}\n{proof.checkpoint}"


def parse_evidence(text: str | bytes) -> Proof:
    """Read an evidence file; nothing in it is verified yet.

    Raises:
        VerificationError: it is not one, or it does not carry its entry.
    """
    try:
        whole = text.decode() if isinstance(text, bytes) else text
    except UnicodeDecodeError as e:
        raise VerificationError("The evidence file is not UTF-8.") from e
    if len(whole) > 2 * MAX_BYTES:
        raise VerificationError(f"The evidence file is longer than {2 * MAX_BYTES:,} characters.")
    head, blank, checkpoint = whole.partition("\n\n")
    lines = head.split("\n")
    if lines[0] != HEADER or not blank:
        raise VerificationError(f"This is not an evidence file: it does not begin with {HEADER} or has no checkpoint.")
    if len(lines) < 3 or not lines[1].startswith("extra "):
        raise VerificationError("The evidence file does not carry its entry (no `extra` line).")
    entry = unb64(lines[1].removeprefix("extra "))
    if entry is None or len(entry) > MAX_ENTRY:
        raise VerificationError("The `extra` line of the evidence file is not an entry in base64.")
    index = whole_number(lines[2].removeprefix("index "))
    if not lines[2].startswith("index ") or index is None:
        raise VerificationError("The `index` line of the evidence file is malformed.")
    if len(lines) - 3 > MAX_HASHES:
        raise VerificationError(f"The evidence file has more than {MAX_HASHES} hashes.")
    hashes = []
    for number, line in enumerate(lines[3:], 1):
        value = unb64(line)
        if value is None or len(value) != HASH_BYTES:
            raise VerificationError(f"Hash {number} of the evidence file is malformed.")
        hashes.append(value)
    return Proof(index, entry, tuple(hashes), checkpoint)


def verify_evidence(text: str | bytes, vkey: str | Sequence[str]) -> Verified:
    """Verify an evidence file against the log's verifier key, offline.

    Args:
        text: the evidence file.
        vkey: verifier key of the log, or several (any one of which suffices; none of them may be wrong).

    Raises:
        VerificationError: the file is malformed, the checkpoint is not the log's, or the entry is not in it.
        UsageError: a verifier key is malformed.
    """
    known = [Verifier.parse(key) for key in ([vkey] if isinstance(vkey, str) else vkey)]
    proof = parse_evidence(text)
    head = open_checkpoint(proof.checkpoint, known)
    verify_inclusion(leaf_hash(proof.entry), proof.index, head.size, proof.hashes, head.root)
    return Verified(head.origin, proof.index, head.size, head.root, proof.entry)
