"""A log from its creation to its proofs; what it refuses; what a reader without the key can do."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from nocere.core.errors import DataError, UsageError, VerificationError
from nocere.provenance.log import Log, evidence_text, fsck, open_checkpoint, verify_evidence
from nocere.provenance.log.note import Verifier
from nocere.provenance.merkle import leaf_hash, node_hash, verify_consistency, verify_inclusion

ORIGIN = "log.example/test"


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with Log.create(tmp_path / "log", ORIGIN, tmp_path / "keys" / "k") as made:
        yield made


def numbered(start: int, stop: int) -> list[bytes]:
    return [b"entry %d" % i for i in range(start, stop)]


def test_growth_over_tile_borders(log: Log, tmp_path: Path) -> None:
    """Sizes 0, 1, 255, 256, 257, 511, 512, 600: every entry proves, every pair of sizes is consistent, fsck is clean."""
    sizes, roots = [0], {0: log.head().root}
    for size in (1, 255, 256, 257, 511, 512, 600):
        receipts = log.append(numbered(sizes[-1], size))
        assert [r.index for r in receipts] == list(range(sizes[-1], size))
        assert {r.size for r in receipts} == {size} == {log.size}
        assert receipts[0].checkpoint == log.checkpoint()
        head = open_checkpoint(log.checkpoint(), [Verifier.parse(log.vkey)])
        roots[size] = head.root
        for old in sizes:
            verify_consistency(old, size, roots[old], head.root, log.consistency(old))
        sizes.append(size)
        assert fsck(tmp_path / "log", log.vkey, tmp_path / "keys" / "k") == []
    assert list(log.entries()) == numbered(0, 600)
    assert list(log.entries(250, 520)) == numbered(250, 520)
    assert list(log.entries(600)) == []
    verify_consistency(257, 511, roots[257], roots[511], log.consistency(257, 511))
    for i in (0, 255, 256, 511, 512, 599):
        assert log.entry(i) == b"entry %d" % i
        found = verify_evidence(evidence_text(log.prove(i)), log.vkey)
        assert (found.index, found.size, found.root, found.entry) == (i, 600, roots[600], b"entry %d" % i)


def test_many_entries_in_one_call_make_the_same_tree(log: Log, tmp_path: Path) -> None:
    with Log.create(tmp_path / "other", ORIGIN, tmp_path / "other-key") as other:
        for i in range(0, 700, 100):
            other.append(numbered(i, i + 100))
        log.append(numbered(0, 700))
        assert other.head() == log.head()


def test_a_receipt_proves_under_its_own_checkpoint_later(log: Log) -> None:
    receipt = log.append(numbered(0, 3))[1]
    log.append(numbered(3, 900))
    proof = log.prove(receipt.index, receipt.checkpoint)
    found = verify_evidence(evidence_text(proof), log.vkey)
    assert (found.index, found.size) == (1, 3)
    with pytest.raises(UsageError, match="no entry 3"):
        log.prove(3, receipt.checkpoint)
    with pytest.raises(VerificationError, match="not one of this log"):
        log.prove(0, receipt.checkpoint.replace("\n3\n", "\n4\n"))


def test_a_key_makes_a_repeated_call_harmless(log: Log) -> None:
    first = log.append([b"a", b"b"], ["agent/1", "agent/2"])
    again = log.append([b"b", b"c", b"c", b"d"], ["agent/2", "agent/3", "agent/3", None])
    assert [r.index for r in first] == [0, 1]
    assert [r.index for r in again] == [1, 2, 2, 3]
    size = log.size
    for entries, keys in [([b"x", b"changed"], ["agent/9", "agent/1"]), ([b"p", b"q"], ["agent/9", "agent/9"])]:
        with pytest.raises(UsageError, match="another entry"):
            log.append(entries, keys)
    assert log.size == size == 4
    assert log.append([b"x"], ["agent/9"])[0].index == 4
    assert log.append([b"a"], ["agent/1"])[0].index == 0
    assert log.size == 5


def test_the_same_entry_without_keys_is_logged_twice(log: Log) -> None:
    assert [r.index for r in log.append([b"a", b"a"])] == [0, 1]


def test_nothing_to_append(log: Log) -> None:
    before = log.checkpoint()
    assert log.append([]) == []
    assert log.checkpoint() == before


@pytest.mark.parametrize(
    ("entries", "keys"), [([b"x" * 65536], None), ([b"a", b"b"], ["k"]), ([b"", b"x" * 70000], None)]
)
def test_what_cannot_be_appended(log: Log, entries: list[bytes], keys: list[str] | None) -> None:
    with pytest.raises(UsageError):
        log.append(entries, keys)
    assert log.size == 0


def test_the_longest_entry(log: Log) -> None:
    log.append([b"", b"x" * 65535])
    assert log.entry(1) == b"x" * 65535
    assert log.entry(0) == b""
    assert verify_evidence(evidence_text(log.prove(1)), log.vkey).entry == b"x" * 65535


def test_a_reader_needs_neither_key_nor_database(log: Log, tmp_path: Path) -> None:
    log.append(numbered(0, 300))
    shutil.copytree(tmp_path / "log" / "public", tmp_path / "copy" / "public")
    with Log.open(tmp_path / "copy") as reader:
        assert (reader.size, reader.origin, reader.vkey) == (300, ORIGIN, log.vkey)
        proof = reader.prove(299)
        verify_inclusion(leaf_hash(proof.entry), 299, 300, proof.hashes, reader.head().root)
        with pytest.raises(UsageError, match="reading only"):
            reader.append([b"x"])
    assert fsck(tmp_path / "copy", log.vkey) == []


def test_reopened_it_goes_on(log: Log, tmp_path: Path) -> None:
    log.append(numbered(0, 5))
    log.close()
    with Log.open(tmp_path / "log", tmp_path / "keys" / "k") as again:
        assert again.append([b"more"])[0].index == 5


def test_file_modes(log: Log, tmp_path: Path) -> None:
    log.append(numbered(0, 300))
    for path in [tmp_path / "log", *(tmp_path / "log").rglob("*"), *(tmp_path / "keys").rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_there_is_one_way_to_make_a_log(log: Log, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no log in"):
        Log.open(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="no log in"):
        Log.open(tmp_path / "nowhere", tmp_path / "keys" / "k")
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no log"):
        Log.open(tmp_path / "empty")
    with pytest.raises(UsageError, match="no log database"):
        Log.open(tmp_path / "empty", tmp_path / "keys" / "k")
    with pytest.raises(UsageError, match="not an empty folder"):
        Log.create(tmp_path / "log", ORIGIN, tmp_path / "keys" / "k2")
    with pytest.raises(UsageError, match="exists already"):
        Log.create(tmp_path / "second", ORIGIN, tmp_path / "keys" / "k")
    with pytest.raises(UsageError, match="must not lie"):
        Log.create(tmp_path / "third", ORIGIN, tmp_path / "third" / "k")
    with pytest.raises(UsageError, match="cannot name"):
        Log.create(tmp_path / "fourth", "my log", tmp_path / "keys" / "k4")
    with pytest.raises(UsageError, match="no log in"):
        fsck(tmp_path / "nowhere")


def test_the_key_must_be_the_logs(log: Log, tmp_path: Path) -> None:
    Log.create(tmp_path / "other", ORIGIN, tmp_path / "other-key").close()
    with pytest.raises(UsageError, match="must be signed by the keys"):
        Log.open(tmp_path / "log", tmp_path / "other-key")
    with pytest.raises(UsageError, match="no key file"):
        Log.open(tmp_path / "log", tmp_path / "none")
    (tmp_path / "text").write_text("not a key")
    with pytest.raises(DataError, match="malformed"):
        Log.open(tmp_path / "log", tmp_path / "text")
    assert log.size == 0


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (10**30, 3)])
def test_entries_that_are_not_there(log: Log, index: int, size: int) -> None:
    log.append(numbered(0, size))
    for ask in (log.entry, log.prove):
        with pytest.raises(UsageError):
            ask(index)
    with pytest.raises(UsageError):
        list(log.entries(0, size + 1))
    with pytest.raises(UsageError):
        log.consistency(1, size + 1)
    with pytest.raises(UsageError):
        log.consistency(3, 2)


def files(folder: Path, part: str) -> list[Path]:
    return sorted(p for p in (folder / "log" / "public").rglob("*") if p.is_file() and part in str(p))


@pytest.mark.parametrize("part", ["tile/0/000", "tile/0/001", "tile/1/000", "tile/entries/000", "tile/entries/001"])
@pytest.mark.parametrize("how", ["cut", "longer", "gone", "bit"])
def test_a_spoiled_file_is_named_and_not_read_through(log: Log, tmp_path: Path, part: str, how: str) -> None:
    log.append(numbered(0, 300))
    (path,) = files(tmp_path, part)
    data = path.read_bytes()
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes({"cut": data[:-1], "longer": data + b"\0", "bit": data[:-1] + bytes([data[-1] ^ 1])}[how])
    index = 10 if "000" in part and "tile/1" not in part else 290
    with pytest.raises(VerificationError) as e:
        log.entry(index)
    assert part in str(e.value) or how == "bit"
    problems = fsck(tmp_path / "log", log.vkey)
    assert problems
    assert any(part in p for p in problems), problems


def test_an_entry_changed_together_with_its_hash_is_refused(log: Log, tmp_path: Path) -> None:
    log.append(numbered(0, 300))
    bundle, tile = (tmp_path / "log" / "public" / "tile" / kind / "001.p" / "44" for kind in ("entries", "0"))
    bundle.write_bytes(bundle.read_bytes().replace(b"entry 290", b"entry 29X"))
    tile.write_bytes(tile.read_bytes().replace(leaf_hash(b"entry 290"), leaf_hash(b"entry 29X")))
    with pytest.raises(VerificationError, match="do not make up the checkpoint"):
        list(log.entries(256, 300))
    assert fsck(tmp_path / "log", log.vkey)


def test_the_writer_refuses_a_published_checkpoint_that_was_changed(log: Log, tmp_path: Path) -> None:
    log.append(numbered(0, 3))
    path = tmp_path / "log" / "public" / "checkpoint"
    right = path.read_text()
    path.write_text(right.replace("\n3\n", "\n2\n"))
    with pytest.raises(VerificationError, match="does not verify"):
        log.append([b"x"])
    with pytest.raises(VerificationError, match="checkpoint"):
        log.checkpoint()
    path.unlink()  # what the sentence tells the user to do
    assert log.append([b"x"])[0].index == 3
    assert fsck(tmp_path / "log", log.vkey, tmp_path / "keys" / "k") == []


def test_the_tree_root_is_that_of_the_entries(log: Log) -> None:
    log.append(numbered(0, 300))

    def mth(entries: list[bytes]) -> bytes:
        if len(entries) == 1:
            return leaf_hash(entries[0])
        k = 1 << (len(entries) - 1).bit_length() - 1
        return node_hash(mth(entries[:k]), mth(entries[k:]))

    assert mth(numbered(0, 300)) == log.head().root
