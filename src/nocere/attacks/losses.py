"""What a gradient search climbs: the goal's margin, or a loss on the scores that published attacks use.

A loss decides where a search goes, never whether it succeeded: success is the goal's margin alone.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nocere.core.arrays import like
from nocere.core.decision import Decision, Softmax
from nocere.core.goal import Goal, Literals

Loss: TypeAlias = Literal["margin", "ce", "dlr"]
LOSSES: tuple[Loss, ...] = ("margin", "ce", "dlr")
FLOOR = 1e-12  # of the spread that DLR divides by: a model that saturates has none


def loss_rows(
    loss: Loss,
    decision: Decision,
    scores: Any,
    margins: Any,
    lit: Literals,
    goal: Goal,
    towards: NDArray[np.intp] | None = None,
) -> Any:
    """Loss of each row [n], to be made larger; torch, differentiable in `scores`.

    Args:
        loss: "margin" is the goal's margin; "ce" is the log odds that the goal is met under a softmax, whose gradient
            is that of the cross-entropy up to its length; "dlr" is the difference of logits ratio (Croce & Hein 2020,
            arXiv:2003.01690, eq. 6; targeted, eq. 7). Both are the margin for heads other than a softmax of at least
            three (dlr: four) labels, whose margins have the same direction.
        decision: of the target.
        scores: [n, columns].
        margins: the decision's margins of these scores [n, labels].
        lit: the goal bound to each row.
        goal: how literals join.
        towards: label that each row is pushed to, -1 for any; only the literal of that label counts then.
    """
    softmax = isinstance(decision, Softmax) and goal.combine == "any" and not lit.offset.any()
    at = None if towards is None or (towards < 0).all() else towards
    if softmax and loss != "margin" and decision.columns >= (3 if loss == "ce" else 4):
        return _on_scores(loss, scores, lit, at)
    if at is None:
        return goal.margin(lit, margins)
    if softmax:
        return _lead(scores, lit, at)
    rows = np.arange(len(at))
    one = np.zeros_like(lit.weight)
    one[rows, at] = lit.weight[rows, at]
    return goal.margin(Literals(np.where((at < 0)[:, None], lit.weight, one), lit.offset), margins)


def wanted(lit: Literals) -> NDArray[np.bool_]:
    """Labels [n, labels] that meet the goal when a softmax asserts them."""
    removed = lit.weight < 0
    any_removed = np.asarray(removed.any(axis=1))
    return np.where(any_removed[:, None], ~removed, lit.weight > 0)


def _masked(scores: Any, mask: NDArray[np.bool_]) -> Any:
    import torch

    return scores.masked_fill(~torch.as_tensor(mask, device=scores.device), -torch.inf)


def _lead(scores: Any, lit: Literals, at: NDArray[np.intp] | None) -> Any:
    """Lead of the label that is gone for (or the best wanted one) over the best unwanted label."""
    import torch

    good = wanted(lit)
    ahead = _masked(scores, good).amax(1)
    if at is not None:
        index = torch.as_tensor(np.where(at < 0, 0, at), device=scores.device)
        chosen = scores.gather(1, index[:, None])[:, 0]
        ahead = torch.where(torch.as_tensor(at < 0, device=scores.device), ahead, chosen)
    return ahead - _masked(scores, ~good).amax(1)


def _on_scores(loss: Loss, scores: Any, lit: Literals, at: NDArray[np.intp] | None) -> Any:
    if loss == "ce":
        if at is not None:
            one = np.zeros_like(lit.weight)
            one[np.arange(len(at)), np.where(at < 0, 0, at)] = 1.0
            good = np.where((at < 0)[:, None], wanted(lit), one > 0)
        else:
            good = wanted(lit)
        return _masked(scores, good).logsumexp(1) - _masked(scores, ~good).logsumexp(1)
    top = scores.topk(min(4, scores.shape[1]), dim=1).values
    below = top[:, 2] if at is None else 0.5 * (top[:, 2] + top[:, 3])
    return _lead(scores, lit, at) / (top[:, 0] - below).clamp_min(float(like(FLOOR, scores)))
