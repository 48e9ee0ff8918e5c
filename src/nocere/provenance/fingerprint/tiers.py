"""The fingerprint: tiers F0 to F5 of one reading, and the detail that makes a difference nameable.

F0 received bytes, F1 data set, F2 samples, F2c codestreams, F3 meaning, F4 identity (keyed), F5 advisory
(docs/spec/fingerprint-1.md, design/0005-provenance.md).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from nocere.core.canonical import dumps
from nocere.core.errors import DataError, UsageError
from nocere.provenance.fingerprint.encoding import (
    PROFILE,
    Attributes,
    encode_attributes,
    prefixed,
    present,
    tier_hash,
    tier_mac,
)
from nocere.provenance.fingerprint.perceptual import perceptual_hash
from nocere.provenance.fingerprint.reading import KINDS, Reading
from nocere.provenance.fingerprint.tiles import Shape, pixel_root, root_of, tile_leaves

MIN_KEY = 32
HASH = re.compile(r"[0-9a-f]{64}")
SHAPE_FIELDS = tuple(Shape.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Detail:
    """What names a difference; it holds attribute values and is kept off the log.

    Attributes:
        shape: extents, bits, signedness and tile size of the samples; None for a kind without samples.
        tiles: leaves of every frame, row of tiles by row of tiles.
        meaning: attribute -> canonical value, None where absent.
    """

    shape: Shape | None
    tiles: tuple[tuple[bytes, ...], ...]
    meaning: Attributes

    @property
    def frames(self) -> tuple[bytes, ...]:
        """Root of every frame."""
        return tuple(root_of(leaves) for leaves in self.tiles)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Tiered hash of one captured input.

    Attributes:
        profile: version of the rules, "nocere-fp/1".
        kind: dicom, image, wfdb, note or json.
        f0, f1, f2, f3: hexadecimal SHA-256. A kind without samples has an F2 that follows from F3 alone, so that
            content can be looked up by F2 whatever its kind.
        f2c: the same for lossy DCT originals, whose identity is their codestream; else None.
        f4: field -> HMAC-SHA-256 under the site key. A field that is absent has one as well.
        site: names the site key without telling it; fingerprints under two keys cannot be compared in F4.
        f5: advisory perceptual hash, 16 hexadecimal digits; None unless the input is a picture.
        detail: what names a difference; None where it was not kept.
    """

    profile: str
    kind: str
    f0: str
    f1: str
    f2: str
    f2c: str | None
    f3: str
    f4: Mapping[str, str]
    site: str
    f5: str | None
    detail: Detail | None = field(default=None, repr=False)

    def without_detail(self) -> Fingerprint:
        """The same fingerprint without attribute values and tile leaves."""
        return replace(self, detail=None)

    def to_json(self, *, detail: bool = True) -> str:
        """RFC 8785 JSON, with the detail unless it is asked to leave it out."""
        out: dict[str, Any] = {name: getattr(self, name) for name in NAMES}
        if detail and self.detail is not None:
            d = self.detail
            out["detail"] = {
                "shape": None if d.shape is None else {f: getattr(d.shape, f) for f in SHAPE_FIELDS},
                "tiles": [base64.b64encode(b"".join(frame)).decode() for frame in d.tiles],
                "meaning": dict(d.meaning),
            }
        return dumps(out).decode("utf-8")

    @classmethod
    def from_json(cls, text: str) -> Fingerprint:
        """Read and check what `to_json` wrote; a detail must lead to the F2 and F3 that it stands beside.

        Raises:
            DataError: not a fingerprint of this profile, or its detail belongs to another one.
        """
        try:
            value = json.loads(text)
            found = cls(**{n: value[n] for n in NAMES}, detail=_detail(value.get("detail")))
        except (ValueError, TypeError, KeyError, RecursionError) as e:
            raise DataError(f"This is not a fingerprint ({type(e).__name__}).", "Give the JSON of one.") from e
        _check(found, set(value) - {*NAMES, "detail"})
        return found


NAMES = tuple(n for n in Fingerprint.__dataclass_fields__ if n != "detail")


def _detail(value: Any) -> Detail | None:
    if value is None:
        return None
    shape = None if value["shape"] is None else Shape(**value["shape"])
    tiles = []
    for frame in value["tiles"]:
        data = base64.b64decode(frame, validate=True)
        if len(data) % 32:
            raise ValueError("tile leaves")
        tiles.append(tuple(data[i : i + 32] for i in range(0, len(data), 32)))
    meaning = value["meaning"]
    if not isinstance(meaning, dict) or not all(v is None or isinstance(v, str) for v in meaning.values()):
        raise ValueError("meaning")
    return Detail(shape, tuple(tiles), meaning)


def _check(f: Fingerprint, unknown: set[str]) -> None:
    if f.profile != PROFILE:
        raise DataError("The fingerprint is of another profile.", f"This version reads {PROFILE}.")
    hashes = [f.f0, f.f1, f.f2, f.f3, *([] if f.f2c is None else [f.f2c])]
    macs = list(f.f4.values()) if isinstance(f.f4, dict) else [None]
    if unknown or f.kind not in KINDS or not all(isinstance(h, str) and HASH.fullmatch(h) for h in [*hashes, *macs]):
        raise DataError("The fingerprint has a field that is unknown, or not of its form.")
    if not (isinstance(f.site, str) and re.fullmatch(r"[0-9a-f]{16}", f.site)) or not (
        f.f5 is None or (isinstance(f.f5, str) and re.fullmatch(r"[0-9a-f]{16}", f.f5))
    ):
        raise DataError("The fingerprint's site or F5 is not 16 hexadecimal digits.")
    d = f.detail
    if d is None:
        return
    shape = d.shape
    if shape is not None:
        numbers = [getattr(shape, n) for n in SHAPE_FIELDS if n != "number"]
        if not all(type(n) is int and n > 0 for n in numbers) or len(d.tiles) != shape.frames:
            raise DataError("The fingerprint's detail does not fit its shape.")
        if any(len(frame) != shape.across * shape.down for frame in d.tiles):
            raise DataError("The fingerprint's detail does not fit its shape.")
    f3 = meaning_hash(f.kind, d.meaning)
    if f3 != f.f3 or sample_hash(f.kind, d, f3) != f.f2:
        raise DataError("The fingerprint's detail belongs to another fingerprint.")


def meaning_hash(kind: str, meaning: Attributes) -> str:
    """F3 of the canonical attributes."""
    return tier_hash("meaning", kind.encode(), encode_attributes(meaning)).hex()


def sample_hash(kind: str, detail: Detail, f3: str) -> str:
    """F2 of the tile leaves; of F3 for a kind without samples."""
    if detail.shape is None:
        return tier_hash("no samples", kind.encode(), bytes.fromhex(f3)).hex()
    return pixel_root(detail.shape, detail.frames).hex()


def _codestream_hash(reading: Reading) -> str | None:
    if not reading.codestreams or reading.shape is None:
        return None
    frames = b"".join(prefixed(bytes.fromhex(c)) for c in reading.codestreams)
    return tier_hash("codestreams", reading.shape.header(), frames).hex()


def check_site_key(site_key: bytes) -> None:
    """Refuse a site key that could be guessed.

    Raises:
        UsageError: shorter than 32 bytes.
    """
    if len(site_key) < MIN_KEY:
        raise UsageError(f"The site key has {len(site_key)} bytes.", f"Make one of {MIN_KEY} random bytes.")


def identity_macs(kind: str, identity: Attributes, site_key: bytes) -> dict[str, str]:
    """F4: one MAC a field. Equal values of different fields have different MACs."""
    check_site_key(site_key)
    return {
        name: tier_mac(site_key, "identity", kind.encode(), name.encode("utf-8", "surrogatepass"), present(value))
        for name, value in identity.items()
    }


def fingerprint(reading: Reading, site_key: bytes, *, advisory: bool = True) -> Fingerprint:
    """All tiers of a reading.

    Args:
        reading: what `read` returned.
        site_key: at least 32 random bytes, kept by the site; F4 depends on it.
        advisory: with F5; a gate can do without, since F5 decides nothing.

    Raises:
        UsageError: the site key is too short.
    """
    f4 = identity_macs(reading.kind, reading.identity, site_key)
    leaves = () if reading.pixels is None or reading.shape is None else tile_leaves(reading.pixels, reading.shape)
    detail = Detail(reading.shape, tuple(tuple(frame) for frame in leaves), reading.meaning)
    f3 = meaning_hash(reading.kind, reading.meaning)
    picture = advisory and reading.kind in ("dicom", "image") and reading.pixels is not None
    return Fingerprint(
        PROFILE,
        reading.kind,
        reading.received,
        tier_hash("dataset", reading.kind.encode(), encode_attributes(reading.dataset)).hex(),
        sample_hash(reading.kind, detail, f3),
        _codestream_hash(reading),
        f3,
        f4,
        tier_mac(site_key, "site")[:16],
        perceptual_hash(reading.pixels) if picture and reading.pixels is not None else None,
        detail,
    )
