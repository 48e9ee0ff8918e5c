"""Fingerprints of real pictures, recordings, notes and claims, and of the larger DICOM files of pydicom-data."""

from __future__ import annotations

import csv
import io
import json
import lzma
import os
import warnings
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.provenance_edits import EDITS, Subject, largest_difference, test_files

from nocere.core.errors import DataError
from nocere.provenance.fingerprint import Difference, Verdict, compare, fingerprint, headline, prove, read

DATA = Path(__file__).parents[3] / "shared" / "data"
KEY = bytes(range(32))
FILES = test_files()
LIMIT = None if os.environ.get("NOCERE_SOAK") else 25
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"the real data sets are not at {DATA}")
pytestmark = pytest.mark.real


def between(a: bytes | dict[str, bytes], b: bytes | dict[str, bytes]) -> Difference:
    return compare(fingerprint(read(a), KEY), fingerprint(read(b), KEY))


def png(array: np.ndarray, **options: object) -> bytes:  # type: ignore[type-arg]
    out = io.BytesIO()
    Image.fromarray(array).save(out, "PNG", **options)
    return out.getvalue()


@needs_data
@pytest.mark.parametrize(("folder", "pattern"), [("cxr", "*.png"), ("derm", "*.jpg"), ("fundus", "*.jpg")])
def test_pictures(folder: str, pattern: str) -> None:
    """Read as Pillow reads them; re-encoding without loss is no alarm; one bit is named; no two are equal."""
    rng = np.random.default_rng(0)
    seen = set()
    paths = sorted((DATA / folder).rglob(pattern))[:LIMIT]
    assert paths
    for path in paths:
        content = path.read_bytes()
        original = read(content)
        array = np.array(Image.open(path))
        assert original.pixels is not None and np.array_equal(original.pixels.reshape(array.shape), array)
        d = between(content, png(array, compress_level=1))
        assert "F2" not in d.tiers and not d.identity
        assert {c.attribute for c in d.meaning} <= {
            "density",
            "icc",
            "exif colour space",
            "sRGB",
            "gAMA",
            "pHYs",
            "cHRM",
        }
        row, column = (int(rng.integers(n)) for n in array.shape[:2])
        changed = array.copy()
        changed[row, column] ^= 1
        d = between(png(array), png(changed))
        assert [(t.row, t.column) for t in d.tiles] == [(row // 64, column // 64)]
        seen.add(fingerprint(original, KEY).f2)
    assert len(seen) >= len(paths) - 1  # the sets hold no more than one pair of equal pictures among these


@needs_data
def test_recordings() -> None:
    """A whole record rewritten in another format is the same; one sample is named by channel and time."""
    wfdb = pytest.importorskip("wfdb")
    files = {p.name: p.read_bytes() for p in (DATA / "ecg" / "records").glob("100.*")}
    original = read(files)
    record = wfdb.rdrecord(str(DATA / "ecg" / "records" / "100"), physical=False)
    assert original.pixels is not None and np.array_equal(original.pixels[0, :, :, 0], record.d_signal)
    leaves = fingerprint(original, KEY).detail
    assert leaves is not None and leaves.shape is not None
    proof = prove(leaves.tiles, leaves.shape, 0, 7)
    top, left, bottom, right = leaves.shape.box(7)
    assert proof.holds(original.pixels[0, top:bottom, left:right], fingerprint(original, KEY).f2)


@needs_data
def test_a_record_in_another_format(tmp_path: Path) -> None:
    wfdb = pytest.importorskip("wfdb")
    files = {p.name: p.read_bytes() for p in (DATA / "ecg" / "records").glob("100.*")}
    record = wfdb.rdrecord(str(DATA / "ecg" / "records" / "100"), physical=False)
    signal = record.d_signal
    for name, change in (("same", None), ("edited", 123_456)):
        folder = tmp_path / name
        folder.mkdir()
        samples = signal.copy()
        if change is not None:
            samples[change, 1] ^= 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wfdb.wrsamp(
                "100",
                fs=360,
                units=record.units,
                sig_name=record.sig_name,
                d_signal=samples,
                fmt=["16", "16"],
                adc_gain=record.adc_gain,
                baseline=record.baseline,
                comments=record.comments,
                write_dir=str(folder),
            )
        suspect = {p.name: p.read_bytes() for p in folder.iterdir()} | {"100.atr": files["100.atr"]}
        d = between(files, suspect)
        if change is None:
            assert headline(d) is Verdict.LOSSLESS_EQUIVALENT, [str(c) for c in d.meaning]
        else:
            assert [(t.row, t.column) for t in d.tiles] == [(change // 1024, 1)]
            assert d.tiers & {"F2", "F3", "F4"} == {"F2"}


@needs_data
def test_notes_and_claims() -> None:
    with (DATA / "notes" / "aci_train.csv").open(encoding="utf-8") as f:
        notes = [row["note"] for row in csv.DictReader(f)]
    assert len({fingerprint(read(n.encode(), "note"), KEY).f3 for n in notes}) == len(set(notes))
    for note in notes[:20]:
        assert headline(between(note.encode(), note.replace(" ", "  ", 1).encode())) is Verdict.MEANING_CHANGED
    with lzma.open(DATA / "claims" / "desynpuf_inpatient.csv.xz", "rt") as f:
        rows = [{k.lower(): v for k, v in row.items()} for row in islice(csv.DictReader(f), 25)]
    for row in rows:
        base = json.dumps(row).encode()
        assert (
            headline(between(base, json.dumps(row, indent=1, sort_keys=True).encode())) is Verdict.LOSSLESS_EQUIVALENT
        )
        for key in row:
            d = between(base, json.dumps({**row, key: row[key] + "1"}).encode())
            assert [c.attribute for c in d.meaning] == [f"/{key}"]


LARGE = "693_UNCR.dcm MR2_UNCR.dcm MR-SIEMENS-DICOM-WithOverlays.dcm examples_rgb_color.dcm J2K_pixelrep_mismatch.dcm"


@pytest.mark.parametrize("name", LARGE.split())
def test_larger_dicom_files(name: str) -> None:
    if name not in FILES:
        pytest.skip("pydicom-data is not installed")
    file = Subject(name, FILES[name].read_bytes())
    original = fingerprint(read(file.content), KEY)
    groups = ("pixels", "encoding", "broken") if os.environ.get("NOCERE_SOAK") else ("encoding",)
    chosen = [
        e
        for e in EDITS
        if e.group in groups or e.name in ("lsb of the first pixel", "bright patch", "WindowCenter set")
    ]
    done = 0
    for edit in chosen:
        edited = edit.apply(file)
        if edited is None:
            continue
        done += 1
        try:
            d = compare(original, fingerprint(read(edited.content), KEY))
        except DataError:
            assert edited.verdict == "REFUSED", str(edit)
            continue
        assert headline(d).value == edited.verdict, str(edit)
        assert {(t.frame, t.row, t.column) for t in d.tiles} == edited.tiles, str(edit)
    assert done >= 5


@pytest.mark.parametrize("name", sorted(n for n, p in FILES.items() if 400_000 <= p.stat().st_size < 8_000_000))
def test_pixels_of_larger_files_are_those_that_pydicom_decodes(name: str) -> None:
    content = FILES[name].read_bytes()
    if content[128:132] != b"DICM":
        return
    try:
        reading = read(content)
    except DataError:
        return
    assert reading.pixels is not None
    assert largest_difference(reading.pixels, content) <= (1 if reading.codestreams else 0)


def test_lossless_and_uncompressed_twins_of_pydicom_data() -> None:
    """Files that pydicom-data has both compressed without loss and not."""
    pairs = [("693_J2KR.dcm", "693_UNCR.dcm"), ("MR2_J2KR.dcm", "MR2_UNCR.dcm"), ("US1_J2KR.dcm", "US1_UNCR.dcm")]
    pairs += [("RG1_J2KR.dcm", "RG1_UNCR.dcm"), ("RG3_J2KR.dcm", "RG3_UNCR.dcm")]
    found = [p for p in pairs if p[0] in FILES and p[1] in FILES]
    if not found:
        pytest.skip("pydicom-data is not installed")
    for compressed, plain in found:
        a, b = (FILES[n].read_bytes() for n in (compressed, plain))
        one, other = Subject(compressed, a), Subject(plain, b)
        same = np.array_equal(one.array, other.array)
        d = between(a, b)
        assert (not d.tiles) == same, compressed
        # Some pairs have equal samples under another Bits Stored, which F2 names.
        assert set(d.shape) == (set() if one.dataset.BitsStored == other.dataset.BitsStored else {"bits"}), compressed
