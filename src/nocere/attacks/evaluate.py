"""Evaluation of rows in tiles of fixed shapes.

The last bit of a float32 network may depend on the shape of the batch. Every search call therefore has the same number
of rows, padded where needed, so that no result depends on which other cases were in flight; smaller tiles for a short
rest are used only where they were seen to give the same rows bit for bit (design/0002).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.losses import Loss, loss_rows
from nocere.core.arrays import concat, is_torch
from nocere.core.batch import Batch
from nocere.core.case import Case
from nocere.core.goal import Goal, Literals
from nocere.targets.base import Gradients, Scores, Target, margins

TILE, SMALL = 32, 8


def tiles(n: int, size: int, small: int) -> Iterator[tuple[slice, int]]:
    """Consecutive slices of n rows, and the rows that each is padded to: `size`, and `small` for a short rest."""
    at = 0
    while at < n:
        short = -(-(n - at) // small) * small <= size // 2
        rows = small if short else size
        yield slice(at, min(at + rows, n)), rows
        at += rows


def small_tile(view: Target, row: Any, case: Case[Any]) -> int:
    """SMALL if a view gives the same rows bit for bit in tiles of SMALL as in tiles of TILE, else TILE.

    Which kernel a library takes depends on shapes, not on values: it is asked once, for this shape of row.
    """
    if not view.tiles or not is_torch(row) or not isinstance(view, Scores):
        return TILE
    if view.stochastic:
        return 1  # such a target evaluates every row alone
    import torch

    shades = torch.linspace(1.0, 0.5, TILE).view(-1, *[1] * row.ndim)
    seen: list[list[Any]] = []
    for n in (TILE, SMALL):
        batch = Batch((row[None] * shades)[:n], (case,) * n)
        out = [torch.from_numpy(view.scores(batch)[:SMALL])]
        if isinstance(view, Gradients) and "gradients" in view.access:
            z, pullback = view.vjp(batch)
            weight = torch.linspace(-1.0, 0.5, z.shape[1], dtype=z.dtype).expand_as(z).contiguous()
            out += [z[:SMALL], pullback(weight)[:SMALL]]
        seen.append(out)
    return SMALL if all(torch.equal(a, b) for a, b in zip(*seen, strict=True)) else TILE


def padded(x: Any, size: int) -> Any:
    """Rows filled up to `size` with copies of the last one; lists are left as they are."""
    if not is_torch(x) or len(x) == size:
        return x
    return concat([x, x[-1:].expand(size - len(x), *x.shape[1:])])


def _batch(view: Target, x: Any, cases: Sequence[Case[Any]], seeds: NDArray[np.uint64] | None, size: int) -> Batch:
    rows = padded(x, size) if view.tiles else x
    extra = len(rows) - len(cases)
    like = tuple(cases) + (cases[-1],) * extra
    s = None if seeds is None else np.concatenate([seeds, np.repeat(seeds[-1:], extra)])
    return Batch(rows, like, s)


def goal_margins(
    view: Target,
    x: Any,
    cases: Sequence[Case[Any]],
    lit: Literals,
    goal: Goal,
    seeds: NDArray[np.uint64] | None = None,
    tile: int = TILE,
    small: int = 0,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64] | None]:
    """Goal margins [n], decision margins [n, labels] and scores (None for label access).

    Rows are evaluated `tile` at a time; a short rest in tiles of `small` rows where that is given.
    """
    goals, decided, raw = [], [], []
    for s, padded_to in tiles(len(cases), tile, small or tile):
        k = s.stop - s.start
        m, z = margins(view, _batch(view, x[s], cases[s], None if seeds is None else seeds[s], padded_to))
        decided.append(m[:k])
        raw.append(None if z is None else z[:k])
        goals.append(goal.margin(lit.take(s), m[:k]))
    scores = None if raw[0] is None else np.concatenate([z for z in raw if z is not None])
    return np.concatenate(goals), np.concatenate(decided), scores


def goal_gradients(
    view: Gradients,
    x: Any,
    cases: Sequence[Case[Any]],
    lit: Literals,
    goal: Goal,
    seeds: NDArray[np.uint64] | None = None,
    loss: Loss = "margin",
    towards: NDArray[np.intp] | None = None,
    small: int = TILE,
) -> tuple[NDArray[np.float64], NDArray[np.float64], Any]:
    """Goal margins [n], losses [n], and the gradients of the losses with respect to the rows."""
    import torch

    goals, losses, grads = [], [], []
    for s, padded_to in tiles(len(cases), TILE, small):
        k = s.stop - s.start
        scores, pullback = view.vjp(_batch(view, x[s], cases[s], None if seeds is None else seeds[s], padded_to))
        z = scores.detach().requires_grad_(True)
        with torch.enable_grad():
            decided = view.decision.margins(z[:k])
            part = lit.take(s)
            m = goal.margin(part, decided)
            plain = loss == "margin" and towards is None
            up = m if plain else loss_rows(
                loss, view.decision, z[:k], decided, part, goal, None if towards is None else towards[s]
            )  # fmt: skip
            (weight,) = torch.autograd.grad(up.sum(), z)
        goals.append(m.detach().cpu().numpy().astype(np.float64))
        losses.append(up.detach().cpu().numpy().astype(np.float64))
        grads.append(pullback(weight)[:k])
    return np.concatenate(goals), np.concatenate(losses), concat(grads)
