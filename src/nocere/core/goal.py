"""Goal: what an attack is after, as a margin to the decision that is really taken.

One object serves one-logit, two-logit, softmax, multi-label, ordinal and regression outputs, and access to scores or
to labels only (margins are then +1 and -1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nocere.core.arrays import Array, amax, amin, like, where
from nocere.core.case import Case
from nocere.core.decision import Decision
from nocere.core.errors import UsageError


@dataclass(frozen=True, slots=True)
class Literals:
    """A goal bound to rows of cases: weight and offset [rows, labels]; weight 0 leaves a label out."""

    weight: NDArray[np.float64]
    offset: NDArray[np.float64]

    def take(self, index: Any) -> Literals:
        """These rows."""
        return Literals(self.weight[index], self.offset[index])

    @classmethod
    def join(cls, parts: list[Literals]) -> Literals:
        """Rows of several literals, one after the other."""
        return cls(np.concatenate([p.weight for p in parts]), np.concatenate([p.offset for p in parts]))


@dataclass(frozen=True, slots=True)
class Goal:
    """Signed labels to reach.

    Args:
        want: `"+benign"` asserts a label, `"-melanoma"` removes one; empty means any other clinical label, or for
            findings that are not exclusive, any correct finding switched.
        when: only cases whose true label is this one.
        combine: one of the wanted literals is enough, or all are needed.
        shift: for values: how far beyond the clean value, in the value's unit.
    """

    want: tuple[str, ...] = ()
    when: str = ""
    combine: Literal["any", "all"] = "any"
    shift: float = 0.0

    def bind(self, case: Case[Any], d: Decision, clean: NDArray[np.float64]) -> Literals | None:
        """The goal for one case with clean margins [labels]; None where it does not apply."""
        n = len(d.labels)
        weight, offset = np.zeros((1, n)), np.zeros((1, n))
        if self.when and self.when not in case.truth.labels:
            return None
        if self.want:
            for word in self.want:
                sign, name = word[:1], word[1:]
                if sign not in "+-" or name not in d.labels:
                    raise UsageError(f"Goal {word!r} names no label of the target.", f"Labels: {', '.join(d.labels)}.")
                k = d.labels.index(name)
                weight[0, k] = 1.0 if sign == "+" else -1.0
                if self.shift:
                    offset[0, k] = -weight[0, k] * float(clean[k]) - self.shift
            return Literals(weight, offset)
        clinical = [k for k, name in enumerate(d.labels) if name not in d.not_clinical]
        if d.exclusive:
            if case.truth.label is None or case.truth.label not in d.labels:
                return None
            truth = d.labels.index(case.truth.label)
            weight[0, [k for k in clinical if k != truth]] = 1.0
        else:
            if case.truth.votes and not case.truth.labels:
                return None  # the readers tie: nothing is known
            for k in clinical:
                asserted = d.labels[k] in case.truth.labels
                if (clean[k] > 0) == asserted:
                    weight[0, k] = -1.0 if asserted else 1.0
            if not weight.any():
                return None
        return Literals(weight, offset)

    def margin(self, lit: Literals, margins: Array) -> Array:
        """Margins [rows, labels] to the goal's margin [rows]: positive exactly when the goal is met."""
        value = margins * like(lit.weight, margins) + like(lit.offset, margins)
        used = lit.weight != 0
        if self.combine == "any":
            return amax(where(used, value, -np.inf))
        return amin(where(used, value, np.inf))


def correct(truth_labels: frozenset[str], d: Decision, margins: Sequence[float] | NDArray[np.float64]) -> bool:
    """True when the decision with these margins [labels] says what the truth says."""
    if d.exclusive:
        return all(margins[d.labels.index(t)] > 0 for t in truth_labels if t in d.labels) and bool(truth_labels)
    clinical = (k for k, name in enumerate(d.labels) if name not in d.not_clinical)
    return all((margins[k] > 0) == (d.labels[k] in truth_labels) for k in clinical)
