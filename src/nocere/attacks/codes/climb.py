"""Searches over edits for any model that gives scores: greedy, beam, and every member of a small set.

What greedy and beam find is a lower bound on what edits can do; that they find nothing proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.base import Ask, AttackDefaults, Certificate, Job, Search
from nocere.core.candidate import Proof
from nocere.core.errors import UsageError
from nocere.core.registry import register
from nocere.targets.base import Access

CHUNK = 256  # members that are asked at once
SOURCE = "beam search over edits; Yang et al. 2020, JMLR 21(43), Greedy Attack"

Node = tuple[Any, Proof]  # a claim, and the proof of its edits


def _beam(job: Job, width: int, name: str) -> Search:
    """The `width` best claims of every depth, each depth from all single edits of those before."""
    pset: Any = job.pset
    if not hasattr(pset, "moves"):
        raise UsageError(f"{name} needs a set with single moves, which {pset.name} has not.")
    alive: dict[int, list[Node]] = {row: [(x, None)] for row, x in enumerate(job.x0)}
    for depth in range(int(job.radius.max())):
        rows, nodes = [], []
        for row, before in alive.items():
            if depth < job.radius[row]:
                near = _neighbours(job, row, before)
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
    """Every claim one edit further, once."""
    pset: Any = job.pset
    at = pset.at(float(job.radius[row]))
    found: dict[Any, Proof] = {}
    for x, proof in before:
        for y, longer in at.moves(job.cases[row], x, proof):
            found.setdefault(y, longer)
    return list(found.items())


@register("attack", "claims.greedy", source=SOURCE, access="scores", modality="claim", threat="claims.truthful")
@dataclass(frozen=True, slots=True)
class Greedy(AttackDefaults):
    """Take the best single edit, again and again: a lower bound on what edits can do."""

    name: ClassVar[str] = "claims.greedy"
    needs: ClassVar[frozenset[Access]] = frozenset({"scores"})

    def search(self, job: Job) -> Search:
        return (yield from _beam(job, 1, self.name))


@register("attack", "claims.beam", source=SOURCE, access="scores", modality="claim", threat="claims.truthful")
@dataclass(frozen=True, slots=True)
class Beam(AttackDefaults):
    """Keep the best few claims of every number of edits: a lower bound on what edits can do.

    Args:
        width: claims that are kept.
    """

    width: int = 8
    name: ClassVar[str] = "claims.beam"
    needs: ClassVar[frozenset[Access]] = frozenset({"scores"})

    def __post_init__(self) -> None:
        if self.width < 1:
            raise UsageError(f"{self.name} needs a width of at least 1; got {self.width}.")

    def search(self, job: Job) -> Search:
        return (yield from _beam(job, self.width, self.name))


@register(
    "attack", "claims.exhaustive", source="enumeration", access="scores", modality="claim", threat="claims.truthful"
)
@dataclass(frozen=True, slots=True)
class Exhaustive(AttackDefaults):
    """Every claim of the set, for any model: exact, where the budget lasts.

    Where none meets the goal, that is claimed as a certificate.
    """

    name: ClassVar[str] = "claims.exhaustive"
    needs: ClassVar[frozenset[Access]] = frozenset({"scores"})
    cohort: ClassVar[int | None] = 1

    def search(self, job: Job) -> Search:
        pset: Any = job.pset.at(float(job.radius[0]))
        if not hasattr(pset, "members"):
            raise UsageError(f"{self.name} needs a set that can list its members, which {pset.name} cannot.")
        members: Iterator[Node] = pset.members(job.cases[0])
        count, best = 0, -np.inf
        for part in _chunks(members):
            rows: NDArray[np.intp] = np.zeros(len(part), dtype=np.intp)
            answer = yield Ask([x for x, _ in part], rows, proofs=[p for _, p in part])
            if not answer.live.all():
                return []
            count, best = count + len(part), max(best, float(answer.margin.max()))
        return [Certificate(0, "exhaustive", {"members": count})] if best <= 0 else []


def _chunks(nodes: Iterator[Node]) -> Iterator[list[Node]]:
    part: list[Node] = []
    for node in nodes:
        part.append(node)
        if len(part) == CHUNK:
            yield part
            part = []
    if part:
        yield part
