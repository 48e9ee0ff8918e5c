"""A moved camera and noise: a linear model's worst case over a grid in closed form, and rules that cannot be stretched."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from tests.images import SIDE, Linear, audit, cell, heads, labelled, pictures, world

from nocere.attacks.base import AttackDefaults, Job, Propose, Search
from nocere.attacks.image.grid import Grid
from nocere.attacks.image.spatial import SpatialPgd
from nocere.cases.image import array_case
from nocere.core.case import Truth
from nocere.core.errors import UsageError
from nocere.targets.torch import TorchTarget
from nocere.threats.geometry import RotationTranslation
from nocere.threats.spatial_noise import RotationTranslationNoise

POINTS = (5, 3, 3)


def moved(x: Any, angle: float, dx: float, dy: float) -> np.ndarray[Any, Any]:
    """The moved image [C, H, W] by interpolation at complex coordinates: rotation is a product of complex numbers."""
    h, w = x.shape[1:]
    row, column = np.mgrid[0:h, 0:w]
    z = (column - (w - 1) / 2 - dx) + 1j * (row - (h - 1) / 2 - dy)
    z = z * np.exp(-1j * np.radians(angle))
    at = [z.imag + (h - 1) / 2, z.real + (w - 1) / 2]
    return np.stack([np.rint(map_coordinates(p.astype(float), at, order=1, mode="nearest")) for p in x])


def worst_over_grid(x: Any, w: Any, radius: float, shift: float) -> float:
    """Largest rise of w.x by a grid of movements."""
    lines = [np.linspace(-r, r, n) for r, n in zip((radius, shift, shift), POINTS, strict=True)]
    return max(float((w * (moved(x, *theta) - x)).sum()) for theta in itertools.product(*lines))


@pytest.mark.parametrize("noise", [0, 3])
def test_worst_case_of_a_linear_model_over_the_grid(tmp_path: Path, noise: int) -> None:
    decision, weight, _ = heads()["one_logit"]
    x = pictures(40, seed=6)
    w = weight[0].reshape(3, SIDE, SIDE)
    z = x.reshape(40, -1) @ weight[0] - np.log(decision.threshold / (1 - decision.threshold))
    rise = np.array([worst_over_grid(row, w, 10.0, 1.0) for row in x.astype(float)]) + noise * np.abs(w).sum()
    # Half of the cases lie just within reach of the worst movement and noise.
    bias = np.array([-float(np.median(z + rise))])
    cases = labelled(x, decision, weight, bias)
    pset: Any = RotationTranslationNoise(10.0, 1.0, noise) if noise else RotationTranslation(10.0, 1.0)
    attack: Any = SpatialPgd(POINTS, keep=2, steps=8) if noise else Grid(POINTS)
    bundle = audit(
        tmp_path / "b", cases, TorchTarget(Linear(weight, bias), decision),
        cell(cases, (attack,), pset=pset, radii=(10.0,)),
    )  # fmt: skip
    got = {o.case_id: o.kind for o in bundle.outcomes("cell")}
    reach = z + bias + rise
    # Two interpolations differ by a level where they fall on a half: left out is what that could turn.
    slack = 0.01 * np.abs(w).sum()
    expected = {
        r.id: "broken" if reach[k] > 0 else "held"
        for k, r in enumerate(cases.refs)
        if abs(reach[k]) > slack and (z + bias)[k] < -slack
    }
    assert {i: got[i] for i in expected} == expected
    assert min(list(expected.values()).count(kind) for kind in ("broken", "held")) >= 8


def test_every_grid_point_is_asked_of_a_case_that_holds(tmp_path: Path) -> None:
    decision, weight, bias = heads()["one_logit"]
    x = pictures(10, seed=6)
    cases = labelled(x, decision, weight / 1e6, bias + 50.0)
    bundle = audit(
        tmp_path / "b", cases, TorchTarget(Linear(weight / 1e6, bias + 50.0), decision),
        cell(cases, (Grid(POINTS),), pset=RotationTranslation(10.0, 1.0), radii=(10.0,)),
    )  # fmt: skip
    assert {(o.kind, o.meter["forward"]) for o in bundle.outcomes("cell")} == {("held", int(np.prod(POINTS)))}


def test_noise_is_allowed_on_the_moved_image_only() -> None:
    rng = np.random.default_rng(1)
    x = rng.integers(40, 216, (3, 4, 4)).repeat(4, 1).repeat(4, 2).astype(np.uint8)
    case = array_case("c", x, Truth.of("a"))
    pset = RotationTranslationNoise(15.0, 3.0, 4.0)
    theta = {"angle": 9.0, "dx": 1.5, "dy": -2.0}
    base = moved(x, *theta.values())
    noisy = (base + rng.choice([-4, 4], x.shape)).astype(np.uint8)
    assert pset.check(case, noisy, theta) is None
    one = noisy.astype(int)
    one[1, 5, 6] = base[1, 5, 6] + 6
    refused = pset.check(case, one.astype(np.uint8), theta)
    assert refused is not None and "6 grey levels" in refused.why
    # Noise of that size around the original, or around another movement, is no member.
    around = np.clip(x.astype(int) + rng.choice([-4, 4], x.shape), 0, 255).astype(np.uint8)
    assert pset.check(case, around, theta) is not None
    assert pset.check(case, around, {"angle": 0.0, "dx": 0.0, "dy": 0.0}) is None
    assert pset.check(case, noisy, {**theta, "dx": 1.9}) is not None
    assert pset.check(case, noisy, {**theta, "angle": 16.0}) is not None
    assert pset.check(case, noisy, None) is not None


@dataclass(frozen=True)
class TooMuch(AttackDefaults):
    """Proposes noise beyond what is allowed under an honest proof, or honest noise under a wrong one."""

    wrong_proof: bool = False
    name: ClassVar[str] = "test.too_much"

    def search(self, job: Job) -> Search:
        for k, case in enumerate(job.cases):
            size = 2 if self.wrong_proof else 5
            x = np.where(case.x > 127, case.x - size, case.x + size).astype(np.uint8)
            theta = {"angle": 12.0 if self.wrong_proof else 0.0, "dx": 0.0, "dy": 0.0}
            yield Propose([x], rows=np.array([k]), proofs=[theta])
        return []


@pytest.mark.parametrize("wrong_proof", [False, True])
def test_saboteurs_break_nothing(tmp_path: Path, wrong_proof: bool) -> None:
    cases, target = world(6)
    pset = RotationTranslationNoise(15.0, 2.0, 2.0)
    bundle = audit(tmp_path / "b", cases, target, cell(cases, (TooMuch(wrong_proof),), pset=pset, radii=(15.0,)))
    assert all(o.kind == "errored" and "not in the set" in o.why for o in bundle.outcomes("cell"))


def test_bad_parameters_are_one_sentence() -> None:
    for noise in (0.0, 1.5):
        with pytest.raises(UsageError, match="whole number of grey levels"):
            RotationTranslationNoise(noise=noise)
    for about in ({"points": (1,)}, {"keep": 0}, {"steps": 0}):
        with pytest.raises(UsageError, match="spatial_pgd"):
            SpatialPgd(**about)  # type: ignore[arg-type]
