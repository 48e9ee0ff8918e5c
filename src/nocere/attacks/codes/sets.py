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

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.codes.counters import counters
from nocere.attacks.codes.interactions import Floats, Ints, first_and_second, interactions, within_reach
from nocere.attacks.codes.polynomial import Polynomial
from nocere.attacks.codes.steps import Options
from nocere.core.errors import UsageError
from nocere.targets.claims.encoder import Encoder

LARGEST = 4  # options of a set
MOST = 20_000_000  # sets that are held at once
GROUPS = 4_000  # groups of options that do not add up


@dataclass(frozen=True, slots=True)
class Found:
    """Sets of options with their values, best first; of equal ones the smallest first."""

    value: Floats
    sets: tuple[tuple[int, ...], ...]


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
        reduced = within_reach(reduced, crossed, self.size, most)
        self.base = reduced.base
        self.single, self.pair = first_and_second(reduced, crossed)
        self.single += np.tile(step @ polynomial.slope, self.counters.number)
        self.triple = interactions(reduced, crossed, self.fits, self.size, most, 3)
        self.quad = interactions(reduced, crossed, self.fits, self.size, most, 4)
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
        by_state = values.reshape(len(values), self.counters.number, self.conditions)
        return np.asarray(by_state[np.arange(len(values)), state].min(axis=1))

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
