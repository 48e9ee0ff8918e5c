"""A moved camera and then noise: neither alone, and not near the original in any norm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from nocere.core.candidate import Cost, Proof, Violation
from nocere.core.case import Case
from nocere.core.errors import UsageError
from nocere.core.registry import register
from nocere.core.units import Kind, Unit
from nocere.threats.base import Axis
from nocere.threats.geometry import RotationTranslation, render_again
from nocere.threats.parametric import check_render, parameter_cost

# What two correct interpolations may differ by after rounding; the rule of `parametric.check_render`.
RENDERED = 1


@register(
    "threat",
    "image.rotation_translation_noise",
    source="Engstrom et al. 2019, arXiv:1712.02779, section 5 (combined with L-infinity)",
    kind="tampering",
)
@dataclass(frozen=True, slots=True)
class RotationTranslationNoise:
    """Rotation by at most `radius` degrees, shifts of at most `shift` pixels, then noise of `noise` grey levels.

    The proof is angle, dx and dy. The checker renders them again from the original, by other code, and every stored
    value may differ from that by `noise` grey levels, and by one more for the rounding of two interpolations.
    """

    radius: float = 15.0
    shift: float = 4.0
    noise: float = 2.0
    name: ClassVar[str] = "image.rotation_translation_noise"
    unit: ClassVar[Unit] = Unit.DEGREES
    kind: ClassVar[Kind] = Kind.TAMPERING

    def __post_init__(self) -> None:
        if self.noise < 1 or self.noise != int(self.noise):
            raise UsageError(f"{self.name}: noise is a whole number of grey levels from 1; got {self.noise:g}.")

    def at(self, radius: float) -> Self:
        return replace(self, radius=radius)

    def to_json(self) -> Mapping[str, Any]:
        return {"name": self.name, "radius": self.radius, "shift": self.shift, "noise": self.noise}

    @property
    def _camera(self) -> RotationTranslation:
        return RotationTranslation(self.radius, self.shift)

    def axes(self) -> Sequence[Axis]:
        return self._camera.axes()

    def render(self, x0: Any, theta: NDArray[np.float64]) -> Any:
        """The moved images without noise."""
        return self._camera.render(x0, theta)

    def within(self, x: Any, base: Any) -> Any:
        """Rows x with their noise on `base` cut to what is allowed."""
        return x.clamp(base - self.noise, base + self.noise).clamp(0.0, 255.0)

    def check(self, case: Case[Any], x: Any, proof: Proof) -> Violation | None:
        return check_render(case, x, proof, self.axes(), render_again, RENDERED + int(self.noise))

    def cost(self, case: Case[Any], x: Any, proof: Proof) -> Cost:
        return parameter_cost(case, x, proof, "angle", self.unit)
