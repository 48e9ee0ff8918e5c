"""Oracles of searches over codes: every member of a set shown to the target itself, and an integer program."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from tests.coded import DECISION, coded, encoder, scores, target

from nocere.attacks.codes.best import Search
from nocere.attacks.codes.leaves import leaves
from nocere.attacks.codes.polynomial import around, reach
from nocere.attacks.codes.program import Program
from nocere.attacks.codes.sets import Sets
from nocere.attacks.codes.steps import Options
from nocere.attacks.structure.clauses import Clause
from nocere.cases.claim import Claim
from nocere.core.case import Case
from nocere.targets.claims.encoder import Encoder
from nocere.targets.structure import TreeEnsemble
from nocere.threats.codes.edit import Edit, ordered, replay
from nocere.threats.codes.sets import AllEdits, Truthful, TruthfulWide

UP, DOWN = Clause(np.ones((1, 1)), np.zeros(1)), Clause(-np.ones((1, 1)), np.zeros(1))
MAKES = ("lightgbm", "xgboost", "boosted", "forest", "logistic", "scorecard")
KINDS = ("codes", "counts", "classes")
NEAR = {"xgboost": 1e-5}  # adds in single precision

made = cache(target)


@cache
def members(case_id: str, claim: Claim, pset: Any) -> tuple[Claim, ...]:
    """Every claim of a set; facts belong to the id."""
    return tuple(x for x, _ in pset.members(CASES[case_id]))


CASES: dict[str, Case[Claim]] = {}


def brute_force(model: Any, case: Case[Claim], pset: Any, sign: float) -> float:
    """The best score that the target itself gives to any member; -inf where there is none."""
    CASES[case.id] = case
    found = list(members(case.id, case.x, pset))
    return float((sign * outputs(model, found)).max()) if found else -np.inf


def outputs(model: Any, claims: list[Claim]) -> np.ndarray[Any, Any]:
    """What clauses read: probabilities of a forest, else scores."""
    z = scores(model, claims)[:, 0]
    link = getattr(model.structure.form, "link", "identity")
    return z if link == "identity" else 1.0 / (1.0 + np.exp(-z))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", MAKES)
def test_the_best_permitted_set_is_what_brute_force_finds(make: str, kind: str) -> None:
    model, better, several = made(make, kind), 0, 0
    for i, case in enumerate(coded(8, 7, lines=True, most=4)):
        for pset in (AllEdits(2.0, laterals=2), Truthful(3.0), TruthfulWide(2.0)):
            for clause, sign in ((UP, 1.0), (DOWN, -1.0)):
                found = Search(case, pset, model.structure, int(pset.radius), tries=10_000).best(clause)
                most = brute_force(model, case, pset, sign)
                assert found.proven
                assert found.value == pytest.approx(most, abs=NEAR.get(make, 1e-9)), (i, pset, sign)
                assert found.greedy <= found.value + 1e-9 or found.value < found.clean
                if found.edits:
                    assert pset.permits(case, found.edits)
                    after = outputs(model, [replay(case.x, found.edits)])[0] * sign
                    assert after == pytest.approx(found.value, abs=NEAR.get(make, 1e-9))
                    better += found.value > found.clean + 1e-9
                    several += len(found.edits) > 1
    assert better > 8 and several > 2


@pytest.mark.parametrize("radius", [3, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_sets_of_three_and_four_edits_equal_brute_force(kind: str, radius: int) -> None:
    """Options of edits that the model cannot tell apart keep the list short; every one of their sets is asked about."""
    model = made("lightgbm", kind)
    for case in coded(4 if radius == 4 else 8, 3, most=3):
        pset = AllEdits(float(radius), laterals=1)
        for clause, sign in ((UP, 1.0), (DOWN, -1.0)):
            found = Search(case, pset, model.structure, radius, tries=10_000).best(clause)
            assert found.proven
            assert found.value == pytest.approx(brute_force(model, case, pset, sign), abs=1e-9)


@pytest.mark.parametrize("make", ["lightgbm", "scorecard"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_integer_program_agrees(make: str, kind: str) -> None:
    model = made(make, kind)
    agreed = 0
    for case in coded(6, 11, lines=True):
        pset = AllEdits(4.0, laterals=2)
        for clause in (UP, DOWN):
            found = Search(case, pset, model.structure, 4, tries=10_000).best(clause)
            program = Program(case.x, pset.edits(case), pset.compatible, model.structure, 4)
            solved = program.solve(clause, lambda e, c=case, p=pset: p.permits(c, e), tries=40)
            assert found.proven
            assert solved.bound >= found.value - 1e-6
            if solved.edits:
                assert solved.value == pytest.approx(found.value, abs=1e-6)
                agreed += 1
    assert agreed >= 8


@dataclass(frozen=True)
class Whimsical:
    """Rules that permit a set by a hash of its edits, without any pattern: more edits may make it permitted again."""

    radius: float
    share: int
    inner: Any

    def edits(self, case: Case[Claim]) -> tuple[Edit, ...]:
        return tuple(self.inner.edits(case))

    def compatible(self, a: Edit, b: Edit) -> bool:
        return bool(self.inner.compatible(a, b))

    def permits(self, case: Case[Claim], edits: Sequence[Edit]) -> bool:
        if any(not self.compatible(a, b) for a, b in itertools.combinations(edits, 2)):
            return False
        try:
            replay(case.x, ordered(edits))
        except ValueError:
            return False
        key = sum(ord(c) * (k + 1) for e in ordered(edits) for k, c in enumerate(repr(e)))
        return 0 < len(edits) <= self.radius and key % 100 < self.share

    def members(self, case: Case[Claim]) -> Any:
        single = self.edits(case)
        for r in range(1, int(self.radius) + 1):
            for some in itertools.combinations(single, r):
                if self.permits(case, some):
                    yield replay(case.x, ordered(some)), None


@pytest.mark.parametrize("share", [0, 3, 20])
@pytest.mark.parametrize("kind", KINDS)
def test_rules_without_any_pattern_are_kept(kind: str, share: int) -> None:
    model = made("lightgbm", kind)
    for case in coded(6, 5, most=3):
        pset = Whimsical(2.0, share, AllEdits(2.0, laterals=2))
        for clause, sign in ((UP, 1.0), (DOWN, -1.0)):
            found = Search(case, pset, model.structure, 2, tries=1_000_000).best(clause)
            most = brute_force(model, case, pset, sign)
            assert found.proven
            assert found.value == pytest.approx(most, abs=1e-9)
            few = Search(case, pset, model.structure, 2, tries=3).best(clause)
            assert few.bound >= most - 1e-9  # undecided, never decided wrongly


def grown(rng: np.random.Generator, d: int, depth: int) -> TreeEnsemble:
    """Random trees that cut the same few features again and again."""
    feature, threshold, left, right, value, roots = [], [], [], [], [], []

    def node(level: int) -> int:
        k = len(feature)
        inner = level < depth and (level < 2 or rng.random() < 0.8)
        feature.append(int(rng.integers(d)) if inner else -1)
        threshold.append(float(rng.integers(-1, 4)) + 0.5 if inner else 0.0)
        value.append([0.0 if inner else float(rng.normal())])
        left.append(0)
        right.append(0)
        if inner:
            left[k], right[k] = node(level + 1), node(level + 1)
        return k

    for _ in range(6):
        roots.append(len(feature))
        node(0)
    return TreeEnsemble(*map(np.array, (feature, threshold, left, right, value, roots)), np.zeros(1))  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(24))
def test_tables_of_invented_steps_equal_the_trees_themselves(seed: int) -> None:
    """Every set of at most four options and its value: steps that add up, cancel, run over several thresholds and clash."""
    rng = np.random.default_rng(seed)
    d, n = 8, 8
    enc = Encoder(tuple([f"n:code=A{i}" for i in range(5)] + [f"code=A{i}" for i in range(3)]))
    trees = grown(rng, d, 7)
    base = rng.integers(0, 3, d)
    steps = rng.integers(-2, 3, (n, d)) * (rng.random((n, d)) < (0.2, 0.35, 0.6)[seed % 3])
    if seed % 4 == 0:  # one feature each: only sets of four reach what hangs on four features
        steps = np.diag(rng.choice([-2, 2], n))
    clash = np.eye(n, dtype=bool)
    for a, b in rng.integers(0, n, (3, 2)):
        clash[a, b] = clash[b, a] = True
    joint = {}
    if seed % 2:
        a, b = sorted(rng.choice(n, 2, replace=False).tolist())
        if not clash[a, b]:
            joint[a, b] = -np.sign(steps[a] + steps[b])
    columns = np.arange(d)
    members = tuple((i,) for i in range(n))
    given = Options(tuple(Edit("E0") for _ in members), members, base, columns, steps, joint, clash)
    low, high = reach(steps, base, 4)
    around_it = around(leaves(trees, d), enc, base, columns, low, high, np.ones((1, 1)), np.zeros(1))
    tables = Sets(given, around_it, enc, 4)
    every = [
        some
        for r in range(1, 5)
        for some in itertools.combinations(range(n), r)
        if not any(clash[a, b] for a, b in itertools.combinations(some, 2))
    ]

    def true_value(some: tuple[int, ...]) -> float:
        counts = base + steps[list(some)].sum(axis=0)
        counts = counts + sum(v for (a, b), v in joint.items() if a in some and b in some)
        return float(trees.outputs(enc.finish(counts[None]))[0, 0])

    truth = {some: true_value(some) for some in every}
    found = tables.above(-np.inf)
    assert sorted(found.sets) == sorted(every)
    for some, v in zip(found.sets, found.value, strict=True):
        assert v == pytest.approx(truth[some], abs=1e-9), some
    np.testing.assert_allclose(tables.values(every), [truth[s] for s in every], atol=1e-9)
    # Nothing above a floor is bounded away.
    for floor in (*np.quantile(list(truth.values()), [0.5, 0.9, 0.99]), max(truth.values()) - 2e-9):
        some_above = tables.above(float(floor) + 1e-9)
        assert set(some_above.sets) == {s for s, v in truth.items() if v > floor + 1e-9}
    beam = tables.beam(10_000)
    assert beam.value[0] == pytest.approx(max(truth.values()), abs=1e-9)


@pytest.mark.parametrize("r", [3, 4])
def test_what_only_a_whole_set_brings_is_not_bounded_away(r: int) -> None:
    """One leaf behind r thresholds: no smaller set gains anything, so the bound rests on the last interaction alone."""
    enc = Encoder(tuple(f"n:code=A{i}" for i in range(r)))
    inner = np.arange(r)
    feature = np.concatenate([inner, np.full(r + 1, -1)])
    left, right = np.concatenate([r + inner, np.zeros(r + 1, int)]), np.concatenate([inner + 1, np.zeros(r + 1, int)])
    right[r - 1] = 2 * r
    value = np.zeros((2 * r + 1, 1))
    value[2 * r] = 1.0
    cut = np.where(feature >= 0, 0.5, 0.0)
    trees = TreeEnsemble(feature, cut, left, right, value, np.zeros(1, dtype=np.int64), np.zeros(1))
    base, steps, members = np.zeros(r, dtype=np.int64), np.eye(r, dtype=np.int64), tuple((i,) for i in range(r))
    clash = np.eye(r, dtype=bool)
    given = Options(tuple(Edit("E0") for _ in members), members, base, np.arange(r), steps, {}, clash)
    low, high = reach(steps, base, r)
    near = around(leaves(trees, r), enc, base, np.arange(r), low, high, np.ones((1, 1)), np.zeros(1))
    found = Sets(given, near, enc, r).above(0.5)
    assert found.sets == (tuple(range(r)),) and found.value[0] == pytest.approx(1.0)


def test_everything_above_a_floor_comes_in_order_and_once() -> None:
    model = made("lightgbm", "counts")
    for case in coded(6, 9):
        pset = AllEdits(2.0, laterals=1)
        search = Search(case, pset, model.structure, 2, tries=100_000)
        ranked = list(search.ranked(UP, -np.inf))
        values = [v for v, _ in ranked]
        assert values == sorted(values, reverse=True)
        every = {round(float(v), 9) for v in outputs(model, [x for x, _ in pset.members(case)])}
        assert {round(v, 9) for v in values} <= every
        # Edits that the model cannot tell apart are one option: all its different answers are there.
        assert every <= {round(v, 9) for v in values}
        floor = float(np.median(values))
        assert [v for v, _ in search.ranked(UP, floor)] == [v for v in values if v > floor]


def test_a_wrong_engine_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Interactions of pairs left out: the oracle has to see it."""
    from nocere.attacks.codes import sets

    def deaf(polynomial: Any, crossed: Any) -> Any:
        single, pair = real(polynomial, crossed)
        return single, pair * 0.0

    real = sets.first_and_second
    monkeypatch.setattr(sets, "first_and_second", deaf)
    with pytest.raises(AssertionError):
        test_the_best_permitted_set_is_what_brute_force_finds("lightgbm", "codes")


def test_an_encoder_is_linear_in_edits() -> None:
    """Steps of options against replayed claims."""
    from nocere.attacks.codes.steps import options

    pairs = 0
    for kind in KINDS:
        enc = encoder(kind)
        for case in coded(15, 21, lines=True):
            pset = AllEdits(2.0, laterals=2)
            edits = pset.edits(case)
            base = enc.counts([case.x])[0]
            made_options = options(case, edits, enc, np.ones(enc.width, dtype=bool), base)
            place = {i: o for o, m in enumerate(made_options.members) for i in m}
            assert sorted(place) == list(range(len(edits)))
            for some in [*itertools.combinations(range(len(edits)), 1), *itertools.combinations(range(len(edits)), 2)]:
                if len(some) == 2 and not pset.compatible(*(edits[i] for i in some)):
                    continue
                try:
                    after = replay(case.x, ordered([edits[i] for i in some]))
                except ValueError:
                    continue
                chosen = sorted({place[i] for i in some})
                if len(chosen) == len(some):
                    step = made_options.steps[chosen].sum(axis=0) + made_options.joint.get(tuple(chosen), 0)  # type: ignore[call-overload]
                    now = base.copy()
                    now[made_options.columns] += step
                    np.testing.assert_array_equal(now, enc.counts([after])[0])
                    pairs += len(some) == 2
    assert pairs > 2_000
    assert DECISION.columns == 1
