"""Any Python function as a target: stored values in, scores, probabilities or labels out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nocere.core.arrays import is_torch, numpy
from nocere.core.batch import Batch
from nocere.core.canonical import digest
from nocere.core.decision import Decision, to_json
from nocere.core.errors import TargetError
from nocere.core.registry import register
from nocere.targets.base import Access, check_scores, to_logits

Outputs: TypeAlias = Literal["logits", "probabilities", "labels"]


class _Callable:
    stochastic: bool
    tiles = False

    def __init__(
        self,
        function: Callable[..., Any],
        decision: Decision,
        *,
        outputs: Outputs,
        version: str,
        stochastic: bool,
        name: str,
    ) -> None:
        self._function = function
        self.decision = decision
        self.outputs = outputs
        self.stochastic = stochastic
        self.name = name
        self.fingerprint = digest({"name": name, "version": version, "decision": to_json(decision), "outputs": outputs})

    def state(self) -> str:
        # The inside of a function cannot be seen: only its identity is watched.
        return self.fingerprint

    def _call(self, batch: Batch) -> NDArray[Any]:
        x = numpy(batch.x) if is_torch(batch.x) else batch.x
        try:
            return np.asarray(self._function(x, batch.seeds) if self.stochastic else self._function(x))
        except Exception as e:
            raise TargetError(f"{self.name} raised {type(e).__name__}: {e}") from e


class _ScoresCallable(_Callable):
    access: frozenset[Access] = frozenset({"labels", "scores"})

    def scores(self, batch: Batch) -> NDArray[np.float64]:
        raw = self._call(batch)
        if self.outputs == "probabilities":
            raw = to_logits(raw, self.decision, self.name)
        return check_scores(raw, len(batch), self.decision, self.name)


class _LabelsCallable(_Callable):
    access: frozenset[Access] = frozenset({"labels"})

    def labels(self, batch: Batch) -> NDArray[np.bool_]:
        raw = self._call(batch)
        out = np.zeros((len(batch), len(self.decision.labels)), dtype=bool)
        if raw.ndim == 1 and len(raw) == len(batch):
            for i, name in enumerate(raw.tolist()):
                if name not in self.decision.labels:
                    raise TargetError(f"{self.name} answered {name!r}, which is none of its labels.")
                out[i, self.decision.labels.index(name)] = True
            return out
        if raw.shape != out.shape:
            raise TargetError(f"{self.name} returned labels of shape {raw.shape}; {out.shape} or names expected.")
        return raw.astype(bool)


@register("target", "callable", source="Python function")
def callable_target(
    function: Callable[..., Any],
    decision: Decision,
    *,
    outputs: Outputs = "probabilities",
    version: str = "unversioned",
    stochastic: bool = False,
    name: str = "model",
) -> _ScoresCallable | _LabelsCallable:
    """A Python function of stored values [n, ...] that returns scores, probabilities or label names.

    Args:
        function: called with a numpy array (or a list of objects), and the rows' seeds where `stochastic`.
        decision: how scores become labels.
        outputs: what it returns; "labels" means one label name a row, or a bool array [n, labels].
        version: part of the fingerprint, since the inside of a function cannot be hashed: change it with the model.
        stochastic: True where equal inputs may get different answers.
        name: shown in reports.
    """
    if outputs not in ("logits", "probabilities", "labels"):
        raise TargetError(f'A function has outputs "logits", "probabilities" or "labels"; got {outputs!r}.')
    kind = _LabelsCallable if outputs == "labels" else _ScoresCallable
    return kind(function, decision, outputs=outputs, version=version, stochastic=stochastic, name=name)
