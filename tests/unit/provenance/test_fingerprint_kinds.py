"""Pictures, recordings, notes and JSON: what is encoding, what is meaning, what is identity, and what is refused."""

from __future__ import annotations

import io
import json
import struct
import warnings
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from nocere.core.errors import DataError, UsageError
from nocere.provenance.fingerprint import Difference, Undecodable, Verdict, compare, fingerprint, headline, read

KEY = bytes(range(32))
Content = bytes | Mapping[str, bytes]


def between(a: Content, b: Content, kind: str | None = None) -> Difference:
    return compare(fingerprint(read(a, kind), KEY), fingerprint(read(b, kind), KEY))


def attributes(d: Difference) -> set[str]:
    return {c.attribute for c in d.meaning}


RGB = np.random.default_rng(0).integers(0, 256, (70, 90, 3)).astype("u1")
GREY = RGB[..., 0]


def saved(array: np.ndarray[Any, Any] | Image.Image, form: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    picture = array if isinstance(array, Image.Image) else Image.fromarray(array)
    picture.save(out, form, **options)
    return out.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def with_chunk(png: bytes, name: bytes, data: bytes) -> bytes:
    return png[:33] + chunk(name, data) + png[33:]


@pytest.mark.parametrize("array", [RGB, GREY, GREY.astype("u2") * 257, np.dstack([RGB, GREY]), GREY > 100])
def test_png_samples_are_those_that_were_stored(array: np.ndarray[Any, Any]) -> None:
    r = read(saved(array))
    assert r.pixels is not None and r.shape is not None
    assert np.array_equal(r.pixels.reshape(array.shape), array)
    assert not r.pixels.flags.writeable


def test_png_written_otherwise_is_equivalent() -> None:
    for options in ({"compress_level": 0}, {"compress_level": 9, "optimize": True}):
        d = between(saved(RGB), saved(RGB, **options))
        assert headline(d) is Verdict.LOSSLESS_EQUIVALENT and d.tiers == {"F0"}
    changed = RGB.copy()
    changed[69, 89, 2] ^= 1
    d = between(saved(RGB), saved(changed))
    assert [(t.row, t.column) for t in d.tiles] == [(1, 1)] and d.tiers - {"F5"} == {"F0", "F2"}


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_small_grey_depths_are_stored_values(depth: int) -> None:
    values = np.arange(8, dtype="u1").reshape(1, 8) % (1 << depth)
    rows = b"\x00" + np.packbits(np.unpackbits(values.reshape(-1, 1), axis=1)[:, -depth:].ravel()).tobytes()
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 1, depth, 0, 0, 0, 0))
    r = read(png + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    assert r.pixels is not None and r.shape is not None and r.shape.bits == depth
    assert np.array_equal(r.pixels.ravel(), values.ravel())


def palette_with(colours: list[int]) -> bytes:
    picture = Image.frombytes("P", (90, 70), (GREY >> 5).tobytes())
    picture.putpalette(colours)
    return saved(picture)


def test_what_a_viewer_does_is_meaning() -> None:
    base = saved(RGB)
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, suspect in {
        "gAMA": with_chunk(base, b"gAMA", struct.pack(">I", 100000)),
        "sRGB": with_chunk(base, b"sRGB", b"\x00"),
        "sBIT": with_chunk(base, b"sBIT", b"\x05\x05\x05"),
        "tRNS": with_chunk(base, b"tRNS", b"\x00\x01" * 3),
        "pHYs": with_chunk(base, b"pHYs", b"\x00" * 9),
        "icc": saved(RGB, icc_profile=b"profile" * 20),
        "orientation": saved(RGB, exif=exif),
    }.items():
        d = between(base, suspect)
        assert headline(d) is Verdict.MEANING_CHANGED and attributes(d) == {name}, name
    a, b = (palette_with([c, 0, 255 - c] * 8) for c in (10, 200))
    assert attributes(between(a, b)) == {"PLTE"} and between(a, b).tiers & {"F2", "F3"} == {"F3"}


def test_text_in_a_picture_is_identity() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "Doe^John 1950-01-01")
    d = between(saved(RGB), saved(RGB, pnginfo=info))
    assert headline(d) is Verdict.IDENTITY_COERCED and d.identity == ("comments",)
    exif = Image.Exif()
    exif[0x8769] = {0xA431: "SN1", 0x9003: "2001:01:01 10:10:10"}
    d = between(saved(RGB), saved(RGB, exif=exif))
    assert set(d.identity) == {"exif body serial number", "exif date original"} and not d.meaning


def test_a_jpeg_is_its_codestream() -> None:
    base = saved(RGB, "JPEG", quality=90)
    commented = base[:2] + b"\xff\xfe\x00\x08canary" + base[2:]
    d = between(base, commented)
    assert headline(d) is Verdict.IDENTITY_COERCED and d.identity == ("comments",) and not d.tiers & {"F2", "F2c"}
    again = saved(Image.open(io.BytesIO(base)), "JPEG", quality=90)
    assert again != base and {"F2c"} <= between(base, again).tiers
    assert fingerprint(read(saved(RGB)), KEY).f2c is None
    png = saved(Image.open(io.BytesIO(base)))
    assert not between(base, png).tiers & {"F2"}  # decoded here and stored without loss: the same samples


WRONG: dict[str, Callable[[], bytes]] = {
    "cut short": lambda: saved(RGB)[:-20],
    "two headers": lambda: with_chunk(saved(RGB), b"IHDR", b"\x00" * 13),
    "two palettes": lambda: with_chunk(with_chunk(saved(RGB), b"gAMA", b"\x00" * 4), b"gAMA", b"\x00" * 4),
    "tail": lambda: saved(RGB) + b"PK\x03\x04",
    "animated": lambda: with_chunk(saved(RGB), b"acTL", b"\x00" * 8),
    "gif": lambda: saved(GREY, "GIF"),
    "jpeg cut": lambda: saved(RGB, "JPEG")[:-30],
    "two exif": lambda: b"\xff\xd8" + b"\xff\xe1\x00\x0aExif\x00\x00ab" * 2 + saved(RGB, "JPEG")[2:],
    "broken exif": lambda: b"\xff\xd8" + b"\xff\xe1\x00\x0aExif\x00\x00ab" + saved(RGB, "JPEG")[2:],
    "progressive 12 bit": lambda: saved(RGB, "JPEG").replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c"),
}


@pytest.mark.parametrize("what", WRONG)
def test_broken_pictures_are_refused(what: str) -> None:
    with pytest.raises(DataError):
        read(WRONG[what](), "image")


def test_a_checksum_that_does_not_fit_is_refused() -> None:
    """Also of a chunk that decoders skip over."""
    good = with_chunk(saved(RGB), b"gAMA", b"\x00\x01\x86\xa0")
    read(good)
    with pytest.raises(DataError, match="checksum"):
        read(good.replace(b"gAMA\x00\x01\x86\xa0", b"gAMA\x00\x01\x86\xa1"))


def test_a_bomb_is_not_inflated() -> None:
    big = zlib.compress(b"\x00" * 50_000_000)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 10, 10, 8, 0, 0, 0, 0))
    with pytest.raises(DataError, match="larger"):
        read(png + chunk(b"IDAT", big) + chunk(b"IEND", b""))
    with pytest.raises(Undecodable, match="more than"):
        read(saved(RGB), max_decoded=1000)
    with pytest.raises(DataError, match="larger"):
        read(with_chunk(saved(RGB), b"iCCP", b"p\x00\x00" + big))


def test_notes() -> None:
    note = "Größe 5 mm.\nNo cough.\n".encode()
    for same in ("Gro\u0308ße 5 mm.\nNo cough.\n".encode(), b"\xef\xbb\xbf" + note, note.replace(b"\n", b"\r\n")):
        assert headline(between(note, same)) is Verdict.LOSSLESS_EQUIVALENT
    for other in (note.replace(b"5", b"6"), note + b" ", note.replace(b".", b""), b""):
        d = between(note, other, "note")
        assert headline(d) is Verdict.MEANING_CHANGED and attributes(d) == {"text"}
    with pytest.raises(DataError, match="byte 1"):
        read(b"a\xff", "note")
    f = fingerprint(read(note), KEY)
    g = fingerprint(read(b"another"), KEY)
    assert f.f2 != g.f2 and f.f5 is None


CLAIM = {
    "resourceType": "Claim",
    "id": "c1",
    "patient": {"reference": "Patient/4711"},
    "diagnosis": [{"code": "I10"}, {"code": "E11.9"}],
    "total": {"value": 120.5, "currency": "USD"},
}


def encoded(value: Any, **options: Any) -> bytes:
    return json.dumps(value, **options).encode()


def test_json() -> None:
    base = encoded(CLAIM)
    assert headline(between(base, encoded(CLAIM, indent=3, sort_keys=True))) is Verdict.LOSSLESS_EQUIVALENT
    assert headline(between(base, base.replace(b"120.5", b"1.205e2"))) is Verdict.LOSSLESS_EQUIVALENT
    d = between(base, base.replace(b"E11.9", b"E11.5"))
    assert attributes(d) == {"/diagnosis/1/code"} and d.identity == () and d.meaning[0].new == '"E11.5"'
    assert headline(d) is Verdict.MEANING_CHANGED
    d = between(base, base.replace(b"4711", b"4712"))
    assert d.identity == ("patient",) and d.meaning == ()
    more = {**CLAIM, "diagnosis": [*CLAIM["diagnosis"], {"code": "Z99"}]}  # type: ignore[misc]
    assert attributes(between(base, encoded(more))) == {"/diagnosis/2/code"}
    assert attributes(between(base, encoded({**CLAIM, "total": {}}))) == {"/total", "/total/value", "/total/currency"}


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":2}',
        "{",
        '{"a":NaN}',
        '{"a":1e999}',
        '{"a":12345678901234567890}',
        "[" * 5000 + "]" * 5000,
        '"\\ud800"',
    ],
)
def test_json_that_parsers_read_differently_is_refused(text: str) -> None:
    with pytest.raises(DataError):
        read(text.encode(), "json")


SAMPLES = np.random.default_rng(1).integers(-2000, 2000, (3000, 2))


def record(folder: Path, samples: np.ndarray[Any, Any] = SAMPLES, **changes: Any) -> dict[str, bytes]:
    """A WFDB record as wfdb writes it."""
    wfdb = pytest.importorskip("wfdb")
    folder.mkdir(exist_ok=True)
    settings = {"fs": 360, "units": ["mV", "mV"], "sig_name": ["MLII", "V5"], "fmt": ["16", "16"]}
    settings |= {"adc_gain": [200.0, 200.0], "baseline": [0, 0], "comments": ["69 M"], **changes}
    with warnings.catch_warnings():  # wfdb calls pandas in a way that it will not allow for ever
        warnings.simplefilter("ignore")
        wfdb.wrsamp("r1", d_signal=samples, write_dir=str(folder), **settings)
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_recordings(tmp_path: Path) -> None:
    base = record(tmp_path / "a")
    r = read(base)
    assert r.pixels is not None and np.array_equal(r.pixels[0, :, :, 0], SAMPLES)
    assert headline(between(base, record(tmp_path / "b", fmt=["212", "212"]))) is Verdict.LOSSLESS_EQUIVALENT
    changed = SAMPLES.copy()
    changed[2048, 1] += 1
    d = between(base, record(tmp_path / "c", changed))
    assert [(t.row, t.column, t.box) for t in d.tiles] == [(2, 1, (2048, 1, 3000, 2))] and d.tiers == {"F0", "F2"}
    for i, (change, named) in enumerate(
        [
            ({"fs": 250}, {"fs"}),
            ({"adc_gain": [200.0, 400.0]}, {"signal 1 adc_gain"}),
            ({"units": ["mV", "uV"]}, {"signal 1 units"}),
            ({"sig_name": ["V5", "MLII"]}, {"signal 0 sig_name", "signal 1 sig_name"}),
            ({"baseline": [5, 0]}, {"signal 0 baseline"}),
        ]
    ):
        d = between(base, record(tmp_path / f"m{i}", **change))
        assert attributes(d) == named and d.tiers & {"F2", "F3", "F4"} == {"F3"}, change
    d = between(base, record(tmp_path / "d", comments=["70 F"]))
    assert d.identity == ("comments",) and headline(d) is Verdict.IDENTITY_COERCED
    d = between(base, {**base, "r1.atr": b"\x00\x00"})
    assert attributes(d) == {"annotation atr"}


def test_records_that_are_refused(tmp_path: Path) -> None:
    base = record(tmp_path / "a")
    for wrong in (
        {n: d for n, d in base.items() if not n.endswith(".dat")},
        {n: d for n, d in base.items() if not n.endswith(".hea")},
        {**base, "../evil.hea": b""},
        {**base, "r2.hea": b""},
        {**base, "r1.hea": base["r1.hea"].replace(b"r1.dat", b"/etc/hostname")},
        {**base, "r1.hea": b"r1/2 2 360 100\n"},
        {**base, "r1.hea": b""},
        {**base, "r1.hea": b"r1 nonsense\n"},
        {**base, "r1.hea": base["r1.hea"].replace(b"r1.dat 16", b"r1.dat 77")},
        {**base, "r1.hea": base["r1.hea"].replace(b" 3000", b" 9000000000000")},
        {**base, "r1.dat": base["r1.dat"][:100]},
    ):
        with pytest.raises(DataError):
            read(wrong)


def test_a_record_reaches_no_file_that_was_not_given(tmp_path: Path) -> None:
    """A header may name any path, and a name may lead out of the folder; neither is followed."""
    base = record(tmp_path / "a")
    outside = tmp_path / "outside.dat"
    outside.write_bytes(base["r1.dat"])
    for path, why in (
        (str(outside), "cannot be read"),
        (f"../{tmp_path.name}/outside.dat", "cannot be read"),
        ("r2.dat", "not there"),
    ):
        header = base["r1.hea"].replace(b"r1.dat", path.encode())
        with pytest.raises(DataError, match=why):
            read({**base, "r1.hea": header})
    for name in ("../evil.dat", "/tmp/evil.dat", "a/b.dat", "..", ""):  # noqa: S108
        with pytest.raises(DataError, match="a name that WFDB does not allow"):
            read({**base, name: b"x"})


def test_wrong_requests_are_said() -> None:
    with pytest.raises(UsageError, match="Unknown kind"):
        read(b"", "video")
    with pytest.raises(UsageError, match="one file"):
        read({"a": b""}, "dicom")
    with pytest.raises(UsageError, match="mapping"):
        read(b"", "wfdb")
    with pytest.raises(DataError, match="neither"):
        read(b"\xff\x00\xfe")
    for content, kind in ((b"{}", "json"), (b"[1]", "json"), (b"hello", "note"), (saved(GREY), "image")):
        assert read(content).kind == kind


def test_a_perceptual_hash_does_not_hang_on_rounding() -> None:
    """A ramp has many equal coefficients: sums in another order, as other processors take them, give the same bits."""
    from nocere.provenance.fingerprint.perceptual import perceptual_hash

    ramp = np.add.outer(np.arange(48), np.arange(48)).astype(np.uint16)[None, :, :, None]
    first = perceptual_hash(ramp)
    rng = np.random.default_rng(0)
    for _ in range(20):
        shaken = ramp * (1 + 1e-14 * rng.normal(size=ramp.shape))
        assert perceptual_hash(shaken) == first
