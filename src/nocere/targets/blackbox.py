"""Models that are only asked: a file in a runtime, a server, a program; stored values in, scores or labels out.

What differs between them is a `Port`. What they share is here: preprocessing of stored values, what the answers mean,
and the checks on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nocere.core.arrays import is_torch
from nocere.core.batch import Batch
from nocere.core.canonical import digest
from nocere.core.decision import Decision, to_json
from nocere.core.errors import TargetError
from nocere.targets.authorisation import Authorisation
from nocere.targets.base import Access, check_scores, to_logits
from nocere.targets.preprocess import Preprocess

Outputs: TypeAlias = Literal["logits", "probabilities", "labels"]


class Port(Protocol):
    """A way to ask a model."""

    @property
    def about(self) -> Mapping[str, Any]:
        """What decides the answers, in plain JSON: hashes of files, or what a server says of itself."""
        ...

    @property
    def counted(self) -> bool:
        """Whether somebody counts every row that is asked."""
        ...

    def ask(self, x: NDArray[np.float32], name: str, seeds: NDArray[np.uint64] | None) -> NDArray[Any]:
        """Answers to rows [n, ...] of network input: numbers [n, k] or [n], or label names [n].

        Raises:
            TargetError: no answer, or one that cannot be what it is said to be.
        """
        ...


class _Box:
    access: frozenset[Access]

    def __init__(
        self,
        port: Port,
        decision: Decision,
        input: Preprocess | None = None,
        *,
        outputs: Outputs = "logits",
        stochastic: bool = False,
        name: str = "model",
    ) -> None:
        self.port = port
        self.decision = decision
        self.input = input
        self.outputs = outputs
        self.stochastic = stochastic
        self.name = name
        self.tiles = not port.counted
        self.fingerprint = digest(
            {
                "model": dict(port.about),
                "decision": to_json(decision),
                "input": None if input is None else input.to_json(),
                "outputs": outputs,
            }
        )

    @property
    def authorisation(self) -> Authorisation | None:
        """What its owner allows, where the model is on another machine."""
        found: Authorisation | None = getattr(self.port, "authorisation", None)
        return found

    def state(self) -> str:
        # Weights lie in a file, a server or another process, out of reach of what is evaluated here.
        return self.fingerprint

    def _prepared(self, batch: Batch) -> Any:
        """Network input as a float32 tensor."""
        if not is_torch(batch.x):
            raise TargetError(f"{self.name} is asked with arrays; this case is a {type(batch.x[0]).__name__}.")
        return batch.x if self.input is None else self.input(batch.x, batch.like)

    def _answers(self, batch: Batch) -> NDArray[Any]:
        x = np.ascontiguousarray(self._prepared(batch).numpy(), dtype=np.float32)
        raw = np.asarray(self.port.ask(x, self.name, batch.seeds))
        if raw.ndim == 0 or len(raw) != len(batch):
            raise TargetError(f"{self.name} gave {len(raw) if raw.ndim else 'no'} answers to {len(batch)} rows.")
        return raw


class ScoringBox(_Box):
    """A model that is asked for scores."""

    access: frozenset[Access] = frozenset({"labels", "scores"})

    def scores(self, batch: Batch) -> NDArray[np.float64]:
        raw = self._answers(batch)
        if raw.dtype.kind not in "fiub":
            raise TargetError(
                f"{self.name} answers with {raw.dtype.name} values, not with scores.",
                'Declare outputs = "labels" where it gives label names.',
            )
        # A server may say [n, 1, 1] of one score.
        raw = raw.reshape(len(raw), -1) if raw.ndim > 2 and raw[0].size == max(raw[0].shape) else raw
        if self.outputs == "probabilities":
            raw = to_logits(raw, self.decision, self.name)
        return check_scores(raw, len(batch), self.decision, self.name)


class LabellingBox(_Box):
    """A model that is asked for labels: their names, their numbers, or true and false for each."""

    access: frozenset[Access] = frozenset({"labels"})

    def labels(self, batch: Batch) -> NDArray[np.bool_]:
        raw, names = self._answers(batch), self.decision.labels
        if raw.ndim == 2 and raw.shape[1] == 1:
            raw = raw[:, 0]
        out = np.zeros((len(batch), len(names)), dtype=bool)
        if raw.ndim == 2:
            if raw.shape != out.shape or not bool(np.isin(raw, (0, 1)).all()):
                raise TargetError(f"{self.name} gave labels of shape {raw.shape}; {out.shape} of 0 and 1 expected.")
            return np.asarray(raw.astype(bool))
        known = {n: i for i, n in enumerate(names)} if raw.dtype.kind in "OUS" else {i: i for i in range(len(names))}
        for row, told in enumerate(raw.tolist()):
            if told not in known:
                raise TargetError(f"{self.name} answered {told!r}, which is none of its labels ({', '.join(names)}).")
            out[row, known[told]] = True
        return out


def box(
    port: Port,
    decision: Decision,
    input: Preprocess | None = None,
    *,
    outputs: Outputs = "logits",
    stochastic: bool = False,
    name: str = "model",
) -> ScoringBox | LabellingBox:
    """A target behind a port.

    Args:
        port: how it is asked.
        decision: how scores become labels.
        input: stored values to network input; default hands stored values over unchanged.
        outputs: what it answers with; "labels" are names, numbers from 0, or 0 and 1 for each label.
        stochastic: True where equal rows may get different answers.
        name: shown in reports.

    Raises:
        TargetError: other outputs.
    """
    if outputs not in ("logits", "probabilities", "labels"):
        raise TargetError(f'A model has outputs "logits", "probabilities" or "labels"; got {outputs!r}.')
    kind = LabellingBox if outputs == "labels" else ScoringBox
    return kind(port, decision, input, outputs=outputs, stochastic=stochastic, name=name)
