"""A transparency log in the formats of C2SP: tlog-tiles, tlog-checkpoint, signed-note and tlog-proof.

What it promises: an entry with a receipt is in every later checkpoint, at its index (durable, over crashes and several
writers); no checkpoint that leaves is inconsistent with an earlier one, unless database, key and the key's memory are
set back together. That last case needs a witness to be noticed.
"""

from nocere.provenance.log.backup import backup, restore
from nocere.provenance.log.checkpoint import Checkpoint, open_checkpoint
from nocere.provenance.log.fsck import fsck
from nocere.provenance.log.log import Log
from nocere.provenance.log.note import Verifier
from nocere.provenance.log.proof import Proof, Verified, evidence_text, parse_evidence, verify_evidence
from nocere.provenance.log.sequencer import Receipt
from nocere.provenance.log.writer import Writer

__all__ = [
    "Checkpoint",
    "Log",
    "Proof",
    "Receipt",
    "Verified",
    "Verifier",
    "Writer",
    "backup",
    "evidence_text",
    "fsck",
    "open_checkpoint",
    "parse_evidence",
    "restore",
    "verify_evidence",
]
