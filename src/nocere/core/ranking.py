"""Area under the ROC curve with an interval, for independent and for patient-clustered cases."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nocere.core.intervals import Estimate, Interval, beta_limits, check_level, flags, group_codes


def _placements(
    positive: NDArray[np.float64], negative: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of the other class each case is ranked correctly against, ties counting half (Sun & Xu 2014)."""

    def below(x: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
        ordered = np.sort(others)
        left, right = np.searchsorted(ordered, x, "left"), np.searchsorted(ordered, x, "right")
        return (left + right) / (2.0 * len(others))

    return below(positive, negative), 1.0 - below(negative, positive)


def auroc_variance(scores: ArrayLike, labels: ArrayLike, groups: Sequence[str]) -> tuple[float, float | None]:
    """AUROC and its variance: Obuchowski 1997, which is DeLong et al. 1988 if each patient has one case.

    `scores` [n] finite, `labels` [n] boolean (true = positive), `groups` [n]. The variance is None if one
    class comes from a single patient. ValueError if a class is empty, a score is not finite, or lengths
    differ.
    """
    label = flags(labels, "labels")
    score = np.asarray(scores, dtype=np.float64)
    if score.shape != label.shape or not np.all(np.isfinite(score)):
        raise ValueError("scores must hold one finite number per label")
    if label.all() or not label.any():
        raise ValueError("AUROC needs at least one positive and one negative case")
    codes, m = group_codes(groups, len(label))
    v10, v01 = _placements(score[label], score[~label])
    value = float(v10.mean())
    n_pos, n_neg = len(v10), len(v01)
    d10 = np.bincount(codes[label], weights=v10 - value, minlength=m)  # V10(X_i.) - m_i * AUROC
    d01 = np.bincount(codes[~label], weights=v01 - value, minlength=m)
    i10, i01 = len(np.unique(codes[label])), len(np.unique(codes[~label]))
    if i10 < 2 or i01 < 2:
        return value, None
    s10 = i10 / (i10 - 1.0) * float(d10 @ d10) / n_pos**2
    s01 = i01 / (i01 - 1.0) * float(d01 @ d01) / n_neg**2
    s11 = m / (m - 1.0) * float(d10 @ d01) / (n_pos * n_neg)
    return value, max(0.0, s10 + s01 + 2.0 * s11)


def auroc(scores: ArrayLike, labels: ArrayLike, groups: Sequence[str], level: float = 0.95) -> Estimate:
    """AUROC of `scores` [n] for `labels` [n] (true = positive) with a patient-clustered interval.

    Variance of DeLong, DeLong & Clarke-Pearson (1988), or of Obuchowski (1997) if a patient has several
    cases; the interval is symmetric on the logit scale (Pepe 2003) and so stays inside (0, 1). Where the
    variance is zero or cannot be had (perfect separation, constant scores, a class from one patient), the
    interval is Clopper-Pearson on disjoint pairs: positives and negatives matched one to one, all patients
    distinct, are independent trials that succeed with probability AUROC. It is wide, but it holds.

    `k` is None. ValueError as for `auroc_variance`, or if level is out of range.
    """
    check_level(level)
    value, variance = auroc_variance(scores, labels, groups)
    label = flags(labels, "labels")
    n = len(label)
    codes, m = group_codes(groups, n)
    if variance is not None and variance > 1e-15 and 0.0 < value < 1.0:
        half = NormalDist().inv_cdf((1.0 + level) / 2.0) * math.sqrt(variance) / (value * (1.0 - value))
        centre = math.log(value / (1.0 - value))
        low, high = _expit(centre - half), _expit(centre + half)
        method = "DeLong, logit" if m == n else f"Obuchowski, logit, {n} cases in {m} patients"
    else:
        i10, i01 = len(np.unique(codes[label])), len(np.unique(codes[~label]))
        pairs = min(i10, i01, m // 2)
        low, high = beta_limits(value * pairs, pairs, level)
        method = f"Clopper-Pearson on {pairs} disjoint pairs, the variance being zero or not estimable"
    return Estimate(value, n, None, Interval(min(low, value), max(high, value), level, method), m)


def _expit(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))
