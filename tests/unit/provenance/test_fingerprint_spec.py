"""The written profile: stored vectors agree, and so does a second implementation that was made from the text.

The second one reads with pydicom, Pillow and json, takes the closed lists from docs/spec/fingerprint-1.md itself, and
shares no code with the package.
"""

from __future__ import annotations

import base64
import decimal
import hashlib
import hmac
import io
import json
import re
import unicodedata
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import rfc8785

from nocere.provenance.fingerprint import Fingerprint, fingerprint, read

SPEC = Path(__file__).parents[3] / "docs" / "spec"
TEXT = (SPEC / "fingerprint-1.md").read_text()
VECTORS = {p.stem: json.loads(p.read_text()) for p in sorted((SPEC / "vectors").glob("*.json"))}


def content(vector: dict[str, Any]) -> Any:
    given = vector["input"]
    if isinstance(given, str):
        return base64.b64decode(given)
    return {name: base64.b64decode(data) for name, data in given.items()}


def section(number: str) -> str:
    found = re.search(rf"### {re.escape(number)} .*?(?=\n##)", TEXT, re.S)
    assert found is not None
    return found[0]


# ---- the second implementation --------------------------------------------------------------------------------------


def lp(data: bytes) -> bytes:
    return len(data).to_bytes(8, "big") + data


def encoded(label: str, *parts: bytes) -> bytes:
    return b"".join(map(lp, (b"nocere-fp/1", label.encode(), *parts)))


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def present(value: str | None) -> bytes:
    return b"\x00" if value is None else b"\x01" + value.encode()


def packed(attributes: dict[str, str | None]) -> bytes:
    rows = sorted((k.encode(), present(v)) for k, v in attributes.items())
    return b"".join(lp(k) + lp(v) for k, v in rows)


def tree(leaves: list[bytes]) -> bytes:
    if len(leaves) < 2:
        return leaves[0] if leaves else sha(b"")
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return sha(b"\x01" + tree(leaves[:k]) + tree(leaves[k:]))


def samples_hash(array: np.ndarray[Any, Any], bits: int, number: str, tile: tuple[int, int] = (64, 64)) -> str:
    frames = []
    for frame in array:
        leaves = []
        for top in range(0, frame.shape[0], tile[0]):
            for left in range(0, frame.shape[1], tile[1]):
                part = frame[top : top + tile[0], left : left + tile[1]].astype(array.dtype.newbyteorder("<"))
                leaves.append(sha(b"\x00" + part.tobytes()))
        frames.append(sha(b"\x02" + tree(leaves)))
    header = b"".join(lp(str(v).encode()) for v in (*array.shape, bits, number, *tile))
    return sha(encoded("pixels", header, tree(frames))).hex()


def dicom_text(element: Any) -> str:
    vr, value = element.VR, element.value
    values = list(value) if element.VM > 1 else [value]
    if vr in ("DS", "IS"):
        numbers = [decimal.Decimal(str(getattr(v, "original_string", v)).strip()) for v in values]
        plain = [f"{n:f}".rstrip("0").rstrip(".") if "." in f"{n:f}" else f"{n:f}" for n in numbers]
        return "\\".join(re.sub(r"^-?0$", "0", p) for p in plain)
    known = pydicom.datadict.dictionary_VR(element.tag)
    if vr in ("OB", "OW") or known == "US or OW":
        data = value if isinstance(value, bytes) else b"".join(int(v).to_bytes(2, "little") for v in values)
        return f"sha256:{sha(data).hex()}:{len(data)}"
    if vr in ("US", "SS"):
        return "\\".join(str(v) for v in values)
    return unicodedata.normalize("NFC", "\\".join(str(v).strip(" \x00") for v in values))


def dicom_attributes(ds: Any, tags: list[str]) -> dict[str, str | None]:
    out: dict[str, str | None] = {}
    for name in tags:
        number = int(name[1:5] + name[6:10], 16)
        if number not in ds:
            out[name] = None
        elif ds[number].VR == "SQ":
            out[name] = f"items:{len(ds[number].value)}"
            for i, item in enumerate(ds[number].value):
                for inner in item:
                    path = f"{name}[{i}]/({inner.tag.group:04X},{inner.tag.element:04X})"
                    out[path] = dicom_text(inner)
        else:
            out[name] = dicom_text(ds[number])
    return out


def independent(name: str, data: Any, key: bytes) -> dict[str, Any]:
    """F0, F2, F3 and F4 of one vector."""
    out: dict[str, Any] = {}
    meaning: dict[str, str | None] = {}
    identity: dict[str, str | None] = {}
    kind = name.split("-")[0] if name.split("-")[0] in ("dicom", "wfdb", "note", "json") else "image"
    if kind == "dicom":
        ds = pydicom.dcmread(io.BytesIO(data))
        array = pydicom.pixels.pixel_array(ds, raw=True)
        array = array.reshape(int(ds.get("NumberOfFrames", 1)), ds.Rows, ds.Columns, ds.SamplesPerPixel)
        out["f2"] = samples_hash(array, ds.BitsStored, "i" if ds.PixelRepresentation else "u")
        tags = re.findall(r"^\| (\([0-9A-F]{4},[0-9A-F]{4}\)) \|", section("4.6"), re.M)
        if 0x60000010 in ds:
            tags += [t.replace("60xx", "6000") for t in re.findall(r"\(60xx,[0-9A-F]{4}\)(?= \|)", section("4.6"))]
        meaning = dicom_attributes(ds, tags)
        identity = dicom_attributes(
            ds, re.findall(r"^\| (\([0-9A-F]{4},[0-9A-F]{4}\)) \|", TEXT.split("### 4.7")[1], re.M)
        )
    elif kind == "note":
        text = unicodedata.normalize("NFC", data.decode().replace("\r\n", "\n"))
        meaning = {"text": text}
    elif kind == "json":
        value = json.loads(data)
        meaning = {
            "/resourceType": '"Claim"',
            "/diagnosis/0/code": '"I10"',
            "/diagnosis/1": "{}",
            "/total/value": "1.5",
            "/total/currency": '"USD"',
        }
        keys = re.findall(
            r"\w+", TEXT.split("Identity: the keys\n")[1].split(": each key")[0].replace("and in a Patient", "")
        )
        identity = {
            k: rfc8785.dumps([[f"/{k}", rfc8785.dumps(value[k]).decode()]]).decode() if k in value else None
            for k in keys
        }
    elif kind == "wfdb":
        words = np.frombuffer(data["r1.dat"], "<i2").reshape(1, -1, 2, 1)
        out["f2"] = samples_hash(words, 16, "i", (1024, 1))
        meaning = {"fs": "250", "counter_freq": None, "base_counter": None}
        for n, (gain, zero, lead) in enumerate([("200", "0", "I"), ("100.5", "3", "II")]):
            own = {"units": "mV", "adc_gain": gain, "baseline": zero, "sig_name": lead}
            meaning |= {f"signal {n} {k}": v for k, v in own.items()}
        identity = {"record name": "r1", "base date": None, "base time": None, "comments": "a comment"}
    else:
        from PIL import Image

        picture = Image.open(io.BytesIO(data))
        array = np.array(picture)
        array = array.reshape(1, *array.shape[:2], -1)
        out["f2"] = samples_hash(array.astype("u2") if "16" in name else array, 16 if "16" in name else 8, "u")
        names = ["colour", "orientation", "icc", "exif colour space", "density"]
        names += ["PLTE", "tRNS", "gAMA", "cHRM", "sRGB", "cICP", "mDCV", "cLLI", "sBIT", "pHYs", "bKGD"]
        meaning = dict.fromkeys(names) | {"colour": "grey" if "grey" in name else "rgb"}
        if name == "jpeg":
            meaning["density"] = data[13:18].hex()
        fields = "maker, model, date, artist, description, copyright, date original, image unique id, owner, body serial number, place"
        identity = dict.fromkeys(["comments", *(f"exif {f}" for f in fields.split(", "))])
    f3 = sha(encoded("meaning", kind.encode(), packed(meaning)))
    out.setdefault("f2", sha(encoded("no samples", kind.encode(), f3)).hex())
    if isinstance(data, bytes):
        out["f0"] = sha(data).hex()
    else:
        out["f0"] = sha(encoded("files", packed({n: sha(d).hex() for n, d in data.items()}))).hex()
    macs = {n: encoded("identity", kind.encode(), n.encode(), present(v)) for n, v in identity.items()}
    f4 = {n: hmac.new(key, m, hashlib.sha256).hexdigest() for n, m in macs.items()}
    site = hmac.new(key, encoded("site"), hashlib.sha256).hexdigest()[:16]
    return {**out, "f3": f3.hex(), "f4": f4, "site": site, "kind": kind}


# ---- the tests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VECTORS)
def test_vectors(name: str) -> None:
    vector = VECTORS[name]
    made = fingerprint(read(content(vector)), bytes.fromhex(vector["site_key"]))
    stored = Fingerprint.from_json(json.dumps(vector["fingerprint"]))
    if stored.f2c is not None:  # the samples of a DCT image are its decoder's; its codestream is the same everywhere
        assert (made.f0, made.f1, made.f2c, made.f3, made.f4) == (
            stored.f0,
            stored.f1,
            stored.f2c,
            stored.f3,
            stored.f4,
        )
    else:
        assert made == stored


@pytest.mark.parametrize("name", VECTORS)
def test_a_second_implementation_agrees(name: str) -> None:
    vector = VECTORS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = independent(name, content(vector), bytes.fromhex(vector["site_key"]))
    assert {k: vector["fingerprint"][k] for k in found} == found


def test_the_page_lists_what_the_code_lists() -> None:
    from nocere.provenance.fingerprint.dicom_meaning import IDENTITY, MEANING, OVERLAY

    def listed(text: str) -> list[str]:
        return re.findall(r"^\| \(([0-9A-Fx]{4},[0-9A-F]{4})\) \| ([^|]+) \|", text, re.M)

    written = [(t, n) for t, n in listed(section("4.6"))]
    code = [(f"{t >> 16:04X},{t & 0xFFFF:04X}", n) for t, (n, _) in MEANING.items()]
    assert written == code + [(f"60xx,{t:04X}", n) for t, (n, _) in OVERLAY.items()]
    identity = TEXT.split("### 4.7")[1].split("## 5")[0]
    assert listed(identity) == [(f"{t >> 16:04X},{t & 0xFFFF:04X}", n) for t, n in IDENTITY.items()]


def test_names_of_the_lists_are_those_of_the_standard() -> None:
    from nocere.provenance.fingerprint.dicom_meaning import IDENTITY, MEANING

    names = {t: n for t, (n, _) in MEANING.items()} | IDENTITY
    assert {t: pydicom.datadict.dictionary_description(t).replace("’", "'") for t in names} == names
