"""Evaluation of rows in tiles of one fixed shape.

The last bit of a float32 network depends on the shape of the batch. Every search call therefore has the same number of
rows, padded where needed, so that no result depends on which other cases were in flight (design/0002).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.losses import Loss, loss_rows
from nocere.core.arrays import concat, is_torch
from nocere.core.batch import Batch
from nocere.core.case import Case
from nocere.core.goal import Goal, Literals
from nocere.targets.base import Gradients, Target, margins

TILE = 32


def tiles(n: int, size: int) -> list[slice]:
    """Consecutive slices of at most `size` rows."""
    return [slice(i, min(i + size, n)) for i in range(0, n, size)]


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
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64] | None]:
    """Goal margins [n], decision margins [n, labels] and scores (None for label access)."""
    goals, decided, raw = [], [], []
    for s in tiles(len(cases), tile):
        k = s.stop - s.start
        m, z = margins(view, _batch(view, x[s], cases[s], None if seeds is None else seeds[s], tile))
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
) -> tuple[NDArray[np.float64], NDArray[np.float64], Any]:
    """Goal margins [n], losses [n], and the gradients of the losses with respect to the rows."""
    import torch

    goals, losses, grads = [], [], []
    for s in tiles(len(cases), TILE):
        k = s.stop - s.start
        scores, pullback = view.vjp(_batch(view, x[s], cases[s], None if seeds is None else seeds[s], TILE))
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
