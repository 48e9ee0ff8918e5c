"""The paper's own edit under a model: does it flip, is it licensed, and where does it rank among all that flip?

The figure's second code set is taken as it is printed. It is no member of the truthful set unless the checker says so;
what is compared is its margin beside those of all claims that licensed edits reach.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nocere.cases.claim import Claim
from nocere.cases.phantoms.claims_paper import paper_cases
from nocere.clinical.codes.graph import RuleGraph
from nocere.core.batch import Batch
from nocere.core.case import Case
from nocere.targets.base import Target, margins
from nocere.threats.codes.sets import Truthful, TruthfulWide, edits_of

SHOWN = 5


def papers_edit(target: Target, wanted: str, rules: RuleGraph, k: int = 3) -> dict[str, Any]:
    """What the model says of both code sets of the figure (in ICD-10-CM), and of all licensed edits of the first.

    Args:
        target: the model.
        wanted: the label that the provider wants.
        rules: for titles.
        k: most edits.
    """
    cases = paper_cases()
    before, after = cases.load("phantom-paper/icd10-denied"), cases.load("phantom-paper/icd10-approved")
    label = target.decision.labels.index(wanted)

    def margin(claims: list[Claim], case: Case[Claim]) -> Any:
        return margins(target, Batch(claims, (case,) * len(claims)))[0][:, label]

    first, second = float(margin([before.x], before)[0]), float(margin([after.x], after)[0])
    sets = {}
    for pset in (Truthful(k), TruthfulWide(k)):
        members = list(pset.members(before))
        values = margin([x for x, _ in members], before) if members else np.zeros(0)
        met = np.flatnonzero(values > 0)
        order = met[np.argsort(-values[met], kind="stable")]
        sets[pset.name] = {
            "members": len(members),
            "flips": len(met),
            "rank_of_the_papers": int((values[met] > second).sum()) + 1 if second > 0 and len(met) else None,
            "contains_it": any(set(x.codes) == set(after.x.codes) for x, _ in members),
            "best": [
                {
                    "codes": list(members[i][0].codes),
                    "margin": float(values[i]),
                    "edits": [e.to_json() for e in edits_of(members[i][1])],
                }
                for i in order[:SHOWN]
            ],
        }
    return {
        "edits": k,
        "before": _told(before, first, rules),
        "after": _told(after, second, rules),
        "flips": first <= 0 < second,
        "sets": sets,
    }


def _told(case: Case[Claim], margin: float, rules: RuleGraph) -> dict[str, Any]:
    codes = [{"code": c, "title": rules.title(c, case.x.system)} for c in case.x.codes]
    return {"codes": codes, "margin": margin, "passes": margin > 0}
