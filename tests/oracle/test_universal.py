"""Universal perturbations: on a linear model the best change for one direction is the same for every case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.images import Linear, audit, cell, heads, labelled, pictures

from nocere.attacks.image.universal import Universal
from nocere.core.errors import PlanError
from nocere.core.goal import Goal
from nocere.targets.torch import TorchTarget
from nocere.threats.pixels import L2, Linf
from nocere.threats.sparse import L0


def linear_world(n: int = 60) -> tuple[Any, Any, Any, Any]:
    decision, weight, bias = heads()["one_logit"]
    weight, bias = weight / 8, bias / 8
    x = pictures(n, seed=2)
    return (
        labelled(x, decision, weight, bias),
        TorchTarget(Linear(weight, bias), decision),
        weight[0],
        (x, bias, decision),
    )


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("lanes", [4, 128])
def test_held_out_cases_break_exactly_where_the_closed_form_says(tmp_path: Path, norm: str, lanes: int) -> None:
    cases, target, w, (x, bias, decision) = linear_world()
    fit = frozenset(r.id for r in cases.refs[:20])
    pset: Any = Linf() if norm == "linf" else L2()
    dual = float(np.abs(w).sum() if norm == "linf" else np.linalg.norm(w))
    margins = decision.margins((x.reshape(len(x), -1) @ w[:, None] + bias).astype(float))[:, 1]
    radii = tuple(float(np.ceil(r)) for r in np.quantile(margins[margins > 0] / dual, (0.3, 0.7)))
    bundle = audit(
        tmp_path / "b", cases, target,
        cell(
            cases, (Universal(),), pset=pset, radii=radii, aim="flip", fit=fit,
            goal=Goal(want=("+benign",), when="malignant"),
        ),
        lanes=lanes,
    )  # fmt: skip
    outcomes = list(bundle.outcomes("cell"))
    assert not {o.case_id for o in outcomes} & fit
    wrong = {r.id for r in cases.refs[20:] if r.truth.label == "malignant"}
    assert {o.case_id for o in outcomes if o.kind != "not_applicable"} == wrong
    seen = {"broken": 0, "held": 0}
    for o in outcomes:
        if o.case_id not in wrong:
            continue
        reach = o.radius * dual / margins[int(o.case_id.split("/")[1])]
        # Rounding an L2 change to whole numbers costs a little of its direction.
        if not 0.99 < reach < (1.01 if norm == "linf" else 1.1):
            assert o.kind == ("broken" if reach > 1 else "held"), (o.case_id, o.radius, reach)
            seen[o.kind] += 1
    assert min(seen.values()) >= 3


def test_fit_cases_are_asked_and_held_out_ones_are_only_judged(tmp_path: Path) -> None:
    cases, target, _, _ = linear_world(24)
    fit = frozenset(r.id for r in cases.refs[:12])
    asked: dict[str, int] = {}
    original = target.vjp

    def spy(batch: Any) -> Any:
        for c in batch.like:
            asked[c.id] = asked.get(c.id, 0) + 1
        return original(batch)

    target.vjp = spy  # type: ignore[method-assign]
    bundle = audit(tmp_path / "b", cases, target, cell(cases, (Universal(epochs=2),), radii=(2.0,), fit=fit))
    assert set(asked) == fit
    for o in bundle.outcomes("cell"):
        assert o.meter["forward"] == 0 and o.meter["backward"] == 0
        assert o.kind == "already_wrong" or o.meter["queries"] == 1


def test_without_fit_cases_or_shared_changes_it_says_so(tmp_path: Path) -> None:
    cases, target, _, _ = linear_world(12)
    with pytest.raises(PlanError, match="fit cases"):
        audit(tmp_path / "a", cases, target, cell(cases, (Universal(),)))
    fit = frozenset(r.id for r in cases.refs[:6])
    bundle = audit(tmp_path / "b", cases, target, cell(cases, (Universal(),), pset=L0(), radii=(4.0,), fit=fit))
    assert all("no one change for many cases" in o.why for o in bundle.outcomes("cell"))


@pytest.mark.parametrize("share", [0.35, 0.65])
def test_of_two_opposed_directions_the_one_that_turns_more_is_taken(tmp_path: Path, share: float) -> None:
    """Untargeted on two classes, a linear model leaves two candidates: all towards one class, or all towards the other."""
    decision, weight, _ = heads()["one_logit"]
    x = pictures(90, seed=12)
    w = weight[0] / 8
    z = x.reshape(90, -1) @ w - np.log(decision.threshold / (1 - decision.threshold))
    bias = np.array([-float(np.quantile(z, share))])
    cases = labelled(x, decision, w[None], bias)
    fit = frozenset(r.id for r in cases.refs[:45])
    dual = float(np.abs(w).sum())
    radius = float(np.ceil(np.abs(z + bias).max() / dual))
    bundle = audit(
        tmp_path / "b", cases, TorchTarget(Linear(w[None], bias), decision),
        cell(cases, (Universal(),), radii=(radius,), fit=fit),
    )  # fmt: skip
    broken = {o.case_id for o in bundle.outcomes("cell") if o.kind == "broken"}
    larger = decision.labels[int(share < 0.5)]
    assert broken == {r.id for r in cases.refs[45:] if r.truth.label == larger}
