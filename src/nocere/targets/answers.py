"""Targets that tell less than they know: the asserted labels only, or the winning label with its confidence only.

An attacker behind an interface sees what that interface shows. Where a plan grants labels alone, the search is answered
by one of these, so that nothing finer than the granted answer can steer it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.core.batch import Batch
from nocere.core.errors import TargetError
from nocere.targets.base import Access, Target, margins

TINY = 1e-12


class _Narrowed:
    """What both forms take over from the target behind them."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.name, self.fingerprint = target.name, target.fingerprint
        self.decision, self.stochastic, self.tiles = target.decision, target.stochastic, target.tiles

    def state(self) -> str:
        return self._target.state()


class LabelsOnly(_Narrowed):
    """A target that answers with its asserted labels, and nothing else."""

    access: frozenset[Access] = frozenset({"labels"})

    def labels(self, batch: Batch) -> NDArray[np.bool_]:
        return np.asarray(margins(self._target, batch)[0] > 0)


class TopOne(_Narrowed):
    """A target that tells the label that won, and how sure it is of it.

    The partial-information setting of Ilyas et al. 2018 (arXiv:1804.08598) with one label. The margin of the winner is
    -log(1 - its confidence), the margin of every other label the negative of that: signs are the target's own, and a
    search hears how far the winner has sunk, never who comes next.

    Raises:
        TargetError: it gives no confidence, or more than one label at once.
    """

    access: frozenset[Access] = frozenset({"labels", "scores"})

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        if "scores" not in target.access or not target.decision.exclusive:
            raise TargetError(
                f"{target.name} has no single winning label with a confidence to tell.",
                "Top-1 answers need scores and labels that exclude each other.",
            )
        self.decision = _Told(target.decision)

    def scores(self, batch: Batch) -> NDArray[np.float64]:
        decided, raw = margins(self._target, batch)
        confidence = None if raw is None else self._target.decision.probabilities(raw)
        if confidence is None:
            raise TargetError(f"{self.name} gives no confidence in its labels: top-1 answers have none to tell.")
        won = np.asarray(decided > 0)
        told = -np.log(np.maximum(1.0 - np.where(won, confidence, 0.0).max(axis=1), TINY))[:, None]
        finite = np.asarray(np.isfinite(decided)).all(axis=1).reshape(-1, 1)
        return np.asarray(np.where(finite, np.where(won, told, -told), np.nan))


class _Told:
    """A decision whose scores are margins already."""

    def __init__(self, inner: Any) -> None:
        self.labels, self.exclusive = inner.labels, True
        self.not_clinical, self.positive = inner.not_clinical, inner.positive
        self.columns = len(inner.labels)

    def margins(self, scores: Any) -> Any:
        return scores

    def probabilities(self, scores: Any) -> None:
        return None
