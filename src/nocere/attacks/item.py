"""Item: one case at one radius on its way through a cascade, and the ladder of radii that it climbs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from nocere.attacks.base import Certificate
from nocere.attacks.outcome import Outcome, OutcomeKind, Trace
from nocere.core.budget import Meter
from nocere.core.candidate import Candidate, Finding, Proof
from nocere.core.case import Case
from nocere.core.goal import Literals
from nocere.core.units import Aim
from nocere.threats.base import PerturbationSet, Projects

UNCHANGED = "unchanged"
NOTHING = "the attack proposed nothing that could be judged"
NOTHING_CHANGED = "the attack changed nothing"
NOT_FINITE = "the target's gradient is not finite (NaN or infinite); look for 0/0, log 0 or sqrt 0 in it"
KEPT = 4


@dataclass(slots=True, eq=False)
class Item:
    """What the engine remembers of a case at one radius."""

    case: Case[Any]
    literals: Literals
    radius: float
    level: int = 0
    held_at: float = 0.0
    broken_at: Outcome | None = None

    # Asks that met the goal, for attacks that minimise: cost, margin, content, proof. Dearer ones have more margin.
    nearest: list[tuple[float, float, Any, Proof]] = field(default_factory=list)
    best: float | None = None
    best_x: Any = None
    best_proof: Proof = None
    best_judged: bool = False
    finding: Finding | None = None
    tried: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    claims: list[Certificate] = field(default_factory=list)
    drawn: list[float] = field(default_factory=list)
    inapplicable: str = ""
    failure: str = ""
    decided: bool = False
    crossed: bool = False
    spent: bool = False
    gradients: int = 0
    dead: int = 0
    promised: float | None = None
    high: float = -np.inf
    highs: list[float] = field(default_factory=list)
    asked: int = 0
    visits: int = 0
    draws: int = 0

    @property
    def shape(self) -> tuple[Any, ...] | None:
        """Shape and dtype of an array content; None for objects."""
        return (*self.case.x.shape, self.case.x.dtype) if isinstance(self.case.x, np.ndarray) else None

    def content(self) -> Any:
        """A copy of the stored content as the search sees it: a float32 tensor, or the object itself."""
        if not isinstance(self.case.x, np.ndarray):
            return self.case.x
        import torch

        return torch.from_numpy(self.case.x.astype(np.float32))

    def copy(self) -> Case[Any]:
        """The case as an attack may have it: torch can write through a read-only array, so it gets its own."""
        if not isinstance(self.case.x, np.ndarray):
            return self.case
        x = self.case.x.copy()
        x.setflags(write=False)
        return self.case.with_x(x)

    def next_draw(self) -> int:
        """Running number of this item's evaluations, to key the draws of a stochastic target."""
        self.draws += 1
        return self.draws

    def fail(self, why: str) -> None:
        """The target failed on this case: it leaves, and only it."""
        self.failure, self.decided = self.failure or why, True

    def felt(self, g: Any, size: float, pset: PerturbationSet) -> None:
        """Note a gradient [...] of the margin by its largest entry, and what the first one promises."""
        self.pulled(size)
        if 0 < size < np.inf and self.promised is None and isinstance(pset, Projects):
            self.promised = self.radius * float((pset.ascend(g[None]) * g[None]).double().sum())

    def pulled(self, size: float) -> None:
        """Note a gradient of any loss by its largest entry."""
        self.gradients += 1
        self.dead += size == 0
        if not np.isfinite(size):
            self.fail(NOT_FINITE)

    def climbed(self) -> tuple[float, ...]:
        """Best margin at the begin and after each quarter of the turns."""
        last = len(self.highs) - 1
        return tuple(self.highs[last * k // 4] for k in range(5)) if last >= 0 else ()

    def moved(self, x: Any, pset: PerturbationSet) -> bool:
        """True when `x` would be stored differently from the original."""
        if not isinstance(self.case.x, np.ndarray):
            return bool(x != self.case.x)
        values = x.detach().cpu().numpy()
        if getattr(pset, "keeps_length", False):
            return bool(((values - self.case.x) ** 2).sum() >= 1.0)
        return bool((values.round() != self.case.x).any())

    def better(self, margin: float, x: Any, proof: Proof) -> None:
        """Remember the best ask so far."""
        self.best, self.best_x, self.best_proof, self.best_judged = margin, x, proof, False

    def nearer(self, cost: float, margin: float) -> bool:
        """Whether no remembered ask is as cheap with as much margin."""
        return not any(c <= cost and m >= margin for c, m, _, _ in self.nearest)

    def near(self, cost: float, margin: float, x: Any, proof: Proof) -> None:
        """Remember an ask that met the goal; the dearer ones are for when the referee does not confirm the cheapest."""
        kept = [n for n in self.nearest if n[0] < cost or n[1] > margin]
        self.nearest = sorted([*kept, (cost, margin, x, proof)], key=lambda n: n[0])
        if len(self.nearest) > KEPT:
            del self.nearest[-2]  # the one with most margin stays

    def take_nearest(self) -> None:
        """Make the cheapest one the best ask."""
        _, margin, x, proof = self.nearest.pop(0)
        self.better(margin, x, proof)

    def storable(self, x: Any, pset: PerturbationSet) -> Any:
        """A tensor row as stored integers, inside of the set where it can be projected."""
        if isinstance(pset, Projects):
            return pset.realise(x, self.case, self.radius)
        info = np.iinfo(self.case.x.dtype)
        return np.clip(np.rint(x.detach().cpu().numpy()), info.min, info.max).astype(self.case.x.dtype)

    def candidate(self, pset: PerturbationSet) -> Candidate:
        """The best ask, as the content that a file would hold."""
        x = self.storable(self.best_x, pset) if isinstance(self.case.x, np.ndarray) else self.best_x
        self.best_judged = True
        return Candidate(self.case.id, x, self.radius, self.best_proof)

    def judged(self, finding: Finding) -> None:
        """Keep the worst confirmed finding, or else the one nearest to the goal."""
        self.visits += 1
        self.crossed |= finding.ok
        if self.finding is None or (finding.ok, finding.margin) > (self.finding.ok, self.finding.margin):
            self.finding = finding

    def outcome(self, aim: Aim, meter: Meter, certified: Certificate | None, refused: list[str]) -> Outcome:
        """What is known of the case at this radius, now that every attack had its turn."""
        kind, why = self._kind(certified)
        drawn = np.array(self.drawn)
        trace = Trace(
            asked=self.asked,
            best=self.best,
            crossed=self.crossed,
            visits=self.visits,
            draws=len(drawn),
            flips=int((drawn > 0).sum()),
            margin_mean=float(drawn.mean()) if len(drawn) else None,
            margin_p95=float(np.quantile(drawn, 0.95)) if len(drawn) else None,
            tried=tuple(self.tried),
            gradients=self.gradients,
            dead=self.dead,
            promised=self.promised,
            climb=self.climbed(),
        )
        if refused and kind in ("held", "not_reached"):
            why = f"{why}; not tried for want of access: {', '.join(refused)}".removeprefix("; ")
        return Outcome(
            self.case.id,
            self.radius,
            kind,
            why,
            self.tried[-1] if self.tried else "",
            self.finding,
            None if certified is None else {"kind": certified.kind, **certified.data},
            meter.counts[self.case.id].to_json(),
            trace,
        )

    def _kind(self, certified: Certificate | None) -> tuple[OutcomeKind, str]:
        if self.failure:
            return "errored", self.failure
        if self.finding is not None and self.finding.ok:
            return "broken", self.finding.why
        if certified is not None:
            return "certified", f"certificate of kind {certified.kind} accepted"
        if self.faults:
            return "errored", self.faults[0]
        if self.finding is None and self.inapplicable:
            return "not_applicable", self.inapplicable
        if self.gradients and self.dead == self.gradients:
            return "errored", "every gradient was zero: the attack could not see the model (dead gradients)"
        if self.finding is None:
            if self.spent:
                return "not_reached", "the budget ended before anything could be judged"
            return "errored", NOTHING
        if not self.finding.margins:
            # The target was never asked about a changed file of this case: that is no comfort.
            why = NOTHING_CHANGED if self.finding.why == UNCHANGED else self.finding.why
            return "errored", why
        return "held", "budget spent" if self.spent else self.finding.why


def climb(item: Item, outcome: Outcome, radii: tuple[float, ...], aim: Aim, resolution: float) -> tuple[
    list[Outcome], Item | None
]:  # fmt: skip
    """Outcomes to report now, and the item at the radius to search next.

    "flip" climbs until broken; "worst" and "sample" search every radius; "closest" climbs until broken and then
    halves the gap down to `resolution`, and reports the smallest radius that broke.
    """
    broken = outcome.kind == "broken"
    if outcome.kind == "not_applicable" or item.failure:
        return [outcome, *([item.broken_at] if item.broken_at else [])], None
    if aim == "closest":
        outcome = _tightened(item, outcome, resolution)
        if item.broken_at is not None and outcome.kind not in ("broken", "held", "certified"):
            # What lies below is not known: the smallest radius that broke stands, and the error is told.
            return [outcome, item.broken_at], None
        low = item.held_at if broken else item.radius
        best = outcome if broken else item.broken_at
        if best is not None:
            told = [] if broken else [outcome]
            gap = best.radius - low
            if gap <= resolution:
                return [*told, best], None
            middle = low + max(resolution, np.floor(gap / 2 / resolution) * resolution)
            return told, Item(item.case, item.literals, float(middle), item.level, low, best)
    if (aim == "flip" and broken) or item.level + 1 >= len(radii):
        return [outcome], None
    level = item.level + 1
    return [outcome], Item(item.case, item.literals, radii[level], level, item.radius)


def _tightened(item: Item, outcome: Outcome, resolution: float) -> Outcome:
    """A break of a norm ball at the smallest radius that holds what was found."""
    finding = outcome.finding
    if outcome.kind != "broken" or finding is None or finding.cost is None or not isinstance(item.case.x, np.ndarray):
        return outcome
    if finding.proof is not None:
        return outcome
    needed = resolution * float(np.ceil(finding.cost.value / resolution - 1e-9))
    return replace(outcome, radius=min(outcome.radius, max(needed, resolution)))
