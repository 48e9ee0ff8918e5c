"""Brightness, contrast, blur and JPEG compression: what exposure, optics and storage do to an honest picture."""

from __future__ import annotations

import io
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

SOURCE = "Hendrycks & Dietterich 2019, arXiv:1903.12261 (families; ranges are ours)"


@dataclass(frozen=True, slots=True)
class _Appearance:
    """One parameter; subclasses give its axis, how the search renders it and how the checker does."""

    radius: float
    name: ClassVar[str]
    unit: ClassVar[Unit]
    kind: ClassVar[Kind] = Kind.VARIATION
    tolerance: ClassVar[int] = 1

    def at(self, radius: float) -> Self:
        return replace(self, radius=radius)

    def to_json(self) -> Mapping[str, Any]:
        return {"name": self.name, "radius": self.radius}

    def axes(self) -> Sequence[Axis]:
        raise NotImplementedError

    def _render(self, x0: NDArray[Any], theta: Mapping[str, float]) -> NDArray[np.float64]:
        raise NotImplementedError

    def check(self, case: Case[Any], x: Any, proof: Proof) -> Violation | None:
        return check_render(case, x, proof, self.axes(), self._render, self.tolerance)

    def cost(self, case: Case[Any], x: Any, proof: Proof) -> Cost:
        return parameter_cost(case, x, proof, self.axes()[0].name, self.unit)


def _column(theta: NDArray[np.float64], x0: Any) -> Any:
    import torch

    return torch.as_tensor(np.asarray(theta)[:, 0], dtype=x0.dtype).view(-1, 1, 1, 1)


@register("threat", "image.brightness", source=SOURCE, kind="variation")
@dataclass(frozen=True, slots=True)
class Brightness(_Appearance):
    """All stored values raised or lowered by the same amount, at most `radius` grey levels."""

    radius: float = 20.0
    name: ClassVar[str] = "image.brightness"
    unit: ClassVar[Unit] = Unit.GREY_LEVELS

    def axes(self) -> Sequence[Axis]:
        return (Axis("offset", -self.radius, self.radius, "grey levels"),)

    def render(self, x0: Any, theta: NDArray[np.float64]) -> Any:
        return stored(x0 + _column(theta, x0))

    def _render(self, x0: NDArray[Any], theta: Mapping[str, float]) -> NDArray[np.float64]:
        return np.asarray(x0 + theta["offset"], dtype=np.float64)


@register("threat", "image.contrast", source=SOURCE, kind="variation")
@dataclass(frozen=True, slots=True)
class Contrast(_Appearance):
    """Contrast about mid-grey (128) changed by at most `radius` percent."""

    radius: float = 20.0
    name: ClassVar[str] = "image.contrast"
    unit: ClassVar[Unit] = Unit.PERCENT

    def axes(self) -> Sequence[Axis]:
        return (Axis("percent", -self.radius, self.radius, "percent"),)

    def render(self, x0: Any, theta: NDArray[np.float64]) -> Any:
        return stored((x0 - 128.0) * (1.0 + _column(theta, x0) / 100.0) + 128.0)

    def _render(self, x0: NDArray[Any], theta: Mapping[str, float]) -> NDArray[np.float64]:
        return np.asarray(128.0 + (1.0 + theta["percent"] / 100.0) * (x0.astype(np.float64) - 128.0))


@register("threat", "image.blur", source=SOURCE, kind="variation")
@dataclass(frozen=True, slots=True)
class Blur(_Appearance):
    """Gaussian blur with a standard deviation of at most `radius` pixels."""

    radius: float = 1.0
    name: ClassVar[str] = "image.blur"
    unit: ClassVar[Unit] = Unit.PIXELS

    def axes(self) -> Sequence[Axis]:
        return (Axis("sigma", 0.0, self.radius, "pixels"),)

    def render(self, x0: Any, theta: NDArray[np.float64]) -> Any:
        import torch

        rows = []
        for row, sigma in zip(x0, np.asarray(theta)[:, 0], strict=True):
            reach = int(4.0 * sigma + 0.5)
            if reach == 0:
                rows.append(row)
                continue
            k = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=torch.float64) / float(sigma)) ** 2)
            k = (k / k.sum()).to(x0.dtype)
            planes = torch.nn.functional.pad(row[:, None], (reach,) * 4, mode="replicate")
            planes = torch.nn.functional.conv2d(planes, k.view(1, 1, 1, -1))
            rows.append(torch.nn.functional.conv2d(planes, k.view(1, 1, -1, 1))[:, 0])
        return stored(torch.stack(rows))

    def _render(self, x0: NDArray[Any], theta: Mapping[str, float]) -> NDArray[np.float64]:
        from scipy.ndimage import gaussian_filter

        if int(4.0 * theta["sigma"] + 0.5) == 0:
            return x0.astype(np.float64)
        return np.stack(
            [gaussian_filter(p.astype(np.float64), theta["sigma"], mode="nearest", truncate=4.0) for p in x0]
        )


@register("threat", "image.jpeg", source="ITU-T T.81 baseline, as Pillow writes it (4:2:0)", kind="variation")
@dataclass(frozen=True, slots=True)
class Jpeg(_Appearance):
    """Re-encoding as JPEG with a quality of at least 100 - `radius`.

    Search and checker both use Pillow's encoder: there is no second one in the box.
    """

    radius: float = 50.0
    name: ClassVar[str] = "image.jpeg"
    unit: ClassVar[Unit] = Unit.JPEG_QUALITY_LOSS
    tolerance: ClassVar[int] = 0

    def axes(self) -> Sequence[Axis]:
        return (Axis("loss", 0.0, math.floor(min(self.radius, 99.0)), "points of quality", whole=True),)

    def render(self, x0: Any, theta: NDArray[np.float64]) -> Any:
        import torch

        rows = [
            _through_jpeg(row.numpy().astype(np.uint8), 100 - round(float(loss)))
            for row, loss in zip(x0, np.asarray(theta)[:, 0], strict=True)
        ]
        return torch.as_tensor(np.stack(rows), dtype=x0.dtype)

    def _render(self, x0: NDArray[Any], theta: Mapping[str, float]) -> NDArray[np.float64]:
        return _through_jpeg(np.asarray(x0), 100 - round(theta["loss"])).astype(np.float64)


def _through_jpeg(x: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    from PIL import Image

    out = io.BytesIO()
    grey = x.shape[0] == 1
    Image.fromarray(x[0] if grey else x.transpose(1, 2, 0)).save(out, "JPEG", quality=quality)
    with Image.open(out) as image:
        y = np.asarray(image)
    return y[None] if grey else np.ascontiguousarray(y.transpose(2, 0, 1))
