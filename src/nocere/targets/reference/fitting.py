"""Train a reference network, plainly or adversarially, with every random draw under one seed.

Images are stored units [n, C, H, W], uint8, or uint16 for deeper ones; budgets are grey levels in the same units. The
network sees `(x / 255 - mean) / std`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

Progress = Callable[[int, int, float], None]
"""Called after each epoch with (epoch from 1, epochs, mean training loss)."""
Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits [n, outputs] and the rows of y -> mean loss."""


def fit(
    module: nn.Module,
    x: NDArray[np.unsignedinteger[Any]],
    y: NDArray[Any],
    *,
    epochs: int,
    seed: int,
    mean: Sequence[float],
    std: Sequence[float],
    batch: int = 64,
    lr: float = 3e-3,
    weight_decay: float = 0.0,
    adversarial: float = 0.0,
    steps: int = 1,
    augment: bool = True,
    restart: bool = True,
    class_weights: Sequence[float] | None = None,
    loss: Loss | None = None,
    progress: Progress | None = None,
) -> None:
    """Train `module` in place and leave it in eval mode.

    x: [n, C, H, W]. y: [n], class indices; one output means classes 0 and 1. With a `loss` of its own, whatever that
    takes.
    mean, std: one value a channel, on the 0..1 scale.
    adversarial: L-infinity budget in grey levels; above 0, every batch is replaced by its attacked self
    (`steps` of signed gradient from a random start; 1 is fast adversarial training).
    augment: flips and quarter turns, shifts of up to 4 pixels.
    restart: draw the weights again under `seed`; False continues from the weights given.
    class_weights: one weight a class in the loss.

    The global torch and numpy generators are left as they were. The same seed, machine and thread count
    give the same weights.
    """
    _check(x, mean, std)
    if len(y) != len(x) or (loss is None and y.ndim != 1):
        raise ValueError(f"y must be [n] with n = {len(x)}, got {y.shape}")
    if restart:
        initialise(module, seed)
    device = next(module.parameters()).device
    shift, scale = (
        torch.tensor(values, dtype=torch.float32, device=device).view(1, -1, 1, 1) * 255.0 for values in (mean, std)
    )
    weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32, device=device)
    rng = np.random.default_rng([seed, 1])
    noise = torch.Generator().manual_seed(seed)

    def loss_of(stored: Tensor, target: Tensor) -> Tensor:
        logits = module((stored - shift) / scale)
        return _loss(logits, target, weights) if loss is None else loss(logits, target)

    per_epoch = -(-len(x) // batch)
    optimiser = torch.optim.AdamW(module.parameters(), lr=lr, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=epochs * per_epoch, pct_start=0.25)
    module.train()
    for epoch in range(epochs):
        total = 0.0
        for chosen in np.array_split(rng.permutation(len(x)), per_epoch):
            images = _augmented(x[chosen], rng) if augment else x[chosen]
            stored = torch.from_numpy(images.astype(np.float32)).to(device)
            target = torch.from_numpy(y[chosen]).to(device)
            if adversarial > 0:
                stored = _attacked(loss_of, stored, target, adversarial, steps, noise)
            wrong = loss_of(stored, target)
            optimiser.zero_grad(set_to_none=True)
            wrong.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            total += float(wrong.detach()) * len(chosen)
        if progress is not None:
            progress(epoch + 1, epochs, total / len(x))
    module.eval()


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums of one order, whatever the caller's threads are: equal plans give equal networks."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def initialise(module: nn.Module, seed: int) -> None:
    """Draw every layer's weights again under `seed`, without touching the global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in module.modules():
            reset = getattr(layer, "reset_parameters", None)
            if callable(reset):
                reset()


def _check(x: NDArray[np.unsignedinteger[Any]], mean: Sequence[float], std: Sequence[float]) -> None:
    if x.dtype not in (np.uint8, np.uint16) or x.ndim != 4 or len(x) == 0:
        raise ValueError(f"x must be uint8 or uint16 [n > 0, C, H, W], got {x.dtype} {x.shape}")
    if not len(mean) == len(std) == x.shape[1]:
        raise ValueError(f"mean and std need {x.shape[1]} values, got {len(mean)} and {len(std)}")


def _loss(logits: Tensor, target: Tensor, weights: Tensor | None) -> Tensor:
    if logits.shape[1] > 1:
        return functional.cross_entropy(logits, target, weight=weights)
    each = functional.binary_cross_entropy_with_logits(logits[:, 0], target.float(), reduction="none")
    if weights is None:
        return each.mean()
    # Divided by the weights' sum, as cross_entropy does, so both heads train at the same pace.
    share = weights[target]
    return (share * each).sum() / share.sum()


def _attacked(
    loss_of: Callable[[Tensor, Tensor], Tensor],
    stored: Tensor,
    target: Tensor,
    budget: float,
    steps: int,
    noise: torch.Generator,
) -> Tensor:
    """`stored` moved up the loss within `budget` grey levels and 0..255, from a random start."""
    # Over one step 1.25 budgets, as in fast adversarial training; over several, enough to cross the whole box.
    stride = budget * (1.25 if steps == 1 else 2.0 / steps)
    start = torch.rand(stored.shape, generator=noise).to(stored.device)
    moved = (stored + budget * (2.0 * start - 1.0)).clamp(0.0, 255.0)
    for _ in range(steps):
        moved.requires_grad_(True)
        (slope,) = torch.autograd.grad(loss_of(moved, target), moved)
        moved = moved.detach() + stride * slope.sign()
        moved = torch.minimum(torch.maximum(moved, stored - budget), stored + budget).clamp(0.0, 255.0)
    return moved.detach()


def _augmented(x: NDArray[np.unsignedinteger[Any]], rng: np.random.Generator) -> NDArray[np.unsignedinteger[Any]]:
    """[n, C, H, W], each image flipped, turned (if square) and shifted by its own draw."""
    square = x.shape[2] == x.shape[3]
    out = np.empty_like(x)
    for i, image in enumerate(x):
        turns, flip, down, right = rng.integers(0, [4, 2, 9, 9])
        turned = np.rot90(image, int(turns) if square else 0, axes=(1, 2))
        turned = turned[:, :, ::-1] if flip else turned
        padded = np.pad(turned, ((0, 0), (4, 4), (4, 4)), mode="reflect")
        out[i] = padded[:, down : down + x.shape[2], right : right + x.shape[3]]
    return out
