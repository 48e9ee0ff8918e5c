"""Merkle hash tree: leaf and node hashes, roots, inclusion and consistency proofs, and their verification.

Source: RFC 6962 section 2.1 (hashes, proofs); RFC 9162 sections 2.1.3.2 and 2.1.4.2 (verification step by step).
Proofs are made over any *hash reader*: `read(level, index)` is the hash of the perfect subtree over the leaves
`index * 2**level` to `(index + 1) * 2**level - 1`, as 32 bytes. All hashes here are 32 raw bytes of SHA-256.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from nocere.core.errors import UsageError, VerificationError

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()
HashReader: TypeAlias = Callable[[int, int], bytes]


def leaf_hash(entry: bytes) -> bytes:
    """Hash of one entry: SHA-256(0x00 || entry)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node: SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """Root over 2**k hashes of one level."""
    row = list(hashes)
    if not row or len(row) & (len(row) - 1):
        raise ValueError(f"{len(row)} hashes do not make a perfect subtree")
    while len(row) > 1:
        row = [node_hash(row[i], row[i + 1]) for i in range(0, len(row), 2)]
    return row[0]


def _perfect_subtrees(start: int, stop: int) -> Iterator[tuple[int, int]]:
    """(level, index) of the perfect subtrees that make up leaves `start` to `stop - 1`, largest first."""
    while start < stop:
        level = (stop - start).bit_length() - 1
        yield level, start >> level
        start += 1 << level


def _subtree_root(start: int, stop: int, read: HashReader) -> bytes:
    """MTH(D[start:stop]) where `start` is a multiple of the largest power of two in the range."""
    parts = [read(level, index) for level, index in _perfect_subtrees(start, stop)]
    value = parts.pop()
    while parts:
        value = node_hash(parts.pop(), value)
    return value


def root(size: int, read: HashReader) -> bytes:
    """Root of the tree over the first `size` leaves."""
    return _subtree_root(0, size, read) if size else EMPTY_ROOT


def _split(length: int) -> int:
    """Largest power of two smaller than `length`."""
    return 1 << ((length - 1).bit_length() - 1)


def inclusion_proof(index: int, size: int, read: HashReader) -> list[bytes]:
    """PATH(index, D[size]): the sibling hashes from the leaf up to the child of the root (RFC 6962 section 2.1.1).

    Raises:
        UsageError: there is no such leaf in a tree of this size.
    """
    if not 0 <= index < size:
        raise UsageError(f"There is no entry {index} in a log of {size} entries.", "Entries are counted from 0.")
    proof: list[bytes] = []
    start, stop = 0, size
    while stop - start > 1:
        middle = start + _split(stop - start)
        if index < middle:
            proof.append(_subtree_root(middle, stop, read))
            stop = middle
        else:
            proof.append(_subtree_root(start, middle, read))
            start = middle
    return proof[::-1]


def consistency_proof(old: int, new: int, read: HashReader) -> list[bytes]:
    """PROOF(old, D[new]): that the first `old` leaves of the larger tree are the smaller one (section 2.1.2).

    Every tree extends the empty one, so the proof from size 0 has no hash, as has the proof from a size to itself.

    Raises:
        UsageError: the sizes are not 0 <= old <= new.
    """
    if not 0 <= old <= new:
        raise UsageError(f"No tree of {old} entries can grow into one of {new}.", "Give the smaller size first.")
    if old in (0, new):
        return []
    proof: list[bytes] = []
    start, stop = 0, new
    while old != stop:
        middle = start + _split(stop - start)
        if old <= middle:
            proof.append(_subtree_root(middle, stop, read))
            stop = middle
        else:
            proof.append(_subtree_root(start, middle, read))
            start = middle
    if start:
        proof.append(_subtree_root(start, stop, read))
    return proof[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], tree_root: bytes) -> None:
    """Check that `leaf` (a leaf hash) is leaf `index` of the tree with this size and root (RFC 9162 2.1.3.2).

    Raises:
        VerificationError: it is not, or the proof has the wrong length.
    """
    if not 0 <= index < size:
        raise VerificationError(f"The proof names entry {index} of a log of {size} entries: there is none.")
    position, last, value = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise VerificationError(f"The inclusion proof of entry {index} has too many hashes.")
        if position & 1 or position == last:
            value = node_hash(sibling, value)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            value = node_hash(value, sibling)
        position, last = position >> 1, last >> 1
    if last != 0:
        raise VerificationError(f"The inclusion proof of entry {index} has too few hashes.")
    if value != tree_root:
        raise VerificationError(f"Entry {index} is not in the log of {size} entries with this root.")


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the tree of size `new` extends the tree of size `old` (RFC 9162 2.1.4.2).

    Raises:
        VerificationError: it does not, or the proof has the wrong length.
    """
    if not 0 <= old <= new:
        raise VerificationError(f"A log of {old} entries cannot have grown into one of {new}.")
    if old in (0, new):
        if proof:
            raise VerificationError(f"The consistency proof from {old} to {new} entries must be empty.")
        if old_root != (EMPTY_ROOT if old == 0 else new_root):
            raise VerificationError(f"Two different roots are claimed for a log of {old} entries.")
        return
    path = list(proof)
    if old & (old - 1) == 0:  # a perfect tree is itself a node of the larger one
        path.insert(0, old_root)
    if not path:
        raise VerificationError(f"The consistency proof from {old} to {new} entries has too few hashes.")
    position, last = old - 1, new - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    old_value = new_value = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise VerificationError(f"The consistency proof from {old} to {new} entries has too many hashes.")
        if position & 1 or position == last:
            old_value, new_value = node_hash(sibling, old_value), node_hash(sibling, new_value)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            new_value = node_hash(new_value, sibling)
        position, last = position >> 1, last >> 1
    if last != 0:
        raise VerificationError(f"The consistency proof from {old} to {new} entries has too few hashes.")
    if (old_value, new_value) != (old_root, new_root):
        raise VerificationError(f"The log of {new} entries does not extend the log of {old} entries.")
