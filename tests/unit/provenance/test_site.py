"""The site: outbox, crashes, clocks, erasure, backup, fsck."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.sites import CT, MR, ORIGIN, edited, one_pixel, route, site_at

from nocere.core.errors import DataError, UsageError, VerificationError, WriteError
from nocere.provenance.capture import capture
from nocere.provenance.check import check_site
from nocere.provenance.gate.gate import Gate
from nocere.provenance.investigate.custody import bracket, timeline
from nocere.provenance.keep import backup_site, restore_site
from nocere.provenance.log.log import Log
from nocere.provenance.records import seal
from nocere.provenance.site import Draft, Site
from nocere.provenance.vault import Vault


def quiet(what: str, done: int, total: int) -> None:
    del what, done, total


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made, _ = site_at(tmp_path / "s", CT)
    yield made
    made.close()


def test_a_site_is_never_made_by_opening(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nocere log init"):
        Site.open(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("x")
    with pytest.raises(UsageError, match="not an empty folder"):
        Site.create(tmp_path / "taken", ORIGIN)


def test_nothing_half_made_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise WriteError("No space left.")

    monkeypatch.setattr(Log, "create", full)
    with pytest.raises(WriteError):
        Site.create(tmp_path / "s", ORIGIN)
    assert list(tmp_path.iterdir()) == []


def test_private_parts_are_private(site: Site) -> None:
    for path in (site.folder / "private").rglob("*"):
        assert not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO), path
    assert stat.S_IMODE((site.folder / "private").stat().st_mode) == 0o700


def test_a_record_that_the_log_did_not_take_is_delivered_later(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Any:
        raise WriteError("No space left.")

    before = site.log.size
    with monkeypatch.context() as m:
        m.setattr(Log, "append", full)
        with pytest.raises(WriteError):
            capture(site, [("a", lambda: MR)])
    assert site.log.size == before
    assert len(site.vault.waiting()) == 1
    with Site.open(site.folder) as again:
        assert again.log.size == before + 1
        assert again.vault.waiting() == []
        assert check_site(site.folder, quiet)[1] == []


def test_a_record_that_the_log_took_is_not_added_twice(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log has it, the vault does not know: a crash between the two."""

    def lost(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as m:
        m.setattr(Vault, "delivered", lost)
        with pytest.raises(KeyboardInterrupt):
            capture(site, [("a", lambda: MR)])
    size = site.log.size
    assert len(site.vault.waiting()) == 1
    with Site.open(site.folder) as again:
        assert again.log.size == size
        row = again.vault.at(size - 1)
        assert row is not None
        assert row.label == "a"
    assert check_site(site.folder, quiet)[1] == []


def test_one_bad_file_stops_no_other(site: Site) -> None:
    def gone() -> bytes:
        raise DataError("Cannot read it.")

    done = capture(site, [("bad", lambda: CT[:300]), ("good", lambda: MR), ("gone", gone)])
    assert [c.index is not None for c in done] == [False, True, False]
    assert all(isinstance(c.problem, DataError) for c in done if c.index is None)


def test_the_order_is_proven_and_clocks_are_claims(site: Site) -> None:
    site.clock = lambda: datetime(1999, 1, 1, tzinfo=UTC)
    (done,) = capture(site, [("a", lambda: MR)])
    assert done.index is not None
    site.clock = lambda: datetime.now(UTC)
    site.write("audit", [Draft("file", {})])
    b = bracket(site, done.index)
    assert b.after == done.index
    assert b.clock.startswith("1999")
    assert b.covered_by == done.index + 1


def test_a_clock_that_is_behind_the_log_is_told(site: Site) -> None:
    assert site.clock_problem() == ""
    site.clock = lambda: datetime.now(UTC) - timedelta(hours=3)
    assert "180 minutes behind" in site.clock_problem()


def test_a_forged_checkpoint_claim_is_found(site: Site) -> None:
    """A record that claims to have seen a root that the log never had, so as to look newer than it is."""
    head = site.log.head()
    fake = type(head)(head.origin, head.size, b"\x01" * 32)
    site.log.head = lambda: fake  # type: ignore[method-assign]
    (index,) = site.write("audit", [Draft("file", {})])
    del site.log.head
    assert any("never had" in p for p in check_site(site.folder, quiet)[1])
    with pytest.raises(VerificationError, match="never had"):
        bracket(site, index)


def test_erasing_closes_the_commitments_for_ever(site: Site) -> None:
    row = site.vault.at(5)
    assert row is not None
    assert row.salt is not None
    salt, secret = row.salt, (row.clear or {})["f2"].encode()
    packed = zlib.compress((row.detail or "").encode(), 1)
    size = site.log.size
    site.vault.erase(5)
    # At once, the write-ahead log included, and not only when the site is closed in good order.
    raw = b"".join(p.read_bytes() for p in (site.folder / "private").glob("vault*"))
    site.close()
    assert salt not in raw
    assert secret not in raw
    # The detail is compressed in the file, and the label may be a path with a name in it.
    with closing(sqlite3.connect(site.folder / "private" / "vault.sqlite")) as db:
        left = db.execute("SELECT salt, clear, detail, label FROM record WHERE idx = 5").fetchall()
    assert left == [(None, None, None, "")]
    assert not any(packed[i : i + 32] in raw for i in range(0, len(packed) - 32, 32))
    assert check_site(site.folder, quiet) == (size, [])
    with Site.open(site.folder) as again, pytest.raises(UsageError, match="no secrets"):
        again.vault.erase(5)


def test_erasing_a_capture_erases_what_was_written_about_it(site: Site) -> None:
    with Gate(site, route(site)) as gate:
        about = gate.open(CT).verdict.record.result()
    row = site.vault.at(about)
    assert row is not None and row.salt is not None
    assert site.erase(5) == [5, about]
    left = [site.vault.at(i) for i in (5, about)]
    assert [(r.salt, r.clear) for r in left if r] == [(None, None)] * 2
    raw = b"".join(p.read_bytes() for p in (site.folder / "private").glob("vault*"))
    assert row.salt not in raw


def test_two_writers_of_one_agent_may_deliver_in_another_order(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counters are given in the vault and places in the log: between the two another process may come first."""
    append = site._append
    monkeypatch.setattr(site, "_append", lambda rows: append(rows[::-1]))
    first, second = site.write("audit", [Draft("bundle", {"manifest": c * 64}) for c in "ab"])
    assert first == second + 1
    assert check_site(site.folder, quiet) == (site.log.size, [])


def test_fsck_misses_a_database_that_is_gone(site: Site) -> None:
    site.close()
    (site.folder / "log" / "log.sqlite").unlink()
    assert any("database" in p and "is missing" in p for p in check_site(site.folder, quiet)[1])


def test_fsck_names_what_is_wrong(site: Site) -> None:
    site.close()
    assert check_site(site.folder, quiet)[1] == []
    with Site.open(site.folder) as again, again.vault.writing():
        again.vault._db.execute("UPDATE record SET clear = replace(clear, 'a', 'b') WHERE idx = 5")
    assert any("record 5" in p for p in check_site(site.folder, quiet)[1])
    tile = next((site.folder / "log" / "public" / "tile" / "entries").rglob("*.p/*"))
    tile.write_bytes(tile.read_bytes()[:-3])
    assert check_site(site.folder, quiet)[1]


def test_a_missing_record_of_an_agent_is_found(site: Site) -> None:
    """Somebody takes the newest record of an agent out of the vault, so that the next one repeats its counter."""
    with site.vault.writing():
        site.vault._db.execute("DELETE FROM record WHERE idx = 5")
        site.vault._db.execute(
            "INSERT INTO record VALUES ('capture', 7, NULL, 'heartbeat', x'00', ?, NULL, NULL, NULL, '')", ("b" * 64,)
        )
        site.vault._db.execute("UPDATE record SET idx = 999 WHERE counter = 7")
    site.write("capture", [Draft("heartbeat", {})])
    problems = check_site(site.folder, quiet)[1]
    assert any("one is missing" in p for p in problems)
    assert any("no row of record 5" in p for p in problems)


def test_a_chain_that_was_tampered_with_is_found(site: Site) -> None:
    """A record that is in the log twice, and one that follows on another record than the agent's last one."""
    body = dict(site.record(5).body)
    site.log.append([site.record(5).entry, seal({**body, "counter": 1, "prev": "b" * 64}, site.key("capture"))])
    problems = check_site(site.folder, quiet)[1]
    size = site.log.size
    assert f"Record {size - 2} repeats counter 0 of capture." in problems
    assert f"Record {size - 1} does not follow on record 0 of capture: one is missing." in problems


def test_a_lost_database_and_vault_come_back(site: Site, tmp_path: Path) -> None:
    backup_site(site.folder, tmp_path / "copy")
    (late,) = capture(site, [("late", lambda: MR)])
    size = site.log.size
    site.close()
    for name in ("log/log.sqlite", "log/log.sqlite-wal", "log/log.sqlite-shm", "private/vault.sqlite"):
        (site.folder / name).unlink(missing_ok=True)
    for left in (site.folder / "private").glob("vault.sqlite-*"):
        left.unlink()
    assert restore_site(tmp_path / "copy", site.folder) == size
    with Site.open(site.folder) as again:
        # The record is there, its secrets were in no backup; new records go on after it.
        assert again.verified(late.index or 0)
        row = again.vault.at(late.index or 0)
        assert row is not None
        assert row.salt is None
        (index,) = again.write("capture", [Draft("heartbeat", {})])
        assert index == size
    assert check_site(site.folder, quiet)[1] == []


def test_an_old_backup_does_not_fork_the_log(site: Site, tmp_path: Path) -> None:
    backup_site(site.folder, tmp_path / "copy")
    capture(site, [("late", lambda: MR)])
    site.close()
    shutil.rmtree(site.folder / "log" / "public")
    for name in ("log/log.sqlite", "log/log.sqlite-wal", "log/log.sqlite-shm"):
        (site.folder / name).unlink(missing_ok=True)
    with pytest.raises(VerificationError, match="reading only"):
        restore_site(tmp_path / "copy", site.folder)
    with pytest.raises(VerificationError):
        Site.open(site.folder)


def test_restore_wants_something_to_be_lost(site: Site, tmp_path: Path) -> None:
    backup_site(site.folder, tmp_path / "copy")
    with pytest.raises(UsageError, match="Neither"):
        restore_site(tmp_path / "copy", site.folder)
    with pytest.raises(UsageError, match="no backup"):
        restore_site(tmp_path, site.folder)
    with pytest.raises(UsageError, match="not an empty"):
        backup_site(site.folder, tmp_path / "copy")


def test_the_log_key_can_be_rotated_and_the_old_one_retired(site: Site) -> None:
    old = site.log.vkey
    new = site.rotate()
    assert old != new
    site.close()
    with Site.open(site.folder) as again:
        again.write("audit", [Draft("file", {})])
        again.retire()
    with Site.open(site.folder) as again:
        again.write("audit", [Draft("file", {})])
        assert again.log.vkeys == [new]
        assert any(b'"action":"log-key"' in e for e in again.log.entries())
    assert check_site(site.folder, quiet)[1] == []


def test_the_timeline_has_every_showing(site: Site) -> None:
    changed = edited(CT, one_pixel)
    with Gate(site, route(), alarm=lambda _: None) as gate:
        for content in (CT, changed, CT):
            gate.open(content).verdict.record.result()
    events = timeline(site, 5)
    assert [e.what for e in events] == ["captured", *["shown to the gate"] * 3]
    assert "PIXELS-CHANGED: refused" in events[2].told
    assert [e.index for e in events] == sorted(e.index for e in events)


CAPTURER = """
import sys
import zlib
from pathlib import Path
from nocere.provenance.capture import capture
from nocere.provenance.site import Site
from tests.sites import CT, edited
with Site.open(Path(sys.argv[1])) as site:
    for i in range(15):
        content = edited(CT, lambda ds: setattr(ds, "PatientID", sys.argv[2] + str(i)))
        assert capture(site, [(str(i), lambda: content)])[0].index is not None
"""


def test_two_processes_capture_at_once(site: Site) -> None:
    site.close()
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    children = [
        subprocess.Popen([sys.executable, "-c", CAPTURER, str(site.folder), name], env=env) for name in ("a", "b")
    ]
    assert [c.wait() for c in children] == [0, 0]
    assert check_site(site.folder, quiet) == (7 + 30, [])
