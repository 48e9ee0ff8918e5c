"""What answers with scores and pulls gradients back, as a torch module, for libraries that want one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch.autograd.function import once_differentiable

from nocere.core.errors import TargetError

# Rows, and whether a way back is wanted -> scores [n, columns] and that way back: d loss / d scores -> d loss / d x.
Asking: TypeAlias = Callable[[Any, bool], tuple[Any, Callable[[Any], Any] | None]]


class AskedModule(torch.nn.Module):
    """A module without parameters whose forward pass asks, and whose backward pass pulls back.

    Args:
        ask: see `Asking`; called once a forward pass, its way back once a backward pass.
    """

    def __init__(self, ask: Asking) -> None:
        super().__init__()
        self._ask = ask
        self.eval()

    def forward(self, x: Any) -> Any:
        return _Asked.apply(x, self._ask, torch.is_grad_enabled() and x.requires_grad)  # type: ignore[no-untyped-call]


class _Asked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any, ask: Asking, grad: bool) -> Any:
        scores, ctx.pullback = ask(x.detach().float(), grad)
        ctx.dtype = x.dtype
        return scores.to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weight: Any) -> tuple[Any, None, None]:
        if ctx.pullback is None:
            raise TargetError("Gradients were asked of a model that grants none.")
        return ctx.pullback(weight).to(ctx.dtype), None, None
