"""Decisions, goals, truths: each head at the line that is really used."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nocere.core import decision as dec
from nocere.core.case import Case, Truth
from nocere.core.errors import DataError, UsageError
from nocere.core.goal import Goal, correct
from nocere.core.units import EDIT_KINDS, Kind, edit_kind, line

ALL = [
    dec.OneLogit(("b", "m"), 0.3),
    dec.OneVsRest(("b", "m"), 2, 1, 0.3),
    dec.OneVsRest(("rest", "mel"), 5, 3, 0.2),
    dec.Softmax(("a", "b", "c")),
    dec.MultiLabel(("x", "y"), (0.5, 0.2)),
    dec.Band(-1.0, 2.0, ("no", "REFER", "yes"), frozenset({"REFER"})),
    dec.Value(),
    dec.Flagged(dec.OneLogit(("b", "m"), 0.3), 0.5),
]


@pytest.mark.parametrize("d", ALL, ids=lambda d: type(d).__name__)
def test_numpy_and_torch_agree_and_json_round_trips(d: dec.Decision) -> None:
    z = np.random.default_rng(0).normal(0, 3, (50, d.columns))
    a, b = d.margins(z), d.margins(torch.from_numpy(z))
    np.testing.assert_allclose(a, b.numpy(), rtol=1e-12)
    assert a.shape == (50, len(d.labels))
    again = dec.from_json(dec.to_json(d))
    assert again == d
    if d.exclusive:
        asserted = (a > 0).sum(1)
        assert (asserted <= 1).all()


@given(z=st.floats(-20, 20), t=st.floats(0.01, 0.99))
@settings(max_examples=60, deadline=None)
def test_one_logit_asserts_exactly_above_its_threshold(z: float, t: float) -> None:
    m = dec.OneLogit(("b", "m"), t).margins(np.array([[z]]))[0]
    p = 1 / (1 + math.exp(-z))
    if abs(p - t) > 1e-9:
        assert (m[1] > 0) == (p > t)
        assert (m[0] > 0) == (p < t)


@given(z=st.lists(st.floats(-10, 10), min_size=4, max_size=4), t=st.floats(0.02, 0.98))
@settings(max_examples=60, deadline=None)
def test_one_vs_rest_is_the_softmax_probability_against_the_threshold(z: list[float], t: float) -> None:
    row = np.array([z])
    p = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
    m = dec.OneVsRest(("rest", "c2"), 4, 2, t).margins(row)[0]
    if abs(p[0, 2] - t) > 1e-9:
        assert (m[1] > 0) == (p[0, 2] > t)


@pytest.mark.parametrize("t", [0.0, 1.0, -0.1, 1.5])
def test_a_threshold_outside_of_the_unit_interval_is_refused(t: float) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        dec.OneLogit(("b", "m"), t)
    with pytest.raises(UsageError, match="between 0 and 1"):
        dec.MultiLabel(("x",), (t,))


def _case(*labels: str) -> Case[str]:
    return Case("c", "x", {}, Truth.of(*labels))


def test_untargeted_goal_is_met_exactly_by_another_clinical_label() -> None:
    d = dec.Softmax(("a", "b", "c"))
    goal = Goal()
    z = np.random.default_rng(1).normal(size=(200, 3))
    m = d.margins(z)
    lit = goal.bind(_case("b"), d, m[0])
    assert lit is not None
    g = goal.margin(type(lit)(np.repeat(lit.weight, 200, 0), np.repeat(lit.offset, 200, 0)), m)
    np.testing.assert_array_equal(g > 0, z.argmax(1) != 1)


def test_raising_a_flag_or_refer_is_no_success() -> None:
    d = dec.Flagged(dec.OneLogit(("b", "m"), 0.5), 0.0)
    lit = Goal().bind(_case("b"), d, d.margins(np.array([[-1.0, -1.0]]))[0])
    assert lit is not None
    flagged_wrong = d.margins(np.array([[5.0, 1.0]]))
    unflagged_wrong = d.margins(np.array([[5.0, -1.0]]))
    assert Goal().margin(lit, flagged_wrong)[0] < 0 < Goal().margin(lit, unflagged_wrong)[0]
    band = dec.Band(-1, 1, ("no", "REFER", "yes"), frozenset({"REFER"}))
    lit = Goal().bind(_case("no"), band, band.margins(np.array([[-3.0]]))[0])
    assert lit is not None
    assert (
        Goal().margin(lit, band.margins(np.array([[0.0]])))[0]
        < 0
        < Goal().margin(lit, band.margins(np.array([[2.0]])))[0]
    )


def test_multi_label_goal_switches_correct_findings_only() -> None:
    d = dec.MultiLabel(("x", "y"), (0.5, 0.5))
    clean = np.array([2.0, 1.0])  # both asserted; only x is true, so y is wrong already
    lit = Goal().bind(_case("x"), d, clean)
    assert lit is not None
    assert lit.weight.tolist() == [[-1.0, 0.0]]
    assert correct(frozenset({"x"}), d, clean) is False


def test_fixed_direction_shift_all_and_when() -> None:
    d = dec.OneLogit(("b", "m"), 0.5)
    assert Goal(("+b",), when="m").bind(_case("b"), d, np.array([1.0, -1.0])) is None
    lit = Goal(("+b",), when="m").bind(_case("m"), d, np.array([-1.0, 1.0]))
    assert lit is not None and Goal().margin(lit, np.array([[0.5, -0.5]]))[0] == 0.5
    value = dec.Value()
    up = Goal(("+value",), shift=3.0)
    lit = up.bind(_case(), value, np.array([10.0]))
    assert lit is not None
    assert up.margin(lit, np.array([[12.9]]))[0] < 0 < up.margin(lit, np.array([[13.1]]))[0]
    both = Goal(("-x", "-y"), combine="all")
    lit = both.bind(_case("x", "y"), dec.MultiLabel(("x", "y"), (0.5, 0.5)), np.array([1.0, 1.0]))
    assert lit is not None
    assert both.margin(lit, np.array([[-1.0, 1.0]]))[0] < 0 < both.margin(lit, np.array([[-1.0, -2.0]]))[0]


def test_goal_that_names_no_label() -> None:
    with pytest.raises(UsageError, match="names no label"):
        Goal(("+melanoma",)).bind(_case("b"), dec.OneLogit(("b", "m")), np.array([1.0, -1.0]))


def test_truth_by_votes() -> None:
    assert Truth.from_votes({"b": 4, "m": 3}).label == "b"
    assert Truth.from_votes({"b": 4, "m": 3}).borderline is True
    assert Truth.from_votes({"b": 6, "m": 1}).borderline is False
    assert Truth.from_votes({"b": 2, "m": 2}).label is None
    assert Truth.of("b").borderline is None
    with pytest.raises(DataError):
        Truth.from_votes({"b": 0})


def test_lines_of_every_kind_and_edit_class() -> None:
    assert line(Kind.VARIATION, "sample") == 1
    assert line(Kind.VARIATION, "flip") == line(Kind.VARIATION, "worst") == 2
    assert line(Kind.REPRESENTATION, "flip") == 0
    assert line(Kind.TAMPERING, "sample") == 4
    assert set(EDIT_KINDS) == {"E0", "E1", "E2", "E3", "E4", "E5", "E6", "X7", "A", "B", "C", "D"}
    lines = {
        e: (line(edit_kind(e, supported=True), "flip"), line(edit_kind(e, supported=False), "flip")) for e in EDIT_KINDS
    }
    assert lines["C"] == lines["E4"] == lines["E5"] == lines["E6"] == (2, 3)
    assert lines["D"] == lines["X7"] == (3, 3)
    assert lines["A"] == lines["E0"] == (0, 0)
    assert lines["B"] == (2, 2)
