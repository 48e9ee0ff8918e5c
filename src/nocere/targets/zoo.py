"""A zoo of broken defences: each makes an undefended net look robust to a careless search, and none protects it.

They are there to test the search: an audit must break a member or raise an indicator, and never pass it quietly.
Every member wraps a net that takes stored values and answers with logits. `bpda` gives a view of the same answers with
a usable gradient (backward pass differentiable approximation, Athalye et al. 2018, arXiv:1802.00420, section 4.1).
"""

from __future__ import annotations

import copy
import math
from typing import Any, Self

import torch

from nocere.core.registry import register
from nocere.targets.straight import straight

ATHALYE = "Athalye et al. 2018, arXiv:1802.00420"


class Broken(torch.nn.Module):
    """Base of the members: a net, and whether the backward pass is the approximated one."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net
        self.approximated = False

    def bpda(self) -> Self:
        """The same answers, with gradients as if the obstacle were its smooth stand-in."""
        view = copy.deepcopy(self)
        view.approximated = True
        return view

    def _instead(self, hard: Any, smooth: Any) -> Any:
        """`hard` forwards; backwards `smooth` where approximated."""
        return straight(hard, smooth) if self.approximated else hard


@register("target", "zoo.quantised", source=f"Buckman et al. 2018; broken by {ATHALYE}", kind="broken defence")
class Quantised(Broken):
    """Rounds stored values to multiples of a step: every gradient is zero."""

    def __init__(self, net: torch.nn.Module, step: float = 4.0) -> None:
        super().__init__(net)
        self.step = step

    def forward(self, x: Any) -> Any:
        return self.net(self._instead(torch.round(x / self.step) * self.step, x))


@register("target", "zoo.thermometer", source=f"Buckman et al. 2018; broken by {ATHALYE}", kind="broken defence")
class Thermometer(Broken):
    """Counts the thresholds below each stored value (thermometer code): every gradient is zero."""

    def __init__(self, net: torch.nn.Module, levels: int = 32, top: float = 255.0) -> None:
        super().__init__(net)
        self.top = top
        self.register_buffer("thresholds", (torch.arange(levels) + 0.5) * top / levels)

    def forward(self, x: Any) -> Any:
        code = (x[..., None] > self.thresholds).to(x.dtype)
        return self.net(self._instead(code.mean(-1) * self.top, x))


@register("target", "zoo.shattered", source=ATHALYE, kind="broken defence")
class Shattered(Broken):
    """Adds a fast wave that is zero at whole numbers: gradients are large there, and point the wrong way."""

    def __init__(self, net: torch.nn.Module, height: float = 1.0) -> None:
        super().__init__(net)
        self.height = height

    def forward(self, x: Any) -> Any:
        wave = self.height * torch.sin(2 * math.pi * x)
        return self.net(self._instead(torch.round(x) - wave, x))


@register("target", "zoo.saturated", source="Carlini & Wagner 2016, arXiv:1607.04311", kind="broken defence")
class Saturated(Broken):
    """Sends logits through a steep sigmoid and back: nearly all are clipped, and their gradients are zero."""

    def __init__(self, net: torch.nn.Module, steep: float = 1000.0, eps: float = 1e-6) -> None:
        super().__init__(net)
        self.steep, self.eps = steep, eps

    def forward(self, x: Any) -> Any:
        z = self.steep * self.net(x)
        return self._instead(torch.logit(torch.sigmoid(z), eps=self.eps), z)


@register("target", "zoo.temperature", source="Papernot et al. 2016; Carlini & Wagner 2016", kind="broken defence")
class Temperature(Broken):
    """Divides logits by a temperature: losses on probabilities die, or margins sink towards rounding errors."""

    def __init__(self, net: torch.nn.Module, temperature: float = 1e-4) -> None:
        super().__init__(net)
        self.temperature = temperature

    def forward(self, x: Any) -> Any:
        return self.net(x) / self.temperature


@register("target", "zoo.noisy", source=f"Xie et al. 2018; broken by {ATHALYE}", kind="broken defence")
class Noisy(Broken):
    """Adds fresh noise to every input: a single gradient is a guess. Declare it stochastic."""

    def __init__(self, net: torch.nn.Module, spread: float = 16.0) -> None:
        super().__init__(net)
        self.spread = spread

    def forward(self, x: Any) -> Any:
        return self.net(x + self.spread * torch.randn_like(x))


@register("target", "zoo.resized", source=f"Xie et al. 2018; broken by {ATHALYE}", kind="broken defence")
class Resized(Broken):
    """Shrinks every input by a random number of pixels and puts it at a random place. Declare it stochastic."""

    def __init__(self, net: torch.nn.Module, most: int = 2) -> None:
        super().__init__(net)
        self.most = most

    def forward(self, x: Any) -> Any:
        height, width = x.shape[2:]
        less = int(torch.randint(self.most + 1, ()))
        top, left = (int(torch.randint(less + 1, ())) for _ in range(2))
        small = torch.nn.functional.interpolate(x, (height - less, width - less), mode="bilinear")
        return self.net(torch.nn.functional.pad(small, (left, less - left, top, less - top)))


@register("target", "zoo.thresholded", source=ATHALYE, kind="broken defence")
class Thresholded(Broken):
    """Puts a hard threshold on the features of layer `at` of a sequential net: every gradient is zero."""

    def __init__(self, net: torch.nn.Sequential, at: int) -> None:
        super().__init__(net)
        self.at = at

    def forward(self, x: Any) -> Any:
        features = self.net[: self.at](x)  # type: ignore[index]
        return self.net[self.at :](self._instead((features > 0).to(x.dtype), torch.sigmoid(features)))  # type: ignore[index]
