"""Climbing by single moves, for sets of notes that are not made of sites: orders, insertions, contradictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nocere.attacks.base import Ask, AttackDefaults, Job, Search
from nocere.core.candidate import Proof
from nocere.core.errors import UsageError
from nocere.core.registry import register
from nocere.targets.base import Access

Node = tuple[Any, Proof]


def by_moves(job: Job, width: int, name: str, most: int | None = None) -> Search:
    """The `width` best notes of every depth, each depth from single moves of those before.

    Args:
        job: the work.
        width: notes that are kept.
        name: of the attack, for errors.
        most: neighbours that are asked a note and depth; where there are more, a draw keyed by the case.
    """
    if not hasattr(job.pset, "moves"):
        raise UsageError(f"{name} needs a set with single moves, which {job.pset.name} has not.")
    alive: dict[int, list[Node]] = {row: [(x, None)] for row, x in enumerate(job.x0)}
    for depth in range(int(job.radius.max())):
        rows: list[int] = []
        nodes: list[Node] = []
        for row, before in alive.items():
            near = _neighbours(job, row, before) if depth < job.radius[row] else []
            if most is not None and len(near) > most:
                order = np.argsort(job.rng.uniform([row], (len(near),))[0], kind="stable")
                near = [near[i] for i in sorted(order[:most])]
            rows += [row] * len(near)
            nodes += near
        if not nodes:
            break
        owner = np.array(rows, dtype=np.intp)
        answer = yield Ask([x for x, _ in nodes], owner, proofs=[p for _, p in nodes])
        alive = {}
        for row in dict.fromkeys(rows):
            mine = np.flatnonzero((owner == row) & answer.live)
            best = mine[np.argsort(-answer.margin[mine], kind="stable")[:width]]
            if best.size:
                alive[row] = [nodes[k] for k in best]
    return []


def _neighbours(job: Job, row: int, before: list[Node]) -> list[Node]:
    """Every note one move further, once."""
    pset: Any = job.pset
    at = pset.at(float(job.radius[row]))
    found: dict[Any, Proof] = {}
    for x, proof in before:
        for y, longer in at.moves(job.cases[row], x, proof):
            found.setdefault(y, longer)
    return list(found.items())


@register(
    "attack", "notes.reorder", source="hill climbing over exchanges of two sentences", access="scores",
    modality="note", threat="notes.reorder",
)  # fmt: skip
@dataclass(frozen=True, slots=True)
class Reorder(AttackDefaults):
    """Let two sentences change places, the best pair of many, again and again.

    Args:
        pairs: exchanges that are asked at a time.
    """

    pairs: int = 64
    name: ClassVar[str] = "notes.reorder"
    needs: ClassVar[frozenset[Access]] = frozenset({"scores"})

    def __post_init__(self) -> None:
        if self.pairs < 1:
            raise UsageError(f"{self.name} needs at least one pair; got {self.pairs}.")

    def search(self, job: Job) -> Search:
        return (yield from by_moves(job, 1, self.name, self.pairs))
