"""Batch: rows of one shape for one model call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.core.case import Case


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows for a target.

    `x` holds stored units: a float32 torch tensor [n, ...] for arrays (integers once realised), a list of objects for
    notes and claims. `like` is the case behind each row (window, gain, age); `seeds` one seed a row for targets that
    draw.
    """

    x: Any
    like: tuple[Case[Any], ...]
    seeds: NDArray[np.uint64] | None = None

    def __len__(self) -> int:
        return len(self.like)
