"""One shard: the piece of a cell that is computed and stored at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from nocere.attacks.cell import Cell
from nocere.attacks.engine import run
from nocere.attacks.outcome import Outcome
from nocere.audit.guard import Guard
from nocere.audit.referee import Clean, Referee
from nocere.audit.spec import CellSpec, Spec
from nocere.core.budget import Meter
from nocere.core.candidate import Files
from nocere.core.case import Case
from nocere.core.goal import Literals
from nocere.core.rng import seed_of
from nocere.targets.answers import LabelsOnly, TopOne
from nocere.targets.base import Target
from nocere.threats.base import Obstructed

CAMPAIGN_LANES = 64
Evidence: TypeAlias = dict[tuple[str, float], Files]


@dataclass(frozen=True, slots=True)
class ShardResult:
    """Outcomes in the order of the cases, and the adversarial files of the broken ones."""

    outcomes: tuple[Outcome, ...]
    evidence: Evidence
    violation: str = ""


def run_shard(
    spec: Spec,
    cell: CellSpec,
    ids: tuple[str, ...],
    clean: Mapping[str, Clean],
    noise: float,
    guard: Guard,
    *,
    view: Guard | None = None,
    lanes: int = 128,
    told: Callable[[Outcome], None] | None = None,
) -> ShardResult:
    """Search these cases and let the referee decide.

    Args:
        guard: keeps the shipped target.
        view: keeps what is searched; default is the target itself.
        lanes: cases in flight; changes no result.
        told: hears every outcome as it is decided, for progress.
    """
    guards = [guard] if view is None else [guard, view]
    for g in guards:
        g.begin()
    referee = Referee(guard.target, spec.codec, spec.cases, seed=spec.seed, draws=spec.draws)
    referee.noise = noise
    literals, outcomes = _bind(spec, cell, ids, clean)
    extremal = cell.aim == "worst"
    wrong = {o.case_id for o in outcomes if o.kind == "already_wrong"}
    if extremal:
        outcomes = [o for o in outcomes if o.kind != "already_wrong"]
    searched = {i: lit for i, lit in literals.items() if extremal or i not in wrong}
    meter = Meter(cell.threat.budget)
    court = referee.court(cell.threat.pset, cell.threat.goal, literals, meter)
    engine_cell = Cell(
        view=_searched(spec, cell, guard.target, view),
        threat=cell.threat,
        attacks=cell.attacks,
        radii=cell.radii,
        aim=cell.aim,
        seed=seed_of(spec.seed, cell.name),
        # A budget over the whole cell runs out in the order of work, so that order must not depend on settings.
        lanes=CAMPAIGN_LANES if cell.threat.budget.campaign is not None else lanes,
    )
    for outcome in run(engine_cell, spec.cases, searched, court, meter, cell.fit):
        if outcome.case_id in wrong:
            outcome = _scored_only(outcome)
        outcomes.append(outcome)
        if told is not None:
            told(outcome)
    violation = " and ".join(dict.fromkeys(filter(None, (g.violation() for g in guards))))
    if violation:
        why = f"an attack of this cell touched {violation}; its results are discarded"
        return ShardResult(tuple(Outcome(i, cell.radii[0], "errored", why) for i in ids if i not in cell.fit), {}, why)
    order = {case_id: k for k, case_id in enumerate(ids)}
    outcomes.sort(key=lambda o: (order[o.case_id], o.radius))
    evidence: Evidence = {
        (o.case_id, o.radius): o.finding.files
        for o in outcomes
        if o.finding is not None and o.finding.files is not None
    }
    return ShardResult(tuple(o.without_files() for o in outcomes), evidence)


def _answers(cell: CellSpec, target: Target) -> Target:
    """The target as it answers this attacker: nothing finer than what the threat grants can steer a search."""
    if cell.answers == "top1":
        return TopOne(target)
    granted = cell.threat.access & {"scores", "gradients", "structure"}
    return target if granted or "scores" not in target.access else LabelsOnly(target)


def _searched(spec: Spec, cell: CellSpec, target: Target, view: Guard | None) -> Target:
    """What is searched: the view, or what the target shows of itself."""
    return _answers(cell, _faster(spec, cell, target)) if view is None else _faster(spec, cell, view.target)


def _faster(spec: Spec, cell: CellSpec, target: Target) -> Target:
    """What stands in for a target or a view while searching."""
    if cell.search == "shipped" or not any("gradients" in a.needs or "scores" in a.needs for a in cell.attacks):
        return target
    if "gradients" not in target.access:
        return target
    from nocere.targets.twin import search_twin

    return search_twin(target, spec.cases.load(spec.cases.refs[0].id), bf16=cell.search == "bf16")


def _scored_only(outcome: Outcome) -> Outcome:
    """A case that was wrong before: its score counts for the ranking, and is no success of the attack."""
    if outcome.kind not in ("broken", "held", "certified"):
        return outcome
    finding = outcome.finding and replace(outcome.finding, ok=False, files=None)
    why = "wrong before the attack; scored for the ranking only"
    return replace(outcome, kind="already_wrong", why=why, finding=finding, trace=replace(outcome.trace, crossed=False))


def _bind(
    spec: Spec, cell: CellSpec, ids: tuple[str, ...], clean: Mapping[str, Clean]
) -> tuple[dict[str, Literals], list[Outcome]]:
    """Goals of the cases that can be searched, and outcomes of those that leave at once."""
    refs = {r.id: r for r in spec.cases.refs}
    literals: dict[str, Literals] = {}
    leaving: list[Outcome] = []
    at = cell.radii[0]
    for case_id in ids:
        answer = clean[case_id]
        if answer.why:
            leaving.append(Outcome(case_id, at, "errored", answer.why))
            continue
        ref, margins = refs[case_id], np.array(answer.margins)
        bare: Case[Any] = Case(case_id, None, {}, ref.truth, ref.group, ref.attrs, ref.sha256)
        lit = cell.threat.goal.bind(bare, spec.target.decision, margins)
        if lit is None:
            leaving.append(Outcome(case_id, at, "not_applicable", "the goal does not apply to this case's truth"))
            continue
        if isinstance(cell.threat.pset, Obstructed):
            why = cell.threat.pset.at(at).obstacle(spec.cases.load(case_id))
            if why:
                leaving.append(Outcome(case_id, at, "not_applicable", why))
                continue
        literals[case_id] = lit
        if case_id not in cell.fit and float(cell.threat.goal.margin(lit, margins[None])[0]) > 0:
            leaving.append(Outcome(case_id, at, "already_wrong", "the goal is met without any change"))
    return literals, leaving
