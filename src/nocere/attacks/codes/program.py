"""The same question as an integer program on HiGHS (Kantchelian et al. 2016, arXiv:1509.07892, with rules of edits).

One binary an edit, one for each threshold that edits can push a feature over, one share for each leaf that can be
reached. It serves sets of more than four edits, and it is what certificates are checked with: apart from `replay`, the
encoder and the trees themselves it shares nothing with the search by tables.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.structure.clauses import Clause
from nocere.cases.claim import Claim
from nocere.targets.claims.structure import ClaimStructure
from nocere.targets.structure import LinearForm, TreeEnsemble
from nocere.threats.codes.edit import Edit, ordered, replay

SECONDS = 20.0
NEVER = 1 << 50
PRICE = 1e-8  # of an edit in the objective: what changes nothing is left out
Permits = Callable[[Sequence[Edit]], bool]


@dataclass(frozen=True, slots=True)
class Solved:
    """The best set that the rules permit (-inf and empty: none), and a bound that holds for every permitted set."""

    value: float
    edits: tuple[Edit, ...]
    bound: float


@dataclass(slots=True)
class _Rows:
    """Constraints lower <= row . variables <= upper, and variables with their ends, as they come."""

    entries: list[tuple[int, int, float]] = field(default_factory=list)
    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    ends: list[tuple[float, float, int]] = field(default_factory=list)  # low, high, whole

    def variable(self, low: float = 0.0, high: float = 1.0, *, whole: bool = False) -> int:
        self.ends.append((low, high, int(whole)))
        return len(self.ends) - 1

    def add(self, terms: Sequence[tuple[int, float]], lower: float = -np.inf, upper: float = np.inf) -> None:
        self.entries += [(len(self.lower), v, c) for v, c in terms]
        self.lower.append(lower)
        self.upper.append(upper)


class Program:
    """The integer program of one claim.

    Args:
        claim: the original.
        edits: single edits.
        compatible: whether two of them can be in one set.
        structure: of the model.
        most: edits of a set.
    """

    def __init__(
        self,
        claim: Claim,
        edits: Sequence[Edit],
        compatible: Callable[[Edit, Edit], bool],
        structure: ClaimStructure,
        most: int,
    ) -> None:
        self.claim, self.edits, self.structure, self.most = claim, tuple(edits), structure, most
        self.rows = _Rows()
        self.x = [self.rows.variable(whole=True) for _ in edits]
        self.rows.add([(i, 1.0) for i in self.x], 1.0, float(most))
        encoder = structure.encoder
        self.presence, self.scale = encoder.presence, encoder.scale
        every = encoder.counts([claim, *(replay(claim, [e]) for e in edits)])
        self.base = every[0]
        steps = every[1:] - self.base
        self.moved: dict[int, list[tuple[int, float]]] = {
            int(c): [(int(i), float(steps[i, c])) for i in np.flatnonzero(steps[:, c])]
            for c in np.flatnonzero(steps.any(axis=0))
        }
        first = [k for k, e in enumerate(edits) if replay(claim, [e]).principal != claim.principal]
        for a, b in itertools.combinations(range(len(edits)), 2):
            if not compatible(self.edits[a], self.edits[b]):
                self.rows.add([(a, 1.0), (b, 1.0)], upper=1.0)
            elif a in first and b in first:
                self._pair(a, b, steps)
        ordered_steps = np.sort(steps, axis=0)
        self.low = self.base + np.minimum(ordered_steps[:most], 0).sum(axis=0)
        self.high = self.base + np.maximum(ordered_steps[max(0, len(edits) - most) :], 0).sum(axis=0)
        self.over: dict[tuple[int, int], int] = {}

    def _pair(self, a: int, b: int, steps: NDArray[np.int64]) -> None:
        """What two edits that both change the principal diagnosis do beyond the sum of their steps."""
        try:
            together = self.structure.encoder.counts([replay(self.claim, ordered([self.edits[a], self.edits[b]]))])[0]
        except ValueError:
            self.rows.add([(a, 1.0), (b, 1.0)], upper=1.0)
            return
        beyond = together - self.base - steps[a] - steps[b]
        if not beyond.any():
            return
        both = self.rows.variable()
        self.rows.add([(both, 1.0), (a, -1.0)], upper=0.0)
        self.rows.add([(both, 1.0), (b, -1.0)], upper=0.0)
        self.rows.add([(both, 1.0), (a, -1.0), (b, -1.0)], lower=-1.0)
        for c in np.flatnonzero(beyond):
            self.moved.setdefault(int(c), []).append((both, float(beyond[c])))

    def solve(self, clause: Clause, permits: Permits, *, tries: int) -> Solved:
        """The best permitted set of a clause; sets that the rules refuse are cut off one by one."""
        form = self.structure.form
        parts = self._linear(form, clause) if isinstance(form, LinearForm) else self._trees(form, clause)
        value = self.rows.variable(-1e9, 1e9)
        for q, (terms, constant) in enumerate(parts):
            self.rows.add([(value, 1.0), *((v, -c) for v, c in terms)], upper=constant + float(clause.offset[q]))
        for _ in range(tries):
            solved = self._maximised(value)
            if solved is None:
                return Solved(-np.inf, (), -np.inf)
            x, bound = solved
            chosen = [k for k in self.x if x[k] > 0.5]
            if not chosen:
                return Solved(-np.inf, (), bound)
            edits = ordered([self.edits[k] for k in chosen])
            if permits(edits):
                rows = self.structure.encoder.rows([replay(self.claim, edits)])
                return Solved(float(clause.values(form.outputs(rows)).min()), edits, bound)
            self.rows.add([(k, 1.0 if k in chosen else -1.0) for k in self.x], upper=len(chosen) - 1.0)
        return Solved(-np.inf, (), bound)

    def _maximised(self, value: int) -> tuple[NDArray[np.float64], float] | None:
        """The point of the largest value and a bound on it; None where no set is left."""
        from scipy.optimize import Bounds, LinearConstraint, milp
        from scipy.sparse import coo_array

        r, n = self.rows, len(self.rows.ends)
        row, column, entry = (np.array(v) for v in zip(*r.entries, strict=True))
        table = coo_array((entry, (row, column)), shape=(len(r.lower), n)).tocsr()
        low, high, whole = (np.array(v) for v in zip(*r.ends, strict=True))
        cost = np.zeros(n)
        cost[value] = -1.0
        cost[self.x] = PRICE
        options = {"mip_rel_gap": 0.0, "time_limit": SECONDS}
        done = milp(
            cost,
            constraints=LinearConstraint(table, np.array(r.lower), np.array(r.upper)),
            integrality=whole,
            bounds=Bounds(low, high),
            options=options,
        )
        if done.status == 2:
            return None
        bound = np.inf if done.mip_dual_bound is None else PRICE * self.most - float(done.mip_dual_bound)
        return (np.zeros(n) if done.x is None else done.x), bound

    # --- the model ---------------------------------------------------------------------------------------------------

    def _above(self, column: int, least: int) -> int:
        """Binary: whether a count is `least` or more."""
        if (column, least) not in self.over:
            h = self.rows.variable(whole=True)
            low, high, base = (int(v[column]) for v in (self.low, self.high, self.base))
            terms = self.moved[column]
            self.rows.add([*terms, (h, float(low - least))], lower=float(low - base))
            self.rows.add([*terms, (h, float(least - 1 - high))], upper=float(least - 1 - base))
            self.over[column, least] = h
        return self.over[column, least]

    def _side(self, column: int, cut: float) -> bool | int:
        """Whether a feature exceeds a threshold: known, or a binary."""
        least = _least(bool(self.presence[column]), int(self.scale[column]), cut)
        if column not in self.moved or self.low[column] >= least or self.high[column] < least:
            return bool(self.base[column] >= least)
        return self._above(column, least)

    def _linear(self, form: LinearForm, clause: Clause) -> list[tuple[list[tuple[int, float]], float]]:
        encoder = self.structure.encoder
        out = []
        for weight in clause.weight:
            slope = form.weight @ weight
            constant = float(form.outputs(encoder.finish(self.base[None]))[0] @ weight)
            terms: list[tuple[int, float]] = []
            for c in (c for c in self.moved if slope[c]):
                if not self.presence[c]:
                    terms += [(v, float(slope[c] * n / self.scale[c])) for v, n in self.moved[c]]
                    continue
                side = self._side(c, 0.5)
                if not isinstance(side, bool):
                    terms.append((side, float(slope[c])))
                    constant -= float(slope[c]) * (self.base[c] >= 1)
            out.append((terms, constant))
        return out

    def _trees(self, trees: TreeEnsemble, clause: Clause) -> list[tuple[list[tuple[int, float]], float]]:
        shares: list[tuple[int, int]] = []
        fixed = trees.base.copy()
        for root in trees.roots.tolist():
            node = self._known(trees, root)
            if trees.feature[node] < 0:
                fixed += trees.value[node]
                continue
            mine = self._leaves(trees, node)
            self.rows.add([(y, 1.0) for _, y in mine], 1.0, 1.0)
            shares += mine
        values = trees.value @ clause.weight.T
        return [
            ([(y, float(values[leaf, q])) for leaf, y in shares], float(fixed @ clause.weight[q]))
            for q in range(len(clause.weight))
        ]

    def _known(self, trees: TreeEnsemble, node: int) -> int:
        """The first node from here on that edits can decide, or a leaf."""
        while trees.feature[node] >= 0:
            side = self._side(int(trees.feature[node]), float(trees.threshold[node]))
            if not isinstance(side, bool):
                break
            node = int(trees.right[node] if side else trees.left[node])
        return node

    def _leaves(self, trees: TreeEnsemble, node: int) -> list[tuple[int, int]]:
        """Leaves below a node with the variables of their shares; each side has none where the feature is not there."""
        node = self._known(trees, node)
        if trees.feature[node] < 0:
            return [(node, self.rows.variable())]
        h: Any = self._side(int(trees.feature[node]), float(trees.threshold[node]))
        left, right = self._leaves(trees, int(trees.left[node])), self._leaves(trees, int(trees.right[node]))
        self.rows.add([*((y, 1.0) for _, y in left), (h, 1.0)], upper=1.0)
        self.rows.add([*((y, 1.0) for _, y in right), (h, -1.0)], upper=0.0)
        return left + right


def _least(presence: bool, scale: int, cut: float) -> int:
    """The smallest count whose finished value exceeds a threshold; beyond all counts where none does."""
    if presence:
        return 1 if 0.0 <= cut < 1.0 else NEVER if cut >= 1.0 else 0
    n = int(np.floor(np.clip(cut * scale, -1e15, 1e15)))
    while not n / scale > cut:
        n += 1
    while (n - 1) / scale > cut:
        n -= 1
    return n
