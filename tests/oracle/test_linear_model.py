"""Oracle: on a linear model the smallest change is known in closed form, for every head and both norms.

Every gradient attack must reach it within 1.25 (the field's bound, adversarial-library) after rounding to stored
whole numbers, and may never report less.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.images import Linear, audit, cell, heads, labelled, pictures

from nocere.core.registry import entries
from nocere.targets.torch import TorchTarget
from nocere.threats.pixels import L2, Linf

# Those that any norm will do for; attacks on a set of their own have oracles of their own.
GRADIENT_ATTACKS = [e for e in entries("attack") if "gradients" in e.make.needs and "threat" not in e.facts]


def closed_form(x: Any, decision: Any, weight: Any, bias: Any, norm: str) -> np.ndarray[Any, Any]:
    """Smallest Linf or L2 change (in stored units) that changes the decision of each row."""
    z = x.reshape(len(x), -1).astype(float) @ weight.T + bias
    dual = (lambda w: np.abs(w).sum(-1)) if norm == "linf" else (lambda w: np.linalg.norm(w, axis=-1))
    kind = type(decision).__name__
    if kind == "OneLogit":
        gap = np.abs(z[:, 0] - np.log(decision.threshold / (1 - decision.threshold)))
        return gap / dual(weight[0])
    if kind == "OneVsRest":
        t = np.log(decision.threshold / (1 - decision.threshold))
        return np.abs(z[:, 1] - z[:, 0] - t) / dual(weight[1] - weight[0])
    if kind == "MultiLabel":
        t = np.log(np.array(decision.thresholds) / (1 - np.array(decision.thresholds)))
        return (np.abs(z - t) / dual(weight)).min(1)
    top = z.argmax(1)
    out = []
    for row, k in zip(z, top, strict=True):
        rivals = [j for j in range(len(row)) if j != k]
        out.append(min((row[k] - row[j]) / dual(weight[k] - weight[j]) for j in rivals))
    return np.array(out)


@pytest.mark.parametrize("entry", GRADIENT_ATTACKS, ids=lambda e: e.name)
@pytest.mark.parametrize("head", ["one_logit", "two_logit", "softmax", "multi_label"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_within_a_quarter_of_the_closed_form(tmp_path: Path, entry: Any, head: str, norm: str) -> None:
    decision, weight, bias = heads()[head]
    # A steeper model would round everything to one level: scaled so that optima spread over many stored units.
    weight, bias = weight / 6, bias / 6 + 0.15 * np.sign(np.random.default_rng(3).normal(size=len(bias)))
    x = pictures(24)
    cases = labelled(x, decision, weight, bias)
    exact = closed_form(x, decision, weight, bias, norm)
    # On a linear model the first gradient says everything: few steps are enough, and every radius is searched anew.
    attack = replace(entry.make(), steps=30) if hasattr(entry.make, "steps") else entry.make()
    pset: Any = Linf() if norm == "linf" else L2()
    radii = (1.0, 8.0, 32.0) if norm == "linf" else (10.0, 80.0, 600.0)
    bundle = audit(
        tmp_path / "b", cases, TorchTarget(Linear(weight, bias), decision),
        cell(cases, (attack,), pset=pset, radii=radii, aim="closest"),
    )  # fmt: skip
    found = {o.case_id: o for o in bundle.outcomes("cell") if o.kind == "broken"}
    compared = 0
    for ref, optimum in zip(cases.refs, exact, strict=True):
        # Out of reach; or shorter than whole numbers can express (a length of 8 is 64 values changed by one of 432).
        if optimum > radii[-1] / 1.3 or (norm == "l2" and optimum < 8):
            continue
        o = found[ref.id]
        assert o.finding is not None and o.finding.cost is not None
        cost = o.finding.cost.value
        # Never below the truth; above it by a quarter, plus the lattice: one grey level (Linf), or one unit of
        # bracketing and the length that rounding may add (L2).
        assert cost >= optimum * (1 - 1e-4), (ref.id, cost, optimum)
        slack = 1.0 if norm == "linf" else 2.0
        assert o.radius <= 1.25 * optimum + slack, (ref.id, o.radius, optimum)
        compared += 1
    assert compared >= 8
