"""The corners of DICOM: nesting, bombs, fragments, high bits, overlays in pixels, character sets, VRs, codestreams (G14)."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.encaps import encapsulate
from tests.provenance_edits import Subject, largest_difference, set_pixels, tag, test_files, written

from nocere.core.errors import DataError
from nocere.provenance.fingerprint import (
    Difference,
    Fingerprint,
    Undecodable,
    Verdict,
    compare,
    fingerprint,
    headline,
    read,
)
from nocere.provenance.fingerprint.dicom_elements import MAX_DEPTH

KEY = bytes(range(32))
FILES = test_files()


def load(name: str = "MR_small.dcm") -> Dataset:
    return Subject(name, FILES[name].read_bytes()).copy()


def capture(content: bytes) -> Fingerprint:
    return fingerprint(read(content), KEY)


def between(a: bytes, b: bytes) -> Difference:
    return compare(capture(a), capture(b))


def element(number: int, vr: str, value: bytes, length: int | None = None) -> bytes:
    """An explicit little-endian element, as it is written here and not as a library would."""
    head = struct.pack("<HH", number >> 16, number & 0xFFFF) + vr.encode()
    size = len(value) if length is None else length
    long = vr in ("OB", "OW", "SQ", "UN", "UT")
    return head + (struct.pack("<HI", 0, size) if long else struct.pack("<H", size)) + value


def insert(content: bytes, raw: bytes) -> bytes:
    """Put an element of group 0028 or lower before the pixel data."""
    at = content.rfind(b"\xe0\x7f\x10\x00OW")
    assert at > 0
    return content[:at] + raw + content[at:]


def nested(depth: int) -> bytes:
    inner = b""
    for _ in range(depth):
        inner = element(0x00081140, "SQ", struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner)
    return inner


def test_nesting_is_bounded() -> None:
    base = FILES["MR_small.dcm"].read_bytes()
    assert between(base, insert(base, nested(MAX_DEPTH - 2))).tiers == {"F0", "F1"}
    for depth in (MAX_DEPTH + 5, 2000):
        with pytest.raises(DataError, match="nested"):
            read(insert(base, nested(depth)))


def test_a_bomb_is_not_inflated() -> None:
    base = FILES["image_dfl.dcm"].read_bytes()
    size = struct.unpack("<I", base[140:144])[0]
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = packed.compress(b"\x00" * 200_000_000) + packed.flush()
    with pytest.raises(DataError, match="larger"):
        read(base[: 144 + size] + bomb, max_decoded=1 << 20)
    with pytest.raises(DataError, match="larger"):
        read(base, max_decoded=1000)
    assert read(base).shape is not None
    with pytest.raises(DataError, match="follows"):
        read(base + b"PK")


def test_declared_sizes_are_bounded() -> None:
    ds = load()
    ds.Rows = ds.Columns = 65535
    ds.NumberOfFrames = 2_000_000_000
    with pytest.raises(Undecodable, match="more than"):
        read(written(ds))
    with pytest.raises(Undecodable, match="more than 8191"):
        read(FILES["MR_small.dcm"].read_bytes(), max_decoded=8191)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (element(0x00281055, "LO", b"odd"), "odd length"),
        (element(0x00280034, "XX", b"ab"), "no known VR"),
        (element(0x00281052, "DS", b"1 "), "twice"),
        (element(0x00281055, "LO", b"ab", 60000), "ends inside|past"),
        (element(0x00283010, "SQ", b"abcdefgh"), "holds|where an item"),
        (
            element(0x00283010, "SQ", struct.pack("<HHI", 0xFFFE, 0xE000, 100) + b"\x00" * 8),
            "ends inside|past|twice|VR",
        ),
        (element(0x00283010, "UT", b"", 0xFFFFFFFF), "no length"),
        (struct.pack("<HHI", 0xFFFE, 0xE00D, 0), "stands where"),
    ],
    ids=["odd", "vr", "twice", "long", "no item", "long item", "undefined length", "stray delimiter"],
)
def test_broken_structure_is_refused(raw: bytes, why: str) -> None:
    base = insert(FILES["MR_small.dcm"].read_bytes(), element(0x00281052, "DS", b"0 "))
    read(base)
    with pytest.raises(DataError, match=why):
        read(insert(base, raw))


def test_a_vr_that_the_dictionary_does_not_allow_is_named() -> None:
    """A parser that trusts the file and one that trusts the dictionary would read two different numbers."""
    base = insert(FILES["MR_small.dcm"].read_bytes(), element(0x00281053, "DS", b"2 "))
    for vr in ("LO", "IS", "UT"):
        suspect = insert(FILES["MR_small.dcm"].read_bytes(), element(0x00281053, vr, b"2 "))
        d = between(base, suspect)
        assert [c.attribute for c in d.meaning] == ["(0028,1053)"], vr
        assert d.meaning[0].new is not None and d.meaning[0].new.startswith("raw:")
    same = insert(FILES["MR_small.dcm"].read_bytes(), element(0x00281053, "UN", b"2 "))
    assert not between(base, same).tiers & {"F3"}


def test_sequences_in_unknown_vr_are_read() -> None:
    """CP-246: a sequence that passed a system without a dictionary is UN, and implicit inside."""
    ds = load()
    item = Dataset()
    item.add_new(0x00283002, "US", [2, 0, 16])
    item.add_new(0x00283006, "US", [0, 7])
    ds.VOILUTSequence = [item]
    plain = written(ds)
    at = plain.index(b"\x28\x00\x10\x30SQ")
    implicit = struct.pack("<HHI", 0x28, 0x3002, 6) + struct.pack("<HHH", 2, 0, 16)
    implicit += struct.pack("<HHI", 0x28, 0x3006, 4) + struct.pack("<HH", 0, 7)
    value = struct.pack("<HHI", 0xFFFE, 0xE000, len(implicit)) + implicit
    size = struct.unpack("<I", plain[at + 8 : at + 12])[0]
    unknown = plain[:at] + element(0x00283010, "UN", value) + plain[at + 12 + size :]
    assert unknown != plain and not between(plain, unknown).tiers & {"F1", "F3"}


def test_dates_and_uids_inside_of_functional_groups_are_no_meaning() -> None:
    """De-identification and coercion reach into sequences; what it changes there decides no reading."""
    contents = []
    for uid, date, position in (("1.2.3", "20010101", "1"), ("1.2.4", "20020202", "1"), ("1.2.3", "20010101", "2")):
        ds = load()
        source, plane, frame, content = Dataset(), Dataset(), Dataset(), Dataset()
        source.ReferencedSOPInstanceUID = uid
        content.FrameAcquisitionDateTime, content.FrameComments = date, date
        plane.ImagePositionPatient = ["0", "0", position]
        frame.PlanePositionSequence, frame.FrameContentSequence, frame.SourceImageSequence = (
            [plane],
            [content],
            [source],
        )
        ds.PerFrameFunctionalGroupsSequence = [frame]
        contents.append(written(ds))
    base, relabelled, moved = contents
    d = between(base, relabelled)
    assert headline(d) is Verdict.LOSSLESS_EQUIVALENT and "F1" in d.tiers
    assert [c.attribute for c in between(base, moved).meaning] == ["(5200,9230)[0]/(0020,9113)[0]/(0020,0032)"]


def test_a_codecs_own_colour_transform_is_encoding() -> None:
    """JPEG 2000 lossless colour is YBR_RCT in the file and RGB when it is decoded (PS3.5 section 8.2.4)."""
    file = Subject("rct", FILES["examples_jpeg2k.dcm"].read_bytes())
    plain = file.with_pixels(file.array)
    assert (file.dataset.PhotometricInterpretation, pydicom.dcmread(io.BytesIO(plain)).PhotometricInterpretation) == (
        "YBR_RCT",
        "RGB",
    )
    assert not between(file.content, plain).tiers & {"F2", "F3", "F4"}


def test_character_sets_are_spellings() -> None:
    base = load()
    base.SpecificCharacterSet, base.PatientName = "ISO_IR 100", "Müller^Jörg"
    other = load()
    other.SpecificCharacterSet, other.PatientName = "ISO_IR 192", "Mu\u0308ller^Jo\u0308rg"
    d = between(written(base), written(other))
    assert d.identity == () and "F1" in d.tiers
    other.PatientName = "Muller^Jorg"
    assert between(written(base), written(other)).identity == (tag("PatientName"),)


def shifted(ds: Dataset, values: np.ndarray, high: int) -> bytes:  # type: ignore[type-arg]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, high, 1
    raw = (values.astype(np.int64) & 0xFFF) << (high - 11)
    ds.PixelData = raw.astype("<u2").tobytes()
    return written(ds)


def test_the_place_of_the_stored_bits_is_encoding() -> None:
    values = np.random.default_rng(0).integers(-2048, 2048, (64, 64))
    low, high = shifted(load(), values, 11), shifted(load(), values, 15)
    for content in (low, high):
        pixels = read(content).pixels
        assert pixels is not None and np.array_equal(pixels[0, :, :, 0], values) and pixels.dtype == "<i2"
    assert not between(low, high).tiers & {"F2", "F3", "F4"}


def test_an_overlay_in_unused_bits_is_meaning() -> None:
    ds = load()
    values = np.random.default_rng(0).integers(0, 4096, (64, 64))
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    for number, vr, value in (
        (0x10, "US", 64),
        (0x11, "US", 64),
        (0x40, "CS", "G"),
        (0x100, "US", 16),
        (0x102, "US", 12),
    ):
        ds.add_new(0x60000000 | number, vr, value)
    ds.add_new(0x60000050, "SS", [1, 1])
    contents = []
    for drawn in (values, values | (1 << 12), values | (1 << 14)):
        ds.PixelData = drawn.astype("<u2").tobytes()
        contents.append(written(ds))
    base, overlaid, garbage = contents
    d = between(base, overlaid)
    assert [c.attribute for c in d.meaning] == ["(6000,3000)"] and d.tiers & {"F2", "F3"} == {"F3"}
    assert headline(between(base, garbage)) is Verdict.LOSSLESS_EQUIVALENT
    ds[0x60000102].value = 5
    with pytest.raises(DataError, match="unused bits"):
        read(written(ds))


def fragmented(parts: list[bytes], table: list[int] | None, frames: int) -> bytes:
    ds = load("SC_rgb_rle_2frame.dcm")
    offsets = b"".join(struct.pack("<I", o) for o in table or [])
    items = [offsets, *(p + b"\x00" * (len(p) % 2) for p in parts)]
    data = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(i)) + i for i in items)
    ds.PixelData = data
    ds["PixelData"].is_undefined_length = True
    ds.NumberOfFrames = frames
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return written(ds)


def test_fragments_belong_to_frames_or_the_file_is_refused() -> None:
    ds = load("SC_rgb_rle_2frame.dcm")
    first, second = pydicom.encaps.generate_frames(ds.PixelData, number_of_frames=2)
    half = len(first) // 4 * 2
    split = [first[:half], first[half:], second]
    good = fragmented([first, second], None, 2)
    same = [fragmented([first, second], [0, 8 + len(first)], 2), fragmented(split, [0, 16 + len(first)], 2)]
    for content in same:
        assert not between(good, content).tiers & {"F2"}
    swapped = between(good, fragmented([second, first], None, 2))
    assert swapped.frames_moved == ((1, 0), (0, 1))
    for parts, table, frames in (
        (split, None, 2),
        ([first, second], [0, 4], 2),
        ([first, second], [8 + len(first), 0], 2),
        ([first, second], [0], 2),
        ([first, second], None, 3),
        ([], None, 2),
    ):
        with pytest.raises(Undecodable):
            read(fragmented(parts, table, frames))


def codestream(change: Callable[[bytearray], None], name: str = "MR_small_jp2klossless.dcm") -> bytes:
    ds = load(name)
    (code,) = pydicom.encaps.generate_frames(ds.PixelData, number_of_frames=1)
    data = bytearray(code)
    change(data)
    ds.PixelData = encapsulate([bytes(data)])
    ds["PixelData"].is_undefined_length = True
    return written(ds)


def test_a_codestream_of_another_size_is_refused() -> None:
    def wider(code: bytearray) -> None:
        code[8:12] = (65).to_bytes(4, "big")

    def taller(code: bytearray) -> None:
        at = code.index(b"\xff\xf7")
        code[at + 5 : at + 7] = (65).to_bytes(2, "big")

    def baseline(code: bytearray) -> None:
        at = code.index(b"\xff\xc0")
        code[at + 5 : at + 7] = (4).to_bytes(2, "big")

    read(codestream(lambda _: None))
    for change, name in (
        (wider, "MR_small_jp2klossless.dcm"),
        (taller, "MR_small_jpeg_ls_lossless.dcm"),
        (baseline, "SC_rgb_small_odd_jpeg.dcm"),
    ):
        with pytest.raises(Undecodable, match="the file says"):
            read(codestream(change, name))


def test_a_lossy_image_is_known_by_its_codestream() -> None:
    base = FILES["SC_rgb_jpeg_dcmtk.dcm"].read_bytes()
    assert capture(base).f2c is not None

    def comment(code: bytearray) -> None:
        code[2:2] = b"\xff\xfe\x00\x04hi"

    def coded(code: bytearray) -> None:
        code[-20] ^= 1

    same = codestream(comment, "SC_rgb_jpeg_dcmtk.dcm")
    assert headline(between(base, same)) is Verdict.LOSSLESS_EQUIVALENT
    try:
        d = between(base, codestream(coded, "SC_rgb_jpeg_dcmtk.dcm"))
    except DataError:
        return
    assert "F2c" in d.tiers and headline(d) is Verdict.PIXELS_CHANGED


def test_padding_behind_the_pixels_is_zeros_of_less_than_a_frame() -> None:
    base = FILES["MR_small.dcm"].read_bytes()
    ds = load()
    data = ds.PixelData
    ds.PixelData = data + b"\x00" * 8190
    assert between(base, written(ds)).tiers == {"F0"}
    for wrong in (data + b"\x00\x01", data + b"\x00" * 8192, data[:-2], b""):
        ds.PixelData = wrong
        with pytest.raises(Undecodable, match="bytes"):
            read(written(ds))


def test_float_pixels() -> None:
    ds = load()
    values = np.random.default_rng(0).normal(size=(64, 64)).astype("<f4")
    del ds.PixelData
    for keyword in ("BitsStored", "HighBit", "PixelRepresentation"):
        delattr(ds, keyword)
    ds.BitsAllocated = 32
    ds.FloatPixelData = values.tobytes()
    base = written(ds)
    reading = read(base)
    assert reading.pixels is not None and reading.shape is not None and reading.shape.number == "f"
    assert np.array_equal(reading.pixels[0, :, :, 0], values)
    values[3, 3] = np.nextafter(values[3, 3], np.float32(9))
    ds.FloatPixelData = values.tobytes()
    assert [(t.row, t.column) for t in between(base, written(ds)).tiles] == [(0, 0)]


@pytest.mark.parametrize(
    "name", sorted(n for n, p in FILES.items() if n.endswith(".dcm") and p.stat().st_size < 400_000)
)
def test_pixels_are_those_that_pydicom_decodes(name: str) -> None:
    """Every image of pydicom's wheels is refused, or read to the very values that pydicom's own decoding gives."""
    content = FILES[name].read_bytes()
    try:
        reading = read(content)
    except DataError:
        return
    assert reading.pixels is not None and not reading.pixels.flags.writeable
    if name != "image_dfl.dcm":  # pydicom stumbles over its gzip trailer
        assert largest_difference(reading.pixels, content) <= (1 if reading.codestreams else 0)


def test_what_is_set_is_what_is_read() -> None:
    """The helper of the tests writes the values that it is given."""
    ds = load()
    values = np.random.default_rng(0).integers(-32768, 32768, (1, 64, 64, 1))
    set_pixels(ds, values)
    pixels = read(written(ds)).pixels
    assert pixels is not None and np.array_equal(pixels, values)
