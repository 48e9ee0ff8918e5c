"""The log's database: entries, their idempotency keys, tiles and the signed head, in one SQLite file.

It alone decides what the log is: everything under `public/` can be written anew from it. Write-ahead log with
synchronous FULL: a committed transaction survives a power cut (https://www.sqlite.org/pragma.html#pragma_synchronous).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote

from nocere.core.errors import NocereError, UsageError, VerificationError, WriteError
from nocere.provenance.log.checkpoint import Checkpoint

DATABASE = "log.sqlite"
FORMAT = 1
_BUSY_SECONDS = 60.0
_SCHEMA = """
CREATE TABLE head (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  origin TEXT NOT NULL, size INTEGER NOT NULL, root BLOB NOT NULL,
  note TEXT NOT NULL,   -- the signed checkpoint of this size and root
  vkeys TEXT NOT NULL   -- verifier keys that must sign, one a line, oldest first
);
CREATE TABLE entries (i INTEGER PRIMARY KEY, entry BLOB NOT NULL);
CREATE TABLE keys (key TEXT PRIMARY KEY, i INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE tiles (level INTEGER NOT NULL, n INTEGER NOT NULL, hashes BLOB NOT NULL, PRIMARY KEY (level, n));
"""


@dataclass(frozen=True, slots=True)
class Head:
    """The newest signed state: checkpoint, its note, and the verifier keys that must sign."""

    checkpoint: Checkpoint
    note: str
    vkeys: tuple[str, ...]


def _told(path: Path, e: sqlite3.Error) -> NocereError:
    """What a user can do about an SQLite error."""
    name = getattr(e, "sqlite_errorname", "") or type(e).__name__
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return VerificationError(f"The database {path} is damaged ({e}).", "Restore the log from its backup.")
    if name.startswith("SQLITE_FULL"):
        return WriteError(
            f"Cannot write {path}: the disk is full.",
            "Free some space and run the same command again: nothing that was receipted is lost.",
        )
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return WriteError(f"Another process holds {path}.", "Let it finish, then run the same command again.")
    return WriteError(
        f"Cannot use {path}: {e} ({name}).", "Check the permissions of the folder and the health of the disk."
    )


class Store:
    """The open database. One thread at a time; do not carry it over a fork."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open an existing database.

        Raises:
            UsageError: there is none, or it is of another format.
            VerificationError: it is damaged.
            WriteError: the system refuses.
        """
        if not path.is_file():
            raise UsageError(f"There is no log database {path}.", "Create the log, or restore it from its backup.")
        self.path = path
        with self._errors():
            self._db = sqlite3.connect(
                f"file:{quote(str(path.absolute()))}?mode={'ro' if read_only else 'rw'}",
                uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False,
            )  # fmt: skip
        try:
            with self._errors():
                if not read_only:
                    self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = FULL")
                found = self._db.execute("PRAGMA user_version").fetchone()[0]
            if found != FORMAT:
                raise UsageError(f"{path} has format {found}; this version reads format {FORMAT}.")
        except BaseException:
            self._db.close()
            raise

    @classmethod
    def create(cls, path: Path, head: Head) -> Self:
        """Make the database of an empty log.

        Raises:
            WriteError: the system refuses.
        """
        try:
            path.touch(mode=0o600, exist_ok=False)
        except OSError as e:
            raise WriteError(f"Cannot write {path}: {e.strerror}.", "Choose another folder.") from e
        try:
            db = sqlite3.connect(path, isolation_level=None)
            try:
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = FULL")
                db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {FORMAT};")
                row = (head.checkpoint.origin, head.checkpoint.root, head.note, "\n".join(head.vkeys))
                db.execute("INSERT INTO head VALUES (1, ?, 0, ?, ?, ?)", row)
                db.execute("COMMIT")
            finally:
                db.close()
        except sqlite3.Error as e:
            raise _told(path, e) from e
        return cls(path)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as e:
            raise _told(self.path, e) from e

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; no other writer comes between. Durable when it ends without an error.

        Raises:
            WriteError: the system refuses, at any step. After a refused commit the transaction may or may not be
                in the database; both are consistent.
        """
        with self._errors():
            self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.commit()
        except BaseException:
            if self._db.in_transaction:
                with self._errors():
                    self._db.execute("ROLLBACK")
            raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Every read within sees the same state."""
        with self._errors():
            self._db.execute("BEGIN")
        try:
            yield
        finally:
            with self._errors():
                self._db.execute("ROLLBACK")

    def commit(self) -> None:
        """Make the open transaction durable."""
        with self._errors():
            self._db.execute("COMMIT")

    def head(self) -> Head:
        """The newest signed state."""
        with self._errors():
            row = self._db.execute("SELECT origin, size, root, note, vkeys FROM head").fetchone()
        if row is None:
            raise VerificationError(f"{self.path} holds no head: the log was never finished being created.")
        return Head(Checkpoint(row[0], row[1], row[2]), row[3], tuple(row[4].split("\n")))

    def advance(self, old: Head, new: Head) -> None:
        """Compare and swap: put `new` in the place of `old`.

        Raises:
            VerificationError: the database holds another head by now.
        """
        with self._errors():
            done = self._db.execute(
                "UPDATE head SET size = ?, root = ?, note = ?, vkeys = ? WHERE size = ? AND root = ?",
                (new.checkpoint.size, new.checkpoint.root, new.note, "\n".join(new.vkeys),
                 old.checkpoint.size, old.checkpoint.root),
            ).rowcount  # fmt: skip
        if done != 1:
            raise VerificationError(f"The head in {self.path} changed within a transaction.", "Run fsck on the log.")

    def add(self, start: int, entries: Sequence[bytes], keys: Mapping[str, int]) -> None:
        """Store entries from index `start` on, and the indices that keys stand for."""
        with self._errors():
            self._db.executemany("INSERT INTO entries VALUES (?, ?)", enumerate(entries, start))
            self._db.executemany("INSERT INTO keys VALUES (?, ?)", keys.items())

    def put_tiles(self, tiles: Mapping[tuple[int, int], bytes]) -> None:
        """Store tiles in place of their narrower former selves."""
        with self._errors():
            self._db.executemany(
                "INSERT OR REPLACE INTO tiles VALUES (?, ?, ?)", ((lv, n, data) for (lv, n), data in tiles.items())
            )

    def tile(self, level: int, n: int) -> bytes:
        """A tile as wide as it is.

        Raises:
            VerificationError: it is missing.
        """
        with self._errors():
            row = self._db.execute("SELECT hashes FROM tiles WHERE level = ? AND n = ?", (level, n)).fetchone()
        if row is None:
            raise VerificationError(f"The tile {level}/{n} is missing in {self.path}.", "Run fsck on the log.")
        return bytes(row[0])

    def places(self) -> Iterator[tuple[int, int]]:
        """Level and number of every tile."""
        with self._errors():
            yield from self._db.execute("SELECT level, n FROM tiles")

    def entries(self, start: int, stop: int) -> list[bytes]:
        """Entries `start` to `stop - 1`.

        Raises:
            VerificationError: one of them is missing.
        """
        with self._errors():
            rows = self._db.execute("SELECT entry FROM entries WHERE i >= ? AND i < ? ORDER BY i", (start, stop))
            found = [bytes(row[0]) for row in rows]
        if len(found) != stop - start:
            raise VerificationError(f"Entries are missing between {start} and {stop - 1} in {self.path}.")
        return found

    def find(self, key: str) -> int | None:
        """Index of the entry that was appended under this key."""
        with self._errors():
            row = self._db.execute("SELECT i FROM keys WHERE key = ?", (key,)).fetchone()
        return None if row is None else int(row[0])

    def problems(self) -> list[str]:
        """What SQLite's own check finds, and rows that no head covers."""
        with self._errors():
            found = [row[0] for row in self._db.execute("PRAGMA integrity_check") if row[0] != "ok"]
            size = self.head().checkpoint.size
            for table in ("entries", "keys"):
                query = f"SELECT count(*) FROM {table} WHERE i < 0 OR i >= ?"  # noqa: S608 two fixed names
                over = self._db.execute(query, (size,)).fetchone()[0]
                if over:
                    found.append(f"{over} rows of {table} lie outside the {size} entries of the head")
        return [f"{self.path}: {line}." for line in found]

    def copy_to(self, path: Path) -> None:
        """A consistent copy of the whole database in one new file, while others may write."""
        with self._errors():
            target = sqlite3.connect(path)
            try:
                self._db.backup(target)
                target.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
            finally:
                target.close()

    def close(self) -> None:
        """Close the connection."""
        with self._errors():
            self._db.close()
