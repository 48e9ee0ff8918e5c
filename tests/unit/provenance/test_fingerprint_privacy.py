"""No patient data outside of the detail, none in an error, and no identity that can be guessed (G11)."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import struct
import warnings
import zlib
from collections.abc import Mapping

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from tests.provenance_edits import EDITS, Subject, test_files, written

from nocere.core.errors import NocereError
from nocere.provenance.fingerprint import compare, findings, fingerprint, read

KEY = bytes(range(32))
CANARY = "ZANZIBAR"
DATE, NUMBER = "19431231", "8675309"
TEXT_VRS = ("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT", "UR")


def canaries() -> bytes:
    """A file with a canary in every text attribute of the dictionary that fits into an image, also in a sequence."""
    ds = pydicom.dcmread(test_files()["MR_small.dcm"])
    inner = Dataset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, (vr, _, _, retired, keyword) in pydicom.datadict.DicomDictionary.items():
            group = number >> 16
            if retired or not keyword or group not in (0x08, 0x10, 0x12, 0x18, 0x20, 0x28, 0x32, 0x40):
                continue
            kept = keyword in ("PhotometricInterpretation", "SpecificCharacterSet")
            for data_set in (ds, inner):
                if vr in TEXT_VRS and not kept:
                    data_set.add_new(number, vr, CANARY)
                elif vr == "DA":
                    data_set.add_new(number, vr, DATE)
                elif vr == "UI" and keyword not in ("SOPClassUID",):
                    data_set.add_new(number, vr, f"1.2.{NUMBER}")
        ds.PerFrameFunctionalGroupsSequence = [inner]
        ds.private_block(0x0099, CANARY, create=True).add_new(1, "LO", CANARY)
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.preamble = CANARY.encode() + b"\x00" * (128 - len(CANARY))
        return written(ds)


def assert_clean(text: str) -> None:
    for secret in (CANARY, DATE, NUMBER):
        for form in (secret, secret.lower(), secret.encode().hex()):
            assert form not in text.lower() and form not in text


def test_nothing_of_a_dicom_file_is_in_the_fingerprint() -> None:
    f = fingerprint(read(canaries()), KEY)
    assert CANARY in f.to_json()  # the detail does hold values, so the search below can find something
    assert_clean(f.to_json(detail=False))
    assert_clean(repr(f))


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def picture() -> bytes:
    exif = Image.Exif()
    exif[0x010E] = exif[0x013B] = exif[0x8298] = CANARY
    exif[0x8769] = {0xA431: CANARY, 0xA430: CANARY, 0xA420: NUMBER, 0x9003: DATE}
    out = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), "u1")).save(out, "PNG", exif=exif)
    png = out.getvalue()
    return png[:33] + chunk(b"tEXt", f"Comment\x00{CANARY} {DATE}".encode()) + png[33:]


def recording() -> dict[str, bytes]:
    header = f"{CANARY} 1 360 4\n{CANARY}.dat 16 200/mV 12 0 0 0 0 {CANARY}\n# {CANARY} {DATE}\n"
    return {f"{CANARY}.hea": header.encode(), f"{CANARY}.dat": b"\x01\x00" * 4, f"{CANARY}.atr": CANARY.encode()}


CLAIM = {
    "resourceType": "Patient",
    CANARY: CANARY,
    "id": CANARY,
    "name": [{CANARY: DATE}],
    "identifier": [{"v": NUMBER}],
}
OTHERS = {
    "image": picture,
    "wfdb": recording,
    "note": lambda: f"{CANARY} {DATE} {NUMBER}".encode(),
    "json": lambda: json.dumps(CLAIM).encode(),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_nothing_of_the_other_kinds_is_in_the_fingerprint(kind: str) -> None:
    if kind == "wfdb":
        pytest.importorskip("wfdb")
    assert_clean(fingerprint(read(OTHERS[kind](), kind), KEY).to_json(detail=False))


def broken() -> list[tuple[str, bytes | Mapping[str, bytes]]]:
    """Files that are refused in as many ways as there are, each full of canaries."""
    dicom = canaries()
    subject = Subject("canaries", dicom)
    cases: list[tuple[str, bytes | Mapping[str, bytes]]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases += [("dicom", e.content) for edit in EDITS if edit.group == "broken" and (e := edit.apply(subject))]
    cases += [("dicom", dicom[:n]) for n in range(140, len(dicom), 997)]
    cases += [("dicom", dicom.replace(b"MONOCHROME2 ", CANARY.encode().ljust(12))), ("dicom", CANARY.encode() * 40)]
    for old, new in (
        (b"\x28\x00\x10\x00US", b"\x28\x00\x10\x00LO"),
        (b"1.2.840.10008.1.2.1\x00", CANARY.encode().ljust(20)),
    ):
        cases.append(("dicom", dicom.replace(old, new)))
    cases += [
        ("image", b"\xff\xd8" + CANARY.encode()),
        ("image", picture()[:-9] + CANARY.encode()),
        ("image", b"GIF8" + CANARY.encode()),
    ]
    cases += [
        ("note", CANARY.encode() + b"\xff"),
        ("json", b'{"' + CANARY.encode()),
        ("json", f'{{"{CANARY}":1,"{CANARY}":2}}'.encode()),
    ]
    cases += [("json", f'{{"{CANARY}": 1{"0" * 400}}}'.encode()), ("json", f'["{CANARY}", NaN]'.encode())]
    header = recording()[f"{CANARY}.hea"]
    for bad in (
        header.replace(b" 16 ", f" {CANARY} ".encode()),
        header.replace(b".dat", b".dad"),
        header.replace(b"360", CANARY.encode()),
    ):
        cases.append(("wfdb", {**recording(), f"{CANARY}.hea": bad}))
    return cases


def test_nothing_is_in_an_error_or_in_a_log_line_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("wfdb")
    caplog.set_level(logging.INFO)  # below it, wfdb's file layer logs the names of files
    refused = 0
    cases = broken()
    caplog.clear()  # pydicom speaks while the test makes its files
    for kind, content in cases:
        try:
            read(content, kind)
        except NocereError as e:
            refused += 1
            assert_clean(str(e))
            assert_clean(e.hint)
    assert refused >= 25
    assert_clean(caplog.text)


def test_a_verdict_names_attributes_and_no_values() -> None:
    first = canaries()
    ds = pydicom.dcmread(io.BytesIO(first))
    ds.PatientID = ds.Laterality = ds.PatientName = "OTHER" + CANARY[:3]
    difference = compare(fingerprint(read(first), KEY), fingerprint(read(written(ds)), KEY))
    for finding in findings(difference):
        assert_clean(finding.sentence + " ".join(finding.support))


def test_an_identity_cannot_be_guessed_without_the_site_key() -> None:
    """Somebody who holds the fingerprint and the rules tries all patient ids; with the key, or a plain hash, it works."""
    from nocere.provenance.fingerprint.encoding import encode, present
    from nocere.provenance.fingerprint.tiers import identity_macs

    ds = pydicom.dcmread(test_files()["MR_small.dcm"])
    ds.PatientID = "4711"
    f = fingerprint(read(written(ds)), KEY)
    told = json.loads(f.to_json(detail=False))
    tag = "(0010,0020)"
    candidates = [str(n) for n in range(4000, 5000)]

    def rules(value: str) -> bytes:
        return encode("identity", b"dicom", tag.encode(), present(value))

    guesses = {
        h for c in candidates for h in (hashlib.sha256(rules(c)).hexdigest(), hashlib.sha256(c.encode()).hexdigest())
    }
    empty_key = {identity_macs("dicom", {tag: c}, bytes(32))[tag] for c in candidates}
    assert told["f4"][tag] not in guesses | empty_key

    plain = hashlib.sha256(rules("4711")).hexdigest()
    assert [c for c in candidates if hashlib.sha256(rules(c)).hexdigest() == plain] == ["4711"]
    assert [c for c in candidates if identity_macs("dicom", {tag: c}, KEY)[tag] == told["f4"][tag]] == ["4711"]


def test_equal_values_and_absence_do_not_show() -> None:
    """Neither that two fields hold the same value, nor which field is absent, can be read from F4."""
    ds = pydicom.dcmread(test_files()["MR_small.dcm"])
    ds.PatientID = ds.AccessionNumber = "SAME"
    for keyword in ("StationName", "StudyID"):
        if keyword in ds:
            del ds[keyword]
    f4 = fingerprint(read(written(ds)), KEY).f4
    assert len(set(f4.values())) == len(f4)
