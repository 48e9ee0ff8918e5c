"""Oracles for attacks by queries: closed forms of linear models, a target that counts its own rows, batches of any size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.images import Linear, audit, cell, heads, labelled, pictures
from tests.oracle.test_linear_model import closed_form

from nocere.attacks.image.hopskipjump import HopSkipJump
from nocere.attacks.image.nes import Nes
from nocere.attacks.image.square import Square
from nocere.attacks.image.surfree import SurFree
from nocere.audit.referee import Referee
from nocere.cases.image import ImageCodec
from nocere.core.budget import Budget
from nocere.core.errors import UsageError
from nocere.core.goal import Goal
from nocere.targets.callable import callable_target
from nocere.targets.torch import TorchTarget
from nocere.threats.pixels import L2, Linf

SCORES = frozenset({"scores", "labels"})
LABELS = frozenset({"labels"})
HEADS = ["one_logit", "two_logit", "softmax", "multi_label"]


def flat_world(n: int, head: str) -> tuple[Any, Any, Any, Any, Any]:
    """Pictures and a linear model whose optima spread over many stored units: cases, x, decision, weight, bias."""
    decision, weight, bias = heads()[head]
    weight, bias = weight / 6, bias / 6 + 0.15 * np.sign(np.random.default_rng(3).normal(size=len(bias)))
    x = pictures(n)
    return labelled(x, decision, weight, bias), x, decision, weight, bias


def counted(decision: Any, weight: Any, bias: Any, outputs: Any) -> tuple[Any, list[int]]:
    """The model as a function that counts its rows itself; with outputs "labels" it tells nothing else."""
    rows = [0]

    def model(x: Any) -> Any:
        rows[0] += len(x)
        z = np.asarray(x, dtype=np.float64).reshape(len(x), -1) @ weight.T + bias
        return decision.margins(z) > 0 if outputs == "labels" else z

    return callable_target(model, decision, outputs=outputs, version="1"), rows


def clean_rows(cases: Any, decision: Any, weight: Any, bias: Any, outputs: Any = "logits") -> int:
    """Rows that the referee's look at the clean cases asks for, which belong to no search."""
    target, rows = counted(decision, weight, bias, outputs)
    Referee(target, ImageCodec(), cases).clean([r.id for r in cases.refs])
    return rows[0]


@pytest.mark.parametrize("head", HEADS)
def test_square_breaks_what_is_well_within_reach(tmp_path: Path, head: str) -> None:
    cases, x, decision, weight, bias = flat_world(24, head)
    exact = closed_form(x, decision, weight, bias, "linf")
    radius = float(np.ceil(np.median(exact)))
    bundle = audit(
        tmp_path / "b", cases, TorchTarget(Linear(weight, bias), decision),
        cell(cases, (Square(1000),), radii=(radius,), access=SCORES),
    )  # fmt: skip
    kind = {o.case_id: o.kind for o in bundle.outcomes("cell")}
    near = [r.id for r, e in zip(cases.refs, exact, strict=True) if e < 0.7 * radius]
    beyond = [r.id for r, e in zip(cases.refs, exact, strict=True) if e > radius * (1 + 1e-6)]
    assert near
    assert beyond
    assert {kind[i] for i in near} == {"broken"}
    assert {kind[i] for i in beyond} == {"held"}


@pytest.mark.parametrize("attack", [Square(600), Nes(1000)], ids=lambda a: a.name)
@pytest.mark.parametrize("head", ["one_logit", "softmax"])
def test_searches_by_scores_in_l2(tmp_path: Path, attack: Any, head: str) -> None:
    cases, x, decision, weight, bias = flat_world(16, head)
    exact = closed_form(x, decision, weight, bias, "l2")
    radius = float(np.ceil(3.0 * np.median(exact)))
    bundle = audit(
        tmp_path / "b", cases, TorchTarget(Linear(weight, bias), decision),
        cell(cases, (attack,), pset=L2(), radii=(radius,), access=SCORES),
    )  # fmt: skip
    kind = {o.case_id: o.kind for o in bundle.outcomes("cell")}
    near = [r.id for r, e in zip(cases.refs, exact, strict=True) if e < radius / 4]
    assert near
    assert {kind[i] for i in near} == {"broken"}
    for o in bundle.outcomes("cell"):
        if o.finding is not None and o.finding.ok:
            assert o.finding.cost is not None
            assert o.finding.cost.value <= radius


def found(bundle: Any) -> dict[str, float]:
    return {o.case_id: o.finding.cost.value for o in bundle.outcomes("cell") if o.kind == "broken"}


@pytest.mark.parametrize(
    ("attack", "norm", "factor"),
    [(HopSkipJump(1500), "l2", 1.6), (SurFree(1500), "l2", 3.0), (HopSkipJump(1500), "linf", 2.0)],
    ids=["hopskipjump-l2", "surfree-l2", "hopskipjump-linf"],
)
@pytest.mark.parametrize("head", ["one_logit", "two_logit", "softmax"])
def test_smallest_change_by_labels(tmp_path: Path, attack: Any, norm: str, factor: float, head: str) -> None:
    cases, x, decision, weight, bias = flat_world(16, head)
    exact = closed_form(x, decision, weight, bias, norm)
    pset: Any = L2() if norm == "l2" else Linf()
    radius = 3000.0 if norm == "l2" else 200.0
    bundle = audit(
        tmp_path / "b", cases, TorchTarget(Linear(weight, bias), decision),
        cell(cases, (attack,), pset=pset, radii=(radius,), aim="closest", access=LABELS, budget=Budget(2000)),
    )  # fmt: skip
    cost = found(bundle)
    ratios = []
    for ref, optimum in zip(cases.refs, exact, strict=True):
        # Whole numbers cannot express less.
        if optimum < (8 if norm == "l2" else 1):
            continue
        assert cost[ref.id] >= optimum * (1 - 1e-6), ref.id
        ratios.append(cost[ref.id] / (optimum if norm == "l2" else np.ceil(optimum)))
    assert len(ratios) >= 8
    assert np.median(ratios) <= factor, ratios


ALL = [
    (Square(60), Linf(), "flip"),
    (Square(60), L2(), "flip"),
    (Nes(60), Linf(), "flip"),
    (HopSkipJump(200), Linf(), "closest"),
    (HopSkipJump(200), L2(), "closest"),
    (SurFree(200), L2(), "closest"),
]


@pytest.mark.parametrize(("attack", "pset", "aim"), ALL, ids=lambda v: getattr(v, "name", v))
def test_every_query_is_metered_and_no_case_minds_the_others(tmp_path: Path, attack: Any, pset: Any, aim: Any) -> None:
    cases, _, decision, weight, bias = flat_world(10, "softmax")
    radius = 4.0 if aim == "flip" and isinstance(pset, Linf) else 60.0 if aim == "flip" else 200.0
    told = []
    for lanes in (3, 64):
        target, rows = counted(decision, weight, bias, "logits")
        bundle = audit(
            tmp_path / str(lanes), cases, target,
            cell(cases, (attack,), pset=pset, radii=(radius,), aim=aim, access=SCORES), lanes=lanes,
        )  # fmt: skip
        outcomes = list(bundle.outcomes("cell"))
        told.append([(o.case_id, o.kind, o.meter, o.finding and o.finding.cost) for o in outcomes])
        metered = sum(o.meter["forward"] + o.meter["queries"] for o in outcomes)
        assert rows[0] - clean_rows(cases, decision, weight, bias) == metered
        assert all(o.meter["forward"] <= attack.queries for o in outcomes)
    assert sorted(told[0], key=str) == sorted(told[1], key=str)


@pytest.mark.parametrize("attack", [HopSkipJump(300), SurFree(300)], ids=lambda a: a.name)
def test_labels_alone_give_the_same_as_scores(tmp_path: Path, attack: Any) -> None:
    cases, _, decision, weight, bias = flat_world(8, "softmax")
    told = []
    for outputs in ("logits", "labels"):
        target, rows = counted(decision, weight, bias, outputs)
        bundle = audit(
            tmp_path / outputs, cases, target,
            cell(cases, (attack,), pset=L2(), radii=(1000.0,), aim="closest", access=LABELS),
        )  # fmt: skip
        told.append(found(bundle))
        spent = sum(o.meter["forward"] + o.meter["queries"] for o in bundle.outcomes("cell"))
        assert rows[0] - clean_rows(cases, decision, weight, bias, outputs) == spent
    assert told[0] == told[1]
    assert len(told[0]) == len(cases.refs)


def test_labels_reach_a_goal_with_a_direction(tmp_path: Path) -> None:
    cases, _, decision, weight, bias = flat_world(8, "softmax")
    target, _ = counted(decision, weight, bias, "labels")
    bundle = audit(
        tmp_path / "b", cases, target,
        cell(cases, (HopSkipJump(500),), pset=L2(), radii=(3000.0,), aim="closest", access=LABELS, goal=Goal(("+b",))),
    )  # fmt: skip
    broken = [o for o in bundle.outcomes("cell") if o.kind == "broken"]
    assert broken
    for o in broken:
        assert o.finding is not None
        assert o.finding.margins[decision.labels.index("b")] > 0


def test_more_queries_come_nearer(tmp_path: Path) -> None:
    cases, _, decision, weight, bias = flat_world(12, "one_logit")
    medians = []
    for queries in (150, 1500):
        bundle = audit(
            tmp_path / str(queries), cases, TorchTarget(Linear(weight, bias), decision),
            cell(cases, (SurFree(queries),), pset=L2(), radii=(3000.0,), aim="closest", access=LABELS,
                 budget=Budget(2000)),
        )  # fmt: skip
        medians.append(np.median(list(found(bundle).values())))
    assert medians[1] < 0.8 * medians[0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Square(0), lambda: Square(10, area=0.0), lambda: Nes(1), lambda: Nes(rate=0.0), lambda: HopSkipJump(0),
        lambda: HopSkipJump(memory=1.0), lambda: SurFree(0), lambda: SurFree(smooth=2.0),
    ],
)  # fmt: skip
def test_bad_parameters_are_refused(make: Any) -> None:
    with pytest.raises(UsageError, match=r"^image\."):
        make()


def test_a_set_of_another_norm_is_not_searched(tmp_path: Path) -> None:
    cases, _, decision, weight, bias = flat_world(4, "one_logit")
    bundle = audit(
        tmp_path / "b", cases, TorchTarget(Linear(weight, bias), decision),
        cell(cases, (SurFree(50),), pset=Linf(), radii=(4.0,), access=LABELS),
    )  # fmt: skip
    assert {o.kind for o in bundle.outcomes("cell")} == {"not_applicable"}
