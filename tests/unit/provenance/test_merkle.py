"""The tree against the recursive definitions of RFC 6962 section 2.1, written out here a second time."""

from __future__ import annotations

import hashlib
import random
from functools import cache

import pytest

from nocere.core.errors import UsageError, VerificationError
from nocere.provenance.merkle import (
    EMPTY_ROOT,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    perfect_root,
    root,
    verify_consistency,
    verify_inclusion,
)

N = 600
LEAVES = [b"entry %d" % i for i in range(N)]


def split(n: int) -> int:
    """The largest power of two smaller than n, as RFC 6962 says it."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k


@cache
def mth(lo: int, hi: int) -> bytes:
    """MTH(D[lo:hi])."""
    if hi == lo:
        return hashlib.sha256(b"").digest()
    if hi - lo == 1:
        return hashlib.sha256(b"\0" + LEAVES[lo]).digest()
    k = split(hi - lo)
    return hashlib.sha256(b"\1" + mth(lo, lo + k) + mth(lo + k, hi)).digest()


@cache
def path(m: int, lo: int, hi: int) -> tuple[bytes, ...]:
    """PATH(m, D[lo:hi])."""
    if hi - lo == 1:
        return ()
    k = split(hi - lo)
    if m < k:
        return (*path(m, lo, lo + k), mth(lo + k, hi))
    return (*path(m - k, lo + k, hi), mth(lo, lo + k))


@cache
def subproof(m: int, lo: int, hi: int, whole: bool) -> tuple[bytes, ...]:
    """SUBPROOF(m, D[lo:hi], b)."""
    if m == hi - lo:
        return () if whole else (mth(lo, hi),)
    k = split(hi - lo)
    if m <= k:
        return (*subproof(m, lo, lo + k, whole), mth(lo + k, hi))
    return (*subproof(m - k, lo + k, hi, False), mth(lo, lo + k))


def read(level: int, index: int) -> bytes:
    return mth(index << level, (index + 1) << level)


def test_empty_tree() -> None:
    assert root(0, read) == EMPTY_ROOT == hashlib.sha256(b"").digest()
    assert leaf_hash(b"") == bytes.fromhex("6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d")


def test_every_inclusion_proof_up_to_600() -> None:
    for n in range(1, N + 1):
        top = mth(0, n)
        assert root(n, read) == top
        for i in range(n):
            proof = path(i, 0, n)
            assert tuple(inclusion_proof(i, n, read)) == proof
            verify_inclusion(mth(i, i + 1), i, n, proof, top)


def test_every_consistency_proof_up_to_600() -> None:
    for n in range(1, N + 1):
        top = mth(0, n)
        for m in range(1, n + 1):
            proof = subproof(m, 0, n, True)
            assert tuple(consistency_proof(m, n, read)) == proof
            verify_consistency(m, n, mth(0, m), top, proof)


def spoiled(proof: tuple[bytes, ...]) -> list[tuple[bytes, ...]]:
    """Proofs that are not `proof`: each hash changed, dropped, doubled; neighbours swapped; one more at either end."""
    out = [(*proof, mth(0, 1)), (mth(0, 1), *proof)]
    for j, h in enumerate(proof):
        out.append((*proof[:j], bytes([h[0] ^ 1]) + h[1:], *proof[j + 1 :]))
        out.append((*proof[:j], h[:31], *proof[j + 1 :]))
        out.append(proof[:j] + proof[j + 1 :])
        out.append((*proof[: j + 1], h, *proof[j + 1 :]))
        if j:
            out.append((*proof[: j - 1], h, proof[j - 1], *proof[j + 1 :]))
    return [p for p in out if p != proof]


def test_no_changed_inclusion_proof_is_accepted() -> None:
    for n in range(1, 40):
        for i in range(n):
            proof = path(i, 0, n)
            for bad in spoiled(proof):
                with pytest.raises(VerificationError):
                    verify_inclusion(mth(i, i + 1), i, n, bad, mth(0, n))
            for j in range(-1, n + 2):
                if j != i:
                    with pytest.raises(VerificationError):
                        verify_inclusion(mth(i, i + 1), j, n, proof, mth(0, n))
            with pytest.raises(VerificationError):
                verify_inclusion(leaf_hash(b"another"), i, n, proof, mth(0, n))
            with pytest.raises(VerificationError):
                verify_inclusion(mth(i, i + 1), i, n, proof, mth(0, n + 1))


def test_no_changed_consistency_proof_is_accepted() -> None:
    for n in range(1, 40):
        for m in range(1, n + 1):
            proof = subproof(m, 0, n, True)
            for bad in spoiled(proof):
                with pytest.raises(VerificationError):
                    verify_consistency(m, n, mth(0, m), mth(0, n), bad)
            with pytest.raises(VerificationError):
                verify_consistency(m, n, mth(1, m + 1), mth(0, n), proof)
            with pytest.raises(VerificationError):
                verify_consistency(m, n, mth(0, m), mth(0, n + 1), proof)
            with pytest.raises(VerificationError):
                verify_consistency(n + 1, m, mth(0, m), mth(0, n), proof)


def test_a_proof_of_the_wrong_length_for_its_size_is_refused_even_if_its_hashes_fit() -> None:
    """A log that signs the root of one size under another size."""
    for n in range(1, 40):
        for claimed in range(1, 70):
            for i in range(min(n, claimed)):
                if len(path(i, 0, claimed)) != len(path(i, 0, n)):
                    with pytest.raises(VerificationError):
                        verify_inclusion(mth(i, i + 1), i, claimed, path(i, 0, n), mth(0, n))
            for m in range(1, min(n, claimed) + 1):
                if len(subproof(m, 0, claimed, True)) != len(subproof(m, 0, n, True)):
                    with pytest.raises(VerificationError):
                        verify_consistency(m, claimed, mth(0, m), mth(0, n), subproof(m, 0, n, True))


def test_a_subtree_is_not_taken_for_the_whole() -> None:
    """One hash more on the left lifts a true proof of a subtree to the root above it."""
    with pytest.raises(VerificationError, match="too many"):
        verify_inclusion(mth(1, 2), 0, 1, [mth(0, 1)], mth(0, 2))
    lifted = [*subproof(3, 0, 4, True), mth(4, 8)]
    old, new = node_hash(mth(4, 8), mth(0, 3)), node_hash(mth(4, 8), mth(0, 4))
    with pytest.raises(VerificationError, match="too many"):
        verify_consistency(3, 4, old, new, lifted)


def test_everything_extends_the_empty_tree_and_nothing_else_is_claimed_of_it() -> None:
    verify_consistency(0, 7, EMPTY_ROOT, mth(0, 7), consistency_proof(0, 7, read))
    with pytest.raises(VerificationError):
        verify_consistency(0, 7, mth(0, 1), mth(0, 7), [])
    with pytest.raises(VerificationError):
        verify_consistency(0, 7, EMPTY_ROOT, mth(0, 7), [mth(0, 1)])


@pytest.mark.parametrize(("i", "n"), [(0, 0), (-1, 5), (5, 5)])
def test_no_proof_of_what_is_not_there(i: int, n: int) -> None:
    with pytest.raises(UsageError):
        inclusion_proof(i, n, read)


@pytest.mark.parametrize(("m", "n"), [(-1, 5), (6, 5)])
def test_no_growth_backwards(m: int, n: int) -> None:
    with pytest.raises(UsageError):
        consistency_proof(m, n, read)


class Sparse:
    """A tree of up to 2**40 leaves that are all the same but for a few: any perfect subtree is known at once."""

    def __init__(self, odd: dict[int, bytes]) -> None:
        self.odd = odd
        self.same = [leaf_hash(b"same")]
        for _ in range(41):
            self.same.append(node_hash(self.same[-1], self.same[-1]))

    def __call__(self, level: int, index: int) -> bytes:
        if not any(i >> level == index for i in self.odd):
            return self.same[level]
        if level == 0:
            return leaf_hash(self.odd[index])
        return node_hash(self(level - 1, 2 * index), self(level - 1, 2 * index + 1))


def test_random_sizes_up_to_2_to_the_40() -> None:
    rng = random.Random(6962)
    for _ in range(400):
        n = rng.randrange(1, 1 << rng.randrange(1, 41))
        i, m = rng.randrange(n), rng.randrange(1, n + 1)
        tree = Sparse({i: b"here", rng.randrange(n): b"there"})
        top = root(n, tree)
        verify_inclusion(tree(0, i), i, n, inclusion_proof(i, n, tree), top)
        verify_consistency(m, n, root(m, tree), top, consistency_proof(m, n, tree))
        other = Sparse({i: b"not here"})
        with pytest.raises(VerificationError):
            verify_inclusion(other(0, i), i, n, inclusion_proof(i, n, tree), top)
        if i < m:
            with pytest.raises(VerificationError):
                verify_consistency(m, n, root(m, other), top, consistency_proof(m, n, tree))


def test_only_powers_of_two_are_perfect() -> None:
    assert perfect_root([mth(0, 1)]) == mth(0, 1)
    for n in (0, 3, 6):
        with pytest.raises(ValueError, match="perfect"):
            perfect_root([b""] * n)
