"""ClaimStructure: what an exact search over codes needs, how claims become rows and what the model does with them."""

from __future__ import annotations

from dataclasses import dataclass

from nocere.targets.claims.encoder import Encoder
from nocere.targets.structure import LinearForm, TreeEnsemble


@dataclass(frozen=True, slots=True, eq=False)
class ClaimStructure:
    """Scores of a claim are `form.scores(encoder.rows([claim]))`. Equal only to itself: searches keep tables by it."""

    encoder: Encoder
    form: LinearForm | TreeEnsemble
