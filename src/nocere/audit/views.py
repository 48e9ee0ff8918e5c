"""Views: what the search of a cell looks at instead of the target, as a plan writes them.

[[view]]
name = "other-vendor"
kind = "target"            # another model's card or folder: transfer, or a differentiable copy of your own (BPDA)
target = "other/card.toml"
[[view]]
name = "stand-in"
kind = "surrogate"         # a network trained on the target's own answers, each of them counted
queries = 600
[[view]]
name = "straight"
kind = "bpda"              # the target itself, with named parts differentiated as the identity
parts = ["rounding"]

Success is judged on the shipped target in every case.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import BaseModel, ConfigDict, Field

from nocere.audit.guard import freeze
from nocere.audit.oracle import Learns, Oracle
from nocere.audit.spec import Artefact, Sealed
from nocere.audit.surrogate import Recipe, agreement, learn
from nocere.cases.codec import Codec
from nocere.core.canonical import digest, dumps
from nocere.core.case import CaseSet
from nocere.core.decision import Value
from nocere.core.errors import PlanError
from nocere.core.rng import seed_of
from nocere.targets.base import Access, Target


class _View(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")


class TargetView(_View):
    """Another model, or a copy of the target with a gradient."""

    kind: Literal["target"]
    target: str = Field(min_length=1)


class BpdaView(_View):
    """The target with parts that are differentiated as the identity."""

    kind: Literal["bpda"]
    parts: tuple[str, ...] = Field(min_length=1)


class SurrogateView(_View):
    """A network that learns the target's answers."""

    kind: Literal["surrogate"]
    queries: int = Field(ge=1)
    learns: Learns = "labels"
    cases: dict[str, Any] = Field(default_factory=dict)
    arch: str = "plain_cnn"
    epochs: int = Field(default=60, ge=1)
    rounds: int = Field(default=2, ge=0)
    step: float = Field(default=0.06, gt=0, le=1)
    size: int = Field(default=0, ge=0)
    augment: bool = True


ViewPlan: TypeAlias = Annotated[TargetView | BpdaView | SurrogateView, Field(discriminator="kind")]
KINDS = ("target", "surrogate", "bpda")


@dataclass(frozen=True, slots=True)
class Shop:
    """What views are made from.

    Args:
        target: the shipped target.
        cases: of the audit; what a surrogate without pictures of its own asks about.
        codec: writes and reads their files.
        seed: of the plan.
        base: folder that paths of the plan are relative to.
        trust: allow files that can run code when they are opened.
        load_cases: a [cases] table and a folder -> cases.
    """

    target: Target
    cases: CaseSet
    codec: Codec
    seed: int
    base: Path
    trust: bool
    load_cases: Callable[[Mapping[str, Any], Path], CaseSet]


def artefact(view: ViewPlan, shop: Shop) -> tuple[Artefact, frozenset[Access]]:
    """What makes a view, and what can be asked of it.

    Raises:
        PlanError, TargetError, DataError: it cannot be made as it is written.
    """
    if isinstance(view, SurrogateView):
        return _surrogate(view, shop), frozenset({"labels", "scores", "gradients"})
    if isinstance(view, BpdaView):
        from nocere.targets.straight import bpda

        made = bpda(cast("Any", shop.target), dict.fromkeys(view.parts))
        return given(view.name, made, shop.target, {"kind": "bpda", "parts": list(view.parts)}), made.access
    from nocere.targets.card import load_target

    other = load_target(shop.base / view.target, trust=shop.trust)
    return given(view.name, other, shop.target), other.access


def given(name: str, made: Target, target: Target, about: Mapping[str, Any] | None = None) -> Artefact:
    """A view that exists already. Its bytes are what identifies it; the model itself stays where it is.

    Raises:
        PlanError: its labels are not the target's.
    """
    if made.decision.labels != target.decision.labels:
        raise PlanError(
            f"View {name!r} has the labels {', '.join(made.decision.labels)}; the target has "
            f"{', '.join(target.decision.labels)}.",
            "Both need the same labels in the same order: declare them so in the view's card.",
        )
    told = {"kind": "target", **(about or {}), "name": made.name, "fingerprint": made.fingerprint}
    sealed, copied = dumps(told), freeze(made)

    def load(data: bytes) -> Target:
        if data != sealed:
            raise PlanError(f"View {name!r} is not the model that this audit began with.", "Choose another folder.")
        # A copy: what an attack of an earlier cell did to the model itself does not reach the next.
        return made if copied is None else cast("Target", copied())

    return Artefact(name, 0, lambda _: sealed, load, {"view": told})


def _surrogate(view: SurrogateView, shop: Shop) -> Artefact:
    from nocere.targets.reference import student
    from nocere.targets.reference.nets import architectures

    where = f"View {view.name!r}"
    if view.arch not in architectures():
        raise PlanError(f"{where}: unknown network {view.arch!r}.", f"Known: {', '.join(architectures())}.")
    if isinstance(shop.target.decision, Value):
        raise PlanError(f"{where}: a surrogate learns labels, and {shop.target.name} gives a value.")
    if view.learns not in shop.target.access:
        raise PlanError(f"{where}: {shop.target.name} tells no {view.learns}.", 'Write learns = "labels".')
    pictures = shop.load_cases(view.cases, shop.base) if view.cases else shop.cases
    if pictures.phantom != shop.cases.phantom:
        raise PlanError(f"{where}: phantoms and data are never mixed; give it pictures of the same kind.")
    seed = seed_of(shop.seed, "surrogate", view.name)
    options = view.model_dump(exclude={"name", "kind", "cases"})
    recipe = Recipe(**options, seed=seed)

    def build(sealed: Sealed) -> bytes:
        oracle = Oracle(shop.target, shop.codec, view.learns, view.queries, seed)
        made = learn(recipe, pictures, oracle, shop.target.decision)
        record = {
            "queries": oracle.asked,
            "budget": oracle.budget,
            "learns": oracle.learns,
            "agreement": agreement(made, sealed.cases, sealed.clean),
        }
        return student.pack(made, view.arch, {"record": record})

    about = {
        "kind": "surrogate",
        **options,
        "pictures": {"name": pictures.name, "digest": digest([r.to_json() for r in pictures.refs])},
    }
    return Artefact(
        view.name, 0, build, lambda data: student.unpack(data, view.name), {"view": about},
        record=lambda data: student.about(data)["record"],
    )  # fmt: skip
