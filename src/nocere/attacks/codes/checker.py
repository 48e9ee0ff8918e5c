"""Checker of `claims_exact`: that no permitted set of edits meets the goal, found again in another way.

Small sets are listed: the counts of every sum of at most `radius` edits, each edit replayed by itself, without regard
to what goes together, so that more is asked than could ever be permitted; the shipped model answers for all of them,
and the rules are asked only about sets that reach the goal. Larger sets are bounded by an integer program. Nothing of
the claim is believed, and nothing of the search is used.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.base import Certificate
from nocere.attacks.codes.program import Program
from nocere.attacks.structure.checkers import Informed
from nocere.attacks.structure.clauses import clauses
from nocere.cases.claim import Claim
from nocere.core.candidate import Judge
from nocere.core.case import Case
from nocere.core.goal import Goal, Literals
from nocere.targets.claims.encoder import Encoder
from nocere.targets.structure import LinearForm, TreeEnsemble
from nocere.threats.base import PerturbationSet
from nocere.threats.codes.edit import Edit, ordered, replay

LISTED = 12_000  # sets of kinds that are listed
ROWS = 1_024  # that the shipped model is asked about at once
REFUSALS = 2_000  # sets of edits that the rules may refuse
SLACK = 1e-6


def claims_exact(case: Case[Any], pset: PerturbationSet, judge: Judge, _: Certificate) -> bool:
    """True when no set of at most `radius` permitted edits meets the goal on the shipped model."""
    rules: Any = pset
    target: Any = getattr(judge, "target", None)
    if not isinstance(judge, Informed) or target.stochastic or not hasattr(target, "row_scores"):
        return False
    if not all(hasattr(rules, n) for n in ("edits", "compatible", "permits")):
        return False
    edits: tuple[Edit, ...] = rules.edits(case)
    most = min(int(pset.radius), len(edits))
    goal, literals = judge.goal, judge.literals[case.id]
    if most == 0:
        return True
    sums = _Sums(case.x, edits, target.encoder, rules.compatible)
    if not sums.additive:
        return False
    if sums.number(most) > LISTED:
        return _bounded(case, rules, edits, target, goal, literals, most)
    asked = 0
    for rows, made in sums.listed(most):
        scores = target.row_scores(rows)
        lit = literals.take(np.zeros(len(rows), dtype=int))
        for k in np.flatnonzero(goal.margin(lit, target.decision.margins(scores)) > 0):
            for chosen in (c for kinds in made[k] for c in sums.sets(kinds)):
                asked += 1
                if asked > REFUSALS or rules.permits(case, ordered([edits[i] for i in chosen])):
                    return False
    return True


@dataclass(frozen=True, slots=True, eq=False)
class _Kind:
    """Edits, or pairs of edits, that change counts in the same way: their change [c] and how many edits each has."""

    change: NDArray[np.int64]
    members: tuple[tuple[int, ...], ...]
    size: int


class _Sums:
    """Changes of counts by sets of edits of one claim.

    Edits that change the principal diagnosis do not add up: two of them are replayed together.
    """

    def __init__(self, claim: Claim, edits: Sequence[Edit], encoder: Encoder, compatible: Any) -> None:
        self.encoder = encoder
        after = [replay(claim, [e]) for e in edits]
        counts = encoder.counts([claim, *after])
        self.base = counts[0]
        first = [k for k, c in enumerate(after) if c.principal != claim.principal]
        plain = [k for k in range(len(edits)) if k not in first]
        pairs, together = [], []
        for a, b in itertools.combinations(first, 2):
            if compatible(edits[a], edits[b]):
                try:
                    together.append(replay(claim, ordered([edits[a], edits[b]])))
                except ValueError:
                    continue
                pairs.append((a, b))
        self.additive = not any(
            {(a, c), (b, c)} <= set(pairs) for (a, b) in pairs for c in first if c > b
        )  # no three of them go together
        changes = counts[1:] - self.base
        joint = (encoder.counts(together) if together else np.zeros((0, encoder.width), dtype=np.int64)) - self.base
        moved = np.flatnonzero(changes.any(axis=0) | joint.any(axis=0))
        self.columns = moved if moved.size else np.zeros(1, dtype=np.intp)  # rows are compared by one column at least
        changes, joint = changes[:, self.columns], joint[:, self.columns]
        self.plain = _kinds(changes, [(k,) for k in plain])
        self.first = [*_kinds(changes, [(k,) for k in first]), *_kinds(joint, pairs, rows=range(len(pairs)))]

    def number(self, most: int) -> int:
        """How many rows `listed` gives."""
        sizes = [0, *(k.size for k in self.first)]
        n = len(self.plain)
        return sum(comb(n + r - 1, r) if n else int(r == 0) for s in sizes for r in range(most - s + 1)) - 1

    def listed(self, most: int) -> Iterator[tuple[NDArray[np.float64], list[list[tuple[_Kind, ...]]]]]:
        """Rows [n, features] of all sets of kinds, and for each of them the sets that make it."""
        changes = np.array([k.change for k in self.plain], dtype=np.int64).reshape(-1, len(self.columns))
        parts, made = [], []
        heads: list[tuple[_Kind, ...]] = [(), *((k,) for k in self.first)]
        for head in heads:
            for r in range(most - sum(k.size for k in head) + 1):
                some = list(itertools.combinations_with_replacement(range(len(self.plain)), r))
                if some and (head or r):
                    index = np.array(some, dtype=np.intp).reshape(len(some), r)
                    parts.append(changes[index].sum(axis=1) + sum(k.change for k in head))
                    made += [(*head, *(self.plain[i] for i in row)) for row in some]
        # The same change by other kinds is the same row.
        every, where = np.unique(np.concatenate(parts), axis=0, return_inverse=True)
        order = np.argsort(where.ravel(), kind="stable")
        start = np.searchsorted(where.ravel()[order], np.arange(len(every) + 1))
        finished = self.encoder.finish(self.base[None])
        for s in range(0, len(every), ROWS):
            counts = self.base[self.columns] + every[s : s + ROWS]
            rows = np.repeat(finished, len(counts), axis=0)
            rows[:, self.columns] = self.encoder.finish(counts, self.columns)
            yield rows, [[made[i] for i in order[start[k] : start[k + 1]]] for k in range(s, s + len(counts))]

    @staticmethod
    def sets(kinds: tuple[_Kind, ...]) -> Iterator[tuple[int, ...]]:
        """Every set of edits of these kinds."""
        groups = [itertools.combinations(k.members, kinds.count(k)) for k in dict.fromkeys(kinds)]
        for some in itertools.product(*groups):
            yield tuple(i for group in some for member in group for i in member)


def _kinds(
    changes: NDArray[np.int64], members: Sequence[tuple[int, ...]], rows: Sequence[int] | None = None
) -> list[_Kind]:
    found: dict[bytes, list[int]] = {}
    at = [m[0] for m in members] if rows is None else list(rows)
    for i, row in enumerate(at):
        found.setdefault(changes[row].tobytes(), []).append(i)
    return [_Kind(changes[at[m[0]]], tuple(members[i] for i in m), len(members[m[0]])) for m in found.values()]


def _bounded(
    case: Case[Any], rules: Any, edits: Sequence[Edit], target: Any, goal: Goal, literals: Literals, most: int
) -> bool:
    """Whether the integer program shows that no permitted set reaches the goal, by more than rounding."""
    structure = target.structure
    if structure is None:
        return False
    link: Any = getattr(structure.form, "link", "identity")
    program = Program(case.x, edits, rules.compatible, structure, most)
    for clause in clauses(target.decision, goal, literals.weight[0], literals.offset[0], link):
        solved = program.solve(clause, lambda some: rules.permits(case, some), tries=REFUSALS // 100)
        if solved.bound > -SLACK * (1.0 + _size(structure.form)):
            return False
    return True


def _size(form: LinearForm | TreeEnsemble) -> float:
    """How large a sum of the model's numbers can get: rounding is measured by it."""
    if isinstance(form, LinearForm):
        return float(np.abs(form.weight).sum() + np.abs(form.bias).sum())
    ends = np.append(form.roots[1:], len(form.feature))
    most = [np.abs(form.value[a:b]).max() for a, b in zip(form.roots, ends, strict=True)]
    return float(np.sum(most) + np.abs(form.base).max())
