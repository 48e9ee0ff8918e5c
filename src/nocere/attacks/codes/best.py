"""The best permitted set of edits of a claim under a model whose structure is known, and whether that is proven.

A beam over the tables gives a permitted set to start from; then every set that is worth more is listed, best first, and
the first one that the rules permit is the optimum. Rules are only asked about sets that would win.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.codes.leaves import Leaves, leaves
from nocere.attacks.codes.polynomial import Polynomial, around, linear, reach
from nocere.attacks.codes.program import Program
from nocere.attacks.codes.sets import LARGEST, Sets
from nocere.attacks.codes.steps import options
from nocere.attacks.structure.clauses import Clause
from nocere.cases.claim import Claim
from nocere.core.case import Case
from nocere.core.errors import UsageError
from nocere.targets.claims.structure import ClaimStructure
from nocere.targets.structure import LinearForm
from nocere.threats.codes.edit import Edit, ordered

WIDTH = 24
SAME = 1e-12  # values that differ by less are one
NEAR = 1e-6  # how far a bound of the integer program may be off


class CodeSet(Protocol):
    """A perturbation set that lists its single edits and judges sets of them."""

    def edits(self, case: Case[Claim]) -> tuple[Edit, ...]: ...
    def compatible(self, a: Edit, b: Edit) -> bool: ...
    def permits(self, case: Case[Claim], edits: Sequence[Edit]) -> bool: ...


@dataclass(frozen=True, slots=True)
class Best:
    """What an exact search found for one claim.

    Args:
        value: smallest condition after the best permitted set; -inf where nothing is permitted.
        edits: that set, in the order of proofs; empty where nothing is permitted.
        bound: no permitted set has more.
        greedy: value after taking the best single permitted edit again and again.
        clean: value of the claim itself.
        sets: sets of options whose value was computed or bounded away.
        asked: sets of edits that the rules were asked about.
    """

    value: float
    edits: tuple[Edit, ...]
    bound: float
    greedy: float
    clean: float
    sets: int
    asked: int

    @property
    def proven(self) -> bool:
        """Whether `value` is the optimum."""
        return self.bound <= self.value + SAME

    @property
    def gap(self) -> float:
        """What greedy misses."""
        return max(0.0, self.value - self.greedy)


@lru_cache(maxsize=8)
def _leaves(structure: ClaimStructure) -> Leaves:
    assert not isinstance(structure.form, LinearForm)
    return leaves(structure.form, structure.encoder.width)


@lru_cache(maxsize=8)
def _used(structure: ClaimStructure) -> NDArray[np.bool_]:
    """Columns that the model reads."""
    if isinstance(structure.form, LinearForm):
        return np.asarray((structure.form.weight != 0).any(axis=1))
    out = np.zeros(structure.encoder.width, dtype=bool)
    out[structure.form.feature[structure.form.feature >= 0]] = True
    return out


class Search:
    """Sets of at most `most` edits of one claim, under one model and one set of rules."""

    def __init__(self, case: Case[Claim], pset: CodeSet, structure: ClaimStructure, most: int, *, tries: int) -> None:
        self.case, self.pset, self.structure, self.tries = case, pset, structure, tries
        self.base = structure.encoder.counts([case.x])[0]
        self.made = options(case, pset.edits(case), structure.encoder, _used(structure), self.base)
        self.most = min(most, len(self.made))
        self.asked = 0

    def polynomial(self, clause: Clause) -> Polynomial:
        """The model around the claim, read by a clause."""
        s, made = self.structure, self.made
        if isinstance(s.form, LinearForm):
            return linear(s.form, s.encoder, self.base, made.columns, clause.weight, clause.offset)
        low, high = reach(made.steps, made.counts, self.most)
        return around(_leaves(s), s.encoder, self.base, made.columns, low, high, clause.weight, clause.offset)

    def best(self, clause: Clause) -> Best:
        """The best permitted set for a clause."""
        self.asked = 0
        if not len(self.made):
            clean = self._clean(clause)
            return Best(-np.inf, (), -np.inf, clean, clean, 0, 0)
        try:
            return self._enumerated(clause)
        except UsageError:
            return self._programmed(clause)

    def ranked(self, clause: Clause, floor: float) -> Iterator[tuple[float, tuple[Edit, ...]]]:
        """Every permitted set of options that is worth more than `floor`, best first, by its first permitted edits."""
        found = Sets(self.made, self.polynomial(clause), self.structure.encoder, self.most).above(floor)
        for value, chosen in zip(found.value.tolist(), found.sets, strict=True):
            edits = self._permitted(chosen)
            if edits:
                yield value, edits

    # --- by tables -------------------------------------------------------------------------------------------------

    def _enumerated(self, clause: Clause) -> Best:
        if self.most > LARGEST:
            raise UsageError(f"Sets of more than {LARGEST} edits are not enumerated.")
        polynomial = self.polynomial(clause)
        sets = Sets(self.made, polynomial, self.structure.encoder, self.most)
        beam = sets.beam(WIDTH)
        value: float = -np.inf
        chosen: tuple[int, ...] = ()
        edits: tuple[Edit, ...] = ()
        for v, some in zip(beam.value.tolist(), beam.sets, strict=True):
            edits = self._permitted(some)
            if edits:
                value, chosen = v, some
                break
        counted, bound = 0, value
        for floor in (value,) if chosen else (float(polynomial.base.min()), -np.inf):
            found = sets.above(floor)
            counted += sets.counted
            limit, v, some, first = self._first(found.value, found.sets)
            bound = max(bound, limit)
            if first:
                value, chosen, edits = v, some, first
            if limit > -np.inf:
                break
        if chosen:
            edits = self._fewest(sets, value, chosen) or edits
        clean = float(polynomial.base.min())
        return Best(value, edits, bound, self._greedy(sets, clean), clean, counted, self.asked)

    def _first(
        self, values: NDArray[np.float64], sets: tuple[tuple[int, ...], ...]
    ) -> tuple[float, float, tuple[int, ...], tuple[Edit, ...]]:
        """A bound on permitted sets among these, then value, options and edits of the first one (-inf: none)."""
        for value, some in zip(values.tolist(), sets, strict=True):
            if self.asked >= self.tries:
                return value, -np.inf, (), ()
            edits = self._permitted(some)
            if edits:
                return value, value, some, edits
        return -np.inf, -np.inf, (), ()

    def _permitted(self, chosen: tuple[int, ...]) -> tuple[Edit, ...]:
        """The first permitted edits behind a set of options, or none."""
        for index in itertools.product(*(self.made.members[o] for o in chosen)):
            edits = ordered([self.made.edits[i] for i in index])
            self.asked += 1
            if self.pset.permits(self.case, edits):
                return edits
            if self.asked >= self.tries:
                break
        return ()

    def _fewest(self, sets: Sets, value: float, chosen: tuple[int, ...]) -> tuple[Edit, ...]:
        """The fewest of the chosen options that are worth the same, where there are fewer."""
        fewer = [c for size in range(1, len(chosen)) for c in itertools.combinations(chosen, size)]
        for some, v in zip(fewer, sets.values(fewer), strict=True):
            if v >= value - SAME and (edits := self._permitted(some)):
                return edits
        return ()

    def _greedy(self, sets: Sets, value: float) -> float:
        """Value after taking the best single permitted option again and again, as long as it helps."""
        now: tuple[int, ...] = ()
        while len(now) < self.most:
            free = np.flatnonzero(~self.made.clash[list(now)].any(axis=0))
            more = [tuple(sorted((*now, int(o)))) for o in free]
            values = sets.values(more)
            order = sorted(range(len(more)), key=lambda i: (-values[i], more[i]))
            step = next((i for i in order if values[i] <= value or self._permitted(more[i])), None)
            if step is None or values[step] <= value:
                break
            now, value = more[step], float(values[step])
        return value

    # --- by integer program ----------------------------------------------------------------------------------------

    def _programmed(self, clause: Clause) -> Best:
        program = Program(self.case.x, self.made.edits, self.pset.compatible, self.structure, self.most)

        def permits(edits: Sequence[Edit]) -> bool:
            self.asked += 1
            return self.pset.permits(self.case, edits)

        s = program.solve(clause, permits, tries=max(1, self.tries // 100))
        # The solver works to 1e-6: a bound that near is met.
        bound = s.value if s.edits and s.bound <= s.value + NEAR else s.bound
        return Best(s.value, s.edits, bound, s.value, self._clean(clause), 0, self.asked)

    def _clean(self, clause: Clause) -> float:
        outputs = self.structure.form.outputs(self.structure.encoder.finish(self.base[None]))
        return float(clause.values(outputs).min())
