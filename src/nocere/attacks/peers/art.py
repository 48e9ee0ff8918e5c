"""Attacks of the Adversarial Robustness Toolbox."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, ClassVar

from nocere.attacks.peers.peer import PeerAttack
from nocere.core.errors import UsageError
from nocere.core.registry import register

STEP = 0.25  # of the radius, where no step is given: the library's own default is made for radii of 0.3


@register(
    "attack", "peer.art", source="Nicolae et al. 2018, arXiv:1807.01069", access="as declared", threat="image.linf"
)
@dataclass(frozen=True, slots=True)
class ArtAttack(PeerAttack):
    """An evasion attack of ART, by its name in `art.attacks.evasion` or as an object; gets radius, step and norm."""

    attack: Any = "ProjectedGradientDescent"
    name: ClassVar[str] = "peer.art"
    library: ClassVar[str] = "art"
    package: ClassVar[str] = "adversarial-robustness-toolbox"

    def check(self) -> None:
        kind = self._kind()
        odd = sorted(set(self.args) - set(kind.attack_params))
        if odd:
            raise UsageError(
                f"{self.name}: {kind.__name__} has no argument {odd[0]!r}; it has {', '.join(kind.attack_params)}."
            )

    def _kind(self) -> Any:
        from art.attacks import EvasionAttack, evasion

        kind = getattr(evasion, self.attack, None) if isinstance(self.attack, str) else type(self.attack)
        if not isinstance(kind, type) or not issubclass(kind, EvasionAttack):
            raise UsageError(f"{self.name}: art.attacks.evasion has no attack {self.attack!r}.")
        return kind

    def run(self, model: Any, x: Any, y: Any, radius: float, norm: float, classes: int) -> Any:
        import torch
        from art.estimators.classification import PyTorchClassifier

        estimator = PyTorchClassifier(
            model, torch.nn.CrossEntropyLoss(), tuple(x.shape[1:]), classes, clip_values=(0.0, 1.0), device_type="cpu"
        )
        kind = self._kind()
        if isinstance(self.attack, str):
            given = dict(self.args)
        else:
            given = {k: copy.copy(getattr(self.attack, k)) for k in kind.attack_params if hasattr(self.attack, k)}
            given = {k: v for k, v in given.items() if k not in ("eps", "norm")}  # the set decides
        ours = {"eps": radius, "eps_step": STEP * radius, "norm": norm, "verbose": False}
        takes = {k: v for k, v in ours.items() if k in kind.attack_params}
        made = kind(estimator, **takes | given)
        return made.generate(x=x.numpy(), y=y.numpy())
