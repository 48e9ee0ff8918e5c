"""Features that many edits change by steps that add up: their state is known from a sum, whatever the edits are."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.codes.polynomial import Polynomial, reach
from nocere.attacks.codes.steps import Options
from nocere.targets.claims.encoder import Encoder

PAIRS = 10  # pairs of edits on one feature, from which on it is a counter
CODES = 4_096
STATES = 64


@dataclass(frozen=True, slots=True)
class Counters:
    """Counters of one claim.

    Args:
        columns: those of the options that are counters [k].
        weight: a change [k] of the counters has the code weight . change, which adds up over edits.
        shift: code of no change.
        states: state by shifted code.
        passed: crossings of the counters in each state [states, v].
    """

    columns: NDArray[np.intp]
    weight: NDArray[np.int64]
    shift: int
    states: NDArray[np.intp]
    passed: NDArray[np.bool_]

    @property
    def number(self) -> int:
        """How many states there are."""
        return len(self.passed)

    def codes(self, steps: NDArray[np.int64]) -> NDArray[np.intp]:
        """Codes [n] of changes of all columns [n, c]."""
        return np.asarray(steps[:, self.columns] @ self.weight, dtype=np.intp)

    def state(self, codes: NDArray[np.intp]) -> NDArray[np.intp]:
        """State [n] after changes of these codes; codes that no set of edits has may be among them."""
        return self.states[np.clip(codes + self.shift, 0, len(self.states) - 1)]

    def reduced(self, polynomial: Polynomial) -> Polynomial:
        """The polynomial without the counters' crossings, its numbers once for each state: [states * m] for each m."""
        if not self.columns.size:
            return polynomial
        counted = np.isin(polynomial.column, self.columns)
        terms = polynomial.terms
        mine = (terms >= 0) & counted[np.maximum(terms, 0)]
        # A term has at most one crossing of each feature, and is there in the states that have passed all of them.
        on = np.ones((len(terms), len(self.passed)), dtype=bool)
        for i in range(terms.shape[1]):
            on &= ~mine[:, i : i + 1] | self.passed[:, np.maximum(terms[:, i], 0)].T
        left = np.sort(np.where(mine, -1, terms), axis=1)
        m = len(polynomial.base)
        spread = (on[:, :, None] * polynomial.coefficient[:, None]).reshape(len(terms), m * self.number)
        rows, where = np.unique(left, axis=0, return_inverse=True)
        sums = np.zeros((len(rows), spread.shape[1]))
        np.add.at(sums, where.ravel(), spread)
        empty = (rows < 0).all(axis=1)
        base = np.tile(polynomial.base, len(self.passed)) + sums[empty].sum(axis=0)
        kept = np.flatnonzero(~counted)
        place = np.full(len(counted) + 1, -1, dtype=np.intp)
        place[kept] = np.arange(len(kept))
        return replace(
            polynomial,
            base=base,
            column=polynomial.column[kept],
            cut=polynomial.cut[kept],
            up=polynomial.up[kept],
            terms=place[rows[~empty]],
            coefficient=sums[~empty],
        )


def counters(made: Options, polynomial: Polynomial, encoder: Encoder, most: int) -> Counters:
    """The counters of a claim: features that more than a few pairs of its options change together."""
    free = ~made.clash
    columns: list[int] = []
    low, high = reach(made.steps, made.counts, most)
    size = 1
    for c in np.unique(polynomial.column).tolist():
        on = made.steps[:, c] != 0
        span = int(high[c] - low[c]) + 1
        if free[np.ix_(on, on)].sum() > 2 * PAIRS and size * span <= CODES:
            columns.append(c)
            size *= span
    at = np.array(columns, dtype=np.intp)
    spans = high[at] - low[at] + 1
    weight = np.concatenate([[1], np.cumprod(spans)[:-1]]).astype(np.int64)[: len(at)]
    grid = np.stack(np.unravel_index(np.arange(size), tuple(spans), order="F"), axis=1) if columns else np.zeros((1, 0))
    values = np.repeat(encoder.finish(made.counts, made.columns)[None], size, axis=0)
    values[:, at] = encoder.finish(low[at] + grid.astype(np.int64), made.columns[at])
    crossed = polynomial.crossed(values)
    crossed[:, ~np.isin(polynomial.column, at)] = False
    passed, states = np.unique(crossed, axis=0, return_inverse=True)
    if len(passed) > STATES:
        return _none(len(polynomial.column))
    return Counters(at, weight, int((made.counts[at] - low[at]) @ weight), states.ravel().astype(np.intp), passed)


def _none(crossings: int) -> Counters:
    nothing = np.zeros(0, dtype=np.int64)
    return Counters(nothing, nothing, 0, np.zeros(1, dtype=np.intp), np.zeros((1, crossings), dtype=bool))
