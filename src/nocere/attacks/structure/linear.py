"""Linear models: the best point of an L-infinity box in closed form, and of an L2 ball on stored whole numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.base import Ask, AttackDefaults, Certificate, Job, Search
from nocere.attacks.structure.box import Box, box, conditions, contents, score_margins, structure
from nocere.attacks.structure.clauses import Clause
from nocere.core.canonical import Json
from nocere.core.errors import UsageError
from nocere.core.registry import register
from nocere.targets.base import Access
from nocere.targets.structure import LinearForm
from nocere.threats.pixels import L2, Linf

TRIED = 8  # candidates a case that are shown to the target
SECONDS = 10.0  # for the whole-number program of one case


@register(
    "attack",
    "linear.closed_form",
    source="dual norm; Goodfellow et al. 2015, arXiv:1412.6572, section 5",
    access="structure",
    model="logistic",
)
@dataclass(frozen=True, slots=True)
class ClosedForm(AttackDefaults):
    """Best point inside for a linear model: every value to the end of its range (L-infinity), greedy lengths (L2).

    Exact under L-infinity, where it claims certificates for what it cannot break. A goal that needs several labels to
    lose at once is a linear program, solved in whole numbers.
    """

    name: ClassVar[str] = "linear.closed_form"
    needs: ClassVar[frozenset[Access]] = frozenset({"structure"})

    def search(self, job: Job) -> Search:
        form = structure(job, LinearForm, self.name)
        if not isinstance(job.pset, (Linf, L2)):
            raise UsageError(f"{self.name} searches L-infinity and L2 sets of stored values, not {job.pset.name}.")
        asked: list[tuple[int, NDArray[Any]]] = []
        claims: list[Certificate] = []
        for row in range(len(job.cases)):
            if isinstance(job.pset, Linf):
                b = box(job, row, self.name)
                points, mixes = _corners(form, conditions(job, row), b)
                claims.append(Certificate(row, "linear_linf", {"mixes": mixes}))
            else:
                points = _shells(form, conditions(job, row), job, row)
            margin = score_margins(job, row, form.scores(points))
            best = np.argsort(-margin, kind="stable")[:TRIED]
            asked.append((row, points[best]))
        x = [contents(job, row, points) for row, points in asked]
        rows = np.repeat([row for row, _ in asked], [len(points) for _, points in asked])
        import torch

        yield Ask(torch.cat(x), rows)
        return claims


def _corners(form: LinearForm, goal: list[Clause], b: Box) -> tuple[NDArray[np.int64], Json]:
    """Candidates [n, d], and for clauses that no single condition decides the mixtures [k] that bound them."""
    ranked: list[tuple[float, NDArray[np.int64]]] = []
    mixes: list[Json] = []
    for clause in goal:
        slopes = form.weight @ clause.weight.T
        ends = np.where(slopes > 0, b.high[:, None], np.where(slopes < 0, b.low[:, None], b.x0[:, None]))
        reach = (slopes * ends).sum(0) + form.bias @ clause.weight.T + clause.offset
        ranked += [(float(reach.min()), ends[:, k]) for k in range(len(reach))]
        corners = clause.values(form.outputs(ends.T))
        if len(reach) > 1 and reach.min() > 0 and corners.min(1).max() <= 0:
            point, mix = _program(slopes, form.bias @ clause.weight.T + clause.offset, b)
            ranked.append((np.inf, point))
            mixes.append([float(v) for v in mix @ clause.weight])
    ranked.sort(key=lambda r: -r[0])
    return np.unique(np.array([p for _, p in ranked[: 4 * TRIED]]), axis=0), mixes


def _program(
    slopes: NDArray[np.float64], offset: NDArray[np.float64], b: Box
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """The whole point with the largest smallest condition (slopes [d, conditions]), and multipliers [conditions].

    The multipliers, those of the linear relaxation, mix the conditions into one whose best corner bounds them all.
    """
    from scipy.optimize import Bounds, LinearConstraint, linprog, milp

    d, m = slopes.shape
    cost = np.concatenate([np.zeros(d), [-1.0]])
    table = np.hstack([-slopes.T, np.ones((m, 1))])
    ends = [*zip(b.low.tolist(), b.high.tolist(), strict=True), (None, None)]
    relaxed = linprog(cost, A_ub=table, b_ub=offset, bounds=ends, method="highs")
    share = np.maximum(-relaxed.ineqlin.marginals, 0.0)
    whole = milp(
        cost,
        constraints=LinearConstraint(table, ub=offset),
        integrality=np.concatenate([np.ones(d), [0.0]]),
        bounds=Bounds(np.concatenate([b.low, [-np.inf]]), np.concatenate([b.high, [np.inf]])),
        options={"time_limit": SECONDS},
    )
    point = relaxed.x if whole.x is None else whole.x
    return np.clip(np.rint(point[:d]), b.low, b.high).astype(np.int64), share


def _shells(form: LinearForm, goal: list[Clause], job: Job, row: int) -> NDArray[np.int64]:
    """For each condition the best whole change of at most the radius in length [conditions, d]."""
    x0 = np.asarray(job.cases[row].x).astype(np.int64).ravel()
    assert isinstance(job.pset, L2)
    ends = (int(job.pset.span[0]), int(job.pset.span[1]))
    made = [
        x0 + _lengths(w @ form.weight.T, x0, ends, float(job.radius[row])) for clause in goal for w in clause.weight
    ]
    return np.unique(np.array(made), axis=0)


def _lengths(
    slope: NDArray[np.float64], x0: NDArray[np.int64], ends: tuple[int, int], radius: float
) -> NDArray[np.int64]:
    """Whole changes [d] that raise slope . change the most while their squares add up to at most radius squared.

    The step of a value from n to n + 1 gains |slope| and costs 2 n + 1 of the squared length. Steps are taken in the
    order of gain for cost, which is the continuous optimum as closely as whole numbers allow.
    """
    gain, room = np.abs(slope), np.where(slope > 0, ends[1] - x0, x0 - ends[0])

    def taken(rate: float) -> NDArray[np.int64]:
        return np.asarray(np.clip(np.floor((gain / rate + 1.0) / 2.0), 0, room).astype(np.int64))

    low, high = 1e-12 * max(float(gain.max()), 1e-300), 2.0 * max(float(gain.max()), 1e-300)
    for _ in range(80):
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if int((taken(middle) ** 2).sum()) > radius**2 else (low, middle)
    n = taken(high)
    # What is left over of the length goes to further steps, the best first, as long as they fit.
    left = int(radius**2 + 1e-9) - int((n**2).sum())
    for k in np.argsort(-gain / (2 * n + 1), kind="stable"):
        if gain[k] > 0 and n[k] < room[k] and 2 * n[k] + 1 <= left:
            left -= int(2 * n[k] + 1)
            n[k] += 1
        if left <= 0:
            break
    return np.asarray(np.sign(slope).astype(np.int64) * n)
