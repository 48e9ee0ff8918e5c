"""Indicators of attack failure: signs in the outcomes that a search, and not the model, is why nothing broke.

Each indicator says what was seen, in how many cases, and what to do. A PASS that leans on a search with an indicator
becomes INCONCLUSIVE (see `criteria`). They look at cells that are searched; draws at random cannot fail this way.

Sources: Pintor et al. 2022 (arXiv:2106.09947), Carlini et al. 2019 (arXiv:1902.06705), Athalye et al. 2018
(arXiv:1802.00420). The limits below are ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nocere.attacks.item import NOT_FINITE, NOTHING, NOTHING_CHANGED
from nocere.attacks.outcome import Outcome
from nocere.audit.measures.measure import CellResult, Results, by_case, state_at
from nocere.audit.referee import SAFETY
from nocere.core.errors import NocereError
from nocere.core.registry import get
from nocere.threats.pixels import DEEPEST

SHARE = 0.05  # of the cases looked at: fewer raise no alarm
UNBOUNDED_SHARE = 0.1  # of cases that may stay unbroken although anything was allowed
DEAD = 0.5  # of a case's gradients
RISING = 0.1  # of the whole rise, in the last quarter of the turns
LATE = 0.75  # of the evaluations that an unbroken case got
LATE_SHARE = 0.1  # of the cases that were still open then, broken after it
KEPT_PROMISE = 0.05  # of the rise that the first gradient promised

ADVICE = {
    "dead_gradients": "The model hides its gradient (rounding, saturation, hard thresholds). Search a differentiable "
    "stand-in (view) or by scores, and judge by that.",
    "misleading_gradients": "The gradient does not show the way (shattered or random). Search a smooth stand-in (view) "
    "or by scores.",
    "margins_near_noise": "The scores are too close together to be told from rounding errors. Declare a larger scale "
    "of the logits, or give them in float64.",
    "unconfirmed_successes": "Look at the reasons of these cases: noise, rounding or randomness of the target eats the "
    "successes.",
    "not_converged": "Give the search more steps.",
    "still_finding": "Give the search more starts, steps or stages until the last ones find nothing new.",
    "larger_budget_no_help": "The search does not use what it is allowed: other step size, other loss, random starts.",
    "unbroken_unbounded": "With everything allowed nearly every case must break: the search cannot see this model. "
    "Mend it before believing any other cell.",
    "black_box_wins": "A search that sees less found more: the gradient is masked, or the gradient search too weak.",
    "random_without_average": "Average gradients over draws (eot of image.pgd and image.apgd).",
    "nothing_moved": "The attack is broken, or has nothing to change here.",
}


@dataclass(frozen=True, slots=True)
class Indicator:
    """One sign of a failed search: `cases` of `of` that were looked at; `cells` are those that it casts doubt on.

    `radius` is None where it concerns all of them.
    """

    key: str
    cells: tuple[str, ...]
    radius: float | None
    seen: str
    cases: int
    of: int

    @property
    def advice(self) -> str:
        """What to do about it."""
        return ADVICE[self.key]

    def to_json(self) -> dict[str, Any]:
        """Plain form, with the advice."""
        return {**asdict(self), "cells": list(self.cells), "advice": self.advice}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Indicator:
        """Inverse of `to_json`."""
        fields: dict[str, Any] = {k: v for k, v in data.items() if k != "advice"}
        return cls(**{**fields, "cells": tuple(data["cells"])})


@dataclass(frozen=True, slots=True)
class _Searched:
    """A cell with its plan; `white` when gradients were really asked for."""

    plan: Mapping[str, Any]
    cell: CellResult

    @property
    def name(self) -> str:
        return self.cell.name

    @property
    def white(self) -> bool:
        return any(o.trace.gradients for o in self.cell.outcomes)

    @property
    def climbs(self) -> bool:
        """Searched radius by radius, so that outcomes of one radius can be compared."""
        return self.cell.aim in ("flip", "worst")

    @property
    def range(self) -> float:
        """The radius from which every stored image is allowed, else infinity."""
        threat = self.plan["threat"]
        return float((1 << (threat.get("bits", 8) or DEEPEST)) - 1) if self.cell.unit == "grey_levels" else np.inf

    def at(self, radius: float, *kinds: str) -> list[Outcome]:
        return [o for o in self.cell.outcomes if o.radius == radius and o.kind in kinds]

    def climbed(self, radius: float) -> list[Outcome]:
        """Unbroken cases at this radius that a gradient search looked at."""
        return [o for o in self.at(radius, "held") if o.trace.gradients and len(o.trace.climb) > 1]


def indicators(results: Results, plan: Mapping[str, Any], noise: float) -> list[Indicator]:
    """Every indicator that fires, in a fixed order.

    Args:
        results: of the whole audit.
        plan: the plan of the bundle.
        noise: the target's measured numerical noise.
    """
    tables = {c["name"]: c for c in plan["cells"]}
    cells = [_Searched(tables[c.name], c) for c in results.cells if c.aim != "sample"]
    found = [
        *_near_noise(results, cells, noise),
        *_unbounded(cells),
        *_black_box(cells),
    ]
    for s in cells:
        found += [*_nothing_moved(s), *_dead(s), *_unconfirmed(s)]
        if s.white and s.climbs:
            found += [*_misled(s, noise), *_rising(s, noise), *_late(s), *_no_help(s)]
        if s.white and plan["target"]["stochastic"]:
            found += _not_averaged(s)
    return found


def _fires(
    key: str, cells: Sequence[str], radius: float | None, seen: str, k: int, n: int, share: float = SHARE
) -> Iterator[Indicator]:
    if k and k >= share * n:
        yield Indicator(key, tuple(cells), radius, f"{k} of {n} cases: {seen}.", k, n)


def _nothing_moved(s: _Searched) -> Iterator[Indicator]:
    for r in s.cell.radii:
        looked = s.at(r, "broken", "held", "certified", "errored")
        bad = [o for o in looked if o.kind == "errored" and o.why in (NOTHING, NOTHING_CHANGED)]
        yield from _fires("nothing_moved", [s.name], r, "the attack changed nothing", len(bad), len(looked))


def _dead(s: _Searched) -> Iterator[Indicator]:
    for r in dict.fromkeys(o.radius for o in s.cell.outcomes):
        looked = [o for o in s.at(r, "held", "errored") if o.trace.gradients]
        bad = [o for o in looked if o.trace.dead >= DEAD * o.trace.gradients or o.why == NOT_FINITE]
        seen = "most gradients were zero, or not finite"
        yield from _fires("dead_gradients", [s.name], r if s.climbs else None, seen, len(bad), len(looked))


def _unconfirmed(s: _Searched) -> Iterator[Indicator]:
    for r in s.cell.radii if s.climbs else ():
        looked = s.at(r, "broken", "held")
        bad = [o for o in looked if o.kind == "held" and o.trace.crossed]
        seen = "the search met the goal, but the target, asked again about the written file, did not confirm it"
        yield from _fires("unconfirmed_successes", [s.name], r, seen, len(bad), len(looked))


def _misled(s: _Searched, noise: float) -> Iterator[Indicator]:
    # At the smallest radius, where a gradient still describes the model.
    r = s.cell.radii[0]
    if r >= s.range or s.cell.unit not in ("grey_levels", "l2_grey_levels"):
        return
    looked = [o for o in s.climbed(r) if (o.trace.promised or 0.0) > SAFETY * noise]
    bad = [o for o in looked if _rise(o) < KEPT_PROMISE * (o.trace.promised or 0.0)]
    seen = f"the margin rose by less than {KEPT_PROMISE:.0%} of what its gradient promised"
    yield from _fires("misleading_gradients", [s.name], r, seen, len(bad), len(looked))


def _rise(o: Outcome) -> float:
    return o.trace.climb[-1] - o.trace.climb[0]


def _rising(s: _Searched, noise: float) -> Iterator[Indicator]:
    for r in s.cell.radii:
        looked = [o for o in s.climbed(r) if _rise(o) > SAFETY * noise]
        bad = [o for o in looked if o.trace.climb[-1] - o.trace.climb[-2] > RISING * _rise(o)]
        seen = f"the last quarter of the search still gave more than {RISING:.0%} of its whole rise"
        yield from _fires("not_converged", [s.name], r, seen, len(bad), len(looked))


def _late(s: _Searched) -> Iterator[Indicator]:
    for r in s.cell.radii:
        held = s.climbed(r)
        whole = max((o.trace.asked for o in held), default=0)
        late = [o for o in s.at(r, "broken") if o.trace.asked > LATE * whole > 0] if s.cell.aim == "flip" else []
        seen = "broken only by the last quarter of the evaluations, of those that were still open then"
        n = len(late) + len(held)
        yield from _fires("still_finding", [s.name], r, seen, len(late), n, LATE_SHARE)


def _no_help(s: _Searched) -> Iterator[Indicator]:
    for r, larger in zip(s.cell.radii, s.cell.radii[1:], strict=False):
        before = {o.case_id: o.trace.best for o in s.climbed(r) if o.trace.best is not None}
        looked = [o for o in s.climbed(larger) if o.trace.best is not None and o.case_id in before]
        bad = [o for o in looked if (o.trace.best or 0.0) <= (before[o.case_id] or 0.0)]
        seen = f"no nearer to the goal within {larger:g} than within {r:g}"
        yield from _fires("larger_budget_no_help", [s.name], larger, seen, len(bad), len(looked))


def _not_averaged(s: _Searched) -> Iterator[Indicator]:
    if any(a.get("eot", 1) > 1 for a in s.plan["attacks"]):
        return
    for r in s.cell.radii:
        looked = s.at(r, "broken", "held")
        held = [o for o in looked if o.kind == "held"]
        seen = "unbroken by gradients of single draws of a target that answers at random"
        yield from _fires("random_without_average", [s.name], r, seen, len(held), len(looked))


def _near_noise(results: Results, cells: Sequence[_Searched], noise: float) -> Iterator[Indicator]:
    known = [m for i, m in results.clean.items() if m and not results.clean_why.get(i)]
    limit = 10 * SAFETY * noise
    small = [m for m in known if max(abs(v) for v in m) < limit]
    seen = f"every margin is below {limit:g}, {10 * SAFETY:g} times the target's numerical noise"
    yield from _fires("margins_near_noise", [s.name for s in cells], None, seen, len(small), len(known))


def _unbounded(cells: Sequence[_Searched]) -> Iterator[Indicator]:
    doubted = [s.name for s in cells if s.white and not s.plan.get("sanity")]
    for s in cells:
        r = s.cell.radii[-1]
        if not s.white or r < s.range:
            continue
        states = [state_at(rows, r) for rows in by_case(s.cell).values()]
        looked = [x for x in states if x in ("broken", "held", "certified", "errored", "not_reached")]
        left = [x for x in looked if x != "broken"]
        seen = f"not broken although any image was allowed (cell {s.name})"
        yield from _fires(
            "unbroken_unbounded", doubted or [s.name], None, seen, len(left), len(looked), UNBOUNDED_SHARE
        )


def _black_box(cells: Sequence[_Searched]) -> Iterator[Indicator]:
    whites = [s for s in cells if s.white and not s.plan["view"]]
    for w in whites:
        yield from _later_stages(w)
        mine = by_case(w.cell)
        for b in cells:
            if (b.white and not b.plan["view"]) or not _same_game(w.plan, b.plan):
                continue
            theirs = by_case(b.cell)
            both = [i for i in mine if i in theirs]
            for r in sorted(set(w.cell.radii) & set(b.cell.radii)):
                states = [(state_at(mine[i], r), state_at(theirs[i], r)) for i in both]
                looked = [(x, y) for x, y in states if x in ("broken", "held") and y in ("broken", "held")]
                beaten = looked.count(("held", "broken"))
                how = "transfer" if b.plan["view"] else "without gradients"
                seen = f"broken {how} (cell {b.name}), and not by gradients (cell {w.name})"
                yield from _fires("black_box_wins", [w.name], r, seen, beaten, len(looked))


def _later_stages(w: _Searched) -> Iterator[Indicator]:
    """A cascade in which an attack without gradients broke what those with gradients before it could not."""
    blind = {a["name"] for a in w.plan["attacks"] if _is_blind(a)}
    for r in w.cell.radii:
        late = [o for o in w.at(r, "broken") if o.stage in blind and o.trace.gradients]
        seen = "broken by a later stage without gradients, of those that gradients had left"
        yield from _fires("black_box_wins", [w.name], r, seen, len(late), len(late) + len(w.climbed(r)))


def _is_blind(attack: Mapping[str, Any]) -> bool:
    if "access" in attack:
        return bool(attack["access"] != "gradients")  # of another library: its plan says what it needs
    try:
        return "gradients" not in get("attack", attack["name"]).make.needs  # type: ignore[attr-defined]
    except NocereError:
        return False  # made in Python and not registered: nothing is known of it


def _same_game(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Same rules but for the radius, and the same goal."""
    keys = (set(a["threat"]) | set(b["threat"])) - {"radius"}
    return a["goal"] == b["goal"] and all(a["threat"].get(k) == b["threat"].get(k) for k in keys)
