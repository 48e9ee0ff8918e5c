"""Harm-weighted worst case: by hand on a small world, and what plans may say."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.images import audit, cell, world

from nocere.audit.plan import make_plan, resolve
from nocere.core.errors import PlanError
from nocere.core.goal import Goal

HARM = {"malignant -> benign": 10.0, "benign -> malignant": 1.0}


def test_the_worst_answer_of_each_case_counts(tmp_path: Path) -> None:
    cases, target = world(40, wrong_every=4)
    cells = (
        cell(cases, name="any", radii=(1.0,)),
        cell(cases, name="to-benign", radii=(4.0,), goal=Goal(("+benign",), "malignant")),
    )
    bundle = audit(tmp_path / "b", cases, target, *cells, harm=HARM)
    measures = {(m.key, m.line): m for m in bundle.measures if m.key.startswith("harm")}
    clean = {r["case_id"]: r["margins"] for r in bundle.read("clean.json")["cases"]}
    broken = {o.case_id for c in ("any", "to-benign") for o in bundle.outcomes(c) if o.kind == "broken"}
    plain, worst = [], []
    for ref in cases.refs:
        price = HARM["malignant -> benign"] if ref.truth.label == "malignant" else HARM["benign -> malignant"]
        wrong = clean[ref.id][1 if ref.truth.label == "malignant" else 0] <= 0
        plain.append(price * wrong)
        worst.append(price * (wrong or ref.id in broken))
    assert measures["harm_per_case", None].value == pytest.approx(sum(plain) / 40)
    found = measures["harm_up_to_line", 4]
    assert found.value == pytest.approx(sum(worst) / 40) and found.value > measures["harm_per_case", None].value
    assert found.low <= found.value <= found.high and found.n == 40


def test_a_plan_without_harm_has_no_such_measure(tmp_path: Path) -> None:
    cases, target = world(8)
    bundle = audit(tmp_path / "b", cases, target, cell(cases, radii=(1.0,)))
    assert not [m for m in bundle.measures if m.key.startswith("harm")]


@pytest.mark.parametrize("harm", [{"malignant": 1}, {"malignant -> odd": 1}, {"benign -> benign": 1}])
def test_unknown_answers_are_refused(harm: dict[str, float]) -> None:
    cases, target = world(40, wrong_every=3)
    with pytest.raises(PlanError, match="names no wrong answer"):
        resolve(make_plan({"name": "p", "preset": "image.standard", "harm": harm}), target, cases)


def test_negative_harm_is_refused() -> None:
    cases, target = world(40, wrong_every=3)
    with pytest.raises(PlanError, match="a harm is a number from 0"):
        resolve(
            make_plan({"name": "p", "preset": "image.standard", "harm": {"benign -> malignant": -1}}), target, cases
        )


def test_universal_attacks_in_plans_get_patients_of_their_own() -> None:
    cases, target = world(40, wrong_every=3)
    table = {"name": "u", "threat": "image.linf", "radii": [4], "attacks": ["image.universal"], "fit": 0.25}
    (made,) = resolve(make_plan({"name": "p", "cell": [table]}), target, cases).cells
    group = {r.id: r.group for r in cases.refs}
    inside, outside = {group[i] for i in made.fit}, {group[i] for i in made.cases if i not in made.fit}
    assert len(inside) == 5 and len(outside) == 15 and not inside & outside
