"""Rotation and translation of the camera, bilinear, edge pixels continued."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from nocere.core.candidate import Cost, Proof, Violation
from nocere.core.case import Case
from nocere.core.registry import register
from nocere.core.units import Kind, Unit
from nocere.threats.base import Axis
from nocere.threats.parametric import check_render, parameter_cost, stored


@register("threat", "image.rotation_translation", source="Engstrom et al. 2019, arXiv:1712.02779", kind="variation")
@dataclass(frozen=True, slots=True)
class RotationTranslation:
    """Rotation by at most `radius` degrees about the centre and shifts of at most `shift` pixels along each axis."""

    radius: float = 15.0
    shift: float = 4.0
    name: ClassVar[str] = "image.rotation_translation"
    unit: ClassVar[Unit] = Unit.DEGREES
    kind: ClassVar[Kind] = Kind.VARIATION

    def at(self, radius: float) -> Self:
        return replace(self, radius=radius)

    def to_json(self) -> Mapping[str, Any]:
        return {"name": self.name, "radius": self.radius, "shift": self.shift}

    def axes(self) -> Sequence[Axis]:
        return (
            Axis("angle", -self.radius, self.radius, "degrees"),
            Axis("dx", -self.shift, self.shift, "pixels"),
            Axis("dy", -self.shift, self.shift, "pixels"),
        )

    def render(self, x0: Any, theta: NDArray[np.float64]) -> Any:
        import torch

        h, w = x0.shape[2:]
        half_h, half_w = max((h - 1) / 2, 1e-9), max((w - 1) / 2, 1e-9)
        angle, dx, dy = np.asarray(theta, dtype=np.float64).T
        cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        # Where each output pixel comes from, in units of half the image: one small matrix a row instead of grids.
        affine = np.stack(
            [
                np.stack([cos, sin * half_h / half_w, -(cos * dx + sin * dy) / half_w], axis=1),
                np.stack([-sin * half_w / half_h, cos, (sin * dx - cos * dy) / half_h], axis=1),
            ],
            axis=1,
        )
        grid = torch.nn.functional.affine_grid(torch.as_tensor(affine, dtype=x0.dtype), x0.shape, align_corners=True)
        out = torch.nn.functional.grid_sample(x0, grid, mode="bilinear", padding_mode="border", align_corners=True)
        return stored(out)

    def check(self, case: Case[Any], x: Any, proof: Proof) -> Violation | None:
        return check_render(case, x, proof, self.axes(), render_again)

    def cost(self, case: Case[Any], x: Any, proof: Proof) -> Cost:
        return parameter_cost(case, x, proof, "angle", self.unit)


def render_again(x0: NDArray[Any], theta: Mapping[str, float]) -> NDArray[np.float64]:
    """The checker's own rendering, by scipy's affine transform."""
    from scipy.ndimage import affine_transform

    a = math.radians(theta["angle"])
    # Rows are (y, x): out(p) = in(R (p - centre - shift) + centre)
    matrix = np.array([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])
    centre = (np.array(x0.shape[1:]) - 1) / 2
    offset = centre - matrix @ (centre + np.array([theta["dy"], theta["dx"]]))
    planes = [affine_transform(p.astype(np.float64), matrix, offset, order=1, mode="nearest") for p in x0]
    return np.stack(planes)
