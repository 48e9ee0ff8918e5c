"""Heads and inputs that medicine uses, attacked by every engine: what is right, what raises, what did nothing.

    NOCERE_AUTOATTACK=CHECKOUT python benchmarks/engine_heads.py --data DATA --cache FOLDER

A row is a model, a column an engine. The truth of a row is a plain torch PGD-20 whose loss is the right one for the
head, written below. A cell is the accuracy under attack (multi-label: the mean over findings), or the exception. "did
nothing" is an attack that left the accuracy as it was where the truth is far lower; "outside" one that broke its own
budget. nocere's cells count only what the referee confirmed in a file.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import engine_peers as peers
import engine_world as ew
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nocere.cases.codec import Codec
from nocere.cases.image import ImageCodec, array_case
from nocere.cases.signal import SignalCodec, signal_case
from nocere.core.case import Case, CaseSet, Truth
from nocere.core.decision import Decision, MultiLabel, OneLogit, Softmax
from nocere.core.goal import Goal
from nocere.targets.torch import TorchTarget
from nocere.threats.pixels import Linf
from nocere.threats.samples import SignalLinf

N = 64
STEPS = 20
FINDINGS = {
    "even": {0, 2, 4, 6, 8},
    "loop": {0, 6, 8, 9},
    "small": {0, 1, 2, 3, 4},
    "prime": {2, 3, 5, 7},
    "threefold": {0, 3, 6, 9},
}


# --- models ----------------------------------------------------------------------------------------------------------


class OneColumn(nn.Module):
    """Two logits as the one logit of class 1."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        z = self.net(x)
        return z[:, 1:] - z[:, :1]


class FiveFindings(nn.Module):
    """Ten digit logits as the logits of five findings that hold for some of the digits."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        z = self.net(x)
        columns = []
        for members in FINDINGS.values():
            rest = [k for k in range(10) if k not in members]
            columns.append(z[:, sorted(members)].logsumexp(1) - z[:, rest].logsumexp(1))
        return torch.stack(columns, 1)


class Windowed(nn.Module):
    """Stored values of 12 bits through a window (low to high, linear, clipped) into a net on [0, 1]."""

    def __init__(self, net: nn.Module, low: float, high: float) -> None:
        super().__init__()
        self.net, self.low, self.high = net, low, high

    def forward(self, x: Tensor) -> Tensor:
        return self.net(((x - self.low) / (self.high - self.low)).clamp(0.0, 1.0))


class Waves(nn.Module):
    """A small 1-D net on two leads in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(2, 16, 9, 2, 4),
            nn.ReLU(),
            nn.Conv1d(16, 32, 9, 2, 4),
            nn.ReLU(),
            nn.Conv1d(32, 32, 9, 2, 4),
            nn.ReLU(),
        )
        self.head = nn.Linear(32, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(4.0 * x - 2.0).mean(2))


class Scaled(nn.Module):
    """Whole ADC units to [0, 1]."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net((x + 1024.0) / 2048.0)


def waves(n: int, seed: int) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    """Synthetic beats [n, 2, 256] in ADC units: class 1 has a wider complex and no wave before it."""
    rng = np.random.default_rng(seed)
    t = np.arange(256)[None]
    y = rng.integers(0, 2, n)
    at = rng.normal(128, 8, (n, 1))
    width = np.where(y == 1, 9.0, 6.0)[:, None] + rng.normal(0, 1, (n, 1))
    complex_ = 500 * np.exp(-(((t - at) / width) ** 2))
    before = np.where(y == 0, 60.0, 20.0)[:, None] * np.exp(-(((t - at + 50) / 10) ** 2))
    lead = complex_ + before
    x = np.stack([lead, -0.6 * lead], 1) + rng.normal(0, 20, (n, 2, 256))
    return np.clip(np.rint(x), -1000, 1000).astype(np.int16), y.astype(np.int64)


def wave_net() -> nn.Module:
    """The 1-D net, trained in a few seconds under one seed."""
    torch.manual_seed(0)
    net = Waves()
    x, y = waves(2000, 1)
    floats, classes = (torch.from_numpy(x).float() + 1024) / 2048, torch.from_numpy(y)
    adam = torch.optim.Adam(net.parameters(), 2e-3)
    for _ in range(8):
        for part in torch.randperm(len(floats)).split(64):
            adam.zero_grad()
            nn.functional.cross_entropy(net(floats[part]), classes[part]).backward()
            adam.step()
    return net.eval()


# --- rows ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One model with its cases, as floats for peers and as stored values for nocere."""

    name: str
    net: nn.Module
    x: Tensor
    y: Tensor
    eps: float
    clip: tuple[float, float]
    outputs: int
    target: TorchTarget
    cases: tuple[Case[Any], ...]
    codec: Codec
    pset: Any

    def right(self, x: Tensor) -> float:
        """Accuracy; over findings, the mean of theirs."""
        with torch.inference_mode():
            z = self.net(x.float())
        if self.outputs == 1:
            return float(((z[:, 0] > 0) == (self.y == 1)).float().mean())
        if self.y.ndim == 2:
            return float(((z > 0) == (self.y == 1)).float().mean())
        return float((z.argmax(1) == self.y).float().mean())

    def loss(self, z: Tensor) -> Tensor:
        """What is right for the head."""
        if self.outputs == 1:
            return nn.functional.binary_cross_entropy_with_logits(z[:, 0], self.y.float(), reduction="sum")
        if self.y.ndim == 2:
            return nn.functional.binary_cross_entropy_with_logits(z, self.y.float(), reduction="sum")
        return nn.functional.cross_entropy(z, self.y, reduction="sum")

    def truth(self) -> float:
        """Plain PGD-20 from a random start, in the model's own units."""
        torch.manual_seed(0)
        x = (self.x + self.eps * (2 * torch.rand_like(self.x) - 1)).clamp(*self.clip)
        for _ in range(STEPS):
            x.requires_grad_(True)
            (g,) = torch.autograd.grad(self.loss(self.net(x)), x)
            x = x.detach() + 2.5 * self.eps / STEPS * g.sign()
            x = torch.minimum(torch.maximum(x, self.x - self.eps), self.x + self.eps).clamp(*self.clip)
        return self.right(x)


def _softmax(name: str, world: ew.World, levels: float) -> Row:
    x, y = world.floats(N)
    cases = tuple(world.cases(N).load(f"{i:05d}") for i in range(N))
    return Row(
        name,
        world.net,
        x,
        y,
        levels / 255,
        (0.0, 1.0),
        world.classes,
        world.target(),
        cases,
        ImageCodec(),
        Linf(levels),
    )


def _image_row(
    name: str, net: nn.Module, world: ew.World, y: Tensor, decision: Decision, truths: list[Truth], levels: float
) -> Row:
    x, _ = world.floats(N)
    cases = tuple(
        array_case(f"{i:05d}", image, t) for i, (image, t) in enumerate(zip(world.test.x[:N], truths, strict=True))
    )
    target = TorchTarget(net, decision, ew.ImageInput(int(x.shape[1])))
    return Row(name, net, x, y, levels / 255, (0.0, 1.0), decision.columns, target, cases, ImageCodec(), Linf(levels))


def _deep(world: ew.World) -> Row:
    """The images spread over 300 to 3564 of 4095, with the window that undoes it inside of the model."""
    low, high, levels = 300.0, 300.0 + 12.8 * 255, 100.0
    stored = np.rint(low + 12.8 * world.test.x[:N].astype(np.float64)).astype(np.uint16)
    net = Windowed(world.net, low, high).eval()
    y = torch.from_numpy(world.test.y[:N])
    cases = tuple(
        array_case(f"{i:05d}", s, Truth.of(str(int(k))), bits=12)
        for i, (s, k) in enumerate(zip(stored, y, strict=True))
    )
    x = torch.from_numpy(stored.astype(np.float32))
    target = TorchTarget(net, Softmax(("0", "1")))
    return Row(
        "12-bit input, window inside",
        net,
        x,
        y,
        levels,
        (0.0, 4095.0),
        2,
        target,
        cases,
        ImageCodec(),
        Linf(levels, bits=12),
    )


def _signal() -> Row:
    net, (stored, y), levels = wave_net(), waves(N, 2), 60.0
    cases = tuple(
        signal_case(f"{i:05d}", s, Truth.of(str(int(k))), rate=360.0)
        for i, (s, k) in enumerate(zip(stored, y, strict=True))
    )
    x = (torch.from_numpy(stored).float() + 1024) / 2048
    target = TorchTarget(Scaled(net).eval(), Softmax(("0", "1")))
    return Row(
        "1-D waveform 2 x 256",
        net,
        x,
        torch.from_numpy(y),
        levels / 2048,
        (0.0, 1.0),
        2,
        target,
        cases,
        SignalCodec(),
        SignalLinf(levels),
    )


def rows(data: Any, cache: Any) -> list[Row]:
    standard, hardened = (ew.world("pneumonia", h, data, cache) for h in (False, True))
    figures = ew.world("digits", False, data, cache)
    y = torch.from_numpy(standard.test.y[:N])
    marks = np.array([[int(k) in members for members in FINDINGS.values()] for k in figures.test.y[:N]])
    names = tuple(FINDINGS)
    return [
        _softmax("2-logit softmax", standard, 8.0),
        _softmax("2-logit softmax, hardened", hardened, 8.0),
        _image_row(
            "1-logit sigmoid", OneColumn(standard.net).eval(), standard, y, OneLogit(("0", "1")),
            [Truth.of(str(int(k))) for k in y], 8.0,
        ),
        _image_row(
            "multi-label, 5 findings", FiveFindings(figures.net).eval(), figures, torch.from_numpy(marks.astype(np.float32)),
            MultiLabel(names, (0.5,) * 5), [Truth.of(*(n for n, m in zip(names, row, strict=True) if m)) for row in marks], 25.0,
        ),
        _deep(standard),
        _signal(),
    ]  # fmt: skip


# --- columns ---------------------------------------------------------------------------------------------------------


def _art(row: Row) -> Any:
    from art.estimators.classification import PyTorchClassifier

    plain = row.outputs > 1 and row.y.ndim == 1
    loss = nn.CrossEntropyLoss() if plain else nn.BCEWithLogitsLoss()
    shape = tuple(row.x.shape[1:])
    return PyTorchClassifier(row.net, loss, shape, max(row.outputs, 2), clip_values=row.clip, device_type="cpu")


def _art_pgd(row: Row) -> Tensor:
    from art.attacks.evasion import ProjectedGradientDescent

    made = ProjectedGradientDescent(
        _art(row),
        np.inf,
        row.eps,
        2.5 * row.eps / STEPS,
        max_iter=STEPS,
        num_random_init=1,
        batch_size=N,
        verbose=False,
    )
    return torch.from_numpy(made.generate(row.x.numpy(), row.y.numpy()))


def _art_square(row: Row) -> Tensor:
    from art.attacks.evasion import SquareAttack

    made = SquareAttack(_art(row), np.inf, eps=row.eps, max_iter=300, p_init=0.8, verbose=False)
    return torch.from_numpy(made.generate(row.x.numpy(), row.y.numpy()))


COLUMNS: dict[str, Callable[[Row], Tensor]] = {
    "ART PGD": _art_pgd,
    "ART Square": _art_square,
    "Foolbox PGD": lambda r: peers.foolbox_pgd(r.net, r.x, r.y, r.eps, r.outputs, STEPS, r.clip),
    "torchattacks PGD": lambda r: peers.torchattacks_pgd(r.net, r.x, r.y, r.eps, r.outputs, STEPS),
    "auto-attack APGD": lambda r: peers.reference_apgd(r.net, r.x, r.y, r.eps, r.outputs, STEPS),
    "auto-attack standard": lambda r: peers.reference_autoattack(r.net, r.x, r.y, r.eps, r.outputs),
    "adv-lib PGD": lambda r: peers.adv_lib_pgd(r.net, r.x, r.y, r.eps, r.outputs, STEPS),
}


def peer_cell(row: Row, run: Callable[[Row], Tensor], clean: float, truth: float) -> str:
    """What one peer makes of one row."""
    torch.manual_seed(0)
    np.random.seed(0)
    try:
        out = run(row)
    except Exception as e:  # whatever a peer raises is the finding
        return type(e).__name__
    found, reach = row.right(out), float((out.detach() - row.x).abs().max()) / row.eps
    return f"{found:.1%}, {verdict(found, clean, truth, reach)}"


def verdict(found: float, clean: float, truth: float, reach: float) -> str:
    """ "ok" is within its budget, and five points or a tenth of the way short of the truth at most."""
    if reach > 1.01:
        return f"outside: {reach:.0f} x eps"
    if found <= truth + max(0.05, 0.1 * (clean - truth)):
        return "ok"
    return "did nothing" if found >= clean - 0.02 else "weak"


def nocere_cell(row: Row, clean: float, truth: float) -> str:
    """nocere's PGD with as many steps; findings are attacked one by one, as each is a decision of its own."""
    made = ew.attack("image.pgd", steps=STEPS)
    if row.y.ndim == 1:
        found = ew.search(
            row.target, CaseSet.of(row.cases), (made,), row.pset, (row.pset.radius,), codec=row.codec
        ).robust
    else:
        held = []
        for name in FINDINGS:
            for sign in "+-":
                chosen = [c for c in row.cases if (name in c.truth.labels) == (sign == "-")]
                out = ew.search(
                    row.target,
                    CaseSet.of(chosen),
                    (made,),
                    row.pset,
                    (row.pset.radius,),
                    goal=Goal((sign + name,)),
                    codec=row.codec,
                )
                held += [out.robust] * len(chosen)
        found = float(np.mean(held))
    return f"{found:.1%}, {verdict(found, clean, truth, 1.0)}"


def main() -> None:
    parser = ew.arguments(str(__doc__).split("\n", 1)[0])
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    args = parser.parse_args()
    missing = peers.prepare()
    columns = {k: v for k, v in COLUMNS.items() if not any(k.startswith(m) for m in missing)}
    print("| case (clean, truth) | " + " | ".join([*columns, "nocere PGD"]) + " |")
    print("|---" * (len(columns) + 2) + "|")
    for row in rows(args.data, ew.cache_of(args.cache)):
        clean, truth = row.right(row.x), row.truth()
        cells = [peer_cell(row, run, clean, truth) for run in columns.values()]
        cells.append(nocere_cell(row, clean, truth))
        print(f"| {row.name} ({clean:.1%}, {truth:.1%}) | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
