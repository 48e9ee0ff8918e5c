"""Evaluation of rows in tiles of fixed shapes.

The last bit of a float32 network may depend on the shape of the batch. Every search call therefore has the same number
of rows, padded where needed, so that no result depends on which other cases were in flight; a rest is padded less only
where that was seen to give the same rows bit for bit (design/0002).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.losses import Loss, loss_rows
from nocere.core.arrays import concat, is_torch
from nocere.core.batch import Batch
from nocere.core.case import Case
from nocere.core.goal import Goal, Literals
from nocere.targets.base import Gradients, Scores, Target, margins, repeatable

TILE, STEP = 32, 4
WIDE, VALUES = 128, 1 << 17  # rows and stored values of a wide tile: calls of small pictures are dear, not their rows
LARGE = 1 << 23  # stored values of a tile
PATIENCE = 4  # a size is looked at once so many times the rows that the look costs were evaluated
Parts = Callable[[int], Iterator[tuple[slice, int]]]


def fitting(size: int, values: int) -> int:
    """Rows of so many stored values each in a tile of at most `size` rows: fewer where they are large, by their size
    alone, so that a tile of full radiographs fits into memory and results do not depend on what else is in flight."""
    return min(size, 1 << max(0, (LARGE // max(values, 1)).bit_length() - 1))


def tiles(n: int, size: int = TILE) -> Iterator[tuple[slice, int]]:
    """Consecutive slices of n rows, and the rows that each is padded to: always `size`."""
    return ((slice(at, min(at + size, n)), size) for at in range(0, n, size))


class Tiles:
    """How rows of one shape are cut for a view: results as of tiles of TILE rows, in fewer calls, with less padding.

    Which kernel a library takes depends on shapes, not on values: another size serves where it gives the same rows bit
    for bit as TILE does. It is looked at once, on shades of one row, when it is wanted and the look is worth its cost.
    """

    def __init__(self, view: Target, row: Any, case: Case[Any]) -> None:
        self.view, self.row, self.case = view, row, case
        self.fixed = not view.tiles or not is_torch(row) or not isinstance(view, Scores)
        self.tile = fitting(TILE, row.numel()) if is_torch(row) else TILE
        small = is_torch(row) and WIDE * row.numel() <= VALUES
        self.most = WIDE if small and not (self.fixed or view.stochastic) else self.tile
        self.alike = {self.tile: True}
        self.known: list[list[Any]] = []
        self.evaluated = 0

    def __call__(self, n: int) -> Iterator[tuple[slice, int]]:
        """Consecutive slices of n rows, and the rows that each is padded to."""
        at = 0
        while at < n:
            left = n - at
            size = self._whole(left) if left >= self.tile else self._rest(left)
            yield slice(at, min(at + size, n)), size
            at += size
            self.evaluated += size

    def _whole(self, left: int) -> int:
        widest = min(left, self.most) // self.tile * self.tile
        return next(size for size in range(widest, 0, -self.tile) if self._same(size))

    def _rest(self, left: int) -> int:
        if self.view.stochastic:
            return left  # such a target evaluates every row alone
        if self.fixed or self.tile <= STEP:
            return self.tile
        return next(size for size in range(-(-left // STEP) * STEP, self.tile + 1, STEP) if self._same(size))

    def _same(self, size: int) -> bool:
        if size not in self.alike:
            import torch

            if self.evaluated < PATIENCE * (size + self.tile * max(-(-size // self.tile) - len(self.known), 0)):
                return False
            while self.tile * len(self.known) < size:
                self.known.append(self._seen(self.tile * len(self.known), self.tile))
            whole = [torch.cat(parts)[:size] for parts in zip(*self.known, strict=True)]
            self.alike[size] = all(torch.equal(a, b) for a, b in zip(whole, self._seen(0, size), strict=True))
        return self.alike[size]

    def _seen(self, first: int, n: int) -> list[Any]:
        """Scores, and where there are any gradients, of n shades from the first on."""
        import torch

        assert isinstance(self.view, Scores)
        shades = torch.linspace(1.0, 0.5, WIDE)[first : first + n].view(-1, *[1] * self.row.ndim)
        batch = Batch(self.row[None] * shades, (self.case,) * n)
        out = [torch.from_numpy(self.view.scores(batch))]
        if isinstance(self.view, Gradients) and "gradients" in self.view.access:
            z, pullback = self.view.vjp(batch)
            weight = torch.linspace(-1.0, 0.5, z.shape[1], dtype=z.dtype).expand_as(z).contiguous()
            out += [z, pullback(weight)]
        return out


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
    parts: Parts = tiles,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64] | None]:
    """Goal margins [n], decision margins [n, labels] and scores (None for label access).

    `parts` says how many rows are evaluated at a time.
    """
    goals, decided, raw = [], [], []
    for s, padded_to in parts(len(cases)):
        k = s.stop - s.start
        m, z = margins(view, _batch(view, x[s], cases[s], None if seeds is None else seeds[s], padded_to))
        decided.append(m[:k])
        raw.append(None if z is None else z[:k])
        goals.append(goal.margin(lit.take(s), m[:k]))
    scores = None if raw[0] is None else np.concatenate([z for z in raw if z is not None])
    return np.concatenate(goals), np.concatenate(decided), scores


def decided_rows(
    view: Target, x: Any, cases: Sequence[Case[Any]], seeds: NDArray[np.uint64] | None, parts: Parts, grad: bool
) -> tuple[NDArray[np.float64], Any, Callable[[Any], Any] | None]:
    """Decision margins [n, labels], scores (a tensor; None for label access), and with `grad` the way back from them.

    The way back, from d loss / d scores [n, columns] to d loss / d x, may be gone more than once.
    """
    import torch

    decided: list[NDArray[np.float64]] = []
    raw: list[Any] = []
    backs = []
    for s, padded_to in parts(len(cases)):
        k = s.stop - s.start
        batch = _batch(view, x[s], cases[s], None if seeds is None else seeds[s], padded_to)
        if grad:
            assert isinstance(view, Gradients)
            scores, back = repeatable(view, batch)
            decided.append(np.asarray(view.decision.margins(scores[:k].cpu().numpy().astype(np.float64))))
            backs.append((s, padded_to if view.tiles else k, back))
        else:
            m, z = margins(view, batch)
            decided.append(m[:k])
            scores = None if z is None else torch.from_numpy(z)
        raw.append(None if scores is None else scores[:k])

    def pullback(weight: Any) -> Any:
        pulled = []
        for s, size, back in backs:
            w = weight[s]
            pulled.append(back(torch.cat([w, w.new_zeros(size - len(w), w.shape[1])]))[: len(w)])
        return torch.cat(pulled)

    return np.concatenate(decided), None if raw[0] is None else torch.cat(raw), pullback if grad else None


def goal_gradients(
    view: Gradients,
    x: Any,
    cases: Sequence[Case[Any]],
    lit: Literals,
    goal: Goal,
    seeds: NDArray[np.uint64] | None = None,
    loss: Loss = "margin",
    towards: NDArray[np.intp] | None = None,
    parts: Parts = tiles,
) -> tuple[NDArray[np.float64], NDArray[np.float64], Any]:
    """Goal margins [n], losses [n], and the gradients of the losses with respect to the rows."""
    import torch

    goals, losses, grads = [], [], []
    for s, padded_to in parts(len(cases)):
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
