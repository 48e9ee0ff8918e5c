"""Confidence intervals for rates, differences of rates and break budgets.

Cases of one patient are not independent. Every estimator here takes the patient of each case (`groups`)
and widens its interval accordingly; none returns a zero-width interval because all cases agree. The text
in `Interval.method` says which method was used and why.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

FEW = 5  # patients on the rarer side, below which a design effect is not estimated
FEW_BOOTSTRAP = 10  # discordant patients, below which a paired difference is not bootstrapped
MOST_CASES = 10**9  # `required_n` does not look further


@dataclass(frozen=True, slots=True)
class Interval:
    """A two-sided confidence interval and the method it came from."""

    low: float
    high: float
    level: float
    method: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval: `n` cases, `k` of them hits (None if not a share), `groups` patients."""

    value: float
    n: int
    k: int | None
    interval: Interval
    groups: int


def check_level(level: float) -> None:
    """Raise ValueError unless 0 < level < 1."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie strictly between 0 and 1, not {level!r}")


def flags(values: ArrayLike, name: str) -> NDArray[np.bool_]:
    """Return `values` [n] as booleans; ValueError if empty, not one-dimensional, or not all 0/1."""
    array = np.asarray(values)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} must be a non-empty one-dimensional array, not shape {array.shape}")
    if array.dtype != np.bool_ and not np.all((array == 0) | (array == 1)):
        raise ValueError(f"{name} must hold only true/false values")
    return array.astype(np.bool_)


def group_codes(groups: Sequence[str], n: int) -> tuple[NDArray[np.int64], int]:
    """Number the groups 0..m-1 by first appearance: (codes [n], m). ValueError on a length mismatch."""
    if len(groups) != n:
        raise ValueError(f"{len(groups)} groups given for {n} cases")
    seen: dict[str, int] = {}
    codes = np.fromiter((seen.setdefault(g, len(seen)) for g in groups), dtype=np.int64, count=n)
    return codes, len(seen)


def beta_limits(x: float, n: float, level: float) -> tuple[float, float]:
    """Clopper-Pearson limits for a real count `x` out of a real `n` (Korn & Graubard 1998)."""
    from scipy.special import betaincinv  # type: ignore[import-untyped, unused-ignore]

    if n <= 0:
        return 0.0, 1.0
    tail = (1.0 - level) / 2.0
    low = 0.0 if x <= 0 else float(betaincinv(x, n - x + 1.0, tail))
    high = 1.0 if x >= n else 1.0 - float(betaincinv(n - x, x + 1.0, tail))
    return low, high


def _check_count(k: int, n: int, level: float) -> None:
    check_level(level)
    if n < 0 or not 0 <= k <= n:
        raise ValueError(f"need 0 <= k <= n, not k = {k}, n = {n}")


def clopper_pearson(k: int, n: int, level: float = 0.95) -> Interval:
    """Exact interval for `k` hits in `n` independent cases (Clopper & Pearson 1934); n = 0 gives (0, 1).

    ValueError unless 0 <= k <= n and 0 < level < 1.
    """
    _check_count(k, n, level)
    low, high = beta_limits(k, n, level)
    return Interval(low, high, level, "Clopper-Pearson")


def wilson(k: int, n: int, level: float = 0.95) -> Interval:
    """Score interval for `k` hits in `n` independent cases (Wilson 1927); n = 0 gives (0, 1).

    ValueError unless 0 <= k <= n and 0 < level < 1.
    """
    _check_count(k, n, level)
    if n == 0:
        return Interval(0.0, 1.0, level, "Wilson")
    z, p = NormalDist().inv_cdf((1.0 + level) / 2.0), k / n
    scale = 1.0 + z * z / n
    centre = (p + z * z / (2 * n)) / scale
    half = z * math.sqrt(p * (1.0 - p) / n + z * z / (4.0 * n * n)) / scale
    low = 0.0 if k == 0 else min(p, centre - half)
    high = 1.0 if k == n else max(p, centre + half)
    return Interval(low, high, level, "Wilson")


def upper_limit(k: int, n: int, level: float = 0.95) -> float:
    """One-sided upper confidence limit (Clopper & Pearson 1934); 0 of n gives about 3/n at 95 %.

    n = 0 gives 1. ValueError unless 0 <= k <= n and 0 < level < 1.
    """
    _check_count(k, n, level)
    from scipy.special import betaincinv  # type: ignore[import-untyped, unused-ignore]

    return 1.0 if k == n else 1.0 - float(betaincinv(n - k, k + 1.0, 1.0 - level))


def _design_effect(totals: NDArray[np.float64], sizes: NDArray[np.float64], variance: float) -> float:
    """Variance of a ratio of group totals over that of `n` independent cases, never below 1."""
    m, n = len(sizes), float(sizes.sum())
    if m < 2 or variance <= 0.0:
        return 1.0
    residual = totals - sizes * (float(totals.sum()) / n)
    clustered = m / (m - 1.0) * float(residual @ residual) / n**2
    return max(1.0, clustered / (variance / n))


def _effective_n(n: int, m: int, effect: float, level: float) -> float:
    """Korn & Graubard (1998) effective sample size: n / effect, times the squared ratio of t quantiles."""
    from scipy.special import stdtrit  # type: ignore[import-untyped, unused-ignore]

    tail = (1.0 + level) / 2.0
    ratio = float(stdtrit(n - 1, tail)) / float(stdtrit(m - 1, tail))
    return n / effect * min(1.0, ratio * ratio)


def rate(hits: ArrayLike, groups: Sequence[str], level: float = 0.95, seed: int = 0) -> Estimate:
    """Share of true `hits` [n] with a patient-clustered interval; `groups` [n] names each case's patient.

    - Every patient has one case: Clopper & Pearson (1934).
    - Otherwise Korn & Graubard (1998): the design effect is the ratio-estimator variance between patients
      (Rao & Scott 1992) over the binomial one, at least 1; Clopper-Pearson limits at the effective n.
    - Fewer than 5 patients with a hit (or with a miss), all-agreeing cases included: the design effect
      cannot be estimated, so no more than one effective case is counted per patient.

    Nothing is random; `seed` is accepted so that estimators are called alike. ValueError if `hits` is
    empty, not one-dimensional or not boolean, if lengths differ, or if level is out of range.
    """
    del seed
    check_level(level)
    hit = flags(hits, "hits")
    n = len(hit)
    codes, m = group_codes(groups, n)
    k = int(hit.sum())
    p = k / n
    if m == n:
        return Estimate(p, n, k, clopper_pearson(k, n, level), m)
    sizes = np.bincount(codes, minlength=m).astype(np.float64)
    totals = np.bincount(codes, weights=hit, minlength=m).astype(np.float64)
    effect = _design_effect(totals, sizes, p * (1.0 - p))
    effective = _effective_n(n, m, effect, level) if m > 1 else 1.0
    where = f"{n} cases in {_patients(m)}"
    if min(int((totals > 0).sum()), int((totals < sizes).sum())) < FEW:
        effective = min(effective, float(m))
        method = f"Clopper-Pearson on patients, {where}, too few differ to estimate a design effect"
    else:
        method = f"Korn-Graubard, {where}, design effect {effect:.2f}"
    low, high = beta_limits(p * effective, effective, level)
    return Estimate(p, n, k, Interval(min(low, p), max(high, p), level, method), m)


def _patients(m: int) -> str:
    return "1 patient" if m == 1 else f"{m} patients"


def cluster_bootstrap(
    stat: Callable[[NDArray[np.int64]], float],
    groups: Sequence[str],
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of `stat`, drawing whole patients with replacement.

    `stat` gets the row numbers (int64, a row appears as often as its patient was drawn) and returns a
    float. Draws in which it is not finite are left out and counted in `method`. The same seed gives the
    same interval. The width is zero if `stat` never varies. Source: Efron & Tibshirani 1993; for clusters,
    Davison & Hinkley 1997, section 3.8. ValueError: fewer than 2 patients, draws < 100, level out of
    range, or more than half the draws not finite.
    """
    check_level(level)
    if draws < 100:
        raise ValueError(f"draws must be at least 100, not {draws}")
    codes, m = group_codes(groups, len(groups))
    if m < 2:
        raise ValueError(f"a cluster bootstrap needs at least 2 groups, not {m}")
    order = np.argsort(codes, kind="stable").astype(np.int64)
    sizes = np.bincount(codes, minlength=m)
    starts = np.cumsum(sizes) - sizes
    rng = np.random.default_rng(seed)
    values = np.empty(draws, dtype=np.float64)
    for draw in range(draws):
        drawn = rng.integers(0, m, size=m)
        length = sizes[drawn]
        offset = np.repeat(starts[drawn] - (np.cumsum(length) - length), length)
        values[draw] = stat(order[offset + np.arange(len(offset))])
    finite = values[np.isfinite(values)]
    lost = draws - len(finite)
    if 2 * lost > draws:
        raise ValueError(f"the statistic was not finite in {lost} of {draws} bootstrap draws")
    low, high = np.quantile(finite, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    note = f", {lost} undefined draws left out" if lost else ""
    return Interval(float(low), float(high), level, f"cluster bootstrap, {m} groups, {draws} draws{note}")


def _tango(b: float, c: float, n: float, level: float) -> tuple[float, float]:
    """Score limits of (b - c) / n, `b` and `c` the discordant counts among `n` pairs (Tango 1998)."""
    z = NormalDist().inv_cdf((1.0 + level) / 2.0)

    def score(delta: float) -> float:
        b1 = -b - c + (2.0 * n - b + c) * delta
        c1 = -c * delta * (1.0 - delta)
        q = (math.sqrt(max(0.0, b1 * b1 - 8.0 * n * c1)) - b1) / (4.0 * n)
        variance = n * (2.0 * q + delta * (1.0 - delta))
        gap = b - c - n * delta
        return gap / math.sqrt(variance) if variance > 0.0 else math.copysign(math.inf, gap)

    def cross(inside: float, outside: float) -> float:
        for _ in range(60):  # bisection; `score` falls monotonically in delta
            middle = (inside + outside) / 2.0
            inside, outside = (middle, outside) if abs(score(middle)) <= z else (inside, middle)
        return outside

    centre = (b - c) / n
    return (-1.0 if c >= n else cross(centre, -1.0)), (1.0 if b >= n else cross(centre, 1.0))


def paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    groups: Sequence[str],
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Share of `a` minus share of `b` over the same cases (both bool [n]), e.g. correct before and after.

    - Every patient has one case: Tango's score interval (1998), +- z^2 / (n + z^2) without discordance.
    - Otherwise a percentile cluster bootstrap over patients.
    - Fewer than 10 discordant patients: Tango's interval at the Korn-Graubard (1998) effective number of
      cases, no more than one per patient.

    `k` is None. ValueError as for `rate`, or if `a` and `b` differ in length.
    """
    check_level(level)
    first, second = flags(a, "a"), flags(b, "b")
    n = len(first)
    if len(second) != n:
        raise ValueError(f"a has {n} cases, b has {len(second)}")
    codes, m = group_codes(groups, n)
    diff = first.astype(np.float64) - second.astype(np.float64)
    value = float(diff.mean())
    lost, won = float((diff > 0).sum()), float((diff < 0).sum())
    if m == n:
        low, high = _tango(lost, won, n, level)
        method = "Tango score"
    elif len(np.unique(codes[diff != 0])) < FEW_BOOTSTRAP:
        sizes = np.bincount(codes, minlength=m).astype(np.float64)
        totals = np.bincount(codes, weights=diff, minlength=m).astype(np.float64)
        effect = _design_effect(totals, sizes, (lost + won) / n - value**2)
        effective = min(float(m), _effective_n(n, m, effect, level)) if m > 1 else 1.0
        low, high = _tango(lost * effective / n, won * effective / n, effective, level)
        method = f"Tango score on patients, {n} cases in {_patients(m)}, too few discordant to bootstrap"
    else:
        drawn = cluster_bootstrap(lambda rows: float(diff[rows].mean()), groups, level, draws, seed)
        low, high, method = drawn.low, drawn.high, drawn.method
    return Estimate(value, n, None, Interval(min(low, value), max(high, value), level, method), m)


def required_n(value: float, limit: float, level: float = 0.95) -> int | None:
    """Smallest n at which the Clopper-Pearson interval around the share `value` excludes `limit`.

    The hits are value * n rounded to a whole number towards `limit`, so the observed share is never further
    from the limit than `value`. The cases are taken as independent: multiply by the design effect for
    clustered ones. None if value == limit, or if more than 10^9 cases are needed. ValueError if a share
    lies outside [0, 1] or level is out of range.
    """
    from scipy.special import betaincinv  # type: ignore[import-untyped, unused-ignore]

    check_level(level)
    if not (0.0 <= value <= 1.0 and 0.0 <= limit <= 1.0):
        raise ValueError(f"value and limit must lie in [0, 1], not {value!r} and {limit!r}")
    if value == limit:
        return None
    if value < limit:  # mirror, so that the limit to exclude lies below
        value, limit = 1.0 - value, 1.0 - limit

    tail = (1.0 - level) / 2.0

    def decides(n: int) -> bool:  # with real-valued hits the lower limit rises with n, so this bounds n below
        return float(betaincinv(value * n, n - value * n + 1.0, tail)) > limit

    below, above = 0, 1
    while above <= MOST_CASES and not decides(above):
        below, above = above, 2 * above
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (below, middle) if decides(middle) else (middle, above)
    chunk = 256
    while above <= MOST_CASES:
        n = np.arange(above, above + chunk, dtype=np.float64)
        k = np.floor(value * n + 1e-9 * np.maximum(1.0, n * 1e-6))
        low = np.where(k > 0, betaincinv(np.maximum(k, 1.0), n - k + 1.0, tail), 0.0)
        found = np.flatnonzero(low > limit)
        if len(found):
            return int(n[found[0]])
        above, chunk = above + chunk, min(2 * chunk, 1 << 20)
    return None
