"""Searches over wordings for any model that gives scores: all single options at once, then sets of them.

What they find is a lower bound on what wording can do; that they find nothing proves nothing.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nocere.attacks.base import Answer, Ask, AttackDefaults, Job, Search
from nocere.attacks.text.slate import Chosen, Slate, rows_of, slates
from nocere.attacks.text.steps import by_moves
from nocere.core.errors import UsageError
from nocere.core.registry import register
from nocere.targets.base import Access

GREEDY = "greedy over single swaps: Yang et al. 2020, JMLR 21(43), Greedy Attack; here all swaps in one batch"
Asking = Generator[Ask, Answer, dict[int, Slate]]


def singles(alive: dict[int, Slate]) -> Asking:
    """Ask every note as it is and with every single option; the notes that are still open, with their gains."""
    wanted: list[tuple[Slate, Chosen]] = [(s, c) for s in alive.values() for c in ((), *((k,) for k in s.choices))]
    answer = yield from _asked(wanted)
    at, open_ = 0, {}
    for row, s in alive.items():
        mine = slice(at, at + 1 + len(s.choices))
        at = mine.stop
        if answer.live[mine].all():
            s.gains = answer.margin[mine][1:] - answer.margin[mine][0]
            s.asked.add(())
            for k, choice in enumerate(s.choices):
                s.hear((choice,), float(answer.margin[mine][1 + k]))
            open_[row] = s
    return open_


def _asked(wanted: list[tuple[Slate, Chosen]]) -> Generator[Ask, Answer, Answer]:
    x, rows, proofs = rows_of(wanted)
    return (yield Ask(x, rows, proofs=proofs))


def measured(alive: dict[int, Slate], sets: dict[int, list[Chosen]]) -> Generator[Ask, Answer, dict[int, bool]]:
    """Ask sets of options; the notes that are still open, and whether one of their sets is the best so far."""
    wanted = [(alive[row], c) for row, some in sets.items() for c in some]
    if not wanted:
        return {}
    answer = yield from _asked(wanted)
    better: dict[int, bool] = {}
    for k, (s, chosen) in enumerate(wanted):
        if answer.live[k]:
            better[s.row] = s.hear(chosen, float(answer.margin[k])) or better.get(s.row, False)
    return better


@register("attack", "notes.greedy", source=GREEDY, access="scores", modality="note", threat="notes.same_concept")
@dataclass(frozen=True, slots=True)
class Greedy(AttackDefaults):
    """Ask all single wordings of many notes at once, then the sets that promise most, then what is near the best.

    A set of another form than wordings (orders, insertions, contradictions) is climbed step by step.

    Args:
        few: sets that are asked at a time.
        rounds: most times.
    """

    few: int = 6
    rounds: int = 4
    name: ClassVar[str] = "notes.greedy"
    needs: ClassVar[frozenset[Access]] = frozenset({"scores"})

    def __post_init__(self) -> None:
        if min(self.few, self.rounds) < 1:
            raise UsageError(f"{self.name} needs at least one set and one round; got {self.few} and {self.rounds}.")

    def search(self, job: Job) -> Search:
        if not hasattr(job.pset, "reworded"):
            return (yield from by_moves(job, 1, self.name))
        alive = yield from singles(slates(job, self.name))
        sets = {row: s.promising(self.few) for row, s in alive.items()}
        for _ in range(self.rounds):
            better = yield from measured(alive, sets)
            sets = {row: alive[row].near(self.few) for row, gained in better.items() if gained}
        return []


@register(
    "attack", "notes.beam", source="beam search over swaps", access="scores", modality="note",
    threat="notes.same_concept",
)  # fmt: skip
@dataclass(frozen=True, slots=True)
class Beam(AttackDefaults):
    """Keep the best few notes of every number of edits, each asked with the options that gain most alone.

    Args:
        width: notes that are kept.
        branch: further options that each of them is asked with.
    """

    width: int = 4
    branch: int = 8
    name: ClassVar[str] = "notes.beam"
    needs: ClassVar[frozenset[Access]] = frozenset({"scores"})

    def __post_init__(self) -> None:
        if min(self.width, self.branch) < 1:
            raise UsageError(f"{self.name} needs a width and a branch of at least 1; got {self.width}, {self.branch}.")

    def search(self, job: Job) -> Search:
        if not hasattr(job.pset, "reworded"):
            return (yield from by_moves(job, self.width, self.name))
        alive = yield from singles(slates(job, self.name))
        kept = {row: self._best({(c,): s.gains[k] for k, c in enumerate(s.choices)}) for row, s in alive.items()}
        for depth in range(1, int(job.radius.max())):
            wanted = [
                (alive[row], longer)
                for row, sets in kept.items()
                if depth < alive[row].most
                for longer in dict.fromkeys(c for chosen in sets for c in self._longer(alive[row], chosen))
            ]
            if not wanted:
                break
            answer = yield from _asked(wanted)
            heard: dict[int, dict[Chosen, Any]] = {}
            for k in np.flatnonzero(answer.live):
                s, chosen = wanted[k]
                heard.setdefault(s.row, {})[chosen] = answer.margin[k]
            kept = {row: self._best(margins) for row, margins in heard.items()}
        return []

    def _best(self, margins: dict[Chosen, Any]) -> list[Chosen]:
        return sorted(margins, key=lambda c: (-round(float(margins[c]), 9), c))[: self.width]

    def _longer(self, s: Slate, chosen: Chosen) -> list[Chosen]:
        taken = {site for site, _ in chosen}
        free = [k for k, c in enumerate(s.choices) if c[0] not in taken]
        first = sorted(free, key=lambda k: (-round(float(s.gains[k]), 9), k))[: self.branch]
        return [tuple(sorted((*chosen, s.choices[k]))) for k in first]
