"""The heads and inputs on which the field's tools raise, clamp or do nothing: nocere breaks what a plain loop breaks.

The oracle is a projected gradient descent in plain torch, written here with the right loss for each head. Two logits, one
logit, five findings, 12-bit images with the window inside of the model, and a two-channel recording.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.images import ALL, LABELS, cell

from nocere.attacks.image.apgd import Apgd
from nocere.attacks.image.pgd import Pgd
from nocere.audit.runner import run_audit
from nocere.audit.spec import Spec
from nocere.cases.image import ImageCodec, array_case
from nocere.cases.signal import SignalCodec, signal_case
from nocere.core.case import Case, CaseSet, Truth
from nocere.core.decision import Decision, MultiLabel, OneLogit, Softmax
from nocere.targets.torch import TorchTarget
from nocere.threats.pixels import Linf
from nocere.threats.samples import SignalLinf

N, STEPS = 16, 20
FINDINGS = ("a", "b", "c", "d", "e")
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class World:
    x: np.ndarray[Any, Any]
    net: torch.nn.Module
    decision: Decision
    pset: Any
    codec: Any
    made: Callable[[int, np.ndarray[Any, Any], Truth], Case[Any]]
    # From scores and the clean assertion: to be made larger by an attacker, above 0 when the decision is another one.
    wrong: Loss


class Net(torch.nn.Module):
    """Random features of whitened input; as fragile as a net that was never hardened."""

    def __init__(self, features: int, outputs: int, low: float, span: float) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.low, self.span = low, span
        self.body = torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Linear(features, 64), torch.nn.Tanh(), torch.nn.Linear(64, outputs)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 4.0 * self.body(2.0 * ((x - self.low) / self.span).clamp(0, 1) - 1.0)


def binary(z: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
    return torch.where(first[:, 0] > 0, -z[:, 0], z[:, 0])


def softmax(z: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
    y = first.argmax(1, keepdim=True)
    return z.scatter(1, y, -torch.inf).amax(1) - z.gather(1, y)[:, 0]


def findings(z: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
    return torch.where(first > 0, -z, z).amax(1)


def image(i: int, x: np.ndarray[Any, Any], truth: Truth) -> Case[Any]:
    return array_case(f"{i:02d}", x, truth, bits=8 if x.dtype == np.uint8 else 12)


def wave(i: int, x: np.ndarray[Any, Any], truth: Truth) -> Case[Any]:
    return signal_case(f"{i:02d}", x, truth, rate=250.0)


def worlds() -> dict[str, World]:
    rng = np.random.default_rng(0)
    x8 = rng.integers(40, 216, (N, 1, 12, 12)).astype(np.uint8)
    x12 = rng.integers(900, 3100, (N, 1, 12, 12)).astype(np.uint16)
    waves = rng.integers(-500, 500, (N, 2, 256)).astype(np.int16)
    two = Softmax(LABELS)
    return {
        "two logits": World(x8, Net(144, 2, 0, 255), two, Linf(), ImageCodec(), image, softmax),
        "one logit": World(x8, Net(144, 1, 0, 255), OneLogit(LABELS), Linf(), ImageCodec(), image, binary),
        "five findings": World(
            x8, Net(144, 5, 0, 255), MultiLabel(FINDINGS, (0.5,) * 5), Linf(), ImageCodec(), image, findings
        ),
        "12 bits, window inside": World(x12, Net(144, 2, 800, 2400), two, Linf(bits=12), ImageCodec(), image, softmax),
        "recording": World(waves, Net(512, 1, -600, 1200), OneLogit(LABELS), SignalLinf(), SignalCodec(), wave, binary),
    }


WORLDS = worlds()


def plain(world: World, radius: float) -> np.ndarray[Any, Any]:
    """Which cases a plain loop breaks with whole numbers inside of the radius."""
    x0 = torch.from_numpy(world.x.astype(np.float32))
    first = world.net(x0).detach()
    low, high = world.pset.span
    x = x0.clone()
    for t in range(STEPS):
        x.requires_grad_(True)
        (g,) = torch.autograd.grad(world.wrong(world.net(x), first).sum(), x)
        step = radius * 0.5 * (1 - 0.9 * t / STEPS)
        x = (x.detach() + step * g.sign()).clamp(x0 - radius, x0 + radius).clamp(low, high)
    return (world.wrong(world.net(x.round()), first) > 0).numpy()


@pytest.mark.parametrize("attack", [Pgd(STEPS), Apgd(STEPS)], ids=lambda a: a.name)
@pytest.mark.parametrize("name", WORLDS)
def test_what_a_plain_loop_breaks_is_broken_in_a_file(tmp_path: Path, name: str, attack: Any) -> None:
    world = WORLDS[name]
    with torch.no_grad():
        scores = world.net(torch.from_numpy(world.x.astype(np.float32)))
    margins = world.decision.margins(scores).numpy()
    truths = [
        Truth.of(*(label for label, m in zip(world.decision.labels, row, strict=True) if m > 0)) for row in margins
    ]
    cases = CaseSet.of([world.made(i, x, t) for i, (x, t) in enumerate(zip(world.x, truths, strict=True))])
    # The radius at which the plain loop breaks about half.
    radius = next(float(r) for r in range(1, 4000) if plain(world, float(r)).mean() >= 0.5)
    truth = plain(world, radius)
    one = cell(cases, (attack,), pset=world.pset, radii=(radius,), access=ALL)
    bundle = run_audit(Spec("head", TorchTarget(world.net, world.decision), world.codec, cases, (one,)), tmp_path / "b")
    broken = np.array([o.kind == "broken" for o in bundle.outcomes("cell")])
    assert truth.any() and broken.sum() >= truth.sum() - 1, (radius, truth.sum(), broken.sum())
    # Every break is a file inside of its budget, which a deeper image would leave if it were cut to 8 bits.
    assert all(o.finding.cost.value <= radius for o in bundle.outcomes("cell") if o.kind == "broken")  # type: ignore[union-attr]
