"""Notes, checkpoints, tiles, bundles and evidence files against the examples and rules of the C2SP texts."""

from __future__ import annotations

import base64

import pytest

from nocere.core.errors import DataError, UsageError, VerificationError
from nocere.provenance.log.checkpoint import Checkpoint, open_checkpoint
from nocere.provenance.log.note import SigningKey, Verifier, open_note, sign_note
from nocere.provenance.log.proof import HEADER, Proof, evidence_text, parse_evidence, verify_evidence
from nocere.provenance.log.tiles import (
    changed,
    check_entry,
    decode_bundle,
    encode_bundle,
    hash_reader,
    parse_tile_path,
    tile_path,
)
from nocere.provenance.merkle import EMPTY_ROOT, leaf_hash

# C2SP signed-note, "Example".
VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
NOTE = (
    "This is an example message.\n\n"
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
# Go, golang.org/x/mod/sumdb/note, package example.
GO_KEY = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
# C2SP tlog-checkpoint, tlog-proof.
SOFA = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"


def test_golden_notes() -> None:
    assert open_note(NOTE, [Verifier.parse(VKEY)]).text == "This is an example message.\n"
    assert open_note(GO_NOTE.encode(), [Verifier.parse(GO_VKEY)]).signers == (Verifier.parse(GO_VKEY),)
    key = SigningKey.parse(GO_KEY)
    assert key.verifier.vkey == GO_VKEY
    assert key.text == GO_KEY + "\n"
    assert sign_note(GO_NOTE.split("\n\n")[0] + "\n", [key]) == GO_NOTE
    assert GO_KEY[-20:] not in repr(key)


def test_every_flipped_bit_of_the_example_is_refused() -> None:
    raw, known = NOTE.encode(), [Verifier.parse(VKEY)]
    for i in range(len(raw) * 8):
        bad = bytearray(raw)
        bad[i // 8] ^= 1 << i % 8
        with pytest.raises(VerificationError):
            open_note(bytes(bad), known)


def test_unknown_keys_are_ignored_and_known_ones_must_verify() -> None:
    ours, other = SigningKey.generate("a"), SigningKey.generate("a")
    text = "x\n\ny\n"
    both = sign_note(text, [other, ours])
    assert open_note(both, [ours.verifier]).signers == (ours.verifier,)
    assert open_note(both, [other.verifier, ours.verifier]).signers == (other.verifier, ours.verifier)
    with pytest.raises(VerificationError, match="not signed by any"):
        open_note(both, [])
    with pytest.raises(VerificationError, match="not signed by any"):
        open_note(both, [Verifier("b", ours.verifier.public)])
    wrong = both.replace(text, "z\n", 1)
    with pytest.raises(VerificationError, match="does not verify"):
        open_note(wrong, [ours.verifier])
    good_and_bad = sign_note(text, [ours]) + sign_note("z\n", [ours]).split("\n\n")[1]
    with pytest.raises(VerificationError, match="does not verify"):
        open_note(good_and_bad, [ours.verifier])


def test_keys_whose_name_and_id_collide_are_refused() -> None:
    a, b = Verifier("a", b"\1" * 32), Verifier("a", b"\2" * 32)
    object.__setattr__(b, "id", a.id)
    with pytest.raises(UsageError, match="same name"):
        open_note(NOTE, [a, b])


def test_at_least_16_signatures_and_at_most_100() -> None:
    keys = [SigningKey.generate(f"k{i}") for i in range(101)]
    for n in (16, 100):
        assert len(open_note(sign_note("t\n", keys[:n]), [k.verifier for k in keys]).signers) == n
    with pytest.raises(VerificationError, match="more than 100"):
        open_note(sign_note("t\n", keys), [k.verifier for k in keys])


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"text\n",
        b"text\n\n",
        NOTE.encode()[:-1],
        NOTE.replace("\n\n", "\n").encode(),
        NOTE.replace("— ", "- ").encode(),
        NOTE.replace("foo Uw", "foo  Uw").encode(),
        NOTE.replace("foo Uw", "f oo Uw").encode(),
        NOTE.replace("foo Uw", "f+o Uw").encode(),
        NOTE.replace("message", "mess\tage").encode(),
        NOTE.replace("=\n", "\n").encode(),
        NOTE.replace("aQM=", "aQN=").encode(),  # the same bytes, spelt differently
        NOTE.encode().replace(b"message", b"mess\xffge"),
        NOTE.encode() + "— example.com/bar AAAA\n".encode(),
        b"x" * 1_000_001,
    ],
)  # fmt: skip
def test_malformed_notes(bad: bytes) -> None:
    with pytest.raises(VerificationError):
        open_note(bad, [Verifier.parse(VKEY)])


@pytest.mark.parametrize(
    "bad",
    [
        "", "a+b", VKEY[:-1], VKEY.replace("530d903a", "530d903b"), VKEY.replace("530d903a", "530D903A"),
        VKEY.replace("foo", "bar"), "x y" + VKEY, "example.com/foo+530d903a+" + base64.b64encode(b"\4" + b"x" * 32).decode(),
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3Q==",
    ],
)  # fmt: skip
def test_malformed_verifier_keys(bad: str) -> None:
    with pytest.raises(UsageError):
        Verifier.parse(bad)


@pytest.mark.parametrize(
    "bad",
    [
        "", GO_VKEY, GO_KEY[:-4], GO_KEY.replace("c74f", "c74e"), GO_KEY.replace("PRIVATE", "private"),
        GO_KEY.replace("Peter", "Pe ter"), GO_KEY.replace("+AYEK", "+AoEK"),
    ],
)  # fmt: skip
def test_malformed_private_keys_are_not_repeated(bad: str) -> None:
    with pytest.raises(DataError) as e:
        SigningKey.parse(bad)
    assert GO_KEY[-12:-4] not in str(e.value)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u00a0b", "a\u2003b", "a\nb", "a\x00"])
def test_names_that_no_key_can_have(name: str) -> None:
    with pytest.raises(UsageError):
        SigningKey.generate(name)


def test_checkpoints() -> None:
    found = Checkpoint.parse(SOFA)
    assert (found.origin, found.size, found.text) == ("example.com/behind-the-sofa", 20852163, SOFA)
    assert Checkpoint.parse(SOFA + "an extension\n") == found
    key = SigningKey.generate("example.com/behind-the-sofa")
    assert open_checkpoint(sign_note(SOFA, [key]), [key.verifier]) == found
    stranger = SigningKey.generate("example.com/other")
    with pytest.raises(VerificationError, match="of the log"):
        open_checkpoint(sign_note(SOFA, [stranger]), [stranger.verifier])


@pytest.mark.parametrize(
    "bad",
    [
        "", "\n", SOFA[:-1], SOFA.replace("20852163", "020852163"), SOFA.replace("20852163", "-1"),
        SOFA.replace("20852163", "1_0"), SOFA.replace("20852163", "٣"), SOFA.replace("20852163", str(2**63)),
        SOFA.replace("20852163", "9" * 5000), SOFA.replace("20852163", "0"), SOFA.replace("=", ""), SOFA.replace("q2I", "q2J"),
        SOFA + "\n", SOFA.replace("20852163", ""), "\n" + SOFA, "a\n1\n",
    ],
)  # fmt: skip
def test_malformed_checkpoints(bad: str) -> None:
    with pytest.raises(VerificationError):
        Checkpoint.parse(bad)


def test_tile_paths_of_the_specification() -> None:
    assert tile_path(3, 1234067) == "tile/3/x001/x234/067"
    assert tile_path("entries", 0, 112) == "tile/entries/000.p/112"
    # "a tree of size 70,000 will be represented by ..."
    tiles = {level: list(changed(0, 70_000, level)) for level in range(4)}
    assert tiles[0] == [(n, 256) for n in range(273)] + [(273, 112)]
    assert tiles[1] == [(0, 256), (1, 17)]
    assert (tiles[2], tiles[3]) == ([(0, 1)], [])
    assert (list(changed(0, 256)), list(changed(0, 256, 1))) == ([(0, 256)], [(0, 1)])
    assert list(changed(255, 257)) == [(0, 256), (1, 1)]
    assert list(changed(256, 257)) == [(1, 1)]
    for n in (0, 999, 1000, 1234067, 10**12 + 5):
        for width in (1, 9, 255, 256):
            assert parse_tile_path(tile_path(63, n, width)) == (63, n, width)


@pytest.mark.parametrize(
    "bad",
    [
        "tile/64/000", "tile/00/000", "tile/0/00", "tile/0/0000", "tile/0/x000/001", "tile/0/001/002", "tile/0/000.p/0",
        "tile/0/000.p/256", "tile/0/000.p/01", "tile/data/000", "tile/0/000/", "../tile/0/000", "tile/0/000.new", "tile/0/٠٠٠",
    ],
)  # fmt: skip
def test_paths_that_no_tile_has(bad: str) -> None:
    with pytest.raises(VerificationError):
        parse_tile_path(bad)


def test_bundles() -> None:
    entries = [b"", b"a", b"b" * 65535]
    data = encode_bundle(entries)
    assert data[:5] == b"\0\0\0\1a"
    assert decode_bundle(data, 3) == entries
    for bad, width in [
        (data, 2),
        (data, 4),
        (data[:-1], 3),
        (data + b"\0", 3),
        (data + b"\0", 4),
        (b"\0", 1),
        (b"x", 0),
    ]:
        with pytest.raises(VerificationError):
            decode_bundle(bad, width)
    check_entry(b"b" * 65535)
    with pytest.raises(UsageError, match="65,536"):
        check_entry(b"b" * 65536)


def test_a_cut_tile_is_not_read_through() -> None:
    read = hash_reader(lambda level, n: leaf_hash(b"a") + leaf_hash(b"b")[:31])
    with pytest.raises(VerificationError, match="63 bytes"):
        read(0, 1)


def evidence() -> tuple[str, str]:
    key = SigningKey.generate("log.example/1")
    note = sign_note(Checkpoint("log.example/1", 1, leaf_hash(b"only")).text, [key])
    return evidence_text(Proof(0, b"only", (), note)), key.verifier.vkey


def test_evidence_of_the_only_entry() -> None:
    text, vkey = evidence()
    assert text.startswith(f"{HEADER}\nextra b25seQ==\nindex 0\n\nlog.example/1\n1\n")
    found = verify_evidence(text.encode(), [vkey, VKEY])
    assert (found.index, found.size, found.entry, found.origin) == (0, 1, b"only", "log.example/1")
    assert parse_evidence(text).checkpoint.startswith("log.example/1\n")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tlog-proof@v1", "tlog-proof@v2"), ("extra b25seQ==\n", ""), ("b25seQ==", "b25seQ="), ("b25seQ==", "b25seR=="),
        ("b25seQ==", "b25seg=="), ("index 0", "index 00"), ("index 0", "index 1"), ("index 0", "0"), ("index 0\n", "index 0\nAAAA\n"),
        ("index 0\n", "index 0\n" + "A" * 43 + "=\n"), ("index 0\n", "index 0\n" + ("A" * 43 + "=\n") * 64), ("\n\nlog", "\nlog"), ("\n\nlog", "\n\n\nlog"),
        ("log.example/1\n1\n", "log.example/1\n2\n"), ("=\n\n—", "=\n—"), ("extra", "extra extra"), ("\n", "\r\n"),
    ],
)  # fmt: skip
def test_changed_evidence(old: str, new: str) -> None:
    text, vkey = evidence()
    assert old in text
    with pytest.raises(VerificationError):
        verify_evidence(text.replace(old, new), vkey)


def test_an_empty_log_has_the_root_of_nothing() -> None:
    assert Checkpoint.parse(Checkpoint("o", 0, EMPTY_ROOT).text).size == 0
