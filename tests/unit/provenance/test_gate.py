"""The gate hands over exactly what it verified, and logs what the model was shown."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from tests.sites import CT, FRAME, MR, ORIGIN, edited, one_pixel, patient, print_of, route, site_at, window

from nocere.core.errors import DataError, UsageError, WriteError
from nocere.provenance.capture import amend
from nocere.provenance.fingerprint.reading import read
from nocere.provenance.fingerprint.verdict import Verdict
from nocere.provenance.gate import gate as gate_module
from nocere.provenance.gate.gate import Gate, tensor_hash
from nocere.provenance.gate.recipe import Recipe
from nocere.provenance.gate.route import Route, register
from nocere.provenance.site import Site, opened


def silent(_: str) -> None:
    return


def swapped(ds: Any) -> None:
    other = pydicom.dcmread(__import__("io").BytesIO(MR))
    for name in ("Rows", "Columns", "BitsStored", "HighBit", "PixelRepresentation", "PixelData"):
        setattr(ds, name, getattr(other, name))


CASES: list[tuple[str, Callable[[Any], None] | None, Verdict]] = [
    ("as captured", None, Verdict.IDENTICAL),
    ("one pixel", one_pixel, Verdict.PIXELS_CHANGED),
    ("window", window, Verdict.MEANING_CHANGED),
    ("patient", patient, Verdict.IDENTITY_COERCED),
    ("other pixels", swapped, Verdict.SUBSTITUTED),
    ("private tag", lambda ds: ds.add_new(0x00091001, "LO", "x"), Verdict.LOSSLESS_EQUIVALENT),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    made, done = site_at(tmp_path_factory.mktemp("gate") / "s", CT, MR)
    assert [c.problem for c in done] == [None, None]
    return made


@pytest.mark.parametrize(("name", "edit", "verdict"), CASES, ids=[c[0] for c in CASES])
def test_every_change_gets_its_verdict(
    site: Site, name: str, edit: Callable[[Any], None] | None, verdict: Verdict
) -> None:
    content = CT if edit is None else edited(CT, edit)
    alarms: list[str] = []
    with Gate(site, route(), alarm=alarms.append) as gate:
        array, judged = gate.open(content)
        index = judged.record.result()
    passes = verdict in (Verdict.IDENTICAL, Verdict.LOSSLESS_EQUIVALENT)
    assert judged.match.verdict is verdict
    assert (array is not None, judged.mode, bool(alarms)) == (passes, "verified" if passes else "refused", not passes)
    body = site.verified(index).body
    assert body["verdict"][0] == verdict.value
    assert (body["mode"], body["model"], body["version"]) == (judged.mode, "net", "1.0")


def test_the_array_is_the_decoded_one(site: Site) -> None:
    with Gate(site, route(), alarm=silent) as gate:
        array, judged = gate.open(CT)
        index = judged.record.result()
    want = pydicom.dcmread(__import__("io").BytesIO(CT)).pixel_array  # pydicom is the oracle
    assert array is not None
    assert np.array_equal(array[..., 0], want)
    row = site.vault.at(index)
    assert row is not None
    assert opened(site.record(index), row)["tensor"] == tensor_hash(array)


def test_unknown_and_broken_inputs(site: Site) -> None:
    with Gate(site, route(), alarm=silent) as gate:
        assert gate.open(b"a note that nobody captured").verdict.match.verdict is Verdict.UNREGISTERED
        assert gate.open(b"\xff\xd8\xffrubbish").verdict.match.verdict is Verdict.UNDECODABLE
        assert gate.open(CT[:2000]).verdict.match.verdict is Verdict.UNDECODABLE
        assert gate.open(b"").array is None


def test_what_is_hashed_is_what_is_handed_over(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The content is read once: a source that answers otherwise the second time is not asked a second time."""
    calls = []
    real = read

    def once(content: Any, *a: Any, **k: Any) -> Any:
        calls.append(1)
        return real(content, *a, **k)

    monkeypatch.setattr(gate_module, "read", once)
    with Gate(site, route(), alarm=silent) as gate:
        array, _ = gate.open(CT)
    assert len(calls) == 1
    assert array is not None


def test_a_file_that_is_swapped_during_the_call_changes_nothing(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "in.dcm"
    path.write_bytes(CT)
    content = path.read_bytes()
    path.write_bytes(edited(CT, one_pixel))
    with Gate(site, route(), alarm=silent) as gate:
        array, judged = gate.open(content)
    assert judged.mode == "verified"
    assert array is not None
    assert hashlib.sha256(content).hexdigest() == hashlib.sha256(CT).hexdigest()


def test_the_expected_record_is_held_to(site: Site) -> None:
    with Gate(site, route(), alarm=silent) as gate:
        assert gate.open(CT, expected=5).verdict.mode == "verified"
        wrong = gate.open(CT, expected=6)
        assert wrong.verdict.match.verdict is Verdict.SUBSTITUTED
        assert wrong.array is None
        assert gate.open(CT, expected=0).verdict.match.verdict is Verdict.EVIDENCE_INVALID


def test_marked_routes_run_with_an_alarm_and_a_logged_override(site: Site) -> None:
    alarms: list[str] = []
    with Gate(site, route("mark"), alarm=alarms.append) as gate:
        array, judged = gate.open(edited(CT, one_pixel))
        # The override was in the log before the array was handed over.
        assert judged.record.done()
        index = judged.record.result()
    assert array is not None
    assert judged.mode == "unverified"
    assert len(alarms) == 1
    override, inference = site.verified(index - 1).body, site.verified(index).body
    assert (override["type"], override["verdict"]) == ("override", "PIXELS-CHANGED")
    assert (inference["type"], inference["mode"]) == ("inference", "unverified")


def test_an_override_that_cannot_be_logged_hands_nothing_over(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Site, agent: str, drafts: Any) -> list[int]:
        raise WriteError("No space left.")

    monkeypatch.setattr(Site, "write", full)
    alarms: list[str] = []
    gate = Gate(site, route("mark"), alarm=alarms.append)
    array, judged = gate.open(edited(CT, one_pixel))
    assert array is None
    assert judged.mode == "refused"
    assert any("cannot be logged" in a for a in alarms)
    # From now on nothing is verified silently either: a route that fails closed refuses.
    strict = Gate(site, route(), alarm=alarms.append)
    first = strict.open(CT)
    with pytest.raises(WriteError):
        first.verdict.record.result()
    alarms.clear()
    assert strict.open(CT).array is None
    assert [a for a in alarms if "cannot be written" in a and "No space left" in a]
    for g in (gate, strict):
        with pytest.raises(WriteError):
            g.close()


def test_a_recipe_must_be_registered(site: Site) -> None:
    other = Recipe.of("other", [{"op": "frame", "index": 0}, {"op": "divide", "by": 2}])
    with pytest.raises(UsageError, match="not registered"):
        Gate(site, Route("r", "m", "1", other))
    with pytest.raises(UsageError, match="no key"):
        Gate(site, route(), agent="nobody")
    assert register(site, FRAME) == register(site, FRAME)


def test_a_broken_record_is_evidence_invalid_and_never_a_pass(tmp_path: Path) -> None:
    site, (done,) = site_at(tmp_path / "s", CT)
    with site.vault.writing():
        site.vault._db.execute("UPDATE record SET salt = zeroblob(32) WHERE idx = ?", (done.index,))
    with Gate(site, route(), alarm=silent) as gate:
        opened_ = gate.open(CT)
    assert opened_.verdict.match.verdict is Verdict.EVIDENCE_INVALID
    assert opened_.array is None
    site.close()


ROWS = {
    "salt": "UPDATE record SET salt = zeroblob(32) WHERE idx = 5",
    "a value": "UPDATE record SET clear = json_set(clear, '$.f1', json_extract(clear, '$.f0')) WHERE idx = 5",
    "a value less": "UPDATE record SET clear = json_remove(clear, '$.f5') WHERE idx = 5",
    "detail of another": "UPDATE record SET detail = (SELECT detail FROM record WHERE idx = 6) WHERE idx = 5",
    "entry of another": "UPDATE record SET entry = (SELECT entry FROM record WHERE idx = 6) WHERE idx = 5",
}
SAID = {
    "salt": "is not what the log committed to",
    "a value": "The vault's f1 of record 5 is not what the log committed to",
    "a value less": "does not belong to that record",
    "detail of another": "The vault's detail of record 5 is not what the log committed to",
    "entry of another": "copy of record 5 is not what the log holds",
}


@pytest.mark.parametrize("name", ROWS)
def test_a_changed_row_of_the_vault_is_named(tmp_path: Path, name: str) -> None:
    site, _ = site_at(tmp_path / "s", CT, MR)
    with site.vault.writing():
        assert site.vault._db.execute(ROWS[name]).rowcount == 1
    with Gate(site, route(), alarm=silent) as gate:
        shown = gate.open(CT)
    assert shown.array is None
    assert shown.verdict.match.verdict is Verdict.EVIDENCE_INVALID
    assert SAID[name] in shown.verdict.sentence
    site.close()


def test_what_is_hashed_is_what_is_handed_over_unverified(site: Site) -> None:
    suspect = edited(CT, one_pixel)
    with Gate(site, route("mark"), alarm=silent) as gate:
        array, judged = gate.open(suspect)
    assert array is not None
    index = judged.record.result()
    row = site.vault.at(index)
    assert row is not None
    clear = opened(site.verified(index), row)
    assert clear == {"f0": hashlib.sha256(suspect).hexdigest(), "tensor": tensor_hash(array)}
    assert (array == FRAME.run(read(suspect))).all()


def test_a_tensor_hash_is_of_shape_and_type_too() -> None:
    zeros = [np.zeros(shape, dtype) for shape in ((2, 6), (6, 2), (12,)) for dtype in ("<i4", "<f4", "<u4")]
    assert len({tensor_hash(z) for z in zeros}) == len(zeros)
    assert tensor_hash(zeros[0].astype(">i4")) == tensor_hash(zeros[0])


def test_captures_of_a_revoked_agent_do_not_verify_after_the_revocation(tmp_path: Path) -> None:
    from nocere.provenance.capture import capture

    site, _ = site_at(tmp_path / "s", CT)
    site.revoke("capture")
    capture(site, [("late", lambda: MR)])
    with Gate(site, route(), alarm=silent) as gate:
        assert gate.open(CT).verdict.mode == "verified"
        assert gate.open(MR).verdict.match.verdict is Verdict.EVIDENCE_INVALID
    site.close()


def test_amendments_cover_what_they_name_and_no_more(tmp_path: Path) -> None:
    site, (done,) = site_at(tmp_path / "s", CT)
    assert done.fingerprint is not None
    merged = edited(CT, patient)
    with Gate(site, route(), alarm=silent) as gate:
        assert gate.open(merged).array is None
        amend(site, done.fingerprint, print_of(site, merged), [done.index or 0], "merge")
        good = gate.open(merged)
        assert (good.verdict.mode, good.verdict.match.verdict) == ("verified", Verdict.IDENTITY_COERCED)
        # Another patient, or the same one with another window, is not covered.
        assert gate.open(edited(CT, lambda ds: patient(ds, "THIRD"))).array is None
        both = gate.open(edited(merged, window))
        assert both.array is None
        assert both.verdict.match.verdict is Verdict.MEANING_CHANGED
        assert gate.open(edited(merged, one_pixel)).array is None
    site.close()


def test_amendments_need_a_reason_and_an_agent_that_may(tmp_path: Path) -> None:
    site, (done,) = site_at(tmp_path / "s", CT)
    assert done.fingerprint is not None
    with pytest.raises(UsageError, match="Reasons"):
        amend(site, done.fingerprint, print_of(site, edited(CT, patient)), [5], "because")
    with pytest.raises(UsageError, match="no merge changes"):
        amend(site, done.fingerprint, print_of(site, edited(CT, window)), [5], "merge")
    with pytest.raises(UsageError, match="Capture the new file"):
        amend(site, done.fingerprint, print_of(site, edited(CT, one_pixel)), [5], "correction")
    with pytest.raises(UsageError, match="nothing to authorise"):
        amend(site, done.fingerprint, done.fingerprint, [5], "correction")
    # Written by an agent in another role it covers nothing.
    amend(site, done.fingerprint, print_of(site, edited(CT, patient)), [5], "merge", agent="gate")
    with Gate(site, route(), alarm=silent) as gate:
        assert gate.open(edited(CT, patient)).verdict.match.verdict is Verdict.EVIDENCE_INVALID
    site.close()


def test_a_correction_covers_an_attribute(tmp_path: Path) -> None:
    site, (done,) = site_at(tmp_path / "s", CT)
    assert done.fingerprint is not None
    corrected = edited(CT, window)
    amend(site, done.fingerprint, print_of(site, corrected), [5], "correction")
    with Gate(site, route(), alarm=silent) as gate:
        assert gate.open(corrected).verdict.mode == "verified"
        # Another value of the same attribute is not what was signed for.
        other = gate.open(edited(CT, lambda ds: setattr(ds, "WindowCenter", "78")))
        assert other.array is None
        assert other.verdict.match.verdict is Verdict.MEANING_CHANGED
    site.close()


def test_an_amendment_is_of_the_records_that_it_signs_for(tmp_path: Path) -> None:
    """The vault finds amendments; what they are about is what the log says."""
    site, (first, second) = site_at(tmp_path / "s", CT, MR)
    assert first.fingerprint is not None
    amend(site, first.fingerprint, print_of(site, edited(CT, patient)), [first.index or 0], "merge")
    with sqlite3.connect(site.folder / "private" / "vault.sqlite") as db:
        row = (f"of:{second.index}", f"of:{first.index}")
        assert db.execute("UPDATE tier SET name = ? WHERE name = ?", row).rowcount == 1
    db.close()
    with Gate(site, route(), alarm=silent) as gate:
        shown = gate.open(edited(MR, patient))
        assert shown.array is None
        assert shown.verdict.match.verdict is Verdict.IDENTITY_COERCED
    site.close()


def test_recipes_do_what_they_say() -> None:
    reading = read(CT)
    assert reading.pixels is not None
    slope_one = Recipe.of("hu", [{"op": "frame", "index": 0}, {"op": "rescale"}]).run(reading)
    ds = pydicom.dcmread(__import__("io").BytesIO(CT))
    assert np.array_equal(slope_one[..., 0], ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept))
    windowed = Recipe.of(
        "w", [{"op": "frame", "index": 0}, {"op": "rescale"}, {"op": "window", "centre": 40, "width": 400}]
    )
    from pydicom.pixels.processing import apply_windowing

    ds.WindowCenter, ds.WindowWidth = 40, 400
    hu = slope_one[..., 0]
    ds.RescaleSlope, ds.RescaleIntercept, ds.PixelRepresentation = 1, 0, 1
    want = apply_windowing(hu, ds)
    got = windowed.run(reading)[..., 0]
    assert np.allclose(got, (want - want.min()) / (want.max() - want.min()), atol=1e-6)
    first = Recipe.of("c", [{"op": "frame", "index": 0}, {"op": "channels_first"}, {"op": "float32"}]).run(reading)
    assert first.shape == (1, 128, 128)
    assert first.dtype == np.float32


@pytest.mark.parametrize(
    "steps",
    [
        [{"op": "exec", "code": 1}],
        [{"op": "frame"}],
        [{"op": "frame", "index": "0"}],
        [{"op": "divide", "by": float("nan")}],
        [{"op": "frame", "index": 0, "more": 1}],
    ],
)
def test_wrong_recipes_are_refused(steps: list[dict[str, Any]]) -> None:
    with pytest.raises(DataError):
        Recipe.of("bad", steps)


def test_steps_that_do_not_fit_are_named() -> None:
    with pytest.raises(DataError, match="Step 1"):
        Recipe.of("f", [{"op": "frame", "index": 9}]).run(read(CT))
    with pytest.raises(DataError, match="no samples"):
        FRAME.run(read(b"text"))


def test_the_origin_is_in_every_checkpoint(site: Site) -> None:
    assert site.log.checkpoint().startswith(ORIGIN + "\n")
