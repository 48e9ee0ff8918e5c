"""Budgets as a file is shown, and stored ranges with a sign: on real DICOM files, beside brute force."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.unit.cases.test_dicom import case

from nocere.clinical.dicom.display import displayed, of_header
from nocere.clinical.dicom.gsdf import steps_per_level
from nocere.core.case import Case
from nocere.core.errors import UsageError
from nocere.threats.base import fitted
from nocere.threats.displayed import Displayed, JustNoticeable
from nocere.threats.pixels import L2, Linf

FILES = ["CT_small.dcm", "MR_small.dcm", "dicomdirtests/77654033/CR1/6154", "dicomdirtests/98892001/CT5N/2062"]


def small(name: str) -> Case[Any]:
    c = case(name)
    return c.with_x(np.ascontiguousarray(c.x[:, :8, :8]))


def away(c: Case[Any], x: Any) -> float:
    d = of_header(c.header, 1)
    return float(np.abs(displayed(d, x) - displayed(d, c.x)).max())


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("radius", [0.5, 2.0, 9.0])
def test_the_budget_of_every_value_is_what_brute_force_finds(name: str, radius: float) -> None:
    c = small(name)
    d = of_header(c.header, 1)
    every = np.arange(1 << d.bits) + d.least
    seen = displayed(d, every[None, None])[0, 0]
    pset = fitted(Displayed(radius), c)
    x0 = torch.from_numpy(c.x.astype(np.float32))[None]
    low, high = (v[0].numpy() for v in pset._ends(x0, np.array([radius])))
    for v, lo, hi in zip(c.x.ravel()[:12], low.ravel(), high.ravel(), strict=False):
        inside = every[np.abs(seen - seen[int(v) - d.least]) <= radius + 1e-9]
        assert (lo, hi) == (inside.min(), inside.max())
    # One stored value further, in one pixel, is refused.
    at = next((k for k in np.ndindex(c.x.shape) if high[k] < every[-1]), None)
    if at is not None:
        beyond = np.array(c.x)
        beyond[at] = int(high[at]) + 1
        assert Displayed(radius).check(c, beyond, None) is not None


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("make", [Displayed, JustNoticeable])
@pytest.mark.parametrize("seed", range(3))
def test_projection_and_realisation_stay_inside_and_beyond_is_refused(name: str, make: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    c = small(name)
    pset = fitted(make(float(rng.uniform(1, 20))), c)
    x0 = torch.from_numpy(c.x.astype(np.float32))[None]
    r = np.array([pset.radius])
    once = pset.project(x0 + 500 * torch.from_numpy(rng.normal(size=x0.shape)).float(), x0, r)
    assert pset.inside(once, x0, r).all() and torch.equal(pset.project(once, x0, r), once)
    assert pset.distance(once.round(), x0)[0] <= pset.radius + 1e-6
    drawn = pset.random(torch.from_numpy(rng.uniform(-1, 1, x0.shape)).float(), x0, r)
    for x in (once, drawn):
        stored = pset.realise(x[0], c, pset.radius)
        assert stored.dtype == c.x.dtype and pset.check(c, stored, None) is None
        assert pset.cost(c, stored, None).value == pytest.approx(away(c, stored) * pset.per_level)
    beyond = np.array(c.x)
    d = of_header(c.header, 1)
    levels = displayed(d, (np.arange(1 << d.bits) + d.least)[None, None])[0, 0]
    beyond[0, 0, 0] = int(np.argmax(np.abs(levels - levels[int(c.x[0, 0, 0]) - d.least]))) + d.least
    why = pset.check(c, beyond, None)
    assert why is not None and "allowed" in why.why


def test_beyond_a_window_nothing_is_seen_and_the_cost_says_what_was_stored() -> None:
    """A brain window on a CT: air and bone are free under displayed levels, and the stored change is told."""
    c = case("693_UNCR.dcm")
    d = of_header(c.header, 1)
    shown = displayed(d, c.x)
    dark = shown == 0
    assert dark.any()
    x = np.array(c.x)
    x[dark] -= 300
    pset = Displayed(0.0)
    assert pset.check(c, x, None) is None
    assert pset.cost(c, x, None).value == 0.0
    assert pset.cost(c, x, None).more["linf"] == 300 and pset.cost(c, x, None).more["displayed"] == 0.0


def test_costs_say_stored_and_displayed_change() -> None:
    c = small("MR_small.dcm")
    x = np.array(c.x)
    x[0, 3, 3] += 40
    more = Linf(50.0, 0).cost(c, x, None).more
    assert more["linf"] == 40
    assert more["displayed"] == pytest.approx(40 / 1599 * 255)
    assert more["jnd"] == pytest.approx(40 / 1599 * 255 * steps_per_level())
    assert JustNoticeable(1.0).cost(c, x, None).value == pytest.approx(more["jnd"])


def test_what_has_no_displayed_grey_level_says_so() -> None:
    assert "rgb picture has no displayed grey level" in Displayed().obstacle(case("SC_rgb_small_odd.dcm"))
    assert "palette picture" in Displayed().obstacle(case("OBXXXX1A.dcm"))
    assert "Window 1 is asked for" in Displayed(2.0, 1).obstacle(case("MR_small.dcm"))
    assert Displayed().obstacle(case("MR_small.dcm")) == ""
    with pytest.raises(UsageError, match="fit it to a case"):
        Displayed().span  # noqa: B018


@pytest.mark.parametrize("pset", [Linf(7.0, 0), L2(60.0, 0)])
@pytest.mark.parametrize(
    ("bits", "signed", "low", "high"), [(12, True, -2048, 2047), (16, True, -32768, 32767), (10, False, 0, 1023)]
)
def test_noise_stays_in_what_each_case_can_store(pset: Any, bits: int, signed: bool, low: int, high: int) -> None:
    rng = np.random.default_rng(bits)
    x = rng.choice([low, low + 3, 5, high - 3, high], (1, 8, 8)).astype(np.int16 if signed else np.uint16)
    c: Case[Any] = Case("c", x, {"bits": bits, "signed": signed})
    mine = fitted(pset, c)
    assert mine.span == (low, high) and pset.form(c) != pset.form(Case("d", x, {"bits": 9, "signed": False}))
    x0 = torch.from_numpy(x.astype(np.float32))[None]
    far = x0 + 1e5 * torch.from_numpy(rng.normal(size=x0.shape)).float()
    stored = mine.realise(mine.project(far, x0, np.array([mine.radius]))[0], c, mine.radius)
    assert low <= stored.min() and stored.max() <= high and pset.check(c, stored, None) is None
    assert (stored != x).any()
    if bits < 16:
        outside = np.array(x)
        outside[0, 0, 0] = high + 1
        assert "outside of" in pset.check(c, outside, None).why
