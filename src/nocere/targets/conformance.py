"""A conformance kit for targets: what an audit relies on, tried on some cases before hours are spent on it.

For adapters of your own, too: `failures(conform(target, cases))` is empty where a target keeps its promises.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.core.batch import Batch
from nocere.core.case import Case
from nocere.core.errors import NocereError, TargetError
from nocere.core.rng import generator
from nocere.targets.base import FEWEST, Gradients, Scores, Target, check_answers, margins

ROWS = 16
AGREES = 1e-4  # of the largest score: what another batch may change
STEPS = (0.125, 0.25, 0.5, 1.0, 2.0)  # stored units, for finite differences
SLOPE = 0.05  # of the steepest slope

Ask = Callable[[Sequence[Case[Any]]], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Check:
    """One promise: kept, broken, or (None) not one that this target makes."""

    name: str
    ok: bool | None
    told: str


def failures(checks: Sequence[Check]) -> list[Check]:
    """The broken promises."""
    return [c for c in checks if c.ok is False]


def conform(target: Target, cases: Sequence[Case[Any]], again: Callable[[], Target] | None = None) -> list[Check]:
    """Try what an audit relies on.

    Args:
        target: the target.
        cases: some; those of the first one's shape are used, 16 at most. Two different ones are needed.
        again: loads the target once more, to compare fingerprints.

    Raises:
        TargetError: fewer than two cases of one shape.
    """
    rows = [c for c in cases if np.shape(c.x) == np.shape(cases[0].x)][:ROWS]
    if len(rows) < 2:
        raise TargetError(f"{len(rows)} case(s) of one shape are too few to check {target.name}; two are needed.")
    before = target.state()

    def ask(these: Sequence[Case[Any]]) -> NDArray[np.float64]:
        decided, raw = margins(target, _batch(these))
        return decided if raw is None else raw

    try:
        first = ask(rows)
    except NocereError as e:
        return [Check("answers", False, str(e))]
    out = [
        Check("answers", True, f"{len(rows)} rows, by {'scores' if isinstance(target, Scores) else 'labels'}"),
        _shape(target, first, len(rows)),
        _finite(first),
        _decided(target, rows),
        _declared(target, first),
        _repeated(target, ask, rows, first),
        _invariant(target, ask, rows, first),
        _left_alone(target, rows),
        _gradients(target, rows),
    ]
    out.append(Check("state is left alone", target.state() == before, "weights, buffers and modes, by their hash"))
    return [*out, _fingerprint(target, rows, first, again)]


def _batch(cases: Sequence[Case[Any]]) -> Batch:
    seeds = np.array([generator("conformance", c.id).integers(1 << 62) for c in cases], dtype=np.uint64)
    if not isinstance(cases[0].x, np.ndarray):
        return Batch([c.x for c in cases], tuple(cases), seeds)
    import torch

    return Batch(torch.from_numpy(np.stack([c.x.astype(np.float32) for c in cases])), tuple(cases), seeds)


def _shape(target: Target, z: NDArray[Any], n: int) -> Check:
    width = target.decision.columns if isinstance(target, Scores) else len(target.decision.labels)
    ok = isinstance(z, np.ndarray) and z.dtype == np.float64 and z.shape == (n, width)
    return Check("shape and type", ok, f"{z.dtype} {z.shape}; float64 {(n, width)} is promised")


def _finite(z: NDArray[np.float64]) -> Check:
    bad = int((~np.isfinite(z).all(axis=1)).sum())
    return Check("finite", not bad, f"{bad} of {len(z)} rows have a score that is not finite")


def _decided(target: Target, rows: Sequence[Case[Any]]) -> Check:
    asserted = (margins(target, _batch(rows))[0] > 0).sum(axis=1)
    if not target.decision.exclusive:
        return Check("decision", None, "labels do not exclude each other")
    ok = bool((asserted == 1).all())
    return Check("decision", ok, f"{int(asserted.min())} to {int(asserted.max())} labels a row; one is promised")


def _declared(target: Target, z: NDArray[np.float64]) -> Check:
    name = "outputs are what is declared"
    if not isinstance(target, Scores):
        same = bool((z == z[0]).all())
        return Check(name, not same, "the same label for every row" if same else "labels differ between rows")
    try:
        check_answers(z, target)
    except TargetError as e:
        return Check(name, False, str(e))
    told = f"{getattr(target, 'outputs', 'logits')}, {np.nanmin(z):.3g} to {np.nanmax(z):.3g} as logits"
    few = f"; {FEWEST} rows are needed to tell probabilities from logits" if len(z) < FEWEST else ""
    return Check(name, True, told + few)


def _repeated(target: Target, ask: Ask, rows: Sequence[Case[Any]], first: NDArray[np.float64]) -> Check:
    name = "same rows, same answers"
    off = _off(ask(rows), first)
    if target.stochastic:
        return Check(name, None, f"declared stochastic; with the same seeds, scores differ by {off:.2g}")
    return Check(name, off == 0, f"they differ by {off:.2g}; declare stochastic = true where that is meant")


def _invariant(target: Target, ask: Ask, rows: Sequence[Case[Any]], first: NDArray[np.float64]) -> Check:
    name = "a row's answer does not depend on its batch"
    if target.stochastic:
        return Check(name, None, "declared stochastic")
    alone = np.concatenate([ask([c]) for c in rows])
    off = max(_off(alone, first), _off(ask(rows[::-1])[::-1], first), _off(ask(rows[1:]), first[1:]))
    most = AGREES * max(1.0, float(np.nanmax(np.abs(first)))) if isinstance(target, Scores) else 0.0
    return Check(name, off <= most, f"alone, turned round or fewer: they differ by {off:.2g} ({most:.2g} is allowed)")


def _left_alone(target: Target, rows: Sequence[Case[Any]]) -> Check:
    batch = _batch(rows)
    kept = copy.deepcopy(batch.x)
    margins(target, batch)
    same = bool((batch.x == kept).all()) if isinstance(rows[0].x, np.ndarray) else batch.x == kept
    return Check("input is left alone", same, "compared before and after")


def _gradients(target: Target, rows: Sequence[Case[Any]]) -> Check:
    name = "gradients"
    if "gradients" not in target.access or not isinstance(target, Gradients):
        return Check(name, None, getattr(target, "gradients_why", "") or "none are offered")
    if not isinstance(rows[0].x, np.ndarray) or target.stochastic:
        return Check(name, None, "checked on arrays and targets that do not draw only")
    import torch

    batch = _batch(rows)
    z, pullback = target.vjp(batch)
    off = _off(z.numpy(), target.scores(batch))
    if off > AGREES * max(1.0, float(z.abs().max())):
        return Check(name, False, f"they come with other scores, by {off:.2g}")
    weight = np.array([1.0, -0.5, 0.25, -0.125][: z.shape[1]] + [0.0625] * max(z.shape[1] - 4, 0))
    g = pullback(torch.from_numpy(weight).to(z.dtype).expand_as(z).contiguous())
    if not bool(torch.isfinite(g).all()):
        return Check(name, False, "not all of them are finite")
    flat = g.double().flatten(1)
    steepest = flat.abs().sum(1).numpy()
    if float(steepest.max()) == 0:
        return Check(name, False, "all of them are zero: nothing can be learned from them")
    rng = generator("conformance", "direction")
    drawn = torch.from_numpy(rng.choice([-1.0, 1.0], size=tuple(g.shape))).to(g.dtype)
    worst = np.zeros(len(rows))
    for way in (torch.sign(g), drawn):
        told = (g.double() * way).flatten(1).sum(1).numpy()
        seen = np.array([_slope(target, batch, way, h, weight) for h in STEPS])
        with np.errstate(divide="ignore", invalid="ignore"):
            errors = np.nan_to_num(np.abs(seen - told) / steepest, nan=0.0, posinf=np.inf)
        worst = np.maximum(worst, errors.min(axis=0))
    # The median: a kink within the smallest step is the net's own, and no fault of its gradient.
    median = float(np.median(worst))
    told_by = f"off finite differences by {median:.1%} of the steepest slope (median row), {worst.max():.1%} at most"
    return Check(name, median <= SLOPE, told_by)


def _slope(target: Scores, batch: Batch, way: Any, step: float, weight: NDArray[np.float64]) -> NDArray[np.float64]:
    up = target.scores(Batch(batch.x + step * way, batch.like, batch.seeds)) @ weight
    down = target.scores(Batch(batch.x - step * way, batch.like, batch.seeds)) @ weight
    return np.asarray((up - down) / (2 * step))


def _fingerprint(
    target: Target, rows: Sequence[Case[Any]], first: NDArray[np.float64], again: Callable[[], Target] | None
) -> Check:
    name = "fingerprint is stable"
    others: list[tuple[str, Any]] = [] if again is None else [("loaded again", again())]
    try:
        others.append(("copied", pickle.loads(pickle.dumps(target))))  # noqa: S301  made here
    except (TypeError, AttributeError, RuntimeError, pickle.PicklingError):
        if again is None:
            return Check(name, None, "the target cannot be copied, and was not loaded again")
    for how, other in others:
        if other.fingerprint != target.fingerprint:
            return Check(name, False, f"{how}, the target has another fingerprint")
        decided, raw = margins(other, _batch(rows))
        off = _off(decided if raw is None else raw, first)
        if not target.stochastic and off > AGREES * max(1.0, float(np.nanmax(np.abs(first)))):
            return Check(name, False, f"{how}, the target has the same fingerprint and other scores, by {off:.2g}")
    return Check(name, True, f"{target.fingerprint[:12]}, {' and '.join(how for how, _ in others)}")


def _off(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """The largest difference; rows that are not finite in both are equal."""
    if a.shape != b.shape:
        return float("inf")
    both = ~np.isfinite(a) & ~np.isfinite(b)
    return float(np.nan_to_num(np.abs(np.where(both, 0.0, a) - np.where(both, 0.0, b)), nan=np.inf).max())
