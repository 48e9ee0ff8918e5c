"""`nocere log`, `capture`, `amend`, `gate`, `investigate`: what users do, and what goes wrong when they do it."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.sites import CT, MR, ORIGIN, edited, one_pixel, patient

from nocere.cli.main import main
from nocere.provenance.log.note import SigningKey
from nocere.provenance.site import Site

ROUTE = {
    "name": "ct", "model": "net", "version": "1.0",
    "recipe": {"v": "nocere-recipe/1", "name": "frame", "steps": [{"op": "frame", "index": 0}]},
}  # fmt: skip


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, data in (
        ("ct.dcm", CT),
        ("mr.dcm", MR),
        ("changed.dcm", edited(CT, one_pixel)),
        ("merged.dcm", edited(CT, patient)),
    ):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "route.json").write_text(json.dumps(ROUTE))
    assert run("log", "init", "site", "--origin", ORIGIN) == 0
    return tmp_path


def run(*args: str) -> int:
    return main([str(a) for a in args])


def test_the_whole_way(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("capture", "ct.dcm", "mr.dcm", "--site", "site", "-q") == 0
    assert run("log", "register", "site", "route.json") == 0
    assert run("gate", "ct.dcm", "mr.dcm", "--site", "site", "--route", "route.json", "--out", "arrays") == 0
    assert len(list((place / "arrays").glob("*.npy"))) == 2
    assert run("gate", "changed.dcm", "--site", "site", "--route", "route.json") == 4
    assert run("gate", "merged.dcm", "--site", "site", "--route", "route.json") == 4
    assert run("amend", "ct.dcm", "merged.dcm", "--reason", "merge", "--site", "site") == 0
    assert run("gate", "merged.dcm", "--site", "site", "--route", "route.json", "--json") == 0
    capsys.readouterr()
    assert run("investigate", "ct.dcm", "changed.dcm", "--site", "site", "--out", "evidence", "-q") == 4
    out = capsys.readouterr().out
    assert "PIXELS-CHANGED" in out
    assert "rows 64 to 127, columns 0 to 63" in out
    assert "What this cannot tell" in out
    assert run("investigate", "ct.dcm", "--site", "site", "-q") == 0
    assert run("log", "prove", "site", "5", "--out", "5.tlog-proof") == 0
    with Site.open(place / "site") as site:
        vkey = site.log.vkey
    capsys.readouterr()
    assert run("log", "verify", "5.tlog-proof", "--vkey", vkey) == 0
    assert "capture record by capture" in capsys.readouterr().out
    assert run("log", "append", "site", "route.json") == 0
    assert run("log", "show", "site") == 0
    assert "inference" in capsys.readouterr().out
    assert run("log", "fsck", "site") == 0
    assert run("log", "backup", "site", "copy") == 0


def test_audit_bundles_can_be_appended(place: Path) -> None:
    from tests.images import audit, cell, world

    from nocere.attacks.image.pgd import Pgd

    cases, target = world(6)
    bundle = audit(place / "bundle", cases, target, cell(cases, (Pgd(2),), name="noise"))
    assert run("log", "append", "site", "bundle") == 0
    with Site.open(place / "site") as site:
        body = site.verified(site.log.size - 1).body
    assert (body["type"], body["manifest"]) == ("bundle", bundle.hash)
    victim = next((place / "bundle" / "cells").rglob("*.json"))
    victim.write_text(victim.read_text() + " ")
    assert run("log", "append", "site", "bundle") == 4


WRONG = [
    (("capture", "ct.dcm", "--site", "nowhere"), 2, "There is no log in nowhere"),
    (("capture", "gone.dcm", "--site", "site"), 2, "Cannot read gone.dcm"),
    (("capture", "ct.dcm", "--site", "site", "--agent", "nobody"), 2, "no key of an agent 'nobody'"),
    (("log", "init", "site", "--origin", "x"), 2, "not an empty folder"),
    (("log", "init", "new", "--origin", "with space"), 2, "cannot name a log"),
    (("log", "prove", "site", "99"), 2, "no entry 99"),
    (("log", "prove", "nowhere", "0"), 2, "There is no log"),
    (("log", "fsck", "nowhere"), 2, "There is no log"),
    (("log", "verify", "ct.dcm", "--vkey", "rubbish"), 2, "verifier key is malformed"),
    (("gate", "ct.dcm", "--site", "site", "--route", "route.json"), 2, "not registered"),
    (("gate", "ct.dcm", "--site", "site", "--route", "ct.dcm"), 2, "not a route"),
    (("amend", "ct.dcm", "merged.dcm", "--reason", "merge", "--site", "site"), 2, "is not as captured"),
    (("investigate", "ct.dcm", "ct.dcm", "ct.dcm", "--site", "site"), 2, "3 files"),
    (("investigate", "ct.dcm"), 2, "nothing to compare"),
    (("log", "erase", "site", "0"), 2, "no secrets"),
    (("log", "revoke", "site", "nobody"), 2, "in office"),
    (("log", "restore", "site", "site"), 2, "no backup"),
]


@pytest.mark.parametrize(("command", "code", "sentence"), WRONG, ids=[" ".join(w[0]) for w in WRONG])
def test_mistakes_get_a_sentence(
    place: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...], code: int, sentence: str
) -> None:
    size = len(list((place / "site").rglob("*")))
    assert run(*command) == code
    err = capsys.readouterr().err
    assert sentence in err
    assert "Traceback" not in err
    assert len(list((place / "site").rglob("*"))) == size


def test_a_wrong_key_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("log", "prove", "site", "0", "--out", "0.tlog-proof")
    other = SigningKey.generate(ORIGIN).verifier.vkey
    assert run("log", "verify", "0.tlog-proof", "--vkey", other) == 4
    assert "not signed by any of the known keys" in capsys.readouterr().err
    key = place / "site" / "private" / "log.key"
    key.write_text(SigningKey.generate(ORIGIN).text)
    assert run("capture", "ct.dcm", "--site", "site", "-q") in (2, 4)
    assert "Traceback" not in capsys.readouterr().err


def test_a_truncated_tile_is_named(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("capture", "ct.dcm", "--site", "site", "-q") == 0
    tile = max((place / "site" / "log" / "public" / "tile" / "entries" / "000.p").iterdir(), key=lambda p: int(p.name))
    tile.write_bytes(tile.read_bytes()[:-9])
    capsys.readouterr()
    assert run("log", "fsck", "site") == 4
    out = capsys.readouterr()
    assert str(tile.relative_to(place)) in out.out + out.err
    assert run("log", "prove", "site", "5") == 4


def test_a_clock_that_is_far_off_is_told_and_nothing_is_lost(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Site.open.__func__  # type: ignore[attr-defined]

    def behind(cls: type[Site], folder: Path) -> Site:
        site: Site = real(cls, folder)
        site.clock = lambda: datetime.now(UTC) - timedelta(days=400)
        return site

    monkeypatch.setattr(Site, "open", classmethod(behind))
    assert run("capture", "ct.dcm", "--site", "site", "-q") == 4
    out = capsys.readouterr()
    assert "behind the newest record" in out.err
    assert out.out.startswith("5\tdicom")
    monkeypatch.undo()
    os.chdir(place)
    assert run("log", "fsck", "site") == 0


def test_a_full_disk_loses_nothing(place: Path) -> None:
    """The size of any file is capped, so that SQLite, tiles and checkpoints cannot grow: the same error path."""
    assert run("capture", "ct.dcm", "--site", "site", "-q") == 0
    limit = max(p.stat().st_size for p in (place / "site").rglob("*") if p.is_file()) + 2048
    files = []
    for i in range(40):
        name = place / f"n{i}.txt"
        name.write_text(f"note {i} " * 40)
        files.append(str(name))
    full = subprocess.run(
        [sys.executable, "-m", "nocere", "capture", *files, "--site", "site", "-q"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True, text=True, cwd=place, check=False,
    )  # fmt: skip
    assert full.returncode == 6, full.stderr
    assert "Traceback" not in full.stderr
    assert full.stderr.startswith("nocere: Cannot write")
    assert run("log", "fsck", "site") == 0
    assert run("capture", *files, "--site", "site", "-q") == 0
    assert run("log", "fsck", "site") == 0


def test_folders_and_wfdb_records_are_captured(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = place / "in"
    folder.mkdir()
    (folder / "rec1.hea").write_text("rec1 1 250 500\nrec1.dat 16 200/mV 16 0 0 0 0 II\n")
    (folder / "rec1.dat").write_bytes(bytes(range(100)) * 10)
    (folder / "note.txt").write_text("back pain")
    (folder / "claim.json").write_text('{"resourceType": "Claim", "id": "1"}')
    capsys.readouterr()
    assert run("capture", str(folder), "--site", "site", "-q") == 0
    kinds = {line.split("\t")[1] for line in capsys.readouterr().out.splitlines()}
    assert kinds == {"wfdb", "note", "json"}
    (folder / "rec1.dat").write_bytes((folder / "rec1.dat").read_bytes()[:-2] + b"\x01\x00")
    assert run("investigate", str(folder / "rec1.hea"), "--site", "site", "-q") == 4
