"""A small network, gradient attacks on it, local edits, and attackers who know the tolerances."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from nocere.provenance.investigate.explain import tolerance
from nocere.provenance.investigate.explain_catalogue import Image, Step, apply_steps


def _jpeg(quality: int) -> Callable[[int], tuple[Step, ...]]:
    return lambda ndim: (Step("jpeg", {"quality": quality, "subsampling": "4:2:0" if ndim == 3 else "4:4:4"}),)


def _wave(ratio: float) -> Callable[[int], tuple[Step, ...]]:
    return lambda _: (Step("jpeg2000", {"ratio": ratio, "wavelet": "9/7", "components": "transformed"}),)


CODECS: dict[str, Callable[[int], tuple[Step, ...]]] = {
    "lossless": lambda _: (),
    "JPEG 30": _jpeg(30),
    "JPEG 75": _jpeg(75),
    "JPEG 95": _jpeg(95),
    "JPEG 2000 10:1": _wave(10.0),
    "JPEG 2000 20:1": _wave(20.0),
}
ADAPTIVE: dict[str, Callable[[int], tuple[Step, ...]]] = {
    "JPEG 75": _jpeg(75),
    "JPEG 2000 20:1": _wave(20.0),
    "affine": lambda _: (Step("affine", {"gain": 1.1, "offset": 5.0, "bits": 8, "rounding": "even"}),),
    "resize down and up": lambda _: tuple(
        Step("resize", {"rows": n, "columns": n, "filter": "bilinear"}) for n in (112, 224)
    ),
}


class Net(nn.Module):
    """Five convolutions on 224 x 224, one logit, trained without augmentation: fragile, as clinical pilots are."""

    def __init__(self, samples: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in zip((samples, 16, 32, 48, 64), (16, 32, 48, 64, 64), strict=True):
            layers += [nn.Conv2d(a, b, 3, stride=2, padding=1), nn.BatchNorm2d(b), nn.ReLU()]
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Logits [n] of grey levels [n, samples, rows, columns]."""
        return self.body((x - 128.0) / 64.0)[:, 0]

    def answer(self, image: Image) -> int:
        """0 or 1."""
        with torch.no_grad():
            return int(self(tensor(image)).item() > 0)

    def gradient(self, image: Image, label: int) -> np.ndarray:
        """Gradient of the loss by grey level, of the shape of the image."""
        x = tensor(image).requires_grad_()
        sign = 1.0 if label else -1.0
        nn.functional.softplus(-sign * self(x)).sum().backward()
        assert x.grad is not None
        return x.grad[0].permute(1, 2, 0).numpy().reshape(image.shape)


def tensor(image: Image) -> Tensor:
    """[1, samples, rows, columns] of grey levels."""
    planes = image[..., None] if image.ndim == 2 else image
    return torch.tensor(planes.transpose(2, 0, 1), dtype=torch.float32)[None]


def trained(rows: list[tuple[Image, int]], epochs: int = 6, seed: int = 1) -> Net:
    """Train on images of one size with labels 0 and 1."""
    torch.manual_seed(seed)
    x, y = torch.cat([tensor(a) for a, _ in rows]), torch.tensor([float(b) for _, b in rows])
    net = Net(x.shape[1])
    optimiser = torch.optim.Adam(net.parameters(), 2e-3)
    for _ in range(epochs):
        for at in torch.randperm(len(x)).split(32):
            optimiser.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(net(x[at]), y[at]).backward()
            optimiser.step()
    return net.eval()


def attacked(net: Net, image: Image, label: int, eps: int, steps: int = 10) -> Image:
    """Projected gradient descent in the maximum norm (Madry 2018), rounded to whole grey levels."""
    low, high = np.maximum(image.astype(float) - eps, 0), np.minimum(image.astype(float) + eps, 255)
    x = image.astype(float)
    for _ in range(steps):
        x = np.clip(x + max(1.0, eps / 4) * np.sign(net.gradient(np.rint(x).astype(np.uint8), label)), low, high)
    return np.rint(x).astype(np.uint8)


def edited(image: Image, side: int) -> Image:
    """A small lesion painted at the middle: a soft dark spot of `side` pixels, 40 grey levels deep."""
    rows, columns = image.shape[:2]
    r, c = np.ogrid[:rows, :columns]
    distance = np.hypot(r - rows / 2, c - columns / 2) / (side / 2)
    spot = 40 * np.clip(1.2 - distance, 0, 1)
    return np.clip(image - (spot if image.ndim == 2 else spot[..., None]), 0, 255).astype(np.uint8)


def inside_tolerance(net: Net, image: Image, label: int, steps: tuple[Step, ...]) -> Image:
    """The transform carried out, then the samples that matter most moved as far as its tolerance allows.

    Greedy by gradient: each sample moves by the peak, an 8 x 8 block takes what its local mean allows (a quarter where
    windows overlap four blocks is not exploited), and the whole what the mean allows; four rounds.
    """
    allowed = tolerance(steps)
    made = apply_steps(image, 8, steps)
    if allowed.peak < 1:
        return made
    x = made.copy()
    peak = int(allowed.peak)
    for budget_share in (0.25, 0.5, 0.75, 1.0):
        g = net.gradient(x, label)
        moved = np.clip(made.astype(int) + peak * np.sign(g).astype(int), 0, 255)
        cost = np.abs(moved - made.astype(int))
        budget = allowed.mean * made.size * budget_share
        samples = 1 if image.ndim == 2 else image.shape[2]
        rows, columns = image.shape[:2]
        held = np.zeros((rows, columns))
        x = made.copy()
        flat = np.argsort(-np.abs(g).ravel())[: int(4 * budget / peak) + 1]
        spent = 0.0
        for at in flat:
            where = np.unravel_index(at, image.shape)
            r, c = int(where[0]), int(where[1])
            price = float(cost[where])
            if price == 0 or spent + price > budget:
                continue
            near = held[max(0, r - 7) : r + 8, max(0, c - 7) : c + 8]
            if near.sum() + price > allowed.local * 64 * samples:  # any window that holds it lies within this square
                continue
            held[r, c] += price
            spent += price
            x[where] = moved[where]
        if net.answer(x) != label:
            break
    return x
