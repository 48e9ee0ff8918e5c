"""A target as a torch module, a Foolbox model, an ART classifier: the values and gradients of the net behind it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch
from tests.images import world

from nocere.core.decision import OneLogit, Softmax
from nocere.core.errors import NocereError
from nocere.interop import as_art, as_foolbox, as_module
from nocere.targets.answers import LabelsOnly
from nocere.targets.torch import TorchTarget

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries
LABELS = ("a", "b", "c")


class Net(torch.nn.Module):
    def __init__(self, out: int, noise: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.noise = noise
        self.body = torch.nn.Sequential(
            torch.nn.Conv2d(3, 4, 3), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(400, out)
        )

    def forward(self, x: Any) -> Any:
        z = self.body(x / 255 - 0.5)
        return z + self.noise * torch.randn_like(z)


def rows(n: int = 5) -> Any:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (n, 3, 12, 12)).astype(np.float32))


def test_scores_and_gradients_are_those_of_the_net() -> None:
    net = Net(3).eval()
    module = as_module(TorchTarget(net, Softmax(LABELS)))
    x, y = rows().requires_grad_(True), rows().requires_grad_(True)
    a, b = module(x), net(y)
    assert torch.equal(a, b)
    assert not module(rows()).requires_grad
    for k in range(3):  # more than one way back through the same pass
        ga = torch.autograd.grad(a[:, k].square().sum(), x, retain_graph=True)[0]
        gb = torch.autograd.grad(b[:, k].square().sum(), y, retain_graph=True)[0]
        assert torch.allclose(ga, gb, rtol=1e-6, atol=0)
        assert ga.abs().max() > 0
    assert torch.autograd.gradcheck(lambda v: module(v).double(), rows(1).double().requires_grad_(True), eps=0.5, atol=1e-3, rtol=5e-2)  # fmt: skip


def test_classes_follow_the_threshold() -> None:
    x = rows(40)
    p = torch.sigmoid(as_module(TorchTarget(Net(1), OneLogit(("no", "yes"))))(x)[:, 0])
    line = float(p.mean())  # of which some lie on either side, but not on those of one half
    yes = p > line
    assert 0 < int(yes.sum()) < 40
    assert not torch.equal(yes, p > 0.5)
    target = TorchTarget(Net(1), OneLogit(("no", "yes"), line))
    assert torch.equal(as_module(target, classes=True)(x).argmax(1), yes.long())
    labels = as_module(LabelsOnly(target), classes=True)
    assert torch.equal(labels(x).argmax(1), yes.long())
    with pytest.raises(NocereError, match="grants none"):
        labels(x.requires_grad_(True)).sum().backward()


def test_what_cannot_be_given_is_refused() -> None:
    _, findings = world(2, "multi_label")
    with pytest.raises(NocereError, match="do not exclude each other"):
        as_module(findings, classes=True)
    _, one = world(2)
    with pytest.raises(NocereError, match="labels only"):
        as_module(LabelsOnly(one))


def test_a_stochastic_target_draws_from_the_seed_of_torch() -> None:
    module = as_module(TorchTarget(Net(3, noise=1.0), Softmax(LABELS), stochastic=True))
    made = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        made.append(module(rows(2)))
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


@pytest.mark.skipif(find_spec("foolbox") is None, reason="foolbox is not installed")
def test_foolbox_finds_the_same_on_a_target_as_on_its_net() -> None:
    import foolbox

    net = Net(3).eval()
    x = rows()
    y = net(x).argmax(1)
    ours = as_foolbox(TorchTarget(net, Softmax(LABELS)))
    theirs = foolbox.PyTorchModel(net, bounds=(0, 255), device="cpu")
    assert tuple(ours.bounds) == (0, 255)
    for attack, eps in ((foolbox.attacks.LinfPGD(steps=5, random_start=False), 8.0), (foolbox.attacks.L2DeepFoolAttack(steps=5), None)):  # fmt: skip
        a, b = (attack(m, x, y, epsilons=eps)[1] for m in (ours, theirs))
        assert torch.allclose(a, b, atol=1e-3)
        assert not torch.equal(a, x)


@pytest.mark.skipif(find_spec("art") is None, reason="adversarial-robustness-toolbox is not installed")
def test_art_finds_the_same_on_a_target_as_on_its_net() -> None:
    from art.attacks.evasion import FastGradientMethod
    from art.estimators.classification import PyTorchClassifier

    cases, target = world(4, "softmax")
    case = cases.load(cases.refs[0].id)
    ours = as_art(target, case)
    theirs = PyTorchClassifier(
        target.module, torch.nn.CrossEntropyLoss(), (3, 12, 12), 4, clip_values=(0, 255), device_type="cpu"
    )
    x = rows().numpy()
    np.testing.assert_array_equal(ours.predict(x), theirs.predict(x))
    a, b = (FastGradientMethod(m, eps=4.0).generate(x) for m in (ours, theirs))
    np.testing.assert_array_equal(a, b)
    assert np.abs(a - x).max() == 4
