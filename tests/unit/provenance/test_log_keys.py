"""What the key remembers, backups that must not fork the log, and the change to a new key."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from nocere.core.errors import UsageError, VerificationError
from nocere.provenance.log import Log, backup, evidence_text, fsck, restore, verify_evidence
from nocere.provenance.log.checkpoint import Checkpoint
from nocere.provenance.log.note import SigningKey, sign_note
from nocere.provenance.log.signer import Signer
from nocere.provenance.merkle import EMPTY_ROOT, leaf_hash


def make(place: Path, n: int = 3) -> None:
    with Log.create(place / "log", "log.example/keys", place / "k") as log:
        log.append([b"entry %d" % i for i in range(n)], [f"a/{i}" for i in range(n)])


def lose_database(place: Path) -> None:
    for path in (place / "log").glob("log.sqlite*"):
        path.unlink()


def key_of(entry: bytes) -> str:
    return "a/" + entry.decode().split()[1]


def test_the_signer_refuses_what_does_not_extend_its_memory(tmp_path: Path) -> None:
    signer = Signer.create(tmp_path / "k", Checkpoint("o", 0, EMPTY_ROOT))
    one = Checkpoint("o", 1, leaf_hash(b"a"))
    signer.release(one, lambda old, new: [])
    assert Signer(tmp_path / "k").memory() == one
    with pytest.raises(VerificationError, match="set back"):
        signer.sign(Checkpoint("o", 0, EMPTY_ROOT), lambda old, new: [])
    with pytest.raises(VerificationError, match="does not extend"):
        signer.sign(Checkpoint("o", 1, leaf_hash(b"b")), lambda old, new: [])
    with pytest.raises(VerificationError, match="does not extend"):
        signer.sign(Checkpoint("o", 2, leaf_hash(b"b")), lambda old, new: [leaf_hash(b"c")])
    with pytest.raises(VerificationError, match="belongs to the log"):
        signer.sign(Checkpoint("p", 1, leaf_hash(b"a")), lambda old, new: [])
    assert signer.memory() == one


@pytest.mark.parametrize("how", ["gone", "changed", "another key's"])
def test_without_its_memory_the_key_does_not_sign(tmp_path: Path, how: str) -> None:
    make(tmp_path)
    memory = tmp_path / "k.memory"
    if how == "gone":
        memory.unlink()
    elif how == "changed":
        memory.write_text(memory.read_text().replace("\n3\n", "\n2\n"))
    else:
        Log.create(tmp_path / "other", "log.example/keys", tmp_path / "k2").close()
        shutil.copy(tmp_path / "k2.memory", memory)
    with pytest.raises(VerificationError, match="memory"):
        Log.open(tmp_path / "log", tmp_path / "k")
    assert Log.open(tmp_path / "log").size == 3


def test_a_database_put_back_by_hand_refuses_to_sign(tmp_path: Path) -> None:
    make(tmp_path)
    backup(tmp_path / "log", tmp_path / "b")
    with Log.open(tmp_path / "log", tmp_path / "k") as log:
        log.append([b"promised"])
    before = (tmp_path / "log" / "public" / "checkpoint").read_bytes()
    lose_database(tmp_path)
    shutil.copy(tmp_path / "b", tmp_path / "log" / "log.sqlite")
    with pytest.raises(VerificationError, match="set back"):
        Log.open(tmp_path / "log", tmp_path / "k")
    assert (tmp_path / "log" / "public" / "checkpoint").read_bytes() == before


def test_the_memory_alone_refuses_where_nothing_is_published(tmp_path: Path) -> None:
    make(tmp_path)
    backup(tmp_path / "log", tmp_path / "b")
    with Log.open(tmp_path / "log", tmp_path / "k") as log:
        log.append([b"promised"])
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(tmp_path / "b", tmp_path / "elsewhere" / "log.sqlite")
    with pytest.raises(VerificationError, match="set back"):
        Log.open(tmp_path / "elsewhere", tmp_path / "k")


def test_what_is_published_refuses_where_memory_and_database_were_set_back_together(tmp_path: Path) -> None:
    make(tmp_path)
    backup(tmp_path / "log", tmp_path / "b")
    shutil.copy(tmp_path / "k.memory", tmp_path / "m")
    with Log.open(tmp_path / "log", tmp_path / "k") as log:
        log.append([b"promised"])
    lose_database(tmp_path)
    shutil.copy(tmp_path / "b", tmp_path / "log" / "log.sqlite")
    shutil.copy(tmp_path / "m", tmp_path / "k.memory")
    with pytest.raises(VerificationError, match="has 4 entries, the database only 3"):
        Log.open(tmp_path / "log", tmp_path / "k")


def test_another_history_is_neither_remembered_nor_published(tmp_path: Path) -> None:
    """Memory and database set back, and a longer second history signed elsewhere: the published log stops it here."""
    make(tmp_path)
    backup(tmp_path / "log", tmp_path / "b")
    shutil.copy(tmp_path / "k.memory", tmp_path / "m")
    with Log.open(tmp_path / "log", tmp_path / "k") as log:
        log.append([b"promised"])
    lose_database(tmp_path)
    shutil.copy(tmp_path / "m", tmp_path / "k.memory")
    restore(tmp_path / "b", tmp_path / "fork", tmp_path / "k")
    with Log.open(tmp_path / "fork", tmp_path / "k") as fork:
        fork.append([b"another", b"history"])
    shutil.copy(tmp_path / "fork" / "log.sqlite", tmp_path / "log" / "log.sqlite")
    shutil.copy(tmp_path / "m", tmp_path / "k.memory")
    with pytest.raises(VerificationError, match="another log than the published"):
        Log.open(tmp_path / "log", tmp_path / "k")
    assert (tmp_path / "k.memory").read_bytes() == (tmp_path / "m").read_bytes()


def test_a_copy_of_the_log_cannot_go_its_own_way(tmp_path: Path) -> None:
    make(tmp_path)
    shutil.copytree(tmp_path / "log", tmp_path / "copy")
    with Log.open(tmp_path / "log", tmp_path / "k") as log, Log.open(tmp_path / "copy", tmp_path / "k") as copy:
        log.append([b"one way"])
        with pytest.raises(VerificationError, match="set back"):
            copy.append([b"another way"])
        with pytest.raises(VerificationError):
            copy.append([b"another way", b"and longer"])


@pytest.mark.parametrize("n", [0, 3, 255, 256, 300])
def test_a_backup_is_brought_forward_from_the_published_tiles(tmp_path: Path, n: int) -> None:
    make(tmp_path, n)
    backup(tmp_path / "log", tmp_path / "b")
    with Log.open(tmp_path / "log", tmp_path / "k") as log:
        log.append([b"entry %d" % i for i in range(n, n + 600)], [f"a/{i}" for i in range(n, n + 600)])
        checkpoint = log.checkpoint()
    lose_database(tmp_path)
    assert restore(tmp_path / "b", tmp_path / "log", tmp_path / "k", key_of) == 600
    assert fsck(tmp_path / "log", key=tmp_path / "k") == []
    with Log.open(tmp_path / "log", tmp_path / "k") as log:
        assert log.checkpoint() == checkpoint
        assert log.append([b"entry %d" % (n + 7)], [f"a/{n + 7}"])[0].index == n + 7
        assert log.append([b"new"])[0].index == n + 600


def test_a_newest_backup_alone_restores_everything(tmp_path: Path) -> None:
    make(tmp_path, 300)
    backup(tmp_path / "log", tmp_path / "b")
    shutil.rmtree(tmp_path / "log")
    assert restore(tmp_path / "b", tmp_path / "log", tmp_path / "k") == 0
    assert fsck(tmp_path / "log", key=tmp_path / "k") == []


def test_an_old_backup_alone_is_for_reading_only(tmp_path: Path) -> None:
    make(tmp_path)
    backup(tmp_path / "log", tmp_path / "b")
    with Log.open(tmp_path / "log", tmp_path / "k") as log:
        log.append([b"promised"])
    shutil.rmtree(tmp_path / "log")
    with pytest.raises(VerificationError, match="reading only"):
        restore(tmp_path / "b", tmp_path / "log", tmp_path / "k")
    reader = Log.open(tmp_path / "log")
    assert list(reader.entries()) == [b"entry 0", b"entry 1", b"entry 2"]
    assert verify_evidence(evidence_text(reader.prove(1)), reader.vkey).entry == b"entry 1"
    with pytest.raises(VerificationError, match="set back"):
        Log.open(tmp_path / "log", tmp_path / "k")


def test_changed_tiles_do_not_bring_a_backup_forward(tmp_path: Path) -> None:
    make(tmp_path)
    backup(tmp_path / "log", tmp_path / "b")
    with Log.open(tmp_path / "log", tmp_path / "k") as log:
        log.append([b"promised"])
    lose_database(tmp_path)
    path = tmp_path / "log" / "public" / "tile" / "entries" / "000.p" / "4"
    path.write_bytes(path.read_bytes().replace(b"promised", b"mislaid."))
    with pytest.raises(VerificationError, match=r"000.p/4"):
        restore(tmp_path / "b", tmp_path / "log", tmp_path / "k")
    assert not list((tmp_path / "log").glob("log.sqlite*"))


def test_a_changed_or_foreign_backup_is_refused(tmp_path: Path) -> None:
    make(tmp_path)
    backup(tmp_path / "log", tmp_path / "b")
    Log.create(tmp_path / "other", "log.example/other", tmp_path / "k2").close()
    with pytest.raises(UsageError, match="of the log"):
        restore(tmp_path / "b", tmp_path / "new", tmp_path / "k2")
    with pytest.raises(UsageError, match="already"):
        restore(tmp_path / "b", tmp_path / "log", tmp_path / "k")
    with pytest.raises(UsageError, match="exists already"):
        backup(tmp_path / "log", tmp_path / "b")
    with pytest.raises(UsageError, match="no log database"):
        restore(tmp_path / "none", tmp_path / "new", tmp_path / "k")
    data = (tmp_path / "b").read_bytes()
    assert b"\n3\n" in data
    (tmp_path / "b").write_bytes(data.replace(b"\n3\n", b"\n2\n"))
    with pytest.raises(VerificationError):
        restore(tmp_path / "b", tmp_path / "new", tmp_path / "k")
    (tmp_path / "b").write_bytes(b"no database at all" * 100)
    with pytest.raises(VerificationError, match="damaged"):
        restore(tmp_path / "b", tmp_path / "new", tmp_path / "k")
    assert not list((tmp_path / "new").glob("log.sqlite*"))


def spoil(database: Path, statement: str) -> None:
    db = sqlite3.connect(database)
    with db:
        db.execute(statement)
    db.close()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE head SET root = zeroblob(32)", "not the one in its own signed checkpoint"),
        (
            "UPDATE head SET note = replace(note, char(10) || '3' || char(10), char(10) || '4' || char(10))",
            "does not verify",
        ),
        ("UPDATE tiles SET hashes = zeroblob(96)", "tile/0/000.p/3"),
        ("UPDATE entries SET entry = x'00' WHERE i = 1", "tile/0/000.p/3"),
        ("DELETE FROM entries WHERE i = 1", "missing"),
    ],
)
def test_a_backup_with_a_changed_row_is_refused(tmp_path: Path, statement: str, said: str) -> None:
    make(tmp_path)
    backup(tmp_path / "log", tmp_path / "b")
    with Log.open(tmp_path / "log", tmp_path / "k") as log:
        log.append([b"promised"])
    lose_database(tmp_path)
    spoil(tmp_path / "b", statement)
    with pytest.raises(VerificationError, match=said):
        restore(tmp_path / "b", tmp_path / "log", tmp_path / "k")
    assert not list((tmp_path / "log").glob("log.sqlite*"))


def test_published_files_of_another_history_do_not_bring_a_backup_forward(tmp_path: Path) -> None:
    """Another log of the same name and key: one of the two was forged with the key."""
    make(tmp_path)
    backup(tmp_path / "log", tmp_path / "b")
    with Log.create(tmp_path / "other", "log.example/keys", tmp_path / "k2") as other:
        other.append([b"not", b"the", b"same", b"entries"])
        head = other.head()
    key = SigningKey.parse((tmp_path / "k").read_text())
    (tmp_path / "other" / "public" / "checkpoint").write_text(sign_note(head.text, [key]))
    for path in (tmp_path / "other").glob("log.sqlite*"):
        path.unlink()
    with pytest.raises(VerificationError, match="does not extend the backup"):
        restore(tmp_path / "b", tmp_path / "other", tmp_path / "k")
    assert not list((tmp_path / "other").glob("log.sqlite*"))


def test_a_key_that_has_not_signed_what_is_published_does_not_restore(tmp_path: Path) -> None:
    make(tmp_path)
    with Log.open(tmp_path / "log", tmp_path / "k") as log:
        backup(tmp_path / "log", tmp_path / "b")
        Signer.create(tmp_path / "new", log.head())  # where a rotation was cut off
    lose_database(tmp_path)
    with pytest.raises(VerificationError, match="Not all of the keys"):
        restore(tmp_path / "b", tmp_path / "log", [tmp_path / "k", tmp_path / "new"])
    assert restore(tmp_path / "b", tmp_path / "log", tmp_path / "k") == 0


def test_a_write_ahead_log_that_was_left_behind_is_not_played(tmp_path: Path) -> None:
    make(tmp_path)
    backup(tmp_path / "log", tmp_path / "b")
    lose_database(tmp_path)
    (tmp_path / "log" / "log.sqlite-wal").write_bytes(b"of another database")
    with pytest.raises(UsageError, match=r"log\.sqlite-wal already"):
        restore(tmp_path / "b", tmp_path / "log", tmp_path / "k")


def test_two_keys_sign_in_the_overlap_then_the_old_one_never_again(tmp_path: Path) -> None:
    make(tmp_path)
    old, new = tmp_path / "k", tmp_path / "new"
    with Log.open(tmp_path / "log", old) as log:
        old_vkey = log.vkey
        before = evidence_text(log.prove(1))
        log.rotate(new)
        log.append([b"overlap"])
        both = evidence_text(log.prove(3))
        new_vkey = log.vkey
        assert log.vkeys == [new_vkey, old_vkey]
    for vkey in (old_vkey, new_vkey):
        assert verify_evidence(both, vkey).entry == b"overlap"
    for keys in (old, new, [new, old]):
        with pytest.raises(UsageError, match="must be signed by the keys"):
            Log.open(tmp_path / "log", keys)
    assert fsck(tmp_path / "log", new_vkey, [old, new]) == []
    with Log.open(tmp_path / "log", [old, new]) as log:
        log.retire()
        log.append([b"after"])
        after = evidence_text(log.prove(4))
        with pytest.raises(UsageError, match="only key"):
            log.retire()
    assert verify_evidence(after, new_vkey).index == 4
    assert verify_evidence(before, old_vkey).index == 1
    with pytest.raises(VerificationError, match="not signed by any"):
        verify_evidence(after, old_vkey)
    assert fsck(tmp_path / "log", new_vkey, new) == []
    with pytest.raises(UsageError, match="must be signed by the keys"):
        Log.open(tmp_path / "log", old)


def test_an_old_backup_and_the_retired_key_make_no_second_history(tmp_path: Path) -> None:
    make(tmp_path)
    with Log.open(tmp_path / "log", tmp_path / "k") as log:
        backup(tmp_path / "log", tmp_path / "b")
        log.rotate(tmp_path / "new")
        log.retire()
        log.append([b"more"])
    with pytest.raises(VerificationError, match="retired"):
        restore(tmp_path / "b", tmp_path / "elsewhere", tmp_path / "k")
    lose_database(tmp_path)
    assert restore(tmp_path / "b", tmp_path / "log", tmp_path / "new") == 1
    assert fsck(tmp_path / "log", key=tmp_path / "new") == []


def test_a_process_that_knows_only_the_old_key_stops(tmp_path: Path) -> None:
    make(tmp_path)
    with Log.open(tmp_path / "log", tmp_path / "k") as one, Log.open(tmp_path / "log", tmp_path / "k") as two:
        one.rotate(tmp_path / "new")
        with pytest.raises(UsageError, match="must be signed by the keys"):
            two.append([b"x"])
        one.retire()
        with pytest.raises(UsageError, match="must be signed by the keys"):
            two.append([b"x"])
        assert one.append([b"x"])[0].index == 3


@pytest.mark.parametrize("step", ["after the old key", "after the database"])
def test_a_retirement_that_was_cut_off_is_finished(tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path)
    keys = [tmp_path / "k", tmp_path / "new"]
    with Log.open(tmp_path / "log", keys[0]) as log:
        log.rotate(keys[1])
        log.append([b"x"])
        name = "_sign_again" if step == "after the old key" else "publish"
        calls = iter([None, 1] if name == "publish" else [1])
        kept = getattr(type(log.sequencer), name)

        def stop(*args: object) -> object:
            if next(calls):
                raise KeyboardInterrupt
            return kept(*args)

        with monkeypatch.context() as patch:
            patch.setattr(type(log.sequencer), name, stop)
            with pytest.raises(KeyboardInterrupt):
                log.retire()
    left = keys if step == "after the old key" else keys[1]
    with Log.open(tmp_path / "log", left) as log:
        assert len(log.vkeys) == 1
        assert log.append([b"y"])[0].index == 4
    assert fsck(tmp_path / "log", key=keys[1]) == []
