"""Anaesthesia minutes: are they measured or made up? Last digits, and billed against expected time.

A clock gives every last digit equally often. Times that end in 0 or 5 too often were rounded, and rounding goes
upwards: in 6.26 million anaesthetics, 212 practitioners with anomalous rounding to 5 minutes billed 21.5 minutes more
than expected (Sun et al. 2018, PMC6324364). Rounding alone is no proof of padding: both figures are given.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nocere.core.errors import DataError, UsageError
from nocere.core.intervals import Estimate, Interval, check_level, rate

FEWEST = 50  # times: 5 expected a digit, below which the chi-square distribution does not hold
ROUND = (0, 5)


@dataclass(frozen=True, slots=True)
class LastDigits:
    """The last digits of one biller's minutes.

    Args:
        counts: how often 0, 1, ... 9 is the last digit.
        chi_square: Pearson's statistic against equal frequencies, 9 degrees of freedom.
        p: probability of a statistic at least as large, were all digits equally likely.
        round_share: share of times that end in 0 or 5, with its interval; a clock gives 0.2.
    """

    counts: tuple[int, ...]
    chi_square: float
    p: float
    round_share: Estimate


def last_digits(minutes: Sequence[int], level: float = 0.95) -> LastDigits:
    """Tests whether the last digits of `minutes` are equally frequent.

    Raises:
        UsageError: fewer than 50 times.
        DataError: a negative time.
    """
    from scipy.special import chdtrc  # type: ignore[import-untyped, unused-ignore]

    if len(minutes) < FEWEST:
        raise UsageError(f"A test of last digits needs at least {FEWEST} times; got {len(minutes)}.")
    digits = _whole(minutes) % 10
    counts = np.bincount(digits, minlength=10)
    expected = len(digits) / 10
    chi_square = float(((counts - expected) ** 2).sum() / expected)
    share = rate(np.isin(digits, ROUND), [str(i) for i in range(len(digits))], level)
    return LastDigits(tuple(counts.tolist()), chi_square, float(chdtrc(9, chi_square)), share)


def excess_minutes(minutes: Sequence[int], expected: Sequence[float], level: float = 0.95) -> Estimate:
    """Mean of billed minus expected minutes of one biller, with Student's interval.

    `expected` is what the procedure takes elsewhere (the peers' mean, or the record's own start and end).

    Raises:
        UsageError: fewer than two times, or as many expected ones as billed ones are not given.
        DataError: a negative time.
    """
    from scipy.special import stdtrit  # type: ignore[import-untyped, unused-ignore]

    check_level(level)
    if len(minutes) < 2 or len(minutes) != len(expected):
        raise UsageError(f"Needs two times or more, each with an expected one; got {len(minutes)} and {len(expected)}.")
    excess = _whole(minutes) - np.asarray(expected, dtype=np.float64)
    n, mean = len(excess), float(excess.mean())
    half = float(stdtrit(n - 1, (1 + level) / 2)) * float(excess.std(ddof=1)) / math.sqrt(n)
    return Estimate(mean, n, None, Interval(mean - half, mean + half, level, "Student"), n)


def _whole(minutes: Sequence[int]) -> NDArray[np.int64]:
    found = np.asarray(minutes, dtype=np.int64)
    if found.size and int(found.min()) < 0:
        raise DataError(f"Minutes cannot be negative; got {int(found.min())}.")
    return found


@dataclass(frozen=True, slots=True)
class Biller:
    """One biller in a screen: last digits, excess over expected time, and whether the digits are anomalous.

    `anomalous` holds where p is below `alpha` after Holm's correction over all billers, and round times are too many.
    """

    name: str
    digits: LastDigits
    excess: Estimate
    anomalous: bool


def screen(times: Mapping[str, Sequence[tuple[int, float]]], alpha: float = 0.05) -> tuple[Biller, ...]:
    """All billers with at least 50 (billed, expected) times, the most anomalous first; others are left out.

    Raises:
        DataError: a negative time.
    """
    found = []
    for name, pairs in times.items():
        if len(pairs) >= FEWEST:
            billed, expected = [m for m, _ in pairs], [e for _, e in pairs]
            found.append((name, last_digits(billed), excess_minutes(billed, expected)))
    found.sort(key=lambda b: (b[1].p, b[0]))
    out, open_ = [], True
    for i, (name, digits, excess) in enumerate(found):
        open_ = open_ and digits.p <= alpha / (len(found) - i)
        out.append(Biller(name, digits, excess, open_ and digits.round_share.value > 0.2))
    return tuple(out)
