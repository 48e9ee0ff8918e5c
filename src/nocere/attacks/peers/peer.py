"""An attack object of another library as an attack of a cell.

The library sees a torch module on values in 0 to 1 whose largest output is the asserted class, and knows no target:
each of its calls is metered, everything inside of the set that meets the goal goes to the referee, and what the library
itself calls a success counts for nothing. Cases come one at a time, so that every row belongs to a known case.
"""

from __future__ import annotations

import random
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from typing import Any, ClassVar, Literal

import numpy as np

from nocere.attacks.base import Ask, Job, Search, Spent
from nocere.core.canonical import Json
from nocere.core.decision import Softmax
from nocere.core.errors import AttackFaultError, PrerequisiteError, UsageError
from nocere.core.units import Unit
from nocere.targets.base import Access
from nocere.threats.base import Projects

# Norms by the unit that a set measures changes in.
NORMS = {
    Unit.GREY_LEVELS: float("inf"),
    Unit.COUNTS: float("inf"),
    Unit.L2_GREY_LEVELS: 2.0,
    Unit.L1_GREY_LEVELS: 1.0,
    Unit.CHANGED_PIXELS: 0.0,
}


class _Needs:
    """`needs` of an attack by its `access`; of the class itself by that argument's default."""

    def __get__(self, attack: PeerAttack | None, kind: type[PeerAttack]) -> frozenset[Access]:
        return frozenset({"gradients" if attack is None else attack.access})


@dataclass(frozen=True, slots=True)
class PeerAttack:
    """An attack of another library.

    Args:
        attack: its name in that library, or the attack object.
        args: what it is made with, where `attack` is a name.
        access: what it asks for: "gradients", "scores", or "labels" (it then hears which class is asserted, no more).
        minimal: it looks for the smallest change, from far away (see `Attack.minimal`).
    """

    attack: Any
    args: Mapping[str, Any] = field(default_factory=dict)
    access: Literal["gradients", "scores", "labels"] = "gradients"
    minimal: bool = False
    needs: ClassVar[_Needs] = _Needs()
    name: ClassVar[str]
    library: ClassVar[str]
    package: ClassVar[str]  # on PyPI
    scope: ClassVar[Literal["case", "group"]] = "case"
    cohort: ClassVar[int | None] = 1

    @staticmethod
    def of(attack: Any, **about: Any) -> PeerAttack:
        """The attack object of ART or Foolbox, or the function of adv-lib (or a partial of it), wrapped by what fits.

        Raises:
            UsageError: it is of none of them.
        """
        from nocere.attacks.peers.adv_lib import AdvLibAttack
        from nocere.attacks.peers.art import ArtAttack
        from nocere.attacks.peers.foolbox import FoolboxAttack

        made = attack.func if isinstance(attack, partial) else attack
        kinds = (made, *type(made).__mro__)
        roots = {str(getattr(k, "__module__", "")).partition(".")[0] for k in kinds}
        for kind in (ArtAttack, FoolboxAttack, AdvLibAttack):
            if kind.library in roots:
                return kind(attack, **about)
        raise UsageError(f"{attack!r} is no attack of ART, Foolbox or adv-lib.")

    def __post_init__(self) -> None:
        if find_spec(self.library) is None:
            raise PrerequisiteError(f"{self.name} needs the package {self.package}.", f"pip install {self.package}")
        if self.access not in ("gradients", "scores", "labels"):
            raise UsageError(f'{self.name}: access is "gradients", "scores" or "labels"; got {self.access!r}.')
        if self.args and not isinstance(self.attack, str):
            raise UsageError(f"{self.name}: an attack object has its arguments already.", "Leave args out.")
        with quiet():
            self.check()

    def to_json(self) -> Mapping[str, Json]:
        """Plain form; an object by what it says of itself."""
        said = self.attack if isinstance(self.attack, str) else re.sub(r" at 0x[0-9a-f]+", "", repr(self.attack))
        made: dict[str, Json] = {
            "attack": said,
            "args": dict(self.args),
            "access": self.access,
            "minimal": self.minimal,
        }
        return {"name": self.name, **made}

    def check(self) -> None:
        """Refuse a name or arguments that the library does not have."""
        raise NotImplementedError

    def run(self, model: Any, x: Any, y: Any, radius: float, norm: float, classes: int) -> Any:
        """What the library makes of rows in 0 to 1.

        Args:
            model: torch module; the row with the largest output is asserted.
            x: rows [1, ...].
            y: their class [1].
            radius: of the set, in the same scale as `x`; a number of pixels where `norm` is 0.
            norm: of the set: infinity, 2, 1 or 0.
            classes: outputs of the model.
        """
        raise NotImplementedError

    def search(self, job: Job) -> Search:
        import torch

        pset = job.pset
        if not isinstance(pset, Projects) or pset.unit not in NORMS:
            raise UsageError(f"{self.name} cannot search {pset.name}: other libraries know norms of stored values.")
        low, high = pset.span
        scale = high - low
        model, y, classes = self._model(job, low, scale)
        norm = NORMS[pset.unit]
        radius = float(job.radius[0]) / (scale if norm else 1.0)
        try:
            with quiet(), seeded(int(job.rng.integers([0], 0, 2**31 - 1, ())[0])):
                made = self.run(model, (job.x0 - low) / scale, y, radius, norm, classes)
        except Spent:
            return []
        made = torch.as_tensor(made, dtype=job.x0.dtype).detach()
        if made.shape != job.x0.shape or not bool(made.isfinite().all()):
            raise AttackFaultError(f"{self.name} returned no finite values of the form that it was given")
        # What it hands back need not be what it evaluated last.
        yield Ask(pset.project(made * scale + low, job.x0, job.radius))
        return []

    def _model(self, job: Job, low: float, scale: float) -> tuple[Any, Any, int]:
        """The model that the library sees, the class of the case, and the number of classes.

        A softmax whose goal is any other label shows its own scores. Everything else has two classes: the goal not met
        (0), and met (its margin), so that thresholds, directions and findings are attacked as they are decided.
        """
        import torch

        from nocere.targets.module import AskedModule

        direct, lit, decision = job.direct, job.literals, job.decision
        assert direct is not None
        free = np.flatnonzero(lit.weight[0] == 0)
        plain = (
            isinstance(decision, Softmax) and self.access != "labels" and job.goal.combine == "any"
            and not lit.offset.any() and len(free) == 1 and bool((lit.weight[0] >= 0).all())
        )  # fmt: skip

        def ask(x: Any, grad: bool) -> tuple[Any, Any]:
            heard = direct(x, np.zeros(len(x), dtype=np.intp), grad and self.access == "gradients")
            if self.access == "labels":
                return torch.from_numpy(np.where(heard.margins > 0, 1.0, -1.0)), _no_way_back
            if heard.scores is None:
                raise AttackFaultError("asked for scores without that access")
            return heard.scores, heard.pullback or _no_way_back

        inner = AskedModule(ask)
        rows = job.literals.take

        class Seen(torch.nn.Module):
            """Stored values from 0 to 1, scores to classes."""

            def forward(self, x: Any) -> Any:
                scores = inner(x * scale + low)
                if plain:
                    return scores
                margins = scores if labels else decision.margins(scores)
                m = job.goal.margin(rows(np.zeros(len(x), dtype=np.intp)), margins)
                return torch.stack([torch.zeros_like(m), m], dim=1)

        labels = self.access == "labels"
        y = torch.tensor([int(free[0]) if plain else 0])
        return Seen().eval(), y, decision.columns if plain else 2


def _no_way_back(_: Any) -> Any:
    raise AttackFaultError("asked for gradients without that access")


def quiet() -> Any:
    """No warnings, which these libraries give on import and at work."""
    return warnings.catch_warnings(action="ignore")


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random numbers of libraries that use the global generators, from a seed; these are left as they were."""
    import torch

    kept, numpys = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(kept)
            np.random.set_state(numpys)
