"""A differentiable view of a target: its own answers, with the gradient of a stand-in through named parts.

The forward pass is the target's own, bit for bit; on the way back a part that hides its gradient (rounding, a hard
threshold, a denoiser in another library) is replaced by something smooth, by default the identity (backward pass
differentiable approximation, Athalye et al. 2018, arXiv:1802.00420, section 4.1).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch

from nocere.core.errors import TargetError
from nocere.targets.torch import TorchTarget


def straight(hard: Any, smooth: Any) -> Any:
    """The value of `hard`, to the last bit, with the gradient of `smooth`; both of one shape."""
    return _Value.apply(hard.detach(), smooth)  # type: ignore[no-untyped-call]


class _Value(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, hard: Any, __: Any) -> Any:
        return hard.view_as(hard)

    @staticmethod
    def backward(_: Any, *grads: Any) -> Any:
        return None, grads[0]


class Straight(torch.nn.Module):
    """`part` forwards, `stand_in` backwards; the identity where no stand-in is given."""

    def __init__(self, part: torch.nn.Module, stand_in: torch.nn.Module | None = None) -> None:
        super().__init__()
        self.part = part
        self.stand_in = stand_in if stand_in is not None else torch.nn.Identity()

    def forward(self, x: Any) -> Any:
        with torch.no_grad():
            hard = self.part(x)
        if not torch.is_grad_enabled():
            return hard
        smooth = self.stand_in(x)
        if hard.shape != smooth.shape:
            raise TargetError(
                f"A part turns {tuple(x.shape)} into {tuple(hard.shape)}, its stand-in into {tuple(smooth.shape)}.",
                "Give a stand-in of the same shape (in Python, or as a target card of your own).",
            )
        return straight(hard, smooth)


def bpda(target: TorchTarget, parts: Mapping[str, torch.nn.Module | None]) -> TorchTarget:
    """A view of `target` whose named parts (as in `module.named_modules()`) are differentiated by stand-ins.

    Args:
        target: the shipped target; it is not changed.
        parts: name of a part -> its stand-in; None is the identity.

    Raises:
        TargetError: it is no torch target, gives no logits, or has no such part.
    """
    if not isinstance(target, TorchTarget) or "gradients" not in target.access:
        raise TargetError(
            f"{target.name} has no parts to differentiate: only torch targets that give logits have.",
            "Write a torch module that answers the same, and name its target card instead.",
        )
    module = copy.deepcopy(target.module)
    known = [name for name, _ in module.named_modules() if name]
    for name, stand_in in parts.items():
        if name not in known:
            raise TargetError(f"{target.name} has no part {name!r}.", f"Parts: {', '.join(known) or 'none'}.")
        module.set_submodule(name, Straight(module.get_submodule(name), stand_in))
    return TorchTarget(
        module, target.decision, target.input, stochastic=target.stochastic, name=f"{target.name}, straight through"
    )
