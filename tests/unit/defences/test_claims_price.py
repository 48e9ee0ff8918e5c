"""What the price of a defence counts, on models whose answers are known in closed form."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from nocere.cases.claim import Claim, Diagnosis
from nocere.clinical.codes.graph import load_rules
from nocere.core.case import Case, Truth
from nocere.core.decision import OneLogit, logit
from nocere.core.errors import UsageError
from nocere.defences.claims_credit import CreditDefence, fixed_columns, out_of_reach
from nocere.defences.claims_monotone import MonotoneDefence, signs
from nocere.defences.claims_price import (
    Labelled,
    Plain,
    auroc_lost,
    denied,
    flipped,
    gem_swaps,
    leak,
    stuffed,
    trained,
)
from nocere.defences.claims_quotient import QuotientDefence
from nocere.targets.claims.encoder import Encoder
from nocere.targets.claims.payer import history, outcome
from nocere.targets.claims.target import ClaimTarget
from nocere.targets.structure import LinearForm


def card(**weights: float) -> ClaimTarget:
    """A scorecard of deny: bias 0, one weight a code."""
    encoder = Encoder(tuple(f"code={c}" for c in weights))
    return ClaimTarget(
        LinearForm(np.array([list(weights.values())]).T, np.zeros(1)), encoder, OneLogit(("approve", "deny"))
    )


def case(name: str, *codes: str) -> Case[Claim]:
    return Case(name, Claim(tuple(map(Diagnosis, codes))), truth=Truth.of("approve"), group=name)


class Dropping:
    """All claims with one or two secondary codes left out."""

    def members(self, case: Case[Claim]) -> Iterable[tuple[Claim, Any]]:
        d = case.x.diagnoses
        for k in (1, 2):
            for gone in combinations(range(1, len(d)), k):
                yield case.x.with_diagnoses(tuple(x for i, x in enumerate(d) if i not in gone)), None


TARGET = card(P=1.0, A=2.0, B=3.0, C=-1.5, D=-0.5)
CASES = [case("one", "P", "A"), case("two", "P", "A", "B"), case("three", "P", "D"), case("four", "C")]


def test_denied_and_flipped_by_hand() -> None:
    found = denied(TARGET, CASES)
    assert [c.id for c in found] == ["one", "two", "three"]
    # P alone still weighs 1: dropping codes approves nobody.
    assert flipped(TARGET, found, Dropping()).k == 0
    freed = card(P=-1.0, A=2.0, B=3.0)
    assert flipped(freed, denied(freed, CASES), Dropping()).k == 2
    one = flipped(freed, denied(freed, CASES), Dropping(), most=1)
    assert one.k == 1 and one.n == 2
    with pytest.raises(UsageError, match="No denied claim"):
        flipped(TARGET, [], Dropping())


def test_stuffing_by_hand() -> None:
    found = denied(TARGET, CASES)
    # 3 -1.5 -0.5 = 1: still denied; 6: still denied; 0.5 - 1.5: approved with one code.
    assert stuffed(TARGET, found, ["C", "D"], k=2).k == 1
    assert stuffed(card(P=1.0, C=-1.5), [case("a", "P")], ["C"], k=1).k == 1
    assert stuffed(card(P=1.0, C=-0.9), [case("a", "P")], ["C"], k=1).k == 0
    assert stuffed(card(P=1.0, C=-0.9, D=-0.2), [case("a", "P")], ["C", "D"], k=2).k == 1


def test_a_leak_is_a_swap_that_the_features_see() -> None:
    found = [case("one", "P", "A"), case("two", "P", "B")]
    seen = leak(TARGET, found, {"A": ("C", "Z"), "B": ("B2",), "P": ("A",)})
    # one: A->C, A->Z (P->A is there already); two: P->A, B->B2.
    assert seen.changed.n == 4 and seen.changed.k == 4
    assert seen.flipped.n == 2 and seen.flipped.k == 1  # 1 - 1.5 <= 0 for the first; 2 + 3 and 1 stay above
    blind = Encoder(("class=X",), (("A", "X"), ("C", "X"), ("P", "X")))
    same = ClaimTarget(LinearForm(np.array([[1.0]]), np.zeros(1)), blind, OneLogit(("approve", "deny")))
    assert leak(same, found[:1], {"A": ("C",)}).changed.k == 0
    with pytest.raises(UsageError, match="No swap applies"):
        leak(TARGET, found, {"Q": ("A",)})


def test_swaps_of_the_old_classification() -> None:
    swaps = gem_swaps(load_rules())
    assert all(a in swaps[b] for a, others in list(swaps.items())[:500] for b in others)
    assert len(swaps) > 1000 and all(load_rules().billable(a) for a in list(swaps)[:500])


@pytest.fixture(scope="module")
def halves() -> tuple[Labelled, Labelled]:
    def of(split: str, n: int) -> Labelled:
        bills = history(n, 4, split, "denial")
        return Labelled([b.claim for b in bills], outcome(bills, "denial"), [b.claim.patient for b in bills])

    return of("train", 1200), of("val", 600)


def test_training_compares_on_other_patients(halves: tuple[Labelled, Labelled]) -> None:
    train, held = halves
    plain, classes = (trained(r, train, held, seed=1) for r in (Plain(trees=25), QuotientDefence(trees=25)))
    assert plain.auroc.value == pytest.approx(roc_auc_score(held.truth, plain.scores))
    lost = auroc_lost(plain, classes, held, draws=100)
    assert lost.value == pytest.approx(plain.auroc.value - classes.auroc.value)
    assert lost.interval.low <= lost.value <= lost.interval.high
    same = auroc_lost(plain, plain, held, draws=100)
    assert same.value == 0 and same.interval.low == same.interval.high == 0
    over = plain.target.row_scores(plain.target.encoder.rows(held.claims))[:, 0] > logit(
        plain.target.decision.threshold
    )
    assert over.mean() == pytest.approx(held.truth.mean(), abs=0.03)
    with pytest.raises(UsageError, match=r"Patient .* is in the training"):
        trained(Plain(trees=5), train, train)


def test_omission_never_helps_against_the_monotone_model(halves: tuple[Labelled, Labelled]) -> None:
    train, held = halves
    made = trained(MonotoneDefence(trees=25), train, held, seed=1)
    free = trained(QuotientDefence(trees=25), train, held, seed=1)

    def lower(model: Any) -> int:
        helped = 0
        for claim in held.claims[:200]:
            less = [
                claim.with_diagnoses(claim.diagnoses[:i] + claim.diagnoses[i + 1 :]) for i in range(len(claim.codes))
            ]
            scores = model.target.row_scores(model.target.encoder.rows([claim, *less]))[:, 0]
            helped += bool((scores[1:] < scores[0]).any())
        return helped

    assert lower(made) == 0 and lower(free) > 20
    with pytest.raises(ValueError, match="principal=A"):
        signs(Encoder(("code=A", "principal=A")))
    assert signs(Encoder(("code=A", "n:class=B", "diagnoses", "age", "line=G0447"))) == (-1, -1, -1, 0, 0)


def test_no_set_of_diagnoses_earns_more_than_the_cap(halves: tuple[Labelled, Labelled]) -> None:
    train, held = halves
    made = trained(CreditDefence(cap=0.4, trees=25), train, held, seed=1)
    encoder, line = made.target.encoder, made.target.decision.threshold
    fixed = fixed_columns(encoder)
    assert {f.partition("=")[0] for f, k in zip(encoder.features, fixed, strict=True) if not k} == {"class"}
    rng = np.random.default_rng(0)
    codes = sorted({c for x in train.claims for c in x.codes})
    safe = out_of_reach(made.model, encoder, held.claims, line)
    assert 0 < safe.sum() < len(safe)
    for k in range(100):
        claim = held.claims[k]
        tried = [
            claim.with_diagnoses(tuple(map(Diagnosis, rng.choice(codes, int(rng.integers(1, 15)), replace=False))))
            for _ in range(20)
        ]
        scores = made.target.row_scores(encoder.rows(tried))[:, 0]
        assert scores.min() >= made.model.base(encoder.rows([claim]))[0] - 0.4 - 1e-12
        assert not safe[k] or scores.min() > logit(line)
    with pytest.raises(UsageError, match="negative"):
        CreditDefence(cap=-1)
