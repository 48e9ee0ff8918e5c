"""Canonical wording: every licensed surface form becomes its concept before the model reads the note.

What the model is given is then the same before and after every rewording of the lexicon, and so is its score: at level
"same" for grades A and B, at level "umbrella" for C as well. The price is what the model can no longer tell apart; what
the lexicon does not know is not covered (`notes_price` measures both).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nocere.clinical.notes.canonical import canonicalise
from nocere.clinical.notes.lexicon import load_lexicon
from nocere.core.batch import Batch
from nocere.core.canonical import digest
from nocere.core.case import Case
from nocere.core.decision import Decision
from nocere.core.registry import register
from nocere.targets.base import Access, Scores

Level = Literal["same", "umbrella"]


class CanonicalTarget:
    """A target on notes that reads their canonical form.

    Args:
        inner: the target behind; best trained on canonical notes.
        level: what is made one: wordings of a concept, or of an umbrella.
    """

    def __init__(self, inner: Scores, level: Level = "same") -> None:
        self.inner, self.level = inner, level
        self.name = f"{inner.name} (canonical wording, {level})"
        self.decision: Decision = inner.decision
        # Gradients would be those of the canonical note, whose tokens are not the note's.
        self.access: frozenset[Access] = inner.access & {"labels", "scores"}
        self.stochastic, self.tiles = inner.stochastic, inner.tiles
        self.fingerprint = digest(
            {"inner": inner.fingerprint, "level": level, "lexicon": load_lexicon().sha256, "defence": "notes.canonical"}
        )

    def state(self) -> str:
        return self.inner.state()

    def scores(self, batch: Batch) -> NDArray[np.float64]:
        notes = [canonical_note(x, self.level) for x in batch.x]
        like = tuple(c.with_x(canonical_note(c.x, self.level)) for c in batch.like)
        return self.inner.scores(Batch(notes, like, batch.seeds))


@lru_cache(maxsize=4096)
def canonical_note(text: str, level: Level) -> str:
    """A note's canonical form under the packaged lexicon."""
    return canonicalise(text, load_lexicon(), level)


@register(
    "defence",
    "notes.canonical",
    source="normalisation to concepts before the model, after Finlayson et al. 2019 (canonical forms)",
)
@dataclass(frozen=True, slots=True)
class CanonicalDefence:
    """A model on canonical wordings: no licensed rewording can reach it.

    Args:
        level: "same" makes wordings of one concept one (grades A and B); "umbrella" coding variants, too (C).
    """

    level: Level = "same"
    name: str = "notes.canonical"

    def prepared(self, cases: Sequence[Case[str]]) -> list[Case[str]]:
        """The notes that the model is to be trained on."""
        return [c.with_x(canonical_note(c.x, self.level)) for c in cases]

    def harden(self, target: Any) -> CanonicalTarget:
        """The target behind the canonical form."""
        return CanonicalTarget(target, self.level)
