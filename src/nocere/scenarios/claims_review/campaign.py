"""A campaign: one provider's claims edited together, against a payer that scores the provider and not the claim.

The search is greedy over all claims of the provider and then goes back over its choices; what it finds is a lower bound
on what a provider could do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nocere.cases.claim import Claim
from nocere.core.batch import Batch
from nocere.core.case import Case
from nocere.core.errors import UsageError
from nocere.targets.base import Target, margins
from nocere.threats.codes.edit import Edit
from nocere.threats.codes.sets import CodeEdits, edits_of

SetScore = Callable[[Sequence[Claim]], float]
ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Campaign:
    """What was found for one provider.

    Args:
        edits: of each claim; empty where it stays as it is.
        usd_before, usd_after: what the claims pay together.
        score_before, score_after: of the provider.
        asked: how often the provider was scored.
    """

    edits: tuple[tuple[Edit, ...], ...]
    usd_before: float
    usd_after: float
    score_before: float
    score_after: float
    asked: int


def mean_score(target: Target, label: str, case: Case[Claim]) -> SetScore:
    """A provider's score: the mean margin to `label` over its claims, as a payer would flag outliers among providers.

    Args:
        target: scores claims.
        label: what speaks against a claim.
        case: stands behind the rows that the target is shown.

    Raises:
        UsageError: the target has no such label.
    """
    if label not in target.decision.labels:
        raise UsageError(f"{target.name} has no label {label!r}.", f"Labels: {', '.join(target.decision.labels)}.")
    k = target.decision.labels.index(label)

    def score(claims: Sequence[Claim]) -> float:
        return float(margins(target, Batch(list(claims), (case,) * len(claims)))[0][:, k].mean())

    return score


def campaign(
    cases: Sequence[Case[Claim]], pset: CodeEdits, score: SetScore, limit: float, pays: Callable[[Claim], float],
    *, looks: int = 2_000,
) -> Campaign:  # fmt: skip
    """Raise what a provider's claims pay together while its score stays at or below `limit`: a lower bound.

    Args:
        cases: the claims of one provider.
        pset: what may be done to each of them.
        score: of a provider, from all of its claims; higher is more suspicious.
        limit: above it the provider is looked at.
        pays: US dollars of one claim.
        looks: most evaluations of `score`.

    Raises:
        UsageError: no claim.
    """
    if not cases:
        raise UsageError("A campaign needs at least one claim.")
    now = [c.x for c in cases]
    chosen: list[tuple[Edit, ...]] = [()] * len(cases)
    options = [[(c.x, ()), *((x, edits_of(p)) for x, p in pset.members(c))] for c in cases]
    usd = [np.array([pays(x) for x, _ in rows]) for rows in options]
    paid = [float(u[0]) for u in usd]
    first = score(now)
    asked, best = 1, first
    for _ in range(ROUNDS):
        changed = False
        # The claims with most to gain first; of each, its dearest form that keeps the provider below the limit.
        for i in sorted(range(len(cases)), key=lambda i: (paid[i] - float(usd[i].max()), i)):
            for j in np.argsort(-usd[i], kind="stable"):
                gains = usd[i][j] > paid[i]
                # Above the limit nothing passes: there a form that pays no less and lowers the score is worth as much.
                if asked >= looks or not (
                    gains or (best > limit and usd[i][j] == paid[i] and options[i][j][0] != now[i])
                ):
                    break
                x, edits = options[i][j]
                told = score([*now[:i], x, *now[i + 1 :]])
                asked += 1
                if told <= limit or told < best:
                    now[i], chosen[i], paid[i], best, changed = x, edits, float(usd[i][j]), told, True
                    break
        if not changed or asked >= looks:
            break
    before = float(sum(u[0] for u in usd))
    return Campaign(tuple(chosen), before, float(sum(paid)), first, best, asked)
