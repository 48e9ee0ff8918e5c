"""Oracles for L1 and L0: projections against a QP and against all subsets, optima of linear models in closed form."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from tests.images import Linear, audit, cell, heads, labelled, pictures

from nocere.attacks.image.pgd import Pgd
from nocere.attacks.image.sparse import Sparse
from nocere.cases.image import array_case
from nocere.core.case import CaseSet, Truth
from nocere.core.decision import OneLogit
from nocere.targets.torch import TorchTarget
from nocere.threats.sparse import L0, L1


def projected_by_qp(y: Any, x0: Any, radius: float, high: float) -> np.ndarray[Any, Any]:
    """Nearest point of ball and box; the change is split into its positive and negative part, which makes it a QP."""
    n = len(x0)
    y, x0, radius = y / high, x0 / high, radius / high
    want = y - x0
    got = minimize(
        lambda v: float((((v[:n] - v[n:]) - want) ** 2).sum()),
        np.zeros(2 * n),
        jac=lambda v: np.concatenate([2 * (v[:n] - v[n:] - want), -2 * (v[:n] - v[n:] - want)]),
        method="SLSQP",
        bounds=[(0, 1 - a) for a in x0] + [(0, a) for a in x0],
        constraints=[{"type": "ineq", "fun": lambda v: radius - v.sum(), "jac": lambda v: -np.ones(2 * n)}],
        options={"maxiter": 500, "ftol": 1e-12},
    )
    assert got.success
    return high * (x0 + got.x[:n] - got.x[n:])


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("bits", [8, 12])
def test_l1_projection_is_the_nearest_point_of_ball_and_box(seed: int, bits: int) -> None:
    rng = np.random.default_rng(seed)
    high = float(2**bits - 1)
    # Values near the edges of the box, so that ball and box both bind.
    x0 = np.rint(high * rng.beta(0.4, 0.4, 10))
    y = x0 + high * rng.normal(size=10) * rng.choice([0.02, 0.5, 2.0])
    radius = high * float(rng.choice([0.1, 0.5, 1.5, 4.0]))
    got = L1(radius, bits).project(torch.tensor(y)[None, None, None], torch.tensor(x0)[None, None, None], [radius])
    want = projected_by_qp(y, x0, radius, high)
    # The QP solver itself stops at about 1e-4 of the range.
    np.testing.assert_allclose(got.numpy().ravel(), want, atol=2e-3 * high)
    assert ((got.numpy().ravel() - y) ** 2).sum() <= ((want - y) ** 2).sum() + 1e-3 * high


def test_l1_projection_spends_the_whole_budget_where_clipping_would_not() -> None:
    x0 = torch.tensor([[[[250.0, 100.0, 100.0, 100.0]]]])
    y = x0 + torch.tensor([[[[400.0, 60.0, -50.0, 0.0]]]])
    got = L1(60.0).project(y, x0, [60.0])
    assert float((got - x0).abs().sum()) == pytest.approx(60.0, abs=1e-4)
    assert float(got[0, 0, 0, 0]) == 255.0


def test_l1_projection_of_many_rows_is_that_of_each_alone() -> None:
    rng = np.random.default_rng(3)
    x0 = torch.from_numpy(rng.integers(0, 256, (7, 3, 6, 5)).astype(np.float32))
    x = x0 + torch.from_numpy(rng.normal(0, 90, x0.shape).astype(np.float32)) * (torch.arange(7) > 1).view(-1, 1, 1, 1)
    radius = np.array([5.0, 5.0, 40.0, 300.0, 1.0, 5000.0, 1e6])
    together = L1().project(x, x0, radius)
    for k in range(7):
        assert torch.equal(together[k : k + 1], L1().project(x[k : k + 1], x0[k : k + 1], radius[k : k + 1]))


@pytest.mark.parametrize("seed", range(8))
def test_l0_projection_is_the_nearest_point_among_all_choices_of_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x0 = rng.integers(0, 256, (3, 2, 3)).astype(float)
    y = x0 + rng.normal(size=x0.shape) * rng.choice([10.0, 200.0, 900.0])
    k = int(rng.integers(1, 5))
    got = L0(k).project(torch.tensor(y)[None], torch.tensor(x0)[None], [k])[0].numpy()
    assert (got != x0).any(0).sum() <= k
    places = list(itertools.product(range(2), range(3)))
    best = np.inf
    for chosen in itertools.combinations(places, k):
        z = x0.copy()
        for r, c in chosen:
            z[:, r, c] = np.clip(y[:, r, c], 0, 255)
        best = min(best, float(((z - y) ** 2).sum()))
    assert ((got - y) ** 2).sum() == pytest.approx(best)


@pytest.mark.parametrize("seed", range(6))
def test_realised_l1_changes_keep_their_length(seed: int) -> None:
    rng = np.random.default_rng(seed)
    case = array_case("c", rng.integers(0, 256, (3, 7, 6)).astype(np.uint8), Truth.of("a"))
    x0 = torch.from_numpy(case.x.astype(np.float32))
    thin = torch.from_numpy(rng.uniform(-0.4, 0.4, x0.shape).astype(np.float32))
    x = (x0 + thin).clamp(0, 255)
    asked = float((x - x0).abs().sum())
    stored = L1(1000).realise(x, case, 1000.0)
    d = stored.astype(int) - case.x.astype(int)
    # Rounding alone would leave nothing of changes below half a level.
    assert int(asked) - 1 <= np.abs(d).sum() <= asked * 1.001
    kept = np.abs((x - x0).numpy())
    assert kept[d != 0].min() >= kept[d == 0].max() - 1e-3
    assert L1(asked).check(case, L1(asked).realise(x, case, asked), None) is None


def test_one_grey_level_and_one_pixel_beyond_are_refused() -> None:
    case = array_case("c", np.full((3, 4, 4), 100, np.uint8), Truth.of("a"))
    x = case.x.copy()
    x[0, 0, :3] += np.uint8(20)
    assert L1(60.0).check(case, x, None) is None and L0(3.0).check(case, x, None) is None
    x[1, 0, 0] -= 1  # of a pixel that is changed already
    assert L0(3.0).check(case, x, None) is None
    refused = L1(60.0).check(case, x, None)
    assert refused is not None and "61 grey levels" in refused.why
    x[2, 3, 3] += 1
    refused = L0(3.0).check(case, x, None)
    assert refused is not None and "4 pixels" in refused.why


def test_realised_l0_changes_keep_the_largest() -> None:
    case = array_case("c", np.full((3, 2, 2), 100, np.uint8), Truth.of("a"))
    x = torch.full((3, 2, 2), 100.0)
    x[:, 0, 0], x[0, 0, 1], x[1, 1, 1], x[2, 1, 0] = 103.0, 140.0, 300.0, 100.4
    stored = L0(2).realise(x, case, 2.0)
    assert {tuple(map(int, p)) for p in np.argwhere((stored != case.x).any(0))} == {(0, 1), (1, 1)}
    assert stored[1, 1, 1] == 255
    assert L0(2).check(case, stored, None) is None
    assert L0(1).check(case, stored, None) is not None


@pytest.mark.parametrize("pset", [L1(300.0), L0(9.0)], ids=lambda p: p.name)
@pytest.mark.parametrize("corners", [False, True])
def test_random_points_fill_the_set_and_stay_inside(pset: Any, corners: bool) -> None:
    rng = np.random.default_rng(0)
    x0 = torch.from_numpy(rng.integers(60, 190, (6, 3, 12, 12)).astype(np.float32))
    draws = torch.from_numpy(rng.uniform(-1, 1, (6, 3, 12, 12)).astype(np.float32))
    draws = draws.sign() if corners else draws
    radius = np.full(6, pset.radius)
    x = pset.random(draws, x0, radius)
    assert torch.equal(x, x.round())
    assert pset.inside(x, x0, radius).all()
    assert (pset.distance(x, x0) >= 0.9 * pset.radius).all()
    alone = pset.random(draws[4:5], x0[4:5], radius[:1])
    assert torch.equal(alone[0], x[4])


def spans(x: Any, w: Any) -> np.ndarray[Any, Any]:
    """What each stored value can add to a linear score when it moves to the better end of 0..255."""
    return np.maximum(w * (255 - x), -w * x)


def l1_optimum(x: Any, w: Any, gap: float) -> float:
    """Smallest sum of changes that raises w.x by `gap`: the steepest values first, each as far as the box lets it."""
    spent = 0.0
    room = np.where(w > 0, 255 - x, x).astype(float)
    for k in np.argsort(-np.abs(w)):
        gain = abs(w[k]) * room[k]
        if gain >= gap:
            return spent + gap / abs(w[k])
        gap, spent = gap - gain, spent + room[k]
    return np.inf


def l0_optimum(x: Any, w: Any, gap: float) -> int:
    """Smallest number of pixels: the largest spans first, summed over channels."""
    saved = np.sort(spans(x, w).sum(0).ravel())[::-1]
    return int(np.searchsorted(np.cumsum(saved), gap) + 1)


def gaps(x: Any, decision: Any, weight: Any, bias: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Distance of a one-logit score to the line, and the direction that crosses it."""
    z = (
        x.reshape(len(x), -1).astype(float) @ weight[0]
        + bias[0]
        - np.log(decision.threshold / (1 - decision.threshold))
    )
    return np.abs(z), -np.sign(z)


@pytest.mark.parametrize(("norm", "attack"), [("l1", Pgd(40)), ("l0", Pgd(40)), ("l0", Sparse())], ids=str)
def test_linear_optimum(tmp_path: Path, norm: str, attack: Any) -> None:
    decision, weight, bias = heads()["one_logit"]
    # Scaled so that optima spread over some thousand grey levels, and over many pixels.
    weight, bias = weight / 8, bias / 8 - 0.3
    x = pictures(24, seed=4)
    cases = labelled(x, decision, weight, bias)
    gap, way = gaps(x, decision, weight, bias)
    w = [s * weight[0].reshape(x[0].shape) for s in way]
    exact = [
        l1_optimum(a.ravel().astype(float), b.ravel(), g) if norm == "l1" else l0_optimum(a.astype(float), b, g)
        for a, b, g in zip(x, w, gap, strict=True)
    ]
    pset: Any = L1() if norm == "l1" else L0()
    radii = (200.0, 1000.0, 5000.0, 20000.0) if norm == "l1" else (1.0, 4.0, 16.0, 64.0)
    bundle = audit(
        tmp_path / "b", cases, TorchTarget(Linear(weight, bias), decision),
        cell(cases, (attack,), pset=pset, radii=radii, aim="closest"),
    )  # fmt: skip
    found = {o.case_id: o for o in bundle.outcomes("cell") if o.kind == "broken"}
    compared = 0
    for ref, optimum in zip(cases.refs, exact, strict=True):
        if optimum > radii[-1] / 1.3:
            continue
        cost = found[ref.id].finding.cost.value  # type: ignore[union-attr]
        assert cost >= optimum * (1 - 1e-4), (ref.id, cost, optimum)
        # Greedy by span is exact on one logit; a pixel more is what the referee's safety margin may ask.
        assert cost <= (optimum + 1 if attack.name == "image.sparse" else 1.25 * optimum + 2), (ref.id, cost, optimum)
        compared += 1
    assert compared >= 16


@pytest.mark.parametrize("seed", range(5))
def test_sparse_finds_what_brute_force_finds_on_a_tiny_net(tmp_path: Path, seed: int) -> None:
    """All placements of two changed pixels with values at the ends or a grid between, on a small ReLU net."""
    torch.manual_seed(seed)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(9, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    with torch.no_grad():
        net[1].weight.mul_(0.02)
        net[3].bias.copy_(-net(torch.full((1, 1, 3, 3), 128.0))[0])
    decision = OneLogit(("benign", "malignant"))
    x = np.random.default_rng(seed).integers(40, 216, (24, 1, 3, 3)).astype(np.uint8)
    with torch.inference_mode():
        z = net(torch.from_numpy(x.astype(np.float32)))[:, 0].numpy()
    cases = CaseSet.of([array_case(f"c{i:02d}", x[i], Truth.of(decision.labels[int(z[i] > 0)])) for i in range(24)])
    bundle = audit(tmp_path / "b", cases, TorchTarget(net, decision), cell(cases, (Sparse(),), pset=L0(), radii=(2.0,)))
    broken = {o.case_id for o in bundle.outcomes("cell") if o.kind == "broken"}
    values = np.linspace(0, 255, 18)
    possible = set()
    for i in range(24):
        rows = []
        for p, q in itertools.combinations(range(9), 2):
            grid = np.repeat(x[i].reshape(1, 9).astype(np.float32), len(values) ** 2, 0)
            grid[:, p], grid[:, q] = np.repeat(values, len(values)), np.tile(values, len(values))
            rows.append(grid)
        with torch.inference_mode():
            all_z = net(torch.from_numpy(np.concatenate(rows)).view(-1, 1, 3, 3))[:, 0].numpy()
        if ((all_z > 1e-3) != (z[i] > 0)).any() and (np.sign(z[i]) * all_z).min() < -1e-3:
            possible.add(f"c{i:02d}")
    assert broken <= possible
    assert len(broken) >= 0.9 * len(possible)
    assert len(possible) >= 3
