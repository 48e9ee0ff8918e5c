"""fsck finds every planted fault in database, files, checkpoint and memory, and nothing in a sound log."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from nocere.core.errors import UsageError
from nocere.provenance.log import Log, fsck
from nocere.provenance.log.note import SigningKey, sign_note


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A log of 600 entries in six steps, so that partial tiles of older checkpoints lie about too."""
    with Log.create(tmp_path / "log", "log.example/fsck", tmp_path / "k") as log:
        for i in range(0, 600, 100):
            log.append([b"entry %d" % j for j in range(i, i + 100)], [f"a/{j}" for j in range(i, i + 100)])
    return tmp_path


def check(place: Path) -> list[str]:
    return fsck(place / "log", key=place / "k")


def sql(place: Path, statement: str, *values: object) -> None:
    db = sqlite3.connect(place / "log" / "log.sqlite")
    with db:
        db.execute(statement, values)
    db.close()


def spoil_file(name: str, at: int = -1) -> Callable[[Path], None]:
    def spoil(place: Path) -> None:
        path = place / "log" / "public" / name
        data = bytearray(path.read_bytes())
        data[at] ^= 1
        path.write_bytes(bytes(data))

    return spoil


def statement(text: str, *values: object) -> Callable[[Path], None]:
    return lambda place: sql(place, text, *values)


def forged_head(place: Path) -> None:
    """A checkpoint of another root, signed with the true key, in both places: only the entries contradict it."""
    key = SigningKey.parse((place / "k").read_text())
    note = sign_note(f"log.example/fsck\n600\n{'A' * 43}=\n", [key])
    (place / "log" / "public" / "checkpoint").write_text(note)
    sql(place, "UPDATE head SET note = ?, root = ?", note, bytes(32))


def cut_database(place: Path) -> None:
    path = place / "log" / "log.sqlite"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


FAULTS = {
    "entry in the database": (statement("UPDATE entries SET entry = x'00' WHERE i = 300"), "tile/0/001"),
    "entry lost": (statement("DELETE FROM entries WHERE i = 300"), "Entries are missing between 256 and 511"),
    "entry beyond the head": (statement("INSERT INTO entries VALUES (600, x'00')"), "lie outside the 600 entries"),
    "key beyond the head": (statement("INSERT INTO keys VALUES ('x', 700)"), "1 rows of keys lie outside"),
    "tile in the database": (statement("UPDATE tiles SET hashes = zeroblob(8192) WHERE level=0 AND n=1"), "tile/0/001"),
    "tile lost": (statement("DELETE FROM tiles WHERE level = 1"), "missing"),
    "tile too many": (statement("INSERT INTO tiles VALUES (2, 0, zeroblob(32))"), "beyond the head"),
    "size of the head": (statement("UPDATE head SET size = 599"), "not the one in its own signed checkpoint"),
    "note of the head": (statement("UPDATE head SET note = replace(note, 'fsck' || char(10) || '600', 'fsck' || char(10) || '601')"), "does not verify"),
    "keys of the head": (statement("UPDATE head SET vkeys = 'x'"), "malformed"),
    "forged head": (forged_head, "do not give the root"),
    "damaged database": (cut_database, "log.sqlite"),
    "published tile": (spoil_file("tile/0/001"), "tile/0/001"),
    "upper tile": (spoil_file("tile/1/000.p/2"), "tile/1/000.p/2"),
    "published bundle": (spoil_file("tile/entries/002.p/88"), "tile/entries/002.p/88"),
    "length in a bundle": (spoil_file("tile/entries/000", 1), "tile/entries/000"),
    "published checkpoint": (spoil_file("checkpoint", 20), "checkpoint"),
    "vkey": (spoil_file("vkey", -3), "key"),
    "memory": (lambda place: spoil_file("../../k.memory", 20)(place), "k.memory"),
    "memory lost": (lambda place: (place / "k.memory").unlink(), "nobody knows what the key has signed"),
    "stranger": (lambda place: (place / "log" / "public" / "tile" / "x").write_text("x"), "does not belong"),
}  # fmt: skip


def test_a_sound_log_has_no_problems(place: Path) -> None:
    assert check(place) == []
    (place / "log" / "public" / "tile" / "0" / "000.new").write_bytes(b"left by a killed run")
    assert check(place) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_every_planted_fault_is_named(place: Path, fault: str) -> None:
    plant, said = FAULTS[fault]
    plant(place)
    problems = check(place)
    assert any(said in problem for problem in problems), problems
    assert all(problem.endswith((".", ")")) and "Traceback" not in problem for problem in problems)


def test_a_partial_tile_that_older_readers_ask_for(place: Path) -> None:
    with Log.open(place / "log", place / "k") as log:
        log.append([b"more"])
    (old,) = (place / "log" / "public").glob("tile/0/002.p/88")
    old.write_bytes(bytes(old.stat().st_size))
    assert any("002.p/88" in problem for problem in check(place))


def test_a_database_set_back_behind_what_is_published(place: Path) -> None:
    for name in ("log.sqlite", "log.sqlite-wal"):
        if (place / "log" / name).exists():
            shutil.copy(place / "log" / name, place / name)
    with Log.open(place / "log", place / "k") as log:
        log.append([b"more"])
    shutil.copy(place / "log.sqlite", place / "log" / "log.sqlite")
    problems = check(place)
    assert any("has 600 entries; what is published has 601" in p for p in problems), problems
    assert any("k has signed has 601" in p for p in problems), problems


def test_a_memory_older_than_what_is_published(place: Path) -> None:
    shutil.copy(place / "k.memory", place / "old")
    with Log.open(place / "log", place / "k") as log:
        log.append([b"more"])
    shutil.copy(place / "old", place / "k.memory")
    assert any("remembers 600" in p for p in check(place))


def test_the_given_key_decides(place: Path) -> None:
    stranger = SigningKey.generate("log.example/fsck").verifier.vkey
    assert any("not signed by any" in p for p in fsck(place / "log", stranger))
    with pytest.raises(UsageError, match="malformed"):
        fsck(place / "log", "nonsense")
