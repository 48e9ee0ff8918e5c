"""Whatever bytes come in, parsers answer with a value or with our own error, and nothing changed is accepted."""

from __future__ import annotations

import base64
import contextlib
import os

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nocere.core.errors import DataError, UsageError, VerificationError
from nocere.provenance.log.checkpoint import Checkpoint, open_checkpoint
from nocere.provenance.log.note import SigningKey, Verifier, b64, open_note, sign_note, unb64
from nocere.provenance.log.proof import Proof, evidence_text, parse_evidence, verify_evidence
from nocere.provenance.log.tiles import (
    decode_bundle,
    encode_bundle,
    grow,
    hash_reader,
    parse_tile_path,
    split_hashes,
    tile_path,
)
from nocere.provenance.merkle import inclusion_proof, leaf_hash, node_hash, root, verify_consistency, verify_inclusion

FUZZ = settings(max_examples=20_000 if os.environ.get("NOCERE_SOAK") else 300, deadline=None)
OURS = (VerificationError, UsageError, DataError)
KEY = SigningKey("log.example/p", bytes(32))
KNOWN = [KEY.verifier]
ENTRIES = [b"entry %d" % i for i in range(13)]
LEAVES = [leaf_hash(e) for e in ENTRIES]


def read(level: int, index: int) -> bytes:
    return node_hash(read(level - 1, 2 * index), read(level - 1, 2 * index + 1)) if level else LEAVES[index]


HEAD = Checkpoint("log.example/p", 13, root(13, read))
EVIDENCE = evidence_text(
    Proof(5, ENTRIES[5], tuple(inclusion_proof(5, 13, read)), sign_note(HEAD.text, [KEY]))
).encode()
TRUE = verify_evidence(EVIDENCE, KEY.verifier.vkey)

# Text that looks nearly right reaches deeper than noise does.
PIECES = st.sampled_from([
    b"\n", b"\n\n", b" ", b"+", b"=", "— ".encode(), b"index ", b"extra ", b"c2sp.org/tlog-proof@v1\n", b"0", b"13", b"-1", b"9" * 30,
    b"log.example/p", KEY.verifier.vkey.encode(), HEAD.text.encode(), KEY.signature_line(HEAD.text).encode(), EVIDENCE,
    f"\udcff+{'0' * 8}+".encode(errors="surrogateescape"), b64(bytes(32)).encode(), b"tile/", b"entries/", b"x001/", b"000", b".p/", b"PRIVATE+KEY+", b"\x00\x05hello", b"\xff\xff", "é\u2028".encode(),
])  # fmt: skip
NOISE = st.one_of(
    st.binary(max_size=200), st.lists(st.one_of(PIECES, st.binary(max_size=6)), max_size=12).map(b"".join)
)


@FUZZ
@given(NOISE)
def test_only_our_errors_come_out(data: bytes) -> None:
    text = data.decode(errors="surrogateescape")
    for parse in (
        lambda: open_note(data, KNOWN), lambda: open_note(text, KNOWN), lambda: open_checkpoint(data, KNOWN),
        lambda: Verifier.parse(text), lambda: SigningKey.parse(text), lambda: Checkpoint.parse(text),
        lambda: parse_evidence(data), lambda: parse_evidence(text), lambda: verify_evidence(data, KEY.verifier.vkey),
        lambda: parse_tile_path(text), lambda: decode_bundle(data, len(data) % 7), lambda: split_hashes(data, len(data) % 7),
        lambda: hash_reader(lambda level, n: data)(len(data) % 4, 0),
    ):  # fmt: skip
        with contextlib.suppress(OURS):
            parse()


@FUZZ
@given(st.data())
def test_no_changed_evidence_says_anything_else(data: st.DataObject) -> None:
    """After any edit the file is refused, or says exactly what it said (then only unverified lines changed)."""
    raw = bytearray(EVIDENCE)
    at = data.draw(st.integers(0, len(raw)))
    stop = data.draw(st.integers(at, min(len(raw), at + 60)))
    raw[at:stop] = data.draw(st.one_of(PIECES, st.binary(max_size=8)))
    assume(bytes(raw) != EVIDENCE)
    try:
        found = verify_evidence(bytes(raw), KEY.verifier.vkey)
    except OURS:
        return
    assert found == TRUE


def test_every_flipped_bit_of_evidence_is_refused() -> None:
    for i in range(len(EVIDENCE) * 8):
        bad = bytearray(EVIDENCE)
        bad[i // 8] ^= 1 << i % 8
        try:
            verify_evidence(bytes(bad), KEY.verifier.vkey)
        except VerificationError:
            continue
        raise AssertionError(f"bit {i} may be flipped")


@FUZZ
@given(
    st.binary(min_size=32, max_size=32),
    st.integers(-3, 2**70),
    st.integers(-3, 2**70),
    st.lists(st.binary(max_size=40), max_size=70),
)
def test_made_up_proofs_prove_nothing(h: bytes, a: int, b: int, proof: list[bytes]) -> None:
    for check in (
        lambda: verify_inclusion(h, a, b, proof, HEAD.root),
        lambda: verify_consistency(a, b, h, HEAD.root, proof),
    ):
        try:
            check()
        except VerificationError:
            continue
        raise AssertionError("a made-up proof was accepted")


@FUZZ
@given(st.lists(st.binary(max_size=300), max_size=20))
def test_bundles_come_back(entries: list[bytes]) -> None:
    data = encode_bundle(entries)
    assert decode_bundle(data, len(entries)) == entries


@FUZZ
@given(st.integers(0, 63), st.integers(0, 2**62), st.integers(1, 256))
def test_tile_paths_come_back(level: int, n: int, width: int) -> None:
    assert parse_tile_path(tile_path(level, n, width)) == (level, n, width)


@FUZZ
@given(st.text(alphabet="ABCDwxyz0189+/=-_ \n", max_size=12))
def test_base64_has_one_spelling(text: str) -> None:
    data = unb64(text)
    assert data is None or base64.b64encode(data).decode() == text


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=5))
def test_a_tree_grown_in_steps_is_the_tree_grown_at_once(steps: list[int]) -> None:
    leaves = [leaf_hash(b"%d" % i) for i in range(sum(steps))]
    tiles: dict[tuple[int, int], bytes] = {}
    size = 0
    for step in steps:
        tiles.update(grow(size, leaves[size : size + step], lambda level, n: tiles[level, n]))
        size += step
    assert tiles == grow(0, leaves, lambda level, n: b"")
    assert b"".join(tiles[0, n] for n in range(-(-size // 256))) == b"".join(leaves)


@FUZZ
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_that_can_be_signed_opens_again(text: str) -> None:
    body = text + "\n"
    note = sign_note(body, [KEY])
    if any(c < " " and c != "\n" for c in body):
        try:
            open_note(note, KNOWN)
        except VerificationError:
            return
        raise AssertionError("a control character was accepted")
    assert open_note(note, KNOWN).text == body
