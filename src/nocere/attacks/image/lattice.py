"""Whole stored numbers: what a search by queries may show to a target."""

from __future__ import annotations

from typing import Any

from nocere.threats.pixels import per_row

BISECTIONS = 10


def lengths(d: Any) -> Any:
    """Euclidean length of every row of d: [n]."""
    return d.flatten(1).norm(dim=1)


def along(x0: Any, d: Any, scale: Any, span: tuple[float, float]) -> Any:
    """Stored whole numbers at `scale` [n] times direction d from x0."""
    return (x0 + d * per_row(scale, d)).clamp_(*span).round_()


def of_length(x0: Any, d: Any, length: Any, span: tuple[float, float]) -> Any:
    """The whole-number contents in direction d from x0 whose length comes nearest to `length` [n] from below.

    Rounding a short change would erase or stretch it; the direction is kept and scaled until its rounded form fits.
    """
    import torch

    want = torch.as_tensor(length, dtype=d.dtype)
    plain = want / lengths(d).clamp_min(1e-12)
    # A hair below: a change of some levels a pixel is stretched by rounding about as often as it is shrunk.
    x = along(x0, d, 0.998 * plain, span)
    got = lengths(x - x0)
    off = torch.nonzero((got > want) | (got < 0.99 * want)).flatten()
    if off.numel() == 0:
        return x
    x0, d, want, plain = x0[off], d[off], want[off], plain[off]
    best, low = x0.clone(), torch.zeros_like(plain)
    # Twice the plain scale, or where nothing would reach half a level, twice what moves the strongest value.
    high = 2.0 * torch.maximum(plain, 0.5 / d.flatten(1).abs().amax(1).clamp_min(1e-12))
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        tried = along(x0, d, middle, span)
        fits = lengths(tried - x0) <= want
        best[fits] = tried[fits]
        low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
    x[off] = best
    return x
