"""Spec: a resolved audit, ready to run. The TOML plan and the Python API both end here."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from nocere.attacks.base import Attack, attack_json
from nocere.audit.criteria import Criterion
from nocere.audit.measures.harm import ARROW
from nocere.audit.referee import Draws
from nocere.cases.codec import Codec
from nocere.core.canonical import digest
from nocere.core.case import CaseSet
from nocere.core.decision import to_json
from nocere.core.errors import PlanError
from nocere.core.units import Aim, line
from nocere.targets.base import Target
from nocere.threats.base import Threat

SHARD = 64
Search: TypeAlias = Literal["twin", "bf16", "shipped"]
Answers: TypeAlias = Literal["all", "top1"]


@dataclass(frozen=True, slots=True)
class CellSpec:
    """One cell: a cascade of attacks under one threat, over some cases.

    `view` names an artefact of an earlier round that is searched instead of the target itself (transfer); `search` says
    whether what is searched is so by a faster twin (see `targets.twin`), by one in bfloat16, or as it is. `answers`
    "top1" tells a search by scores the winning label and its confidence only (see `targets.answers`). Success is
    always judged on the shipped target. `fit` are the cases that universal attacks may look at. A `sanity` cell tests
    the search, not the model: it enters no measure, only the indicators (see `indicators`).
    """

    name: str
    threat: Threat
    attacks: tuple[Attack, ...]
    radii: tuple[float, ...]
    aim: Aim
    cases: tuple[str, ...]
    fit: frozenset[str] = frozenset()
    view: str = ""
    round: int = 0
    search: Search = "twin"
    answers: Answers = "all"
    sanity: bool = False

    def __post_init__(self) -> None:
        where = f"Cell {self.name!r}"
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", self.name):
            raise PlanError(f"{where}: a name begins with a letter or digit and has letters, digits, '-' and '_' only.")
        finite = all(math.isfinite(r) for r in self.radii)
        if not finite or not self.radii or list(self.radii) != sorted(set(self.radii)) or self.radii[0] <= 0:
            raise PlanError(f"{where}: radii must be positive and ascending; got {list(self.radii)}.")
        whole = getattr(self.threat.pset, "resolution", 0.0)
        if whole == 1.0 and any(r < 1.0 or r != int(r) for r in self.radii) and self.threat.pset.unit == "grey_levels":
            raise PlanError(f"{where}: {self.threat.pset.name} counts whole grey levels; got {list(self.radii)}.")
        if not self.attacks:
            raise PlanError(f"{where}: names no attack.")
        if not self.cases:
            raise PlanError(f"{where}: has no case.")
        scopes = {a.scope for a in self.attacks}
        if len(scopes) > 1:
            raise PlanError(f"{where}: universal attacks and attacks on single cases need cells of their own.")
        if ("group" in scopes) != bool(self.fit):
            raise PlanError(f"{where}: universal attacks need fit cases, and only they.")
        if self.answers == "top1" and self.threat.access & {"gradients", "structure"}:
            raise PlanError(
                f"{where}: top-1 answers are for searches by scores or labels; grant it no more than these."
            )
        if self.aim == "sample" and any("gradients" in a.needs for a in self.attacks):
            raise PlanError(f"{where}: aim 'sample' takes attacks that draw, not searches with gradients.")

    @property
    def whole(self) -> bool:
        """True when the cell cannot be split: universal attacks and campaign budgets see all cases."""
        return bool(self.fit) or self.threat.budget.campaign is not None

    @property
    def untargeted(self) -> bool:
        """True when the goal is any other decision, so that accuracy under attack is defined."""
        return not self.threat.goal.want and not self.threat.goal.when

    def shards(self) -> list[tuple[str, ...]]:
        """The cases in pieces of a fixed size; each piece is computed and stored on its own."""
        if self.whole:
            return [self.cases]
        return [self.cases[i : i + SHARD] for i in range(0, len(self.cases), SHARD)]

    def to_json(self) -> dict[str, Any]:
        """Plain form for the plan."""
        goal, budget = self.threat.goal, self.threat.budget
        return {
            "name": self.name,
            "threat": dict(self.threat.pset.to_json()),
            "unit": str(self.threat.pset.unit),
            "kind": str(self.threat.pset.kind),
            "line": line(self.threat.pset.kind, self.aim),
            "goal": {"want": list(goal.want), "when": goal.when, "combine": goal.combine, "shift": goal.shift},
            "untargeted": self.untargeted,
            "access": sorted(self.threat.access),
            "budget": {"looks": budget.looks, "confirms": budget.confirms, "campaign": budget.campaign},
            "gains": self.threat.gains,
            "harmed": self.threat.harmed,
            "attacks": [attack_json(a) for a in self.attacks],
            "radii": list(self.radii),
            "aim": self.aim,
            "cases": list(self.cases),
            "fit": sorted(self.fit),
            "view": self.view,
            "round": self.round,
            "search": self.search,
            **({} if self.answers == "all" else {"answers": self.answers}),
            "sanity": self.sanity,
        }


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a later round may read: the target's clean answers, outcomes of earlier rounds, earlier artefacts."""

    cases: CaseSet
    clean: Mapping[str, Any]
    outcomes: Mapping[str, Any]
    artefacts: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Artefact:
    """Something made between rounds (a surrogate, hardened weights, a strategy) and sealed into the bundle.

    `build` makes its bytes from what is sealed so far; `load` makes a target from these bytes; `about` names the
    recipe and its parameters in the plan; `record` reads from the bytes what making it took (queries, agreement).
    """

    name: str
    round: int
    build: Callable[[Sealed], bytes]
    load: Callable[[bytes], Target]
    about: Mapping[str, Any]
    record: Callable[[bytes], Mapping[str, Any]] = lambda _: {}


@dataclass(frozen=True, slots=True)
class Spec:
    """A whole audit."""

    name: str
    target: Target
    codec: Codec
    cases: CaseSet
    cells: tuple[CellSpec, ...]
    criteria: tuple[Criterion, ...] = ()
    seed: int = 0
    draws: Draws = field(default_factory=Draws)
    artefacts: tuple[Artefact, ...] = ()
    intended_use: str = ""
    not_tested: tuple[str, ...] = ()
    harm: Mapping[str, float] = field(default_factory=dict)
    sources: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [c.name for c in self.cells]
        if not self.cells:
            raise PlanError("The plan has no cell.", "Add at least one [[cell]].")
        if len({n.lower() for n in names}) != len(names):
            raise PlanError("Two cells of the plan have the same name.", "Name every cell once.")
        known = {a.name: a.round for a in self.artefacts}
        for c in self.cells:
            if c.view and known.get(c.view, c.round + 1) > c.round:
                raise PlanError(f"Cell {c.name!r} looks at {c.view!r}, which no earlier round makes.")
        self._check_harm()
        for criterion in self.criteria:
            cell = next((c for c in self.cells if c.name == criterion.cell), None)
            if criterion.cell and cell is None:
                raise PlanError(
                    f"Criterion {criterion.name!r} names the cell {criterion.cell!r}, which is not there.",
                    f"Cells: {', '.join(names)}.",
                )
            if cell is not None and cell.sanity:
                raise PlanError(f"Criterion {criterion.name!r} names {cell.name!r}, which only tests the search.")
            if criterion.radius is not None and (cell is None or criterion.radius not in cell.radii):
                raise PlanError(
                    f"Criterion {criterion.name!r} names radius {criterion.radius:g}, which its cell does not search.",
                    "Name one of the cell's radii; a criterion on unchanged cases has none.",
                )

    def _check_harm(self) -> None:
        labels = self.target.decision.labels
        for way, size in self.harm.items():
            true, arrow, said = way.partition(ARROW)
            if not arrow or {true, said} - set(labels) or true == said:
                raise PlanError(
                    f"[harm] {way!r} names no wrong answer.", f'Write "{labels[0]}{ARROW}{labels[-1]}" = 1.'
                )
            if not (math.isfinite(size) and size >= 0):
                raise PlanError(f"[harm] {way!r} is {size}; a harm is a number from 0.")

    def _owner(self) -> dict[str, Any]:
        """What the owner of a model on another machine allowed."""
        allowed = getattr(self.target, "authorisation", None)
        return {} if allowed is None else {"authorisation": allowed.to_json()}

    def to_json(self) -> dict[str, Any]:
        """The plan as it goes into the bundle: everything that decides the result, nothing of the machine."""
        return {
            "schema": 1,
            "name": self.name,
            "intended_use": self.intended_use,
            "not_tested": list(self.not_tested),
            "target": {
                "name": self.target.name,
                "fingerprint": self.target.fingerprint,
                "decision": to_json(self.target.decision),
                "stochastic": self.target.stochastic,
                "access": sorted(self.target.access),
                **self._owner(),
            },
            "cases": {
                "name": self.cases.name,
                "phantom": self.cases.phantom,
                "n": len(self.cases),
                "digest": digest([r.to_json() for r in self.cases.refs]),
                "codec": self.codec.name,
            },
            "seed": self.seed,
            "draws": {"m": self.draws.m, "tau": self.draws.tau},
            "cells": [c.to_json() for c in self.cells],
            "artefacts": [{"name": a.name, "round": a.round, **dict(a.about)} for a in self.artefacts],
            "harm": dict(self.harm),
            "criteria": [c.model_dump() for c in self.criteria],
        }
