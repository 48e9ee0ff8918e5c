"""Patches off a mask: every place that the search takes against the rule, optima by brute force, cheats, bundles."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.images import SIDE, Linear, audit, cell, heads, labelled, pictures

from nocere.attacks.base import AttackDefaults, Job, Propose, Search
from nocere.attacks.image.patch import PatchPgd, PatchUniversal
from nocere.audit.bundle import Bundle, mask_path
from nocere.audit.plan import make_plan, resolve
from nocere.audit.replay import replay
from nocere.audit.runner import run_audit
from nocere.cases.datasets.folder import folder
from nocere.cases.image import array_case, write_png
from nocere.cases.masks import marked
from nocere.core.case import CaseSet, Truth
from nocere.core.errors import DataError, PlanError, VerificationError
from nocere.targets.torch import TorchTarget
from nocere.threats.patch import Patch, place_proof


def blob(rng: np.random.Generator, h: int, w: int) -> np.ndarray[Any, Any]:
    """A box with a bite out of it."""
    mask = np.zeros((h, w), bool)
    r, c = int(rng.integers(0, h - 4)), int(rng.integers(0, w - 4))
    mask[r : r + int(rng.integers(2, 6)), c : c + int(rng.integers(2, 6))] = True
    mask[r, c] = False
    return mask


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_every_place_is_off_the_mask_and_every_upright_place_off_it_is_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    h, w = (int(v) for v in rng.integers(16, 26, 2))
    turned = bool(rng.integers(2))
    pset = Patch(float(rng.integers(1, 6)), angle=30.0 * turned, smallest=0.7 if turned else 1.0, off_mask=True)
    cases = [
        array_case(str(k), rng.integers(1, 255, (1, h, w)).astype(np.uint8), Truth.of("a"), mask=blob(rng, h, w))
        for k in range(3)
    ]
    masks = pset.masks(cases)
    assert masks is not None
    places = pset.places(rng.uniform(-1, 1, (3, 3)), h, w, masks)
    under = pset.under(places, h, w)[:, 0].numpy()
    for case, place, pixels, mask in zip(cases, places, under, masks, strict=True):
        assert not (pixels & mask).any()
        x = case.x.copy()
        x[:, pixels] ^= 1
        assert pset.check(case, x, place_proof(place)) is None
    if turned:
        return
    side = int(pset.radius)
    free = pset.free(np.full(3, pset.radius), np.zeros(3), h, w, masks)
    half = (side - 1) // 2
    for k, mask in enumerate(masks):
        # Brute force: a window's first row and column, and whether it holds a marked pixel.
        want = {
            (r + half, c + half)
            for r in range(h - side + 1)
            for c in range(w - side + 1)
            if not mask[r : r + side, c : c + side].any()
        }
        assert {(int(r), int(c)) for r, c in np.argwhere(free[k])} == want


def test_one_marked_pixel_under_the_patch_is_refused() -> None:
    mask = np.zeros((12, 12), bool)
    mask[6, 6] = True
    case = array_case("c", np.full((1, 12, 12), 90, np.uint8), Truth.of("a"), mask=mask)
    x = case.x.copy()
    x[0, 3:6, 3:6] = 200
    beside = {"x": 4.0, "y": 4.0, "side": 3.0, "angle": 0.0}
    assert Patch(3.0, off_mask=True).check(case, x, beside) is None
    x[0, 4:7, 4:7] = 200
    x[0, 3], x[0, :, 3] = 90, 90
    over = {"x": 5.0, "y": 5.0, "side": 3.0, "angle": 0.0}
    assert Patch(3.0).check(case, x, over) is None
    refused = Patch(3.0, off_mask=True).check(case, x, over)
    assert refused is not None and refused.why == "the patch covers 1 pixels of the case's mask"
    # The pixel may keep its value: the place alone decides.
    x[0, 6, 6] = 90
    assert Patch(3.0, off_mask=True).check(case, x, over) is not None
    bare = array_case("c", case.x, Truth.of("a"))
    refused = Patch(3.0, off_mask=True).check(bare, x, beside)
    assert refused is not None and "no mask" in refused.why


def masked_world(n: int, weight: Any, bias: Any, decision: Any, channels: int = 3) -> CaseSet:
    """Linear pictures, each with a mask of its own over what a patch would like best."""
    plain = labelled(pictures(n, seed=8, channels=channels), decision, weight, bias)
    rng = np.random.default_rng(4)
    made = []
    for case in plain:
        mask = blob(rng, SIDE, SIDE)
        mask[3:7, 2:9] = True
        mask[9:, 9:] = False
        made.append(array_case(case.id, case.x, case.truth, group=case.group, mask=mask))
    return CaseSet.of(made)


def best_off(x: Any, w: Any, side: int, mask: Any) -> float:
    gain = np.maximum(w * (255.0 - x), -w * x).sum(0)
    return max(
        float(gain[r : r + side, c : c + side].sum())
        for r in range(SIDE - side + 1)
        for c in range(SIDE - side + 1)
        if not mask[r : r + side, c : c + side].any()
    )


@pytest.mark.parametrize("way", [1.0, -1.0])
def test_patch_pgd_finds_the_best_window_off_each_mask(tmp_path: Path, way: float) -> None:
    decision, weight, _ = heads()["one_logit"]
    cases = masked_world(40, weight, np.zeros(1), decision)
    x = np.stack([c.x for c in cases])
    gain = np.array(
        [best_off(c.x.astype(float), -way * weight[0].reshape(c.x.shape), 3, marked(c)) for c in cases]
    )  # fmt: skip
    z = x.reshape(len(x), -1) @ weight[0] - np.log(decision.threshold / (1 - decision.threshold))
    bias = np.array([-float(np.median(z - way * gain))])
    cases = masked_world(40, weight, bias, decision)
    target = TorchTarget(Linear(weight, bias), decision)
    bundle = audit(
        tmp_path / "b", cases, target,
        cell(cases, (PatchPgd(steps=20),), pset=Patch(3.0, off_mask=True), radii=(3.0,)),
    )  # fmt: skip
    got = {o.case_id: o.kind for o in bundle.outcomes("cell")}
    reach = gain - way * (z + bias)
    clear = [k for k in range(40) if abs(reach[k]) > 0.01 and way * (z + bias)[k] > 0]
    expected = {cases.refs[k].id: "broken" if reach[k] > 0 else "held" for k in clear}
    assert {i: got[i] for i in expected} == expected
    assert min(list(expected.values()).count(kind) for kind in ("broken", "held")) > 10
    # The bundle replays on its own: the masks are in it.
    assert replay(bundle, target).failed == ()
    broken = next(i for i, kind in expected.items() if kind == "broken")
    mask = bundle.folder / mask_path(broken)
    assert mask.read_bytes() == cases.load(broken).mask
    mask.unlink()
    with pytest.raises(VerificationError, match="missing"):
        replay(Bundle(bundle.folder), target)


@dataclass(frozen=True)
class OnTheMask(AttackDefaults):
    """Proposes a patch where the lesion is, and one beside it with the proof of a place that is free."""

    name: ClassVar[str] = "test.on_the_mask"
    lie: bool = False

    def search(self, job: Job) -> Search:
        for k, case in enumerate(job.cases):
            x = case.x.copy()
            x[:, 3:6, 3:6] = 255 - x[:, 3:6, 3:6]
            free = {"x": 10.0, "y": 10.0, "side": 3.0, "angle": 0.0}
            proof = free if self.lie else {"x": 4.0, "y": 4.0, "side": 3.0, "angle": 0.0}
            yield Propose([x], rows=np.array([k]), proofs=[proof])
        return []


@pytest.mark.parametrize(("lie", "why"), [(False, "pixels of the case's mask"), (True, "outside of the patch")])
def test_a_patch_on_the_lesion_is_caught(tmp_path: Path, lie: bool, why: str) -> None:
    decision, weight, bias = heads()["one_logit"]
    cases = masked_world(8, weight, bias, decision)
    target = TorchTarget(Linear(weight, bias), decision)
    spec = cell(cases, (OnTheMask(lie),), pset=Patch(3.0, off_mask=True), radii=(3.0,))
    outcomes = list(audit(tmp_path / "b", cases, target, spec).outcomes("cell"))
    assert {o.kind for o in outcomes} == {"errored"}
    assert all(why in o.why for o in outcomes)
    assert all(o.meter["queries"] == 0 for o in outcomes)


def test_where_no_patch_fits_the_case_is_not_applicable(tmp_path: Path) -> None:
    decision, weight, bias = heads()["one_logit"]
    plain = labelled(pictures(9, seed=8), decision, weight, bias)
    tight = np.ones((SIDE, SIDE), bool)
    tight[:4, :4] = False  # a patch of 4 pixels fits, one of 5 does not
    masks = {0: None, 1: np.ones((SIDE, SIDE), bool), 2: tight}
    cases = CaseSet.of([array_case(c.id, c.x, c.truth, mask=masks[k % 3]) for k, c in enumerate(plain)])
    target = TorchTarget(Linear(weight, bias), decision)
    pset = Patch(4.0, off_mask=True)
    bundle = audit(
        tmp_path / "b", cases, target, cell(cases, (PatchPgd(8),), pset=pset, radii=(4.0, 5.0)),
        cell(cases, (PatchUniversal(epochs=1),), pset=pset, radii=(4.0,), name="one", fit=frozenset(["case/002"])),
    )  # fmt: skip
    for name in ("cell", "one"):
        for o in bundle.outcomes(name):
            kind = int(o.case_id.split("/")[1]) % 3
            if kind == 0:
                assert (o.kind, o.why) == ("not_applicable", "the case has no mask that the patch could stay off")
            elif kind == 1:
                assert (o.kind, o.why) == ("not_applicable", "no patch of 4 pixels fits beside the case's mask")
            elif o.radius == 4.0:
                assert o.kind in ("broken", "held")
            else:
                assert o.kind == "errored"
                assert "pixels of the case's mask" in o.why


def manifest(tmp_path: Path, masks: list[str]) -> Path:
    with (tmp_path / "m.csv").open("w", newline="") as f:
        out = csv.writer(f)
        out.writerow(["path", "label", "lesion"])
        for k, mask in enumerate(masks):
            (tmp_path / f"{k}.png").write_bytes(write_png(pictures(1, seed=k)[0]))
            out.writerow([f"{k}.png", ("benign", "malignant")[k % 2], mask])
    return tmp_path / "m.csv"


def test_masks_of_a_manifest(tmp_path: Path) -> None:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[2:5, 3:9] = 7
    Image.fromarray(mask).save(tmp_path / "mask.png")
    table = manifest(tmp_path, ["mask.png", ""])
    cases = folder(table, columns={"mask": "lesion"})
    np.testing.assert_array_equal(marked(cases.load("0.png")), mask > 0)
    assert marked(cases.load("1.png")) is None
    assert folder(table).refs[0].mask == ""
    decision, weight, bias = heads()["one_logit"]
    target = TorchTarget(Linear(weight, bias), decision)
    about = {
        "name": "patch", "threat": "image.patch", "threat_args": {"off_mask": True}, "radii": [3],
        "attacks": [{"name": "image.patch_pgd", "steps": 8}],
    }  # fmt: skip
    plan = make_plan({"name": "t", "cell": [about]})
    bundle = run_audit(resolve(plan, target, cases), tmp_path / "b")
    kinds = {o.case_id: o.kind for o in bundle.outcomes("patch")}
    assert kinds["1.png"] == "not_applicable"
    assert kinds["0.png"] in ("broken", "held", "already_wrong")
    assert bundle.refs[0] == cases.refs[0]
    with pytest.raises(PlanError, match="no case has one"):
        resolve(plan, target, folder(table))
    mask[0, 0] = 1
    Image.fromarray(mask).save(tmp_path / "mask.png")
    with pytest.raises(DataError, match="has changed"):
        cases.load("0.png")


def test_masks_that_cannot_be_are_one_sentence(tmp_path: Path) -> None:
    table = manifest(tmp_path, ["mask.png"])

    def refused(why: str) -> None:
        with pytest.raises(DataError, match=why):
            folder(table, columns={"mask": "lesion"})

    refused("cannot read")
    (tmp_path / "mask.png").write_bytes(b"no picture")
    refused("not a readable PNG mask")
    Image.fromarray(np.zeros((SIDE, SIDE), np.uint8)).save(tmp_path / "mask.png")
    refused("marks no pixel")
    Image.fromarray(np.ones((SIDE, SIDE + 1), np.uint8)).save(tmp_path / "mask.png")
    refused("12 x 13 pixels, its picture 12 x 12")
    Image.fromarray(np.ones((SIDE, SIDE, 3), np.uint8)).save(tmp_path / "mask.png")
    refused("a PNG of one channel")
