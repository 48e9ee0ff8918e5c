"""Oracle: every stored content of a small box, shown to the target itself.

Exact searches must find what can be broken and prove the rest; what is claimed falsely must be refused.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.images import audit, cell
from tests.oracle.test_linear_model import closed_form
from tests.structures import (
    BITS,
    DECISIONS,
    ENSEMBLES,
    LINEAR,
    TOP,
    TREES,
    brute_force,
    every_point,
    judged_by_itself,
    pictured,
    target,
)

from nocere.attacks.base import Certificate
from nocere.attacks.certificates import CHECKERS, accepted
from nocere.attacks.structure import checkers
from nocere.attacks.structure.box import Box
from nocere.attacks.structure.cells import reachable
from nocere.attacks.structure.clauses import clauses
from nocere.attacks.structure.cliques import reach
from nocere.attacks.structure.leaf_box import LeafBox
from nocere.attacks.structure.linear import ClosedForm
from nocere.attacks.structure.threshold import ThresholdSearch
from nocere.audit.referee import Referee
from nocere.audit.truth import MET, ReluNet, relu_truth, tree_truth
from nocere.cases.image import ImageCodec, array_case
from nocere.core.batch import Batch
from nocere.core.budget import Budget, Meter
from nocere.core.case import Truth
from nocere.core.goal import Goal
from nocere.threats.pixels import L2, Linf

STRUCTURE = frozenset({"scores", "labels", "structure"})
# The referee wants ten times the target's noise, which is at least 1e-6.
CLEAR = 1e-5

GOALS: dict[str, list[Goal]] = {
    "one_logit": [Goal(), Goal(("+1",)), Goal(("-1",))],
    "two_logit": [Goal(), Goal(("+0",))],
    "one_vs_rest": [Goal(), Goal(("+1",)), Goal(("-1",))],
    "softmax_2": [Goal()],
    "softmax_4": [Goal(), Goal(("+2",)), Goal(("-1",)), Goal(("-1", "-2"), combine="all")],
    "multi_label": [Goal(), Goal(("+x", "-y"), combine="all"), Goal(("+x", "+z"))],
}


def outcomes(folder: Path, model: Any, cases: Any, attack: Any, goal: Goal, radius: int) -> dict[str, str]:
    spec = cell(
        cases, (attack,), pset=Linf(float(radius), BITS), goal=goal, access=STRUCTURE, radii=(float(radius),)
    )  # fmt: skip
    return {o.case_id: o.kind for o in audit(folder, cases, model, spec).outcomes("cell")}


def compare(folder: Path, model: Any, attack: Any, decision: str, *, d: int, radius: int, n: int = 12) -> list[str]:
    """Kinds of all cases under all goals, each against brute force."""
    cases = judged_by_itself(model, d, n, seed=d + radius)
    seen = []
    for g, goal in enumerate(GOALS[decision]):
        for case_id, kind in outcomes(folder / str(g), model, cases, attack, goal, radius).items():
            if kind in ("already_wrong", "not_applicable"):
                continue
            most = brute_force(model, cases.load(case_id), goal, radius)
            if most > CLEAR:
                assert kind == "broken", (goal, case_id, kind, most)
            elif most <= -CLEAR:
                assert kind == "certified", (goal, case_id, kind, most)
            else:
                assert kind != "broken" and not (most > 0 and kind == "certified"), (goal, case_id, kind, most)
            seen.append(kind)
    return seen


# Estimators without probabilities give one column for two classes, which heads of two columns do not read.
ONE_COLUMN = ("svc_scaled", "sgd")
HEADS = [k for k in DECISIONS if k != "one_vs_rest"]
PAIRS = [(n, h) for n in LINEAR for h in HEADS if n not in ONE_COLUMN or h not in ("two_logit", "softmax_2")]


@pytest.mark.parametrize(("name", "decision"), PAIRS)
def test_linear_models_are_decided_exactly(tmp_path: Path, name: str, decision: str) -> None:
    seen = compare(tmp_path / "a", target(name, decision), ClosedForm(), decision, d=4, radius=2)
    seen += compare(tmp_path / "b", target(name, decision, 6, 1), ClosedForm(), decision, d=6, radius=1)
    assert set(seen) >= {"broken", "certified"}


@pytest.mark.parametrize("decision", [k for k in DECISIONS if k != "multi_label"])
@pytest.mark.parametrize("name", TREES)
def test_single_trees_are_decided_exactly(tmp_path: Path, name: str, decision: str) -> None:
    for k, (d, radius) in enumerate([(4, 2), (3, 4)]):
        model = target(name, decision, d, k)
        seen = compare(tmp_path / str(k), model, LeafBox(), decision, d=d, radius=radius, n=20)
        assert "broken" in seen and "certified" in seen


# Boosted scores under one class against the rest are a log-sum-exp: see the test below.
SUMS = ("boosted", "boosted_scaled", "histogram")
JOINT = [k for k in DECISIONS if k != "multi_label"]
GROVES = [(n, h) for n in ENSEMBLES for h in JOINT if n not in SUMS or h != "one_vs_rest"]


@pytest.mark.parametrize(("name", "decision"), GROVES)
def test_small_ensembles_are_decided_exactly(tmp_path: Path, name: str, decision: str) -> None:
    seen = compare(tmp_path / "a", target(name, decision), ThresholdSearch(), decision, d=4, radius=1)
    seen += compare(tmp_path / "b", target(name, decision, 3, 1), ThresholdSearch(), decision, d=3, radius=3)
    assert set(seen) >= {"broken", "certified"}


@pytest.mark.parametrize(("name", "attack"), [("logistic", ClosedForm()), ("boosted", ThresholdSearch())])
def test_one_class_against_two_others_is_never_decided_wrongly(tmp_path: Path, name: str, attack: Any) -> None:
    """Log-sum-exp is not linear: some cases may stay undecided, none may be decided against brute force."""
    model = target(name, "one_vs_rest")
    cases = judged_by_itself(model, 4, 30, seed=3)
    decided = 0
    for g, goal in enumerate(GOALS["one_vs_rest"]):
        for case_id, kind in outcomes(tmp_path / str(g), model, cases, attack, goal, 2).items():
            if kind in ("already_wrong", "not_applicable"):
                continue
            most = brute_force(model, cases.load(case_id), goal, 2)
            assert kind in ("broken", "certified", "held")
            assert not (kind == "broken" and most <= 0) and not (kind == "certified" and most > 0)
            decided += kind != "held"
    assert decided >= 20


CLAIMS = [
    *(("logistic", head, "linear_linf", {"mixes": []}) for head in DECISIONS),
    ("logistic", "softmax_4", "linear_linf", {"mixes": [[1.0, -9.0, -9.0, -9.0], [0.0]]}),
    *(("tree", head, "tree_leaf_box", {"leaves": 0}) for head in ("one_vs_rest", "softmax_4")),
    *(("forest", head, "tree_ensemble", {}) for head in ("one_logit", "two_logit", "one_vs_rest", "softmax_4")),
    *(("boosted", head, "tree_ensemble", {}) for head in ("one_logit", "one_vs_rest", "softmax_4")),
]


@pytest.mark.parametrize("alone", [False, True], ids=["whole", "bound"])
@pytest.mark.parametrize(("name", "decision", "kind", "data"), CLAIMS)
def test_a_checker_accepts_exactly_what_brute_force_confirms(
    monkeypatch: pytest.MonkeyPatch, name: str, decision: str, kind: str, data: dict[str, Any], alone: bool
) -> None:
    """Claims made for every case, goal and radius, true or not: the checker decides.

    Alone with its bound (no point is asked, no box is split) it may refuse what is true, never accept what is not.
    """
    if alone:
        monkeypatch.setattr(checkers, "POINTS", 0)
        monkeypatch.setattr(checkers, "BOXES", 1)
    model = target(name, decision)
    cases = judged_by_itself(model, 4, 16, seed=9)
    referee = Referee(model, ImageCodec(), cases)
    clean = {c.case_id: np.array(c.margins) for c in referee.clean([r.id for r in cases.refs])}
    verdicts = []
    for goal, radius in itertools.product(GOALS[decision], (0, 1, 2)):
        pset = Linf(float(radius), BITS)
        literals: Any = {i: goal.bind(cases.load(i), model.decision, m) for i, m in clean.items()}
        court = referee.court(pset, goal, literals, Meter(Budget(10)))
        for case in cases:
            most = brute_force(model, case, goal, radius)
            # The number of leaves is the only thing that has to be claimed right.
            claims = [Certificate(0, kind, {**data, "leaves": n}) for n in (range(1, 40) if "leaves" in data else (0,))]
            stands = any(accepted(case, pset, court, c) for c in claims)
            assert not (stands and most > 0), (goal, radius, case.id, most)
            # For one condition at a time the bound of a linear model is the truth.
            plain = kind == "linear_linf" and decision != "one_vs_rest" and goal == Goal()
            if not alone or plain:
                assert stands or most > -CLEAR, (goal, radius, case.id, most)
            verdicts.append(stands)
    assert 0 < sum(verdicts) < len(verdicts)


def test_claims_about_another_kind_of_model_or_set_are_refused() -> None:
    model = target("logistic", "one_logit")
    cases = judged_by_itself(model, 4, 4, seed=9)
    referee = Referee(model, ImageCodec(), cases)
    goal = Goal()
    literals: Any = {c.id: goal.bind(c, model.decision, np.array([1.0, -1.0])) for c in cases}
    court = referee.court(Linf(1.0, BITS), goal, literals, Meter(Budget(10)))
    case = cases.load("case/001")
    for kind in ("tree_leaf_box", "tree_ensemble"):
        assert not accepted(case, Linf(0.0, BITS), court, Certificate(0, kind, {"leaves": 1}))
    assert not accepted(case, L2(0.0, BITS), court, Certificate(0, "linear_linf", {"mixes": []}))
    assert accepted(case, Linf(0.0, BITS), court, Certificate(0, "linear_linf", {"mixes": []}))
    assert set(CHECKERS) >= {"linear_linf", "tree_leaf_box", "tree_ensemble"}


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_smallest_budgets_of_a_linear_model_are_the_closed_form(tmp_path: Path, norm: str) -> None:
    """Pictures of 432 values away from the ends of their range: the dual norm is the optimum, up to whole numbers."""
    cases, model = pictured("logistic", 16)
    x = np.array([c.x for c in cases])
    weight, bias = model.structure.weight.T, model.structure.bias  # type: ignore[union-attr]
    exact = closed_form(x, model.decision, weight, bias, norm)
    pset: Any = Linf() if norm == "linf" else L2()
    radii = (1.0, 8.0, 32.0) if norm == "linf" else (10.0, 80.0, 600.0)
    spec = cell(cases, (ClosedForm(),), pset=pset, radii=radii, aim="closest", access=STRUCTURE)
    compared = 0
    for o in audit(tmp_path / "b", cases, model, spec).outcomes("cell"):
        optimum = exact[int(o.case_id[-3:])]
        if o.kind == "broken":
            # Shorter than one level everywhere, whole numbers cannot follow the slope: there the n steepest values
            # changed by one level each are what can be had.
            steepest = np.cumsum(np.sort(np.abs(weight[0]))[::-1])
            unit = np.sqrt(1 + np.searchsorted(steepest, optimum * np.linalg.norm(weight[0])))
            l2 = 1.02 * optimum if optimum > np.sqrt(weight.size) else unit
            assert optimum <= o.radius <= (np.floor(optimum) + 1.0 if norm == "linf" else l2 + 1.0)
            compared += 1
        elif o.kind == "certified":
            assert norm == "linf" and o.radius < optimum
    assert compared >= 8


@pytest.mark.parametrize("linked", [False, True], ids=["scores", "probabilities"])
@pytest.mark.parametrize("head", DECISIONS)
def test_clauses_say_when_a_goal_is_met(head: str, linked: bool) -> None:
    """On random outputs, against the decision's own margins."""
    decision, _ = DECISIONS[head]
    rng = np.random.default_rng(4)
    outputs: Any = rng.normal(size=(2000, decision.columns))
    scores, link = outputs, "identity"
    if linked:
        outputs = np.exp(outputs) / np.exp(outputs).sum(1, keepdims=True)
        outputs = outputs if decision.columns > 1 else rng.random((2000, 1))
        link = "log" if decision.exclusive and decision.columns > 1 else "logit"
        scores = np.log(outputs) if link == "log" else np.log(outputs / (1.0 - outputs))
    margins = decision.margins(scores)
    for goal in GOALS[head]:
        case = array_case("c", np.zeros((1, 1, 2), np.uint8), Truth.of(decision.labels[0]))
        lit: Any = goal.bind(case, decision, np.ones(len(decision.labels)))
        met = goal.margin(lit.take(np.zeros(2000, dtype=int)), margins) > 0
        found = clauses(decision, goal, lit.weight[0], lit.offset[0], link)  # type: ignore[arg-type]
        said = np.any([(c.values(outputs) > 0).all(1) for c in found], axis=0)
        assert not (met & ~said).any() and met.any() and not met.all()
        if head != "one_vs_rest" or linked:
            np.testing.assert_array_equal(met, said)


@pytest.mark.parametrize("name", ["forest", "boosted"])
def test_merged_leaves_keep_every_part_that_meets_the_goal(name: str) -> None:
    """The bound alone, without the greedy search before it: its best cell is the best point of the box."""
    model: Any = target(name, "softmax_4")
    trees, met = model.structure, 0
    for case in judged_by_itself(model, 4, 16, seed=5):
        x0 = case.x.astype(np.int64).ravel()
        lit: Any = Goal().bind(case, model.decision, np.ones(4))
        found = clauses(model.decision, Goal(), lit.weight[0], lit.offset[0], trees.link)
        b = Box(x0, np.maximum(x0 - 2, 0), np.minimum(x0 + 2, TOP))
        left = reach(reachable(trees, b), trees.base, found, 4_000_000)
        assert left is not None
        most = brute_force(model, case, Goal(), 2)
        if most > CLEAR:
            margins = model.decision.margins(trees.linked(left.value))
            assert Goal().margin(lit.take(np.zeros(len(left), dtype=int)), margins).max() == pytest.approx(most)
            met += 1
    assert 0 < met < 16


# --- the truth that evaluators are measured with ---------------------------------------------------------------------


def _conditions(k: int, label: int) -> tuple[Any, Any]:
    e = np.eye(k)
    return np.array([e[j] - e[label] for j in range(k) if j != label]), np.zeros(k - 1)


def net_mean(layers: Any) -> Any:
    """Mean scores over all stored values, of a sample."""
    return ReluNet(tuple(layers)).scores(np.random.default_rng(0).integers(0, TOP + 1, (500, 4))).mean(0)


@pytest.mark.parametrize("seed", range(6))
def test_the_program_of_a_small_net_equals_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    d, hidden, k = 4, 6, 3
    sizes = [d, hidden, hidden, k]
    layers = [(rng.normal(size=(b, a)) / np.sqrt(a), rng.normal(size=b)) for a, b in itertools.pairwise(sizes)]
    # Centred, so that labels change within the range of stored values.
    layers[0] = (layers[0][0], layers[0][1] - layers[0][0].sum(1) * TOP / 2)
    layers[-1] = (layers[-1][0], layers[-1][1] - net_mean(layers))
    net = ReluNet(tuple(layers))
    answers = set()
    for radius in (1, 2):
        for x0 in rng.integers(0, TOP + 1, (6, d)):
            points = every_point(x0, radius)
            scores = net.scores(points)
            label = int(net.scores(x0[None])[0].argmax())
            weight, offset = _conditions(k, label)
            truth = relu_truth(net, weight, offset, np.maximum(x0 - radius, 0), np.minimum(x0 + radius, TOP))
            most = float((scores @ weight.T + offset).max())
            assert truth.answer == ("broken" if most > MET else "robust"), (radius, x0, most)
            if truth.x is not None:
                assert int(net.scores(truth.x[None])[0].argmax()) != label
                assert int(np.abs(truth.x - x0).max()) <= radius and truth.x.min() >= 0 and truth.x.max() <= TOP
            answers.add(truth.answer)
    assert answers == {"broken", "robust"}


@pytest.mark.parametrize("name", ["tree", "forest", "boosted"])
def test_the_program_of_trees_equals_brute_force(name: str) -> None:
    model: Any = target(name, "softmax_4")
    answers = set()
    for x0 in np.random.default_rng(2).integers(0, TOP + 1, (12, 4)):
        label = int(model.structure.outputs(x0[None])[0].argmax())
        weight, offset = _conditions(4, label)
        points = every_point(x0, 2)
        raw = model.scores(Batch(points, (None,) * len(points)))  # type: ignore[arg-type]
        most = float((raw @ weight.T).max())
        truth = tree_truth(model.structure, weight, offset, np.maximum(x0 - 2, 0), np.minimum(x0 + 2, TOP))
        if abs(most) > CLEAR:
            assert truth.answer == ("broken" if most > 0 else "robust"), (x0, most)
        answers.add(truth.answer)
    assert answers == {"broken", "robust"}
