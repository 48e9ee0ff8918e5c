"""A small image world with a linear model: every optimum is known in closed form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from nocere.attacks.image.pgd import Pgd
from nocere.audit.bundle import Bundle
from nocere.audit.runner import run_audit
from nocere.audit.spec import CellSpec, Spec
from nocere.cases.image import ImageCodec, array_case
from nocere.core.budget import Budget
from nocere.core.case import CaseSet, Truth
from nocere.core.decision import Decision, MultiLabel, OneLogit, OneVsRest, Softmax
from nocere.core.goal import Goal
from nocere.targets.torch import TorchTarget
from nocere.threats.base import Threat
from nocere.threats.pixels import Linf

ALL = frozenset({"scores", "labels", "gradients"})
LABELS = ("benign", "malignant")
SIDE = 12


class Linear(torch.nn.Module):
    """scores = x . W + b on stored values in 0..255."""

    def __init__(self, weight: np.ndarray[Any, Any], bias: np.ndarray[Any, Any]) -> None:
        super().__init__()
        self.head = torch.nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(weight.astype(np.float32)))
            self.head.bias.copy_(torch.from_numpy(bias.astype(np.float32)))

    def forward(self, x: Any) -> Any:
        return self.head(x.flatten(1))


def pictures(n: int, seed: int = 0, channels: int = 3) -> np.ndarray[Any, Any]:
    # Mid-range values: no box edge in reach, so that the closed form is the optimum.
    return np.random.default_rng(seed).integers(60, 196, (n, channels, SIDE, SIDE)).astype(np.uint8)


def heads(seed: int = 1) -> dict[str, tuple[Decision, np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    """One-logit, two-logit with a threshold, four classes, three findings: weights [k, d] and biases."""
    rng = np.random.default_rng(seed)
    d = 3 * SIDE * SIDE
    made: dict[str, tuple[Decision, Any, Any]] = {}
    for name, decision, k in (
        ("one_logit", OneLogit(LABELS, 0.3), 1),
        ("two_logit", OneVsRest(LABELS, 2, 1, 0.7), 2),
        ("softmax", Softmax(("a", "b", "c", "d")), 4),
        ("multi_label", MultiLabel(("x", "y", "z"), (0.5, 0.3, 0.6)), 3),
    ):
        weight = rng.normal(size=(k, d)) / 400
        made[name] = (decision, weight, -(weight.sum(1) * 127.5) + 0.05 * rng.normal(size=k))
    return made


def labelled(x: np.ndarray[Any, Any], decision: Any, weight: Any, bias: Any, wrong_every: int = 0) -> CaseSet:
    """Cases whose truth is what the model says, except every so many."""
    margins = decision.margins((x.reshape(len(x), -1) @ weight.T + bias).astype(np.float64))
    cases = []
    for i, m in enumerate(margins):
        labels = [name for name, v in zip(decision.labels, m, strict=True) if v > 0]
        if wrong_every and i % wrong_every == 0 and decision.exclusive:
            labels = [next(n for n in decision.labels if n not in labels)]
        cases.append(
            array_case(f"case/{i:03d}", x[i], Truth.of(*labels), group=f"p{i // 2}", attrs={"sex": "fm"[i % 2]})
        )
    return CaseSet.of(cases)


def world(n: int = 40, head: str = "one_logit", wrong_every: int = 0) -> tuple[CaseSet, TorchTarget]:
    decision, weight, bias = heads()[head]
    return labelled(pictures(n), decision, weight, bias, wrong_every), TorchTarget(Linear(weight, bias), decision)


def cell(cases: CaseSet, attacks: tuple[Any, ...] = (Pgd(10),), *, name: str = "cell", **about: Any) -> CellSpec:
    pset, goal = about.pop("pset", Linf()), about.pop("goal", Goal())
    threat = Threat(pset, goal, about.pop("access", ALL), about.pop("budget", Budget(1000)))
    ids = about.pop("ids", tuple(r.id for r in cases.refs))
    return CellSpec(name, threat, attacks, about.pop("radii", (1.0, 2.0, 4.0)), about.pop("aim", "flip"), ids, **about)


def audit(out: Path, cases: CaseSet, target: Any, *cells: CellSpec, lanes: int = 128, **more: Any) -> Bundle:
    return run_audit(Spec("test", target, ImageCodec(), cases, cells, **more), out, lanes=lanes)
