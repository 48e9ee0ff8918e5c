"""Attacks that cheat must not corrupt an audit."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from tests.images import LABELS, audit, cell, pictures, world

from nocere.attacks.base import Ask, AttackDefaults, Job, Propose, Search
from nocere.attacks.image.pgd import Pgd
from nocere.attacks.image.random_noise import RandomNoise
from nocere.core.budget import Budget
from nocere.core.candidate import Candidate, Finding
from nocere.core.decision import OneLogit
from nocere.core.errors import TargetError
from nocere.core.goal import Goal
from nocere.targets.torch import TorchTarget
from nocere.threats.pixels import L2, Linf

honest = Pgd(10)


@dataclass(frozen=True)
class Saboteur(AttackDefaults):
    name: ClassVar[str] = "test.saboteur"
    needs: ClassVar[frozenset[Any]] = frozenset({"gradients"})

    def search(self, job: Job) -> Search:
        raise NotImplementedError
        yield


class LeavesBudget(Saboteur):
    """Asks and proposes far outside of its budget."""

    def search(self, job: Job) -> Search:
        for far in (job.x0 + 100.0, job.x0 - 100.0):
            yield Ask(far.clamp(0, 255), grad=True)
            yield Propose(far.clamp(0, 255))
        return []


class ProposesOutside(Saboteur):
    """Proposes stored integers out of budget, so that no projection helps."""

    def search(self, job: Job) -> Search:
        yield Propose([np.clip(c.x.astype(int) + 60, 0, 255).astype(np.uint8) for c in job.cases])
        yield Propose([np.clip(c.x.astype(int) - 60, 0, 255).astype(np.uint8) for c in job.cases])
        return []


class AsksNaN(Saboteur):
    def search(self, job: Job) -> Search:
        yield Ask(job.x0 * float("nan"))
        return []


class Raises(Saboteur):
    def search(self, job: Job) -> Search:
        yield Ask(job.x0)
        raise KeyError("bug of the attack")


class RaisesOnOne(Saboteur):
    """Fails on one case only; all others are searched."""

    def search(self, job: Job) -> Search:
        if any(c.id == "case/003" for c in job.cases):
            yield Ask(job.x0)
            raise KeyError("bug of the attack")
        return (yield from Pgd(10).search(job))


class DoesNothing(Saboteur):
    def search(self, job: Job) -> Search:
        return []
        yield


class MovesNothing(Saboteur):
    def search(self, job: Job) -> Search:
        for _ in range(3):
            yield Ask(job.x0, grad=True)
        yield Propose(job.x0)
        return []


class WrongRows(Saboteur):
    def search(self, job: Job) -> Search:
        yield Ask(job.x0, np.arange(len(job.cases)) + 5)
        return []


class EditsTheOriginal(Saboteur):
    """Writes into what it was given, hoping to move the original under the referee."""

    def search(self, job: Job) -> Search:
        job.x0 += 50
        for c in job.cases:
            with pytest.raises(ValueError, match="read-only"):
                c.x += 50
        yield Ask(job.x0.clamp(0, 255), grad=True)
        yield Propose(job.x0.clamp(0, 255))
        return []


def _found_target() -> TorchTarget:
    return next(o for o in gc.get_objects() if type(o) is TorchTarget and o.name == "victim")


class EditsTheTarget(Saboteur):
    """Finds the target through the garbage collector and turns its weights around."""

    def search(self, job: Job) -> Search:
        for o in gc.get_objects():
            if type(o) is TorchTarget:
                for p in o._module.parameters():
                    p.data.neg_()
        yield Ask(job.x0 + 1.0, grad=True)
        return []


class SetsTrainingMode(Saboteur):
    def search(self, job: Job) -> Search:
        for o in gc.get_objects():
            if type(o) is TorchTarget:
                o._module.train()
        yield Ask(job.x0 + 1.0, grad=True)
        return []


class SeedsTheWorld(Saboteur):
    def search(self, job: Job) -> Search:
        torch.manual_seed(0)
        np.random.seed(0)
        random.seed(0)
        yield Ask(job.x0 + 1.0, grad=True)
        return []


def outcomes(tmp_path: Path, attack: Any, **about: Any) -> list[Any]:
    cases, target = world()
    return list(audit(tmp_path / "b", cases, target, cell(cases, (attack,), **about)).outcomes("cell"))


@pytest.mark.parametrize(
    ("attack", "why"),
    [
        (AsksNaN, "NaN"),
        (Raises, "KeyError"),
        (DoesNothing, "proposed nothing"),
        (MovesNothing, "changed nothing"),
        (WrongRows, "do not belong"),
        (EditsTheTarget, "weights"),
        (SetsTrainingMode, "mode"),
        (SeedsTheWorld, "random state"),
    ],
)
def test_no_false_break_and_no_false_comfort(tmp_path: Path, attack: Callable[[], Any], why: str) -> None:
    got = outcomes(tmp_path, attack(), radii=(1.0,))
    assert got
    assert {o.kind for o in got} == {"errored"}
    assert all(why in o.why for o in got)


def test_leaving_the_budget_finds_nothing_outside_of_it(tmp_path: Path) -> None:
    got = outcomes(tmp_path, LeavesBudget(), radii=(1.0,))
    honest_found = {o.case_id for o in outcomes(tmp_path / "2", Pgd(20), radii=(1.0,)) if o.kind == "broken"}
    # A tensor proposal is cut to the set before it is judged, so that what is found is inside, and true.
    assert {o.case_id for o in got if o.kind == "broken"} <= honest_found
    assert all(o.finding is None or o.finding.cost is None or o.finding.cost.value <= 1.0 for o in got)


def test_proposals_outside_of_the_set_never_reach_the_target(tmp_path: Path) -> None:
    got = outcomes(tmp_path, ProposesOutside(), radii=(1.0,))
    assert all("not in the set: changed by 60" in o.why for o in got)
    assert all(o.meter["queries"] == 0 for o in got)


def test_writing_into_the_copies_breaks_nothing(tmp_path: Path) -> None:
    got = outcomes(tmp_path, EditsTheOriginal(), radii=(1.0,))
    for o in got:
        assert o.finding is None or o.finding.cost is None or o.finding.cost.value <= 1.0


def test_a_failing_attack_costs_its_case_only(tmp_path: Path) -> None:
    good = {o.case_id: (o.kind, o.radius) for o in outcomes(tmp_path / "1", honest)}
    bad = {o.case_id: (o.kind, o.radius) for o in outcomes(tmp_path / "2", RaisesOnOne())}
    assert bad.pop("case/003")[0] == "errored"
    good.pop("case/003")
    assert bad == good


def test_a_saboteur_does_not_spoil_the_next_cell(tmp_path: Path) -> None:
    cases, target = world()
    clean = audit(tmp_path / "1", cases, target, cell(cases, (honest,), name="honest"))
    spoiled = audit(
        tmp_path / "2", cases, target, cell(cases, (EditsTheTarget(),), name="a"), cell(cases, (honest,), name="honest")
    )
    assert [o.to_json() for o in clean.outcomes("honest")] == [o.to_json() for o in spoiled.outcomes("honest")]


def test_cascade_survives_a_broken_attack(tmp_path: Path) -> None:
    alone = {o.case_id for o in outcomes(tmp_path / "1", honest) if o.kind == "broken"}
    cases, target = world()
    bundle = audit(tmp_path / "2", cases, target, cell(cases, (Raises(), honest)))
    assert {o.case_id for o in bundle.outcomes("cell") if o.kind == "broken"} == alone
    # A case that stays unbroken while an attack failed is an error, never held.
    assert {o.kind for o in bundle.outcomes("cell")} <= {"broken", "errored"}


def test_verdicts_do_not_depend_on_lanes(tmp_path: Path) -> None:
    cases, target = world(70, wrong_every=9)
    spec = (
        cell(cases, (Pgd(3), Pgd(10, 2)), name="linf"),
        cell(cases, (Pgd(10, 2),), name="l2", pset=L2(), radii=(10.0, 40.0)),
        cell(cases, (Pgd(5),), name="worst", radii=(2.0,), aim="worst"),
        cell(cases, (RandomNoise(20),), name="control", radii=(2.0,), aim="sample"),
    )
    hashes = {audit(tmp_path / str(n), cases, target, *spec, lanes=n).hash for n in (7, 32, 128)}
    assert len(hashes) == 1


def test_dead_gradients_are_an_error_not_robustness(tmp_path: Path) -> None:
    class Dead(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return (x.mean((1, 2, 3)) > 127.5).float()[:, None] * 2 - 1

    x = pictures(12)
    truth = [LABELS[int(v > 127.5)] for v in x.reshape(12, -1).mean(1)]
    from nocere.cases.image import array_case
    from nocere.core.case import CaseSet, Truth

    cases = CaseSet.of([array_case(f"{i}", x[i], Truth.of(truth[i])) for i in range(12)])
    bundle = audit(tmp_path / "b", cases, TorchTarget(Dead(), OneLogit(LABELS)), cell(cases))
    rows = list(bundle.outcomes("cell"))
    assert {o.kind for o in rows} == {"errored"}
    assert all("dead gradients" in o.why for o in rows)
    accuracy = next(m for m in bundle.measures if m.key == "accuracy" and m.cell == "cell")
    assert accuracy.value is None and accuracy.missing == 12


def test_nan_scores_cost_their_case_only(tmp_path: Path) -> None:
    cases, good = world()

    class Sometimes(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = good._module

        def forward(self, x: Any) -> Any:
            z = self.inner(x)
            bad = x[:, 0, 0, 0] == float(cases.load("case/005").x[0, 0, 0])
            return torch.where(bad[:, None], torch.full_like(z, float("nan")), z)

    bundle = audit(tmp_path / "b", cases, TorchTarget(Sometimes(), good.decision), cell(cases))
    errored = {o.case_id for o in bundle.outcomes("cell") if o.kind == "errored"}
    assert "case/005" in errored and len(errored) < 5


def test_a_target_of_nan_stops_with_one_sentence(tmp_path: Path) -> None:
    cases, _ = world(6)

    class Nan(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return x.mean((1, 2, 3))[:, None] * float("nan")

    with pytest.raises(Exception, match="returned no finite score for any case"):
        audit(tmp_path / "b", cases, TorchTarget(Nan(), OneLogit(LABELS)), cell(cases))


def test_undeclared_dropout_is_found(tmp_path: Path) -> None:
    cases, good = world(8)

    class Noisy(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = good._module

        def forward(self, x: Any) -> Any:
            return self.inner(x) + 0.01 * torch.randn(len(x), 1)

    with pytest.raises(TargetError, match="answers differently"):
        audit(tmp_path / "b", cases, TorchTarget(Noisy(), OneLogit(LABELS)), cell(cases))


def test_the_yield_reports_what_rounding_costs(tmp_path: Path) -> None:
    cases, target = world(60)
    bundle = audit(tmp_path / "b", cases, target, cell(cases))
    for m in bundle.measures:
        if m.key == "yield" and m.value is not None:
            assert m.value >= 0.9
    assert any(m.key == "yield" and m.value is not None for m in bundle.measures)


def test_a_success_smaller_than_the_noise_does_not_count(tmp_path: Path) -> None:
    """Mutation guard: the margin must exceed ten times the noise."""
    from nocere.audit.referee import Referee
    from nocere.cases.image import ImageCodec
    from nocere.core.budget import Meter
    from nocere.core.goal import Literals

    cases, target = world(4)
    referee = Referee(target, ImageCodec(), cases)
    referee.clean([r.id for r in cases.refs])
    case = cases.load("case/000")
    goal = Goal()
    clean = {c.case_id: np.array(c.margins) for c in referee.clean([r.id for r in cases.refs])}
    lit = goal.bind(case, target.decision, clean[case.id])
    assert isinstance(lit, Literals)
    sign = np.sign(target._module.head.weight.numpy().reshape(case.x.shape)) * (
        1 if case.truth.label == "benign" else -1
    )
    x = np.clip(case.x.astype(int) + 20 * sign.astype(int), 0, 255).astype(np.uint8)
    court = referee.court(Linf(20), goal, {case.id: lit}, Meter(Budget(1)))

    def judged() -> Finding:
        return court.judge([Candidate(case.id, x, 20.0)])[0]

    assert judged().ok
    referee.noise = judged().margin / 9
    assert not judged().ok
    assert "numerical noise" in judged().why
