"""Preprocessing of 8-bit images inside the target: stored values to network input, differentiable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from nocere.core.errors import TargetError


@dataclass(frozen=True, slots=True)
class ImageInput:
    """How stored values [n, C, H, W] in 0..255 become network input.

    Args:
        channels: 1 or 3; a grey image is repeated for 3, a colour image is refused for 1.
        size: (height, width) of the network; None accepts any.
        resize: resize other sizes (bilinear, antialiased); otherwise another size is an error.
        scale: stored values are divided by this.
        mean, std: one value a channel, applied after scaling.
    """

    channels: int = 3
    size: tuple[int, int] | None = None
    resize: bool = False
    scale: float = 255.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if self.channels not in (1, 3):
            raise TargetError(f"An image target takes 1 or 3 channels; {self.channels} are declared.")
        for name in ("mean", "std"):
            if len(getattr(self, name)) not in (1, self.channels):
                raise TargetError(f"{name} needs 1 or {self.channels} values; got {len(getattr(self, name))}.")
        if min(self.std) <= 0 or self.scale <= 0:
            raise TargetError("std and scale must be positive.")

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ImageInput:
        """From the [input] table of a target card."""
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        try:
            return cls(**fields)
        except TypeError as e:
            raise TargetError(f"The target's input is not declared well: {e}.") from e

    def to_json(self) -> dict[str, Any]:
        """Plain form."""
        return asdict(self)

    def __call__(self, x: Any) -> Any:
        """Stored values to network input (torch in, torch out).

        Raises:
            TargetError: wrong number of channels or wrong size.
        """
        import torch

        if x.ndim != 4:
            raise TargetError(f"An image target takes [n, C, H, W]; got {tuple(x.shape)}.")
        if x.shape[1] != self.channels:
            if (x.shape[1], self.channels) != (1, 3):
                raise TargetError(f"The target takes {self.channels} channel(s); the image has {x.shape[1]}.")
            x = x.expand(-1, 3, -1, -1)
        if self.size is not None and tuple(x.shape[2:]) != self.size:
            if not self.resize:
                raise TargetError(
                    f"The target takes images of {self.size[0]} x {self.size[1]}; the image has "
                    f"{x.shape[2]} x {x.shape[3]} (height x width).",
                    "Give images of that size, or declare resize = true in the target's [input].",
                )
            x = torch.nn.functional.interpolate(x, self.size, mode="bilinear", align_corners=False, antialias=True)
        mean = torch.tensor(self.mean, dtype=x.dtype, device=x.device).view(1, -1, 1, 1)
        std = torch.tensor(self.std, dtype=x.dtype, device=x.device).view(1, -1, 1, 1)
        return (x / self.scale - mean) / std
