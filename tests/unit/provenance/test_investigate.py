"""Investigations and their evidence packages; the shipped verifier is run as a stranger would, in its own process."""

from __future__ import annotations

import base64
import json
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.sites import CT, MR, edited, one_pixel, patient, print_of, route, site_at, window

from nocere.core.canonical import sha256
from nocere.core.errors import UsageError
from nocere.provenance.capture import amend
from nocere.provenance.fingerprint.verdict import Verdict
from nocere.provenance.gate.gate import Gate
from nocere.provenance.investigate.investigation import CANNOT_TELL, investigate
from nocere.provenance.investigate.package import VERIFIER, write_package
from nocere.provenance.log.note import SigningKey, b64, sign_note
from nocere.provenance.merkle import inclusion_proof, leaf_hash, perfect_root, root
from nocere.provenance.records import seal
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


def _said(package: Path, **changes: object) -> None:
    """Other words in package.json, its list of files untouched."""
    listed = json.loads((package / "package.json").read_text())
    (package / "package.json").write_text(json.dumps({**listed, **changes}))


def test_the_verifier_ties_the_original_to_a_capture(site: Site, package: Path) -> None:
    for other, why in ((8, "is no capture"), (0, "is no capture"), (None, "need a captured record")):
        _said(package, record=other)
        code, out = check(package, site.log.vkey)
        assert code == 1 and why in out and "VERIFIED" not in out.splitlines()[-1], out


def test_the_verifier_holds_verdicts_to_the_differences(site: Site, package: Path) -> None:
    _said(package, verdicts=[{"verdict": "LOSSLESS-EQUIVALENT", "authorised": True}])
    code, out = check(package, site.log.vkey)
    assert code == 1 and "a verdict that follows is not stated" in out


def test_a_package_without_a_record_says_so(site: Site, tmp_path: Path) -> None:
    write_package(site, investigate(b"a note that nobody captured", site=site), tmp_path / "p")
    code, out = check(tmp_path / "p", site.log.vkey)
    assert code == 0 and "NO captured record is named" in out


def test_the_verifier_says_which_input_is_wrong(site: Site, package: Path, tmp_path: Path) -> None:
    for vkey in ("junk", "a+b+", "a+b+c"):
        code, out = check(package, vkey)
        assert code == 1 and "verifier key is malformed" in out, out
    (package / "package.json").unlink()
    code, out = check(package, site.log.vkey)
    assert code == 1 and "is no evidence package" in out


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


# --- every check of the verifier, one at a time: no other one hides that it is gone ------------------------------


@pytest.fixture(scope="module")
def checks() -> dict[str, Any]:
    """The functions of the verifier by name, `Bad` among them."""
    return runpy.run_path(str(VERIFIER), run_name="verifier")


def relist(package: Path, **claims: Any) -> None:
    """What a forger does last: list the files as they are now."""
    listed = json.loads((package / "package.json").read_text())
    there = [p for p in package.rglob("*") if p.is_file() and p.name not in ("verify.py", "package.json")]
    listed["files"] = {str(p.relative_to(package)): sha256(p.read_bytes()) for p in there}
    (package / "package.json").write_text(json.dumps({**listed, **claims}))


def test_the_verifier_takes_no_other_path(checks: dict[str, Any]) -> None:
    climb, bad = checks["climb"], checks["Bad"]
    leaves = [leaf_hash(bytes([i])) for i in range(21)]

    def read(level: int, index: int) -> bytes:
        return perfect_root(leaves[index << level : (index + 1) << level])

    for size in range(1, len(leaves) + 1):
        for index in range(size):
            path, head = inclusion_proof(index, size, read), root(size, read)
            assert climb(leaves[index], index, size, path) == head
            with pytest.raises(bad, match="too long"):
                climb(leaves[index], index, size, [*path, head])
            if path:
                with pytest.raises(bad, match="too short"):
                    climb(leaves[index], index, size, path[:-1])
        for outside in (-1, size):
            with pytest.raises(bad, match="outside"):
                climb(leaves[0], outside, size, [])


def test_the_verifier_takes_no_other_key_or_note(checks: dict[str, Any]) -> None:
    bad, open_note = checks["Bad"], checks["open_note"]
    key = SigningKey.generate("log.test.example/2026")
    vkey, note = key.verifier.vkey, sign_note("text\n", [key])
    assert open_note(note, vkey) == "text\n"
    name, key_id, encoded = vkey.split("+", 2)
    raw = base64.b64decode(encoded)
    for data in (b"\x02" + raw[1:], raw + b"\0", raw[:-1]):
        other = checks["sha"](name.encode(), b"\n", data)[:4].hex()
        with pytest.raises(bad, match="not Ed25519"):
            checks["parse_vkey"](f"{name}+{other}+{b64(data)}")
    with pytest.raises(bad, match="its id"):
        checks["parse_vkey"](f"{name}+{'0' * 8}+{encoded}")
    with pytest.raises(bad, match="is wrong"):
        open_note(note.replace("text", "test"), vkey)
    with pytest.raises(bad, match="no signature"):
        open_note(note, SigningKey.generate(key.name).verifier.vkey)
    with pytest.raises(bad, match="malformed signature"):
        open_note(note.replace("\n\n", "\n\nx\n"), vkey)
    with pytest.raises(bad, match="not canonical"):
        checks["unb64"]("QQ==".replace("Q=", "R="))


def test_the_verifier_takes_no_other_proof(site: Site, package: Path, checks: dict[str, Any]) -> None:
    bad, vkey = checks["Bad"], site.log.vkey
    text = (package / "records" / "5.tlog-proof").read_text()
    assert checks["read_proof"](text, vkey)[0] == 5
    head, _, note = text.partition("\n\n")
    lines = head.split("\n")
    for first in ("c2sp.org/tlog-proof@v2", lines[0] + " "):
        with pytest.raises(bad, match="not a proof file"):
            checks["read_proof"]("\n".join([first, *lines[1:]]) + "\n\n" + note, vkey)
    entry = base64.b64decode(lines[1].removeprefix("extra "))
    forged = f"extra {b64(entry.replace(b'capture', b'Capture'))}"
    with pytest.raises(bad, match="not in the log"):
        checks["read_proof"](text.replace(lines[1], forged), vkey)
    key = SigningKey.parse((site.folder / "private" / "log.key").read_text())
    elsewhere = sign_note(note.partition("\n\n")[0].replace(site.log.origin, "log.other.example") + "\n", [key])
    with pytest.raises(bad, match="another log"):
        checks["read_proof"](head + "\n\n" + elsewhere, vkey)


AUTHORS: dict[str, Callable[[dict[str, SigningKey]], list[tuple[dict[str, Any], str]]]] = {
    "a revoked key": lambda k: [
        ({"type": "key", "action": "revoke", "role": "capture", "vkey": k["ct"].verifier.vkey, "agent": "boss"}, "boss"),
        ({"type": "capture", "agent": "ct"}, "ct"),
    ],
    "another role": lambda k: [({"type": "amendment", "agent": "ct"}, "ct")],
    "an unknown type": lambda k: [({"type": "heartbeat", "agent": "ct"}, "ct")],
    "another agent's key": lambda k: [({"type": "capture", "agent": "mr"}, "ct")],
    "another agent's name": lambda k: [({"type": "capture", "agent": "ct"}, "boss")],
    "a key of nobody": lambda k: [({"type": "capture", "agent": "ct"}, "new")],
    "a key enrolled by another than the registrar": lambda k: [
        ({"type": "key", "action": "enrol", "role": "capture", "vkey": k["new"].verifier.vkey, "agent": "ct"}, "ct"),
    ],
    "a key enrolled only later": lambda k: [
        ({"type": "capture", "agent": "new"}, "new"),
        ({"type": "key", "action": "enrol", "role": "capture", "vkey": k["new"].verifier.vkey, "agent": "boss"}, "boss"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", AUTHORS)
def test_the_verifier_takes_no_other_author(name: str, checks: dict[str, Any]) -> None:
    keys = {n: SigningKey.generate(n) for n in ("boss", "ct", "new")}
    enrol = {"type": "key", "action": "enrol", "agent": "boss"}
    good: list[tuple[dict[str, Any], str]] = [
        ({**enrol, "role": "registrar", "vkey": keys["boss"].verifier.vkey}, "boss"),
        ({**enrol, "role": "capture", "vkey": keys["ct"].verifier.vkey}, "boss"),
        ({"type": "capture", "agent": "ct"}, "ct"),
    ]

    def entries(records: list[tuple[dict[str, Any], str]]) -> dict[int, str]:
        return {i: seal(body, keys[who]).decode() for i, (body, who) in enumerate(records)}

    assert len(checks["check_authors"](entries(good))) == 3
    with pytest.raises(checks["Bad"], match="not signed by a key in office"):
        checks["check_authors"](entries([*good, *AUTHORS[name](keys)]))


def test_the_verifier_takes_no_other_registrar(checks: dict[str, Any]) -> None:
    boss, other = SigningKey.generate("boss"), SigningKey.generate("boss")
    body = {"type": "key", "action": "enrol", "agent": "boss", "role": "registrar", "vkey": boss.verifier.vkey}
    assert checks["check_authors"]({0: seal(body, boss).decode()})
    with pytest.raises(checks["Bad"], match="signature of boss"):
        checks["check_authors"]({0: seal(body, other).decode()})
    for wrong in ({"role": "capture"}, {"type": "capture"}):
        with pytest.raises(checks["Bad"], match="does not enrol a registrar"):
            checks["check_authors"]({0: seal({**body, **wrong}, boss).decode()})


def test_the_verifier_takes_no_other_fingerprint(package: Path, checks: dict[str, Any]) -> None:
    good = json.loads((package / "fingerprints" / "suspect.json").read_text())
    check_fingerprint, bad = checks["check_fingerprint"], checks["Bad"]
    check_fingerprint(good)

    def with_detail(**detail: Any) -> dict[str, Any]:
        return {**good, "detail": {**good["detail"], **detail}}

    with pytest.raises(bad, match="detail of a fingerprint is missing"):
        check_fingerprint({n: v for n, v in good.items() if n != "detail"})
    for meaning in (
        {**good["detail"]["meaning"], "(0028,1053)": ""},
        {**good["detail"]["meaning"], "(0028,1053)": "2"},
    ):
        with pytest.raises(bad, match="F3 does not follow"):
            check_fingerprint(with_detail(meaning=meaning))
    for field in good["detail"]["shape"]:
        changed = {**good["detail"]["shape"], field: 99}
        with pytest.raises(bad, match="F2 does not follow from the tiles"):
            check_fingerprint(with_detail(shape=changed))
    with pytest.raises(bad, match="F2 does not follow from the tiles"):
        check_fingerprint(with_detail(tiles=[*good["detail"]["tiles"], good["detail"]["tiles"][0]]))
    with pytest.raises(bad, match="F2 does not follow from F3"):
        check_fingerprint(with_detail(shape=None))


def stale(site: Site, package: Path) -> None:
    """One record is proven under an older checkpoint of the same log."""
    path = package / "records" / "0.tlog-proof"
    key = SigningKey.parse((site.folder / "private" / "log.key").read_text())
    head, _, _ = path.read_text().partition("\n\n")
    old = f"{site.log.origin}\n1\n{b64(leaf_hash(next(iter(site.log.entries(0, 1)))))}\n"
    path.write_text("\n".join(head.split("\n")[:3]) + "\n\n" + sign_note(old, [key]))


WHOLE: dict[str, tuple[Callable[[Site, Path], object], str]] = {
    "another version": (lambda _, p: relist(p, v="nocere-evidence/2"), "another version"),
    "a file that is not listed": (lambda _, p: (p / "pictures" / "more.png").write_bytes(b"x"), "differ from the list"),
    "a listed file that is missing": (lambda _, p: (p / "report.html").unlink(), "differ from the list"),
    "a file that was changed": (lambda _, p: (p / "report.html").write_text("harmless"), "report.html was changed"),
    "a record under another name": (
        lambda _, p: relist((p / "records" / "6.tlog-proof").write_bytes((p / "records" / "5.tlog-proof").read_bytes()) and p),
        "6.tlog-proof holds record 5",
    ),
    "two checkpoints": (lambda s, p: relist(stale(s, p) or p), "do not share one checkpoint"),
    "an opening": (lambda _, p: relist(FORGERIES["an opening is exchanged"](p) or p), "f2 is not what was committed to"),
    "another original": (
        lambda _, p: relist((p / "fingerprints" / "original.json").write_bytes((p / "fingerprints" / "suspect.json").read_bytes()) and p),
        "not the one that was captured",
    ),
    "another f5 of the original": (
        lambda _, p: relist(edit_json("fingerprints/original.json", lambda d: d.update(f5="0" * 16))(p) or p),
        "not the one that was captured",
    ),
    "another identity of the original": (
        lambda _, p: relist(edit_json("fingerprints/original.json", lambda d: d["f4"].update({"(0010,0020)": "0" * 64}))(p) or p),
        "not the one that was captured",
    ),
    "other tiles are named": (
        lambda _, p: relist(edit_json("package.json", lambda d: d["differences"].update(tiles=[[0, 0]]))(p) or p),
        "others than stated",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WHOLE)
def test_the_verifier_says_which_check_failed(site: Site, package: Path, name: str, checks: dict[str, Any]) -> None:
    assert list(checks["verify"](package, site.log.vkey, None))
    forge, sentence = WHOLE[name]
    forge(site, package)
    with pytest.raises(checks["Bad"], match=sentence):
        list(checks["verify"](package, site.log.vkey, None))


def test_the_verifier_asks_for_the_suspect(site: Site, package: Path, tmp_path: Path, checks: dict[str, Any]) -> None:
    (tmp_path / "x.dcm").write_bytes(CT)
    with pytest.raises(checks["Bad"], match="not the suspect"):
        list(checks["verify"](package, site.log.vkey, tmp_path / "x.dcm"))
    (package / "fingerprints" / "suspect.json").unlink()
    relist(package, differences=None)
    with pytest.raises(checks["Bad"], match="no fingerprint of a suspect"):
        list(checks["verify"](package, site.log.vkey, tmp_path / "x.dcm"))
