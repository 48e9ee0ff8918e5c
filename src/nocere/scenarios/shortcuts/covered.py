"""What a target still gets right of pictures in which the place of the lesion is covered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.cases.masks import marked
from nocere.core.batch import Batch
from nocere.core.case import Case, CaseSet
from nocere.core.intervals import Estimate, Interval, cluster_bootstrap, rate
from nocere.core.ranking import auroc, auroc_variance
from nocere.targets.base import Target, margins

CENTRE = 0.7  # height and width of the covered centre, as a share of the picture's: about half of its area
ROWS = 16  # of a call
DRAWS = 1000

Kept = Callable[[Case[Any]], NDArray[np.bool_] | None]


def centre(case: Case[Any]) -> NDArray[np.bool_]:
    """The box in the centre [H, W], the same for every picture of one size: its shape tells nothing."""
    h, w = case.x.shape[1:]
    row, column = np.abs(np.arange(h) - (h - 1) / 2), np.abs(np.arange(w) - (w - 1) / 2)
    return np.asarray((row < CENTRE * h / 2)[:, None] & (column < CENTRE * w / 2)[None])


def _all(case: Case[Any]) -> NDArray[np.bool_]:
    return np.ones(case.x.shape[1:], dtype=bool)


def _unmarked(case: Case[Any]) -> NDArray[np.bool_] | None:
    mask = marked(case)
    return None if mask is None else ~mask


KEPT: Mapping[str, Kept] = {
    "whole": _all,
    "without centre": lambda case: ~centre(case),
    "only centre": centre,
    "without mask": _unmarked,
}
"""Which pixels are left as they are; None where a case has no mask: it is then not asked about."""


def covered(case: Case[Any], kept: NDArray[np.bool_]) -> NDArray[Any]:
    """Stored values in which every pixel that is not kept [H, W] has the mean colour of those that are."""
    x = np.array(case.x)
    if kept.any() and not kept.all():
        x[:, ~kept] = np.rint(x[:, kept].mean(axis=1, keepdims=True)).astype(x.dtype)
    return x


def answers(cases: CaseSet, target: Target, label: str) -> dict[str, dict[str, float]]:
    """Margin of `label` for every case under every cover, by cover and case id."""
    at = list(target.decision.labels).index(label)
    found: dict[str, dict[str, float]] = {name: {} for name in KEPT}
    waiting: dict[tuple[str, tuple[int, ...]], list[tuple[Case[Any], NDArray[Any]]]] = {}

    def ask(name: str, rows: Sequence[tuple[Case[Any], NDArray[Any]]]) -> None:
        import torch

        x = torch.from_numpy(np.stack([x for _, x in rows]).astype(np.float32))
        told, _ = margins(target, Batch(x, tuple(c for c, _ in rows)))
        found[name].update({c.id: float(m) for (c, _), m in zip(rows, told[:, at], strict=True)})

    for case in cases:
        for name, kept in KEPT.items():
            left = kept(case)
            if left is None:
                continue
            rows = waiting.setdefault((name, case.x.shape), [])
            rows.append((case, covered(case, left)))
            if len(rows) == ROWS:
                ask(name, rows)
                rows.clear()
    for (name, _), rows in waiting.items():
        if rows:
            ask(name, rows)
    return found


def remaining(cases: CaseSet, target: Target, label: str, seed: int) -> list[dict[str, Any]]:
    """For each cover: AUROC, how many are decided rightly, and which share of the AUROC above chance is left.

    That share compares the same cases uncovered; its interval is a bootstrap over patients, and it is None where the
    whole pictures give no AUROC above 0.5 by a clear margin (their interval reaches 0.5).
    """
    refs = {r.id: r for r in cases.refs}
    found = answers(cases, target, label)
    out = []
    for name, told in found.items():
        ids = [i for i in told if np.isfinite(told[i]) and np.isfinite(found["whole"][i])]
        truth = np.array([label in refs[i].truth.labels for i in ids])
        if len(ids) < 2 or truth.all() or not truth.any():
            continue
        groups = [refs[i].group for i in ids]
        score, whole = np.array([told[i] for i in ids]), np.array([found["whole"][i] for i in ids])
        out.append(_row(name, truth, score, whole, groups, seed))
    return out


def _row(
    name: str,
    truth: NDArray[np.bool_],
    score: NDArray[np.float64],
    whole: NDArray[np.float64],
    groups: Sequence[str],
    seed: int,
) -> dict[str, Any]:
    def left(rows: NDArray[np.int64]) -> float:
        drawn = truth[rows]
        if drawn.all() or not drawn.any():
            return float("nan")
        before, after = (auroc_variance(s[rows], drawn, [""] * len(rows))[0] for s in (whole, score))
        return (after - 0.5) / (before - 0.5) if before > 0.5 else float("nan")

    share: dict[str, Any] | None = None
    if name != "whole" and auroc(whole, truth, groups).interval.low > 0.5:
        interval = cluster_bootstrap(left, groups, draws=DRAWS, seed=seed)
        share = {"value": left(np.arange(len(truth))), **_plain(interval)}
    right = (score > 0) == truth
    return {
        "cover": name,
        "auroc": plain(auroc(score, truth, groups)),
        "right": plain(rate(right, groups)),
        "sensitivity": plain(rate((score > 0)[truth], [g for g, t in zip(groups, truth, strict=True) if t])),
        "specificity": plain(rate((score <= 0)[~truth], [g for g, t in zip(groups, truth, strict=True) if not t])),
        "left": share,
    }


def plain(e: Estimate) -> dict[str, Any]:
    """An estimate as plain numbers."""
    return {"value": e.value, "k": e.k, "n": e.n, "groups": e.groups, **_plain(e.interval)}


def _plain(i: Interval) -> dict[str, Any]:
    return {"low": i.low, "high": i.high, "method": i.method}
