"""Randomness keyed by case: a draw depends on (seed, tag, case, how many draws before), never on the batch."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def generator(*key: object) -> np.random.Generator:
    """A generator for this key; equal keys give equal streams on every platform (Philox 4x64)."""
    raw = hashlib.sha256("\x1f".join(map(str, key)).encode()).digest()
    words = np.frombuffer(raw[:16], dtype="<u8")
    return np.random.Generator(np.random.Philox(key=words))


def seed_of(*key: object) -> int:
    """A 63-bit seed for this key, for libraries that want a number."""
    return int.from_bytes(hashlib.sha256("\x1f".join(map(str, key)).encode()).digest()[:8], "little") >> 1


class RowRng:
    """Draws for rows of a cohort; `case_ids` names the case behind each cohort position."""

    def __init__(self, seed: int, tag: str, case_ids: Sequence[str]) -> None:
        self._seed, self._tag, self._ids = seed, tag, tuple(case_ids)
        self._drawn: dict[str, int] = defaultdict(int)

    def _next(self, row: int) -> np.random.Generator:
        case = self._ids[row]
        self._drawn[case] += 1
        return generator(self._seed, self._tag, case, self._drawn[case])

    def uniform(self, rows: Sequence[int] | NDArray[Any], shape: Sequence[int]) -> NDArray[np.float32]:
        """Uniform on [-1, 1): [len(rows), *shape]."""
        draws = [self._next(int(r)).random(shape, dtype=np.float32) for r in rows]
        return np.stack(draws) * np.float32(2) - np.float32(1)

    def normal(self, rows: Sequence[int] | NDArray[Any], shape: Sequence[int]) -> NDArray[np.float32]:
        """Standard normal: [len(rows), *shape]."""
        return np.stack([self._next(int(r)).standard_normal(shape, dtype=np.float32) for r in rows])

    def integers(
        self, rows: Sequence[int] | NDArray[Any], low: int, high: int, shape: Sequence[int]
    ) -> NDArray[np.int64]:
        """Whole numbers in [low, high], both included: [len(rows), *shape]."""
        return np.stack([self._next(int(r)).integers(low, high, shape, endpoint=True) for r in rows])
