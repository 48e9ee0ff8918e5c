"""No broken defence passes quietly: each is broken, or an indicator says that the search was blind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.images import LABELS, SIDE, audit, cell, pictures
from torch import nn

from nocere.attacks.image.pgd import Pgd
from nocere.attacks.image.square import Square
from nocere.audit.bundle import Bundle
from nocere.audit.criteria import Criterion
from nocere.audit.referee import Draws
from nocere.audit.spec import Artefact
from nocere.cases.image import array_case
from nocere.core.case import CaseSet, Truth
from nocere.core.decision import OneLogit
from nocere.core.errors import TargetError
from nocere.targets import zoo
from nocere.targets.torch import TorchTarget

N, RADIUS = 24, 8.0
DECISION = OneLogit(LABELS)


def small_net() -> nn.Sequential:
    """An undefended two-layer net that a few grey levels break."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE**2, 24), nn.Tanh(), nn.Linear(24, 1))
        net[1].weight /= 16
        net[1].bias.copy_(-net[1].weight.sum(1) * 127.5)
        net[3].weight *= 8
        net[3].bias.copy_(-net[3](net[:3](torch.from_numpy(pictures(200)).float())).median())
        return net


NET = small_net()


def audited(
    folder: Path, module: nn.Module, *extra: Any, n: int = N, stochastic: bool = False, eot: int = 1, **more: Any
) -> Bundle:
    """A member behind the audit that the preset makes: noise, any image allowed, by scores; one lenient criterion."""
    target = TorchTarget(module, DECISION, stochastic=stochastic)
    from nocere.core.batch import Batch

    x = pictures(n)
    seeds = np.arange(n, dtype=np.uint64) if stochastic else None
    scores = target.scores(Batch(torch.from_numpy(x).float(), (None,) * n, seeds))[:, 0]  # type: ignore[arg-type]
    cases = CaseSet.of([array_case(f"{i}", x[i], Truth.of(LABELS[int(s > 0)])) for i, s in enumerate(scores)])
    few = tuple(r.id for r in cases.refs)[: n // 2]
    cells = (
        cell(cases, (Pgd(20, 2, eot=eot),), name="noise", radii=(RADIUS,)),
        cell(cases, (Pgd(20, 2, eot=eot),), name="any", radii=(255.0,), ids=few, sanity=True),
        cell(cases, (Square(200),), name="blind", radii=(RADIUS,), ids=few, sanity=True),
        *(make(cases) for make in extra),
    )
    rule = Criterion(name="stands", measure="flip_rate", cell="noise", radius=RADIUS, at_most=0.99)
    return audit(folder, cases, target, *cells, criteria=(rule,), **more)


def word(bundle: Bundle) -> str:
    return str(bundle.verdicts[0]["word"])


def keys(bundle: Bundle) -> set[str]:
    return {i.key for i in bundle.indicators if "noise" in i.cells}


def broken(bundle: Bundle, name: str = "noise") -> float:
    """Share of the cases that were right, errored ones too."""
    return float(np.mean([o.kind == "broken" for o in bundle.outcomes(name) if o.kind != "already_wrong"]))


def test_the_net_is_undefended(tmp_path: Path) -> None:
    bundle = audited(tmp_path / "b", NET)
    assert broken(bundle) >= 0.9
    assert bundle.indicators == []


BLIND = {
    "quantised": (zoo.Quantised(NET), "dead_gradients"),
    "thermometer": (zoo.Thermometer(NET), "dead_gradients"),
    "saturated": (zoo.Saturated(NET), "dead_gradients"),
    "thresholded": (zoo.Thresholded(NET, 2), "dead_gradients"),
    "shattered": (zoo.Shattered(NET), "misleading_gradients"),
}


@pytest.mark.parametrize("name", BLIND)
def test_a_masked_gradient_is_flagged_and_a_view_breaks_the_same_target(tmp_path: Path, name: str) -> None:
    module, sign = BLIND[name]
    view = Artefact(
        "view", 0, lambda _: b"", lambda _: TorchTarget(module.bpda(), DECISION), {"recipe": f"bpda of zoo.{name}"}
    )
    adaptive = lambda cases: cell(cases, (Pgd(20, 2),), name="adaptive", radii=(RADIUS,), view="view")  # noqa: E731
    bundle = audited(tmp_path / "b", module, adaptive, artefacts=(view,))
    assert broken(bundle) < 0.5
    assert word(bundle) in ("INCONCLUSIVE", "ERROR")
    assert sign in keys(bundle)
    assert "unbroken_unbounded" in keys(bundle)
    assert broken(bundle, "adaptive") >= 0.9


@pytest.mark.parametrize("temperature", [1e-4, 1e4])
def test_a_temperature_does_not_help(tmp_path: Path, temperature: float) -> None:
    assert broken(audited(tmp_path / "b", zoo.Temperature(NET, temperature))) >= 0.9


def test_margins_that_sink_into_rounding_are_flagged(tmp_path: Path) -> None:
    bundle = audited(tmp_path / "b", zoo.Temperature(NET, 1e7))
    assert word(bundle) == "INCONCLUSIVE"
    assert {"margins_near_noise", "unconfirmed_successes"} <= keys(bundle)


@pytest.mark.parametrize("member", [zoo.Noisy(NET), zoo.Resized(NET)], ids=["noisy", "resized"])
def test_randomness_is_found_or_averaged(tmp_path: Path, member: nn.Module) -> None:
    with pytest.raises(TargetError, match="answers differently to the same input"):
        audited(tmp_path / "undeclared", member, n=8)
    few = Draws(12, 0.5)
    single = audited(tmp_path / "declared", member, n=8, stochastic=True, draws=few)
    if broken(single) < 0.9:
        assert word(single) in ("INCONCLUSIVE", "FAIL")
        assert "random_without_average" in keys(single)
    averaged = audited(tmp_path / "averaged", member, n=8, stochastic=True, eot=16)
    assert broken(averaged) >= 0.9
    assert "random_without_average" not in keys(averaged)


def test_averaged_gradients_are_the_means_of_their_draws() -> None:
    from nocere.attacks.base import Answer, Ask
    from nocere.attacks.image.draws import averaged

    rng = np.random.default_rng(0)
    asking = averaged(
        Ask(torch.arange(6.0).view(3, 2), np.array([4, 7, 9]), grad=True, towards=np.array([0, 1, -1])), 5
    )
    ask = next(asking)
    np.testing.assert_array_equal(ask.rows, [4] * 5 + [7] * 5 + [9] * 5)
    np.testing.assert_array_equal(ask.towards, [0] * 5 + [1] * 5 + [-1] * 5)
    np.testing.assert_array_equal(ask.x, [[0, 1]] * 5 + [[2, 3]] * 5 + [[4, 5]] * 5)
    grad, margin, live = rng.normal(size=(15, 2)), rng.normal(size=15), np.ones(15, dtype=bool)
    live[7] = False
    with pytest.raises(StopIteration) as done:
        asking.send(Answer(margin, torch.from_numpy(grad), live, 2 * margin))
    mean = done.value.value
    for k in range(3):
        np.testing.assert_allclose(mean.grad[k], sum(grad[5 * k + d] for d in range(5)) / 5)
        np.testing.assert_allclose(mean.margin[k], sum(margin[5 * k + d] for d in range(5)) / 5)
    np.testing.assert_allclose(mean.loss, 2 * mean.margin)
    assert mean.live.tolist() == [True, False, True]
