"""DICOM as cases, on files that pydicom and pydicom-data ship; oracles are pydicom and DCMTK."""

from __future__ import annotations

import io
import shutil
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import data_store
import numpy as np
import pydicom
import pytest
from PIL import Image

from nocere.cases.datasets.folder import folder
from nocere.cases.dicom import FILE, DicomCodec, dicom_case, is_dicom, read_dicom, unmarked
from nocere.cases.dicom_exhibit import MARKED
from nocere.core.case import Case, Truth
from nocere.core.errors import DataError, NocereError

PLACES = (Path(pydicom.__file__).parent / "data" / "test_files", Path(data_store.__path__[0]) / "data")
CODEC = DicomCodec()
READ = (
    "693_UNCR.dcm", "693_J2KI.dcm", "CT_small.dcm", "MR_small.dcm", "MR_small_bigendian.dcm", "MR_small_implicit.dcm",
    "MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_padded.dcm",
    "dicomdirtests/77654033/CR1/6154", "SC_rgb_rle.dcm", "SC_rgb_16bit.dcm", "SC_rgb_small_odd.dcm",
    "SC_ybr_full_422_uncompressed.dcm", "SC_rgb_dcmtk_+eb+cy+np.dcm", "examples_rgb_color.dcm", "examples_jpeg2k.dcm",
    "OBXXXX1A.dcm", "OBXXXX1A_expb.dcm", "vlut_04.dcm", "mlut_18.dcm", "explicit_VR-UN.dcm", "image_dfl.dcm",
    "J2K_pixelrep_mismatch.dcm", "JPEGLSNearLossless_16.dcm", "SC_rgb_gdcm2k_uncompressed.dcm",
)  # fmt: skip


def found(name: str) -> bytes:
    return next(p / name for p in PLACES if (p / name).exists()).read_bytes()


def case(name: str, frame: int = 0) -> Case[Any]:
    return dicom_case(name, found(name), Truth.of("a"), frame=frame)


def dataset(data: bytes) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(io.BytesIO(data))


def edited(name: str, edit: Callable[[Any], None]) -> bytes:
    ds = dataset(found(name))
    edit(ds)
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pydicom.dcmwrite(out, ds)
    return out.getvalue()


def changed(c: Case[Any]) -> Any:
    y = np.array(c.x)
    y[..., ::3] ^= 1
    return y


@pytest.mark.parametrize("name", READ)
def test_stored_values_are_what_pydicom_reads(name: str) -> None:
    c = case(name)
    assert is_dicom(found(name)) and not c.x.flags.writeable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = pydicom.pixels.pixel_array(dataset(found(name)), raw=True)
    want = raw[None] if raw.ndim == 2 else raw.transpose(2, 0, 1)
    np.testing.assert_array_equal(c.x, want)
    assert c.x.dtype == (np.int16 if c.header["signed"] else np.uint8 if c.header["bits"] == 8 else np.uint16)


@pytest.mark.parametrize("name", READ)
def test_every_file_survives_being_written_with_and_without_changes(name: str) -> None:
    c = case(name)
    for x in (c.x, changed(c)):
        files = CODEC.encode(c, x)
        assert files == CODEC.encode(c, x)
        again, header = CODEC.decode(files)
        np.testing.assert_array_equal(again, x)
        assert again.dtype == c.x.dtype and header == c.header


@pytest.mark.parametrize("name", READ)
def test_exhibits_are_marked_and_differ_in_nothing_else(name: str) -> None:
    c = case(name)
    plain, marked = (dataset(CODEC.encode(c, x)[FILE]) for x in (c.x, changed(c)))
    assert marked.ImageType[0] == "DERIVED" and marked.QualityControlImage == "YES"
    assert "not for clinical use" in marked.DerivationDescription
    assert marked.SOPInstanceUID != plain.SOPInstanceUID == marked.SourceImageSequence[0].ReferencedSOPInstanceUID
    assert marked.file_meta.MediaStorageSOPInstanceUID == marked.SOPInstanceUID
    assert marked.SeriesInstanceUID != plain.get("SeriesInstanceUID")
    assert marked.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
    differing = {e.keyword for e in marked if e.tag not in plain or plain[e.tag] != e} | {
        e.keyword for e in plain if e.tag not in marked
    }
    assert {k for k in differing if k} <= {*MARKED, "PixelData"}
    # Without the marks the data set is the one that was there, byte for byte but for the pixels.
    bare = unmarked(CODEC.encode(c, changed(c))[FILE], name)
    with pytest.raises(DataError, match="carries no marks"):
        unmarked(bare, name)
    back = CODEC.encode(c, c.x)[FILE]
    assert len(bare) == len(back)
    where = np.flatnonzero(np.frombuffer(bare, "u1") != np.frombuffer(back, "u1"))
    assert where.min() >= len(back) - len(plain.PixelData) - 200 or "DataSetTrailingPadding" in plain
    assert dataset(bare).PixelData == marked.PixelData


@pytest.mark.parametrize("name", ["693_UNCR.dcm", "CT_small.dcm", "RG3_UNCI.dcm", "SC_rgb_rle.dcm", "OBXXXX1A.dcm"])
def test_dcmtk_reads_the_exhibit_as_it_was_meant(name: str, tmp_path: Path) -> None:
    if shutil.which("dcmdump") is None:
        pytest.skip("DCMTK is not installed")
    c = case(name)
    (tmp_path / FILE).write_bytes(CODEC.encode(c, changed(c))[FILE])
    done = subprocess.run(["dcmdump", "-M", str(tmp_path / FILE)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert "=LittleEndianExplicit" in done.stdout
    for line in ("CS [DERIVED", "CS [YES]", "ST [adversarial exhibit, not for clinical use]"):
        assert line in done.stdout


@pytest.mark.parametrize("name", ["693_UNCR.dcm", "CT_small.dcm", "RG3_UNCI.dcm", "MR2_UNCR.dcm", "US1_UNCI.dcm"])
def test_marks_add_no_error_of_a_validator(name: str, tmp_path: Path) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (dicom3tools) is not installed")
    c = case(name)
    said = []
    for x in (c.x, changed(c)):
        (tmp_path / FILE).write_bytes(CODEC.encode(c, x)[FILE])
        done = subprocess.run(["dciodvfy", str(tmp_path / FILE)], capture_output=True, text=True, timeout=60)
        said.append({line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")})
    assert said[1] <= said[0], said[1] - said[0]


def test_an_exhibit_is_not_audited_again() -> None:
    c = case("CT_small.dcm")
    again = dicom_case("again", CODEC.encode(c, changed(c))[FILE], Truth.of("a"))
    np.testing.assert_array_equal(again.x, changed(c))
    with pytest.raises(DataError, match="exhibit already"):
        CODEC.encode(again, again.x)


def test_values_beyond_the_bits_are_no_file() -> None:
    c = case("693_UNCR.dcm")
    beyond = np.array(c.x)
    beyond[0, 0, 0] = 1 << 13
    with pytest.raises(DataError, match="from -8192 to 8191"):
        CODEC.encode(c, beyond)


def test_one_frame_of_several_is_chosen_and_says_whence_it_comes() -> None:
    with pytest.raises(DataError, match="30 frames, and none is chosen"):
        case("examples_ybr_color.dcm")
    with pytest.raises(DataError, match="frame 31 is not one of them"):
        case("examples_ybr_color.dcm", 31)
    one, two = case("examples_ybr_color.dcm", 1), case("examples_ybr_color.dcm", 2)
    assert one.header["frame"] == 1 and two.header["frame"] == 2
    assert (one.x != two.x).any()
    written = dataset(CODEC.encode(two, two.x)[FILE])
    source = written.SourceImageSequence[0]
    assert written.NumberOfFrames == 1 and source.ReferencedFrameNumber == 2
    assert source.ReferencedSOPInstanceUID == dataset(found("examples_ybr_color.dcm")).SOPInstanceUID
    assert written.SOPInstanceUID != source.ReferencedSOPInstanceUID


def test_frames_of_enhanced_files_have_windows_of_their_own() -> None:
    c = case("eCT_Supplemental.dcm", 2)
    written = dataset(CODEC.encode(c, changed(c))[FILE])
    assert len(written.PerFrameFunctionalGroupsSequence) == 1
    groups = dataset(found("eCT_Supplemental.dcm"))
    for seen, outer in (
        (groups.PerFrameFunctionalGroupsSequence[1], True),
        (groups.SharedFunctionalGroupsSequence[0], 0),
    ):
        if "FrameVOILUTSequence" in seen:
            item = seen.FrameVOILUTSequence[0]
            want = [[float(item.WindowCenter), float(item.WindowWidth), "LINEAR"]]
            assert c.header["display"]["windows"] == want, outer  # type: ignore[index,call-overload]
            return
    raise AssertionError("the file has no window to compare with")


def test_groups_of_the_chosen_frame_count_before_those_of_all() -> None:
    def windowed(ds: Any) -> None:
        for k, groups in enumerate(ds.PerFrameFunctionalGroupsSequence):
            item = pydicom.Dataset()
            item.WindowCenter, item.WindowWidth = 100 * (k + 1), 50
            groups.FrameVOILUTSequence = [item]

    data = edited("eCT_Supplemental.dcm", windowed)
    for frame in (1, 2):
        header: Any = read_dicom(data, "e.dcm", frame)[1]
        assert header["display"]["windows"] == [[100.0 * frame, 50.0, "LINEAR"]]


def test_words_of_big_endian_files_are_turned() -> None:
    """The palette of a big-endian file, which pydicom leaves as it is, is that of its little-endian twin."""
    little, big = case("OBXXXX1A.dcm"), case("OBXXXX1A_expb.dcm")
    np.testing.assert_array_equal(little.x, big.x)
    assert little.header["display"] == big.header["display"]


def drop(keyword: str) -> Callable[[Any], None]:
    return lambda ds: ds.__delattr__(keyword)


def put(**values: Any) -> Callable[[Any], None]:
    return lambda ds: [setattr(ds, k, v) for k, v in values.items()] and None


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (lambda: found("rtplan.dcm"), "no pixels"),
        (lambda: found("liver_1frame.dcm"), "1 bits in 1"),
        (lambda: found("rtdose_1frame.dcm"), "32 bits in 32"),
        (lambda: found("gdcm-US-ALOKA-16.dcm"), "segmented palettes"),
        (lambda: edited("CT_small.dcm", put(SamplesPerPixel=3)), "MONOCHROME2 contradicts 3 sample"),
        (
            lambda: edited("SC_rgb_small_odd.dcm", put(PhotometricInterpretation="MONOCHROME2")),
            "MONOCHROME2 contradicts 3",
        ),
        (
            lambda: edited("CT_small.dcm", put(PresentationLUTShape="INVERSE")),
            "MONOCHROME2 contradicts Presentation LUT",
        ),
        (
            lambda: edited("CT_small.dcm", put(PhotometricInterpretation="PALETTE COLOR")),
            "indices with a sign contradict",
        ),
        (lambda: edited("MR_small.dcm", put(WindowWidth=[1600, 20])), "1 window centres contradict 2 window widths"),
        (lambda: edited("MR_small.dcm", put(WindowWidth=0)), "needs a width of at least 1"),
        (lambda: edited("MR_small.dcm", put(VOILUTFunction="CUBIC")), "function is one of LINEAR"),
        (lambda: edited("CT_small.dcm", put(RescaleSlope=0)), "Rescale Slope .* is 0"),
        (lambda: edited("mlut_18.dcm", put(RescaleSlope=2, RescaleIntercept=0)), "modality LUT and a rescale"),
        (lambda: edited("CT_small.dcm", put(HighBit=14)), "High Bit is 14"),
        (lambda: edited("CT_small.dcm", drop("BitsStored")), "BitsStored is missing"),
        (
            lambda: edited("OBXXXX1A.dcm", drop("RedPaletteColorLookupTableData")),
            "RedPaletteColorLookupTableData is miss",
        ),
        (lambda: found("MR_truncated.dcm"), "cannot be decoded"),
        (lambda: found("CT_small.dcm")[:3000], "no pixels|cannot be"),
        (lambda: b"\0" * 128 + b"DICM" + b"\1\2\3\4" * 9, "this DICOM"),
    ],
)
def test_what_is_not_read_is_refused_in_one_sentence(data: Callable[[], bytes], why: str) -> None:
    with pytest.raises(NocereError, match=why) as refused:
        read_dicom(data(), "file.dcm")
    assert "Traceback" not in str(refused.value) and "\n" not in str(refused.value)


def test_a_missing_plug_in_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from pydicom.pixels.decoders import base

    class Bare(base.Decoder):
        @property
        def available_plugins(self) -> tuple[str, ...]:
            return ()

        @property
        def missing_dependencies(self) -> list[str]:
            return ["pylibjpeg - requires pylibjpeg>=2.0 and pylibjpeg-openjpeg>=2.0"]

    monkeypatch.setattr(base, "get_decoder", lambda uid: Bare(uid))
    with pytest.raises(DataError, match=r"JPEG 2000 .*1\.2\.840\.10008\.1\.2\.4\.9.*requires pylibjpeg") as refused:
        case("MR_small_jp2klossless.dcm")
    assert "nocere[dicom]" in refused.value.hint


def test_folders_of_dicom_files_and_frames(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(found("CT_small.dcm"))
    (tmp_path / "b.dcm").write_bytes(found("SC_rgb_rle_2frame.dcm"))
    (tmp_path / "m.csv").write_text("path,label,frame\na.dcm,x,\nb.dcm,y,1\nb.dcm,y,2\n")
    cases = folder(tmp_path / "m.csv")
    assert [r.id for r in cases.refs] == ["a.dcm", "b.dcm#1", "b.dcm#2"]
    assert [r.group for r in cases.refs] == ["a.dcm", "b.dcm", "b.dcm"]
    assert (cases.load("b.dcm#1").x != cases.load("b.dcm#2").x).any()
    (tmp_path / "m.csv").write_text("path,label,frame\nb.dcm,y,0\n")
    with pytest.raises(DataError, match="frame '0' is no number counted from 1"):
        folder(tmp_path / "m.csv")


def test_dicom_and_png_are_two_lists(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(found("SC_rgb_rle.dcm"))
    out = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(out, "PNG")
    (tmp_path / "b.png").write_bytes(out.getvalue())
    (tmp_path / "m.csv").write_text("path,label\na.dcm,x\nb.png,y\n")
    with pytest.raises(DataError, match="a list of its own"):
        folder(tmp_path / "m.csv")
