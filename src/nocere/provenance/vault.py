"""What must not be in the log: salts, digests in clear, tile leaves, attribute values. One erasable row a record.

The vault is also the outbox. A record is signed and stored here first, together with its counter, and only then sent to
the log, under a key that makes a second delivery harmless; a crash in between loses nothing and repeats nothing.
Nothing here is trusted: the gate compares every digest with the commitment in the log.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nocere.core.canonical import dumps
from nocere.core.errors import DataError, UsageError, WriteError

_SCHEMA = """
CREATE TABLE record (
  agent TEXT NOT NULL, counter INTEGER NOT NULL, idx INTEGER UNIQUE, type TEXT NOT NULL, entry BLOB NOT NULL,
  hash TEXT NOT NULL, salt BLOB, clear TEXT, detail BLOB, label TEXT NOT NULL, PRIMARY KEY (agent, counter)
) STRICT;
CREATE TABLE tier (name TEXT NOT NULL, value TEXT NOT NULL, agent TEXT NOT NULL, counter INTEGER NOT NULL) STRICT;
CREATE INDEX tier_value ON tier (name, value);
CREATE INDEX tier_record ON tier (agent, counter);
CREATE TABLE key_record (idx INTEGER PRIMARY KEY, entry BLOB NOT NULL) STRICT;
CREATE TABLE scanned (size INTEGER NOT NULL) STRICT;
INSERT INTO scanned VALUES (0);
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One record with its secrets.

    Attributes:
        index: place in the log, None while it waits for delivery.
        salt: 32 bytes; None when the record has no commitments or the row was erased.
        clear: name -> value behind every commitment.
        finds: further name -> value pairs under which the row is found; written, not read back.
        detail: the fingerprint as JSON, with tile leaves and attribute values, for naming a difference.
        label: what the operator called the input (a file name may hold a patient's name: it stays here).
    """

    agent: str
    counter: int
    index: int | None
    type: str
    entry: bytes
    hash: str
    salt: bytes | None = None
    clear: Mapping[str, str] | None = None
    finds: Mapping[str, str] = field(default_factory=dict)
    detail: str | None = None
    label: str = ""


class Vault:
    """A SQLite file, readable by its owner only."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise DataError(f"The vault {path} is missing.", "Restore it from its backup.")
        self.path = path
        self._db = sqlite3.connect(path, isolation_level=None, timeout=60.0, check_same_thread=False)
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA secure_delete = ON")  # erased means overwritten

    @classmethod
    def create(cls, path: Path) -> Vault:
        """A new, empty vault.

        Raises:
            UsageError: there is one already.
        """
        if path.exists():
            raise UsageError(f"There is a vault at {path} already.", "Open it, or choose another folder.")
        path.touch(mode=0o600)
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.executescript(_SCHEMA)
        return cls(path)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One durable transaction.

        Raises:
            WriteError: it could not be written; nothing of it stays.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.DatabaseError as e:
            hint = "Free some space or check the permissions, then run the same command again."
            raise WriteError(f"Cannot write the vault {self.path}: {e}.", hint) from e

    # --- outbox ------------------------------------------------------------------------------------------------

    def last(self, agent: str) -> tuple[int, str]:
        """Counter and hash of the agent's newest record; (-1, zeros) before its first."""
        found = self._db.execute(
            "SELECT counter, hash FROM record WHERE agent = ? ORDER BY counter DESC LIMIT 1", (agent,)
        ).fetchone()
        return (int(found[0]), str(found[1])) if found else (-1, "0" * 64)

    def stage(self, rows: Sequence[Row]) -> None:
        """Store records that wait for delivery; call inside `writing`."""
        for r in rows:
            clear = None if r.clear is None else dumps(r.clear).decode()
            detail = None if r.detail is None else zlib.compress(r.detail.encode(), 1)
            self._db.execute(
                "INSERT INTO record VALUES (?, ?, NULL, ?, ?, ?, ?, ?, ?, ?)",
                (r.agent, r.counter, r.type, r.entry, r.hash, r.salt, clear, detail, r.label),
            )
            self._db.executemany(
                "INSERT INTO tier VALUES (?, ?, ?, ?)",
                [(name, value, r.agent, r.counter) for name, value in {**(r.clear or {}), **r.finds}.items()],
            )

    def waiting(self) -> list[Row]:
        """Records that are not in the log yet, each agent's in its order."""
        return self._rows("idx IS NULL ORDER BY agent, counter", ())

    def delivered(self, places: Mapping[tuple[str, int], int]) -> None:
        """Note where the log put records."""
        with self.writing():
            self._db.executemany(
                "UPDATE record SET idx = ? WHERE agent = ? AND counter = ?",
                [(index, agent, counter) for (agent, counter), index in places.items()],
            )

    def has(self, agent: str, counter: int) -> bool:
        """Whether the record is here, delivered or not."""
        found = self._db.execute("SELECT 1 FROM record WHERE agent = ? AND counter = ?", (agent, counter))
        return found.fetchone() is not None

    def copy_to(self, path: Path) -> None:
        """A consistent copy in a new file."""
        path.touch(mode=0o600)
        with closing(sqlite3.connect(path)) as db:
            self._db.backup(db)

    # --- reading -----------------------------------------------------------------------------------------------

    def find(self, name: str, value: str, type: str = "capture", limit: int = 64) -> list[Row]:
        """Delivered records of a type with this value behind the commitment `name`, oldest first."""
        return self._rows(
            "idx IS NOT NULL AND type = ? AND (agent, counter) IN (SELECT agent, counter FROM tier WHERE name = ? "
            "AND value = ?) ORDER BY idx LIMIT ?",
            (type, name, value, limit),
        )

    def at(self, index: int) -> Row | None:
        """The record at this place in the log, if its row was not lost."""
        rows = self._rows("idx = ?", (index,))
        return rows[0] if rows else None

    def values(self, name: str, type: str = "capture") -> list[tuple[int, str]]:
        """(place in the log, value) of every delivered record that has `name`."""
        return [
            (int(i), str(v))
            for i, v in self._db.execute(
                "SELECT r.idx, t.value FROM tier t JOIN record r USING (agent, counter) "
                "WHERE t.name = ? AND r.type = ? AND r.idx IS NOT NULL ORDER BY r.idx",
                (name, type),
            )
        ]

    def _rows(self, where: str, values: tuple[Any, ...]) -> list[Row]:
        return [
            Row(
                agent, counter, index, kind, entry, hash_, salt,
                None if clear is None else json.loads(clear),
                {},
                None if detail is None else zlib.decompress(detail).decode(),
                label,
            )
            for agent, counter, index, kind, entry, hash_, salt, clear, detail, label in self._db.execute(
                f"SELECT agent, counter, idx, type, entry, hash, salt, clear, detail, label FROM record WHERE {where}",  # noqa: S608
                values,
            )
        ]  # fmt: skip

    def erase(self, index: int) -> None:
        """Forget salt, digests and detail of a record: its commitments can never be opened again.

        Raises:
            UsageError: no record with secrets at this place.
        """
        with self.writing():
            row = self._db.execute("SELECT agent, counter FROM record WHERE idx = ? AND salt NOT NULL", (index,))
            found = row.fetchone()
            if found is None:
                raise UsageError(f"The vault holds no secrets of record {index}.", "Nothing was erased.")
            self._db.execute("DELETE FROM tier WHERE agent = ? AND counter = ?", found)
            self._db.execute(
                "UPDATE record SET salt = NULL, clear = NULL, detail = NULL, label = '' "
                "WHERE agent = ? AND counter = ?",
                found,
            )
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    # --- keys --------------------------------------------------------------------------------------------------

    def key_records(self) -> tuple[int, list[tuple[int, bytes]]]:
        """How far the log was scanned for key records, and those found."""
        (size,) = self._db.execute("SELECT size FROM scanned").fetchone()
        return int(size), [(int(i), bytes(e)) for i, e in self._db.execute("SELECT idx, entry FROM key_record")]

    def scanned(self, size: int, found: Sequence[tuple[int, bytes]]) -> None:
        """Remember key records up to `size`."""
        with self.writing():
            self._db.executemany("INSERT OR REPLACE INTO key_record VALUES (?, ?)", found)
            self._db.execute("UPDATE scanned SET size = max(size, ?)", (size,))

    def close(self) -> None:
        """Close the file."""
        self._db.close()
