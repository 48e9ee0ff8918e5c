"""What a surrogate may learn from: a target's answers to real files, each counted against a stated budget."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nocere.audit.referee import rows_of
from nocere.cases.codec import Codec
from nocere.core.batch import Batch
from nocere.core.case import Case
from nocere.core.errors import PlanError
from nocere.core.rng import seed_of
from nocere.targets.base import Target, margins

Learns: TypeAlias = Literal["labels", "scores"]
ROWS = 32


class Oracle:
    """Answers of a target, at most `budget` of them; a question beyond it is not asked.

    Contents are written as files and read back first: a black box is shown only what a file can hold.

    Args:
        target: the shipped target.
        codec: writes and reads the files.
        learns: "labels" tells the signs of the margins only.
        budget: most answers.
        seed: for stochastic targets; every question is drawn once.

    Raises:
        PlanError: scores of a target that gives none.
    """

    def __init__(self, target: Target, codec: Codec, learns: Learns, budget: int, seed: int) -> None:
        if learns not in target.access:
            raise PlanError(f"{target.name} tells no {learns}: a surrogate cannot learn from them.")
        self._target, self._codec, self.learns, self.budget, self._seed = target, codec, learns, budget, seed
        self.asked = 0

    @property
    def left(self) -> int:
        """Answers that remain."""
        return self.budget - self.asked

    def ask(self, cases: Sequence[Case[Any]]) -> NDArray[np.float64]:
        """Margins [m, labels] of the first m cases that the budget allows: +1 and -1 where only labels are told."""
        granted = list(cases[: self.left])
        out = [np.zeros((0, len(self._target.decision.labels)))]
        for _, alike in groupby(granted, key=lambda c: c.x.shape):
            run = list(alike)
            out += [self._answers(run[at : at + ROWS]) for at in range(0, len(run), ROWS)]
        return np.concatenate(out)

    def _answers(self, cases: Sequence[Case[Any]]) -> NDArray[np.float64]:
        contents = [self._codec.decode(self._codec.encode(c, c.x))[0] for c in cases]
        seeds = None
        if self._target.stochastic:
            drawn = [seed_of(self._seed, "oracle", self.asked + k) for k in range(len(cases))]
            seeds = np.array(drawn, dtype=np.uint64)
        self.asked += len(cases)
        m, _ = margins(self._target, Batch(rows_of(contents), tuple(cases), seeds))
        if self.learns == "scores":
            return m
        return np.where(np.isfinite(m), np.where(m > 0, 1.0, -1.0), m)
