"""Searches over codes through engine and referee: broken, certified and held against every member of the set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.coded import DECISION, audited, encoder, fitted, judged, scores, target
from tests.images import cell

from nocere.attacks.base import Certificate
from nocere.attacks.certificates import CHECKERS, accepted
from nocere.attacks.codes import checker
from nocere.attacks.codes.climb import Beam, Exhaustive, Greedy
from nocere.attacks.codes.exact import Exact
from nocere.audit.referee import Referee
from nocere.cases.claim_json import ClaimCodec
from nocere.core.budget import Budget, Meter
from nocere.core.case import CaseSet, Truth
from nocere.core.decision import Softmax, Value
from nocere.core.goal import Goal
from nocere.targets.claims.encoder import Encoder
from nocere.targets.claims.target import claim_target
from nocere.targets.structure import LinearForm
from nocere.threats.codes.sets import AllEdits, Truthful, TruthfulWide

STRUCTURE = frozenset({"scores", "labels", "structure"})
CLEAR = 1e-5  # the referee wants ten times the target's noise, which is at least 1e-6
CLAIM = Certificate(0, "claims_exact", {"best": -1.0})


def most(model: Any, cases: CaseSet, pset: Any) -> dict[str, float]:
    """The largest goal margin of any member by case: the truth is what the model says of the claim itself."""
    out = {}
    for case in cases:
        sign = 1.0 if case.truth.label == DECISION.labels[0] else -1.0
        members = [x for x, _ in pset.members(case)]
        out[case.id] = float((sign * DECISION.margins(scores(model, members))[:, 1]).max()) if members else -np.inf
    return out


@pytest.mark.parametrize("make", ["lightgbm", "xgboost", "scorecard", "forest"])
@pytest.mark.parametrize("kind", ["codes", "counts"])
def test_every_claim_is_broken_or_certified_as_brute_force_says(tmp_path: Path, make: str, kind: str) -> None:
    model = target(make, kind)
    cases = judged(model, 12, 5, most=4)
    seen = []
    for pset in (AllEdits(2.0, laterals=1), Truthful(2.0)):
        spec = cell(cases, (Exact(),), pset=pset, radii=(2.0,), access=STRUCTURE)
        bundle = audited(tmp_path / pset.name, cases, model, spec)
        truth = most(model, cases, pset)
        for o in bundle.outcomes("cell"):
            if truth[o.case_id] > CLEAR:
                assert o.kind == "broken", (o, truth[o.case_id])
                assert o.finding is not None and o.finding.margin == pytest.approx(truth[o.case_id], abs=CLEAR)
            elif truth[o.case_id] <= -CLEAR:
                assert o.kind == "certified", (o, truth[o.case_id])
            else:
                assert o.kind != "broken" and not (truth[o.case_id] > 0 and o.kind == "certified")
            seen.append(o.kind)
    assert {"certified", *(("broken",) if make != "scorecard" else ())} <= set(seen)


@pytest.mark.parametrize("listed", [0, 12_000], ids=["program", "listed"])
@pytest.mark.parametrize(("make", "kind"), [("lightgbm", "counts"), ("scorecard", "classes"), ("xgboost", "codes")])
def test_the_checker_accepts_exactly_what_brute_force_confirms(
    monkeypatch: pytest.MonkeyPatch, make: str, kind: str, listed: int
) -> None:
    """The same claim for every case, set and radius, true or not."""
    monkeypatch.setattr(checker, "LISTED", listed)
    model = target(make, kind)
    cases = judged(model, 8, 9, most=3)
    goal, verdicts = Goal(), []
    referee = Referee(model, ClaimCodec(), cases)
    clean = {c.case_id: np.array(c.margins) for c in referee.clean([r.id for r in cases.refs])}
    literals: Any = {i: goal.bind(cases.load(i), DECISION, m) for i, m in clean.items()}
    for pset in (AllEdits(1.0, laterals=1), AllEdits(2.0, laterals=1), TruthfulWide(2.0), Truthful(0.0)):
        court = referee.court(pset, goal, literals, Meter(Budget(10)))
        truth = most(model, cases, pset)
        for case in cases:
            stands = accepted(case, pset, court, CLAIM)
            assert not (stands and truth[case.id] > 0), (pset, case.id, truth[case.id])
            # By the program alone rules that refuse many sets may leave a true claim unproven.
            if listed:
                assert stands or truth[case.id] > -CLEAR, (pset, case.id, truth[case.id])
            verdicts.append(stands)
    assert 0 < sum(verdicts) < len(verdicts)
    assert sum(verdicts) >= 12


def test_claims_about_other_sets_and_models_are_refused() -> None:
    from nocere.targets.callable import callable_target
    from nocere.threats.pixels import Linf

    model = target("lightgbm", "codes")
    cases = judged(model, 3, 9)
    case = cases.load(cases.refs[0].id)
    referee = Referee(model, ClaimCodec(), cases)
    literals: Any = {c.id: Goal().bind(c, DECISION, np.array([1.0, -1.0])) for c in cases}
    court = referee.court(Truthful(0.0), Goal(), literals, Meter(Budget(10)))
    assert accepted(case, Truthful(0.0), court, CLAIM)  # nothing may be changed
    assert not accepted(case, Linf(0.0), court, CLAIM)
    assert not accepted(case, Truthful(0.0), court, Certificate(0, "tree_ensemble", {}))
    rules = callable_target(lambda claims: np.zeros(len(claims)), DECISION, outputs="logits")
    other = Referee(rules, ClaimCodec(), cases).court(Truthful(0.0), Goal(), literals, Meter(Budget(10)))
    assert not accepted(case, Truthful(0.0), other, CLAIM)
    assert "claims_exact" in CHECKERS


def test_a_model_that_no_edit_reaches_is_certified() -> None:
    enc = Encoder(("age", "code=Z00.00"))
    model = claim_target(LinearForm(np.array([[0.01], [2.0]]), np.array([-1.0])), enc, DECISION)
    cases = judged(model, 4, 1)
    referee = Referee(model, ClaimCodec(), cases)
    literals: Any = {c.id: Goal().bind(c, DECISION, np.array([1.0, -1.0])) for c in cases}
    court = referee.court(AllEdits(2.0), Goal(), literals, Meter(Budget(10)))
    assert all(accepted(c, AllEdits(2.0), court, CLAIM) for c in cases)


def test_a_search_that_lies_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that misses every success and claims that there is none."""
    from nocere.attacks.codes import best

    model = target("lightgbm", "codes")
    cases = judged(model, 10, 5, most=4)
    pset = AllEdits(2.0, laterals=1)
    real = best.Search.best

    def lying(self: Any, clause: Any) -> Any:
        return replace(real(self, clause), edits=(), value=-1.0, bound=-1.0)

    monkeypatch.setattr(best.Search, "best", lying)
    spec = cell(cases, (Exact(),), pset=pset, radii=(2.0,), access=STRUCTURE)
    outcomes = audited(tmp_path / "b", cases, model, spec).outcomes("cell")
    truth = most(model, cases, pset)
    assert any(m > CLEAR for m in truth.values())
    for o in outcomes:
        assert o.kind == ("certified" if truth[o.case_id] <= 0 else "errored")


def test_greedy_and_beam_are_lower_bounds_and_enumeration_is_exact(tmp_path: Path) -> None:
    model = target("lightgbm", "counts")
    cases = judged(model, 8, 5, most=3)
    pset = AllEdits(2.0, laterals=1)
    truth = most(model, cases, pset)
    found: dict[str, dict[str, float]] = {}
    for attack in (Greedy(), Beam(width=4), Exhaustive()):
        spec = cell(
            cases, (attack,), pset=pset, radii=(2.0,), aim="worst", access=STRUCTURE, budget=Budget(5_000)
        )  # fmt: skip
        outcomes = audited(tmp_path / attack.name, cases, model, spec).outcomes("cell")
        best = {o.case_id: o.finding.margin for o in outcomes if o.finding is not None}
        assert all(m <= truth[i] + 1e-9 for i, m in best.items())
        found[attack.name] = best
        if attack.name == "claims.exhaustive":
            assert best == pytest.approx({i: truth[i] for i in best})
            assert {o.kind for o in outcomes} <= {"broken", "certified"} and len(best) == len(truth)
        else:
            assert "certified" not in {o.kind for o in outcomes}
    assert all(found["claims.beam"][i] >= m - 1e-9 for i, m in found["claims.greedy"].items())


def test_searches_by_scores_keep_their_budget(tmp_path: Path) -> None:
    model = target("lightgbm", "codes")
    cases = judged(model, 6, 5)
    for attack in (Greedy(), Beam(), Exhaustive()):
        spec = cell(cases, (attack,), pset=AllEdits(2.0), radii=(2.0,), access=STRUCTURE, budget=Budget(7))
        for o in audited(tmp_path / attack.name, cases, model, spec).outcomes("cell"):
            assert o.meter["forward"] <= 7 and o.kind != "certified"


@pytest.mark.parametrize("goal", [Goal(), Goal(("-b",)), Goal(("+c",)), Goal(("-a", "-b"), combine="all")])
def test_goals_of_several_conditions_are_decided_exactly(tmp_path: Path, goal: Goal) -> None:
    """Three classes under a softmax: a label wins when it leads all others at once."""
    import lightgbm

    enc = encoder("counts")
    x = enc.rows([c.x for c in judged(target("lightgbm", "counts"), 300, 3)])
    y = (x @ np.random.default_rng(2).normal(size=enc.width) * 3).astype(int) % 3
    about = {"objective": "multiclass", "num_class": 3, "num_leaves": 7, "min_data_in_leaf": 5, "verbose": -1}
    decision = Softmax(("a", "b", "c"))
    model = claim_target(lightgbm.train({**about, "num_threads": 1}, lightgbm.Dataset(x, y), 12), enc, decision)
    plain = list(judged(target("lightgbm", "counts"), 10, 6, most=4))
    said = decision.margins(scores(model, [c.x for c in plain])).argmax(axis=1)
    labelled = [replace(c, truth=Truth.of(decision.labels[k])) for c, k in zip(plain, said, strict=True)]
    cases, pset = CaseSet.of(labelled), AllEdits(2.0, laterals=1)
    spec = cell(cases, (Exact(),), pset=pset, radii=(2.0,), goal=goal, access=STRUCTURE)
    kinds = []
    for o in audited(tmp_path / "b", cases, model, spec).outcomes("cell"):
        if o.kind in ("already_wrong", "not_applicable"):
            continue
        case = cases.load(o.case_id)
        clean = decision.margins(scores(model, [case.x]))[0]
        lit: Any = goal.bind(case, decision, clean)
        margins = decision.margins(scores(model, [x for x, _ in pset.members(case)]))
        reached = float(goal.margin(lit.take(np.zeros(len(margins), dtype=int)), margins).max())
        assert o.kind == ("broken" if reached > CLEAR else "certified"), (o, reached)
        kinds.append(o.kind)
    assert kinds


def test_a_predicted_payment_is_raised_as_far_as_it_goes(tmp_path: Path) -> None:
    """A regression model under a `Value` decision: the shift is met or certified out of reach."""
    import lightgbm

    enc = encoder("codes")
    base = fitted("lightgbm", enc)
    x = enc.rows([c.x for c in judged(target("lightgbm", "codes"), 200, 3)])
    y = 1000.0 * base.predict(x)
    about = {"objective": "regression", "num_leaves": 7, "min_data_in_leaf": 5, "verbose": -1, "num_threads": 1}
    model = claim_target(lightgbm.train(about, lightgbm.Dataset(x, y), 20), enc, Value(("usd",)))
    plain = judged(target("lightgbm", "codes"), 8, 6, most=4)
    cases = CaseSet.of([replace(c, truth=Truth()) for c in plain])
    pset = AllEdits(2.0, laterals=1)
    spec = cell(cases, (Exact(),), pset=pset, radii=(2.0,), goal=Goal(("+usd",), shift=20.0), access=STRUCTURE)
    kinds = []
    for o in audited(tmp_path / "b", cases, model, spec).outcomes("cell"):
        case = cases.load(o.case_id)
        clean = scores(model, [case.x])[0, 0]
        gain = max((scores(model, [x for x, _ in pset.members(case)])[:, 0] - clean).max(), -np.inf)
        assert o.kind == ("broken" if gain > 20.0 + 1e-4 else "certified")
        kinds.append(o.kind)
    assert set(kinds) == {"broken", "certified"}
