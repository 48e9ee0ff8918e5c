"""Intervals against other people's implementations, exact enumeration, and simulated coverage."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats  # type: ignore[import-untyped, unused-ignore]
from sklearn.metrics import roc_auc_score  # type: ignore[import-untyped, unused-ignore]

from nocere.core import intervals as iv
from nocere.core.censoring import censored_quantile
from nocere.core.ranking import auroc, auroc_variance

UNHURRIED = settings(deadline=None)
LEVELS = st.floats(0.5, 0.995)
COUNTS = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def singles(n: int) -> list[str]:
    return [f"p{i}" for i in range(n)]


def names(codes: NDArray[np.int64]) -> list[str]:
    return [f"p{c}" for c in codes]


def clustered(
    rng: np.random.Generator, p: float, icc: float, patients: int = 100, most: int = 6
) -> tuple[NDArray[np.bool_], list[str]]:
    """Beta-binomial cases: `most` at the most per patient, correlation `icc` within a patient."""
    sizes = rng.integers(1, most + 1, size=patients)
    spread = 1.0 / icc - 1.0
    risk = np.repeat(rng.beta(p * spread, (1 - p) * spread, size=patients), sizes)
    return rng.random(len(risk)) < risk, names(np.repeat(np.arange(patients), sizes))


# --- rates of independent cases -----------------------------------------------------------------------


@UNHURRIED
@given(COUNTS, LEVELS)
def test_exact_and_wilson_agree_with_scipy(count: tuple[int, int], level: float) -> None:
    k, n = count
    for ours, method in ((iv.clopper_pearson, "exact"), (iv.wilson, "wilson")):
        theirs = stats.binomtest(k, n).proportion_ci(level, method=method)
        got = ours(k, n, level)
        assert (got.low, got.high) == pytest.approx((theirs.low, theirs.high), abs=1e-8)
        assert got.level == level


@UNHURRIED
@given(COUNTS, LEVELS)
def test_upper_limit_agrees_with_scipy(count: tuple[int, int], level: float) -> None:
    k, n = count
    theirs = stats.binomtest(k, n, alternative="less").proportion_ci(level, method="exact")
    assert iv.upper_limit(k, n, level) == pytest.approx(theirs.high, abs=1e-8)


def test_newcombe_1998_published_intervals() -> None:
    """Table I of Newcombe (1998), Statistics in Medicine 17:857-872."""
    table = {
        (81, 263): ((0.2527, 0.3676), (0.2553, 0.3662)),
        (15, 148): ((0.0578, 0.1617), (0.0624, 0.1605)),
        (0, 20): ((0.0, 0.1684), (0.0, 0.1611)),
        (1, 29): ((0.0009, 0.1776), (0.0061, 0.1718)),
    }
    for (k, n), (exact, score) in table.items():
        cp, ws = iv.clopper_pearson(k, n), iv.wilson(k, n)
        assert (cp.low, cp.high) == pytest.approx(exact, abs=6e-5)
        assert (ws.low, ws.high) == pytest.approx(score, abs=6e-5)


@pytest.mark.parametrize("n", [30, 100, 1000])
def test_rule_of_three(n: int) -> None:
    assert iv.upper_limit(0, n) == pytest.approx(1 - 0.05 ** (1 / n))
    assert iv.upper_limit(0, n) == pytest.approx(3 / n, rel=0.06)


def test_no_cases_say_nothing() -> None:
    for method in (iv.clopper_pearson, iv.wilson):
        assert (method(0, 0).low, method(0, 0).high) == (0.0, 1.0)
    assert iv.upper_limit(0, 0) == 1.0


@pytest.mark.parametrize("method", [iv.clopper_pearson, iv.wilson, iv.upper_limit])
@pytest.mark.parametrize(("k", "n", "level"), [(-1, 3, 0.9), (4, 3, 0.9), (0, -1, 0.9), (1, 2, 1.0), (1, 2, 0.0)])
def test_bad_counts(method: Callable[[int, int, float], object], k: int, n: int, level: float) -> None:
    with pytest.raises(ValueError, match=r"need 0 <= k <= n|level must lie"):
        method(k, n, level)


@UNHURRIED
@given(COUNTS, LEVELS, LEVELS)
def test_wider_at_a_higher_level(count: tuple[int, int], one: float, two: float) -> None:
    k, n = count
    for method in (iv.clopper_pearson, iv.wilson):
        narrow, wide = method(k, n, min(one, two)), method(k, n, max(one, two))
        assert 0 <= wide.low <= narrow.low <= k / n <= narrow.high <= wide.high <= 1


# --- rates of clustered cases -------------------------------------------------------------------------


def test_rate_of_single_cases_is_clopper_pearson() -> None:
    got = iv.rate([True, False, False, True, False], singles(5))
    assert (got.value, got.n, got.k, got.groups) == (0.4, 5, 2, 5)
    assert got.interval == iv.clopper_pearson(2, 5)


@pytest.mark.parametrize(("p", "icc", "most"), [(0.3, 0.3, 6), (0.1, 0.3, 6), (0.03, 0.3, 6), (0.7, 0.8, 3)])
def test_rate_covers_where_plain_clopper_pearson_does_not(p: float, icc: float, most: int) -> None:
    rng = np.random.default_rng(11)
    runs, good, plain = 800, 0, 0
    for _ in range(runs):
        hits, groups = clustered(rng, p, icc, most=most)
        got = iv.rate(hits, groups)
        assert got.k is not None
        naive = iv.clopper_pearson(got.k, got.n)
        good += got.interval.low <= p <= got.interval.high
        plain += naive.low <= p <= naive.high
    assert good / runs >= 0.92
    assert plain / runs < 0.90


def test_rate_is_not_wastefully_wide() -> None:
    rng = np.random.default_rng(5)
    ratios = []
    for _ in range(100):
        hits, groups = clustered(rng, 0.3, 0.3)
        got, spread = iv.rate(hits, groups), []
        codes = np.unique(groups, return_inverse=True)[1]
        totals, sizes = np.bincount(codes, weights=hits), np.bincount(codes)
        for _ in range(60):
            drawn = rng.integers(0, len(sizes), len(sizes))
            spread.append(totals[drawn].sum() / sizes[drawn].sum())
        ratios.append((got.interval.high - got.interval.low) / (2 * 1.96 * np.std(spread)))
    assert 0.97 < np.mean(ratios) < 1.15


def test_design_effect_by_hand() -> None:
    """Ten patients of two cases that always agree: every case is counted twice, so the effect is near 2."""
    hits, groups = [True] * 10 + [False] * 10, names(np.repeat(np.arange(10), 2))
    got = iv.rate(hits, groups)
    effect = 20 / 9  # m / (m - 1) * 10 * 1 / 400, over 0.25 / 20
    assert got.interval.method == "Korn-Graubard, 20 cases in 10 patients, design effect 2.22"
    size = 20 / effect * (stats.t.ppf(0.975, 19) / stats.t.ppf(0.975, 9)) ** 2
    assert got.interval.low == pytest.approx(stats.beta.ppf(0.025, size / 2, size / 2 + 1))
    assert got.interval.high == pytest.approx(stats.beta.ppf(0.975, size / 2 + 1, size / 2))


def test_design_effect_is_never_below_one() -> None:
    """Each patient has one hit and one miss: the patients agree exactly, which is no extra evidence."""
    got = iv.rate([True, False] * 30, names(np.repeat(np.arange(30), 2)))
    plain = iv.clopper_pearson(30, 60)
    assert got.interval.method.endswith("design effect 1.00")
    assert got.interval.low <= plain.low
    assert got.interval.high >= plain.high


@pytest.mark.parametrize("all_hit", [True, False])
def test_agreeing_cases_count_one_per_patient(all_hit: bool) -> None:
    got = iv.rate([all_hit] * 190, names(np.arange(190) % 143))
    same = iv.clopper_pearson(143 * all_hit, 143)
    assert (got.interval.low, got.interval.high) == pytest.approx((same.low, same.high))
    assert "143 patients" in got.interval.method


def test_one_hit_does_not_narrow_what_no_hit_leaves_open() -> None:
    groups = names(np.repeat(np.arange(20), 50))
    none, one = np.zeros(1000, dtype=bool), np.arange(1000) == 7
    assert iv.rate(one, groups).interval.high > iv.rate(none, groups).interval.high


def test_one_patient_says_little() -> None:
    got = iv.rate([True, False, True, False] * 20, ["p"] * 80).interval
    assert got.low < 0.02
    assert got.high > 0.98
    assert "1 patient," in got.method


HITS = st.lists(st.tuples(st.booleans(), st.integers(0, 12)), min_size=1, max_size=60)


@UNHURRIED
@given(HITS, LEVELS, LEVELS)
def test_rate_is_ordered_and_monotone_in_level(cases: list[tuple[bool, int]], one: float, two: float) -> None:
    hits, groups = [c[0] for c in cases], [f"p{c[1]}" for c in cases]
    narrow, wide = iv.rate(hits, groups, min(one, two)), iv.rate(hits, groups, max(one, two))
    assert 0 <= wide.interval.low <= narrow.interval.low + 1e-12
    assert narrow.interval.low <= narrow.value <= narrow.interval.high <= wide.interval.high + 1e-12
    assert wide.interval.high <= 1
    assert narrow.interval.high > narrow.interval.low


@UNHURRIED
@given(HITS)
def test_rate_mirrors(cases: list[tuple[bool, int]]) -> None:
    groups = [f"p{c[1]}" for c in cases]
    hit = iv.rate([c[0] for c in cases], groups).interval
    miss = iv.rate([not c[0] for c in cases], groups).interval
    assert (hit.low, hit.high) == pytest.approx((1 - miss.high, 1 - miss.low), abs=1e-9)


@pytest.mark.parametrize(
    ("hits", "groups", "why"),
    [
        ([], [], "non-empty"),
        ([True], [], "0 groups given for 1 cases"),
        ([0.5, 1.0], ["a", "b"], "true/false"),
        ([math.nan, 1.0], ["a", "b"], "true/false"),
        ([[True]], ["a"], "one-dimensional"),
    ],
)
def test_rate_refuses(hits: list[float], groups: list[str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        iv.rate(hits, groups)


# --- cluster bootstrap --------------------------------------------------------------------------------


def test_bootstrap_is_repeatable_and_draws_whole_patients() -> None:
    codes = np.array([0, 1, 0, 2, 1, 0, 3])
    sizes = np.bincount(codes)

    def stat(rows: NDArray[np.int64]) -> float:
        assert rows.dtype == np.int64
        times = np.bincount(rows, minlength=7)
        for patient in range(4):  # every row of a patient appears equally often
            assert len(set(times[codes == patient].tolist())) == 1
        assert sum(times[codes == g][0] for g in range(4)) == len(sizes)
        return float(rows.mean())

    first = iv.cluster_bootstrap(stat, names(codes), draws=300, seed=3)
    assert first == iv.cluster_bootstrap(stat, names(codes), draws=300, seed=3)
    assert first != iv.cluster_bootstrap(stat, names(codes), draws=300, seed=4)


def test_bootstrap_agrees_with_scipy_for_single_cases() -> None:
    x = np.random.default_rng(0).normal(size=80)
    ours = iv.cluster_bootstrap(lambda r: float(x[r].mean()), singles(80), draws=4000)
    theirs = stats.bootstrap((x,), np.mean, n_resamples=9999, method="percentile", rng=1).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.02)


def test_bootstrap_leaves_out_undefined_draws_and_says_so() -> None:
    def stat(rows: NDArray[np.int64]) -> float:
        return float(rows.mean()) if 0 in rows else math.nan

    assert "undefined draws left out" in iv.cluster_bootstrap(stat, singles(4), draws=200).method
    with pytest.raises(ValueError, match="not finite"):
        iv.cluster_bootstrap(lambda _: math.nan, singles(4), draws=200)
    with pytest.raises(ValueError, match="at least 2"):
        iv.cluster_bootstrap(lambda _: 0.0, ["a", "a"])
    with pytest.raises(ValueError, match="draws"):
        iv.cluster_bootstrap(lambda _: 0.0, ["a", "b"], draws=10)


# --- paired differences -------------------------------------------------------------------------------


def pairs(lost: int, won: int, n: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    a, b = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    a[:lost] = True
    b[lost : lost + won] = True
    a[lost + won :: 2] = b[lost + won :: 2] = True
    return a, b


@pytest.mark.parametrize(("lost", "won", "n"), [(12, 2, 50), (40, 20, 160), (1, 7, 21), (3, 0, 40), (0, 1, 44)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_tango_against_the_quartic_of_yang_sun_hardin(lost: int, won: int, n: int, level: float) -> None:
    """Yang, Sun & Hardin (2013) write Tango's limits as the extreme real roots of a polynomial."""
    g, d, s = stats.norm.ppf((1 + level) / 2) ** 2, lost - won, lost + won
    roots = np.roots(
        [
            n**2 * (n / g + 1) ** 2,
            -n * d * (n / g + 1) * (4 * n / g + 1),
            2 * n * d**2 * (3 * n / g + 2) / g - n**2 * (s / g + 1),
            n * d * (2 * s / g + 1) - d**3 * (4 * n / g + 1) / g,
            d**2 * (d**2 / g - s) / g,
        ]
    )
    real = np.sort(roots[np.abs(roots.imag) < 1e-7].real)
    got = iv.paired_difference(*pairs(lost, won, n), singles(n), level)
    assert got.value == pytest.approx(d / n)
    assert (got.interval.low, got.interval.high) == pytest.approx((real[0], real[-1]), abs=1e-6)


@pytest.mark.parametrize("n", [1, 10, 100])
def test_no_discordance_is_not_certainty(n: int) -> None:
    half = stats.norm.ppf(0.975) ** 2 / (n + stats.norm.ppf(0.975) ** 2)
    got = iv.paired_difference(*pairs(0, 0, n), singles(n))
    assert (got.value, got.interval.low, got.interval.high) == pytest.approx((0, -half, half))


def test_paired_difference_of_agreeing_patients_counts_patients() -> None:
    a, b = pairs(0, 0, 100)
    got = iv.paired_difference(a, b, names(np.repeat(np.arange(20), 5))).interval
    alone = iv.paired_difference(*pairs(0, 0, 20), singles(20)).interval
    assert (got.low, got.high) == pytest.approx((alone.low, alone.high))
    one = iv.paired_difference(a, b, ["p"] * 100).interval
    assert one.high - one.low > 1.5


@pytest.mark.parametrize("rise", [0.03, 0.15])
def test_paired_difference_covers_clustered_cases(rise: float) -> None:
    rng = np.random.default_rng(21)
    runs, good = 150, 0
    for _ in range(runs):
        before, groups = clustered(rng, 0.4, 0.3, patients=60)
        codes = np.unique(groups, return_inverse=True)[1]
        fails = rng.random(codes.max() + 1)[codes] < rise / 0.4  # a patient is lost as a whole
        got = iv.paired_difference(before, before & ~fails, groups, draws=300)
        assert -1 <= got.interval.low <= got.value <= got.interval.high <= 1
        good += got.interval.low <= rise <= got.interval.high
    assert good / runs >= 0.91


def test_paired_difference_flips_sign_and_bootstraps_patients() -> None:
    rng = np.random.default_rng(1)
    a, groups = clustered(rng, 0.6, 0.3)
    b = a & (rng.random(len(a)) < 0.6)
    there, back = iv.paired_difference(a, b, groups), iv.paired_difference(b, a, groups)
    assert there.value == -back.value > 0
    assert there.interval.low == pytest.approx(-back.interval.high)
    assert there.interval.method.startswith("cluster bootstrap, 100 groups")
    assert there.k is None
    with pytest.raises(ValueError, match="b has"):
        iv.paired_difference(a, b[1:], groups)


# --- AUROC --------------------------------------------------------------------------------------------


def scored(
    rng: np.random.Generator, patients: int, shift: float, shared: float, both: bool
) -> tuple[NDArray[np.float64], NDArray[np.bool_], list[str]]:
    """Normal scores with a patient effect of variance `shared`; one label a patient, or `both` in turn."""
    codes = np.repeat(np.arange(patients), rng.integers(1, 5, size=patients))
    label = (np.arange(len(codes)) % 2 == 0) if both else (np.arange(patients) % 5 < 2)[codes]
    effect = rng.normal(size=patients)[codes]
    noise = math.sqrt(shared) * effect + math.sqrt(1 - shared) * rng.normal(size=len(codes))
    return noise + shift * label, label, names(codes)


def textbook_delong(scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    """The variance as DeLong et al. (1988) write it, pair by pair."""
    x, y = scores[labels][:, None], scores[~labels][None, :]
    psi = (x > y) + 0.5 * (x == y)
    return float(psi.mean(1).var(ddof=1) / len(x) + psi.mean(0).var(ddof=1) / y.shape[1])


@UNHURRIED
@given(st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=6, max_size=40))
def test_auroc_value_and_delong_variance(cases: list[tuple[int, bool]]) -> None:
    cases = [*cases, (3, True), (4, True), (3, False), (5, False)]
    score, label = np.array([float(c[0]) for c in cases]), np.array([c[1] for c in cases])
    value, variance = auroc_variance(score, label, singles(len(cases)))
    assert value == pytest.approx(roc_auc_score(label, score), abs=1e-12)
    assert variance == pytest.approx(textbook_delong(score, label), abs=1e-12)
    got = auroc(score, label, singles(len(cases)))
    assert 0 <= got.interval.low <= got.value <= got.interval.high <= 1
    assert got.interval.high > got.interval.low


def test_hand_worked_auroc() -> None:
    """Positives 3, 2, 2 and negatives 1, 2: wins 1 1, 1 .5, 1 .5, so 5/6."""
    got = auroc([3, 2, 2, 1, 2], [True, True, True, False, False], singles(5))
    assert got.value == pytest.approx(5 / 6)
    assert (got.n, got.k, got.groups, got.interval.method) == (5, None, 5, "DeLong, logit")
    variance = (1 / 48) / 3 + (1 / 18) / 2  # V10 = 1, 3/4, 3/4; V01 = 1, 2/3
    assert auroc_variance([3, 2, 2, 1, 2], [1, 1, 1, 0, 0], singles(5))[1] == pytest.approx(variance)
    half = 1.959964 * math.sqrt(variance) / (5 / 36)
    low, high = (1 / (1 + math.exp(-(math.log(5) + s * half))) for s in (-1, 1))
    assert (got.interval.low, got.interval.high) == pytest.approx((low, high), abs=1e-6)


def test_obuchowski_as_published_equals_ours() -> None:
    """The three sums of Obuchowski (1997), written out with loops and exact fractions."""
    scores, labels = [5, 3, 2, 1, 2, 1, 6, 5], [1, 0, 1, 0, 0, 1, 1, 0]
    groups = ["a", "a", "a", "b", "b", "c", "d", "c"]
    pos = [i for i, y in enumerate(labels) if y]
    neg = [i for i, y in enumerate(labels) if not y]

    def psi(i: int, j: int) -> Fraction:
        return Fraction((scores[i] > scores[j]) * 2 + (scores[i] == scores[j]), 2)

    big_m, big_n = len(pos), len(neg)
    area = sum((psi(i, j) for i in pos for j in neg), Fraction()) / (big_m * big_n)
    s10 = s01 = s11 = Fraction()
    for g in "abcd":
        mine_p, mine_n = [i for i in pos if groups[i] == g], [j for j in neg if groups[j] == g]
        v10 = sum((psi(i, j) for i in mine_p for j in neg), Fraction()) / big_n - len(mine_p) * area
        v01 = sum((psi(i, j) for i in pos for j in mine_n), Fraction()) / big_m - len(mine_n) * area
        s10, s01, s11 = s10 + v10**2, s01 + v01**2, s11 + v10 * v01
    i10, i01, i = 3, 3, 4  # patients with a positive: a c d; with a negative: a b c
    s10, s01 = s10 * Fraction(i10, (i10 - 1) * big_m), s01 * Fraction(i01, (i01 - 1) * big_n)
    s11 *= Fraction(i, i - 1)
    assert s11 != 0
    variance = s10 / big_m + s01 / big_n + 2 * s11 / (big_m * big_n)
    value, got = auroc_variance(scores, labels, groups)
    assert (value, got) == pytest.approx((float(area), float(variance)))


@pytest.mark.parametrize("both", [True, False])
def test_obuchowski_variance_is_that_of_repeated_sampling(both: bool) -> None:
    rng = np.random.default_rng(8)
    values, clustered_var, plain_var = [], [], []
    for _ in range(600):
        score, label, groups = scored(rng, 80, 1.0, 0.6, both)
        value, variance = auroc_variance(score, label, groups)
        assert variance is not None
        values.append(value)
        clustered_var.append(variance)
        plain_var.append(textbook_delong(score, label))
    assert np.mean(clustered_var) == pytest.approx(np.var(values), rel=0.12)
    ratio = np.mean(plain_var) / np.var(values)
    assert ratio > 1.25 if both else ratio < 0.75  # DeLong is wrong here, to either side


@pytest.mark.parametrize("shift", [0.5, 1.5, 2.3])
def test_delong_interval_covers(shift: float) -> None:
    rng = np.random.default_rng(4)
    truth, runs, good = stats.norm.cdf(shift / math.sqrt(2)), 800, 0
    label = np.arange(90) < 30
    for _ in range(runs):
        got = auroc(rng.normal(size=90) + shift * label, label, singles(90)).interval
        good += got.low <= truth <= got.high
    assert 0.925 <= good / runs <= 0.98


def test_auroc_interval_is_wider_at_a_higher_level() -> None:
    score, label, groups = scored(np.random.default_rng(3), 30, 1.0, 0.5, both=True)
    gaps = []
    for level in (0.5, 0.9, 0.99):
        got = auroc(score, label, groups, level)
        assert got.interval.level == level
        ends = (got.interval.low, got.value, got.interval.high)
        low, value, high = (math.log(x / (1 - x)) for x in ends)
        assert high - value == pytest.approx(value - low)
        gaps.append((high - low) / 2 / stats.norm.ppf((1 + level) / 2))
    assert gaps == pytest.approx([gaps[0]] * 3)


def test_obuchowski_interval_covers() -> None:
    rng = np.random.default_rng(14)
    truth, runs, good = stats.norm.cdf(1 / math.sqrt(2)), 600, 0
    for _ in range(runs):
        got = auroc(*scored(rng, 80, 1.0, 0.6, both=False)).interval
        good += got.low <= truth <= got.high
    assert good / runs >= 0.92


@pytest.mark.parametrize("reverse", [False, True])
def test_perfect_separation_is_bounded_by_disjoint_pairs(reverse: bool) -> None:
    label = np.arange(50) < 20
    got = auroc(np.where(label ^ reverse, 2.0, 1.0), label, singles(50))
    bound = iv.clopper_pearson(0 if reverse else 20, 20)
    assert got.value == (0.0 if reverse else 1.0)
    assert (got.interval.low, got.interval.high) == pytest.approx((bound.low, bound.high))
    assert "20 disjoint pairs" in got.interval.method


@pytest.mark.parametrize(
    ("groups", "bound"),
    [("aabb", 1), ("abcd", 2), ("aaaa", 0), ("abab", 1), ("aabc", 1), ("abcc", 1), ("abbc", 1)],
)
def test_disjoint_pairs_take_distinct_patients(groups: str, bound: int) -> None:
    got = auroc([2, 2, 1, 1], [True, True, False, False], list(groups))
    assert f"on {bound} disjoint pairs" in got.interval.method
    assert got.interval.low == pytest.approx(iv.clopper_pearson(bound, bound).low)


def test_constant_scores_and_refusals() -> None:
    got = auroc([1.0] * 6, [1, 1, 1, 0, 0, 0], singles(6))
    assert got.value == 0.5
    assert got.interval.low < 0.1
    assert got.interval.high > 0.9
    for scores, labels in (([1, 2], [1, 1]), ([1, 2], [0, 0]), ([1, math.nan], [0, 1]), ([1], [0, 1])):
        with pytest.raises(ValueError, match=r"at least one positive and one negative|one finite number"):
            auroc(scores, labels, singles(len(labels)))


# --- cases needed -------------------------------------------------------------------------------------


def needed_by_brute_force(value: Fraction, limit: float, level: float) -> int:
    for n in range(1, 5000):
        share = value * n
        k = math.floor(share) if value > limit else math.ceil(share)
        low = 0.0 if k == 0 else stats.beta.ppf((1 - level) / 2, k, n - k + 1)
        high = 1.0 if k == n else stats.beta.ppf((1 + level) / 2, k + 1, n - k)
        if limit < low or limit > high:
            return n
    raise AssertionError


@pytest.mark.parametrize(
    ("value", "limit"),
    [("1", 0.95), ("0", 0.05), ("93/100", 0.9), ("1/10", 0.0), ("9/10", 1.0), ("3/10", 0.4), ("29/100", 0.2)],
)
def test_required_n_is_the_first_that_decides(value: str, limit: float) -> None:
    share = Fraction(value)
    assert iv.required_n(float(share), limit) == needed_by_brute_force(share, limit, 0.95)


def test_required_n_landmarks() -> None:
    assert iv.required_n(1.0, 0.95) == 72  # 0.025 ** (1 / 72) > 0.95
    assert iv.required_n(0.8, 0.8) is None
    assert iv.required_n(0.5, 0.5 + 1e-7) is None  # beyond 10^9 cases
    close = iv.required_n(0.5, 0.501)
    assert close == pytest.approx(1.96**2 * 0.25 / 0.001**2, rel=0.01)
    for value, limit, level in ((1.1, 0.5, 0.9), (0.5, -0.1, 0.9), (math.nan, 0.5, 0.9), (0.5, 0.6, 1.0)):
        with pytest.raises(ValueError, match="must lie"):
            iv.required_n(value, limit, level)


# --- budgets ------------------------------------------------------------------------------------------


def test_median_budget_by_hand() -> None:
    """20 cases on the grid 1 2 4 8: 2, 8, 14, 18 broken. Limits .19-.64, .46-.88, .68-.99."""
    budget, broken = [1] * 2 + [2] * 6 + [4] * 6 + [8] * 6, [True] * 18 + [False] * 2
    got = censored_quantile(budget, broken)
    assert (got.value, got.low, got.high, got.largest, got.n, got.groups) == (4, 2, 8, 8, 20, 20)
    ninety = censored_quantile(budget, broken, q=0.9)
    assert (ninety.value, ninety.low, ninety.high) == (8, 8, None)
    rare = censored_quantile(budget, broken, q=0.02)
    assert (rare.value, rare.low, rare.high) == (1, 0, 2)


def test_budget_not_reached() -> None:
    got = censored_quantile([8.0] * 40, [False] * 40)
    assert (got.value, got.low, got.high, got.largest) == (None, None, None, 8)
    some = censored_quantile([4.0] * 18 + [8.0] * 22, [True] * 18 + [False] * 22)
    assert (some.value, some.low, some.high) == (None, 4, None)


def test_clustered_budgets_are_less_certain() -> None:
    budget, broken = [1.0] * 30 + [2.0] * 30 + [4.0] * 30, [True] * 60 + [False] * 30
    alone = censored_quantile(budget, broken, q=0.45)
    together = censored_quantile(budget, broken, q=0.45, groups=names(np.arange(90) // 10))
    assert (alone.low, alone.high) == (2, 2)
    assert (together.low, together.high) == (1, None)
    assert together.groups == 9


def test_a_limit_that_is_lost_again_does_not_count() -> None:
    """Half of everyone breaks at 1, then at 2 all of one large patient: more broken, but less certain."""
    groups = [*names(np.repeat(np.arange(40), 4)), *["large"] * 100]
    budget = [1, 1, 8, 8] * 40 + [1] * 50 + [2] * 50
    broken = [True, True, False, False] * 40 + [True] * 100
    first, second = (iv.rate(np.array(broken) & (np.array(budget) <= t), groups).interval for t in (1, 2))
    assert first.low > 0.415 > second.low
    assert censored_quantile(budget, broken, q=0.415, groups=groups).high is None


@pytest.mark.parametrize("q", [0.25, 0.5])
def test_budget_interval_covers(q: float) -> None:
    rng = np.random.default_rng(2)
    grid = np.array([0.5, 1, 2, 3, 4, 6, 8, 16])
    truth = grid[np.searchsorted(1 - np.exp(-grid / 5), q)]
    runs, good = 300, 0
    for _ in range(runs):
        at = np.searchsorted(grid, rng.exponential(5, size=60))
        got = censored_quantile(grid[np.minimum(at, 7)], at < 8, q=q)
        low, high = (math.inf if x is None else x for x in (got.low, got.high))
        good += low <= truth <= high
    assert good / runs >= 0.95


@UNHURRIED
@given(st.lists(st.integers(1, 6), min_size=1, max_size=50), st.floats(0.05, 0.95))
def test_budget_limits_are_ordered_and_mean_what_they_say(at: list[int], q: float) -> None:
    grid, broken = np.minimum(at, 5).astype(float), np.array(at) < 6
    if not broken.all():
        grid[~broken] = max(5.0, grid.max())
    got = censored_quantile(grid, broken, q=q)
    low, value, high = (math.inf if x is None else x for x in (got.low, got.value, got.high))
    assert low <= value <= high
    if got.value is not None:
        assert np.mean(broken & (grid <= value)) >= q > np.mean(broken & (grid < value))
    else:
        assert broken.mean() < q


@pytest.mark.parametrize(
    ("budget", "broken", "q", "why"),
    [
        ([1, 2], [False, True], 0.5, "up to the largest"),
        ([1, -2], [True, True], 0.5, "non-negative"),
        ([1, math.inf], [True, False], 0.5, "finite"),
        ([1], [True, True], 0.5, "per case"),
        ([1, 2], [True, True], 1.0, "q must lie"),
        ([], [], 0.5, "non-empty"),
    ],
)
def test_bad_budgets(budget: list[float], broken: list[bool], q: float, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        censored_quantile(budget, broken, q=q)
