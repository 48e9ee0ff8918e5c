"""The database by itself, without the lock that the key gives: one writer at a time, compare and swap, clear errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from nocere.core.errors import UsageError, VerificationError, WriteError
from nocere.provenance.log.checkpoint import Checkpoint
from nocere.provenance.log.store import Head, Store
from nocere.provenance.merkle import EMPTY_ROOT, leaf_hash

EMPTY = Head(Checkpoint("o", 0, EMPTY_ROOT), "note", ("vkey",))


def grown(entry: bytes) -> Head:
    return Head(Checkpoint("o", 1, leaf_hash(entry)), "note", ("vkey",))


def test_one_transaction_at_a_time(tmp_path: Path) -> None:
    one = Store.create(tmp_path / "db", EMPTY)
    two = Store(tmp_path / "db")
    two._db.execute("PRAGMA busy_timeout = 20")
    with one.transaction():
        with pytest.raises(WriteError, match="Another process"), two.transaction():
            pass
        one.advance(EMPTY, grown(b"a"))
    with two.transaction():
        assert two.head() == grown(b"a")
    one.close()
    two.close()


def test_compare_and_swap(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "db", EMPTY)
    with store.transaction():
        store.advance(EMPTY, grown(b"a"))

    def again() -> None:
        with store.transaction():
            store.add(0, [b"b"], {"k": 0})
            store.advance(EMPTY, grown(b"b"))

    with pytest.raises(VerificationError, match="changed within"):
        again()
    assert store.head() == grown(b"a")
    assert store.find("k") is None
    store.close()


def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "db", EMPTY)

    def fail() -> None:
        with store.transaction():
            store.add(0, [b"a"], {"k": 0})
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert store.find("k") is None
    with pytest.raises(VerificationError, match="missing between 0 and 0"):
        store.entries(0, 1)
    store.close()


def test_what_is_no_database_of_ours(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no log database"):
        Store(tmp_path / "db")
    assert not (tmp_path / "db").exists()
    (tmp_path / "db").touch()
    with pytest.raises(UsageError, match="format 0"):
        Store(tmp_path / "db")
    with pytest.raises(WriteError, match="File exists"):
        Store.create(tmp_path / "db", EMPTY)
    (tmp_path / "noise").write_bytes(b"noise" * 1000)
    with pytest.raises(VerificationError, match="damaged"):
        Store(tmp_path / "noise")
