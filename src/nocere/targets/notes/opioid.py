"""The phantom risk model: TF-IDF and logistic regression on the phantom's history of notes and what came of them.

It sees the text alone: never facts, clinics or who misused for which reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.cases.phantoms.notes import LABELS, Sample, draw
from nocere.cases.phantoms.sets import FIRST
from nocere.core.decision import OneLogit
from nocere.core.errors import UsageError
from nocere.core.intervals import Estimate
from nocere.core.ranking import auroc
from nocere.targets.notes.target import NoteTarget, note_target


@dataclass(frozen=True, slots=True)
class RiskModel:
    """A trained risk model.

    Args:
        target: notes to the logit of "high".
        auroc: on notes of patients that were not trained on.
        base_rate: share of them that misused.
    """

    target: NoteTarget
    auroc: Estimate
    base_rate: float


def train_risk(*, n: int = 4_000, seed: int = 7) -> RiskModel:
    """Trains on `n` notes of the phantom's history; the line calls as many high as misused, on half as many others.

    Raises:
        UsageError: fewer than 500 notes.
    """
    if n < 500:
        raise UsageError(f"A phantom risk model needs a history of at least 500 notes; got {n}.")
    train, val = history(n, seed, "train"), history(n // 2, seed, "val")
    pipeline = fit([s.text for s in train], misuse(train))
    texts, truth = [s.text for s in val], misuse(val)
    scores = np.asarray(pipeline.decision_function(texts), dtype=np.float64)
    base_rate = float(truth.mean())
    line = float(1 / (1 + np.exp(-np.quantile(scores, 1 - base_rate))))
    target = note_target(pipeline, None, OneLogit(LABELS, line), name="phantom opioid-risk model (TF-IDF, logistic)")
    return RiskModel(target, auroc(scores, truth, [str(i) for i in range(len(val))]), base_rate)


def history(n: int, seed: int, split: str) -> list[Sample]:
    """The first `n` notes of a split."""
    return [draw(seed, FIRST[split] + i) for i in range(n)]


def misuse(samples: list[Sample]) -> NDArray[np.int64]:
    """What came of the patients: 1 for misuse."""
    return np.array([s.patient.misuse for s in samples], dtype=np.int64)


def fit(texts: list[str], truth: NDArray[np.int64]) -> Any:
    """A fitted pipeline of word and word-pair TF-IDF and logistic regression."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    words = TfidfVectorizer(ngram_range=(1, 2), min_df=5, sublinear_tf=True)
    return make_pipeline(words, LogisticRegression(max_iter=1_000)).fit(texts, truth)
