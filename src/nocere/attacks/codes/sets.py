"""Every set of at most four options and its exact value, from what options add alone, in pairs, triples and quads.

Options that change the same feature do not add up. A feature that many of them change (the number of diagnoses) is a
counter: its state follows from the sum of their steps, and every value is kept once for each state. Connected groups
of other such options (two codes behind one class) are one part with crossings of its own. Parts of a set then share no
crossing, and a term of the polynomial counts for a set when its crossings can be dealt out to the parts: sums over
terms are matrix products for pairs and sparse lists beyond, and the values of all sets a few additions of arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.codes.counters import counters
from nocere.attacks.codes.polynomial import Polynomial
from nocere.attacks.codes.steps import Options
from nocere.core.errors import UsageError
from nocere.targets.claims.encoder import Encoder

LARGEST = 4  # options of a set
MOST = 20_000_000  # sets that are held at once
GROUPS = 4_000  # groups of options that do not add up
DENSE = 4_000_000

Ints = NDArray[np.intp]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Found:
    """Sets of options with their values, best first; of equal ones the smallest first."""

    value: Floats
    sets: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class _Interactions:
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


class Sets:
    """All sets of at most `most` options that touch nothing together; their value is the smallest of the conditions.

    Tables hold w = states * conditions numbers for every set of parts.
    """

    def __init__(self, made: Options, polynomial: Polynomial, encoder: Encoder, most: int) -> None:
        if most > LARGEST:
            raise UsageError(f"Sets of more than {LARGEST} edits are not enumerated.")
        self.most, self.conditions = most, len(polynomial.base)
        self.counters = counters(made, polynomial, encoder, most)
        reduced = self.counters.reduced(polynomial)
        self.parts, step, crossed, self.fits, self.linked = _parts(made, reduced, encoder, most)
        self.place = {part: k for k, part in enumerate(self.parts)}
        self.code = self.counters.codes(step)
        self.size = np.array([len(p) for p in self.parts], dtype=np.int64)
        reduced = _within_reach(reduced, crossed, self.size, most)
        self.base = reduced.base
        self.single, self.pair = _first_and_second(reduced, crossed)
        self.single += np.tile(step @ polynomial.slope, self.counters.number)
        self.triple = self._interactions(reduced, crossed, 3)
        self.quad = self._interactions(reduced, crossed, 4)
        self.counted = 0

    # --- sets ------------------------------------------------------------------------------------------------------

    def above(self, floor: float) -> Found:
        """All sets whose smallest condition is more than `floor`."""
        self.counted = 0
        values: list[Floats] = [np.zeros(0)]
        found: list[tuple[int, ...]] = []
        for parts, value in self._grown(floor):
            self.counted += len(value)
            good = np.flatnonzero(value > floor)
            values.append(value[good])
            found += [self.options(row) for row in parts[good].tolist()]
        every = np.concatenate(values)
        order = sorted(range(len(found)), key=lambda i: (-every[i], len(found[i]), found[i]))
        return Found(every[order], tuple(found[i] for i in order))

    def options(self, parts: list[int]) -> tuple[int, ...]:
        """The options of a set of parts."""
        return tuple(sorted(o for p in parts for o in self.parts[p]))

    def beam(self, width: int) -> Found:
        """The best sets that grow part by part from the `width` best ones before."""
        values, found = [], []
        n = len(self.parts)
        rows = np.zeros((1, 0), dtype=np.intp)
        for _ in range(self.most if n else 0):
            size = self.size[rows].sum(axis=1) if rows.shape[1] else np.zeros(len(rows), dtype=np.int64)
            mask = self.size[None] + size[:, None] <= self.most
            for a in range(rows.shape[1]):
                mask &= self.fits[rows[:, a]]
            row, new = np.nonzero(mask)
            if not row.size:
                break
            rows = np.unique(np.sort(np.column_stack([rows[row], new]), axis=1), axis=0)
            value = self.value(rows)
            best = np.argsort(-value, kind="stable")[:width]
            rows = rows[best]
            values.append(value[best])
            found += [self.options(r) for r in rows.tolist()]
        every = np.concatenate(values) if values else np.zeros(0)
        order = sorted(range(len(found)), key=lambda i: (-every[i], len(found[i]), found[i]))
        return Found(every[order], tuple(found[i] for i in order))

    def values(self, sets: Sequence[tuple[int, ...]]) -> Floats:
        """Smallest condition [n] of sets of options, each in ascending order."""
        rows = [self._divided(s) for s in sets]
        out = np.zeros(len(rows))
        for r in {len(row) for row in rows}:
            mine = [i for i, row in enumerate(rows) if len(row) == r]
            out[mine] = self.value(np.array([rows[i] for i in mine], dtype=np.intp))
        return out

    def _divided(self, chosen: tuple[int, ...]) -> list[int]:
        """The parts that a set of options consists of."""
        groups: list[set[int]] = []
        for o in chosen:
            near = [g for g in groups if any(self.linked[o, p] for p in g)]
            groups = [*(g for g in groups if g not in near), set().union({o}, *near)]
        return sorted(self.place[tuple(sorted(g))] for g in groups)

    def value(self, parts: Ints) -> Floats:
        """Smallest condition [n] of sets of parts [n, r], each in ascending order."""
        out = self.base + self.single[parts].sum(axis=1)
        r = parts.shape[1]
        for a in range(r):
            for b in range(a + 1, r):
                out = out + self.pair[parts[:, a], parts[:, b]]
                for c in range(b + 1, r):
                    out = out + self.triple.of(parts[:, a], parts[:, b], parts[:, c])
        out = out + self.quad.of(*parts.T) if r == LARGEST else out
        return self._smallest(out, self.code[parts].sum(axis=1))

    def _smallest(self, values: Floats, code: Ints) -> Floats:
        """The smallest condition [n] of values [n, w], in the state of the counters."""
        if self.conditions == 1 and values.shape[1] == 1:
            return values[:, 0]
        state = self.counters.state(code)
        return values.reshape(len(values), self.counters.number, self.conditions)[np.arange(len(values)), state].min(
            axis=1
        )

    def _grown(self, floor: float) -> Iterator[tuple[Ints, Floats]]:
        """Sets of one part, two, three, four with their smallest condition, but for those that stay below the floor."""
        n = len(self.parts)
        now = np.arange(n, dtype=np.intp)[:, None]
        value, code, room = self.base + self.single, self.code, self.most - self.size
        yield now, self._smallest(value, code)
        for r in range(2, self.most + 1):
            if r == self.most:
                keep = np.flatnonzero(self._may_rise(now, value, code, floor))
                now, value, code, room = now[keep], value[keep], code[keep], room[keep]
            mask = (self.size[None] <= room[:, None]) & (np.arange(n)[None] > now[:, -1:])
            for a in range(r - 1):
                mask &= self.fits[now[:, a]]
            row, new = np.nonzero(mask)
            if len(row) > MOST:
                raise UsageError(f"The claim has more than {MOST} sets of {r} edits.")
            value = value[row] + self._addition(now[row], new)
            now, room, code = np.column_stack([now[row], new]), room[row] - self.size[new], code[row] + self.code[new]
            yield now, self._smallest(value, code)

    def _addition(self, parts: Ints, new: Ints) -> Floats:
        """What one more part [n], after all others in order, adds to sets of parts [n, r]: [n, w]."""
        out = self.single[new]
        r = parts.shape[1]
        for a in range(r):
            out = out + self.pair[parts[:, a], new]
            for b in range(a + 1, r):
                out = out + self.triple.of(parts[:, a], parts[:, b], new)
        return out + self.quad.of(*parts.T, new) if r == LARGEST - 1 else out

    def _may_rise(self, parts: Ints, values: Floats, code: Ints, floor: float) -> NDArray[np.bool_]:
        """Which sets of parts [n, r] one more part may lift above the floor, by an upper bound."""
        r = parts.shape[1]
        beyond = self.triple.highest * (r * (r - 1) // 2) + (self.quad.highest if r == LARGEST - 1 else 0.0)
        each = np.where(self.fits[:, :, None], self.single[None] / r + self.pair, -np.inf)
        out = np.zeros(len(parts), dtype=bool)
        for jump in np.unique(self.code):
            best = each[:, self.code == jump].max(axis=1)
            high = values + beyond
            for a in range(r):
                high = high + best[parts[:, a]]
            out |= self._smallest(high, code + jump) > floor
        return out

    # --- interactions of three and four ----------------------------------------------------------------------------

    def _interactions(self, polynomial: Polynomial, crossed: NDArray[np.bool_], r: int) -> _Interactions:
        n, w = len(self.parts), len(polynomial.base)
        keys, values = [np.zeros(0, dtype=np.intp)], [np.zeros((0, w))]
        if r <= self.most:
            may = self.fits & (self.size[:, None] + self.size[None] <= self.most)
            # Parts come by size, and every other part of a set has one option at least.
            few = int(np.searchsorted(self.size, self.most - r + 2))
            for blocks, coefficient in _dealt(polynomial, crossed[:few], r):
                term, index = _products(blocks, may)
                small = np.flatnonzero(self.size[index].sum(axis=1) <= self.most)
                index, term = np.sort(index[small], axis=1), term[small]
                key = index[:, 0]
                for i in range(1, r):
                    key = key * n + index[:, i]
                keys.append(key)
                values.append(coefficient[term])
        every, where = np.unique(np.concatenate(keys), return_inverse=True)
        weights = np.concatenate(values)
        sums = np.stack([np.bincount(where, weights[:, k], len(every)) for k in range(w)], axis=1)
        dense = None
        if n**r * w <= DENSE and len(every):
            dense = np.zeros((n**r, w))
            dense[every] = sums
        return _Interactions(every, sums, dense, n)


def _parts(
    made: Options, polynomial: Polynomial, encoder: Encoder, most: int
) -> tuple[list[tuple[int, ...]], NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Single options and connected groups of options that do not add up: their steps [parts, c], crossings [parts, v],
    which of them go together, and which options do not add up."""
    n = len(made)
    changes = (made.steps[:, np.unique(polynomial.column)] != 0).astype(np.float32)
    linked = (changes @ changes.T > 0) & ~made.clash
    for a, b in made.joint:
        linked[a, b] = linked[b, a] = True
    groups = [np.arange(n, dtype=np.intp)[:, None]]
    for _ in range(1, most):
        last = groups[-1]
        row, new = np.nonzero(linked[last].any(axis=1) & ~made.clash[last].any(axis=1))
        if not row.size:
            break
        groups.append(np.unique(np.sort(np.column_stack([last[row], new]), axis=1), axis=0))
    if sum(map(len, groups)) > GROUPS:
        raise UsageError(f"More than {GROUPS} groups of edits of this claim change the same features.")
    sums = []
    for group in groups:
        step = made.steps[group].sum(axis=1)
        for (a, b), beyond in made.joint.items() if group.shape[1] > 1 else ():
            step[(group == a).any(axis=1) & (group == b).any(axis=1)] += beyond
        sums.append(step)
    steps = np.concatenate(sums)
    crossed = polynomial.crossed(encoder.finish(made.counts + steps, made.columns))
    parts = [tuple(row) for group in groups for row in group.tolist()]
    holds = np.zeros((len(parts), n), dtype=np.float32)
    holds[np.repeat(np.arange(len(parts)), [len(p) for p in parts]), [o for p in parts for o in p]] = 1.0
    against = holds @ (made.clash | linked).astype(np.float32) @ holds.T
    return parts, steps, crossed, against == 0, linked


def _within_reach(polynomial: Polynomial, crossed: NDArray[np.bool_], size: NDArray[np.int64], most: int) -> Polynomial:
    """Without the terms whose crossings are too many for `most` options, by how many an option has at most."""
    there = polynomial.terms >= 0
    has = (crossed[:, np.maximum(polynomial.terms, 0)] & there).sum(axis=2)
    rate = (has / size[:, None]).max(axis=0, initial=0.0)
    return polynomial.take(there.sum(axis=1) <= most * rate)


def _first_and_second(polynomial: Polynomial, crossed: NDArray[np.bool_]) -> tuple[Floats, Floats]:
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
