"""Cascades: each attack sees what the last could not break, what each added is told, and presets resolve."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.images import audit, cell, pictures, world

from nocere.attacks.image.apgd import Apgd
from nocere.attacks.image.pgd import Pgd
from nocere.attacks.losses import loss_rows, wanted
from nocere.audit.plan import make_plan, resolve
from nocere.audit.presets import PRESETS
from nocere.core.decision import MultiLabel, Softmax
from nocere.core.goal import Goal, Literals


def test_what_each_attack_added_is_told(tmp_path: Path) -> None:
    cases, target = world(40)
    bundle = audit(tmp_path / "b", cases, target, cell(cases, (Pgd(1, step=0.02), Apgd(20)), radii=(2.0, 4.0)))
    outcomes = [o for o in bundle.outcomes("cell") if o.radius == 4.0]
    by = {m.key: m for m in bundle.measures if m.radius == 4.0 and m.key.startswith("broken_by")}
    first = sum(o.kind == "broken" and o.stage == "image.pgd" for o in outcomes)
    second = sum(o.kind == "broken" and o.stage == "image.apgd" for o in outcomes)
    assert second > 0
    assert (by["broken_by:1:image.pgd"].k, by["broken_by:1:image.pgd"].n) == (first, len(outcomes))
    assert (by["broken_by:2:image.apgd"].k, by["broken_by:2:image.apgd"].n) == (second, len(outcomes) - first)


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_presets_resolve(preset: str) -> None:
    cases, target = world(40, wrong_every=3)
    spec = resolve(make_plan({"name": "p", "preset": preset}), target, cases)
    assert spec.cells


def test_losses_on_a_softmax_are_what_the_papers_say() -> None:
    decision, goal = Softmax(("a", "b", "c", "d")), Goal()
    scores = torch.tensor([[2.0, 1.0, 0.5, -1.0], [0.0, 3.0, 2.5, 1.0]], dtype=torch.float64)
    truth = [0, 1]
    lit = Literals(np.array([[float(k != t) for k in range(4)] for t in truth]), np.zeros((2, 4)))
    assert (wanted(lit) == (lit.weight > 0)).all()
    margins = decision.margins(scores)

    def rows(loss: str, towards: list[int] | None = None) -> list[float]:
        at = None if towards is None else np.array(towards)
        return loss_rows(loss, decision, scores, margins, lit, goal, at).tolist()  # type: ignore[arg-type]

    ce = torch.nn.functional.cross_entropy(scores, torch.tensor(truth), reduction="none")
    # log odds of being wrong = log(exp(ce) - 1): the same order and the same direction as the cross-entropy.
    assert rows("ce") == pytest.approx(torch.log(torch.expm1(ce)).tolist())
    assert rows("margin") == pytest.approx([-1.0, -0.5])
    assert rows("dlr") == pytest.approx([-1.0 / 1.5, -0.5 / 2.0])
    assert rows("dlr", [3, 0]) == pytest.approx([-3.0 / (2.0 - (0.5 - 1.0) / 2), -3.0 / (3.0 - (1.0 + 0.0) / 2)])
    assert rows("margin", [2, -1]) == pytest.approx([-1.5, -0.5])


def test_towards_one_finding_moves_that_finding_only() -> None:
    decision, goal = MultiLabel(("x", "y"), (0.5, 0.5)), Goal()
    scores = torch.tensor([[1.0, -2.0]], dtype=torch.float64, requires_grad=True)
    lit = Literals(np.array([[-1.0, 1.0]]), np.zeros((1, 2)))
    value = loss_rows("margin", decision, scores, decision.margins(scores), lit, goal, np.array([1]))
    (g,) = torch.autograd.grad(value.sum(), scores)
    assert value.item() == -2.0 and g.tolist() == [[0.0, 1.0]]


def test_apgd_finds_what_plain_steps_cannot(tmp_path: Path) -> None:
    """A loss that is steep in one direction only: a fixed step jumps over the valley, a halved one does not."""

    class Valley(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            d = (x - 130.0).flatten(1)
            return (
                0.5
                - 0.4 * (d[:, :1] - 0.3).abs()
                - 0.3 * (d[:, 1:2] + 0.3).abs()
                - 0.02 * d.abs().mean(1, keepdim=True)
            )

    from nocere.cases.image import array_case
    from nocere.core.case import CaseSet, Truth
    from nocere.core.decision import OneLogit
    from nocere.targets.torch import TorchTarget

    x = pictures(8, seed=5, channels=1).astype(int)
    x[:, 0, 0, :2] = np.random.default_rng(1).integers(120, 141, (8, 2))
    x[:, 0, 0, 2:] = 130
    x[:, 0, 1:] = 130
    target = TorchTarget(Valley(), OneLogit(("benign", "malignant")))
    cases = CaseSet.of([array_case(f"c{i}", row.astype(np.uint8), Truth.of("benign")) for i, row in enumerate(x)])
    bundle = audit(tmp_path / "b", cases, target, cell(cases, (Apgd(50),), radii=(12.0,)))
    kinds = [o.kind for o in bundle.outcomes("cell")]
    assert kinds.count("broken") + kinds.count("already_wrong") == 8
