"""Any torch `nn.Module` as a target: one logit, two logits, many classes, multi-label."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from nocere.core.batch import Batch
from nocere.core.canonical import digest
from nocere.core.case import Case
from nocere.core.decision import Decision, to_json
from nocere.core.errors import TargetError
from nocere.core.registry import register
from nocere.targets.base import Access, check_scores, to_logits
from nocere.targets.preprocess import Preprocess


@register("target", "torch", source="torch.nn.Module")
class TorchTarget:
    """A torch module with its preprocessing, labels and operating threshold.

    Args:
        module: maps network input [n, C, H, W] (or whatever `input` returns) to scores; it is deep-copied, put in
            eval mode and its parameters are frozen, so that only input gradients are computed.
        decision: how scores become labels.
        input: stored values to network input; default hands stored values over unchanged.
        outputs: "logits" or "probabilities"; the latter are turned into logits for margins (scores only, since
            saturated probabilities have dead gradients; declare logits to allow gradient attacks).
        stochastic: True for a model that draws at inference; rows are then evaluated one at a time from their seeds.
        name: shown in reports.
        device: torch device; CUDA is not tested on the machine this was built on.
    """

    tiles = True

    def __init__(
        self,
        module: torch.nn.Module,
        decision: Decision,
        input: Preprocess | None = None,
        *,
        outputs: Literal["logits", "probabilities"] = "logits",
        stochastic: bool = False,
        name: str = "model",
        device: str = "cpu",
    ) -> None:
        if outputs not in ("logits", "probabilities"):
            raise TargetError(f'A torch target has outputs "logits" or "probabilities"; got {outputs!r}.')
        if not isinstance(module, torch.nn.Module):
            raise TargetError(f"A torch target needs an nn.Module; got {type(module).__name__}.")
        # A ScriptModule comes from a file and is nobody else's; its copies have parameters that are no leaves.
        own = module if isinstance(module, torch.jit.ScriptModule) else copy.deepcopy(module)
        self._module = _eval(own).to(device)
        for p in self._module.parameters():
            p.requires_grad_(False)
        self.decision = decision
        self.input = input
        self.outputs = outputs
        self.stochastic = stochastic
        self.name = name
        self._device = device
        granted: list[Access] = ["labels", "scores", *(("gradients",) if outputs == "logits" else ())]
        self.access: frozenset[Access] = frozenset(granted)
        about = {
            "module": _structure(module),
            "decision": to_json(decision),
            "input": None if input is None else input.to_json(),
            "outputs": outputs,
        }
        self.fingerprint = digest({"about": about, "weights": self._weights()})

    @property
    def module(self) -> torch.nn.Module:
        """The frozen module, for views that copy it."""
        return self._module

    def _weights(self) -> str:
        h = hashlib.sha256()
        for key, value in sorted(self._module.state_dict().items()):
            h.update(f"{key}:{value.dtype}:{tuple(value.shape)}".encode())
            h.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return h.hexdigest()

    def state(self) -> str:
        modes = [m.training for m in self._module.modules()]
        grads = [p.requires_grad for p in self._module.parameters()]
        return digest({"weights": self._weights(), "training": modes, "requires_grad": grads})

    def _forward(self, x: Any, like: Sequence[Case[Any]]) -> Any:
        try:
            z = self._module(x if self.input is None else self.input(x, like))
        except TargetError:
            raise
        except (RuntimeError, ValueError, TypeError, AssertionError) as e:
            first = str(e).strip().split("\n", 1)[0][:200]
            raise TargetError(
                f"{self.name} failed on input of shape {tuple(x.shape)}: {first}",
                "Check the declared channels, size and preprocessing.",
            ) from e
        if not isinstance(z, torch.Tensor):
            raise TargetError(f"{self.name} returned {type(z).__name__}, not a tensor of scores.")
        z = z[:, None] if z.ndim == 1 else z
        if (
            z.ndim != 2
            or z.shape[0] != x.shape[0]
            or (self.outputs == "logits" and z.shape[1] != self.decision.columns)
        ):
            check_scores(z.detach().cpu().numpy(), x.shape[0], self.decision, self.name)
        return z

    def scores(self, batch: Batch) -> NDArray[np.float64]:
        x = batch.x.to(self._device)
        with torch.inference_mode():
            if self.stochastic:
                z = torch.cat([self._drawn(x[i : i + 1], batch, i) for i in range(len(x))])
            else:
                z = self._forward(x, batch.like)
        raw = z.cpu().numpy()
        if self.outputs == "probabilities":
            raw = to_logits(raw, self.decision, self.name)
        return check_scores(raw, len(batch), self.decision, self.name)

    def _drawn(self, row: Any, batch: Batch, i: int) -> Any:
        if batch.seeds is None:
            raise TargetError(f"{self.name} draws at inference and needs a seed a row.")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(batch.seeds[i]) & (2**63 - 1))
            return self._forward(row, batch.like[i : i + 1])

    def vjp(self, batch: Batch) -> tuple[Any, Callable[[Any], Any]]:
        x = batch.x.to(self._device).detach().requires_grad_(True)
        if self.stochastic:
            z = torch.cat([self._drawn(x[i : i + 1], batch, i) for i in range(len(x))])
        else:
            z = self._forward(x, batch.like)

        def pullback(weight: Any) -> Any:
            if not z.requires_grad:
                return torch.zeros_like(x)
            (g,) = torch.autograd.grad(z, x, weight, allow_unused=True)
            return torch.zeros_like(x) if g is None else g

        return z.detach(), pullback


def _eval(module: torch.nn.Module) -> torch.nn.Module:
    try:
        return module.eval()
    except NotImplementedError:
        # torch.export modules are frozen in the mode they were exported in.
        return module


def _structure(module: torch.nn.Module) -> list[Any]:
    """Classes and plain settings of all parts, and the code of exported modules: two nets with the same weights differ.

    The Python source of a module's class is not part of it.
    """
    parts: list[Any] = []
    for name, part in module.named_modules():
        settings = {
            k: repr(v)
            for k, v in sorted(vars(part).items())
            if isinstance(v, (int, float, str, bool, tuple)) and k != "training"
        }
        parts.append([name, type(part).__qualname__, settings])
    code = getattr(module, "code", "")
    return [*parts, code if isinstance(code, str) else ""]
