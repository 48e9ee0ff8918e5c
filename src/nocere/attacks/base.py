"""The whole contract of an attack.

An attack is a generator over a cohort of cases. It yields what it wants to ask (`Ask`), propose (`Propose`) or apply to
every case (`Share`), and hears margins (`Answer`). It holds no target, no counter, no file and no success flag.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.losses import Loss
from nocere.core.candidate import Proof
from nocere.core.canonical import Json
from nocere.core.case import Case
from nocere.core.decision import Decision
from nocere.core.goal import Goal, Literals
from nocere.core.rng import RowRng
from nocere.targets.base import Access
from nocere.threats.base import PerturbationSet


@dataclass(slots=True)
class Ask:
    """Evaluate rows. `rows[i]` is the cohort position behind row i (repeats are draws or substitutions).

    With `grad`, the answer carries the gradient of `loss` (see `losses`), towards one label a row (`towards`, -1 for
    any) where that is given.
    """

    x: Any
    rows: NDArray[np.intp] | None = None
    grad: bool = False
    proofs: Sequence[Proof] | None = None
    loss: Loss = "margin"
    towards: NDArray[np.intp] | None = None


@dataclass(slots=True)
class Propose:
    """Hand rows to the referee without evaluating them first (exact searches, minimal ones)."""

    x: Any
    rows: NDArray[np.intp] | None = None
    proofs: Sequence[Proof] | None = None


@dataclass(slots=True)
class Share:
    """One change for all: the engine applies it to every case, held-out ones too (`Shifts.shift`)."""

    delta: Any


@dataclass(slots=True)
class Answer:
    """Goal margins (> 0: goal met), gradients of the loss, which rows were evaluated at all, and their losses.

    Rows of decided or spent cases have margin, loss and gradient 0 and `live` False, and are not charged. Without
    gradients the loss is the margin.
    """

    margin: NDArray[np.float64]
    grad: Any
    live: NDArray[np.bool_]
    loss: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Certificate:
    """A claim of an exact search about one cohort position; `CHECKERS[kind]` of the audit decides what it is worth."""

    row: int
    kind: str
    data: Mapping[str, Json]


@dataclass(slots=True)
class Heard:
    """What a library hears that calls the model itself (`Job.direct`).

    Margins of the decision [n, labels] and scores [n, columns] (a torch tensor; None for access to labels), all 0 where
    `live` is False; `pullback` takes d loss / d scores to d loss / d x, and only exists where gradients were asked for.
    """

    margins: NDArray[np.float64]
    scores: Any
    live: NDArray[np.bool_]
    pullback: Callable[[Any], Any] | None


class Spent(BaseException):
    """Ends a search through `Job.direct`: every case of the cohort is decided, or has nothing left to spend.

    No Exception, so that libraries that catch these let it through.
    """


class Stopped(BaseException):
    """Carries the error of a target (its cause) out through a library's code."""


class Direct(Protocol):
    """Evaluates rows at once, for libraries that call the model themselves; metered and judged like an ask."""

    def __call__(self, x: Any, rows: NDArray[np.intp] | None = None, grad: bool = False) -> Heard:
        """Raises Spent where nothing was, or will be, answered."""
        ...


Search: TypeAlias = Generator[Ask | Propose | Share, Answer, Sequence[Certificate]]


@dataclass(slots=True)
class Job:
    """What an attack gets: copies of contents, rules, randomness, and how much may still be spent.

    `decision`, `goal` and `literals` (a row a case) say what a success is; with `structure` that is all an exact
    search needs. `direct` is for libraries that call the model themselves.
    """

    cases: tuple[Case[Any], ...]
    x0: Any
    radius: NDArray[np.float64]
    pset: PerturbationSet
    rng: RowRng
    fit: NDArray[np.bool_]
    left: Callable[[int], int]
    decision: Decision
    goal: Goal
    literals: Literals
    structure: Any = None
    direct: Direct | None = None


class Attack(Protocol):
    """A frozen dataclass of parameters with one generator.

    `needs`: access it cannot do without. `scope`: "case" attacks treat cohort positions alone, "group" attacks see all
    cases at once (universal ones). `cohort`: largest cohort, or None. `minimal`: looks for the smallest cost itself:
    under aim "closest" it runs once, at the largest radius, is not stopped by its first success, and its cheapest
    ask that met the goal goes to the referee.
    """

    name: ClassVar[str]
    scope: ClassVar[Literal["case", "group"]]
    cohort: ClassVar[int | None]

    @property
    def needs(self) -> frozenset[Access]: ...
    @property
    def minimal(self) -> bool: ...
    def search(self, job: Job) -> Search: ...


class AttackDefaults:
    """Defaults for the class variables of most attacks."""

    needs: ClassVar[frozenset[Access]] = frozenset()
    scope: ClassVar[Literal["case", "group"]] = "case"
    cohort: ClassVar[int | None] = None
    minimal: ClassVar[bool] = False


def attack_json(attack: Any) -> dict[str, Any]:
    """Name and parameters of an attack, for plans and keys."""
    if hasattr(attack, "to_json"):
        return dict(attack.to_json())
    return {"name": attack.name, **(asdict(attack) if fields(attack) else {})}
