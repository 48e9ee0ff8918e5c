"""The quotient: no E0 to E2 edit changes it, on invented graphs and on the real one; and it merges no more than it must."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from nocere.cases.claim import Claim, Diagnosis
from nocere.cases.phantoms.claims import billing
from nocere.clinical.codes.graph import load_rules
from nocere.clinical.codes.rules import Rule
from nocere.defences.claims_quotient import Quotient, QuotientDefence, quotient
from nocere.threats.codes.edit import Edit, replay
from nocere.threats.codes.sets import TruthfulWide


@dataclass(frozen=True, eq=False)
class Invented:
    """A rule graph over the codes A, B, C, ...: E1 pairs, and E2 steps (remove, add, keep)."""

    codes: list[str]
    up: dict[str, list[str]] = field(default_factory=dict)
    steps: list[tuple[str, str, str]] = field(default_factory=list)
    unsure: frozenset[int] = frozenset()

    def tree(self, system: str) -> Invented:
        return self

    def billable(self, code: str) -> bool:
        return True

    def refinements(self, code: str) -> tuple[tuple[str, Rule], ...]:
        return tuple((a, Rule("r", "residual", code, "")) for a, generals in self.up.items() if code in generals)

    retired_codes: tuple[str, ...] = ()

    def combination_steps(self) -> Iterator[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], bool]]:
        return ((tuple(r), tuple(a), tuple(k), i not in self.unsure) for i, (r, a, k) in enumerate(self.steps))


def of(graph: Invented, **more: Any) -> Quotient:
    return quotient(graph, **more)  # type: ignore[arg-type]


def test_generalisation_is_one_class_and_a_combination_is_what_it_says() -> None:
    # h hypertension, f failure (F unspecified), k kidney (K unspecified), H hypertensive heart failure, R both.
    graph = Invented(
        list("FHKRfhkzx"),
        {"f": ["F"], "k": ["K"]},
        [("h", "H", "f"), ("h", "H", "F"), ("H", "hF", ""), ("H", "R", "k"), ("R", "HK", "")],
    )
    q = of(graph)
    assert q.of("f") == q.of("F") == ("F",) and q.of("z") == ("z",) and q.of("h") == ("h",)
    assert q.of("H") == ("F", "h") and q.of("R") == ("F", "K", "h")
    assert q.said("Hf") == q.said("hF") == q.said("hf") != q.said("h")
    assert q.said("Rk") == q.said("HK") == q.said("hfK")


def test_what_is_kept_need_not_be_said() -> None:
    """Diabetes with kidney disease, never apart again: its other complications do not become kidney disease."""
    graph = Invented(list("ABCk"), {"A": ["C"], "B": ["C"]}, [("d", "A", "k")])
    graph.codes.append("d")
    q = of(graph)
    assert q.of("A") == q.of("B") == q.of("C") == q.of("d") != q.of("k")


def test_undecided_relations_count_only_where_they_are_allowed() -> None:
    graph = Invented(list("abc"), {}, [("ab", "c", ""), ("c", "ab", "")], frozenset({0, 1}))
    assert of(graph).classes == {}
    assert of(graph, undecided="allow").of("c") == ("a", "b")


@pytest.mark.parametrize("seed", range(60))
def test_every_rule_of_a_random_graph_holds(seed: int) -> None:
    """Conflicting definitions, circles, chains: presence of classes is the same on both sides of every step."""
    rng = random.Random(seed)
    codes = [f"{i:02d}" for i in range(24)]
    up = {c: rng.sample(codes, rng.choice([0, 0, 0, 1])) for c in codes}
    graph = Invented(codes, up)
    for _ in range(rng.randint(2, 14)):
        chosen = rng.sample(codes, 5)
        n, m = rng.choice([(1, 2), (2, 1), (1, 1), (2, 2)])
        graph.steps.append((chosen[:n], chosen[n : n + m], chosen[n + m : n + m + rng.randint(0, 1)]))  # type: ignore[arg-type]
    q = of(graph)
    for a, generals in up.items():
        assert all(q.of(a) == q.of(b) for b in generals)
    for gone, come, keep in graph.steps:
        assert q.said([*gone, *keep]) == q.said([*come, *keep])
    # What no rule connects stays apart.
    graph_of = {c: {c} for c in codes}
    for group in [*([a, *b] for a, b in up.items()), *([*g, *c, *k] for g, c, k in graph.steps)]:
        joined = set().union(*(graph_of[c] for c in group))
        for c in joined:
            graph_of[c] = joined
    for a in codes:
        for b in codes:
            if b not in graph_of[a]:
                assert not set(q.of(a)) & set(q.of(b))


@pytest.fixture(scope="module")
def real() -> Quotient:
    return quotient(load_rules())


def test_the_real_quotient_tells_diseases_apart(real: Quotient) -> None:
    assert real.of("I50.22") == real.of("I50.9") and real.said(["I10", "I50.9"]) == real.said(["I11.0", "I50.22"])
    apart = [
        "I50.9",
        "I10",
        "N18.9",
        "E11.9",
        "J44.9",
        "E66.9",
        "M16.9",
        "F33.9",
        "A41.9",
        "I48.91",
        "J45.909",
        "E78.1",
    ]
    for i, a in enumerate(apart):
        for b in apart[:i]:
            assert not set(real.of(a)) & set(real.of(b)), (a, b)
    assert len(real.of("I13.0")) == 3


def test_no_equivalent_edit_changes_a_feature(real: Quotient) -> None:
    """Random chains of E0, E1 and E2 edits on claims with known facts, out of the generator of moves."""
    cases = list(billing(n=300, seed=3))
    encoder = real.encoder([c.x for c in cases], least=1)
    pset = TruthfulWide(radius=9.0)
    rules = pset.graph()
    rng = random.Random(8)
    seen: dict[str, int] = {}
    for case in cases:
        claim = case.x
        for _ in range(4):
            edits = [e for e in pset.edits(case.with_x(claim)) if e.edit in ("E0", "E1", "E2") and _decided(e, rules)]
            if not edits:
                break
            e = rng.choice(edits)
            edited = replay(claim, [e])
            assert (encoder.rows([edited]) == encoder.rows([claim])).all(), e
            seen[e.edit] = seen.get(e.edit, 0) + 1
            claim = edited
    assert min(seen[k] for k in ("E0", "E1", "E2")) > 50, seen


def _decided(e: Edit, rules: Any) -> bool:
    return not e.rule or rules.rule(e.rule).decided


def test_a_model_on_classes_gives_equivalent_claims_one_score(real: Quotient) -> None:
    claims = [c.x for c in billing(n=600, seed=3, split="train")]
    truth = np.random.default_rng(0).integers(0, 2, 600)
    model, encoder = QuotientDefence(trees=20).train(claims, truth, seed=1)
    one = Claim((Diagnosis("I11.0"), Diagnosis("I50.22"), Diagnosis("E66.813")), age=70, sex="F", setting="inpatient")
    other = one.with_diagnoses(tuple(map(Diagnosis, ("E66.9", "I10", "I50.9", "I50.9"))))
    a, b = model.predict(encoder.rows([one, other]), raw_score=True)
    assert a == b
    assert not any(f.startswith(("principal", "code=", "diagnoses")) for f in encoder.features)
    again = QuotientDefence(trees=20).train(claims, truth, seed=1)[0]
    assert again.model_to_string() == model.model_to_string()
