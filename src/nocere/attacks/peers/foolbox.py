"""Attacks of Foolbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from nocere.attacks.peers.peer import PeerAttack
from nocere.core.errors import UsageError
from nocere.core.registry import register


@register(
    "attack",
    "peer.foolbox",
    source="Rauber et al. 2020, doi:10.21105/joss.02607",
    access="as declared",
    threat="image.linf",
)
@dataclass(frozen=True, slots=True)
class FoolboxAttack(PeerAttack):
    """An attack of Foolbox, by its name in `foolbox.attacks` or as an object."""

    attack: Any = "LinfPGD"
    name: ClassVar[str] = "peer.foolbox"
    library: ClassVar[str] = "foolbox"
    package: ClassVar[str] = "foolbox"

    def check(self) -> None:
        self._made()

    def _made(self) -> Any:
        import foolbox
        from foolbox.attacks.base import Attack

        if not isinstance(self.attack, str):
            return self.attack
        kind = getattr(foolbox.attacks, self.attack, None)
        if not isinstance(kind, type) or not issubclass(kind, Attack):
            raise UsageError(f"{self.name}: foolbox.attacks has no attack {self.attack!r}.")
        try:
            return kind(**self.args)
        except TypeError as e:
            raise UsageError(f"{self.name}: {self.attack}: {e}.") from e

    def run(self, model: Any, x: Any, y: Any, radius: float, norm: float, classes: int) -> Any:
        from foolbox.models.pytorch import PyTorchModel

        seen = PyTorchModel(model, bounds=(0.0, 1.0), device="cpu")
        return self._made()(seen, x, y, epsilons=None if self.minimal else radius)[1]
