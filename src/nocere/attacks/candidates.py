"""From asks to candidates: which of them may be a success, and when the referee is asked about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.base import Answer, Ask, Propose, Share
from nocere.attacks.cell import Cell, Cohort
from nocere.attacks.item import Item
from nocere.core.arrays import is_torch
from nocere.core.budget import Meter
from nocere.core.candidate import Candidate, Judge
from nocere.core.errors import AttackFaultError
from nocere.threats.base import Projects, Shifts, fitted


class Candidates:
    """Watches the asks of a cell, and is its only way to the judge."""

    def __init__(self, cell: Cell, judge: Judge, meter: Meter, fit: frozenset[str]) -> None:
        self.cell, self.judge, self.meter, self.fit = cell, judge, meter, fit
        self.stops = cell.aim in ("flip", "closest")  # a confirmed success ends the search of that case

    def watch(self, cohort: Cohort, x: Any, rows: NDArray[np.intp], margin: NDArray[np.float64]) -> list[Item]:
        """Remember the best ask inside the set of every case; the cases that have a new success to be judged.

        Args:
            cohort: whose turn this is.
            x: the rows that were evaluated.
            rows: the cohort position behind each of them.
            margin: goal margins.
        """
        pset = fitted(self.cell.threat.pset, cohort.items[0].case)
        ask = cohort.turn
        assert isinstance(ask, Ask)
        inside = np.ones(len(rows), dtype=bool)
        x0 = cohort.job.x0[rows] if isinstance(pset, Projects) else None
        if isinstance(pset, Projects):
            inside = pset.inside(x, x0, cohort.job.radius[rows])
        asked_rows = np.arange(len(cohort.items)) if ask.rows is None else np.asarray(ask.rows)
        # Rows that were not granted are gone from `rows`; find each one's place among the asked ones again.
        place = _places(asked_rows, rows)
        minimises = self.cell.minimises(cohort.attack)
        costs = pset.distance(x, x0) if minimises and isinstance(pset, Projects) else None
        fresh: list[Item] = []
        for k in np.flatnonzero(inside):
            item, m = cohort.items[int(rows[k])], float(margin[k])
            if item.decided:
                continue
            if self.cell.aim == "sample":
                item.drawn.append(m)
            if m > 0:
                item.crossed = True
            item.high = max(item.high, m)
            proof = None if ask.proofs is None else ask.proofs[place[k]]
            if costs is not None and m > 0:
                if item.nearer(float(costs[k]), m) and item.moved(x[k], pset):
                    item.near(float(costs[k]), m, x[k].clone(), proof)
            elif (item.best is None or m > item.best) and item.moved(x[k], pset):
                item.better(m, x[k].clone() if is_torch(x) else x[k], proof)
                if m > 0 and self.stops and not minimises:
                    fresh.append(item)
        if "gradients" in cohort.attack.needs:
            for item in (cohort.items[int(r)] for r in np.unique(rows[inside])):
                item.highs += [item.high] if np.isfinite(item.high) else []
        return list(dict.fromkeys(fresh))

    def visit(self, items: Sequence[Item]) -> None:
        """Judge the best ask of each item; a confirmed one is decided unless the aim wants the worst.

        Fit cases are looked at, never judged: they stay to be fitted on.
        """
        items = [i for i in items if i.case.id not in self.fit]
        if not items:
            return
        findings = self.judge.judge([i.candidate(fitted(self.cell.threat.pset, i.case)) for i in items])
        for item, finding in zip(items, findings, strict=True):
            item.judged(finding)
            if finding.ok and self.stops:
                item.decided = True

    def settle(self, items: Sequence[Item]) -> None:
        """What a minimal search found, cheapest first, until one is confirmed."""
        left = [i for i in items if not i.decided and i.nearest]
        while left:
            for item in left:
                item.take_nearest()
            self.visit(left)
            left = [i for i in left if not i.decided and i.nearest]

    def proposed(self, cohort: Cohort, turn: Propose) -> Answer:
        """Judge what an attack proposes; it hears the margin that the referee saw."""
        rows = cohort.rows(turn)
        margin, live = np.zeros(len(rows)), np.zeros(len(rows), dtype=bool)
        for k, r in enumerate(rows):
            item = cohort.items[int(r)]
            if item.decided or item.visits >= self.meter.budget.confirms:
                continue
            proof = None if turn.proofs is None else turn.proofs[k]
            content = turn.x[k]
            stored = item.storable(content, fitted(self.cell.threat.pset, item.case)) if is_torch(content) else content
            finding = self.judge.judge([Candidate(item.case.id, stored, item.radius, proof)])[0]
            item.judged(finding)
            item.crossed |= finding.margin > 0
            item.decided = finding.ok and self.stops
            margin[k], live[k] = finding.margin, not item.decided
        return Answer(margin, None, live, margin)

    def shared(self, cohort: Cohort, turn: Share) -> Answer:
        """One change applied to every held-out case and judged there.

        Raises:
            AttackFaultError: this set has no change that serves many cases.
        """
        pset = self.cell.threat.pset
        if not isinstance(pset, Shifts):
            raise AttackFaultError(f"{cohort.attack.name} shares one change, which {pset.name} cannot apply.")
        held_out = [i for i in cohort.items if i.case.id not in self.fit and not i.decided]
        at: Any = pset
        shifted = [fitted(at, i.case).at(i.radius).shift(i.case, turn.delta) for i in held_out]
        findings = self.judge.judge(
            [Candidate(i.case.id, x, i.radius, p) for i, (x, p) in zip(held_out, shifted, strict=True)]
        )
        for item, finding in zip(held_out, findings, strict=True):
            item.judged(finding)
            item.crossed |= finding.margin > 0
            item.decided = finding.ok and self.stops
        nothing = np.zeros(len(cohort.items))
        return Answer(nothing, None, cohort.job.fit.copy(), nothing)


def _places(asked: NDArray[np.intp], granted: NDArray[np.intp]) -> NDArray[np.intp]:
    """Position of every granted row among the asked ones: the n-th granted row of a case is its n-th asked one."""
    if len(asked) == len(granted):
        return np.arange(len(asked))
    seen: dict[int, int] = {}
    where: dict[int, list[int]] = {}
    for k, r in enumerate(asked):
        where.setdefault(int(r), []).append(k)
    places = []
    for r in granted:
        n = seen.get(int(r), 0)
        places.append(where[int(r)][n])
        seen[int(r)] = n + 1
    return np.array(places, dtype=np.intp)
