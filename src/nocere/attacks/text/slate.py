"""Slate: the options of one note in a search, what each of them gains, and which sets of them promise most.

Gains of single options do not add up (scores are normalised, n-grams reach over them), so their sums only say what to
ask next; what was asked counts as it was answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.base import Job
from nocere.core.candidate import Proof
from nocere.core.errors import UsageError

Choice = tuple[int, int]  # a site, and which of its options
Chosen = tuple[Choice, ...]  # sorted, one option a site


@dataclass(slots=True, eq=False)
class Slate:
    """Options of a cohort position.

    `gains` are margins of single options over that of the note itself, in the order of `choices`; `best` is the set
    with the highest margin that was answered, and `asked` holds every set that was.
    """

    row: int
    pset: Any
    case: Any
    most: int
    choices: tuple[Choice, ...]
    gains: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    best: Chosen = ()
    margin: float = -np.inf
    asked: set[Chosen] = field(default_factory=set)

    def text(self, chosen: Chosen) -> tuple[Any, Proof]:
        """The note with a set of options, and its proof; the note itself for none."""
        return self.pset.reworded(self.case, chosen) if chosen else (self.case.x, None)

    def hear(self, chosen: Chosen, margin: float) -> bool:
        """Remember an answer; whether it is the best so far."""
        self.asked.add(chosen)
        if margin <= self.margin:
            return False
        self.best, self.margin = chosen, margin
        return True

    def promising(self, n: int) -> list[Chosen]:
        """At most n sets not asked yet, by the sum of their gains: the highest sums of all sets."""
        kept: list[list[tuple[float, Chosen]]] = [[(0.0, ())], *([] for _ in range(self.most))]
        room = n + len(self.asked)
        for site in dict.fromkeys(s for s, _ in self.choices):
            here = [(float(self.gains[k]), c) for k, c in enumerate(self.choices) if c[0] == site]
            for size in range(self.most, 0, -1):
                longer = [(v + g, (*c, choice)) for v, c in kept[size - 1] for g, choice in here]
                kept[size] = _first(room, [*kept[size], *longer])
        sets = _first(room, [entry for size in kept[1:] for entry in size])
        return [c for _, c in sets if c not in self.asked][:n]

    def near(self, n: int) -> list[Chosen]:
        """At most n sets one change away from the best one and not asked yet, by the sum of their gains."""
        gain = {c: float(g) for c, g in zip(self.choices, self.gains, strict=True)}
        now = dict(self.best)
        found: dict[Chosen, float] = {}
        for choice in self.choices:
            site, option = choice
            others = [c for c in self.best if c[0] != site]
            leave: Iterable[Choice | None] = [None] if len(others) < self.most else others
            for left in leave if now.get(site) != option else ():
                chosen = tuple(sorted((*(c for c in others if c != left), choice)))
                found[chosen] = sum(gain[c] for c in chosen)
        for left in self.best:
            fewer = tuple(c for c in self.best if c != left)
            found[fewer] = sum(gain[c] for c in fewer)
        ranked = _first(n + len(self.asked), [(v, c) for c, v in found.items() if c])
        return [c for _, c in ranked if c not in self.asked][:n]


def _first(n: int, sets: list[tuple[float, Chosen]]) -> list[tuple[float, Chosen]]:
    # Rounded: equal sums must not be ordered by float noise.
    return sorted(sets, key=lambda e: (-round(e[0], 9), e[1]))[:n]


def slates(job: Job, name: str) -> dict[int, Slate]:
    """A slate for every cohort position that has options.

    Raises:
        UsageError: the set has no sites.
    """
    if not hasattr(job.pset, "reworded"):
        raise UsageError(f"{name} needs a set of wordings with sites, which {job.pset.name} is not.")
    made = {}
    for row, case in enumerate(job.cases):
        pset: Any = job.pset.at(float(job.radius[row]))
        choices = tuple((s, k) for s, site in enumerate(pset.options(case)) for k in range(len(site.options)))
        if choices:
            made[row] = Slate(row, pset, case, min(int(pset.radius), choices[-1][0] + 1), choices)
    return made


def rows_of(wanted: Sequence[tuple[Slate, Chosen]]) -> tuple[list[Any], NDArray[np.intp], list[Proof]]:
    """Contents, cohort positions and proofs of an ask."""
    made = [slate.text(chosen) for slate, chosen in wanted]
    return [x for x, _ in made], np.array([s.row for s, _ in wanted], dtype=np.intp), [p for _, p in made]
