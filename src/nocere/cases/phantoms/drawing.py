"""What the phantoms share: a sample with its votes, documented quantities, and a few ways to draw."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float32]
FIELD_MM = 12.0


class Described(NamedTuple):
    """The range a quantity is drawn from, and what it means in the picture."""

    low: float
    high: float
    meaning: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One phantom case."""

    image: NDArray[np.uint8]
    """[1 or 3, H, W], grey levels."""
    label: int
    """0 healthy, 1 diseased: the majority of the readers."""
    votes: tuple[int, int]
    """Readers for 0, readers for 1."""
    features: dict[str, float]
    nuisances: dict[str, float]
    mask: NDArray[np.uint8]
    """[H, W], 1 where the lesion is."""


def sample(
    picture: tuple[NDArray[np.uint8], NDArray[np.uint8]], opinions: NDArray[np.float64], features: Any, nuisances: Any
) -> Sample:
    """A sample from (image, mask), the readers' scores (positive: diseased), and its two dataclasses of quantities."""
    diseased = int((opinions > 0).sum())
    return Sample(
        image=picture[0],
        label=int(2 * diseased > len(opinions)),
        votes=(len(opinions) - diseased, diseased),
        features={name: float(value) for name, value in asdict(features).items()},
        nuisances={name: float(value) for name, value in asdict(nuisances).items()},
        mask=picture[1],
    )


def sigmoid(z: NDArray[np.floating]) -> Array:
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * z), np.float32)


def smooth(rng: np.random.Generator, size: int, knots: int) -> Array:
    """A smooth random field [H, W] of about unit variance, `knots` bumps across."""
    basis = _basis(size, knots)
    return np.asarray(basis @ rng.standard_normal((knots, knots), np.float32) @ basis.T, np.float32)


@lru_cache(maxsize=32)
def _basis(size: int, knots: int) -> Array:
    position = (np.arange(size) + 0.5) / size * (knots - 1)
    weights = np.exp(-0.5 * ((position[:, None] - np.arange(knots)) / 0.6) ** 2)
    return np.asarray(weights / np.sqrt((weights**2).sum(1, keepdims=True)), np.float32)


@lru_cache(maxsize=8)
def grid(size: int) -> tuple[Array, Array]:
    axis = (((np.arange(size) + 0.5) / size - 0.5) * FIELD_MM).astype(np.float32)
    x, y = np.meshgrid(axis, axis)
    return x, y
