"""The paper's own edit under a model: does it flip the sentence, how is it graded, and where does it rank?

What is compared is the figure's second wording, with every wording of the same sentence by at most as many licensed
edits. Where the sentence is no note of the kind that the model was trained on, the same pair of edits is also made in
the notes of the audit that have both wordings.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from nocere.cases.phantoms.notes_paper import EDITS, after, paper_cases
from nocere.clinical.notes.verify import verify
from nocere.core.batch import Batch
from nocere.core.case import Case
from nocere.core.intervals import rate
from nocere.scenarios.notes_review.flips import plain
from nocere.targets.base import Target, margins
from nocere.targets.notes.opioid import train_risk
from nocere.threats.words.sets import CodingVariantWide, SameConcept, Surface

SHOWN = 5


def papers_edit(target: Target, risk: str, cases: Sequence[Case[str]], k: int = 2) -> dict[str, Any]:
    """What the model says of both wordings, and of all licensed rewordings of the first.

    Args:
        target: the model.
        risk: the label that the figure's edit makes go away.
        cases: notes to make the same edits in.
        k: most edits.
    """
    before = paper_cases().load("phantom-note-paper/before")
    label = target.decision.labels.index(risk)

    def margin(texts: list[str], case: Case[str]) -> Any:
        return margins(target, Batch(texts, (case,) * len(texts)))[0][:, label]

    first, second = (float(v) for v in margin([before.x, after()], before))
    sets = {}
    for pset in (Surface(k), SameConcept(k), CodingVariantWide(k)):
        members = [x for x, _ in pset.members(before)]
        values = margin(members, before) if members else np.zeros(0)
        order = np.argsort(values, kind="stable")
        sets[pset.name] = {
            "members": len(members),
            "flips": int((values <= 0).sum()),
            "contains_it": after() in members,
            "rank_of_the_papers": int((values < second).sum()) + 1 if after() in members else None,
            "best": [_member(before.x, members[i], float(values[i])) for i in order[:SHOWN]],
        }
    return {
        "edits": k,
        "text": before.x,
        "before": first,
        "after": second,
        "flips": second <= 0 < first,
        "verified": [e.to_json() for e in verify(before.x, after()).edits],
        "sets": sets,
        "in_notes": _in_notes(target, label, cases),
    }


def _member(original: str, text: str, margin: float) -> dict[str, Any]:
    return {"margin": margin, "edits": [e.to_json() for e in verify(original, text).edits]}


def _in_notes(target: Target, label: int, cases: Sequence[Case[str]]) -> dict[str, Any]:
    """The figure's pair of edits in every note that has both of its wordings and is called at risk."""
    mine = [c for c in cases if all(old in c.x for old, _ in EDITS)]
    texts = [c.x for c in mine]
    for old, new in EDITS:
        texts = [t.replace(old, new) for t in texts]
    if not mine:
        return {"notes": 0, "called": 0, "flipped": None}
    was = margins(target, Batch([c.x for c in mine], tuple(mine)))[0][:, label]
    now = margins(target, Batch(texts, tuple(mine)))[0][:, label]
    at_risk = was > 0
    hits, groups = now[at_risk] <= 0, [c.group for c, a in zip(mine, at_risk, strict=True) if a]
    flipped = plain(rate(hits, groups)) if len(groups) else None
    return {"notes": len(mine), "called": int(at_risk.sum()), "flipped": flipped}


def papers_seeds(seeds: Iterable[int], n: int) -> list[dict[str, Any]]:
    """What the figure's edit does to models that were trained on `n` notes of other phantom worlds."""
    case = paper_cases().load("phantom-note-paper/before")
    rows = []
    for seed in seeds:
        target = train_risk(n=n, seed=seed).target
        label = target.decision.labels.index("high")
        first, second = margins(target, Batch([case.x, after()], (case, case)))[0][:, label]
        rows.append({"seed": seed, "before": float(first), "after": float(second), "flips": bool(second <= 0 < first)})
    return rows
