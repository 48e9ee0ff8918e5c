"""The search twin: the same answers to the last bits, never a judge, and left out where it cannot be made."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.images import SIDE, pictures

from nocere.cases.image import array_case
from nocere.core.batch import Batch
from nocere.core.case import Truth
from nocere.core.decision import OneLogit
from nocere.targets.torch import TorchTarget
from nocere.targets.twin import TorchTwin, search_twin

DECISION = OneLogit(("benign", "malignant"))
CASE = array_case("c", pictures(1)[0], Truth.of("benign"))


class Block(torch.nn.Module):
    def __init__(self, branch: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm = torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.BatchNorm2d(8)
        self.norm.running_mean = torch.randn(8)
        self.norm.running_var = torch.rand(8) + 0.5
        self.head = torch.nn.Linear(8 * SIDE * SIDE, 1)
        self.branch = branch

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.conv(x / 255.0 - 0.5)))
        if self.branch and bool(x.sum() < 0):  # a tracer cannot follow this
            x = -x
        return self.head(x.flatten(1))


def batch(n: int = 5) -> Batch:
    return Batch(torch.from_numpy(pictures(n, seed=4).astype(np.float32)), (CASE,) * n)


def gradient(target: TorchTarget) -> torch.Tensor:
    scores, pullback = target.vjp(batch())
    return pullback(torch.ones_like(scores))


@pytest.mark.parametrize("branch", [False, True])
def test_scores_and_gradients_agree(branch: bool) -> None:
    target = TorchTarget(Block(branch), DECISION)
    before = target.state()
    twin = search_twin(target, CASE)
    assert isinstance(twin, TorchTwin)
    folded = not any(isinstance(m, torch.nn.BatchNorm2d) for m in twin.module.modules())
    assert folded is not branch
    np.testing.assert_allclose(twin.scores(batch()), target.scores(batch()), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gradient(twin), gradient(target), rtol=1e-3, atol=1e-6)
    assert target.state() == before
    assert (twin.name, twin.fingerprint, twin.decision) == (target.name, target.fingerprint, target.decision)


def test_bfloat16_is_near_and_is_not_exact() -> None:
    target = TorchTarget(Block(), DECISION)
    twin = search_twin(target, CASE, bf16=True)
    far = np.abs(twin.scores(batch()) - target.scores(batch())).max()
    assert 0 < far < 0.1 * np.abs(target.scores(batch())).max() + 0.1


def test_a_twin_that_answers_otherwise_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    import nocere.targets.twin as module

    monkeypatch.setattr(module, "_folded", lambda _: Block(branch=True).apply(_shift))
    target = TorchTarget(Block(), DECISION)
    assert search_twin(target, CASE) is target


def _shift(m: torch.nn.Module) -> None:
    if isinstance(m, torch.nn.Linear):
        m.bias.data += 1.0
    for p in m.parameters():
        p.requires_grad_(False)
    m.eval()


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_targets_that_draw_or_were_compiled_are_searched_as_shipped() -> None:
    drawing = TorchTarget(Block(), DECISION, stochastic=True)
    assert search_twin(drawing, CASE) is drawing
    scripted = TorchTarget(torch.jit.trace(Block().eval(), torch.zeros(1, 3, SIDE, SIDE)), DECISION)
    assert search_twin(scripted, CASE) is scripted
