"""Attacks of adv-lib (Adversarial Library)."""

from __future__ import annotations

import importlib
import inspect
import sys
import types
from dataclasses import dataclass
from typing import Any, ClassVar

from nocere.attacks.peers.peer import PeerAttack
from nocere.core.errors import UsageError
from nocere.core.registry import register

EPS = ("eps", "ε")


@register(
    "attack",
    "peer.adv_lib",
    source="github.com/jeromerony/adversarial-library",
    access="as declared",
    threat="image.linf",
)
@dataclass(frozen=True, slots=True)
class AdvLibAttack(PeerAttack):
    """A function of adv-lib, by its name in `adv_lib.attacks` or itself; gets radius and norm where it takes them."""

    attack: Any = "pgd_linf"
    name: ClassVar[str] = "peer.adv_lib"
    library: ClassVar[str] = "adv_lib"
    package: ClassVar[str] = "adv-lib"

    def check(self) -> None:
        takes = inspect.signature(self._function()).parameters
        odd = sorted(set(self.args) - set(takes))
        if odd:
            raise UsageError(f"{self.name}: {self.attack} has no argument {odd[0]!r}; it has {', '.join(takes)}.")

    def _function(self) -> Any:
        if not isinstance(self.attack, str):
            return self.attack
        made = getattr(_attacks(), self.attack, None)
        if not inspect.isfunction(made):
            raise UsageError(f"{self.name}: adv_lib.attacks has no attack {self.attack!r}.")
        return made

    def run(self, model: Any, x: Any, y: Any, radius: float, norm: float, classes: int) -> Any:
        function = self._function()
        ours = {**dict.fromkeys(EPS, radius), "norm": norm}
        takes = inspect.signature(function).parameters
        fixed = getattr(function, "keywords", {})  # of functools.partial
        made = {k: v for k, v in ours.items() if k in takes and k not in fixed}
        return function(model, x, y, **made | dict(self.args))


def _attacks() -> Any:
    """The package of attacks.

    What it imports for plots and for a distance by a network, and no attack here uses, need not be installed.
    """
    absent = [name for name in ("visdom", "torchvision") if not _importable(name)]
    for name in absent:
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].models = None  # type: ignore[attr-defined]
    try:
        return importlib.import_module("adv_lib.attacks")
    finally:
        for name in absent:
            del sys.modules[name]


def _importable(name: str) -> bool:
    try:
        importlib.import_module(name)
    except (ImportError, RuntimeError):  # the latter: operators compiled for another torch
        return False
    return True
