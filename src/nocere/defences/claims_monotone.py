"""Monotone payer: a diagnosis can only lower the score of denial, so that leaving true codes out never helps.

On top of the quotient, whose features rewriting cannot change. The price is twofold: what counts against a claim (a
condition that rules a treatment out) can no longer be learnt, and a code that is not true helps more surely than
before: no model stops that, only evidence does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.cases.claim import Claim
from nocere.clinical.codes.graph import load_rules
from nocere.core.registry import register
from nocere.defences.claims_quotient import Undecided, quotient
from nocere.targets.claims.encoder import DIAGNOSIS, Encoder
from nocere.targets.claims.payer import fit


def signs(encoder: Encoder) -> tuple[int, ...]:
    """-1 for every feature that a diagnosis adds to, 0 for the others.

    Raises:
        ValueError: the encoder looks at the principal diagnosis: leaving a code out can put another one first.
    """
    first = next((f for f in encoder.features if f.startswith("principal")), None)
    if first is not None:
        raise ValueError(f"a monotone model cannot have the feature {first!r}")
    return tuple(-(f == "diagnoses" or f.removeprefix("n:").partition("=")[0] in DIAGNOSIS) for f in encoder.features)


@register("defence", "claims.monotone", source="facts of claims, 4.4: codes can only lower the score")
@dataclass(frozen=True, slots=True)
class MonotoneDefence:
    """A model on classes of codes in which every diagnosis can only speak for the claim.

    Args:
        undecided: "allow" closes over relations too that hang on prose.
        trees: of LightGBM.
        leaves: of each tree.
    """

    undecided: Undecided = "reject"
    trees: int = 200
    leaves: int = 15
    name: str = "claims.monotone"

    def train(self, claims: Sequence[Claim], truth: NDArray[np.int64], *, seed: int) -> tuple[Any, Encoder]:
        """A fitted model and its encoder."""
        encoder = quotient(load_rules(), self.undecided).encoder(claims)
        rows = encoder.rows(claims)
        model = fit(rows, truth, "lightgbm", encoder, self.trees, self.leaves, seed, monotone=signs(encoder))
        return model, encoder
