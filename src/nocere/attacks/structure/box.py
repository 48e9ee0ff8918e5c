"""What the searches by structure share: the box of stored values around a case, and the goal's margin of contents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.base import Job
from nocere.attacks.structure.clauses import Clause, clauses
from nocere.core.errors import UsageError
from nocere.targets.structure import Link
from nocere.threats.pixels import Linf

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Box:
    """Whole stored values x0, low and high [d] of one case: the set is every whole point between."""

    x0: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]


def box(job: Job, row: int, name: str) -> Box:
    """The L-infinity box of one case, cut at what can be stored.

    Raises:
        UsageError: the set is no such box.
    """
    if not isinstance(job.pset, Linf):
        raise UsageError(f"{name} searches L-infinity boxes of stored values, not {job.pset.name}.")
    x0 = np.asarray(job.cases[row].x).astype(np.int64).ravel()
    r = int(job.radius[row])
    least, most = map(int, job.pset.span)
    return Box(x0, np.maximum(x0 - r, least), np.minimum(x0 + r, most))


def structure(job: Job, kind: type[S], name: str) -> S:
    """The target's structure.

    Raises:
        UsageError: it has none of this kind.
    """
    if not isinstance(job.structure, kind):
        raise UsageError(f"{name} needs a target that gives its structure as {kind.__name__}.")
    return job.structure


def conditions(job: Job, row: int) -> list[Clause]:
    """The goal of one case as conditions on outputs."""
    link: Link = getattr(job.structure, "link", "identity")
    return clauses(job.decision, job.goal, job.literals.weight[row], job.literals.offset[row], link)


def score_margins(job: Job, row: int, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Goal margins [n] of scores [n, k] for one case."""
    lit = job.literals.take(np.full(len(scores), row))
    return np.asarray(job.goal.margin(lit, job.decision.margins(scores)), dtype=np.float64)


def contents(job: Job, row: int, flat: NDArray[Any]) -> Any:
    """Flat stored values [n, d] as rows to ask."""
    import torch

    return torch.from_numpy(flat.astype(np.float32)).view(len(flat), *job.x0[row].shape)
