"""What sets of parts add beyond their smaller sets: terms of a polynomial dealt out to pairs, triples and quads.

Parts of a set share no crossing, so a term counts for exactly the sets to whose parts its crossings can be dealt out.
For pairs the sums over terms are matrix products; beyond, few parts have a share of a term: lists of them are joined.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.codes.polynomial import Polynomial

DENSE = 4_000_000

Ints: TypeAlias = NDArray[np.intp]
Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interactions:
    """What sets of parts of one size add beyond their smaller sets, by sorted parts packed into one key."""

    keys: Ints
    values: Floats  # [keys, w]
    dense: Floats | None  # [all keys, w]
    parts: int

    def of(self, *index: Ints) -> Floats:
        """Values [n, w] of sets whose parts are given in ascending order."""
        key = index[0]
        for i in index[1:]:
            key = key * self.parts + i
        if self.dense is not None:
            return self.dense[key]
        if not len(self.keys):
            return np.zeros((len(key), self.values.shape[1]))
        at = np.minimum(np.searchsorted(self.keys, key), len(self.keys) - 1)
        return np.where((self.keys[at] == key)[:, None], self.values[at], 0.0)

    @property
    def highest(self) -> float:
        """The largest value, 0 at least."""
        return max(0.0, float(self.values.max(initial=0.0)))


def interactions(
    polynomial: Polynomial,
    crossed: NDArray[np.bool_],
    fits: NDArray[np.bool_],
    size: NDArray[np.int64],
    most: int,
    r: int,
) -> Interactions:
    """What sets of r parts add.

    Args:
        polynomial: around the claim.
        crossed: crossings of each part [parts, v].
        fits: which parts go together [parts, parts].
        size: options in each part [parts], ascending.
        most: options of a set.
        r: parts of a set.
    """
    n, w = len(size), len(polynomial.base)
    keys, values = [np.zeros(0, dtype=np.intp)], [np.zeros((0, w))]
    if r <= most:
        may = fits & (size[:, None] + size[None] <= most)
        # Every other part of a set has one option at least.
        few = int(np.searchsorted(size, most - r + 2))
        for blocks, coefficient in _dealt(polynomial, crossed[:few], r):
            term, index = _products(blocks, may)
            small = np.flatnonzero(size[index].sum(axis=1) <= most)
            index, term = np.sort(index[small], axis=1), term[small]
            key = index[:, 0]
            for i in range(1, r):
                key = key * n + index[:, i]
            keys.append(key)
            values.append(coefficient[term])
    every, where = np.unique(np.concatenate(keys), return_inverse=True)
    weights = np.concatenate(values)
    sums = np.zeros((len(every), w))
    for k in range(w):
        sums[:, k] = np.bincount(where, weights[:, k], len(every))
    dense = None
    if n**r * w <= DENSE and len(every):
        dense = np.zeros((n**r, w))
        dense[every] = sums
    return Interactions(every, sums, dense, n)


def within_reach(polynomial: Polynomial, crossed: NDArray[np.bool_], size: NDArray[np.int64], most: int) -> Polynomial:
    """Without the terms whose crossings are too many for `most` options, by how many an option has at most."""
    there = polynomial.terms >= 0
    has = (crossed[:, np.maximum(polynomial.terms, 0)] & there).sum(axis=2)
    rate = (has / size[:, None]).max(axis=0, initial=0.0)
    return polynomial.take(there.sum(axis=1) <= most * rate)


def first_and_second(polynomial: Polynomial, crossed: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """What single parts add [n, w], and what pairs add beyond that [n, n, w]."""
    n, w = len(crossed), len(polynomial.base)
    single, pair = np.zeros((n, w)), np.zeros((n, n, w))
    for (block,), coefficient in _dealt(polynomial, crossed, 1):
        single += block @ coefficient
    for (one, other), coefficient in _dealt(polynomial, crossed, 2):
        for k in range(w):
            half = (one * coefficient[:, k]) @ other.T
            pair[:, :, k] += half + half.T
    return single, pair


def _dealt(polynomial: Polynomial, crossed: NDArray[np.bool_], r: int) -> Iterator[tuple[list[Floats], Floats]]:
    """Terms with their crossings dealt out to r parts, every way once: which parts have each share, [n, terms], and
    coefficients [terms, w]."""
    degree = (polynomial.terms >= 0).sum(axis=1)
    seen = crossed.astype(np.float64)
    for d in np.unique(degree[degree >= r]).tolist():
        mine = np.flatnonzero(degree == d)
        terms = np.sort(polynomial.terms[mine], axis=1)[:, -d:]
        has = sum(seen[:, terms[:, i]] for i in range(d))
        mine = mine[np.max(has, axis=0, initial=0.0) * r >= d]
        terms = np.sort(polynomial.terms[mine], axis=1)[:, -d:]
        columns = [seen[:, terms[:, i]] for i in range(d)]
        for shares in _partitions(d, r) if mine.size else ():
            blocks = []
            for share in shares:
                block = columns[share[0]]
                for i in share[1:]:
                    block = block * columns[i]
                blocks.append(block)
            some = np.flatnonzero(np.logical_and.reduce([b.any(axis=0) for b in blocks]))
            if some.size:
                yield [b[:, some] for b in blocks], polynomial.coefficient[mine[some]]


@lru_cache(maxsize=64)
def _partitions(d: int, r: int) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """Ways to deal d things out to r nameless parts, none of them empty."""
    ways: list[tuple[tuple[int, ...], ...]] = []

    def deal(i: int, shares: list[list[int]]) -> None:
        if len(shares) + d - i < r:
            return
        if i == d:
            ways.append(tuple(tuple(s) for s in shares))
            return
        for share in shares:
            share.append(i)
            deal(i + 1, shares)
            share.pop()
        if len(shares) < r:
            deal(i + 1, [*shares, [i]])

    deal(0, [])
    return tuple(ways)


def _products(blocks: list[Floats], may: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """For every term, all choices of one part a share [choices, r] whose parts go together in pairs."""
    term, first = np.nonzero(blocks[0].T)
    chosen = first[:, None]
    for block in blocks[1:]:
        owner, part = np.nonzero(block.T)
        start = np.searchsorted(owner, np.arange(block.shape[1] + 1))
        many = (start[1:] - start[:-1])[term]
        row = np.repeat(np.arange(len(term)), many)
        within = np.arange(len(row)) - np.repeat(np.cumsum(many) - many, many)
        new = part[start[term[row]] + within]
        good = np.ones(len(row), dtype=bool)
        for a in range(chosen.shape[1]):
            good &= may[chosen[row, a], new]
        row, new = row[good], new[good]
        term, chosen = term[row], np.column_stack([chosen[row], new])
    return term, chosen
