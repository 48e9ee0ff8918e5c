"""Data and small nets of the engine benchmarks, and nocere's side of a comparison.

Nets take images in [0, 1], as every peer expects; nocere reads the same images as stored integers and divides by 255
in the target. They are trained once under one seed and kept in the folder `--cache`.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nocere.attacks.cell import Cell
from nocere.attacks.engine import run
from nocere.attacks.outcome import Outcome
from nocere.audit.referee import Referee
from nocere.cases.codec import Codec
from nocere.cases.image import ImageCodec, array_case
from nocere.core.budget import Budget, Meter
from nocere.core.case import CaseSet, Truth
from nocere.core.decision import Softmax
from nocere.core.errors import UsageError
from nocere.core.goal import Goal
from nocere.core.registry import get
from nocere.targets.preprocess import ImageInput
from nocere.targets.reference.fitting import fit
from nocere.targets.torch import TorchTarget
from nocere.targets.twin import search_twin
from nocere.threats.base import Threat

ALL = frozenset({"scores", "labels", "gradients"})
SCORES = frozenset({"scores", "labels"})
LABELS = frozenset({"labels"})


# --- nets ------------------------------------------------------------------------------------------------------------


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al. 2016)."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        same = stride == 1 and inside == outside
        self.shortcut = (
            nn.Sequential()
            if same
            else nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))
        )

    def forward(self, x: Tensor) -> Tensor:
        inner = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(inner + self.shortcut(x))


class ResNet18(nn.Module):
    """The layout of ResNet-18 at a width of 16: 0.7 M parameters.

    As published (7x7 stem with stride 2, then pooling) where `pooled`; else as is usual for small images (3x3 stem),
    which costs about twelve times as much a pass: there convolutions are nearly all of the time.
    """

    def __init__(self, channels: int, outputs: int, width: int = 16, *, pooled: bool = False) -> None:
        super().__init__()
        first = (
            nn.Conv2d(channels, width, 7, 2, 3, bias=False)
            if pooled
            else nn.Conv2d(channels, width, 3, 1, 1, bias=False)
        )
        after: list[nn.Module] = [nn.MaxPool2d(3, 2, 1)] if pooled else []
        self.stem = nn.Sequential(first, nn.BatchNorm2d(width), nn.ReLU(), *after)
        blocks: list[nn.Module] = []
        inside = width
        for k in range(4):
            for stride in (1 if k == 0 else 2, 1):
                blocks.append(Block(inside, width << k, stride))
                inside = width << k
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(inside, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


class Normalised(nn.Module):
    """Images in [0, 1] to the net's own input."""

    def __init__(self, net: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.net((x - self.mean) / self.std)


# --- data ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Split:
    """Stored images uint8 [n, C, H, W] and classes [n]."""

    x: NDArray[np.uint8]
    y: NDArray[np.int64]

    def first(self, n: int) -> Split:
        return Split(self.x[:n], self.y[:n])


def digits(_: Path) -> tuple[Split, Split]:
    """scikit-learn's 1,797 digits, stored as 8-bit images of 16 x 16 (every pixel four times)."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x = np.kron(np.rint(bunch.images * 255 / 16), np.ones((1, 2, 2))).astype(np.uint8)[:, None]
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order], bunch.target.astype(np.int64)[order]
    return Split(x[:1297], y[:1297]), Split(x[1297:], y[1297:])


def pneumonia(data: Path) -> tuple[Split, Split]:
    """PneumoniaMNIST at 28 pixels, balanced classes; test images in a fixed random order."""
    with np.load(data / "cxr" / "pneumoniamnist28_balanced.npz") as npz:
        parts = [
            Split(npz[f"{s}_images"][:, None], npz[f"{s}_labels"][:, 0].astype(np.int64)) for s in ("train", "test")
        ]
    order = np.random.default_rng(0).permutation(len(parts[1].x))
    return parts[0], Split(parts[1].x[order], parts[1].y[order])


def _photographs(folder: Path, size: int, mode: str) -> tuple[Split, Split]:
    """Images of a labels.csv, made smaller, with its own split."""
    import csv

    from PIL import Image

    rows = list(csv.DictReader((folder / "labels.csv").open()))
    made: dict[str, tuple[list[Any], list[int]]] = {"train": ([], []), "test": ([], [])}
    for row in rows:
        if row["split"] not in made:
            continue
        image = np.asarray(Image.open(folder / row["file"]).convert(mode).resize((size, size), Image.Resampling.BOX))
        made[row["split"]][0].append(image[None] if mode == "L" else image.transpose(2, 0, 1))
        made[row["split"]][1].append(int(row["label"]))
    parts = {k: Split(np.stack(x), np.array(y)) for k, (x, y) in made.items()}
    order = np.random.default_rng(0).permutation(len(parts["test"].x))
    return parts["train"], Split(parts["test"].x[order], parts["test"].y[order])


def derm(data: Path) -> tuple[Split, Split]:
    """Dermoscopy, melanoma against naevus, 48 pixels in colour."""
    return _photographs(data / "derm", 48, "RGB")


def cxr(data: Path) -> tuple[Split, Split]:
    """Chest X-rays, pneumonia against no finding, 48 pixels."""
    return _photographs(data / "cxr", 48, "L")


@dataclass(frozen=True)
class Recipe:
    """How a data set's nets are trained; `budget` is the grey levels of adversarial training."""

    load: Callable[[Path], tuple[Split, Split]]
    classes: int
    epochs: int
    budget: float
    augment: bool
    pooled: bool = False


RECIPES = {
    "pneumonia": Recipe(pneumonia, 2, 12, 8.0, False),
    "pneumonia-pooled": Recipe(pneumonia, 2, 12, 8.0, False, True),
    "digits": Recipe(digits, 10, 20, 25.0, False),
    "derm": Recipe(derm, 2, 12, 4.0, True),
    "cxr": Recipe(cxr, 2, 12, 4.0, True),
}


@dataclass(frozen=True)
class World:
    """A trained net and test images: `net` maps [0, 1] to logits, its parameters as a peer finds them."""

    name: str
    net: nn.Module
    test: Split
    classes: int

    def first(self, n: int) -> World:
        """The same with the first n images only."""
        return replace(self, test=self.test.first(n))

    def only(self, these: NDArray[np.bool_]) -> World:
        """The same with these images only."""
        return replace(self, test=Split(self.test.x[these], self.test.y[these]))

    def cases(self, n: int) -> CaseSet:
        """The first n test images as nocere's cases, named by their place."""
        part = self.test.first(n)
        return CaseSet.of(
            [array_case(f"{i:05d}", x, Truth.of(str(y))) for i, (x, y) in enumerate(zip(part.x, part.y, strict=True))]
        )

    def target(self) -> TorchTarget:
        """The same net for nocere: stored values are divided by 255 in the target."""
        channels = int(self.test.x.shape[1])
        return TorchTarget(self.net, Softmax(tuple(map(str, range(self.classes)))), ImageInput(channels))

    def floats(self, n: int) -> tuple[Tensor, Tensor]:
        """The first n images in [0, 1] and their classes, for peers."""
        part = self.test.first(n)
        return torch.from_numpy(part.x.astype(np.float32)) / 255.0, torch.from_numpy(part.y)

    def right(self, stored: NDArray[Any]) -> NDArray[np.bool_]:
        """Which of these stored images [n, ...] are classified correctly; row i is test image i."""
        with torch.inference_mode():
            x = torch.from_numpy(stored.astype(np.float32)) / 255.0
            z = torch.cat([self.net(part) for part in x.split(128)])
        return np.asarray(z.argmax(1).numpy() == self.test.y[: len(stored)])


def world(name: str, hardened: bool, data: Path, cache: Path) -> World:
    """A data set with its standard or adversarially trained net, trained now or taken from the cache."""
    recipe = RECIPES[name]
    train, test = recipe.load(data)
    unit = train.x.astype(np.float64) / 255.0
    mean, std = unit.mean((0, 2, 3)), unit.std((0, 2, 3))
    net = ResNet18(train.x.shape[1], recipe.classes, pooled=recipe.pooled)
    path = cache / f"{name}-{'hardened' if hardened else 'standard'}.pt"
    if path.exists():
        net.load_state_dict(torch.load(path, weights_only=True))
    else:
        print(f"training {path.stem} ...", flush=True)
        fit(
            net,
            train.x,
            train.y,
            epochs=recipe.epochs,
            seed=0,
            mean=mean.tolist(),
            std=std.tolist(),
            adversarial=recipe.budget if hardened else 0.0,
            steps=5,
            augment=recipe.augment,
        )
        torch.save(net.state_dict(), path)
    full = Normalised(net, mean.astype(np.float32).tolist(), std.astype(np.float32).tolist()).eval()
    kind = "hardened" if hardened else "standard"
    return World(f"{name} {kind}", full, test, recipe.classes)


# --- nocere's side ---------------------------------------------------------------------------------------------------


def attack(name: str, **about: Any) -> Any:
    """An attack by its registered name, or None where nocere has none of that name or with these parameters."""
    try:
        return get("attack", name).make(**about)
    except (UsageError, TypeError) as e:
        print(f"  not there: {name} {about or ''} ({e})")
        return None


@dataclass(frozen=True)
class Searched:
    """What nocere found: outcomes by case, CPU seconds, evaluations a case."""

    outcomes: dict[str, Outcome]
    seconds: float
    looks: float

    def kind(self, *kinds: str) -> NDArray[np.bool_]:
        """Which cases ended as one of these kinds, in the order of their ids."""
        return np.array([self.outcomes[i].kind in kinds for i in sorted(self.outcomes)])

    @property
    def robust(self) -> float:
        """Share that neither was wrong before nor was broken; errors would be counted as robust, so they stop it."""
        failed = [o for o in self.outcomes.values() if o.kind in ("errored", "not_reached", "not_applicable")]
        if failed:
            raise RuntimeError(f"{len(failed)} cases without a result, the first: {failed[0].why}")
        return float(self.kind("held", "certified").mean())


def search(
    target: Any,
    cases: CaseSet,
    attacks: tuple[Any, ...],
    pset: Any,
    radii: tuple[float, ...],
    *,
    goal: Goal | None = None,
    access: frozenset[Any] = ALL,
    aim: Any = "flip",
    looks: int = 100_000,
    codec: Codec | None = None,
    lanes: int = 128,
    fit_on: frozenset[str] = frozenset(),
    by: Literal["twin", "bf16", "shipped"] = "twin",
) -> Searched:
    """The engine with a referee that writes, reads and re-asks every candidate; only the bundle is left out.

    `by` says what is searched in place of the target, as in a plan; the referee always asks the target itself.
    """
    goal = goal or Goal()
    started = time.process_time()
    referee = Referee(target, codec or ImageCodec(), cases)
    ids = [r.id for r in cases.refs]
    clean = {c.case_id: np.array(c.margins) for c in referee.clean(ids)}
    literals, outcomes = {}, {}
    for i in ids:
        bound = goal.bind(cases.load(i), target.decision, clean[i])
        if bound is None:
            outcomes[i] = Outcome(i, radii[0], "not_applicable")
        elif i not in fit_on and float(goal.margin(bound, clean[i][None])[0]) > 0:
            outcomes[i] = Outcome(i, radii[0], "already_wrong")
        else:
            literals[i] = bound
    threat = Threat(pset, goal, access, Budget(looks))
    meter = Meter(threat.budget)
    court = referee.court(pset, goal, literals, meter)
    view = target if by == "shipped" else search_twin(target, cases.load(ids[0]), bf16=by == "bf16")
    cell = Cell(view, threat, attacks, radii, aim, seed=0, lanes=lanes)
    for outcome in run(cell, cases, literals, court, meter, fit_on):
        outcomes[outcome.case_id] = outcome
    seconds = time.process_time() - started
    spent = [meter.counts[i].forward for i in literals]
    return Searched(outcomes, seconds, float(np.mean(spent)) if spent else 0.0)


# --- small tools -----------------------------------------------------------------------------------------------------


def timed(repeats: int, work: Callable[..., Any], *args: Any, **about: Any) -> tuple[Any, float]:
    """Result and CPU seconds of the fastest of some runs."""
    best, out = float("inf"), None
    for _ in range(repeats):
        started = time.process_time()
        out = work(*args, **about)
        best = min(best, time.process_time() - started)
    return out, best


def stored(x: Any, like: NDArray[np.uint8], levels: float | None = None) -> NDArray[np.uint8]:
    """A peer's float images as a file would hold them: rounded, and where `levels` is given, inside the budget."""
    values = np.rint(np.asarray(x, dtype=np.float64) * 255.0)
    if levels is not None:
        values = np.clip(values, like.astype(np.float64) - levels, like.astype(np.float64) + levels)
    return np.clip(values, 0, 255).astype(np.uint8)


def arguments(about: str) -> argparse.ArgumentParser:
    """The options that all engine benchmarks share."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with cxr/, derm/")
    parser.add_argument("--cache", type=Path, default=None, help="where trained nets are kept; default: nowhere")
    return parser


def cache_of(given: Path | None) -> Path:
    """The cache folder, made if need be."""
    if given is None:
        return Path(tempfile.mkdtemp(prefix="nocere-bench-"))
    given.mkdir(parents=True, exist_ok=True)
    return given


torch.set_num_threads(1)
