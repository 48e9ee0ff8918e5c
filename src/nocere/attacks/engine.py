"""The search loop: many cohorts of cases in flight, one evaluation for all of them, one referee.

A live set of cases feeds evaluations of a fixed tile. A case leaves as soon as its aim is reached and the next one
takes its lane; attacks of a cascade see only what the earlier ones could not break. Which other cases are in flight
never changes a result: draws are keyed by case, and rows are evaluated in tiles of one shape.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.base import Answer, Ask, Attack, Certificate, Job, Propose, Share
from nocere.attacks.certificates import accepted
from nocere.attacks.evaluate import goal_gradients, goal_margins
from nocere.attacks.item import Item, climb
from nocere.attacks.outcome import Outcome
from nocere.core.arrays import concat, is_torch
from nocere.core.arrays import rows as take_rows
from nocere.core.budget import Meter
from nocere.core.candidate import Candidate, Judge
from nocere.core.case import CaseSet
from nocere.core.errors import AttackFaultError, NocereError
from nocere.core.goal import Literals
from nocere.core.rng import RowRng, seed_of
from nocere.core.units import Aim
from nocere.targets.base import Target
from nocere.threats.base import Projects, Shifts, Threat


@dataclass(frozen=True, slots=True)
class Cell:
    """One piece of search: a cascade of attacks at ascending radii under one threat.

    `lanes` is how many cases are in flight; it never changes a result, only speed and memory.
    """

    view: Target
    threat: Threat
    attacks: tuple[Attack, ...]
    radii: tuple[float, ...]
    aim: Aim
    seed: int
    lanes: int = 128


@dataclass(slots=True, eq=False)
class _Cohort:
    items: list[Item]
    attack: Attack
    job: Job
    search: Any
    turn: Ask | Propose | Share | None = None
    done: bool = False
    claims: Sequence[Certificate] = field(default_factory=list)


def run(
    cell: Cell,
    cases: CaseSet,
    literals: Mapping[str, Literals],
    judge: Judge,
    meter: Meter,
    fit: frozenset[str] = frozenset(),
) -> Iterator[Outcome]:
    """Outcomes of every case in `literals`, as they are decided: one per case and radius searched.

    Args:
        cell: what to search.
        cases: where contents are loaded from, one at a time.
        literals: case id -> the goal bound to that case.
        judge: decides on every candidate; the only source of success.
        meter: grants every evaluation before it happens.
        fit: cases that universal attacks may look at; they get no outcome of their own.

    Raises:
        TargetError: the target failed; the cell stays unfinished.
    """
    yield from _Engine(cell, cases, literals, judge, meter, fit).outcomes()


class _Engine:
    def __init__(
        self,
        cell: Cell,
        cases: CaseSet,
        literals: Mapping[str, Literals],
        judge: Judge,
        meter: Meter,
        fit: frozenset[str],
    ) -> None:
        self.cell, self.cases, self.judge, self.meter, self.fit = cell, cases, judge, meter, fit
        self.literals = literals
        self.usable = [a for a in cell.attacks if a.needs <= cell.threat.access]
        self.refused = [a.name for a in cell.attacks if not a.needs <= cell.threat.access]
        self.waiting: list[deque[Item]] = [deque() for _ in self.usable]
        self.unloaded = deque(literals)
        self.running: list[_Cohort] = []
        self.out: deque[Outcome] = deque()

    def outcomes(self) -> Iterator[Outcome]:
        if not self.usable:
            why = f"{', '.join(self.refused)} need(s) access that this threat does not grant"
            for case_id in self.literals:
                yield Outcome(case_id, self.cell.radii[0], "not_applicable", why)
            return
        while self.unloaded or any(self.waiting) or self.running:
            self._fill()
            self._turn()
            while self.out:
                yield self.out.popleft()

    # --- lanes -------------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        free = self.cell.lanes - sum(len(c.items) for c in self.running)
        while free > 0:
            stage = next((i for i in reversed(range(len(self.usable))) if self.waiting[i]), None)
            loadable = bool(self.unloaded)
            if stage is None and not loadable:
                return
            attack = self.usable[stage or 0]
            grouped = attack.scope == "group"
            # Small refills would only add cohorts: wait for an eighth of the lanes while others run.
            if self.running and free < max(self.cell.lanes // 8, 1) and not grouped:
                return
            want = len(self.literals) if grouped else min(free, attack.cohort or free)
            if stage is None or (stage == 0 and len(self.waiting[0]) < want):
                self._load(want - len(self.waiting[0]))
                stage = 0
            items = self._same_shape(self.waiting[stage], want)
            self._start(items, self.usable[stage])
            free -= len(items)

    def _load(self, n: int) -> None:
        for _ in range(min(n, len(self.unloaded))):
            case_id = self.unloaded.popleft()
            self.waiting[0].append(Item(self.cases.load(case_id), self.literals[case_id], self.cell.radii[0]))

    @staticmethod
    def _same_shape(queue: deque[Item], n: int) -> list[Item]:
        shape = queue[0].shape
        taken: list[Item] = []
        rest: list[Item] = []
        while queue and len(taken) < n:
            item = queue.popleft()
            (taken if item.shape == shape else rest).append(item)
        queue.extendleft(reversed(rest))
        return taken

    def _start(self, items: list[Item], attack: Attack) -> None:
        if attack.scope == "group" and all(i.case.id in self.fit for i in items):
            return
        contents = [i.content() for i in items]
        x0 = concat([c[None] for c in contents]) if is_torch(contents[0]) else contents
        radius = np.array([i.radius for i in items])
        tag = f"{attack.name}:{self.cell.threat.pset.name}"
        ids = [f"{i.case.id}@{i.radius!r}" for i in items]
        job = Job(
            cases=tuple(i.copy() for i in items),
            x0=x0,
            radius=radius,
            pset=self.cell.threat.pset,
            rng=RowRng(self.cell.seed, tag, ids),
            fit=np.array([i.case.id in self.fit for i in items]),
            left=lambda r: self.meter.left(items[r].case.id, items[r].radius),
            decision=self.cell.view.decision,
            goal=self.cell.threat.goal,
            literals=Literals.join([i.literals for i in items]),
            structure=getattr(self.cell.view, "structure", None) if "structure" in self.cell.threat.access else None,
        )
        for i in items:
            i.tried.append(attack.name)
        cohort = _Cohort(items, attack, job, attack.search(job))
        self.running.append(cohort)
        self._advance(cohort, None)

    # --- one turn ----------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        asks = []
        for cohort in list(self.running):
            try:
                if isinstance(cohort.turn, Ask):
                    asks.append((cohort, *self._validated(cohort, cohort.turn)))
            except AttackFaultError as fault:
                self._fault(cohort, fault)
        answers: list[tuple[_Cohort, Answer]] = self._answer(asks)
        for cohort in list(self.running):
            try:
                if isinstance(cohort.turn, Propose):
                    answers.append((cohort, self._proposed(cohort, cohort.turn)))
                elif isinstance(cohort.turn, Share):
                    answers.append((cohort, self._shared(cohort, cohort.turn)))
                elif not isinstance(cohort.turn, Ask) and not cohort.done:
                    raise AttackFaultError(f"yielded {type(cohort.turn).__name__}, not Ask, Propose or Share")
            except AttackFaultError as fault:
                self._fault(cohort, fault)
        for cohort, answer in answers:
            self._advance(cohort, answer)
        finished = [c for c in self.running if c.done]
        self.running = [c for c in self.running if not c.done]
        self._finish(finished)

    def _advance(self, cohort: _Cohort, answer: Answer | None) -> None:
        try:
            if all(i.decided for i in cohort.items) and answer is not None and cohort.attack.scope == "case":
                cohort.search.close()
                cohort.done = True
                return
            cohort.turn = next(cohort.search) if answer is None else cohort.search.send(answer)
        except StopIteration as stop:
            claims = stop.value if isinstance(stop.value, (list, tuple)) else []
            cohort.done, cohort.claims = True, [c for c in claims if isinstance(c, Certificate)]
        except NocereError as e:
            for i in cohort.items:
                i.inapplicable = str(e)
            cohort.done = True
        except Exception as e:
            self._fault(cohort, e)

    def _fault(self, cohort: _Cohort, e: Exception) -> None:
        """An attack that fails on a cohort is run again case by case; alone, it costs that case only."""
        cohort.done, cohort.turn, cohort.claims = True, None, []
        cohort.search.close()
        if len(cohort.items) > 1 and cohort.attack.scope == "case":
            again = [i for i in cohort.items if not i.decided]
            cohort.items = [i for i in cohort.items if i.decided]
            for item in again:
                item.tried.pop()
                self._start([item], cohort.attack)
            return
        for i in cohort.items:
            i.faults.append(f"{cohort.attack.name} raised {type(e).__name__}: {e}")

    @staticmethod
    def _rows(cohort: _Cohort, turn: Ask | Propose) -> NDArray[np.intp]:
        """The cohort position behind each row of a turn."""
        n = len(cohort.items)
        rows = np.arange(n) if turn.rows is None else np.asarray(turn.rows)
        whole = rows.ndim == 1 and np.issubdtype(rows.dtype, np.integer)
        if not whole or len(rows) == 0 or not hasattr(turn.x, "__len__") or len(turn.x) != len(rows):
            raise AttackFaultError("gave rows that do not belong to its cohort")
        if rows.min() < 0 or rows.max() >= n:
            raise AttackFaultError("gave rows that do not belong to its cohort")
        return rows

    def _validated(self, cohort: _Cohort, ask: Ask) -> tuple[Any, NDArray[np.intp], bool]:
        rows = self._rows(cohort, ask)
        if ask.proofs is not None and len(ask.proofs) != len(rows):
            raise AttackFaultError("gave another number of proofs than rows")
        if ask.grad and "gradients" not in (self.cell.threat.access & self.cell.view.access):
            raise AttackFaultError("asked for gradients without that access")
        if cohort.attack.scope == "group" and not cohort.job.fit[rows].all():
            raise AttackFaultError("looked at a held-out case")
        if is_torch(cohort.job.x0):
            if not is_torch(ask.x) or ask.x.shape[1:] != cohort.job.x0.shape[1:]:
                raise AttackFaultError("asked contents of another form than its cases")
            if not bool(ask.x.isfinite().all()):
                raise AttackFaultError("asked NaN or infinite values")
        return ask.x, rows, bool(ask.grad)

    def _storable(self, cohort: _Cohort, x: Any, rows: NDArray[np.intp]) -> Any:
        """What a file can hold: without gradient access nothing else is shown to a target."""
        pset = self.cell.threat.pset
        if isinstance(pset, Projects):
            outside = ~pset.inside(x.round(), cohort.job.x0[rows], cohort.job.radius[rows])
            if _keeps_length(pset):
                outside[:] = True
            for i in np.flatnonzero(outside):
                item = cohort.items[int(rows[i])]
                import torch

                x[i] = torch.as_tensor(pset.realise(x[i], item.case, item.radius)).to(x.dtype)
        return x.round()

    def _answer(self, asks: list[tuple[_Cohort, Any, NDArray[np.intp], bool]]) -> list[tuple[_Cohort, Answer]]:
        out = []
        buckets: dict[Any, list[tuple[_Cohort, Any, NDArray[np.intp], NDArray[np.bool_]]]] = {}
        for cohort, x, rows, grad in asks:
            # Rounding to a length keeps a direction and moves far: there even gradients are taken at what a file can
            # hold (straight-through), while the attack goes on from its own values.
            if is_torch(x) and ("gradients" not in cohort.attack.needs or _keeps_length(self.cell.threat.pset)):
                x = self._storable(cohort, x.clone(), rows)
            live = self._charge(cohort, rows, grad)
            shape = tuple(x.shape[1:]) if is_torch(x) else None
            buckets.setdefault((shape, grad), []).append((cohort, x, rows, live))
        for (_, grad), bucket in buckets.items():
            parts = [(c, x, r, np.flatnonzero(live)) for c, x, r, live in bucket]
            used = [(c, x if on.size == len(r) else take_rows(x, on), r[on]) for c, x, r, on in parts if on.size]
            if used:
                xs = concat([x for _, x, _ in used])
                items = [c.items[int(r)] for c, _, rows in used for r in rows]
                margin, g = self._evaluate(xs, items, grad)
                self._watch(used, xs, margin, g)
            else:
                margin, g = np.zeros(0), None
            at = 0
            for cohort, x, rows, on in parts:
                part = slice(at, at + on.size)
                at += on.size
                out.append(
                    (cohort, self._heard(cohort, x, rows, on, margin[part], None if g is None else g[part], grad))
                )
        return out

    @staticmethod
    def _heard(
        cohort: _Cohort, x: Any, rows: NDArray[np.intp], on: NDArray[np.intp], margin: Any, g: Any, grad: bool
    ) -> Answer:
        """What an attack hears of its rows: zeros, and not live, where a case is decided or spent."""
        full, live = np.zeros(len(rows)), np.zeros(len(rows), dtype=bool)
        full[on] = margin
        live[on] = [not cohort.items[int(r)].decided for r in rows[on]]
        full[~live] = 0.0
        grads = None
        if grad:
            import torch

            grads = g if on.size == len(rows) else torch.zeros_like(x)
            if 0 < on.size < len(rows):
                grads[torch.as_tensor(on)] = g
            if not live.all():
                grads[torch.as_tensor(~live)] = 0.0
        return Answer(full, grads, live)

    def _charge(self, cohort: _Cohort, rows: NDArray[np.intp], grad: bool) -> NDArray[np.bool_]:
        live = np.zeros(len(rows), dtype=bool)
        for r in np.unique(rows):
            item = cohort.items[int(r)]
            if item.decided:
                continue
            mine = np.flatnonzero(rows == r)
            n = min(len(mine), self.meter.left(item.case.id, item.radius))
            if n < len(mine):
                item.spent = True
            if n and self.meter.grant(item.case.id, item.radius, n, grad):
                live[mine[:n]] = True
                item.asked += n
        return live

    def _evaluate(self, xs: Any, items: list[Item], grad: bool) -> tuple[NDArray[np.float64], Any]:
        view, goal = self.cell.view, self.cell.threat.goal
        lit = Literals.join([i.literals for i in items])
        behind = [i.case for i in items]
        seeds = None
        if view.stochastic:
            drawn = [seed_of(self.cell.seed, "search", i.case.id, i.radius, i.next_draw()) for i in items]
            seeds = np.array(drawn, dtype=np.uint64)
        if grad:
            margin, g = goal_gradients(view, xs, behind, lit, goal, seeds)  # type: ignore[arg-type]
            steepest = g.abs().flatten(1).amax(1).cpu().numpy()
            for item, size in zip(items, steepest, strict=True):
                item.gradient = True
                item.gradient_alive |= bool(size > 0)
                if not np.isfinite(size):
                    item.fail("the target's gradient is not finite")
        else:
            margin, _, _ = goal_margins(view, xs, behind, lit, goal, seeds)
            g = None
        for item, m in zip(items, margin, strict=True):
            if not np.isfinite(m):
                item.fail("the target returned a score that is not finite")
        return np.where(np.isfinite(margin), margin, 0.0), g

    # --- candidates --------------------------------------------------------------------------------------------

    def _watch(
        self, used: list[tuple[_Cohort, Any, NDArray[np.intp]]], xs: Any, margin: NDArray[np.float64], g: Any
    ) -> None:
        """Remember the best ask inside the set of every case, and send new successes to the referee."""
        pset, at = self.cell.threat.pset, 0
        fresh: list[Item] = []
        for cohort, x, rows in used:
            m = margin[at : at + len(rows)]
            at += len(rows)
            ask = cohort.turn
            assert isinstance(ask, Ask)
            inside = np.ones(len(rows), dtype=bool)
            if isinstance(pset, Projects):
                inside = pset.inside(x, cohort.job.x0[rows], cohort.job.radius[rows])
            proofs = ask.proofs
            asked_rows = np.arange(len(cohort.items)) if ask.rows is None else np.asarray(ask.rows)
            # Rows that were not granted are gone from `rows`; find each one's place among the asked ones again.
            place = _places(asked_rows, rows)
            for k in np.flatnonzero(inside):
                item = cohort.items[int(rows[k])]
                if item.decided:
                    continue
                if self.cell.aim == "sample":
                    item.drawn.append(float(m[k]))
                if m[k] > 0:
                    item.crossed = True
                if (item.best is None or m[k] > item.best) and item.moved(x[k], pset):
                    content = x[k].clone() if is_torch(x) else x[k]
                    item.better(float(m[k]), content, None if proofs is None else proofs[place[k]])
                    if m[k] > 0 and self.cell.aim in ("flip", "closest"):
                        fresh.append(item)
        unique = list(dict.fromkeys(fresh))
        self._visit([i for i in unique if i.visits < self.meter.budget.confirms])

    def _visit(self, items: Sequence[Item]) -> None:
        """Judge the best ask of each item; a confirmed one is decided unless the aim wants the worst."""
        if not items:
            return
        findings = self.judge.judge([i.candidate(self.cell.threat.pset) for i in items])
        for item, finding in zip(items, findings, strict=True):
            item.judged(finding)
            if finding.ok and self.cell.aim in ("flip", "closest"):
                item.decided = True

    def _proposed(self, cohort: _Cohort, turn: Propose) -> Answer:
        rows = self._rows(cohort, turn)
        if turn.proofs is not None and len(turn.proofs) != len(rows):
            raise AttackFaultError("gave another number of proofs than rows")
        margin, live = np.zeros(len(rows)), np.zeros(len(rows), dtype=bool)
        for k, r in enumerate(rows):
            item = cohort.items[int(r)]
            if item.decided or item.visits >= self.meter.budget.confirms:
                continue
            proof = None if turn.proofs is None else turn.proofs[k]
            content = turn.x[k]
            stored = item.storable(content, self.cell.threat.pset) if is_torch(content) else content
            finding = self.judge.judge([Candidate(item.case.id, stored, item.radius, proof)])[0]
            item.judged(finding)
            item.crossed |= finding.margin > 0
            item.decided = finding.ok and self.cell.aim in ("flip", "closest")
            margin[k], live[k] = finding.margin, not item.decided
        return Answer(margin, None, live)

    def _shared(self, cohort: _Cohort, turn: Share) -> Answer:
        pset = self.cell.threat.pset
        if not isinstance(pset, Shifts):
            raise AttackFaultError(f"{cohort.attack.name} shares one change, which {pset.name} cannot apply.")
        held_out = [i for i in cohort.items if i.case.id not in self.fit]
        at: Any = pset
        shifted = [at.at(i.radius).shift(i.case, turn.delta) for i in held_out]
        findings = self.judge.judge(
            [Candidate(i.case.id, x, i.radius, p) for i, (x, p) in zip(held_out, shifted, strict=True)]
        )
        for item, finding in zip(held_out, findings, strict=True):
            item.judged(finding)
            item.crossed |= finding.margin > 0
        n = len(cohort.items)
        return Answer(np.zeros(n), None, cohort.job.fit.copy())

    # --- what happens after an attack ----------------------------------------------------------------------------

    def _finish(self, cohorts: Sequence[_Cohort]) -> None:
        ended: list[Item] = []
        for cohort in cohorts:
            for claim in cohort.claims:
                if 0 <= claim.row < len(cohort.items):
                    cohort.items[claim.row].claims.append(claim)
            for item in cohort.items:
                stage = self.usable.index(cohort.attack)
                if item.decided or item.failure or stage + 1 == len(self.usable):
                    ended.append(item)
                else:
                    self.waiting[stage + 1].append(item)
        self._visit([i for i in ended if not i.decided and i.best is not None and not i.best_judged])
        for item in ended:
            self._conclude(item)

    def _conclude(self, item: Item) -> None:
        pset: Any = self.cell.threat.pset
        certified = None
        if item.claims and not item.decided:
            at = pset.at(item.radius)
            certified = next((c for c in item.claims if accepted(item.case, at, self.judge, c)), None)
        outcome = item.outcome(self.cell.aim, self.meter, certified, self.refused)
        resolution = getattr(pset, "resolution", 0.0) or self.cell.radii[0] / 8
        told, following = climb(item, outcome, self.cell.radii, self.cell.aim, resolution)
        if item.case.id not in self.fit:
            self.out.extend(told)
        if following is not None:
            self.waiting[0].append(following)


def _keeps_length(pset: Any) -> bool:
    return bool(getattr(pset, "keeps_length", False))


def _places(asked: NDArray[np.intp], granted: NDArray[np.intp]) -> list[int]:
    """Position of every granted row among the asked ones: the n-th granted row of a case is its n-th asked one."""
    seen: dict[int, int] = {}
    where: dict[int, list[int]] = {}
    for k, r in enumerate(asked):
        where.setdefault(int(r), []).append(k)
    places = []
    for r in granted:
        n = seen.get(int(r), 0)
        places.append(where[int(r)][n])
        seen[int(r)] = n + 1
    return places
