"""A model around one claim as a polynomial in crossings: what changes when edits push a feature over a threshold.

A crossing is 1 where a feature's level has gone past a threshold, counted from the level of the claim. A leaf is
reached when each of its conditions holds, and a condition is a sum of at most two crossings and a constant; so a leaf
is a product of such sums, an ensemble is a polynomial with few terms, and a linear model is one of the first degree.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.codes.leaves import Leaves
from nocere.core.errors import UsageError
from nocere.targets.claims.encoder import Encoder
from nocere.targets.structure import LinearForm

MOST = 2_000_000  # terms that are expanded at once
TINY = 1e-15


@dataclass(frozen=True, slots=True)
class Polynomial:
    """base + change . slope + the sum over terms of coefficient * (1 where all crossings of the term have happened).

    Args:
        base: conditions at the claim itself [m].
        column: of each crossing, as a position in the options' columns [v].
        cut: threshold of each crossing [v].
        up: whether it is passed upwards [v].
        terms: crossings of each term [t, degree], -1 where there are fewer.
        coefficient: [t, m].
        slope: per count, of columns that a linear model reads as they are [c, m].
    """

    base: NDArray[np.float64]
    column: NDArray[np.intp]
    cut: NDArray[np.float64]
    up: NDArray[np.bool_]
    terms: NDArray[np.intp]
    coefficient: NDArray[np.float64]
    slope: NDArray[np.float64]

    def take(self, terms: NDArray[np.bool_]) -> Polynomial:
        """The same with these terms only."""
        return replace(self, terms=self.terms[terms], coefficient=self.coefficient[terms])

    def crossed(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Values [..., columns] to the crossings that have happened [..., v]."""
        v = values[..., self.column]
        return np.where(self.up, v > self.cut, v <= self.cut)


def reach(
    steps: NDArray[np.int64], counts: NDArray[np.int64], most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Smallest and largest counts [c] that `most` steps [n, c] can lead to."""
    ordered = np.sort(steps, axis=0)
    low = np.minimum(ordered[:most], 0).sum(axis=0)
    high = np.maximum(ordered[max(0, len(ordered) - most) :], 0).sum(axis=0)
    return counts + low, counts + high


def around(
    leaves: Leaves,
    encoder: Encoder,
    base: NDArray[np.int64],
    columns: NDArray[np.intp],
    low: NDArray[np.int64],
    high: NDArray[np.int64],
    weight: NDArray[np.float64],
    offset: NDArray[np.float64],
) -> Polynomial:
    """The polynomial of an ensemble around one claim, exact between two vectors of counts.

    Args:
        leaves: of the ensemble.
        encoder: of the model.
        base: counts of the claim [width].
        columns: those that edits change [c].
        low: smallest counts there [c].
        high: largest.
        weight: conditions on outputs [m, k].
        offset: [m].
    """
    ends = np.repeat(base[None], 2, axis=0)
    ends[:, columns] = low, high
    here, bottom, top = (leaves.levels(x) for x in encoder.finish(np.concatenate([base[None], ends])))
    f = leaves.feature
    possible = np.logical_and.reduceat((leaves.high >= bottom[f]) & (leaves.low <= top[f]), leaves.start)
    open_ = ((leaves.low > bottom[f]) | (leaves.high < top[f])) & possible[leaves.leaf]
    value = leaves.value @ weight.T
    fixed = possible.copy()
    fixed[leaves.leaf[open_]] = False
    at = np.flatnonzero(open_)
    cut, sign, constant = _sums(leaves, at, here, bottom, top)
    used = np.unique(cut[cut >= 0])
    place = np.searchsorted(columns, leaves.owner[used])
    up = used - leaves.offset[leaves.owner[used]] >= here[leaves.owner[used]]
    local = np.where(cut >= 0, np.searchsorted(used, cut), -1)
    leaf, terms, signs = _expanded(leaves.leaf[at], local, sign, constant, len(used))
    start = leaves.base @ weight.T + offset + value[fixed].sum(axis=0)
    empty = terms == 0
    start = start + (signs[empty, None] * value[leaf[empty]]).sum(axis=0)
    keys, where = np.unique(terms[~empty], return_inverse=True)
    weighted = signs[~empty, None] * value[leaf[~empty]]
    sums = np.zeros((len(keys), len(weight)))
    for i in range(len(weight)):
        sums[:, i] = np.bincount(where, weighted[:, i], len(keys))
    there = (np.abs(sums) > TINY).any(axis=1)
    slope = np.zeros((len(columns), len(weight)))
    return Polynomial(start, place, leaves.cut[used], up, _unpacked(keys[there], len(used)), sums[there], slope)


def linear(
    form: LinearForm,
    encoder: Encoder,
    base: NDArray[np.int64],
    columns: NDArray[np.intp],
    weight: NDArray[np.float64],
    offset: NDArray[np.float64],
) -> Polynomial:
    """The polynomial of a linear model around one claim; arguments as `around`."""
    start = form.outputs(encoder.finish(base[None]))[0] @ weight.T + offset
    w = form.weight[columns] @ weight.T
    there = encoder.presence[columns]
    # Whether a code is there is one crossing; everything else counts as it is.
    place = np.flatnonzero(there)
    up = base[columns[place]] < 1
    return Polynomial(
        base=start,
        column=place,
        cut=np.full(len(place), 0.5),
        up=up,
        terms=np.arange(len(place), dtype=np.intp)[:, None],
        coefficient=np.where(up, 1.0, -1.0)[:, None] * w[place],
        slope=np.where(there, 0.0, 1.0 / encoder.scale[columns])[:, None] * w,
    )


def _sums(
    leaves: Leaves, at: NDArray[np.intp], here: NDArray[np.int64], bottom: NDArray[np.int64], top: NDArray[np.int64]
) -> tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.bool_]]:
    """Open conditions as constant [n] + sum of sign * crossing: thresholds [n, 2] (-1: none), signs, constants."""
    f, lo, hi = leaves.feature[at], leaves.low[at], leaves.high[at]
    level = here[f]
    lower = np.where(lo > bottom[f], leaves.offset[f] + lo - 1, -1)  # the threshold below the interval
    upper = np.where(hi < top[f], leaves.offset[f] + hi, -1)  # the one above it
    inside = (lo <= level) & (level <= hi)
    # Below the interval one has to come over its lower threshold and stay under the upper one; above, the other way.
    sign_lower = np.where(inside, -1, np.where(level < lo, 1, -1))
    sign_upper = np.where(inside, -1, np.where(level < lo, -1, 1))
    return np.stack([lower, upper], axis=1), np.stack([sign_lower, sign_upper], axis=1), inside


def _expanded(
    leaf: NDArray[np.intp],
    cut: NDArray[np.intp],
    sign: NDArray[np.int64],
    constant: NDArray[np.bool_],
    crossings: int,
) -> tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.float64]]:
    """Products multiplied out, condition after condition: leaf, packed crossings (0: none) and sign of every term."""
    owner, first, many = np.unique(leaf, return_index=True, return_counts=True)
    base = crossings + 1
    longest = int(many.max(initial=0))
    if longest * np.log2(base) > 62:
        raise UsageError(f"A leaf of the model hangs on {longest} features that these edits change: too many.")
    rows, terms, signs = np.arange(len(owner)), np.zeros(len(owner), dtype=np.int64), np.ones(len(owner))
    for rank in range(longest):
        more = many[rows] > rank
        at = first[rows[more]] + rank
        parts = [(rows[~more], terms[~more], signs[~more])]
        stay = np.flatnonzero(more)[constant[at]]
        parts.append((rows[stay], terms[stay], signs[stay]))
        for side in (0, 1):
            there = cut[at, side] >= 0
            go, c = np.flatnonzero(more)[there], at[there]
            parts.append((rows[go], terms[go] * base + cut[c, side] + 1, signs[go] * sign[c, side]))
        rows, terms, signs = (np.concatenate([p[i] for p in parts]) for i in range(3))
        if len(rows) > MOST:
            raise UsageError(f"The model around this claim has more than {MOST} terms.")
    return owner[rows], terms, signs


def _unpacked(keys: NDArray[np.int64], crossings: int) -> NDArray[np.intp]:
    """Packed crossings to one row a term, -1 where there are fewer."""
    rows = []
    left = keys.copy()
    while left.any():
        rows.append(left % (crossings + 1) - 1)
        left = left // (crossings + 1)
    return np.stack(rows, axis=1) if rows else np.zeros((len(keys), 0), dtype=np.intp)
