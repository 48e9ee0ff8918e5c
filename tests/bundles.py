"""A small finished audit for tests of what reads bundles: random pictures, a tiny network, planted private texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from nocere.attacks.image.grid import Grid, Sampled
from nocere.attacks.image.pgd import Pgd
from nocere.attacks.image.random_noise import RandomNoise
from nocere.audit.bundle import Bundle
from nocere.audit.criteria import Criterion
from nocere.audit.runner import run_audit
from nocere.audit.spec import CellSpec, Spec
from nocere.cases.image import ImageCodec, array_case
from nocere.core.budget import Budget
from nocere.core.case import CaseSet, Truth
from nocere.core.decision import OneLogit
from nocere.core.goal import Goal
from nocere.targets.preprocess import ImageInput
from nocere.targets.torch import TorchTarget
from nocere.threats.base import Threat
from nocere.threats.geometry import RotationTranslation
from nocere.threats.pixels import Linf

# Texts that must not leave the site; each appears in the bundle where a real run would have it.
CASE, PATIENT, RARE, FOLDER = "CANARYCASE", "CANARYPATIENT", "canaryrareclinic", "/canary/private/folder"
SITE_KEY = b"the key of this site"


def small_bundle(folder: Path, *, criteria: bool = True) -> Bundle:
    """40 random pictures of 16 x 16, six searches and draws; a few seconds, same evidence every time."""
    rng = np.random.default_rng(0)
    n = 40
    x = (rng.integers(0, 256, (n, 3, 16, 16)) * 0.5 + rng.integers(0, 128, (n, 3, 1, 1))).astype(np.uint8)
    net, z = _net(x)
    cases = CaseSet.of(
        [
            array_case(
                f"{CASE}-{i:03d}",
                x[i],
                _truth(bool(z[i] > 0) ^ (i % 10 == 0), i),
                group=f"{PATIENT}-{i // 2:03d}",
                attrs={"sex": "fm"[i % 2], "site": RARE if i < 3 else "main"},
            )
            for i in range(n)
        ],
        name=f"pictures in {FOLDER}",
    )
    target = TorchTarget(net, OneLogit(("benign", "malignant")), ImageInput(3), name="tiny")
    ids = tuple(r.id for r in cases.refs)
    turn = RotationTranslation()
    white, black = frozenset({"scores", "labels", "gradients"}), frozenset({"scores", "labels"})
    cells = (
        CellSpec("noise", Threat(Linf(), Goal(), white, Budget(60), "the biller", "patients"), (Pgd(6),),
                 (1.0, 4.0, 8.0), "flip", ids),
        CellSpec("worst", Threat(Linf(), Goal(), white, Budget(60)), (Pgd(10),), (6.0,), "worst", ids),
        CellSpec("control", Threat(Linf(), Goal(), black, Budget(60)), (RandomNoise(20),), (8.0,), "sample", ids[:20]),
        CellSpec("angle", Threat(turn, Goal(), black, Budget(60)), (Grid((3, 2)),), (10.0,), "flip", ids),
        CellSpec("ordinary", Threat(turn, Goal(), black, Budget(60)), (Sampled(10),), (10.0,), "sample", ids),
    )  # fmt: skip
    rules = (
        Criterion(name="right when unchanged", measure="accuracy", at_least=0.6),
        Criterion(name="withstands noise", measure="accuracy", cell="noise", radius=8.0, at_least=0.9),
        Criterion(name="finds malignant <b>&", measure="sensitivity", at_least=0.9),
        Criterion(
            name="withstands another angle",
            measure="accuracy",
            cell="angle",
            radius=10.0,
            group="site=nowhere",
            at_least=0.8,
        ),
    )
    spec = Spec(
        "test audit", target, ImageCodec(), cases, cells, rules if criteria else (), seed=3,
        intended_use=f"A second reader. See {CASE}-007 and {FOLDER}/protocol.pdf.",
        not_tested=("Pictures from other devices.",),
        sources={"cases": FOLDER},
    )  # fmt: skip
    return run_audit(spec, folder)


def _net(x: np.ndarray) -> tuple[nn.Module, np.ndarray]:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 6, 5, 2, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 1))
        z = net(torch.from_numpy(x).float() / 255)[:, 0]
        net[-1].bias -= z.median()
        net[-1].weight *= 40
        net[-1].bias *= 40
        return net, net(torch.from_numpy(x).float() / 255)[:, 0].numpy()


def _truth(malignant: bool, i: int) -> Truth:
    most = 4 if i % 4 == 0 else 6
    votes = {"benign": 7 - most, "malignant": most} if malignant else {"benign": most, "malignant": 7 - most}
    return Truth.from_votes(votes)
