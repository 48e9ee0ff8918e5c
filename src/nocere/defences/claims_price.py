"""The price of a defence: what the model still tells apart, and what still flips it, each with its interval.

Three attackers: one who writes only what is true (a truthful set, every member asked), one who adds codes that nothing
supports (greedy: a lower bound), and one who swaps codes that a source outside of the rule graph calls the same. The
last one says how far "by construction" reaches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nocere.cases.claim import Claim, Diagnosis
from nocere.clinical.codes.graph import NINTH, RuleGraph
from nocere.core.case import Case
from nocere.core.decision import OneLogit, logit
from nocere.core.errors import UsageError
from nocere.core.intervals import Estimate, Interval, cluster_bootstrap, rate
from nocere.core.ranking import auroc
from nocere.targets.claims.encoder import Encoder
from nocere.targets.claims.payer import KINDS, SUMS, auprc, fit
from nocere.targets.claims.target import ClaimTarget

MOST = 20_000  # members of a set that are asked for one claim


class Recipe(Protocol):
    """A way to train a payer's model."""

    @property
    def name(self) -> str: ...

    def train(self, claims: Sequence[Claim], truth: NDArray[np.int64], *, seed: int) -> tuple[Any, Encoder]: ...


class Members(Protocol):
    """A perturbation set of claims, as far as it is needed here."""

    def members(self, case: Case[Claim]) -> Iterable[tuple[Claim, Any]]: ...


@dataclass(frozen=True, slots=True)
class Plain:
    """No defence: codes, categories and how many there are."""

    trees: int = 200
    leaves: int = 15
    name: str = "plain"

    def train(self, claims: Sequence[Claim], truth: NDArray[np.int64], *, seed: int) -> tuple[Any, Encoder]:
        """A fitted model and its encoder."""
        encoder = Encoder.learn(claims, KINDS, least=20, sums=SUMS)
        return fit(encoder.rows(claims), truth, "lightgbm", encoder, self.trees, self.leaves, seed), encoder


@dataclass(frozen=True, slots=True)
class Labelled:
    """Claims with what was decided (1: denied) and their patients."""

    claims: Sequence[Claim]
    truth: NDArray[np.int64]
    patients: Sequence[str]


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained model as a target, and how it ranks held-out claims; its line denies as many as were denied."""

    name: str
    model: Any
    target: ClaimTarget
    scores: NDArray[np.float64]
    auroc: Estimate
    auprc: Estimate


def trained(recipe: Recipe, train: Labelled, held_out: Labelled, *, seed: int = 0) -> Trained:
    """Trains on one set and looks at another of other patients.

    Raises:
        UsageError: a patient is in both.
    """
    both = set(train.patients) & set(held_out.patients)
    if both:
        raise UsageError(f"Patient {min(both)} is in the training and in the held-out claims.", "Split by patient.")
    model, encoder = recipe.train(train.claims, train.truth, seed=seed)
    asked = ClaimTarget(model, encoder, OneLogit(("approve", "deny")))
    scores = asked.row_scores(encoder.rows(held_out.claims))[:, 0]
    line = float(1 / (1 + np.exp(-np.quantile(scores, 1 - float(held_out.truth.mean())))))
    target = ClaimTarget(model, encoder, OneLogit(("approve", "deny"), line), name=recipe.name)
    groups = list(held_out.patients)
    ranked = auroc(scores, held_out.truth, groups), auprc(scores, held_out.truth, groups)
    return Trained(recipe.name, model, target, scores, *ranked)


def auroc_lost(before: Trained, after: Trained, held_out: Labelled, *, draws: int = 400) -> Estimate:
    """AUROC before minus AUROC after on the same claims, with a bootstrap interval over patients."""
    truth, groups = np.asarray(held_out.truth), list(held_out.patients)

    def lost(rows: NDArray[np.int64]) -> float:
        if truth[rows].min() == truth[rows].max():
            return float("nan")
        return _area(before.scores[rows], truth[rows]) - _area(after.scores[rows], truth[rows])

    value = before.auroc.value - after.auroc.value
    around = cluster_bootstrap(lost, groups, draws=draws)
    interval = Interval(min(around.low, value), max(around.high, value), around.level, around.method)
    return Estimate(value, len(truth), None, interval, len(set(groups)))


def _area(scores: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    from scipy.stats import rankdata

    n = int(truth.sum())
    return (float(rankdata(scores)[truth == 1].sum()) - n * (n + 1) / 2) / (n * (len(truth) - n))


def denied(target: ClaimTarget, cases: Iterable[Case[Claim]]) -> list[Case[Claim]]:
    """The cases that the target denies."""
    found = list(cases)
    over = _over(target, [c.x for c in found])
    return [c for c, is_over in zip(found, over, strict=True) if is_over]


def flipped(target: ClaimTarget, cases: Sequence[Case[Claim]], pset: Members, *, most: int = MOST) -> Estimate:
    """Share of denied cases with a member of the set that is approved; exact where none has more than `most` members.

    Raises:
        UsageError: no case.
    """
    hits = []
    for case in cases:
        members = [x for x, _ in islice(pset.members(case), most)]
        hits.append(bool(members) and not _over(target, members).all())
    return _share(hits, cases)


def stuffed(target: ClaimTarget, cases: Sequence[Case[Claim]], codes: Sequence[str], *, k: int = 2) -> Estimate:
    """Share of denied cases approved after `k` of `codes` at most are added one by one, the most helpful first.

    Nothing asks whether they are true. A lower bound: the search is greedy.

    Raises:
        UsageError: no case.
    """
    hits = []
    for case in cases:
        claim, done = case.x, False
        for _ in range(k):
            more = [c for c in codes if c not in claim.codes]
            if not more:
                break
            tried = [claim.with_diagnoses((*claim.diagnoses, Diagnosis(c))) for c in more]
            scores = target.row_scores(target.encoder.rows(tried))[:, 0]
            claim = tried[int(np.argmin(scores))]
            done = done or bool(scores.min() <= _line(target))
        hits.append(done)
    return _share(hits, cases)


@dataclass(frozen=True, slots=True)
class Leak:
    """What swaps from outside of the rule graph do.

    Args:
        changed: share of (claim, swap) pairs in which the model's features change.
        flipped: share of denied claims that one swap gets approved.
    """

    changed: Estimate
    flipped: Estimate


def leak(target: ClaimTarget, cases: Sequence[Case[Claim]], swaps: Mapping[str, Sequence[str]]) -> Leak:
    """Tries every swap (code -> codes that a source calls the same) of every denied case, one at a time.

    Raises:
        UsageError: no case, or none that a swap applies to.
    """
    changed, groups, hits, touched = [], [], [], []
    for case in cases:
        tried = [
            case.x.with_diagnoses(
                tuple(Diagnosis(b, d.poa, d.evidence) if d.code == a else d for d in case.x.diagnoses)
            )
            for a in dict.fromkeys(case.x.codes)
            for b in swaps.get(a, ())
            if b not in case.x.codes
        ]
        if not tried:
            continue
        rows, was = target.encoder.rows(tried), target.encoder.rows([case.x])
        changed += [bool(v) for v in (rows != was).any(axis=1)]
        groups += [case.group or case.id] * len(tried)
        hits.append(not _over(target, tried).all())
        touched.append(case)
    if not touched:
        raise UsageError("No swap applies to any of the denied claims.")
    return Leak(rate(changed, groups), _share(hits, touched))


def gem_swaps(rules: RuleGraph) -> dict[str, tuple[str, ...]]:
    """Code -> other codes that CMS's mapping of 2018 gives for the same ICD-9-CM code: a source outside of the rules.

    The old classification did not tell them apart, so somebody who thinks in it may write either. Rows that need
    several codes at once are left out, and so are codes that are no longer complete.
    """
    found: dict[str, set[str]] = {}
    for code in rules.tree(NINTH).codes:
        rows = rules.gem(code) if rules.billable(code, NINTH) else ()
        same = {r.target for r in rows if r.target and not r.combination and rules.billable(r.target)}
        for a in same:
            found.setdefault(a, set()).update(same - {a})
    return {a: tuple(sorted(others)) for a, others in sorted(found.items()) if others}


def _line(target: ClaimTarget) -> float:
    decision = target.decision
    assert isinstance(decision, OneLogit)
    return logit(decision.threshold)


def _over(target: ClaimTarget, claims: Sequence[Claim]) -> NDArray[np.bool_]:
    return target.row_scores(target.encoder.rows(claims))[:, 0] > _line(target)


def _share(hits: Sequence[bool], cases: Sequence[Case[Claim]]) -> Estimate:
    if not cases:
        raise UsageError("No denied claim to attack.", "Give more claims, or a lower threshold.")
    return rate(list(hits), [c.group or c.id for c in cases])
