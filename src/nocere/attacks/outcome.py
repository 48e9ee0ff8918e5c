"""Outcome: what came out for one case at one radius, with what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from nocere.core.candidate import Cost, Finding
from nocere.core.canonical import Json

OutcomeKind: TypeAlias = Literal[
    "broken", "held", "certified", "already_wrong", "not_applicable", "not_reached", "errored"
]


@dataclass(frozen=True, slots=True)
class Trace:
    """How the search went: rows asked, best asked margin, whether any ask inside the set met the goal (`crossed`),
    referee visits, and for sampling the number of draws, of draws that met the goal, and margin statistics.

    Of gradient searches: rows with gradients, those whose gradient was zero, the rise that the first gradient promised
    over the whole radius, and the best margin at the begin and after each quarter of the turns (`climb`)."""

    asked: int = 0
    best: float | None = None
    crossed: bool = False
    visits: int = 0
    draws: int = 0
    flips: int = 0
    margin_mean: float | None = None
    margin_p95: float | None = None
    tried: tuple[str, ...] = ()
    gradients: int = 0
    dead: int = 0
    promised: float | None = None
    climb: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """One case at one radius, as the referee found it.

    `broken` at a radius holds for all larger ones of the same family. `held` means not broken by what was tried;
    `certified` that an independent checker accepted an exact search; `not_reached` that a budget ended first.
    """

    case_id: str
    radius: float
    kind: OutcomeKind
    why: str = ""
    stage: str = ""
    finding: Finding | None = None
    certificate: Mapping[str, Json] | None = None
    meter: Mapping[str, int] = field(default_factory=dict)
    trace: Trace = field(default_factory=Trace)

    def without_files(self) -> Outcome:
        """The same outcome without the evidence bytes, which are stored beside it."""
        if self.finding is None or self.finding.files is None:
            return self
        return replace(self, finding=replace(self.finding, files=None))

    def to_json(self) -> dict[str, Any]:
        """Plain form; evidence files are left out."""
        f = self.finding
        finding = None
        if f is not None:
            finding = {
                "ok": f.ok,
                "why": f.why,
                "margin": f.margin,
                "margins": list(f.margins),
                "rate": f.rate,
                "probabilities": None if f.probabilities is None else list(f.probabilities),
                "proof": f.proof,
                "cost": None if f.cost is None else {"value": f.cost.value, "unit": f.cost.unit, "more": f.cost.more},
            }
        return {
            "case_id": self.case_id,
            "radius": self.radius,
            "kind": self.kind,
            "why": self.why,
            "stage": self.stage,
            "finding": finding,
            "certificate": self.certificate,
            "meter": dict(self.meter),
            "trace": {k: getattr(self.trace, k) for k in Trace.__dataclass_fields__},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Outcome:
        """Inverse of `to_json`."""
        f = data["finding"]
        finding = None
        if f is not None:
            c = f["cost"]
            cost = None if c is None else Cost(c["value"], c["unit"], c["more"])
            p = f["probabilities"]
            finding = Finding(
                f["ok"], f["why"], f["margin"], cost, None, tuple(f["margins"]), f["rate"],
                None if p is None else tuple(p), f["proof"],
            )  # fmt: skip
        seen: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data["trace"].items()}
        trace = Trace(**seen)
        return cls(
            data["case_id"], data["radius"], data["kind"], data["why"], data["stage"], finding,
            data["certificate"], data["meter"], trace,
        )  # fmt: skip
