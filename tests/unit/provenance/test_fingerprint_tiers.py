"""Tiers, proofs, comparison and verdicts on small arrays whose truth is known by hand."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nocere.core.errors import DataError, UsageError
from nocere.provenance.fingerprint import (
    Authorised,
    Fingerprint,
    Reading,
    Shape,
    Verdict,
    compare,
    findings,
    fingerprint,
    headline,
    prove,
)
from nocere.provenance.fingerprint.perceptual import distance, perceptual_hash
from nocere.provenance.fingerprint.tiles import root_of, width

KEY = bytes(range(32))


def reading(pixels: np.ndarray[Any, Any], bits: int = 16, **changes: Any) -> Reading:
    shape = Shape(*pixels.shape, bits, "u")
    base = Reading(
        "dicom", hashlib.sha256(pixels.tobytes()).hexdigest(), pixels, shape, (), {"(0028,1053)": "1"}, {}, {}
    )
    return replace(base, **changes)


def noise(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 1 << 16, shape).astype("<u2")


def reference_root(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, word for word, with the leaves already hashed."""
    n = len(leaves)
    if n == 0:
        return hashlib.sha256(b"").digest()
    if n == 1:
        return leaves[0]
    k = 1 << (n - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + reference_root(leaves[:k]) + reference_root(leaves[k:])).digest()


@pytest.mark.parametrize("n", [*range(70), 127, 128, 129, 1000])
def test_tree_head_is_that_of_rfc_6962(n: int) -> None:
    leaves = [hashlib.sha256(str(i).encode()).digest() for i in range(n)]
    assert root_of(leaves) == reference_root(leaves)


@pytest.mark.parametrize("frames", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [(1, 1), (64, 64), (65, 64), (130, 70), (200, 129)])
def test_a_proof_holds_for_its_tile_and_for_no_other(frames: int, size: tuple[int, int]) -> None:
    pixels = noise(frames, *size, 1)
    f = fingerprint(reading(pixels), KEY)
    assert f.detail is not None and f.detail.shape is not None
    shape, leaves = f.detail.shape, f.detail.tiles
    for frame in range(frames):
        whole = prove(leaves, shape, frame)
        assert whole.holds(pixels[frame], f.f2)
        assert not whole.holds(pixels[frame] ^ 1, f.f2)
        for tile in range(shape.across * shape.down):
            proof = prove(leaves, shape, frame, tile)
            top, left, bottom, right = shape.box(tile)
            samples = pixels[frame, top:bottom, left:right]
            assert proof.holds(samples, f.f2)
            changed = samples.copy()
            changed[-1, -1, 0] ^= 1
            assert not proof.holds(changed, f.f2)
            assert not proof.holds(samples, hashlib.sha256(b"").hexdigest())
            assert not replace(proof, in_array=(*proof.in_array, b"\x00" * 32)).holds(samples, f.f2)
            assert not replace(proof, frame=frame + 1).holds(samples, f.f2) or frames == 1
            assert not replace(proof, shape=replace(shape, bits=15)).holds(samples, f.f2)
    with pytest.raises(IndexError):
        prove(leaves, shape, frames)


def test_json_round_trip_and_what_it_refuses() -> None:
    f = fingerprint(reading(noise(2, 70, 70, 1)), KEY)
    assert Fingerprint.from_json(f.to_json()) == f
    assert Fingerprint.from_json(f.to_json(detail=False)) == f.without_detail()
    value = json.loads(f.to_json())
    wrong: list[dict[str, Any]] = [
        {**value, "profile": "nocere-fp/2"},
        {**value, "kind": "video"},
        {**value, "f2": "00"},
        {**value, "f2": value["f3"]},
        {**value, "f3": value["f2"]},
        {**value, "f4": {"(0010,0020)": "4711"}},
        {**value, "f4": []},
        {**value, "site": "x"},
        {**value, "f5": 7},
        {**value, "more": 1},
        {**value, "detail": {**value["detail"], "meaning": {"(0028,1053)": "2"}}},
        {**value, "detail": {**value["detail"], "tiles": value["detail"]["tiles"][:1]}},
        {**value, "detail": {**value["detail"], "tiles": ["AAAA", "AAAA"]}},
        {**value, "detail": {**value["detail"], "shape": {**value["detail"]["shape"], "rows": 71}}},
        {**value, "detail": {**value["detail"], "shape": {**value["detail"]["shape"], "rows": 0}}},
        {k: v for k, v in value.items() if k != "f4"},
        {},
    ]
    for bad in wrong:
        with pytest.raises(DataError):
            Fingerprint.from_json(json.dumps(bad))
    for text in ("", "[]", "1", "{", "null", '"x"'):
        with pytest.raises(DataError):
            Fingerprint.from_json(text)


def test_a_site_key_must_not_be_guessable() -> None:
    with pytest.raises(UsageError, match="site key"):
        fingerprint(reading(noise(1, 4, 4, 1)), b"secret")


def test_comparison_needs_one_kind_and_one_site() -> None:
    f = fingerprint(reading(noise(1, 4, 4, 1)), KEY)
    with pytest.raises(UsageError, match="cannot be compared"):
        compare(f, replace(f, kind="image"))
    with pytest.raises(UsageError, match="site key"):
        compare(f, fingerprint(reading(noise(1, 4, 4, 1)), bytes(32)))


FRAMES = noise(6, 4, 4, 1)


@pytest.mark.parametrize(
    ("order", "added", "removed", "moved"),
    [
        ([0, 1, 2, 3, 4, 5], (), (), ()),
        ([1, 0, 2, 3, 4, 5], (), (), ((1, 0), (0, 1))),
        ([0, 1, 2, 4, 5], (), (3,), ()),
        ([1, 2, 3, 4, 5], (), (0,), ()),
        ([0, 0, 1, 2, 3, 4, 5], (0,), (), ()),
        ([0, 1, 2, 2, 3, 4, 5], (2,), (), ()),
        ([5, 0, 1, 2, 3, 4], (), (), ((5, 0), (0, 1), (1, 2), (2, 3), (3, 4), (4, 5))),
        ([3, 4, 5, 0, 1], (), (2,), ((0, 3), (1, 4))),
    ],
)
def test_frames(order: list[int], added: Any, removed: Any, moved: Any) -> None:
    d = compare(fingerprint(reading(FRAMES), KEY), fingerprint(reading(FRAMES[order]), KEY))
    if order == [0, 0, 1, 2, 3, 4, 5] or order == [0, 1, 2, 2, 3, 4, 5]:
        assert len(d.frames_added) == 1 and d.frames_added[0] - added[0] in (0, 1)  # which of two equal frames is new
    else:
        assert d.frames_added == added
    assert d.frames_removed == removed
    assert d.frames_moved == moved
    assert d.tiles == ()


def test_tiles_name_their_pixels() -> None:
    before = noise(3, 130, 100, 1)
    after = before.copy()
    after[2, 129, 99] ^= 1
    after[0, 63, 64] ^= 1
    d = compare(fingerprint(reading(before), KEY), fingerprint(reading(after), KEY))
    assert [(t.frame, t.row, t.column, t.box) for t in d.tiles] == [
        (0, 0, 1, (0, 64, 64, 100)),
        (2, 2, 1, (128, 64, 130, 100)),
    ]
    assert "frame 2 rows 128-129 columns 64-99" in findings(d)[0].support


def test_without_detail_the_verdict_stands_but_not_the_place() -> None:
    a, b = (fingerprint(reading(noise(1, 8, 8, 1, seed=s)), KEY) for s in (0, 1))
    d = compare(a.without_detail(), b)
    assert headline(d) is Verdict.PIXELS_CHANGED
    assert not d.localised and d.tiles == () and "no detail" in findings(d)[0].sentence


def test_all_findings_are_listed_worst_first() -> None:
    base = reading(noise(1, 8, 8, 1), identity={"(0010,0020)": "1"})
    other = reading(noise(1, 8, 8, 1, seed=1), identity={"(0010,0020)": "2"}, meaning={"(0028,1053)": "2"})
    d = compare(fingerprint(base, KEY), fingerprint(other, KEY))
    found = findings(d, Authorised(identity={"(0010,0020)"}))
    assert [f.verdict for f in found] == [Verdict.PIXELS_CHANGED, Verdict.MEANING_CHANGED, Verdict.IDENTITY_COERCED]
    assert [f.authorised for f in found] == [False, False, True]
    assert "(0028,1053) Rescale Slope changed: stored values become other Hounsfield" in found[1].sentence
    assert findings(d, Authorised(meaning={"(0028,1053)"}))[1].authorised


def test_one_codestream_and_two_decoders() -> None:
    """DCT decoders differ by one grey level: the codestream counts."""
    code = (hashlib.sha256(b"code").hexdigest(),)
    a, b = (fingerprint(reading(noise(1, 8, 8, 1, seed=s), codestreams=code), KEY) for s in (0, 1))
    d = compare(a, b)
    assert d.decoders and headline(d) is Verdict.LOSSLESS_EQUIVALENT
    c = fingerprint(reading(noise(1, 8, 8, 1, seed=1), codestreams=(hashlib.sha256(b"other").hexdigest(),)), KEY)
    assert headline(compare(a, c)) is Verdict.PIXELS_CHANGED


def test_every_attribute_has_words() -> None:
    a, b = ({"(0028,1053)": "1"}, {"(5200,9230)[0]/(0020,9113)[0]/(0020,0032)": "1", "(60FF,3000)": "1", "odd": "1"})
    pixels = noise(1, 4, 4, 1)
    d = compare(fingerprint(reading(pixels, meaning=a), KEY), fingerprint(reading(pixels, meaning=b), KEY))
    words = {c.attribute: (c.name, c.effect) for c in d.meaning}
    assert words["(5200,9230)[0]/(0020,9113)[0]/(0020,0032)"] == (
        "Per-Frame Functional Groups Sequence > Image Position (Patient)",
        "the slice lies elsewhere in the body",
    )
    assert all(effect for _, effect in words.values()) and words["(60FF,3000)"][0] == "Overlay Data"
    assert {str(c).split(":")[0] for c in d.meaning} >= {"(0028,1053) Rescale Slope removed", "odd added"}


def test_verdicts_are_ordered_as_in_the_design() -> None:
    names = "IDENTICAL LOSSLESS-EQUIVALENT IDENTITY-COERCED MEANING-CHANGED PIXELS-CHANGED SUBSTITUTED UNREGISTERED"
    assert [v.value for v in Verdict] == [*names.split(), "UNDECODABLE", "EVIDENCE-INVALID"]
    assert Verdict.EVIDENCE_INVALID.severity > Verdict.IDENTICAL.severity


@pytest.mark.parametrize(("bits", "size"), [(1, 1), (8, 1), (9, 2), (16, 2), (17, 4), (32, 4), (33, 8), (64, 8)])
def test_width_is_the_least_that_holds(bits: int, size: int) -> None:
    assert width(bits) == size


def test_perceptual_hash_tells_another_picture_and_not_noise() -> None:
    rng = np.random.default_rng(1)
    smooth = np.cumsum(np.cumsum(rng.normal(size=(256, 256)), 0), 1)
    picture = ((smooth - smooth.min()) / np.ptp(smooth) * 4000).astype("u2")[None, :, :, None]
    noisy = picture + rng.integers(0, 16, picture.shape).astype("u2")
    same, flip = perceptual_hash(noisy), perceptual_hash(picture[:, :, ::-1])
    assert distance(perceptual_hash(picture), same) <= 4
    assert distance(perceptual_hash(picture), flip) >= 16
    assert len(perceptual_hash(noise(1, 1, 1, 3))) == 16
