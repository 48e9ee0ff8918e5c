"""Checkers of what the searches by structure claim: they work on the shipped target, and share no code with a search.

A claim carries almost nothing that is believed: the structure, the decision, the goal and the box are taken from the
referee, and the bound is computed again in another way than the search did (boxes are split instead of cells merged,
differences of scores instead of clauses). Where a bound does not decide, the shipped target itself is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.base import Certificate
from nocere.core.batch import Batch
from nocere.core.candidate import Judge
from nocere.core.case import Case
from nocere.core.decision import Decision, MultiLabel, OneLogit, OneVsRest, Softmax, logit
from nocere.core.goal import Goal, Literals
from nocere.targets.base import Target, margins
from nocere.targets.structure import LinearForm, TreeEnsemble
from nocere.threats.base import PerturbationSet
from nocere.threats.pixels import Linf

POINTS = 20_000  # whole points of a small box that are asked one by one
BOXES = 4_000
SLACK = 1e-9

Best = Callable[[NDArray[np.float64]], float]


@runtime_checkable
class Informed(Protocol):
    """A judge that shows by what it judges."""

    goal: Goal
    literals: Mapping[str, Literals]

    @property
    def target(self) -> Target:
        """The shipped target."""
        ...


@dataclass(frozen=True, slots=True)
class Matter:
    """One case before the checker: what would break it, and the whole stored values low to high [d] it may have."""

    case: Case[Any]
    target: Any
    goal: Goal
    literals: Literals
    low: NDArray[np.int64]
    high: NDArray[np.int64]

    @property
    def decision(self) -> Decision:
        decision: Decision = self.target.decision
        return decision

    def unbroken(self, points: NDArray[Any]) -> bool:
        """Whether the shipped target meets the goal at none of these stored values [n, d]."""
        import torch

        for s in range(0, len(points), 512):
            some = points[s : s + 512]
            x = torch.from_numpy(some.astype(np.float32)).view(len(some), *self.case.x.shape)
            m, _ = margins(self.target, Batch(x, (self.case,) * len(some)))
            if not bool((self.goal.margin(self.literals.take(np.zeros(len(some), dtype=int)), m) <= 0).all()):
                return False
        return True


def _matter(case: Case[Any], pset: PerturbationSet, judge: Judge) -> Matter | None:
    if not isinstance(judge, Informed) or not isinstance(pset, Linf) or judge.target.stochastic:
        return None
    x0, r = case.x.astype(np.int64).ravel(), int(pset.radius)
    least, most = map(int, pset.span)
    low, high = np.clip(x0 - r, least, None), np.clip(x0 + r, None, most)
    return Matter(case, judge.target, judge.goal, judge.literals[case.id], low, high)


# --- from bounds on directions of outputs to a bound on the goal -----------------------------------------------------


def _goal_bound(m: Matter, best: Best, link: str, mixes: list[NDArray[np.float64]]) -> float:
    """Upper bound on the goal's margin, or on something of the same sign; infinite where none is known.

    `best(v)` bounds v . outputs over the box.
    """
    weight, offset = m.literals.weight[0], m.literals.offset[0]
    if link != "identity" and offset.any():
        return np.inf
    up, down = _label_bounds(m.decision, best, link, mixes)
    each = [
        abs(w) * (up[k] if w > 0 else down[k]) + c for k, (w, c) in enumerate(zip(weight, offset, strict=True)) if w
    ]
    return float(max(each) if m.goal.combine == "any" else min(each))


def _label_bounds(d: Decision, best: Best, link: str, mixes: list[NDArray[np.float64]]) -> tuple[list[float], ...]:
    """Upper bounds on the margin of every label, and on minus that margin."""
    e = np.eye(d.columns)
    if isinstance(d, (OneLogit, MultiLabel)):
        lines = [logit(t) for t in (d.thresholds if isinstance(d, MultiLabel) else (d.threshold,))]
        if link == "logit":
            lines = [1.0 / (1.0 + np.exp(-t)) for t in lines]
        up = [best(e[k]) - t for k, t in enumerate(lines)]
        down = [best(-e[k]) + t for k, t in enumerate(lines)]
        return (up, down) if isinstance(d, MultiLabel) else ([down[0], up[0]], [up[0], down[0]])
    if isinstance(d, Softmax):
        lead = np.array([[best(a - b) if a is not b else 0.0 for b in e] for a in e])
        np.fill_diagonal(lead, np.inf)
        up = [min([float(lead[k].min()), *(best(e[k] - s) for s in _shares(mixes, k))]) for k in range(len(e))]
        np.fill_diagonal(lead, -np.inf)
        return up, [float(v) for v in lead.max(0)]
    if isinstance(d, OneVsRest):
        t, one = logit(d.threshold), e[d.index]
        if link == "log":
            odds = np.exp(t) * (1.0 - one)
            ahead, behind = best(one - odds), best(odds - one)
        else:
            rest = [j for j in range(d.columns) if j != d.index]
            shares = [*(e[j] for j in rest), (1.0 - one) / len(rest), *_shares(mixes, d.index)]
            # log-sum-exp(z) >= share . z + entropy(share) for every share, and is monotone.
            ahead = min(best(one - s) - _entropy(s) for s in shares) - t
            behind = float(np.logaddexp.reduce([best(e[j] - one) for j in rest])) + t
        return [behind, ahead], [ahead, behind]
    return [np.inf] * len(d.labels), [np.inf] * len(d.labels)


def _shares(mixes: list[NDArray[np.float64]], label: int) -> list[NDArray[np.float64]]:
    """Claimed mixtures made into weights of the other labels that add up to one: any such weights give a bound."""
    out = []
    for v in mixes:
        s = np.clip(-v, 0.0, None)
        s[label] = 0.0
        if s.sum() > 0:
            out.append(s / s.sum())
    return out


def _entropy(share: NDArray[np.float64]) -> float:
    p = share[share > 0]
    return float(-(p * np.log(p)).sum())


# --- kinds -----------------------------------------------------------------------------------------------------------


def linear_linf(case: Case[Any], pset: PerturbationSet, judge: Judge, claim: Certificate) -> bool:
    """True when no point of the box meets the goal: by the slopes of a linear model, or point by point."""
    m = _matter(case, pset, judge)
    form = getattr(m and m.target, "structure", None)
    if m is None or not isinstance(form, LinearForm):
        return False
    centre, half = (m.high + m.low) / 2.0, (m.high - m.low) / 2.0
    size = np.maximum(np.abs(m.low), np.abs(m.high))

    def best(v: NDArray[np.float64]) -> float:
        slope = form.weight @ v
        about = np.abs(slope) @ size + abs(form.bias @ v)
        return float(form.bias @ v + slope @ centre + np.abs(slope) @ half + SLACK * about)

    raw = claim.data.get("mixes", [])
    mixes = [np.asarray(v, dtype=np.float64) for v in raw] if isinstance(raw, list) else []
    if _goal_bound(m, best, "identity", [v for v in mixes if v.shape == form.bias.shape]) < 0:
        return True
    n = float(np.prod(m.high - m.low + 1.0))
    if n > POINTS:
        return False
    axes = [np.arange(a, b + 1) for a, b in zip(m.low, m.high, strict=True)]
    return m.unbroken(np.stack([g.ravel() for g in np.meshgrid(*axes, indexing="ij")], axis=1))


def tree_leaf_box(case: Case[Any], pset: PerturbationSet, judge: Judge, claim: Certificate) -> bool:
    """True when the shipped target, asked at a point of every leaf that the box reaches, never meets the goal."""
    m = _matter(case, pset, judge)
    tree = getattr(m and m.target, "structure", None)
    if m is None or not isinstance(tree, TreeEnsemble) or len(tree.roots) != 1:
        return False
    points: list[NDArray[np.int64]] = []
    stack = [(int(tree.roots[0]), m.low, m.high)]
    while stack:
        node, low, high = stack.pop()
        f = int(tree.feature[node])
        if f < 0:
            points.append(low)
            continue
        cut = int(np.floor(tree.threshold[node]))
        if low[f] <= cut:
            stack.append((int(tree.left[node]), low, _set(high, f, min(int(high[f]), cut))))
        if high[f] > cut:
            stack.append((int(tree.right[node]), _set(low, f, max(int(low[f]), cut + 1)), high))
    return claim.data.get("leaves") == len(points) and m.unbroken(np.array(points))


def tree_ensemble(case: Case[Any], pset: PerturbationSet, judge: Judge, _: Certificate) -> bool:
    """True when the box can be split until every part is below the goal by the sum of its trees' best leaves.

    Where all trees are constant in a part, the shipped target is asked there.
    """
    m = _matter(case, pset, judge)
    trees = getattr(m and m.target, "structure", None)
    if m is None or not isinstance(trees, TreeEnsemble):
        return False
    about = float(np.abs(trees.value).max(initial=0.0) * len(trees.roots) + np.abs(trees.base).max())
    stack, constant, boxes = [(m.low, m.high)], [], 0
    while stack:
        low, high = stack.pop()
        boxes += 1
        if boxes > BOXES:
            return False
        starts, values, split = _sums(trees, low, high)

        def best(v: NDArray[np.float64], starts: Any = starts, values: Any = values) -> float:
            sums = np.maximum.reduceat(values @ v, starts).sum()
            return float(trees.base @ v + sums + SLACK * max(1.0, about) * float(np.abs(v).sum()))

        if _goal_bound(m, best, trees.link, []) < 0:
            continue
        if split is None:
            constant.append(low)
            continue
        f, cut = split
        stack += [(low, _set(high, f, cut)), (_set(low, f, cut + 1), high)]
    return not constant or m.unbroken(np.array(constant))


def _sums(
    trees: TreeEnsemble, low: NDArray[np.int64], high: NDArray[np.int64]
) -> tuple[NDArray[np.intp], NDArray[np.float64], tuple[int, int] | None]:
    """Leaf values that the box reaches, tree after tree; where each tree begins; and a feature and value to split at.

    The split is the first open node of the tree whose leaves differ the most; None where all trees are constant.
    """
    tree, node = np.arange(len(trees.roots)), trees.roots
    first = np.full(len(trees.roots), -1)
    found_tree, found_node = [], []
    while node.size:
        leaf = trees.feature[node] < 0
        found_tree.append(tree[leaf])
        found_node.append(node[leaf])
        tree, node = tree[~leaf], node[~leaf]
        f, cut = trees.feature[node], trees.threshold[node]
        left, right = low[f] <= cut, high[f] > cut
        both = np.flatnonzero(left & right & (first[tree] < 0))
        first[tree[both]] = node[both]
        tree, node = (
            np.concatenate([tree[left], tree[right]]),
            np.concatenate([trees.left[node[left]], trees.right[node[right]]]),
        )
    order = np.argsort(np.concatenate(found_tree), kind="stable")
    owner, values = np.concatenate(found_tree)[order], trees.value[np.concatenate(found_node)[order]]
    starts = np.searchsorted(owner, np.arange(len(trees.roots)))
    spread = (np.maximum.reduceat(values, starts) - np.minimum.reduceat(values, starts)).sum(1)
    spread = np.where(first >= 0, spread, -1.0)
    widest = int(np.argmax(spread))
    if spread[widest] < 0:
        return starts, values, None
    at = int(first[widest])
    return starts, values, (int(trees.feature[at]), int(np.floor(trees.threshold[at])))


def _set(x: NDArray[np.int64], k: int, v: int) -> NDArray[np.int64]:
    out = x.copy()
    out[k] = v
    return out
