"""Capped credit: diagnoses together can lower the score of denial by no more than a fixed number of logits.

The score is a base from what no diagnosis changes (service, procedure, setting, age, sex, days) plus what the codes
say, cut off below at minus the cap. Whoever piles up codes, true or not, gains at most the cap: a claim whose base lies
further than that above the line cannot be flipped by any set of diagnoses at all. This is the one bound that holds
against codes that no record supports.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.cases.claim import Claim
from nocere.clinical.codes.graph import load_rules
from nocere.core.decision import logit
from nocere.core.errors import UsageError
from nocere.core.registry import register
from nocere.defences.claims_quotient import Undecided, quotient
from nocere.targets.claims.encoder import DIAGNOSIS, PRINCIPAL, Encoder
from nocere.targets.claims.payer import fit


class CappedModel:
    """A base and a credit, each a booster of its own; scores are logits (a scikit-learn classifier's interface)."""

    classes_ = np.array([0, 1])

    def __init__(self, base: Any, credit: Any, fixed: NDArray[np.bool_], cap: float) -> None:
        self._base, self._credit, self._fixed, self.cap = base, credit, fixed, cap
        self.n_features_in_ = len(fixed)

    def base(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """The score [n] without any diagnosis' say."""
        return np.asarray(self._base.predict(rows[:, self._fixed], raw_score=True), dtype=np.float64)

    def decision_function(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Logits [n] of rows [n, features]."""
        said = np.asarray(self._credit.predict(rows, raw_score=True), dtype=np.float64)
        return self.base(rows) + np.maximum(said, -self.cap)


def fixed_columns(encoder: Encoder) -> NDArray[np.bool_]:
    """Whether no diagnosis changes the column [features]."""
    kinds = [f.removeprefix("n:").partition("=")[0] for f in encoder.features]
    return np.array([k not in (*DIAGNOSIS, *PRINCIPAL, "diagnoses") for k in kinds])


def out_of_reach(model: CappedModel, encoder: Encoder, claims: Sequence[Claim], line: float) -> NDArray[np.bool_]:
    """Claims [n] that no set of diagnoses whatsoever brings to the line (a probability) or below it."""
    return model.base(encoder.rows(claims)) - model.cap > logit(line)


@register("defence", "claims.credit", source="facts of claims, 4.4: a cap on the credit that codes can earn")
@dataclass(frozen=True, slots=True)
class CreditDefence:
    """A model on classes of codes in which all diagnoses together earn at most `cap` logits.

    Args:
        cap: logits.
        undecided: "allow" closes over relations too that hang on prose.
        trees: of LightGBM, of the base and of the credit.
        leaves: of each tree.

    Raises:
        UsageError: a negative cap.
    """

    cap: float = 0.5
    undecided: Undecided = "reject"
    trees: int = 200
    leaves: int = 15
    name: str = "claims.credit"

    def __post_init__(self) -> None:
        if not self.cap >= 0:
            raise UsageError(f"A cap on credit cannot be negative; got {self.cap:g}.")

    def train(self, claims: Sequence[Claim], truth: NDArray[np.int64], *, seed: int) -> tuple[CappedModel, Encoder]:
        """A fitted model and its encoder."""
        encoder = quotient(load_rules(), self.undecided).encoder(claims)
        rows, fixed = encoder.rows(claims), fixed_columns(encoder)
        only = Encoder(tuple(f for f, keep in zip(encoder.features, fixed, strict=True) if keep))
        base = fit(rows[:, fixed], truth, "lightgbm", only, self.trees // 4, self.leaves, seed)
        start = np.asarray(base.predict(rows[:, fixed], raw_score=True), dtype=np.float64)
        credit = fit(rows, truth, "lightgbm", encoder, self.trees, self.leaves, seed, start=start)
        return CappedModel(base, credit, fixed, self.cap), encoder
