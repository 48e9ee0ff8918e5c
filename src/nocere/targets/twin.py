"""The search twin: a faster copy of a torch target, for searching only.

Batch norm is folded into the convolutions before it and the memory layout is channels last, which changes scores in the
last bits (optionally bfloat16, which changes more). A twin decides nothing: every success is confirmed on the shipped
target, so a twin that is too far off costs effort and never a wrong break; one whose scores or gradients are off by
more than a tolerance on the first case is not used at all. Gradients are compared because torch's tracer loses the
backward pass of custom autograd functions, which is all that a differentiable stand-in consists of.
"""

from __future__ import annotations

import copy
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.fx
from torch.nn.utils.fusion import fuse_conv_bn_eval

from nocere.core.batch import Batch
from nocere.core.case import Case
from nocere.targets.base import Target
from nocere.targets.torch import TorchTarget

TOLERANCE = 1e-3  # of the largest score, for the exact twin
GRADIENT = 1e-2  # of the largest entry of a gradient
CONVOLUTIONS = (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)
NORMS = (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d, torch.nn.BatchNorm3d)


class TorchTwin(TorchTarget):
    """A view on a target; see `search_twin`."""

    def __init__(self, target: TorchTarget, module: torch.nn.Module, *, bf16: bool) -> None:
        # No call of the parent's: the module is made already, and name, decision and fingerprint are the target's.
        self.__dict__.update(target.__dict__)
        self._module = module
        self._bf16 = bf16

    def _forward(self, x: Any, like: Sequence[Case[Any]]) -> Any:
        x = x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x
        with torch.autocast(self._device, torch.bfloat16, enabled=self._bf16):
            return super()._forward(x, like).float()


def search_twin(target: Target, sample: Case[Any], *, bf16: bool = False) -> Target:
    """A twin of a torch target, or the target itself where none can be made.

    Args:
        target: the shipped target.
        sample: a case to compare the two on.
        bf16: compute in bfloat16; about twice as fast where the processor has it.
    """
    if not isinstance(target, TorchTarget) or target.stochastic or not isinstance(sample.x, np.ndarray):
        return target
    module = target.module
    if isinstance(module, torch.jit.ScriptModule) or any(m.training for m in module.modules()):
        return target
    batch = Batch(torch.from_numpy(sample.x.astype(np.float32))[None], (sample,))
    twin = TorchTwin(target, _laid_out(_folded(module)), bf16=False)
    if not _faithful(target, twin, batch):
        return TorchTwin(target, _laid_out(copy.deepcopy(module)), bf16=True) if bf16 else target
    return TorchTwin(target, twin.module, bf16=True) if bf16 else twin


def _faithful(target: TorchTarget, twin: TorchTarget, batch: Batch) -> bool:
    """Whether a twin has the target's scores and, where there are any, its gradients."""
    pairs = [(torch.from_numpy(target.scores(batch)), torch.from_numpy(twin.scores(batch)), TOLERANCE, 1.0)]
    if "gradients" in target.access:
        for k in range(target.decision.columns):
            slopes = []
            for t in (target, twin):
                z, pullback = t.vjp(batch)
                slopes.append(pullback(torch.eye(z.shape[1], dtype=z.dtype)[k : k + 1]))
            pairs.append((slopes[0], slopes[1], GRADIENT, 0.0))
    return all(
        torch.allclose(a, b, rtol=0.0, atol=share * max(least, float(a.nan_to_num().abs().max())), equal_nan=True)
        for a, b, share, least in pairs
    )


def _folded(module: torch.nn.Module) -> torch.nn.Module:
    """A copy with batch norm folded into convolutions, where the module can be traced; else a plain copy."""
    made = copy.deepcopy(module)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            traced = torch.fx.symbolic_trace(made)
    except Exception:  # control flow that depends on values, parts that cannot be traced: many kinds of error
        return made
    parts = dict(traced.named_modules())
    used = Counter(node.target for node in traced.graph.nodes if node.op == "call_module")
    for node in list(traced.graph.nodes):
        before = node.args[0] if node.op == "call_module" and node.args else None
        if not isinstance(before, torch.fx.Node) or before.op != "call_module" or len(before.users) != 1:
            continue
        conv, norm = parts[str(before.target)], parts[str(node.target)]
        if isinstance(conv, CONVOLUTIONS) and isinstance(norm, NORMS) and used[before.target] == 1:
            traced.set_submodule(str(before.target), fuse_conv_bn_eval(conv, norm))
            node.replace_all_uses_with(before)
            traced.graph.erase_node(node)
    traced.delete_all_unused_submodules()
    traced.recompile()
    for p in traced.parameters():
        p.requires_grad_(False)
    return traced.eval()


def _laid_out(module: torch.nn.Module) -> torch.nn.Module:
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
