"""Plans: an audit as a TOML file, checked field by field and resolved into a spec.

name = "Lesion classifier 1.2"
intended_use = "Triage of dermoscopy images by general practitioners"
target = "model"                       # folder of `nocere train`, or a target card
preset = "image.standard"              # and / or [[cell]] tables
[cases]
dataset = "image.folder"
manifest = "images/labels.csv"
split = "test"
[[criterion]]
name = "Sensitivity under 2 grey levels"
measure = "sensitivity"
cell = "noise-linf"
radius = 2
at_least = 0.8
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nocere.attacks.base import Attack
from nocere.audit.codecs import codec_of
from nocere.audit.criteria import Criterion
from nocere.audit.presets import PRESETS, WHOLE_RANGE
from nocere.audit.referee import Draws
from nocere.audit.spec import CellSpec, Spec
from nocere.audit.views import Shop, ViewPlan, artefact, given
from nocere.core.budget import Budget
from nocere.core.canonical import sha256
from nocere.core.case import CaseSet
from nocere.core.errors import DataError, PlanError, UsageError
from nocere.core.goal import Goal
from nocere.core.registry import get
from nocere.core.units import Aim
from nocere.targets.base import Access, Target
from nocere.threats.base import Threat
from nocere.threats.pixels import DEEPEST


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GoalPlan(_Strict):
    """[cell.goal] of a plan."""

    want: tuple[str, ...] = ()
    when: str = ""
    combine: Literal["any", "all"] = "any"
    shift: float = 0.0


class CellPlan(_Strict):
    """One [[cell]] of a plan."""

    name: str
    threat: str
    radii: tuple[float, ...]
    attacks: tuple[str | dict[str, Any], ...]
    aim: Literal["flip", "closest", "worst", "sample"] = "flip"
    threat_args: dict[str, Any] = Field(default_factory=dict)
    goal: GoalPlan = GoalPlan()
    access: tuple[Literal["scores", "labels", "gradients", "structure"], ...] | None = None
    answers: Literal["all", "top1"] = "all"
    view: str = ""
    looks: int = Field(default=2000, ge=1)
    confirms: int = Field(default=8, ge=1)
    campaign: int | None = Field(default=None, ge=1)
    limit: int = Field(default=0, ge=0)
    fit: float = Field(default=0.5, gt=0, lt=1)
    search: Literal["twin", "bf16", "shipped"] = "twin"
    sanity: bool = False
    gains: str = ""
    harmed: str = ""


class Plan(_Strict):
    """A plan file."""

    name: str = Field(min_length=1)
    intended_use: str = ""
    target: str = ""
    cases: dict[str, Any] = Field(default_factory=dict)
    preset: str = ""
    seed: int = Field(default=0, ge=0, lt=2**53)
    draws: int = Field(default=40, ge=1)
    tau: float = Field(default=0.5, ge=0, lt=1)
    not_tested: tuple[str, ...] = ()
    harm: dict[str, float] = Field(default_factory=dict)
    view: tuple[ViewPlan, ...] = ()
    cell: tuple[CellPlan, ...] = ()
    criterion: tuple[Criterion, ...] = ()


def read_plan(path: str | Path) -> Plan:
    """A plan from a TOML file.

    Raises:
        PlanError: unreadable, not TOML, or with a field that is wrong; the sentence names it.
    """
    path = Path(path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as e:
        raise PlanError(f"Cannot read the plan {path}: {getattr(e, 'strerror', None) or e}.") from e
    except tomllib.TOMLDecodeError as e:
        raise PlanError(f"{path} is not valid TOML: {e}.") from e
    return make_plan(data, str(path))


def make_plan(data: Mapping[str, Any], where: str = "plan") -> Plan:
    """A plan from plain data; see `read_plan`."""
    try:
        return Plan.model_validate(data)
    except ValidationError as e:
        first = e.errors()[0]
        at = ".".join(str(p) for p in first["loc"])
        said = "there is no such field" if first["type"] == "extra_forbidden" else first["msg"]
        raise PlanError(f"{where}: {at}: {said}.", "See docs/plans.md for every field.") from e


def load_cases(table: Mapping[str, Any], base: Path, **override: Any) -> CaseSet:
    """The cases of a [cases] table: `dataset` or `phantom` names the loader, the rest are its arguments.

    Raises:
        DataError: unknown loader, wrong arguments, or cases that cannot be read.
    """
    args = {**table, **override}
    what: Literal["dataset", "phantom"] = "phantom" if "phantom" in args else "dataset"
    name = args.pop(what, None)
    if not name:
        raise DataError("[cases] names no dataset and no phantom.", 'For example: dataset = "image.folder".')
    for key in ("manifest", "file", "path", "inpatient"):
        if key in args:
            args[key] = base / str(args[key])
    entry = get(what, str(name))
    try:
        cases: CaseSet = entry.make(**args)
    except TypeError as e:
        raise DataError(f"[cases] of {what} {name!r}: {e}.", f"Arguments: see `nocere list {what}s`.") from e
    return cases


def resolve(
    plan: Plan,
    target: Target,
    cases: CaseSet,
    sources: Mapping[str, Any] | None = None,
    *,
    base: Path | None = None,
    trust: bool = False,
    views: Mapping[str, Target] | None = None,
) -> Spec:
    """A spec from a plan, a target and cases.

    Args:
        plan: what to run.
        target: the shipped model.
        cases: what it is tested on.
        sources: where these came from, for the run record.
        base: folder that paths of views are relative to.
        trust: allow views that are pickles.
        views: further views, by the name that cells use.

    Raises:
        PlanError, UsageError: something in the plan does not exist or does not fit.
    """
    cells = list(plan.cell)
    not_tested = list(plan.not_tested)
    if plan.preset:
        if plan.preset not in PRESETS:
            raise PlanError(f"Unknown preset {plan.preset!r}.", f"Known: {', '.join(PRESETS)}.")
        tables, left = PRESETS[plan.preset](target)
        cells = [CellPlan.model_validate(t) for t in tables] + cells
        not_tested += left
    labels = set(target.decision.labels)
    for ref in cases.refs:
        odd = ref.truth.labels - labels
        if odd:
            raise DataError(
                f"Case {ref.id} has the label {sorted(odd)[0]!r}, which is none of the target's labels "
                f"({', '.join(target.decision.labels)}).",
                "Map labels in [cases], or declare the target's labels as the data writes them.",
            )
    if target.decision.exclusive:
        for label in target.decision.labels:
            if label not in target.decision.not_clinical and not any(label in r.truth.labels for r in cases.refs):
                raise DataError(f"{cases.name} has no case with the label {label!r}.", "Every class needs cases.")
    shop = Shop(target, cases, codec_of(cases), plan.seed, base or Path(), trust, load_cases)
    made = [artefact(v, shop) for v in plan.view]
    made += [(given(name, view, target), view.access) for name, view in (views or {}).items()]
    seen = {a.name: access for a, access in made}
    if len(seen) < len(made):
        raise PlanError("Two views of the plan have the same name.", "Name every view once.")
    return Spec(
        name=plan.name,
        target=target,
        codec=shop.codec,
        cases=cases,
        cells=tuple(_cell(c, _offered(c, target, seen), target, cases) for c in cells),
        artefacts=tuple(a for a, _ in made),
        criteria=plan.criterion,
        seed=plan.seed,
        draws=Draws(plan.draws, plan.tau),
        intended_use=plan.intended_use,
        not_tested=tuple(not_tested),
        harm=plan.harm,
        sources=dict(sources or {}),
    )


def _offered(c: CellPlan, target: Target, views: Mapping[str, frozenset[Access]]) -> frozenset[Access]:
    """What may be asked of whatever this cell searches."""
    if not c.view:
        return target.access
    if c.view not in views:
        known = f"Views: {', '.join(views)}." if views else "Declare it as a [[view]]."
        raise PlanError(f"Cell {c.name!r}: there is no view {c.view!r}.", known)
    if c.answers != "all":
        raise PlanError(f"Cell {c.name!r}: answers narrow what the target tells; a view is the attacker's own.")
    return views[c.view]


def _cell(c: CellPlan, offered: frozenset[Access], target: Target, cases: CaseSet) -> CellSpec:
    where = f"Cell {c.name!r}"
    args = dict(c.threat_args)
    make = get("threat", c.threat).make
    if "bits" in getattr(make, "__dataclass_fields__", {}) and "bits" not in args:
        # As deep as the data are; files that say their sign may each have a depth of their own.
        header = cases.load(cases.refs[0].id).header
        args["bits"] = 0 if "signed" in header else header.get("bits", 8)
    try:
        pset = make(radius=c.radii[0] if c.radii else 1.0, **args)
    except TypeError as e:
        raise PlanError(f"{where}: {_arguments('threat', c.threat, e)}") from e
    attacks = tuple(_attack(a, where) for a in c.attacks)
    # Limited to the first cases of each label in turn, so that a small control sees every class.
    ids = _limited(cases, c.limit)
    if args.get("off_mask") and not any(r.mask for r in cases.refs):
        raise PlanError(
            f"{where}: off_mask needs masks, and no case has one.",
            'Name the manifest\'s column of mask files: columns = {mask = "..."}.',
        )
    # What the attacker is granted is what the search uses, so that the report does not call a grid white box.
    searched: frozenset[Access] = frozenset({"scores", "labels"})
    if any(a.needs & {"gradients", "structure"} for a in attacks):
        searched = offered
    access = offered & (searched if c.access is None else frozenset(c.access))
    if not any(a.needs <= access for a in attacks):
        raise PlanError(
            f"{where}: its attacks need {', '.join(sorted(set().union(*(a.needs for a in attacks))))}, but the "
            f"{'view' if c.view else 'target'}{'' if c.access is None else ' with this access'} gives only "
            f"{', '.join(sorted(access))}.",
            "Choose attacks that need less; see `nocere list attacks`.",
        )
    if c.goal.when and c.goal.when not in target.decision.labels:
        raise PlanError(f"{where}: goal.when {c.goal.when!r} is no label of the target.")
    goal = Goal(c.goal.want, c.goal.when, c.goal.combine, c.goal.shift)
    for word in goal.want:
        if word[:1] not in "+-" or word[1:] not in target.decision.labels:
            raise PlanError(
                f"{where}: goal {word!r} names no label of the target.", f"Labels: {', '.join(target.decision.labels)}."
            )
    aim: Aim = c.aim
    budget = Budget(c.looks, c.confirms, c.campaign)
    threat = Threat(pset, goal, access, budget, c.gains, c.harmed)
    fit = _fit(cases, ids, c.fit) if any(a.scope == "group" for a in attacks) else frozenset()
    radii = c.radii
    depth = args.get("bits", 8) or DEEPEST
    if c.sanity and depth > 8:
        # The whole range of 8 bits stands for the whole range.
        radii = tuple(float((1 << depth) - 1) if r == WHOLE_RANGE else r for r in c.radii)
    return CellSpec(
        c.name, threat, attacks, radii, aim, ids, fit, c.view, search=c.search, answers=c.answers, sanity=c.sanity
    )  # fmt: skip


def _fit(cases: CaseSet, ids: tuple[str, ...], share: float) -> frozenset[str]:
    """The cases that universal attacks may look at: a share of the patients, chosen by the hash of their name."""
    groups = {r.id: r.group for r in cases.refs if r.id in set(ids)}
    chosen = sorted(set(groups.values()), key=lambda g: sha256(g.encode()))
    kept = set(chosen[: max(1, round(share * len(chosen)))])
    return frozenset(i for i in ids if groups[i] in kept)


def _attack(a: str | dict[str, Any], where: str) -> Attack:
    args = {} if isinstance(a, str) else dict(a)
    name = a if isinstance(a, str) else args.pop("name", "")
    try:
        entry = get("attack", name)
        made: Attack = entry.make(**{k: tuple(v) if isinstance(v, list) else v for k, v in args.items()})
    except TypeError as e:
        raise PlanError(f"{where}: {_arguments('attack', name, e)}") from e
    except UsageError as e:
        raise PlanError(f"{where}: {e.message}", e.hint) from e
    return made


def _arguments(what: Literal["attack", "threat"], name: str, e: TypeError) -> str:
    """A sentence for arguments that do not fit, with those that would."""
    known = [f.name for f in dataclasses.fields(cast("Any", get(what, name).make))]
    wrong = str(e).rsplit("'", 2)
    return f"{what} {name!r} has no argument {wrong[1] if len(wrong) == 3 else e!r}; it has {', '.join(known)}."


def _limited(cases: CaseSet, limit: int) -> tuple[str, ...]:
    ids = [r.id for r in cases.refs]
    if not limit or limit >= len(ids):
        return tuple(ids)
    queues: dict[tuple[str, ...], list[str]] = {}
    for r in cases.refs:
        queues.setdefault(tuple(sorted(r.truth.labels)), []).append(r.id)
    chosen: set[str] = set()
    while len(chosen) < limit:
        for queue in queues.values():
            if queue and len(chosen) < limit:
                chosen.add(queue.pop(0))
    return tuple(i for i in ids if i in chosen)


def load_spec(path: str | Path, *, trust: bool = False) -> Spec:
    """A spec from a plan file; target and cases are found beside it.

    Raises:
        NocereError: any of what `read_plan`, `load_target` and `load_cases` say.
    """
    from nocere.targets.card import load_target

    path = Path(path)
    plan = read_plan(path)
    if not plan.target:
        raise PlanError(f"{path}: names no target.", 'For example: target = "model".')
    place = path.parent / plan.target
    sources = {"plan": str(path.resolve()), "target": str(place.resolve())}
    target, cases = load_target(place, trust=trust), load_cases(plan.cases, path.parent)
    return resolve(plan, target, cases, sources, base=path.parent, trust=trust)
