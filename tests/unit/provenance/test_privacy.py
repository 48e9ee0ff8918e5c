"""No patient data leaves the vault: canaries in every field, then a search through all that is written or said."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pydicom
import pytest
from tests.sites import CT, edited, one_pixel, print_of, route, site_at

from nocere.cli.main import main
from nocere.provenance.capture import amend, capture
from nocere.provenance.fingerprint.reading import read
from nocere.provenance.fingerprint.tiers import fingerprint
from nocere.provenance.gate.gate import Gate
from nocere.provenance.investigate.investigation import investigate
from nocere.provenance.investigate.package import VERIFIER, write_package
from nocere.provenance.records import commitment
from nocere.provenance.site import Draft, opened
from nocere.report.investigation import lines, render


def verify_main(given: list[str]) -> int:
    command = [sys.executable, str(VERIFIER), given[0], "--vkey", given[1]]
    return subprocess.run(command, check=False, capture_output=True).returncode


CANARY = "KANARIENVOGEL"
NOTE = f"Patient {CANARY} has back pain.".encode()
CLAIM = f'{{"resourceType":"Claim","id":"{CANARY}","patient":"{CANARY}","item":[{{"code":"M54.5"}}]}}'.encode()


def tagged(ds: Any) -> None:
    for i, name in enumerate(("PatientName", "PatientID", "AccessionNumber", "InstitutionName", "StudyID",
                              "ReferringPhysicianName", "StationName", "OtherPatientIDs", "PatientComments")):  # fmt: skip
        setattr(ds, name, f"{CANARY}{i}")
    ds.add_new(0x00091001, "LO", CANARY)
    ds.PatientBirthDate = "19520229"


@pytest.fixture
def scene(tmp_path: Path) -> tuple[Any, Path, str]:
    """A site that has captured, amended, gated and investigated inputs full of canaries; and all that was said."""
    ct = edited(CT, tagged)
    site, (done,) = site_at(tmp_path / "s", ct)
    assert done.fingerprint is not None
    capture(site, [(f"{CANARY}/note.txt", lambda: NOTE), (f"{CANARY}.json", lambda: CLAIM)])
    renamed = edited(ct, lambda ds: setattr(ds, "PatientName", f"{CANARY}-NEW"))
    amend(site, done.fingerprint, print_of(site, renamed), [5], "rename")
    site.write("audit", [Draft("heartbeat", {}, label=CANARY)])
    alarms: list[str] = []
    changed = edited(ct, one_pixel)
    with Gate(site, route(), alarm=alarms.append) as gate:
        for content in (ct, changed, edited(renamed, one_pixel), ct[:500], NOTE + b"!", CLAIM[:-3]):
            gate.open(content)
    said = list(alarms)
    for n, (suspect, original) in enumerate(((changed, ct), (renamed, ct), (NOTE + b"x", None), (CLAIM, CLAIM))):
        found = investigate(suspect, site=site, original=original)
        said += lines(found)
        folder = write_package(
            site, found, tmp_path / f"p{n}", {"report.html": render(found, "suspect", "key").encode()}
        )
        assert verify_main([str(folder), site.log.vkey]) == 0
    return site, tmp_path, "\n".join(said)


def test_no_canary_in_what_is_published_or_said(scene: tuple[Any, Path, str]) -> None:
    site, folder, said = scene
    site.close()
    assert CANARY not in said
    files = [p for p in folder.rglob("*") if p.is_file() and "private" not in p.parts]
    assert len(files) > 30
    for path in files:
        data = path.read_bytes()
        assert CANARY.encode() not in data, path
        assert b"19520229" not in data, path
    # The search can fail: what operators call the inputs is in the vault.
    assert any(CANARY.encode() in p.read_bytes() for p in (folder / "s" / "private").glob("vault*"))


def test_no_canary_in_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ct = edited(CT, tagged)
    broken = [ct[: len(ct) // 2], ct[:700], ct.replace(b"\x28\x00\x10\x00US\x02\x00", b"\x28\x00\x10\x00US\x04\x00", 1)]
    main(["log", "init", str(tmp_path / "s"), "--origin", "log.test.example/1"])
    for i, data in enumerate(broken):
        (tmp_path / f"{i}.dcm").write_bytes(data)
        assert main(["capture", str(tmp_path / f"{i}.dcm"), "--site", str(tmp_path / "s"), "-q"]) == 2
    out = capsys.readouterr()
    assert "not captured" in out.err
    assert CANARY not in out.out + out.err


def test_a_dictionary_attack_on_the_log_fails(scene: tuple[Any, Path, str]) -> None:
    """Somebody who holds the public log and the de-identified content tries every patient id there is."""
    site, _, _ = scene
    public = b"".join(site.log.entries())
    ids = [f"{CANARY}{i}" for i in range(10)]
    guesses: list[str] = []
    for pid in ids:
        ds = pydicom.dcmread(io.BytesIO(edited(CT, tagged)))
        ds.PatientID = pid
        out = io.BytesIO()
        ds.save_as(out)
        reading = read(out.getvalue())
        for key in (bytes(32), b"\x01" * 32, hashlib.sha256(b"hospital").digest()):
            fp = fingerprint(reading, key)
            guesses += [fp.f0, fp.f1, fp.f2, fp.f3, *fp.f4.values()]
        guesses += [hashlib.sha256(pid.encode()).hexdigest(), hashlib.sha256(NOTE).hexdigest()]
    guesses += [commitment(bytes(32), tier, g) for g in list(guesses) for tier in ("f0", "f2", "f3", "f4")]
    assert not [g for g in guesses if g.encode() in public]
    # The right guess is among them: with the salt out of the vault it is found at once, without it it is not.
    record, row = site.record(5), site.vault.at(5)
    clear = opened(record, row)
    assert clear["f2"] in guesses
    assert commitment(row.salt, "f2", clear["f2"]).encode() in public


def test_equal_content_has_unlike_records(tmp_path: Path) -> None:
    """Two captures of one note cannot be told to be of one note."""
    site, _ = site_at(tmp_path / "s", CT)
    done = capture(site, [("a", lambda: NOTE), ("b", lambda: NOTE)])
    one, two = (site.record(c.index or 0).body["commitments"] for c in done)
    assert set(one) == set(two)
    assert not set(one.values()) & set(two.values())
    site.close()


def test_records_stay_small(scene: tuple[Any, Path, str]) -> None:
    site, _, _ = scene
    assert max(map(len, site.log.entries())) <= 2048
