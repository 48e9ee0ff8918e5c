"""Oracles for patches: another rendering of the footprint, saboteurs, and optima of linear models by trying all places."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from tests.images import SIDE, Linear, audit, cell, heads, labelled, pictures, world

from nocere.attacks.base import AttackDefaults, Job, Propose, Search
from nocere.attacks.image.patch import PatchPgd, PatchUniversal
from nocere.cases.image import array_case
from nocere.core.case import Truth
from nocere.core.decision import OneLogit
from nocere.core.errors import UsageError
from nocere.core.goal import Goal
from nocere.targets.torch import TorchTarget
from nocere.threats.patch import RIM, Patch, place_proof

FINE = 16  # sub-pixels of Pillow's polygon a pixel


def drawn_by_pillow(place: Any, h: int, w: int) -> np.ndarray[Any, Any]:
    """Share of each pixel's sub-pixels near its centre that a polygon drawing covers: 1 inside, 0 outside."""
    x, y, side, angle = place
    a = np.radians(angle)
    corners = [
        (x + (u * np.cos(a) - v * np.sin(a)) * side / 2, y + (u * np.sin(a) + v * np.cos(a)) * side / 2)
        for u, v in ((-1, -1), (1, -1), (1, 1), (-1, 1))
    ]
    image = Image.new("L", (w * FINE, h * FINE))
    ImageDraw.Draw(image).polygon([((p + 0.5) * FINE - 0.5, (q + 0.5) * FINE - 0.5) for p, q in corners], fill=1)
    fine = np.asarray(image).reshape(h, FINE, w, FINE)
    middle = slice(FINE // 2 - 2, FINE // 2 + 2)
    return fine[:, middle, :, middle].mean((1, 3))


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_the_footprint_is_the_square_that_pillow_draws(seed: int) -> None:
    rng = np.random.default_rng(seed)
    h, w = (int(v) for v in rng.integers(14, 30, 2))
    pset = Patch(float(rng.integers(1, 9)), angle=float(rng.choice([0.0, 30.0, 180.0])), smallest=0.6)
    places = pset.places(rng.uniform(-1, 1, (3, 3)), h, w)
    under = pset.under(places, h, w)[:, 0].numpy()
    for place, mask in zip(places, under, strict=True):
        pillow = drawn_by_pillow(place, h, w)
        assert (pillow[mask] > 0).all()
        assert (pillow[~mask] < 1).all()


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_what_the_search_pastes_is_inside_and_one_pixel_more_is_not(seed: int) -> None:
    rng = np.random.default_rng(seed)
    h, w = (int(v) for v in rng.integers(20, 32, 2))  # room for 5 pixels turned beside a free centre
    exclude = float(rng.choice([0.0, 0.25]))
    pset = Patch(float(rng.integers(1, 6)), float(rng.choice([0.0, 45.0])), 0.7, exclude)
    case = array_case("c", rng.integers(1, 255, (3, h, w)).astype(np.uint8), Truth.of("a"))
    x0 = torch.from_numpy(case.x.astype(np.float32))[None]
    place = pset.places(rng.uniform(-1, 1, (1, 3)), h, w)
    texels = torch.from_numpy(rng.choice([0.0, 255.0], (1, 3, 6, 6)).astype(np.float32))
    stored = pset.paste(x0, texels, place)[0].round().numpy().astype(np.uint8)
    proof = place_proof(place[0])
    assert pset.check(case, stored, proof) is None
    mask = pset.under(place, h, w)[0, 0].numpy()
    np.testing.assert_array_equal(stored[:, ~mask], case.x[:, ~mask])
    # One level of one channel of any pixel beyond the edge.
    wider = pset.under(place + np.array([0, 0, 4 * RIM, 0]), h, w)[0, 0].numpy()
    r, c = (int(v[rng.integers(len(v))]) for v in np.nonzero(~wider))
    outside = [(int(a), int(b)) for a, b in np.argwhere(~wider)]
    r, c = outside[int(rng.integers(len(outside)))]
    touched = stored.copy()
    touched[int(rng.integers(3)), r, c] ^= 1
    refused = pset.check(case, touched, proof)
    assert refused is not None and "1 pixels outside" in refused.why


def test_wrong_proofs_are_refused() -> None:
    pset = Patch(4.0, angle=30.0, smallest=0.5, exclude=0.3)
    case = array_case("c", np.full((1, 20, 20), 90, np.uint8), Truth.of("a"))
    x = case.x.copy()
    x[0, 1:5, 2:6] = 200
    good = {"x": 3.5, "y": 2.5, "side": 4.0, "angle": 0.0}
    assert pset.check(case, x, good) is None
    moved = pset.check(case, x, {**good, "x": 4.5})
    assert moved is not None and "outside of the patch" in moved.why
    for wrong, why in (
        (None, "the proof must give"),
        ({"x": 3.5, "y": 2.5, "side": 4.0}, "the proof must give"),
        ({**good, "more": 1.0}, "the proof must give"),
        ({**good, "side": 4.1}, "side = 4.1"),
        ({**good, "side": 1.9}, "side = 1.9"),
        ({**good, "side": float("nan")}, "side = nan"),
        ({**good, "angle": 31.0}, "angle = 31"),
        ({**good, "angle": "0"}, "angle = 0"),
        ({**good, "x": 1.0}, "beyond the image"),
        ({**good, "x": 9.5, "y": 9.5}, "centre, which is excluded"),
    ):
        refused = pset.check(case, x, wrong)  # type: ignore[arg-type]
        assert refused is not None and why in refused.why, (wrong, refused)


def test_a_patch_of_whole_pixels_never_covers_a_pixel_more() -> None:
    case = array_case("c", np.full((1, 9, 9), 90, np.uint8), Truth.of("a"))
    x = case.x.copy()
    x[0, 2:7, 2:6] = 0
    # Five rows of pixel centres lie within the closed square of side 4 about (3.5, 4); it covers no fifth one.
    refused = Patch(4.0).check(case, x, {"x": 3.5, "y": 4.0, "side": 4.0, "angle": 0.0})
    assert refused is not None
    assert Patch(5.0).check(case, x, {"x": 4.0, "y": 4.0, "side": 5.0, "angle": 0.0}) is None


def test_places_are_uniform_and_keep_off_the_centre() -> None:
    pset = Patch(3.0, exclude=0.4)
    draws = np.random.default_rng(0).uniform(-1, 1, (20000, 3))
    places = pset.places(draws, 12, 10)
    free = pset.free(np.array([3.0]), np.zeros(1), 12, 10)[0]
    counts = np.zeros((12, 10))
    np.add.at(counts, (places[:, 1].astype(int), places[:, 0].astype(int)), 1)
    assert (counts > 0).tolist() == free.tolist()
    expected = 20000 / free.sum()
    assert np.abs(counts[free] - expected).max() < 5 * np.sqrt(expected)
    with pytest.raises(UsageError, match="does not fit"):
        Patch(8.0, exclude=0.5).places(draws[:1], 12, 10)


@dataclass(frozen=True)
class Sly(AttackDefaults):
    """Changes one pixel outside of the patch, or gives a proof that does not belong to its picture."""

    what: str = "pixel"
    name: ClassVar[str] = "test.sly"

    def search(self, job: Job) -> Search:
        for k, case in enumerate(job.cases):
            x = case.x.copy()
            x[:, 2:5, 2:5] = 255 - x[:, 2:5, 2:5]
            proof: Any = {"x": 3.0, "y": 3.0, "side": 3.0, "angle": 0.0}
            if self.what == "pixel":
                x[0, 9, 9] ^= 1
            else:
                proof = {**proof, "y": 4.0} if self.what == "moved" else {**proof, "side": 9.0}
            yield Propose([x], rows=np.array([k]), proofs=[proof])
        return []


@pytest.mark.parametrize("what", ["pixel", "moved", "larger"])
def test_saboteurs_break_nothing(tmp_path: Path, what: str) -> None:
    cases, target = world(6)
    bundle = audit(tmp_path / "b", cases, target, cell(cases, (Sly(what),), pset=Patch(3.0), radii=(3.0,)))
    outcomes = list(bundle.outcomes("cell"))
    assert {o.kind for o in outcomes} == {"errored"}
    assert all("not in the set" in o.why for o in outcomes)


def best_window(x: Any, w: Any, side: int, exclude: float = 0.0) -> float:
    """Largest gain of a linear score by any upright window: brute force over all of them."""
    gain = np.maximum(w * (255.0 - x), -w * x).sum(0)
    h, wide = gain.shape
    best = 0.0
    for r in range(h - side + 1):
        for c in range(wide - side + 1):
            tall, broad = exclude * h / 2, exclude * wide / 2
            rows = np.abs(np.arange(r, r + side) - (h - 1) / 2) < tall
            columns = np.abs(np.arange(c, c + side) - (wide - 1) / 2) < broad
            if not (rows.any() and columns.any()):
                best = max(best, float(gain[r : r + side, c : c + side].sum()))
    return best


@pytest.mark.parametrize("side", [3, 4])
@pytest.mark.parametrize("way", [1.0, -1.0])
@pytest.mark.parametrize("exclude", [0.0, 0.34])
def test_patch_pgd_finds_the_best_window_of_a_linear_model(
    tmp_path: Path, side: int, way: float, exclude: float
) -> None:
    decision, weight, _ = heads()["one_logit"]
    x = pictures(40, seed=8)
    gain = np.array([best_window(row.astype(float), -way * weight[0].reshape(row.shape), side, exclude) for row in x])
    z = x.reshape(len(x), -1) @ weight[0] - np.log(decision.threshold / (1 - decision.threshold))
    # Half of the cases lie within reach of the best patch.
    bias = np.array([-float(np.median(z - way * gain))])
    cases = labelled(x, decision, weight, bias)
    bundle = audit(
        tmp_path / "b", cases, TorchTarget(Linear(weight, bias), decision),
        cell(cases, (PatchPgd(steps=20),), pset=Patch(float(side), exclude=exclude), radii=(float(side),)),
    )  # fmt: skip
    got = {o.case_id: o.kind for o in bundle.outcomes("cell")}
    reach = gain - way * (z + bias)
    clear = [k for k in range(40) if abs(reach[k]) > 0.01 and way * (z + bias)[k] > 0]
    expected = {cases.refs[k].id: "broken" if reach[k] > 0 else "held" for k in clear}
    assert {i: got[i] for i in expected} == expected
    assert min(list(expected.values()).count(kind) for kind in ("broken", "held")) > 10


def test_universal_patch_reaches_the_closed_form_on_held_out_cases(tmp_path: Path) -> None:
    """A model that sums all values: the best patch is white (or black) wherever it lies."""
    decision = OneLogit(("dark", "light"))
    weight = np.full((1, SIDE * SIDE), 0.01)
    x = np.random.default_rng(5).integers(90, 166, (80, 1, SIDE, SIDE)).astype(np.uint8)
    totals = np.sort(x.reshape(80, -1).sum(1) * 0.01)
    bias = np.array([-float(totals[40] + totals[39]) / 2])
    cases = labelled(x, decision, weight, bias)
    fit = frozenset(r.id for r in cases.refs[:24])
    bundle = audit(
        tmp_path / "b", cases, TorchTarget(Linear(weight, bias), decision),
        cell(
            cases, (PatchUniversal(epochs=10, batch=16, step=0.2),), pset=Patch(2.0, angle=20.0, smallest=0.9),
            radii=(2.0, 3.0, 4.0), goal=Goal(want=("+light",), when="dark"), fit=fit,
        ),
    )  # fmt: skip
    outcomes = [o for o in bundle.outcomes("cell") if o.kind in ("broken", "held")]
    dark = {r.id for r in cases.refs[24:] if r.truth.label == "dark"}
    assert {o.case_id for o in outcomes} == dark
    for o in outcomes:
        assert o.finding is not None and o.finding.cost is not None
        place = np.array([[o.finding.cost.more[k] for k in ("x", "y", "side", "angle")]])
        under = Patch(o.radius).under(place, SIDE, SIDE)[0, 0].numpy()
        i = int(o.case_id.split("/")[1])
        gap = -(x[i].sum() * 0.01 + bias[0])
        gain = 0.01 * (255.0 - x[i][0][under]).sum()
        if abs(gain - gap) > 0.02 * gap:
            assert o.kind == ("broken" if gain > gap else "held"), o.case_id
    assert {o.kind for o in outcomes} == {"broken", "held"}


def test_bad_parameters_are_one_sentence() -> None:
    for make in (
        lambda: Patch(0.5), lambda: Patch(4.0, angle=200.0), lambda: Patch(4.0, smallest=0.0), lambda: Patch(4.0, exclude=1.0),
        lambda: PatchPgd(steps=2), lambda: PatchUniversal(epochs=0), lambda: PatchUniversal(step=0.0),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=r"image\.patch"):
            make()
    assert dataclasses.replace(Patch(4.0), radius=5.0) == Patch(4.0).at(5.0)
