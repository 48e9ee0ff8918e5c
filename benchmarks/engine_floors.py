"""Floors: what each attack costs in plain torch, without an engine, a referee or files.

A sample leaves as soon as it is fooled, only input gradients are computed, and samples and draws share batches. None
uses a faster copy of the net. A floor is a yardstick for cost, not a product: nothing checks its results but the
benchmark.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

BATCH = 128


@contextmanager
def frozen(net: nn.Module) -> Iterator[None]:
    """Input gradients only."""
    for p in net.parameters():
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in net.parameters():
            p.requires_grad_(True)


def answers(net: nn.Module, x: Tensor) -> Tensor:
    """Classes [n], in batches."""
    with torch.inference_mode():
        return torch.cat([net(part).argmax(1) for part in x.split(BATCH)])


def lead(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Lead of the true class over the best other one."""
    with torch.inference_mode():
        z = torch.cat([net(part) for part in x.split(BATCH)])
    true = z.gather(1, y[:, None])[:, 0]
    return true - z.scatter(1, y[:, None], -torch.inf).amax(1)


def pgd(net: nn.Module, x: Tensor, y: Tensor, eps: float, steps: int = 40) -> Tensor:
    """Projected gradient descent from a random start."""
    torch.manual_seed(0)
    out = x.clone()
    live = torch.nonzero(answers(net, x) == y)[:, 0]
    x0, label = x[live], y[live]
    now = (x0 + eps * (2 * torch.rand_like(x0) - 1)).clamp(0, 1)
    with frozen(net):
        for _ in range(steps):
            if not len(live):
                break
            now.requires_grad_(True)
            z = net(now)
            (g,) = torch.autograd.grad(nn.functional.cross_entropy(z, label, reduction="sum"), now)
            now = now.detach()
            keep = z.argmax(1) == label
            out[live[~keep]] = now[~keep]
            live, x0, now, label, g = live[keep], x0[keep], now[keep], label[keep], g[keep]
            now = torch.minimum(torch.maximum(now + 2.5 * eps / steps * g.sign(), x0 - eps), x0 + eps).clamp(0, 1)
    out[live] = now
    return out


def square(net: nn.Module, x: Tensor, y: Tensor, eps: float, queries: int = 1000) -> Tensor:
    """Random squares in L-infinity, each image its own, on the published schedule rescaled to `queries`."""
    torch.manual_seed(0)
    out, (_, c, h, w) = x.clone(), x.shape
    live = torch.nonzero(answers(net, x) == y)[:, 0]
    x0, label = x[live], y[live]
    now = (x0 + eps * torch.sign(torch.rand(len(live), c, 1, w) - 0.5)).clamp(0, 1)
    best = lead(net, now, label) if len(live) else torch.zeros(0)
    halvings = [k * queries / 10_000 for k in (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)]
    for q in range(1, queries):
        keep = best > 0
        out[live[~keep]] = now[~keep]
        live, x0, now, label, best = live[keep], x0[keep], now[keep], label[keep], best[keep]
        if not len(live):
            break
        share = 0.8 / 2 ** sum(q > k for k in halvings)
        side = min(max(round((share * h * w) ** 0.5), 1), h - 1)
        top, left = torch.randint(0, h - side + 1, (len(live), 1)), torch.randint(0, w - side + 1, (len(live), 1))
        down, across = torch.arange(h)[None], torch.arange(w)[None]
        under = (
            ((down >= top) & (down < top + side))[:, :, None] & ((across >= left) & (across < left + side))[:, None]
        )[:, None]
        signs = torch.sign(torch.rand(len(live), c, 1, 1) - 0.5)
        tried = torch.where(under, (x0 + eps * signs).clamp(0, 1), now)
        found = lead(net, tried, label)
        better = found < best
        now[better], best[better] = tried[better], found[better]
    out[live] = now
    return out


def grid(net: nn.Module, x: Tensor, y: Tensor, angle: float, pixels: float) -> Tensor:
    """Every rotation (9) and shift (5 x 5), bilinear, edge continued, rounded to stored values; survivors go on."""
    out = x.clone()
    live = torch.nonzero(answers(net, x) == y)[:, 0]
    side = x.shape[-1]
    shifts = np.linspace(-pixels, pixels, 5)
    for a, dx, dy in itertools.product(np.linspace(-angle, angle, 9), shifts, shifts):
        if not len(live):
            break
        cos, sin = np.cos(np.radians(a)), np.sin(np.radians(a))
        theta = torch.tensor([[cos, -sin, 2 * dx / side], [sin, cos, 2 * dy / side]], dtype=torch.float32)
        where = nn.functional.affine_grid(theta[None], [1, 1, side, side], align_corners=False)
        moved = nn.functional.grid_sample(
            x[live], where.expand(len(live), -1, -1, -1), padding_mode="border", align_corners=False
        )
        moved = (moved * 255).round() / 255
        wrong = answers(net, moved) != y[live]
        out[live[wrong]] = moved[wrong]
        live = live[~wrong]
    return out


def _pasted(x: Tensor, patch: Tensor, top: Tensor, left: Tensor) -> Tensor:
    """The patch [C, k, k] on every image at its own place, differentiable in the patch."""
    k, side = patch.shape[-1], x.shape[-1]
    at = torch.arange(side)
    row, column = at[None] - top[:, None], at[None] - left[:, None]
    under = ((row >= 0) & (row < k))[:, :, None] & ((column >= 0) & (column < k))[:, None]
    laid = patch[:, row.clamp(0, k - 1)[:, :, None], column.clamp(0, k - 1)[:, None]].transpose(0, 1)
    return torch.where(under[:, None], laid, x)


def patch(net: nn.Module, x: Tensor, y: Tensor, held: Tensor, side: int, epochs: int, batch: int = 64) -> Tensor:
    """A universal patch by Adam over random places; the held-out images with it at random places."""
    torch.manual_seed(0)
    made = torch.full((x.shape[1], side, side), 0.5, requires_grad=True)
    adam = torch.optim.Adam([made], 0.05)
    room = x.shape[-1] - side + 1
    with frozen(net):
        for _ in range(epochs):
            for part in torch.randperm(len(x)).split(batch):
                places = torch.randint(0, room, (2, len(part)))
                z = net(_pasted(x[part], made, *places))
                adam.zero_grad()
                (-nn.functional.cross_entropy(z, y[part])).backward()
                adam.step()
                with torch.no_grad():
                    made.clamp_(0, 1)
    with torch.no_grad():
        return _pasted(held, made, *torch.randint(0, room, (2, len(held))))


def hopskipjump(net: nn.Module, x: Tensor, y: Tensor, steps: int = 5, first: int = 100) -> Tensor:
    """HopSkipJump in L2 (Chen et al. 2020): all images and all their draws in one batch, every norm per image."""
    torch.manual_seed(0)
    n, d = len(x), x[0].numel()

    def fooled(rows: Tensor) -> Tensor:
        return answers(net, rows) != y.repeat_interleave(len(rows) // n)

    def between(far: Tensor, rounds: int) -> Tensor:
        """The point next to the original that still fools, on the line to it."""
        low, high = torch.zeros(n, 1, 1, 1), torch.ones(n, 1, 1, 1)
        for _ in range(rounds):
            middle = (low + high) / 2
            ok = fooled(x + middle * (far - x)).view(-1, 1, 1, 1)
            low, high = torch.where(ok, low, middle), torch.where(ok, middle, high)
        return x + high * (far - x)

    far = torch.rand_like(x)
    for _ in range(50):
        ok = fooled(far)
        if ok.all():
            break
        far[~ok] = torch.rand_like(far[~ok])
    now = between(far, 12)
    for t in range(steps):
        draws = int(first * (t + 1) ** 0.5)
        distance = (now - x).flatten(1).norm(dim=1)
        delta = 0.1 * distance if t == 0 else distance / d**0.5
        u = torch.randn(n, draws, *x.shape[1:])
        u = u / u.flatten(2).norm(dim=2).view(n, draws, 1, 1, 1)
        shifted = (now[:, None] + delta.view(-1, 1, 1, 1, 1) * u).clamp(0, 1)
        u = (shifted - now[:, None]) / delta.view(-1, 1, 1, 1, 1)
        sign = fooled(shifted.flatten(0, 1)).view(n, draws).float() * 2 - 1
        mean = sign.mean(1, keepdim=True)
        weight = torch.where(mean.abs() == 1, sign, sign - mean)
        g = (weight.view(n, draws, 1, 1, 1) * u).mean(1)
        g = g / g.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, 1, 1, 1)
        stride = distance / (t + 1) ** 0.5
        moved, open_ = now.clone(), torch.ones(n, dtype=torch.bool)
        for _ in range(10):
            tried = (now + stride.view(-1, 1, 1, 1) * g).clamp(0, 1)
            ok = fooled(tried) & open_
            moved[ok], open_ = tried[ok], open_ & ~ok
            if not open_.any():
                break
            stride = torch.where(open_, stride / 2, stride)
        now = between(moved, 10)
    return now
