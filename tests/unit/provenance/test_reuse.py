"""One photograph under two patients is found again, whatever was done to it; other photographs are not."""

from __future__ import annotations

import io
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from sklearn.datasets import load_sample_image

from nocere.core.errors import DataError, PrerequisiteError, UsageError, WriteError
from nocere.provenance.investigate.reuse import Index, Match
from nocere.provenance.investigate.reuse.features import describe, mirrored, opencv
from nocere.provenance.investigate.reuse.verify import pairs, same

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")

SIDE = 200
PHOTOS = {
    f"{name[0]}{r}{c}": np.ascontiguousarray(
        load_sample_image(name)[r * SIDE : (r + 1) * SIDE, c * SIDE : (c + 1) * SIDE]
    )
    for name in ("china.jpg", "flower.jpg")
    for r in range(2)
    for c in range(3)
}


@pytest.fixture(scope="module")
def index() -> Index:
    made = Index()
    for id, photo in PHOTOS.items():
        made.add(id, f"patient {id}", photo)
    return made


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "nothing": lambda i: i,
    "mirrored": lambda i: i.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "upside down": lambda i: i.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    "turned by 37 degrees": lambda i: i.rotate(37, Image.Resampling.BICUBIC),
    "crop to 60 %": lambda i: i.crop((40, 30, 160, 150)),
    "half size": lambda i: i.resize((100, 100), Image.Resampling.BICUBIC),
    "narrower": lambda i: i.resize((160, 200), Image.Resampling.BICUBIC),
    "darker, less contrast": lambda i: ImageEnhance.Contrast(ImageEnhance.Brightness(i).enhance(0.7)).enhance(0.8),
    "grey": lambda i: i.convert("L"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_found_again_and_nothing_else(index: Index, change: str) -> None:
    for id in ("c12", "f11"):
        found = index.search(np.asarray(CHANGES[change](Image.fromarray(PHOTOS[id]))))
        assert [m.id for m in found] == [id]
        assert found[0].group == f"patient {id}" and found[0].score > 0.7 and found[0].inliers >= 8
        assert found[0].mirrored == (change in ("mirrored", "upside down"))


def test_a_photograph_that_is_not_in_the_index_is_not_found(index: Index) -> None:
    for name in ("china.jpg", "flower.jpg"):
        right_edge = load_sample_image(name)[100:300, 600:640]
        assert index.search(np.ascontiguousarray(np.tile(right_edge, (1, 5, 1)))) == []


@pytest.mark.parametrize("mirror", [False, True])
def test_the_transform_takes_pixels_of_the_one_to_the_other(index: Index, mirror: bool) -> None:
    """Against the map that made the picture, within a pixel over the whole image."""
    angle, zoom = np.deg2rad(25), 1.2
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    made = np.hstack([turn, (np.array([99.5, 99.5]) - turn @ [99.5, 99.5])[:, None]])
    if mirror:
        made = np.array([[-1, 0, 199], [0, 1, 0]]) @ np.vstack([made, [0, 0, 1]])
    picture = cv2.warpAffine(PHOTOS["c11"], made, (SIDE, SIDE), flags=cv2.INTER_CUBIC)
    (found,) = index.search(picture)
    corners = np.array([[40, 40, 1], [160, 40, 1], [160, 160, 1], [40, 160, 1]]).T
    assert np.abs(found.transform @ corners - made @ corners).max() < 1.0
    assert found.mirrored == mirror and found.scale == pytest.approx(zoom, rel=0.01)
    if not mirror:
        assert found.rotation == pytest.approx(25, abs=0.5)


def test_mirror_features_are_those_of_the_mirror_image() -> None:
    """Oracle: OpenCV on the mirrored picture itself."""
    photo = PHOTOS["f01"]
    derived, real = mirrored(describe(photo)), describe(np.ascontiguousarray(photo[:, ::-1]))
    assert np.array_equal(derived.small, real.small)
    at = pairs(derived, real)
    together = np.hypot(*(derived.points[at[:, 0]] - real.points[at[:, 1]]).T) < 1
    assert len(at) > 0.6 * len(real.points) and together.mean() > 0.9


def test_duplicates_are_pairs_of_different_groups_once_each() -> None:
    index = Index()
    turned = np.ascontiguousarray(np.rot90(PHOTOS["c01"]))
    index.add("first", "A", PHOTOS["c01"])
    index.add("same patient", "A", turned)
    index.add("other", "B", PHOTOS["f10"])
    index.add("re-used", "B", turned[:, ::-1])
    found = list(index.duplicates())
    assert [(d.id, d.group, d.other.id, d.other.group) for d in found] == [
        ("re-used", "B", d.other.id, "A") for d in found
    ]
    assert {d.other.id for d in found} == {"first", "same patient"}


def test_depth_does_not_matter(index: Index) -> None:
    grey = np.asarray(Image.fromarray(PHOTOS["c10"]).convert("L"))
    for array in (grey.astype(np.uint16) * 257, grey.astype(np.int16) * 8 - 1024, grey[..., None]):
        assert [m.id for m in index.search(array)] == ["c10"]


def test_save_and_load(index: Index, tmp_path: Path) -> None:
    path = tmp_path / "index.npz"
    index.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = Index.load(path)
    assert len(again) == len(index)
    picture = np.ascontiguousarray(np.rot90(PHOTOS["c02"]))
    for one, other in zip(index.search(picture), again.search(picture), strict=True):
        assert (one.id, one.group, one.score, one.inliers) == (other.id, other.group, other.score, other.inliers)
        assert np.array_equal(one.transform, other.transform)
    again.add("new", "new", PHOTOS["c00"][:150])
    assert {m.id for m in again.search(PHOTOS["c00"])} == {"c00", "new"}
    with pytest.raises(WriteError):
        index.save(tmp_path / "nowhere" / "index.npz")


def test_an_empty_index(tmp_path: Path) -> None:
    Index().save(tmp_path / "empty.npz")
    empty = Index.load(tmp_path / "empty.npz")
    assert len(empty) == 0 and empty.search(PHOTOS["c00"]) == [] and list(empty.duplicates()) == []


def test_what_is_no_index_is_said(index: Index, tmp_path: Path) -> None:
    path = tmp_path / "index.npz"
    index.save(path)
    whole = path.read_bytes()
    for content in (b"", b"not an index", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(DataError, match="Cannot read the re-use index"):
            Index.load(path)
    np.savez(path, format=np.array("something else"))
    with pytest.raises(DataError, match="another kind"):
        Index.load(path)
    with np.load(io.BytesIO(whole)) as held:
        parts = dict(held)
    np.savez(path, **{**parts, "codes": parts["codes"][:-1]})
    with pytest.raises(DataError, match="another kind"):
        Index.load(path)
    with pytest.raises(DataError):
        Index.load(tmp_path / "absent.npz")


def test_images_without_detail_are_listed_not_lost() -> None:
    index = Index()
    index.add("blank", "A", np.full((64, 64), 128, np.uint8))
    index.add("photo", "B", PHOTOS["c00"])
    assert index.unsearchable == ["blank"]
    with pytest.raises(DataError, match="features"):
        index.search(np.zeros((64, 64), np.uint8))
    assert [m.id for m in index.search(PHOTOS["c00"])] == ["photo"]


@pytest.mark.parametrize(
    "image",
    [PHOTOS["c00"].astype(float), PHOTOS["c00"][0, 0], np.zeros((8, 200), np.uint8)],
    ids=["float", "line", "tiny"],
)
def test_bad_images_are_said(index: Index, image: np.ndarray) -> None:
    with pytest.raises(UsageError, match="cannot be searched for"):
        index.search(image)


def test_an_id_is_given_once() -> None:
    index = Index()
    index.add("one", "A", PHOTOS["c00"])
    with pytest.raises(UsageError, match="'one'"):
        index.add("one", "B", PHOTOS["c01"])


def test_without_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    opencv.cache_clear()
    try:
        with pytest.raises(PrerequisiteError, match=r"nocere\[reuse\]"):
            Index().add("one", "A", PHOTOS["c00"])
    finally:
        opencv.cache_clear()


def test_features_without_fine_structure_in_common_are_no_match() -> None:
    """Same places, same codes, another small picture: alignment alone does not convince."""
    from dataclasses import replace

    held = describe(PHOTOS["c00"])
    assert same(held, held) is not None
    noise = np.random.default_rng(0).integers(1, 256, held.small.shape).astype(np.uint8)
    assert same(held, replace(held, small=noise)) is None


def test_match_is_readable() -> None:
    match = Match("id", "group", 0.9, np.array([[0.0, -2.0, 5.0], [2.0, 0.0, 1.0]]), 20)
    assert match.rotation == pytest.approx(90) and match.scale == pytest.approx(2) and not match.mirrored
