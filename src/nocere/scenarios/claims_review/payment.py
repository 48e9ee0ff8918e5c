"""The dearest claim that a model lets pass: payment against score over a set of edits.

Every claim of the set is grouped, paid and scored, so the result is exact. What an optimiser would choose is the one
that pays most among those with the decision it wants; the front shows what each step towards the line costs it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nocere.cases.claim import Claim
from nocere.core.batch import Batch
from nocere.core.case import Case
from nocere.core.errors import UsageError
from nocere.targets.base import Target, margins
from nocere.threats.codes.edit import Edit
from nocere.threats.codes.sets import CodeEdits, edits_of

MOST = 200_000
Pays = Callable[[Claim], float]


@dataclass(frozen=True, slots=True)
class Point:
    """A claim of the set: what it pays, its margin to the wanted decision (above 0: it passes), and its edits."""

    usd: float
    margin: float
    edits: tuple[Edit, ...]


@dataclass(frozen=True, slots=True)
class Dearest:
    """What edits are worth to the provider of one claim.

    Args:
        before: the claim as it is.
        best: the dearest claim of the set that passes; None where none passes.
        front: claims that no other one beats in payment and margin, dearest first.
        members: how many claims were looked at.
    """

    before: Point
    best: Point | None
    front: tuple[Point, ...]
    members: int

    @property
    def gain(self) -> float:
        """US dollars over what is paid now: nothing, where the claim does not pass as it is."""
        now = self.before.usd if self.before.margin > 0 else 0.0
        return 0.0 if self.best is None else max(0.0, self.best.usd - now)


def dearest(case: Case[Claim], pset: CodeEdits, target: Target, wanted: str, pays: Pays) -> Dearest:
    """Pay and score every claim of a set.

    Args:
        case: the claim.
        pset: at most so many edits of which kinds.
        target: the model that lets claims pass.
        wanted: its label for that.
        pays: US dollars of a claim (`DrgPayment().usd`, `RiskPayment().usd`).

    Raises:
        UsageError: a label that the target does not have, or a set of more than MOST claims.
    """
    if wanted not in target.decision.labels:
        raise UsageError(f"{target.name} has no label {wanted!r}.", f"Labels: {', '.join(target.decision.labels)}.")
    claims: list[Claim] = [case.x]
    edits: list[tuple[Edit, ...]] = [()]
    for x, proof in pset.members(case):
        claims.append(x)
        edits.append(edits_of(proof))
        if len(claims) > MOST:
            raise UsageError(f"{case.id}: more than {MOST} sets of {pset.radius:g} edits.", "Allow fewer edits.")
    k = target.decision.labels.index(wanted)
    margin = margins(target, Batch(claims, (case,) * len(claims)))[0][:, k]
    usd = np.array([pays(c) for c in claims])
    points = [Point(float(u), float(m), e) for u, m, e in zip(usd, margin, edits, strict=True)]
    passing = [p for p in points if p.margin > 0]
    best = min(passing, key=lambda p: (-p.usd, len(p.edits), -p.margin), default=None)
    return Dearest(points[0], best, pareto(points), len(points) - 1)


def pareto(points: list[Point]) -> tuple[Point, ...]:
    """Points that no other one beats in both payment and margin, dearest first; of equal ones the fewest edits."""
    kept: list[Point] = []
    for p in sorted(points, key=lambda p: (-p.usd, -p.margin, len(p.edits))):
        if not kept or p.margin > kept[-1].margin:
            kept.append(p)
    return tuple(kept)
