"""Oracles in Python: sigstore verifies our checkpoint and inclusion proofs, pymerkle gives the same roots."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from nocere.provenance.log import Log, Proof, evidence_text, parse_evidence
from nocere.provenance.log.note import Verifier


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 700])
def test_pymerkle_gives_the_same_root(tmp_path: Path, size: int) -> None:
    pymerkle = pytest.importorskip("pymerkle", reason="needs pymerkle (test oracle only, GPLv3+)")
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    with Log.create(tmp_path / "log", "log.example/py", tmp_path / "k") as log:
        entries = [b"entry %d" % i for i in range(size)]
        log.append(entries)
        for entry in entries:
            tree.append_entry(entry)
        assert tree.get_root() == log.head().root


def as_rekor(proof: Proof, log: Log) -> Any:
    """Our proof in the shape that sigstore's verification functions read."""
    head = log.head()
    inclusion = SimpleNamespace(
        log_index=proof.index,
        tree_size=head.size,
        hashes=list(proof.hashes),
        root_hash=head.root,
        checkpoint=SimpleNamespace(envelope=proof.checkpoint),
    )
    inner = SimpleNamespace(
        inclusion_proof=inclusion,
        canonicalized_body=proof.entry,
        log_id=SimpleNamespace(key_id=Verifier.parse(log.vkey).id),
    )
    return SimpleNamespace(_inner=inner)


class Keyring:
    """Sigstore's own key ring takes TUF key files; this one holds the one key, and calls the same library."""

    def __init__(self, vkey: str) -> None:
        self.key = Ed25519PublicKey.from_public_bytes(Verifier.parse(vkey).public)

    def verify(self, *, key_id: bytes, signature: bytes, data: bytes) -> None:
        self.key.verify(signature, data)


def test_sigstore_verifies_our_checkpoint_and_inclusion_proofs(tmp_path: Path) -> None:
    checkpoint = pytest.importorskip("sigstore._internal.rekor.checkpoint", reason="needs sigstore (test oracle only)")
    merkle = pytest.importorskip("sigstore._internal.merkle", reason="needs sigstore (test oracle only)")
    errors = pytest.importorskip("sigstore.errors", reason="needs sigstore (test oracle only)")
    with Log.create(tmp_path / "log", "log.example/py", tmp_path / "k") as log:
        log.append([b"entry %d" % i for i in range(300)])
        ring = Keyring(log.vkey)
        signed = checkpoint.SignedCheckpoint.from_text(log.checkpoint())
        assert (signed.checkpoint.origin, signed.checkpoint.log_size) == (log.origin, 300)
        assert bytes.fromhex(signed.checkpoint.log_hash) == log.head().root
        for i in (*range(0, 300, 9), 255, 256, 299):
            proof = parse_evidence(evidence_text(log.prove(i)))
            checkpoint.verify_checkpoint(ring, as_rekor(proof, log))
            merkle.verify_merkle_inclusion(as_rekor(proof, log))
        changed = Proof(proof.index, b"another entry", proof.hashes, proof.checkpoint)
        with pytest.raises(errors.VerificationError):
            merkle.verify_merkle_inclusion(as_rekor(changed, log))
