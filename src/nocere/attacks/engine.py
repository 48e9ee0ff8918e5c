"""The search loop: many cohorts of cases in flight, one evaluation for all of them, one referee.

A live set of cases feeds evaluations of a fixed tile. A case leaves as soon as its aim is reached and the next one
takes its lane; attacks of a cascade see only what the earlier ones could not break. Which other cases are in flight
never changes a result: draws are keyed by case, and rows are evaluated in tiles of one shape.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.base import Answer, Ask, Attack, Certificate, Job, Propose, Share, Stopped
from nocere.attacks.candidates import Candidates
from nocere.attacks.cell import Cell, Cohort
from nocere.attacks.certificates import accepted
from nocere.attacks.direct import Asked, DirectCalls, drawn
from nocere.attacks.evaluate import Tiles, goal_gradients, goal_margins
from nocere.attacks.item import Item, climb
from nocere.attacks.losses import LOSSES
from nocere.attacks.outcome import Outcome
from nocere.core.arrays import concat, is_torch
from nocere.core.budget import Meter
from nocere.core.candidate import Judge
from nocere.core.case import CaseSet
from nocere.core.errors import AttackFaultError, NocereError
from nocere.core.goal import Literals
from nocere.core.rng import RowRng
from nocere.threats.base import Projects, fitted, form_of


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
        self.tiles: dict[Any, Tiles] = {}
        self.candidates = Candidates(cell, judge, meter, fit)
        usable = [a for a in cell.attacks if a.needs <= cell.threat.access]
        # What looks for the smallest cost itself goes first: the others only have to close the gap below it.
        self.usable = sorted(usable, key=lambda a: not cell.minimises(a))
        self.refused = [a.name for a in cell.attacks if not a.needs <= cell.threat.access]
        self.waiting: list[deque[Item]] = [deque() for _ in self.usable]
        self.unloaded = deque(literals)
        self.running: list[Cohort] = []
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
            items = self._alike(self.waiting[stage], want)
            self._start(items, self.usable[stage])
            free -= len(items)

    def _load(self, n: int) -> None:
        for _ in range(min(n, len(self.unloaded))):
            case_id = self.unloaded.popleft()
            level = len(self.cell.radii) - 1 if self.cell.minimises(self.usable[0]) else 0
            item = Item(self.cases.load(case_id), self.literals[case_id], self.cell.radii[level], level)
            self.waiting[0].append(item)

    def _alike(self, queue: deque[Item], n: int) -> list[Item]:
        """The first items of one shape, and of one form where the set asks for that."""
        pset = self.cell.threat.pset
        shape, form = queue[0].shape, form_of(pset, queue[0].case)
        taken: list[Item] = []
        rest: list[Item] = []
        while queue and len(taken) < n:
            item = queue.popleft()
            (taken if (item.shape, form_of(pset, item.case)) == (shape, form) else rest).append(item)
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
            pset=fitted(self.cell.threat.pset, items[0].case),
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
        cohort = Cohort(items, attack, job, attack.search(job))
        job.direct = DirectCalls(cohort, self.cell, self.candidates, self.meter, self._direct, self._parts)
        self.running.append(cohort)
        self._advance(cohort, None)

    # --- one turn ----------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        asks: list[tuple[Cohort, Ask, NDArray[np.intp]]] = []
        for cohort in list(self.running):
            try:
                if isinstance(cohort.turn, Ask):
                    asks.append((cohort, cohort.turn, self._validated(cohort, cohort.turn)))
            except AttackFaultError as fault:
                self._fault(cohort, fault)
        answers: list[tuple[Cohort, Answer]] = self._answer(asks)
        for cohort in list(self.running):
            try:
                if isinstance(cohort.turn, Propose):
                    answers.append((cohort, self.candidates.proposed(cohort, cohort.turn)))
                elif isinstance(cohort.turn, Share):
                    answers.append((cohort, self.candidates.shared(cohort, cohort.turn)))
                elif not isinstance(cohort.turn, Ask) and not cohort.done:
                    raise AttackFaultError(f"yielded {type(cohort.turn).__name__}, not Ask, Propose or Share")
            except AttackFaultError as fault:
                self._fault(cohort, fault)
        for cohort, answer in answers:
            self._advance(cohort, answer)
        finished = [c for c in self.running if c.done]
        self.running = [c for c in self.running if not c.done]
        self._finish(finished)

    def _advance(self, cohort: Cohort, answer: Answer | None) -> None:
        try:
            if all(i.decided for i in cohort.items) and answer is not None and cohort.attack.scope == "case":
                cohort.search.close()
                cohort.done = True
                return
            cohort.turn = next(cohort.search) if answer is None else cohort.search.send(answer)
        except StopIteration as stop:
            claims = stop.value if isinstance(stop.value, (list, tuple)) else []
            cohort.done, cohort.claims = True, [c for c in claims if isinstance(c, Certificate)]
        except Stopped as stop:
            raise stop.__cause__ or stop from None
        except NocereError as e:
            for i in cohort.items:
                i.inapplicable = str(e)
            cohort.done = True
        except Exception as e:
            self._fault(cohort, e)

    def _fault(self, cohort: Cohort, e: Exception) -> None:
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

    def _validated(self, cohort: Cohort, ask: Ask) -> NDArray[np.intp]:
        rows = cohort.rows(ask)
        if ask.loss not in LOSSES or (ask.towards is not None and len(ask.towards) != len(rows)):
            raise AttackFaultError("asked for an unknown loss, or with another number of labels than rows")
        if ask.grad and "gradients" not in (self.cell.threat.access & self.cell.view.access):
            raise AttackFaultError("asked for gradients without that access")
        if cohort.attack.scope == "group" and not cohort.job.fit[rows].all():
            raise AttackFaultError("looked at a held-out case")
        if is_torch(cohort.job.x0):
            if not is_torch(ask.x) or ask.x.shape[1:] != cohort.job.x0.shape[1:]:
                raise AttackFaultError("asked contents of another form than its cases")
            if not bool(ask.x.isfinite().all()):
                raise AttackFaultError("asked NaN or infinite values")
        return rows

    def _storable(self, cohort: Cohort, x: Any, rows: NDArray[np.intp]) -> Any:
        """What a file can hold: without gradient access nothing else is shown to a target."""
        import torch

        pset = fitted(self.cell.threat.pset, cohort.items[0].case)
        if isinstance(pset, Projects) and cohort.attack.minimal:
            # A minimal search starts far away: its asks may lie outside of the radius. Along gradients a length is kept
            # that plain rounding would erase.
            if "gradients" in cohort.attack.needs and _keeps_length(pset):
                far = pset.distance(x, cohort.job.x0[rows])
                for i in range(len(rows)):
                    case = cohort.items[int(rows[i])].case
                    x[i] = torch.as_tensor(pset.realise(x[i], case, float(far[i]) * (1 + 1e-9))).to(x.dtype)
        elif isinstance(pset, Projects):
            outside = ~pset.inside(x.round(), cohort.job.x0[rows], cohort.job.radius[rows])
            if _keeps_length(pset):
                outside[:] = True
            for k in np.flatnonzero(outside):
                item = cohort.items[int(rows[k])]
                x[k] = torch.as_tensor(pset.realise(x[k], item.case, item.radius)).to(x.dtype)
        return x.round().clamp(*pset.span) if isinstance(pset, Projects) else x.round()

    def _answer(self, asks: list[tuple[Cohort, Ask, NDArray[np.intp]]]) -> list[tuple[Cohort, Answer]]:
        out = []
        buckets: dict[Any, list[Asked]] = {}
        for cohort, ask, rows in asks:
            x = self._shown(cohort, ask.x, rows)
            on = np.flatnonzero(self._charge(cohort, rows, ask.grad))
            shape = tuple(x.shape[1:]) if is_torch(x) else None
            buckets.setdefault((shape, ask.grad, ask.loss), []).append(Asked(cohort, ask, x, rows, on))
        for bucket in buckets.values():
            used = [b for b in bucket if b.on.size]
            fresh: list[Item] = []
            margin, loss, g = self._evaluate(used) if used else (np.zeros(0), np.zeros(0), None)
            ends = np.cumsum([b.on.size for b in bucket])
            parts = [slice(int(end) - b.on.size, int(end)) for b, end in zip(bucket, ends, strict=True)]
            for b, part in zip(bucket, parts, strict=True):
                if b.on.size:
                    fresh += self.candidates.watch(b.cohort, b.evaluated, b.rows[b.on], margin[part])
            self.candidates.visit([i for i in dict.fromkeys(fresh) if i.visits < self.meter.budget.confirms])
            for b, part in zip(bucket, parts, strict=True):
                out.append((b.cohort, _heard(b, margin[part], loss[part], None if g is None else g[part])))
        return out

    def _shown(self, cohort: Cohort, x: Any, rows: NDArray[np.intp]) -> Any:
        """Rows as the target is shown them.

        Rounding to a length moves far, and a smallest change is one on the lattice: there even gradients are taken at
        what a file can hold (straight-through), while the attack goes on from its own values.
        """
        free = "gradients" in cohort.attack.needs and not cohort.attack.minimal
        if is_torch(x) and (not free or _keeps_length(self.cell.threat.pset)):
            return self._storable(cohort, x.clone(), rows)
        return x

    def _direct(self, cohort: Cohort, ask: Ask) -> Asked:
        """An ask of a library that calls the model itself; its passes back are counted as they happen."""
        rows = self._validated(cohort, ask)
        x = self._shown(cohort, ask.x, rows)
        return Asked(cohort, ask, x, rows, np.flatnonzero(self._charge(cohort, rows, False)))

    def _parts(self, item: Item) -> Tiles:
        """How rows of this shape are cut; looked at on the first case's own content."""
        if item.shape not in self.tiles:
            self.tiles[item.shape] = Tiles(self.cell.view, item.content(), item.case)
        return self.tiles[item.shape]

    def _charge(self, cohort: Cohort, rows: NDArray[np.intp], grad: bool) -> NDArray[np.bool_]:
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

    def _evaluate(self, asked: Sequence[Asked]) -> tuple[NDArray[np.float64], NDArray[np.float64], Any]:
        """Margins, losses and gradients of the rows that were granted, one ask after the other."""
        view, goal, ask = self.cell.view, self.cell.threat.goal, asked[0].ask
        xs = concat([b.evaluated for b in asked])
        items = [b.cohort.items[int(r)] for b in asked for r in b.rows[b.on]]
        lit = Literals.join([i.literals for i in items])
        behind = [i.case for i in items]
        parts = self._parts(items[0])
        seeds = drawn(view, items, self.cell.seed)
        if ask.grad:
            towards = None
            if any(b.ask.towards is not None for b in asked):
                none = [np.full(len(b.rows), -1) if b.ask.towards is None else np.asarray(b.ask.towards) for b in asked]
                towards = np.concatenate([t[b.on] for t, b in zip(none, asked, strict=True)])
            made = goal_gradients(view, xs, behind, lit, goal, seeds, ask.loss, towards, parts)  # type: ignore[arg-type]
            margin, loss, g = made
            # Objects have a gradient of their own form, which knows its largest entry.
            steepest = g.abs().flatten(1).amax(1).cpu().tolist() if is_torch(g) else [row.size for row in g]
            for item, row, size in zip(items, g, steepest, strict=True):
                item.felt(row, size, fitted(self.cell.threat.pset, item.case))
        else:
            margin, _, _ = goal_margins(view, xs, behind, lit, goal, seeds, parts)
            loss, g = margin, None
        finite = np.isfinite(margin)
        for k in np.flatnonzero(~finite):
            items[k].fail("the target returned a score that is not finite")
        return np.where(finite, margin, 0.0), np.where(np.isfinite(loss), loss, 0.0), g

    # --- what happens after an attack ----------------------------------------------------------------------------

    def _finish(self, cohorts: Sequence[Cohort]) -> None:
        ended: list[Item] = []
        for cohort in cohorts:
            for claim in cohort.claims:
                if 0 <= claim.row < len(cohort.items):
                    cohort.items[claim.row].claims.append(claim)
            self.candidates.settle(cohort.items)
            for item in cohort.items:
                stage = self._next_stage(item, self.usable.index(cohort.attack) + 1)
                if item.decided or item.failure or stage is None:
                    ended.append(item)
                else:
                    self.waiting[stage].append(item)
        self.candidates.visit([i for i in ended if not i.decided and i.best is not None and not i.best_judged])
        for item in ended:
            self._conclude(item)

    def _next_stage(self, item: Item, first: int) -> int | None:
        """The next attack for a case; one that looks for the smallest cost itself is not asked again for less."""
        below = item.broken_at is not None
        stages = range(first, len(self.usable))
        return next((k for k in stages if not (below and self.cell.minimises(self.usable[k]))), None)

    def _conclude(self, item: Item) -> None:
        pset: Any = self.cell.threat.pset
        certified = None
        if item.claims and not item.decided:
            at = fitted(pset, item.case).at(item.radius)
            certified = next((c for c in item.claims if accepted(item.case, at, self.judge, c)), None)
        outcome = item.outcome(self.cell.aim, self.meter, certified, self.refused)
        told, following = climb(item, outcome, self.cell.radii, self.cell.aim, self.cell.resolution)
        stage = None if following is None else self._next_stage(following, 0)
        if following is not None and stage is not None:
            self.waiting[stage].append(following)
        elif following is not None and following.broken_at is not None:
            told = [*told, following.broken_at]
        if item.case.id not in self.fit:
            self.out.extend(told)


def _keeps_length(pset: Any) -> bool:
    return bool(getattr(pset, "keeps_length", False))


def _heard(b: Asked, margin: NDArray[np.float64], loss: NDArray[np.float64], g: Any) -> Answer:
    """What an attack hears of its rows: zeros, and not live, where a case is decided or spent."""
    n, on = len(b.rows), b.on
    live = np.zeros(n, dtype=bool)
    live[on] = [not b.cohort.items[int(r)].decided for r in b.rows[on]]
    full, losses = np.zeros(n), np.zeros(n)
    full[on], losses[on] = margin, loss
    full[~live] = losses[~live] = 0.0
    grads: Any = None
    if b.ask.grad and not is_torch(b.x):
        grads = [None] * n
        for k, row in zip(on, g if on.size else (), strict=True):
            grads[k] = row if live[k] else None
    elif b.ask.grad:
        import torch

        grads = g if on.size == n else torch.zeros_like(b.x)
        if 0 < on.size < n:
            grads[torch.as_tensor(on)] = g
        if not live.all():
            grads[torch.as_tensor(~live)] = 0.0
    return Answer(full, grads, live, losses)
