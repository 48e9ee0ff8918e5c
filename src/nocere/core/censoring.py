"""The budget by which a share of cases is broken, with cases that were never broken censored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from nocere.core.intervals import check_level, flags, rate


@dataclass(frozen=True, slots=True)
class BudgetQuantile:
    """The budget that breaks a share `q` of `n` cases. None means "above `largest`", the largest tested."""

    value: float | None
    low: float | None
    high: float | None
    q: float
    largest: float
    n: int
    groups: int
    level: float
    method: str


def censored_quantile(
    budget: ArrayLike,
    broken: ArrayLike,
    q: float = 0.5,
    level: float = 0.95,
    groups: Sequence[str] | None = None,
) -> BudgetQuantile:
    """Smallest budget by which a share `q` of the cases is broken.

    `budget` [n] is the smallest budget that broke the case, or the largest tested where `broken` [n] is
    false. Every case is tried on one grid of budgets, so at each budget the broken share is a plain
    binomial, and the limits invert its exact interval (as Brookmeyer & Crowley 1982 invert the Kaplan-Meier
    one): `low` is the first budget at which the share may have reached q, `high` the first from which it
    surely has, each None if that is above the largest tested. `groups` [n] uses `rate` at each budget.
    ValueError: q or level outside (0, 1), budgets negative or not finite, lengths that differ, or an
    unbroken case whose budget is not the largest one.
    """
    check_level(level)
    if not 0.0 < q < 1.0:
        raise ValueError(f"q must lie strictly between 0 and 1, not {q!r}")
    hit = flags(broken, "broken")
    spent = np.asarray(budget, dtype=np.float64)
    n = len(hit)
    if spent.shape != (n,) or not np.all(np.isfinite(spent)) or np.any(spent < 0):
        raise ValueError("budget must hold one finite, non-negative number per case")
    largest = float(spent.max())
    if np.any(spent[~hit] < largest):
        raise ValueError("every unbroken case must have been tried up to the largest budget")
    names: Sequence[str] = [str(i) for i in range(n)] if groups is None else groups
    none_broken = rate(np.zeros(n, dtype=np.bool_), names, level)
    value: float | None = None
    low: float | None = 0.0 if none_broken.interval.high >= q else None
    high: float | None = None
    for point in np.unique(spent[hit]).tolist():
        share = rate(hit & (spent <= point), names, level)
        if value is None and share.value >= q:
            value = point
        if low is None and share.interval.high >= q:
            low = point
        if share.interval.low < q:
            high = None
        elif high is None:
            high = point
    plain = none_broken.groups == n
    method = f"{'Clopper-Pearson' if plain else 'patient-clustered'} interval inverted at each budget"
    return BudgetQuantile(value, low, high, q, largest, n, none_broken.groups, level, method)
