"""Investigations and their evidence packages; the shipped verifier is run as a stranger would, in its own process."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.sites import CT, MR, edited, one_pixel, patient, print_of, route, site_at, window

from nocere.core.canonical import sha256
from nocere.core.errors import UsageError
from nocere.provenance.capture import amend
from nocere.provenance.fingerprint.verdict import Verdict
from nocere.provenance.gate.gate import Gate
from nocere.provenance.investigate.investigation import CANNOT_TELL, investigate
from nocere.provenance.investigate.package import VERIFIER, write_package
from nocere.provenance.log.note import SigningKey
from nocere.provenance.site import Site
from nocere.report.investigation import lines, render


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    made, (done, _) = site_at(tmp_path_factory.mktemp("look") / "s", CT, MR)
    assert done.fingerprint is not None
    amend(made, done.fingerprint, print_of(made, edited(CT, patient)), [5], "merge")
    with Gate(made, route(), alarm=lambda _: None) as gate:
        gate.open(CT)
        gate.open(edited(CT, one_pixel))
    return made


def check(package: Path, vkey: str, *more: str) -> tuple[int, str]:
    """The verifier's exit code and output; it may import nothing of ours."""
    run = subprocess.run(
        [sys.executable, "-I", str(package / "verify.py"), str(package), "--vkey", vkey, *more],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return run.returncode, run.stdout + run.stderr


def test_the_verifier_stands_alone() -> None:
    text = VERIFIER.read_text()
    assert not re.search(r"^\s*(import|from) nocere", text, re.MULTILINE)
    code = [line for line in text.splitlines() if line.strip() and not line.strip().startswith(("#", '"""'))]
    assert len(code) < 260


@pytest.fixture
def package(site: Site, tmp_path: Path) -> Path:
    found = investigate(edited(CT, one_pixel), site=site, original=CT)
    return write_package(site, found, tmp_path / "p", {"report.html": render(found, "x.dcm", site.log.vkey).encode()})


def test_a_package_verifies(site: Site, package: Path, tmp_path: Path) -> None:
    suspect = tmp_path / "suspect.dcm"
    suspect.write_bytes(edited(CT, one_pixel))
    code, out = check(package, site.log.vkey, "--suspect", str(suspect))
    assert code == 0, out
    assert out.rstrip().endswith("VERIFIED")
    assert "captured as record 5" in out
    assert "f0, f2" in out
    suspect.write_bytes(CT)
    assert check(package, site.log.vkey, "--suspect", str(suspect))[0] == 1


def test_another_key_does_not_verify(site: Site, package: Path) -> None:
    other = SigningKey.generate(site.log.origin).verifier.vkey
    assert check(package, other)[0] == 1


def test_every_file_of_a_package_counts(site: Site, package: Path, tmp_path: Path) -> None:
    names = [str(p.relative_to(package)) for p in package.rglob("*") if p.is_file() and p.name != "verify.py"]
    assert len(names) > 10
    for name in names:
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(package, copy)
        data = bytearray((copy / name).read_bytes())
        data[len(data) // 2] ^= 1
        (copy / name).write_bytes(data)
        assert check(copy, site.log.vkey)[0] == 1, name


Forge = Callable[[Path], None]


def edit_json(name: str, change: Callable[[dict], None]) -> Forge:  # type: ignore[type-arg]
    def forge(folder: Path) -> None:
        data = json.loads((folder / name).read_text())
        change(data)
        (folder / name).write_text(json.dumps(data))

    return forge


FORGERIES: dict[str, Forge] = {
    "a difference is hidden": edit_json("package.json", lambda d: d["differences"].update(tiles=[], tiers=["f0"])),
    "an opening is exchanged": edit_json("openings.json", lambda d: d["5"]["f2"].update(value="0" * 64)),
    "another original": edit_json("fingerprints/original.json", lambda d: d.update(f0="0" * 64)),
    "attribute of the original": edit_json(
        "fingerprints/original.json", lambda d: d["detail"]["meaning"].update({"(0028,1053)": "2"})
    ),
    "tiles of the suspect": edit_json("fingerprints/suspect.json", lambda d: d["detail"]["tiles"].reverse() or d.update(f2="0" * 64)),
    "capture record left out": lambda folder: (folder / "records" / "5.tlog-proof").unlink(),
    "registrar left out": lambda folder: (folder / "records" / "0.tlog-proof").unlink(),
    "agent's key left out": lambda folder: (folder / "records" / "1.tlog-proof").unlink(),
    "record renamed": lambda folder: (folder / "records" / "6.tlog-proof").write_bytes(
        (folder / "records" / "5.tlog-proof").read_bytes()
    ) and None,
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forger_who_writes_the_list_again_is_caught(site: Site, package: Path, name: str) -> None:
    FORGERIES[name](package)
    listed = json.loads((package / "package.json").read_text())
    there = [p for p in package.rglob("*") if p.is_file() and p.name not in ("verify.py", "package.json")]
    listed["files"] = {str(p.relative_to(package)): sha256(p.read_bytes()) for p in there}
    (package / "package.json").write_text(json.dumps(listed))
    code, out = check(package, site.log.vkey)
    assert code == 1, out
    assert "Traceback" not in out


def test_a_package_of_a_revoked_agent_does_not_verify(tmp_path: Path) -> None:
    made, _ = site_at(tmp_path / "s", CT)
    made.revoke("capture")
    from nocere.provenance.capture import capture

    capture(made, [("late", lambda: MR)])
    found = investigate(MR, site=made)
    assert found.verdict is Verdict.EVIDENCE_INVALID
    made.close()


def test_without_a_log_two_files_are_compared() -> None:
    found = investigate(edited(CT, window), original=CT)
    assert found.verdict is Verdict.MEANING_CHANGED
    assert [c.attribute for c in found.difference.meaning] == ["(0028,1050)"]  # type: ignore[union-attr]
    assert any("Window Center" in line for line in lines(found))
    with pytest.raises(UsageError, match="nothing to compare"):
        investigate(CT)


def test_amendments_are_shown(site: Site) -> None:
    found = investigate(edited(CT, patient), site=site)
    assert (found.verdict, found.harmless, found.amendments) == (Verdict.IDENTITY_COERCED, True, (8,))
    found = investigate(edited(CT, lambda ds: patient(ds, "THIRD")), site=site)
    assert (found.verdict, found.harmless) == (Verdict.IDENTITY_COERCED, False)


def test_an_original_that_is_not_what_was_captured_is_no_witness(site: Site) -> None:
    found = investigate(CT, site=site, original=edited(CT, one_pixel))
    assert found.verdict is Verdict.EVIDENCE_INVALID
    assert not found.harmless


def test_the_suspect_is_held_to_the_record_of_its_original(site: Site) -> None:
    found = investigate(MR, site=site, original=CT)
    assert found.verdict is Verdict.SUBSTITUTED


def test_undecodable_is_never_a_pass(site: Site) -> None:
    found = investigate(CT[:3000], site=site)
    assert (found.verdict, found.harmless) == (Verdict.UNDECODABLE, False)


def test_an_unknown_file_gets_a_hint_and_no_more(site: Site) -> None:
    unknown = edited(CT, lambda ds: (one_pixel(ds), setattr(ds, "SOPInstanceUID", "1.2.3"), patient(ds, "X")))
    found = investigate(unknown, site=site)
    assert found.verdict is Verdict.UNREGISTERED
    assert "record 5 looks alike" in found.hint


def test_limits_are_in_the_output(site: Site, package: Path) -> None:
    page = (package / "report.html").read_text()
    for limit in CANNOT_TELL:
        assert limit in page
        assert limit in (package / "README.txt").read_text()


def test_showings_of_the_very_file_are_in_the_custody(site: Site) -> None:
    found = investigate(edited(CT, one_pixel), site=site)
    assert any("refused" in e.told for e in found.events)
    assert found.why_unexplained
    assert len(found.pictures or {}) == 1


def test_a_folder_that_holds_something_is_left_alone(site: Site, tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "x").write_text("x")
    with pytest.raises(UsageError, match="not an empty"):
        write_package(site, investigate(CT, site=site), tmp_path / "p")
    assert [p.name for p in (tmp_path / "p").iterdir()] == ["x"]
