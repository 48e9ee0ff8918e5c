"""Families of ordinary transforms: a candidate is a parameter vector, and its proof is that vector.

The checker renders the proof again from the original with other code (scipy, Pillow) than the search uses (torch), and
allows the difference that two correct interpolations can have after rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.core.candidate import Cost, Proof, Violation
from nocere.core.case import Case
from nocere.core.units import Unit
from nocere.threats.base import Axis
from nocere.threats.pixels import pixel_cost


def check_render(
    case: Case[Any],
    x: Any,
    proof: Proof,
    axes: Sequence[Axis],
    render: Callable[[NDArray[Any], Mapping[str, float]], NDArray[np.float64]],
    tolerance: int = 1,
) -> Violation | None:
    """None when the proof's parameters are in range and rendering them gives `x` within `tolerance` grey levels."""
    if not isinstance(x, np.ndarray) or x.dtype != case.x.dtype or x.shape != case.x.shape:
        return Violation(f"stored values must be {case.x.dtype} {case.x.shape}")
    if case.x.dtype != np.uint8:
        return Violation("families of transforms are for 8-bit images")
    theta = read_proof(proof, axes)
    if isinstance(theta, Violation):
        return theta
    again = np.clip(np.rint(render(case.x, theta)), 0, 255)
    worst = int(np.abs(again - x.astype(np.float64)).max())
    if worst > tolerance:
        return Violation(f"differs by {worst} grey levels from what its proof renders")
    return None


def read_proof(proof: Proof, axes: Sequence[Axis]) -> dict[str, float] | Violation:
    """The parameters of a proof, each in its range."""
    if not isinstance(proof, Mapping) or set(proof) != {a.name for a in axes}:
        return Violation(f"the proof must give exactly {', '.join(a.name for a in axes)}")
    theta: dict[str, float] = {}
    for a in axes:
        v = proof[a.name]
        if not isinstance(v, (int, float)) or not a.low - 1e-9 <= v <= a.high + 1e-9:
            return Violation(f"{a.name} = {v} is outside of {a.low:g} to {a.high:g} {a.unit}")
        theta[a.name] = float(v)
    return theta


def parameter_cost(case: Case[Any], x: Any, proof: Proof, axis: str, unit: Unit) -> Cost:
    """Size of the leading parameter; pixel distances for the reader."""
    assert isinstance(proof, Mapping)
    value = proof[axis]
    assert isinstance(value, (int, float))
    pixel = pixel_cost(case, x, Unit.GREY_LEVELS)
    rest = {k: float(v) for k, v in proof.items() if isinstance(v, (int, float))}
    return Cost(abs(float(value)), str(unit), {**rest, "linf": pixel.more["linf"], "l2": pixel.more["l2"]})


def stored(x: Any) -> Any:
    """Rendered rows as stored 8-bit integers (floats in memory)."""
    return x.round().clamp(0.0, 255.0)
