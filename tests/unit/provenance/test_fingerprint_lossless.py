"""No false alarm: other encodings of one image by pydicom, DCMTK, GDCM and Orthanc, and de-identification (G2)."""

from __future__ import annotations

import io
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pydicom
import pytest
from tests.provenance_edits import MEANING_VALUES, Subject, plain_value, tag, test_files, written

from nocere.core.errors import DataError
from nocere.provenance.fingerprint import (
    Authorised,
    Difference,
    Verdict,
    compare,
    findings,
    fingerprint,
    headline,
    read,
)

KEY = bytes(range(32))
FILES = test_files()
MR = [n for n in FILES if n.startswith("MR_small") and "trunc" not in n]
NATIVE = [
    "MR_small.dcm",
    "CT_small.dcm",
    "SC_rgb_small_odd.dcm",
    "rtdose.dcm",
    "emri_small.dcm",
    "examples_overlay.dcm",
]
NATIVE += [
    "dicomdirtests/77654033/CR1/6154",
    "dicomdirtests/98892003/MR1/4919",
    "liver_1frame.dcm",
    "ExplVR_BigEnd.dcm",
]
NATIVE = [n for n in NATIVE if n in FILES]


def between(original: bytes, suspect: bytes) -> Difference:
    return compare(fingerprint(read(original), KEY), fingerprint(read(suspect), KEY))


def assert_same(original: bytes, suspect: bytes) -> None:
    difference = between(original, suspect)
    assert not difference.tiers & {"F2", "F2c", "F3", "F4"}, [str(c) for c in difference.meaning] or difference
    assert headline(difference) in (Verdict.IDENTICAL, Verdict.LOSSLESS_EQUIVALENT)


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"the program {name} (DCMTK or Orthanc) is not installed")
    return found


def run(*command: str | Path) -> None:
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-500:]


@pytest.mark.parametrize(("a", "b"), [p for p in product(MR, MR) if p[0] < p[1]])
def test_one_mr_image_in_eight_encodings(a: str, b: str) -> None:
    difference = between(FILES[a].read_bytes(), FILES[b].read_bytes())
    assert difference.tiers <= {"F0"}


@pytest.mark.parametrize(
    "names",
    [
        ("rtdose.dcm", "rtdose_expb.dcm", "rtdose_rle.dcm"),
        ("rtdose_1frame.dcm", "rtdose_expb_1frame.dcm", "rtdose_rle_1frame.dcm"),
        ("liver_1frame.dcm", "liver_expb_1frame.dcm"),
        ("SC_rgb_small_odd.dcm", "SC_rgb_small_odd_big_endian.dcm"),
        ("SC_rgb.dcm", "SC_rgb_expb.dcm", "SC_rgb_rle.dcm"),
        ("SC_rgb_16bit.dcm", "SC_rgb_expb_16bit.dcm", "SC_rgb_rle_16bit.dcm"),
        ("SC_rgb_32bit.dcm", "SC_rgb_expb_32bit.dcm", "SC_rgb_rle_32bit.dcm"),
        ("SC_rgb_2frame.dcm", "SC_rgb_expb_2frame.dcm", "SC_rgb_rle_2frame.dcm"),
        ("SC_rgb_32bit_2frame.dcm", "SC_rgb_expb_32bit_2frame.dcm", "SC_rgb_rle_32bit_2frame.dcm"),
        ("OBXXXX1A.dcm", "OBXXXX1A_expb.dcm", "OBXXXX1A_rle.dcm"),
        ("emri_small.dcm", "emri_small_big_endian.dcm", "emri_small_RLE.dcm", "emri_small_jpeg_ls_lossless.dcm"),
    ],
)
def test_families_of_pydicom(names: tuple[str, ...]) -> None:
    found = [n for n in names if n in FILES]
    if len(found) < 2:
        pytest.skip("pydicom-data, which has these files, is not installed")
    contents = [FILES[n].read_bytes() for n in found]
    for content in contents[1:]:
        difference = between(contents[0], content)
        assert not difference.tiers & {"F2", "F3"}, [str(c) for c in difference.meaning] or difference


DCMTK = {
    "dcmconv explicit": [("dcmconv", "+te")],
    "dcmconv implicit": [("dcmconv", "+ti")],
    "dcmconv big endian": [("dcmconv", "+tb")],
    "dcmconv deflated": [("dcmconv", "+td")],
    "dcmconv defined lengths": [("dcmconv", "+te", "-e", "+g=")],
    "dcmconv padded": [("dcmconv", "+te", "+p", "512", "128")],
    "dcmcrle": [("dcmcrle",)],
    "dcmcrle and back": [("dcmcrle",), ("dcmdrle",)],
    "dcmcjpls": [("dcmcjpls", "+el")],
    "dcmcjpls and back": [("dcmcjpls", "+el"), ("dcmdjpls",)],
    "dcmcjpeg lossless": [("dcmcjpeg", "+e1", "+tl")],
    "dcmcjpeg lossless and back": [("dcmcjpeg", "+e1", "+tl"), ("dcmdjpeg",)],
}
# True lossless JPEG cannot hold 32-bit, 1-bit or signed samples of some files; dcmtk says so and the pair is left out.
UNABLE = ("rtdose.dcm", "liver_1frame.dcm")


# DCMTK swaps 32-bit samples by 16-bit words in big endian, pydicom by 32-bit ones: such a file is read in two ways.
AMBIGUOUS = ("dcmconv big endian", "rtdose.dcm")


@pytest.mark.parametrize(("way", "name"), [p for p in product(DCMTK, NATIVE) if p != AMBIGUOUS])
def test_round_trips_through_dcmtk(name: str, way: str, tmp_path: Path) -> None:
    current = tmp_path / "0.dcm"
    current.write_bytes(FILES[name].read_bytes())
    for i, (program, *options) in enumerate(DCMTK[way], 1):
        after = tmp_path / f"{i}.dcm"
        done = subprocess.run([tool(program), *options, str(current), str(after)], capture_output=True, timeout=60)
        if done.returncode and program.startswith("dcmc") and program != "dcmconv" and name in UNABLE:
            pytest.skip(f"{program} does not encode samples of this size")
        assert done.returncode == 0, done.stderr[-300:]
        current = after
    assert_same(FILES[name].read_bytes(), current.read_bytes())


# GDCM 3.2.6 aborts the process when it encodes colour images of 3 x 3 pixels, so larger ones are taken.
@pytest.mark.parametrize("name", ["MR_small.dcm", "CT_small.dcm"])
@pytest.mark.parametrize("syntax", ["RLELossless", "JPEG2000Lossless", "JPEGLSLossless", "JPEGLosslessProcess14_1"])
def test_round_trips_through_gdcm(name: str, syntax: str, tmp_path: Path) -> None:
    gdcm = pytest.importorskip("gdcm")
    reader = gdcm.ImageReader()
    reader.SetFileName(str(FILES[name]))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
    change.SetInput(reader.GetImage())
    if not change.Change():
        pytest.skip("GDCM does not encode this image so")
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(tmp_path / "out.dcm"))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    difference = between(FILES[name].read_bytes(), (tmp_path / "out.dcm").read_bytes())
    # GDCM's writer sets some attributes anew; samples and identity stay, and what pydicom sees changed is named.
    assert not difference.tiers & {"F2", "F4"}
    before, after = (Subject("", c).dataset for c in (FILES[name].read_bytes(), (tmp_path / "out.dcm").read_bytes()))
    changed = {tag(k) for k in MEANING_VALUES if plain_value(before.get(k)) != plain_value(after.get(k))}
    colour = {tag("PhotometricInterpretation")} if after.PhotometricInterpretation == "YBR_RCT" else set()
    assert {c.attribute for c in difference.meaning} == changed - colour


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """A running Orthanc on loopback: its HTTP and its DICOM port."""
    program = tool("Orthanc")
    folder = tmp_path_factory.mktemp("orthanc")
    with socket.socket() as a, socket.socket() as b:
        a.bind(("127.0.0.1", 0))
        b.bind(("127.0.0.1", 0))
        http, dicom = a.getsockname()[1], b.getsockname()[1]
    config = {
        "HttpPort": http,
        "DicomPort": dicom,
        "RemoteAccessAllowed": False,
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [],
        "UnknownSopClassAccepted": True,
    }
    (folder / "config.json").write_text(json.dumps(config))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, str(folder / "config.json")], stdout=log, stderr=log)
    try:
        for _ in range(200):
            if process.poll() is not None:
                pytest.skip(f"Orthanc does not start here: {(folder / 'log').read_text()[-200:]}")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{http}/system", timeout=5):
                    break
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        yield http, dicom
    finally:
        process.terminate()
        process.wait(timeout=30)


def _stored(http: int) -> dict[str, bytes]:
    def get(path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{http}{path}", timeout=10) as answer:
            return bytes(answer.read())

    found = {}
    for instance in json.loads(get("/instances")):
        content = get(f"/instances/{instance}/file")
        uid = json.loads(get(f"/instances/{instance}/simplified-tags"))["SOPInstanceUID"]
        found[str(uid)] = content
        request = urllib.request.Request(f"http://127.0.0.1:{http}/instances/{instance}", method="DELETE")
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310
    return found


ARCHIVED = [n for n in (*NATIVE, "MR_small_RLE.dcm", "MR_small_jpeg_ls_lossless.dcm") if n not in ("rtdose.dcm",)]


def test_store_and_fetch_through_orthanc(orthanc: tuple[int, int], tmp_path: Path) -> None:
    """C-STORE with DCMTK's storescu, and REST; fetched files have the samples, the meaning and the identity they had."""
    http, dicom = orthanc
    storescu = tool("storescu")
    for name in ARCHIVED:
        content = FILES[name].read_bytes()
        proposal = {"1.2.840.10008.1.2.5": "-xr", "1.2.840.10008.1.2.4.80": "-xt", "1.2.840.10008.1.2.2": "-xb"}
        option = proposal.get(Subject(name, content).syntax, "-xe")
        run(storescu, "-R", option, "127.0.0.1", str(dicom), FILES[name])
        (fetched,) = _stored(http).values()
        assert_same(content, fetched)
        request = urllib.request.Request(f"http://127.0.0.1:{http}/instances", content, method="POST")
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310
        (fetched,) = _stored(http).values()
        assert headline(between(content, fetched)) is Verdict.IDENTICAL


# PS3.15 table E.1-1, Basic Profile: the attributes of it that these files have. X remove, Z empty or dummy, U new UID.
ACTIONS = {
    "X": "InstitutionName InstitutionAddress StationName StudyDescription SeriesDescription PerformingPhysicianName "
    "OperatorsName OtherPatientIDs PatientAge PatientSize PatientWeight AdditionalPatientHistory ImageComments "
    "AcquisitionDate AcquisitionTime AcquisitionDateTime SeriesDate SeriesTime InstitutionalDepartmentName "
    "DeviceSerialNumber IssuerOfPatientID OriginalAttributesSequence PatientComments ProtocolName",
    "Z": "AccessionNumber ReferringPhysicianName PatientName PatientID PatientBirthDate PatientSex StudyID StudyDate "
    "StudyTime ContentDate ContentTime",
    "U": "SOPInstanceUID StudyInstanceUID SeriesInstanceUID FrameOfReferenceUID",
}


def deidentified(content: bytes) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = pydicom.dcmread(io.BytesIO(content))
        for keyword in ACTIONS["X"].split():
            if keyword in ds:
                del ds[keyword]
        for keyword in ACTIONS["Z"].split():
            if keyword in ds:
                ds[keyword].value = ""
        for keyword in ACTIONS["U"].split():
            if keyword in ds:
                ds[keyword].value = pydicom.uid.generate_uid(entropy_srcs=[str(ds[keyword].value)])
        ds.remove_private_tags()
        ds.PatientIdentityRemoved = "YES"
        ds.DeidentificationMethod = "Basic Profile"
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        return written(ds)


@pytest.mark.parametrize("name", [n for n in NATIVE if n != "examples_overlay.dcm"])
def test_deidentification_changes_identity_only(name: str) -> None:
    content = FILES[name].read_bytes()
    difference = between(content, deidentified(content))
    assert difference.tiers - {"F1"} == {"F0", "F4"}, [str(c) for c in difference.meaning]
    assert headline(difference) is Verdict.IDENTITY_COERCED
    assert not findings(difference)[0].authorised
    assert findings(difference, Authorised(identity=set(difference.identity)))[0].authorised
    partly = findings(difference, Authorised(identity=set(difference.identity[1:])))[0]
    assert partly.unauthorised == difference.identity[:1] and not partly.authorised


def test_pixels_that_no_plugin_decodes_are_no_pass() -> None:
    """12-bit DCT (JPEG Extended) has no decoder among the plug-ins that nocere asks for."""
    from nocere.provenance.fingerprint import Undecodable

    with pytest.raises((Undecodable, DataError)) as e:
        read(FILES["JPGExtended.dcm"].read_bytes())
    assert "1.2.840.10008.1.2.4.51" in str(e.value)
