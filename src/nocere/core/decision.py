"""From scores to asserted labels, at the line that is really used.

Every decision maps scores [n, k] (logits, or a value) to margins [n, labels] in the same framework: a margin is
positive exactly when the label is asserted, and it is measured in logits to the line (in the value's own unit for
`Band` and `Value`). Sensitivity, AUROC and every attack goal are built on margins, so a one-logit, a two-logit and a
multi-label head are attacked at the threshold that the clinic uses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from nocere.core.arrays import Array, amax, like, logsumexp, minimum, numpy, stack
from nocere.core.errors import UsageError


@runtime_checkable
class Decision(Protocol):
    """What every decision offers; see the module's text."""

    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def exclusive(self) -> bool: ...
    @property
    def not_clinical(self) -> frozenset[str]: ...
    @property
    def positive(self) -> str | None: ...
    @property
    def columns(self) -> int:
        """Number of score columns that the target must return."""
        ...

    def margins(self, scores: Array) -> Array:
        """Scores [n, columns] to margins [n, labels]."""
        ...

    def probabilities(self, scores: Array) -> np.ndarray[Any, Any] | None:
        """Scores to the confidence in each label, [n, labels]; None where scores are no logits."""
        ...


def logit(p: float) -> float:
    """log(p / (1 - p)); raises UsageError outside of the open unit interval."""
    if not 0.0 < p < 1.0:
        raise UsageError(f"The operating threshold must lie strictly between 0 and 1; got {p}.")
    return math.log(p / (1.0 - p))


def _sigmoid(z: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * z)))


class _Exclusive:
    exclusive = True
    not_clinical: frozenset[str] = frozenset()


@dataclass(frozen=True)
class OneLogit(_Exclusive):
    """One score column: the logit of the second label, asserted above `threshold` (a probability)."""

    labels: tuple[str, str]
    threshold: float = 0.5
    columns: int = field(default=1, init=False)

    def __post_init__(self) -> None:
        logit(self.threshold)

    @property
    def positive(self) -> str:
        return self.labels[1]

    def margins(self, scores: Array) -> Array:
        m = scores[:, 0] - logit(self.threshold)
        return stack([-m, m])

    def probabilities(self, scores: Array) -> np.ndarray[Any, Any]:
        p = _sigmoid(numpy(scores)[:, 0])
        return np.stack([1.0 - p, p], axis=1)


@dataclass(frozen=True)
class OneVsRest(_Exclusive):
    """`columns` logits under a softmax; the second label is asserted when class `index` exceeds `threshold`.

    The two-logit head with an operating threshold is `OneVsRest(labels, columns=2, index=1, threshold=t)`.
    """

    labels: tuple[str, str]
    columns: int
    index: int
    threshold: float = 0.5

    def __post_init__(self) -> None:
        logit(self.threshold)
        if not 0 <= self.index < self.columns:
            raise UsageError(f"Class index {self.index} is outside of the {self.columns} score columns.")

    @property
    def positive(self) -> str:
        return self.labels[1]

    def _logit(self, scores: Array) -> Array:
        rest = [j for j in range(self.columns) if j != self.index]
        return scores[:, self.index] - logsumexp(scores[:, rest])

    def margins(self, scores: Array) -> Array:
        m = self._logit(scores) - logit(self.threshold)
        return stack([-m, m])

    def probabilities(self, scores: Array) -> np.ndarray[Any, Any]:
        p = _sigmoid(self._logit(numpy(scores)))
        return np.stack([1.0 - p, p], axis=1)


@dataclass(frozen=True)
class Softmax(_Exclusive):
    """One logit a label; the largest is asserted. Margin: lead over the best other label."""

    labels: tuple[str, ...]
    positive: str | None = None

    @property
    def columns(self) -> int:
        return len(self.labels)

    def margins(self, scores: Array) -> Array:
        out = []
        for k in range(self.columns):
            rest = [j for j in range(self.columns) if j != k]
            out.append(scores[:, k] - amax(scores[:, rest]))
        return stack(out)

    def probabilities(self, scores: Array) -> np.ndarray[Any, Any]:
        z = numpy(scores)
        return np.asarray(np.exp(z - logsumexp(z)[:, None]))


@dataclass(frozen=True)
class MultiLabel:
    """One logit a finding, each asserted above its own threshold (probabilities, in the order of `labels`)."""

    labels: tuple[str, ...]
    thresholds: tuple[float, ...]
    positive: str | None = None
    exclusive: bool = field(default=False, init=False)
    not_clinical: frozenset[str] = field(default=frozenset(), init=False)

    def __post_init__(self) -> None:
        if len(self.thresholds) != len(self.labels):
            raise UsageError(f"{len(self.labels)} findings need as many thresholds; got {len(self.thresholds)}.")
        for t in self.thresholds:
            logit(t)

    @property
    def columns(self) -> int:
        return len(self.labels)

    def margins(self, scores: Array) -> Array:
        return scores - like([logit(t) for t in self.thresholds], scores)

    def probabilities(self, scores: Array) -> np.ndarray[Any, Any]:
        return _sigmoid(numpy(scores))


@dataclass(frozen=True)
class Band(_Exclusive):
    """One value column cut at `low` and `high` into three labels; the middle one may be REFER (`not_clinical`)."""

    low: float
    high: float
    labels: tuple[str, str, str] = ("below", "within", "above")
    not_clinical: frozenset[str] = frozenset()
    positive: str | None = None
    columns: int = field(default=1, init=False)

    def margins(self, scores: Array) -> Array:
        v = scores[:, 0]
        return stack([self.low - v, minimum(v - self.low, self.high - v), v - self.high])

    def probabilities(self, scores: Array) -> None:
        return None


@dataclass(frozen=True)
class Value:
    """A regression output; the single margin is the value itself, so goals use `shift`."""

    labels: tuple[str] = ("value",)
    exclusive: bool = field(default=False, init=False)
    not_clinical: frozenset[str] = field(default=frozenset(), init=False)
    positive: None = field(default=None, init=False)
    columns: int = field(default=1, init=False)

    def margins(self, scores: Array) -> Array:
        return scores

    def probabilities(self, scores: Array) -> None:
        return None


@dataclass(frozen=True)
class Flagged:
    """`inner` behind a detector: the last score column above `tau` withholds every clinical label.

    `flagged` is not clinical: raising the flag is no success of an attack.
    """

    inner: Decision
    tau: float

    @property
    def labels(self) -> tuple[str, ...]:
        return (*self.inner.labels, "flagged")

    @property
    def exclusive(self) -> bool:
        return self.inner.exclusive

    @property
    def not_clinical(self) -> frozenset[str]:
        return self.inner.not_clinical | {"flagged"}

    @property
    def positive(self) -> str | None:
        return self.inner.positive

    @property
    def columns(self) -> int:
        return self.inner.columns + 1

    def margins(self, scores: Array) -> Array:
        flag = scores[:, -1] - self.tau
        inner = self.inner.margins(scores[:, :-1])
        return stack([*(minimum(inner[:, k], -flag) for k in range(len(self.inner.labels))), flag])

    def probabilities(self, scores: Array) -> None:
        return None


KINDS: dict[str, type[Any]] = {
    "one_logit": OneLogit,
    "one_vs_rest": OneVsRest,
    "softmax": Softmax,
    "multi_label": MultiLabel,
    "band": Band,
    "value": Value,
    "flagged": Flagged,
}


def to_json(decision: Any) -> dict[str, Any]:
    """Plain form of a decision, read back by `from_json`."""
    kind = next(k for k, t in KINDS.items() if type(decision) is t)
    if isinstance(decision, Flagged):
        return {"kind": kind, "inner": to_json(decision.inner), "tau": decision.tau}
    data = {k: v for k, v in asdict(decision).items() if decision.__dataclass_fields__[k].init}
    return {"kind": kind, **{k: sorted(v) if isinstance(v, frozenset) else v for k, v in data.items()}}


def from_json(data: Mapping[str, Any]) -> Decision:
    """Decision from its plain form.

    Raises:
        UsageError: unknown kind, missing or unknown field.
    """
    fields = dict(data)
    kind = fields.pop("kind", None)
    if kind not in KINDS:
        raise UsageError(f"Unknown decision kind {kind!r}.", f"Use one of: {', '.join(KINDS)}.")
    if kind == "flagged":
        return Flagged(from_json(fields["inner"]), fields["tau"])
    for key in ("labels", "thresholds"):
        if key in fields:
            fields[key] = tuple(fields[key])
    if "not_clinical" in fields:
        fields["not_clinical"] = frozenset(fields["not_clinical"])
    try:
        made: Decision = KINDS[kind](**fields)
    except TypeError as e:
        raise UsageError(f"Decision of kind {kind!r} is not complete: {e}.") from e
    return made
