"""A goal as linear conditions on a model's outputs: what every exact search aims at.

A goal's margin is positive only if, in some clause, every condition `weight . outputs + offset > 0` holds. For one
logit, findings, a softmax and a two-logit head this is also sufficient. For one class of three or more against the rest
the log-sum-exp is replaced by the linear functions around it, so the clauses are necessary only.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nocere.core.decision import Decision, MultiLabel, OneLogit, OneVsRest, Softmax, Value, logit
from nocere.core.errors import UsageError
from nocere.core.goal import Goal
from nocere.targets.structure import Link

MOST = 256


@dataclass(frozen=True, slots=True)
class Clause:
    """Conditions that must hold at once: weight [conditions, k] and offset [conditions]."""

    weight: NDArray[np.float64]
    offset: NDArray[np.float64]

    def values(self, outputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Outputs [n, k] to the value of each condition [n, conditions]."""
        return np.asarray(outputs @ self.weight.T + self.offset)


def clauses(
    decision: Decision, goal: Goal, weight: NDArray[np.float64], offset: NDArray[np.float64], link: Link
) -> list[Clause]:
    """Conditions of one case's goal on outputs.

    Args:
        decision: reads scores, which are link(outputs).
        goal: how literals join.
        weight: literals of the case [labels].
        offset: as `weight`.
        link: of the structure.

    Raises:
        UsageError: a decision whose margins are not handled here, or too many combinations of labels.
    """
    if not isinstance(decision, (OneLogit, OneVsRest, Softmax, MultiLabel, Value)):
        raise UsageError(f"Searches by structure do not know the decision {type(decision).__name__}.")
    literals = [
        _literal(decision, int(k), float(np.sign(weight[k])), float(offset[k] / abs(weight[k])), link)
        for k in np.flatnonzero(weight)
    ]
    if goal.combine == "any":
        return [c for literal in literals for c in literal]
    if np.prod([len(x) for x in literals]) > MOST:
        raise UsageError(f"The goal joins {len(literals)} labels in more than {MOST} ways.")
    return [
        Clause(np.concatenate([c.weight for c in some]), np.concatenate([c.offset for c in some]))
        for some in itertools.product(*literals)
    ]


def _literal(decision: Decision, label: int, sign: float, offset: float, link: Link) -> list[Clause]:
    """Clauses of `sign * margin of label + offset > 0`."""
    k = decision.columns
    e = np.eye(k)
    if isinstance(decision, Softmax):
        # Under "log" the offset becomes a factor: log p - log q + c > 0 where p > q exp(-c).
        factor, shift = (np.exp(-offset), 0.0) if link == "log" else (1.0, offset)
        rest = [j for j in range(k) if j != label]
        if sign > 0:
            return [Clause(np.array([e[label] - factor * e[j] for j in rest]), np.full(len(rest), shift))]
        return [Clause((e[j] - factor * e[label])[None], np.array([shift])) for j in rest]
    if isinstance(decision, Value):
        return [Clause(sign * e[:1], np.array([offset]))]
    if isinstance(decision, MultiLabel):
        return [_line(e[label], logit(decision.thresholds[label]), sign, offset, link)]
    sign = sign if label == 1 else -sign  # the first label's margin is minus that of the second
    assert isinstance(decision, (OneLogit, OneVsRest))
    t = logit(decision.threshold)
    if isinstance(decision, OneLogit):
        return [_line(e[0], t, sign, offset, link)]
    one = e[decision.index]
    rest_sum = 1.0 - one
    if link == "log":
        # log(p / rest) against t: linear in probabilities.
        return [Clause(sign * (one - np.exp(t - sign * offset) * rest_sum)[None], np.zeros(1))]
    others = [j for j in range(k) if j != decision.index]
    if k == 2:
        return [Clause(sign * (one - e[others[0]])[None], np.array([offset - sign * t]))]
    if sign > 0:
        # log-sum-exp is above each of its terms, and above their mean + log n (Jensen).
        above = [*(one - e[j] for j in others), one - rest_sum / (k - 1)]
        return [Clause(np.array(above), np.array([*[offset - t] * (k - 1), offset - t - np.log(k - 1)]))]
    return [Clause((e[j] - one)[None], np.array([offset + t + np.log(k - 1)])) for j in others]


def _line(column: NDArray[np.float64], t: float, sign: float, offset: float, link: Link) -> Clause:
    """One column against its threshold t, a logit."""
    if link == "identity":
        return Clause(sign * column[None], np.array([offset - sign * t]))
    return Clause(sign * column[None], np.array([-sign / (1.0 + np.exp(-(t - sign * offset)))]))
