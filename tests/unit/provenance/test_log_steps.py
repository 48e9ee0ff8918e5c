"""Each step of an append fails, before or after it did its work; the log goes on and every entry is in it once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from nocere.core.errors import NocereError, WriteError
from nocere.provenance.log import Log, Writer, fsck
from nocere.provenance.log.published import Published
from nocere.provenance.log.signer import Signer
from nocere.provenance.log.store import Store

BASE = 250  # so that what follows crosses the border of the first tile
ENTRIES = [b"%d of the run" % (BASE + i) for i in range(8)]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A log of 250 entries."""
    with Log.create(tmp_path / "log", "log.example/steps", tmp_path / "k") as log:
        log.append([b"%d" % i for i in range(BASE)])
    return tmp_path


STEPS = {
    "commit": (Store, "commit"),
    "memory": (Signer, "_write"),
    "keys": (Published, "write_keys"),
    "tiles": (Published, "write_tiles"),
    "checkpoint": (Published, "write_checkpoint"),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("persisted", [False, True], ids=["failed", "failed but persisted"])
@pytest.mark.parametrize("reopened", [False, True], ids=["same process", "reopened"])
def test_a_step_that_failed(
    base: Path, monkeypatch: pytest.MonkeyPatch, step: str, persisted: bool, reopened: bool
) -> None:
    kind, name = STEPS[step]
    kept = getattr(kind, name)

    def failing(self: Any, *args: Any) -> None:
        if persisted:
            kept(self, *args)
        raise WriteError("Cannot write: planned.")

    log = Log.open(base / "log", base / "k")
    seen = [log.checkpoint()]
    keys = [str(BASE + i) for i in range(8)]
    with monkeypatch.context() as patch:
        patch.setattr(kind, name, failing)
        with pytest.raises(WriteError, match="planned"):
            log.append(ENTRIES[:5], keys[:5])
        seen.append(log.checkpoint())
        with pytest.raises(WriteError, match="planned"):  # it stays broken for a while
            log.append(ENTRIES[5:], keys[5:])
        seen.append(log.checkpoint())
    assert fsck(base / "log", key=base / "k") == []
    if reopened:
        log.close()
        log = Log.open(base / "log", base / "k")
    seen.append(log.checkpoint())
    receipts = log.append(ENTRIES, keys)
    assert len({r.index for r in receipts}) == 8
    assert log.size == BASE + 8
    for note in seen:  # every checkpoint that was ever published is one of this log's
        assert log.prove(0, note).entry == b"0"
    log.close()
    assert fsck(base / "log", key=base / "k") == []


def test_a_full_disk_is_said_and_nothing_is_lost(base: Path) -> None:
    """SQLite's own error for a full disk, by its own limit on pages."""
    with Log.open(base / "log", base / "k") as log:
        database = log.sequencer.store._db
        pages = database.execute("PRAGMA page_count").fetchone()[0]
        database.execute(f"PRAGMA max_page_count = {pages}")
        before = log.checkpoint()
        with pytest.raises(WriteError, match="the disk is full") as e:
            log.append([b"x" * 60_000] * 10)
        assert "Free some space" in str(e.value)
        assert log.checkpoint() == before
        database.execute(f"PRAGMA max_page_count = {pages * 1000}")
        assert log.append([b"x" * 60_000] * 10)[-1].index == BASE + 9
    assert fsck(base / "log", key=base / "k") == []


def test_a_folder_that_may_not_be_written(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> int:
        raise PermissionError(13, "Permission denied")

    with Log.open(base / "log", base / "k") as log:
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", refuse)
            with pytest.raises(WriteError, match="Permission denied"):
                log.append([b"x"], ["k"])
        assert log.append([b"x"], ["k"])[0].index == BASE


def test_a_writer_tells_every_caller_of_a_fault(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(self: Any, *args: Any) -> None:
        raise WriteError("Cannot write: planned.")

    with Log.open(base / "log", base / "k") as log, Writer(log, delay=0.05) as writer:
        with monkeypatch.context() as patch:
            patch.setattr(Published, "write_checkpoint", failing)
            futures = [writer.submit(b"%d" % i, f"w/{i}") for i in range(20)]
            errors = [future.exception() for future in futures]
        assert all(isinstance(e, NocereError) for e in errors)
        assert sorted(writer.submit(b"%d" % i, f"w/{i}").result().index for i in range(20)) == list(
            range(BASE, BASE + 20)
        )
