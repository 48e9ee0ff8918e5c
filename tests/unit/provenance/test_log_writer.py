"""Group commit: every caller gets the receipt of its own entry, and one bad entry harms no other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nocere.core.errors import UsageError, WriteError
from nocere.provenance.log import Log, Writer, fsck
from nocere.provenance.log.store import Store


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with Log.create(tmp_path / "log", "log.example/writer", tmp_path / "k") as made:
        yield made


def test_many_threads_one_receipt_each(log: Log, tmp_path: Path) -> None:
    got: dict[bytes, int] = {}
    with Writer(log) as writer:

        def work(name: int) -> None:
            for i in range(50):
                entry = b"%d of %d" % (i, name)
                got[entry] = writer.submit(entry, f"{name}/{i}").result(60).index

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(got.values()) == list(range(400))
    assert {entry: i for i, entry in enumerate(log.entries())} == got
    assert fsck(tmp_path / "log", key=tmp_path / "k") == []


def test_a_key_conflict_fails_its_own_entry_only(log: Log) -> None:
    log.append([b"first"], ["a/1"])
    with Writer(log, delay=0.2) as writer:
        good, bad, same = writer.submit(b"x", "a/2"), writer.submit(b"not first", "a/1"), writer.submit(b"first", "a/1")
        assert good.result().index == 1
        assert same.result().index == 0
        with pytest.raises(UsageError, match="another entry"):
            bad.result()
    assert log.size == 2


def test_closed_it_has_appended_everything_and_takes_no_more(log: Log) -> None:
    writer = Writer(log)
    futures = [writer.submit(b"%d" % i) for i in range(5000)]
    writer.close()
    writer.close()
    assert [f.result().index for f in futures] == list(range(5000))
    with pytest.raises(UsageError, match="closed"):
        writer.submit(b"late")


def test_it_goes_on_after_the_disk_was_full(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Store) -> None:
        raise WriteError("Cannot write: the disk is full.")

    with Writer(log) as writer:
        with monkeypatch.context() as patch:
            patch.setattr(Store, "commit", full)
            with pytest.raises(WriteError, match="full"):
                writer.submit(b"x", "a/1").result()
        assert writer.submit(b"x", "a/1").result().index == 0
    assert list(log.entries()) == [b"x"]


def test_a_cancelled_entry_is_not_appended(log: Log) -> None:
    with Writer(log, delay=0.3) as writer:
        kept, gone = writer.submit(b"kept"), writer.submit(b"gone")
        assert gone.cancel()
        assert kept.result().index == 0
    assert list(log.entries()) == [b"kept"]


def test_too_long_is_said_at_once_and_a_reader_cannot_write(log: Log, tmp_path: Path) -> None:
    with Writer(log) as writer, pytest.raises(UsageError, match="65,535"):
        writer.submit(b"x" * 65536)
    with pytest.raises(UsageError, match="reading only"):
        Writer(Log.open(tmp_path / "log"))
