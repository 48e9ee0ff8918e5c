"""Small reference networks for `nocere train`: big enough to tell the story, small enough for two cores.

Every network takes a normalised float batch [n, channels, H, W] of any H, W >= 32 and returns logits [n, outputs].
One output is the log-odds of class 1; K outputs are the logits of K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

_REGISTRY: dict[str, Callable[[int, int], nn.Module]] = {}


def architectures() -> tuple[str, ...]:
    """The names `build` knows, sorted."""
    return tuple(sorted(_REGISTRY))


def build(arch: str, *, channels: int, outputs: int) -> nn.Module:
    """A fresh network with unseeded weights; `fitting.fit` draws them again under its seed."""
    if arch not in _REGISTRY:
        raise ValueError(f"unknown architecture {arch!r}; known: {', '.join(architectures())}")
    if channels < 1 or outputs < 1:
        raise ValueError(f"channels and outputs must be at least 1, got {channels} and {outputs}")
    return _REGISTRY[arch](channels, outputs)


def _register(
    name: str,
) -> Callable[[Callable[[int, int], nn.Module]], Callable[[int, int], nn.Module]]:
    def keep(maker: Callable[[int, int], nn.Module]) -> Callable[[int, int], nn.Module]:
        _REGISTRY[name] = maker
        return maker

    return keep


def _convolution(inside: int, outside: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution without bias, then batch norm (which has one)."""
    return nn.Sequential(nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outside))


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut; the shortcut is a 1x1 convolution where the shape changes."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.first = _convolution(inside, outside, stride=stride)
        self.second = _convolution(outside, outside)
        same = stride == 1 and inside == outside
        self.shortcut = nn.Identity() if same else _convolution(inside, outside, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """[n, inside, h, w] -> [n, outside, h / stride, w / stride]."""
        inner = self.second(torch.relu(self.first(x)))
        return torch.relu(inner + self.shortcut(x))


class ResidualNet(nn.Module):
    """A 5x5 stem to `widths[0]`, a residual block for each further width, global average, linear.

    The stem and every block halve the side: on two cores the time goes into the first, large maps.
    """

    def __init__(self, channels: int, outputs: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.stem = _convolution(channels, widths[0], 5, stride=2)
        self.blocks = nn.Sequential(*(Residual(a, b, 2) for a, b in pairwise(widths)))
        self.head = nn.Linear(widths[-1], outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [n, outputs]."""
        # Channels last: about twice as fast on CPU, forward and backward.
        features = self.blocks(torch.relu(self.stem(x.contiguous(memory_format=torch.channels_last))))
        logits: Tensor = self.head(features.mean(dim=(2, 3)))
        return logits


@_register("small_resnet")
def _small_resnet(channels: int, outputs: int) -> nn.Module:
    """About 0.3 M parameters, 3 blocks."""
    return ResidualNet(channels, outputs, (16, 32, 64, 128))


@_register("tiny_resnet")
def _tiny_resnet(channels: int, outputs: int) -> nn.Module:
    """About 0.08 M parameters, 2 blocks: for tests and for small data sets."""
    return ResidualNet(channels, outputs, (16, 32, 64))


@_register("plain_cnn")
def _plain_cnn(channels: int, outputs: int) -> nn.Module:
    """No shortcuts, about 0.25 M parameters: a second family, so that transfer is not always to a twin."""
    widths = (16, 32, 64, 96, 128)
    layers: list[nn.Module] = []
    for inside, outside in pairwise((channels, *widths)):
        layers += [_convolution(inside, outside, 3, stride=2), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], outputs))
