"""What edits are worth in dollars to the providers of an audit: by claim, and by one provider's claims together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import numpy as np

from nocere.cases.claim import Claim
from nocere.clinical.codes.payment import DrgPayment, RiskPayment
from nocere.core.case import Case, CaseSet
from nocere.core.errors import PrerequisiteError
from nocere.scenarios.claims_review.campaign import campaign, mean_score
from nocere.scenarios.claims_review.contested import ALL, TRUTHFUL, WIDE
from nocere.scenarios.claims_review.gaming import total
from nocere.scenarios.claims_review.payment import dearest
from nocere.targets.base import Target
from nocere.threats.codes.sets import AllEdits, CodeEdits, Truthful, TruthfulWide

PAID = 20  # claims of each payment search, from the first on
PAID_EDITS = 2
STAYS = 400  # inpatient claims among which the campaign looks for its provider
LOOKS = 400  # evaluations of the provider's score
PSETS: dict[str, type[CodeEdits]] = {TRUTHFUL: Truthful, WIDE: TruthfulWide, ALL: AllEdits}


def payments(cases: CaseSet, target: Target, wanted: str) -> list[dict[str, Any]]:
    """What two edits are worth while the model lets the claim pass, by MS-DRG and by risk score: the first claims that
    are paid so.
    """
    out: list[dict[str, Any]] = []
    for by, sort, payer in (("MS-DRG weight", _stay, DrgPayment), ("CMS-HCC V28 risk score", _risk, RiskPayment)):
        claims = list(islice((c for c in cases if sort(c.x)), PAID))
        try:
            pays = payer()
            sets = {name: _uplift(claims, pset(PAID_EDITS), target, wanted, pays.usd) for name, pset in PSETS.items()}
        except PrerequisiteError as e:
            out.append({"by": by, "missing": str(e)})
            continue
        rate = pays.base_rate if isinstance(pays, DrgPayment) else pays.benchmark
        out.append({"by": by, "usd_a_point": rate, "n": len(claims), "edits": PAID_EDITS, "sets": sets})
    return out


def _stay(claim: Claim) -> bool:
    return claim.setting == "inpatient" and claim.system == "ICD-10-CM"


def _risk(claim: Claim) -> bool:
    return claim.system == "ICD-10-CM" and claim.age >= 65 and bool(claim.sex)


def _uplift(
    claims: Sequence[Case[Claim]], pset: CodeEdits, target: Target, wanted: str, pays: Callable[[Claim], float]
) -> dict[str, Any]:
    found = [dearest(c, pset, target, wanted, pays) for c in claims]
    gains = [f.gain for f in found]
    best = max(range(len(found)), key=lambda i: gains[i], default=None)
    front = [] if best is None or gains[best] <= 0 else found[best].front
    return {
        "raised": sum(g > 0 for g in gains),
        "usd": total(gains, [c.x.provider or c.id for c in claims]) if claims else None,
        "members": sum(f.members for f in found),
        "front": [{"usd": p.usd, "margin": p.margin, "edits": [e.to_json() for e in p.edits]} for p in front],
    }


def provider_campaign(cases: CaseSet, target: Target, wanted: str) -> dict[str, Any] | None:
    """What the provider with most inpatient claims could add to its payment by one edit a claim, at least.

    Its mean score stays at or below that of nine providers in ten. None without inpatient claims of three providers.
    """
    by: dict[str, list[Case[Claim]]] = {}
    for case in islice((c for c in cases if _stay(c.x) and c.x.provider), STAYS):
        by.setdefault(case.x.provider, []).append(case)
    against = [label for label in target.decision.labels if label != wanted]
    if len(by) < 3 or len(against) != 1:
        return None
    scores = {p: mean_score(target, against[0], mine[0])([c.x for c in mine]) for p, mine in by.items()}
    provider = max(by, key=lambda p: (len(by[p]), p))
    limit = float(np.quantile(list(scores.values()), 0.9))
    try:
        pays = DrgPayment().usd
        mine = by[provider]
        found = {
            name: campaign(mine, pset(1), mean_score(target, against[0], mine[0]), limit, pays, looks=LOOKS)
            for name, pset in PSETS.items()
        }
    except PrerequisiteError as e:
        return {"missing": str(e)}
    return {
        "provider": provider, "claims": len(mine), "providers": len(by), "limit": limit, "looks": LOOKS,
        "sets": {
            name: {
                "usd_before": c.usd_before, "usd_after": c.usd_after, "score_before": c.score_before,
                "score_after": c.score_after, "edited": sum(bool(e) for e in c.edits), "asked": c.asked,
            }
            for name, c in found.items()
        },
    }  # fmt: skip
