"""How well the model picks claims for review, as it is and after every provider has given its best true answer.

AUROC hides what imbalance does to a review desk: precision at the desk's capacity is what it lives on. After best
response, the contested claims that true codes turn are no longer among those that the model picks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.audit.bundle import Bundle
from nocere.core.intervals import Estimate, Interval, cluster_bootstrap, rate
from nocere.scenarios.claims_review.contested import TRUTHFUL, WIDE, Contested
from nocere.scenarios.claims_review.gaming import plain
from nocere.targets.claims.payer import auprc

CAPACITY = 0.1  # share of the claims that a desk has time for
BINS = 10


def quality(bundle: Bundle, claims: Sequence[Contested], wanted: str, k: int) -> dict[str, Any] | None:
    """Precision, lift and calibration on claims whose truth is known; None for a decision of more than two labels.

    Args:
        bundle: the audit.
        claims: its contested claims.
        wanted: the label that providers want; the other one is what the model picks claims for.
        k: edits of the best response.
    """
    labels = bundle.plan["target"]["decision"]["labels"]
    rows = {r["case_id"]: r for r in bundle.read("clean.json")["cases"]}
    refs = [r for r in bundle.refs if r.truth.labels and rows[r.id]["margins"]]
    truth = np.array([wanted not in r.truth.labels for r in refs])
    if len(labels) != 2 or not truth.any() or truth.all():
        return None
    picked = labels.index(next(label for label in labels if label != wanted))
    score = np.array([rows[r.id]["margins"][picked] for r in refs])
    groups = [r.attrs.get("provider") or r.group for r in refs]
    desk = max(1, round(CAPACITY * len(refs)))
    base = float(truth.mean())

    def at_capacity(gone: frozenset[str]) -> dict[str, Any]:
        left = np.array([-np.inf if r.id in gone else s for r, s in zip(refs, score, strict=True)])
        top = np.argsort(-left, kind="stable")[:desk]
        # A desk does not fill up with claims that the model passes.
        top = top[left[top] > 0]
        if not len(top):
            return {"precision": None, "lift": None, "reviewed": 0}
        found = rate(truth[top], [groups[i] for i in top])
        return {"precision": plain(found), "lift": found.value / base, "reviewed": len(top)}

    after: Mapping[str, frozenset[str]] = {
        cell: frozenset(c.case.id for c in claims if c.turned(cell, k)) for cell in (TRUTHFUL, WIDE)
    }
    told = [rows[r.id]["probabilities"] for r in refs]
    p = None if any(q is None for q in told) else np.array([q[picked] for q in told])
    return {
        "n": len(refs),
        "base_rate": base,
        "capacity": CAPACITY,
        "edits": k,
        "auprc": plain(auprc(score, truth.astype(np.int64), groups)),
        "before": at_capacity(frozenset()),
        "after": {cell: at_capacity(gone) for cell, gone in after.items()},
        "calibration": None if p is None else _calibration(p, truth, groups),
    }


def _calibration(p: NDArray[np.float64], truth: NDArray[np.bool_], groups: list[str]) -> dict[str, Any]:
    """Brier score, and expected calibration error over ten bins of equal width."""

    def brier(at: NDArray[np.int64]) -> float:
        return float(((p[at] - truth[at]) ** 2).mean())

    def ece(at: NDArray[np.int64]) -> float:
        which = np.minimum((p[at] * BINS).astype(int), BINS - 1)
        gaps = [abs(float((p[at] - truth[at])[which == b].sum())) for b in range(BINS)]
        return sum(gaps) / len(at)

    every = np.arange(len(p))
    out = {}
    for name, value in (("brier", brier), ("ece", ece)):
        found = value(every)
        i = cluster_bootstrap(value, groups) if len(set(groups)) > 1 else Interval(found, found, 0.95, "one provider")
        around = Interval(min(i.low, found), max(i.high, found), i.level, i.method)
        out[name] = plain(Estimate(found, len(p), None, around, len(set(groups))))
    return out
