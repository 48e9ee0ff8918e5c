"""Measures on hand-made outcomes whose numbers can be counted on fingers; criteria and verdicts."""

from __future__ import annotations

from typing import Any

import pytest

from nocere.attacks.outcome import Outcome, Trace
from nocere.audit.criteria import Criterion, judge, overall
from nocere.audit.measures.compute import compute
from nocere.audit.measures.measure import CellResult, Measure, Results
from nocere.core.candidate import Cost, Finding
from nocere.core.case import CaseRef, Truth
from nocere.core.decision import OneLogit
from nocere.core.intervals import clopper_pearson

D = OneLogit(("benign", "malignant"))


def finding(ok: bool, logit: float, p: float = 0.5) -> Finding:
    return Finding(ok, "", 1.0, Cost(1, "grey_levels"), None, (-logit, logit), float(ok), (1 - p, p))


def ref(i: int, label: str, group: str = "", **attrs: str) -> CaseRef:
    return CaseRef(f"c{i}", Truth.of(label), group or f"p{i}", attrs, "")


def results(
    refs: list[CaseRef], logits: list[float], cells: list[CellResult], why: dict[str, str] | None = None
) -> Results:
    return Results(
        tuple(refs), D, {r.id: (-z, z) for r, z in zip(refs, logits, strict=True)},
        {r.id: (0.5, 0.5) for r in refs}, why or {}, tuple(cells), {r.id: r for r in refs},
    )  # fmt: skip


def cell(outcomes: list[Outcome], **about: Any) -> CellResult:
    base: dict[str, Any] = {
        "name": "n", "threat": "image.linf", "unit": "grey_levels", "line": 4, "aim": "flip", "radii": (1.0, 2.0),
        "untargeted": True,
    }  # fmt: skip
    return CellResult(**{**base, **about}, outcomes=tuple(outcomes))


def find(
    measures: list[Measure], key: str, cell_name: str = "", radius: float | None = None, group: str = "all"
) -> Measure:
    return next(m for m in measures if (m.key, m.cell, m.radius, m.group) == (key, cell_name, radius, group))


REFS = [ref(i, "malignant" if i < 4 else "benign") for i in range(10)]
# Malignant: 3 of 4 right; benign: 5 of 6 right.
LOGITS = [2.0, 2.0, 2.0, -1.0, -2.0, -2.0, -2.0, -2.0, -2.0, 1.0]
OUTCOMES = [
    Outcome("c0", 1, "broken", finding=finding(True, -1)),
    Outcome("c1", 1, "held", finding=finding(False, 1)),
    Outcome("c1", 2, "broken", finding=finding(True, -1)),
    Outcome("c2", 1, "held", finding=finding(False, 1)),
    Outcome("c2", 2, "held", finding=finding(False, 1)),
    Outcome("c3", 1, "already_wrong"),
    *[Outcome(f"c{i}", r, "held", finding=finding(False, -1)) for i in range(4, 8) for r in (1, 2)],
    Outcome("c8", 1, "broken", finding=finding(True, 1)),
    Outcome("c9", 1, "already_wrong"),
]


def test_rates_at_the_operating_point() -> None:
    m = compute(results(REFS, LOGITS, [cell(OUTCOMES)]))
    expect = {
        ("accuracy", "", None): (8, 10), ("sensitivity", "", None): (3, 4), ("specificity", "", None): (5, 6),
        ("accuracy", "n", 1.0): (6, 10), ("accuracy", "n", 2.0): (5, 10),
        ("sensitivity", "n", 1.0): (2, 4), ("sensitivity", "n", 2.0): (1, 4), ("specificity", "n", 2.0): (4, 6),
        ("flip_rate", "n", 1.0): (2, 8), ("flip_rate", "n", 2.0): (3, 8),
        ("flip_rate_from:malignant", "n", 2.0): (2, 3), ("flip_rate_from:benign", "n", 2.0): (1, 5),
    }  # fmt: skip
    for (key, name, radius), (k, n) in expect.items():
        got = find(m, key, name, radius)
        assert (got.k, got.n) == (k, n), (key, name, radius, got.k, got.n)
        exact = clopper_pearson(k, n)
        assert (got.low, got.high) == (exact.low, exact.high)


def test_errors_are_missing_never_held() -> None:
    outcomes = [o for o in OUTCOMES if o.case_id != "c2"] + [
        Outcome("c2", 1, "errored", "x"),
        Outcome("c2", 2, "errored", "x"),
    ]
    m = compute(results(REFS, LOGITS, [cell(outcomes)]))
    got = find(m, "accuracy", "n", 2.0)
    assert (got.k, got.n, got.missing) == (4, 9, 1)
    assert judge(Criterion(name="c", measure="accuracy", cell="n", radius=2, at_most=0.99), m).word == "ERROR"


def test_clean_errors_are_missing() -> None:
    m = compute(results(REFS, LOGITS, [], {"c0": "NaN"}))
    got = find(m, "accuracy")
    assert (got.k, got.n, got.missing) == (7, 9, 1)


def test_patients_widen_the_interval() -> None:
    paired = [CaseRef(r.id, r.truth, f"p{i // 2}", r.attrs, "") for i, r in enumerate(REFS)]
    one, two = (find(compute(results(r, LOGITS, [])), "accuracy") for r in (REFS, paired))
    assert one.value == two.value and two.groups == 5
    assert two.low is not None and two.high is not None and one.low is not None and one.high is not None
    assert two.high - two.low > one.high - one.low


def test_auroc_under_attack_uses_extremal_scores_and_the_clean_one_counts() -> None:
    worst = [Outcome(f"c{i}", 2, "held", finding=finding(False, -3.0 if i < 4 else -5.0)) for i in range(10)]
    m = compute(results(REFS, LOGITS, [cell(worst, aim="worst", radii=(2.0,))]))
    # Positives go down to -3; negatives were already higher than -5: the unchanged case is inside of every set.
    assert find(m, "auroc", "n", 2.0).value == pytest.approx(0.0)
    assert find(m, "auroc").value == pytest.approx((3 * 6 + 1 * 5) / 24)


def test_smallest_budget_is_censored() -> None:
    m = compute(results(REFS, LOGITS, [cell(OUTCOMES)]))
    got = find(m, "median_budget", "n")
    assert got.value is None and "hold at the largest budget" in got.why and got.n == 8


def test_sampling_upper_limit_is_the_rule_of_three() -> None:
    trace = Trace(draws=1000, flips=0)
    drawn = [Outcome(f"c{i}", 2, "held", trace=trace) for i in range(3)]
    m = compute(results(REFS, LOGITS, [cell(drawn, aim="sample", radii=(2.0,))]))
    got = find(m, "draw_flip_share", "n", 2.0)
    assert (got.k, got.n) == (0, 3000)
    assert got.high == pytest.approx(1 - 0.05 ** (1 / 3000))


def test_union_takes_the_worst_over_cells() -> None:
    other = [
        Outcome(f"c{i}", 15, "broken" if i in (2, 4) else "already_wrong" if i in (3, 9) else "held") for i in range(10)
    ]
    cells = [cell(OUTCOMES), cell(other, name="angle", line=2, radii=(15.0,))]
    m = compute(results(REFS, LOGITS, cells))
    up_to = {x.line: (x.k, x.n) for x in m if x.key == "accuracy_up_to_line"}
    assert up_to == {2: (6, 10), 4: (3, 10)}


def test_yield_counts_search_successes_that_are_no_files() -> None:
    lost = Outcome("c0", 1, "held", finding=finding(False, 1), trace=Trace(crossed=True))
    kept = Outcome("c1", 1, "broken", finding=finding(True, 1), trace=Trace(crossed=True))
    m = compute(results(REFS, LOGITS, [cell([lost, kept], radii=(1.0,))]))
    got = find(m, "yield", "n", 1.0)
    assert (got.k, got.n) == (1, 2)


def measure(value: float, low: float, high: float) -> list[Measure]:
    return [Measure("accuracy", value, 100, "x", low, high, int(100 * value))]


@pytest.mark.parametrize(
    ("low", "high", "limit", "word"),
    [
        (0.81, 0.9, {"at_least": 0.8}, "PASS"),
        (0.8, 0.9, {"at_least": 0.8}, "PASS"),
        (0.79, 0.9, {"at_least": 0.8}, "INCONCLUSIVE"),
        (0.6, 0.8, {"at_least": 0.8}, "INCONCLUSIVE"),
        (0.6, 0.79, {"at_least": 0.8}, "FAIL"),
        (0.1, 0.2, {"at_most": 0.3}, "PASS"),
        (0.1, 0.31, {"at_most": 0.3}, "INCONCLUSIVE"),
        (0.4, 0.5, {"at_most": 0.3}, "FAIL"),
    ],
)
def test_a_verdict_needs_the_whole_interval(low: float, high: float, limit: dict[str, float], word: str) -> None:
    verdict = judge(Criterion(name="c", measure="accuracy", **limit), measure((low + high) / 2, low, high))
    assert verdict.word == word
    if word == "INCONCLUSIVE":
        assert "would decide it" in verdict.why


def test_what_was_not_measured_is_an_error_and_fail_comes_first() -> None:
    missing = judge(Criterion(name="c", measure="auroc", at_least=0.5), measure(0.9, 0.8, 0.95))
    assert missing.word == "ERROR"
    good = judge(Criterion(name="c", measure="accuracy", at_least=0.5), measure(0.9, 0.8, 0.95))
    bad = judge(Criterion(name="c", measure="accuracy", at_least=0.99), measure(0.9, 0.8, 0.95))
    assert overall(v.word for v in [good]) == "PASS"
    assert overall(v.word for v in [good, missing]) == "ERROR"
    assert overall(v.word for v in [good, missing, bad]) == "FAIL"
    assert overall([]) is None


def test_a_criterion_has_exactly_one_limit() -> None:
    with pytest.raises(ValueError, match="exactly one"):
        Criterion(name="c", measure="accuracy")
    with pytest.raises(ValueError, match="exactly one"):
        Criterion(name="c", measure="accuracy", at_least=0.1, at_most=0.2)
