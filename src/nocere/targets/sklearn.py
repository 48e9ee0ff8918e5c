"""A scikit-learn estimator as a target: scores from `predict_proba` or `decision_function`, structure where known."""

from __future__ import annotations

import hashlib
import pickle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.core.arrays import numpy
from nocere.core.batch import Batch
from nocere.core.canonical import digest
from nocere.core.decision import Decision, to_json
from nocere.core.errors import TargetError
from nocere.core.registry import register
from nocere.targets.base import Access, check_scores, to_logits
from nocere.targets.extract import structure_of


def state_of(estimator: Any) -> str:
    """A hash of an estimator, or a list of them, as it is pickled."""
    # Pickled twice: the first round settles which equal strings are one object, which pickles would tell apart.
    again = pickle.loads(pickle.dumps(estimator))
    return hashlib.sha256(pickle.dumps(again)).hexdigest()


@register("target", "sklearn", source="scikit-learn estimator API")
class SklearnTarget:
    """A fitted scikit-learn estimator or pipeline on flattened stored values [n, C*H*W].

    `source` is the SHA-256 of the model's file where there is one: it then stands for the estimator in the fingerprint.
    Scaling belongs into the estimator (a Pipeline), so that budgets stay in stored units. Linear models, trees, forests
    and boosted trees also give their structure (see `extract`); there are no gradients.
    """

    stochastic = False
    tiles = True

    def __init__(self, estimator: Any, decision: Decision, *, name: str = "model", source: str = "") -> None:
        if not (hasattr(estimator, "predict_proba") or hasattr(estimator, "decision_function")):
            raise TargetError(
                f"{type(estimator).__name__} has neither predict_proba nor decision_function.",
                "Give a fitted classifier.",
            )
        classes = [str(c) for c in getattr(estimator, "classes_", [])]
        if len(classes) == decision.columns or (len(classes) == 2 and decision.columns == 1):
            known = [c for c in classes if c in decision.labels]
            if known and known != [c for c in decision.labels if c in known]:
                raise TargetError(
                    f"The estimator's classes are {', '.join(classes)}; the labels are {', '.join(decision.labels)}.",
                    "Give the labels in the estimator's order.",
                )
        self._estimator = estimator
        self.decision = decision
        self.name = name
        self.fingerprint = digest({"decision": to_json(decision), "state": source or self.state()})
        self.structure = structure_of(estimator, decision, self._scores)
        granted: list[Access] = ["labels", "scores", *(("structure",) if self.structure is not None else ())]
        self.access: frozenset[Access] = frozenset(granted)

    def state(self) -> str:
        return state_of(self._estimator)

    def scores(self, batch: Batch) -> NDArray[np.float64]:
        x = numpy(batch.x)
        try:
            return self._scores(x.reshape(len(x), -1))
        except ValueError as e:
            first = str(e).split("\n", 1)[0]
            raise TargetError(f"{self.name} failed on input of shape {tuple(x.shape)}: {first}") from e

    def _scores(self, flat: NDArray[Any]) -> NDArray[np.float64]:
        # Whole numbers in double precision: a scaler would keep the search's float32.
        flat = flat.astype(np.float64)
        if hasattr(self._estimator, "predict_proba"):
            raw = to_logits(self._estimator.predict_proba(flat), self.decision, self.name)
        else:
            raw = np.asarray(self._estimator.decision_function(flat))
        return check_scores(raw, len(flat), self.decision, self.name)
