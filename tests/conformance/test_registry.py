"""Everything that is registered keeps its contract: one harness over the whole registry."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.coded import audited, judged
from tests.coded import target as coded_target
from tests.images import audit, cell, world
from tests.structures import pictured
from tests.worded import audited as audited_notes
from tests.worded import world as noted

from nocere.attacks.base import attack_json
from nocere.cases.image import ImageCodec, array_case, read_pixels, write_png
from nocere.core.case import Truth
from nocere.core.errors import PrerequisiteError
from nocere.core.registry import entries, get, unavailable
from nocere.threats.base import Parametric, Projects

THREATS = entries("threat")
ATTACKS = entries("attack")


def _attack(entry: Any) -> Any:
    try:
        return entry.make()
    except PrerequisiteError as e:
        pytest.skip(str(e))


def test_nothing_is_missing_and_everything_says_its_source() -> None:
    assert unavailable() == {}
    for what in ("attack", "threat", "dataset", "phantom", "target", "measure"):
        found = entries(what)  # type: ignore[arg-type]
        assert found, what
        for e in found:
            assert e.source, f"{what} {e.name} names no source"
            assert e.summary.endswith("."), f"{what} {e.name}: {e.summary}"


@pytest.mark.parametrize("entry", ATTACKS, ids=lambda e: e.name)
def test_attack_is_a_frozen_dataclass_with_a_stable_key(entry: Any) -> None:
    attack = _attack(entry)
    assert dataclasses.is_dataclass(attack)
    assert attack.name == entry.name
    assert attack_json(attack) == attack_json(entry.make())
    assert entry.make.__dataclass_params__.frozen


def _pset_for(entry: Any) -> Any:
    """The set that an attack is made for: the one that it names, or else the first of its form."""
    if entry.name in ("image.grid", "image.sampled"):
        return next(p for t in THREATS if isinstance(p := t.make(), Parametric))
    return get("threat", entry.facts.get("threat", "image.linf")).make()


@pytest.mark.parametrize("entry", ATTACKS, ids=lambda e: e.name)
def test_attack_runs_keeps_its_budget_and_repeats_itself(tmp_path: Path, entry: Any) -> None:
    attack = _attack(entry)
    structured = "structure" in attack.needs
    modality = entry.facts.get("modality", "image")
    if modality == "claim":
        target = coded_target("lightgbm", "codes")
        cases = judged(target, 12)
    elif modality == "note":
        cases, target = noted(12)
    else:
        cases, target = pictured(entry.facts["model"], 12) if structured else world(12)
    if hasattr(attack, "draws"):
        attack = dataclasses.replace(attack, draws=30)
    pset = _pset_for(entry)
    fit = frozenset(r.id for r in cases.refs[:6]) if attack.scope == "group" else frozenset()
    if entry.name == "notes.exhaustive":
        pset = pset.at(1.0)  # a whole list at the usual radius is too long
    spec = cell(cases, (attack,), pset=pset, radii=(pset.radius,), fit=fit, access=target.access)
    run = {"claim": audited, "note": audited_notes, "image": audit}[modality]
    one = run(tmp_path / "1", cases, target, spec, lanes=5)
    two = run(tmp_path / "2", cases, target, spec, lanes=64)
    assert one.hash == two.hash
    for o in one.outcomes("cell"):
        proves = structured or entry.name in ("claims.exhaustive", "notes.exhaustive")
        assert o.kind in ("broken", "held", "already_wrong", *(("certified",) if proves else ()))
        assert o.meter.get("forward", 0) <= spec.threat.budget.looks
        if o.finding is not None and o.finding.ok:
            assert o.finding.cost is not None and o.finding.cost.value <= pset.radius + 1e-6


PIXELS = st.integers(0, 2**32 - 1)


PICTURES = [e for e in THREATS if e.name.startswith("image.") and isinstance(e.make(), Projects)]


@pytest.mark.parametrize("entry", PICTURES, ids=lambda e: e.name)
@given(seed=PIXELS, share=st.floats(0.05, 3.0), far=st.floats(0.1, 80.0))
@settings(max_examples=40, deadline=None)
def test_projection_and_realisation_stay_inside(entry: Any, seed: int, share: float, far: float) -> None:
    pset: Any = entry.make()
    pset = pset.at(max(1.0, round(pset.radius * share)))
    rng = np.random.default_rng(seed)
    case = array_case("c", rng.integers(0, 256, (3, 8, 9)).astype(np.uint8), Truth.of("a"))
    x0 = torch.from_numpy(case.x.astype(np.float32))[None]
    x = x0 + far * torch.from_numpy(rng.normal(size=x0.shape).astype(np.float32))
    once = pset.project(x, x0, np.array([pset.radius]))
    assert pset.inside(once, x0, np.array([pset.radius])).all()
    twice = pset.project(once, x0, np.array([pset.radius]))
    assert torch.allclose(once, twice, atol=2e-3)
    stored = pset.realise(once[0], case, pset.radius)
    assert stored.dtype == np.uint8
    if not np.array_equal(stored, case.x):
        assert pset.check(case, stored, None) is None
    # The checker is the other side: one level beyond is refused.
    beyond = stored.copy().astype(int)
    step = int(pset.radius) + 1
    flat = beyond.reshape(-1)
    original = int(case.x.reshape(-1)[0])
    flat[0] = original + (step if original + step <= 255 else -step)
    if 0 <= flat[0] <= 255 and entry.name == "image.linf":
        assert pset.check(case, beyond.astype(np.uint8), None) is not None


@pytest.mark.parametrize("entry", PICTURES, ids=lambda e: e.name)
def test_points_outside_are_refused(entry: Any) -> None:
    pset: Any = entry.make()
    x = np.full((3, 16, 16), 128, np.uint8)
    case = array_case("c", x, Truth.of("a"))
    y = x.copy()
    y[...] = 255
    assert pset.check(case, y, None) is not None
    assert pset.check(case, x[:, :8], None) is not None
    assert pset.check(case, x.astype(np.int16), None) is not None


@pytest.mark.parametrize("entry", [e for e in THREATS if isinstance(e.make(), Parametric)], ids=lambda e: e.name)
@given(seed=PIXELS)
@settings(max_examples=25, deadline=None)
def test_two_renderings_of_the_same_proof_agree(entry: Any, seed: int) -> None:
    """Search (torch) and checker (scipy, Pillow) are different code; they must agree to a grey level."""
    pset: Any = entry.make()
    rng = np.random.default_rng(seed)
    smooth = rng.integers(0, 256, (1, 5, 5)).repeat(4, 1).repeat(4, 2)[:, :19, :17]
    case = array_case("c", (smooth * rng.random()).astype(np.uint8), Truth.of("a"))
    theta = {a.name: float(rng.uniform(a.low, a.high)) for a in pset.axes()}
    theta = {a.name: float(round(theta[a.name])) if a.whole else theta[a.name] for a in pset.axes()}
    x = pset.render(torch.from_numpy(case.x.astype(np.float32))[None], np.array([list(theta.values())]))
    stored = x[0].numpy().astype(np.uint8)
    assert pset.check(case, stored, theta) is None
    shifted = np.roll(stored, 3, axis=2)
    if np.abs(shifted.astype(int) - stored.astype(int)).max() > 2 + getattr(pset, "noise", 0):
        assert pset.check(case, shifted, theta) is not None
    assert pset.check(case, stored, None) is not None
    first = pset.axes()[0]
    assert pset.check(case, stored, {**theta, first.name: first.high + 5}) is not None


@given(seed=PIXELS, grey=st.booleans(), h=st.integers(1, 40), w=st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_png_round_trip(seed: int, grey: bool, h: int, w: int) -> None:
    x = np.random.default_rng(seed).integers(0, 256, (1 if grey else 3, h, w)).astype(np.uint8)
    case = array_case("c", x, Truth.of("a"))
    got, header = ImageCodec().decode(ImageCodec().encode(case, x))
    np.testing.assert_array_equal(got, x)
    assert dict(header) == dict(case.header)
    assert write_png(x) == write_png(read_pixels(write_png(x), ""))


def test_png_is_what_another_reader_sees() -> None:
    from PIL import Image

    x = np.random.default_rng(0).integers(0, 256, (3, 5, 7)).astype(np.uint8)
    image = Image.open(io.BytesIO(write_png(x)))
    assert image.size == (7, 5)
    np.testing.assert_array_equal(np.asarray(image).transpose(2, 0, 1), x)


@pytest.mark.parametrize("entry", entries("phantom"), ids=lambda e: e.name)
def test_phantoms_are_seeded_marked_and_split(entry: Any) -> None:
    one, two = entry.make(n=12, seed=3), entry.make(n=12, seed=3)
    assert one.phantom is True and "phantom" in one.name
    assert [r.sha256 for r in one.refs] == [r.sha256 for r in two.refs]
    assert [r.sha256 for r in one.refs] != [r.sha256 for r in entry.make(n=12, seed=4).refs]
    assert not {r.sha256 for r in one.refs} & {r.sha256 for r in entry.make(n=12, seed=3, split="train").refs}
    # Readers vote on what they see; what came of a patient later is no opinion.
    assert all(r.truth.votes or (entry.name == "notes.opioid" and r.truth.label) for r in one.refs)
    assert np.array_equal(one.load(one.refs[3].id).x, two.load(two.refs[3].id).x)
