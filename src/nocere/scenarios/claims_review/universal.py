"""One habit for all claims: which single edit, written by everybody who can, turns most claims of providers never seen.

A habit is an edit without the claim around it: these codes for those, by this rule. Habits are ranked on the claims of
some providers (fit) and judged on those of the others, each with its own proof.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from nocere.core.batch import Batch
from nocere.core.canonical import sha256
from nocere.core.intervals import rate
from nocere.scenarios.claims_review.contested import Contested
from nocere.scenarios.claims_review.gaming import plain
from nocere.targets.base import Target, margins
from nocere.threats.codes.edit import Edit, replay
from nocere.threats.codes.sets import CodeEdits

Habit: TypeAlias = tuple[str, tuple[str, ...], tuple[str, ...], str]
SHOWN = 5


@dataclass(frozen=True, slots=True)
class _Tried:
    """What one contested claim's single edits do."""

    provider: str
    turned: frozenset[Habit]
    possible: frozenset[Habit]


def habit(e: Edit) -> Habit:
    """Class, codes that leave, codes that come, code that goes first."""
    return e.edit, e.remove, e.add, e.principal


def universal(claims: Sequence[Contested], pset: CodeEdits, target: Target, wanted: str) -> dict[str, Any]:
    """The habits that turn most claims of the fit providers, and what they do to claims of the other providers.

    Args:
        claims: contested ones.
        pset: what one edit may be.
        target: the model.
        wanted: the label that providers want.
    """
    one = pset.at(1)
    k = target.decision.labels.index(wanted)
    tried = [_tried(c, one, target, k) for c in claims]
    # Half of the providers, by the hash of their name.
    names = sorted({t.provider for t in tried}, key=lambda name: sha256(name.encode()))
    fit_on = set(names[: len(names) // 2])
    fit = Counter(h for t in tried if t.provider in fit_on for h in t.turned)
    held_out = [t for t in tried if t.provider not in fit_on]
    best = sorted(fit, key=lambda h: (-fit[h], h))[:SHOWN]
    rows = []
    for h in best:
        can = [t for t in held_out if h in t.possible]
        row: dict[str, Any] = {"class": h[0], "remove": list(h[1]), "add": list(h[2]), "principal": h[3], "fit": fit[h]}
        row["held_out"] = plain(rate([h in t.turned for t in can], [t.provider for t in can])) if can else None
        rows.append(row)
    return {"fit_providers": len(fit_on), "held_out_providers": len(names) - len(fit_on), "habits": rows}


def _tried(c: Contested, one: CodeEdits, target: Target, k: int) -> _Tried:
    possible = [e for e in one.edits(c.case) if e.edit != "E0" and one.permits(c.case, (e,))]
    if not possible:
        return _Tried(c.provider, frozenset(), frozenset())
    batch = Batch([replay(c.case.x, (e,)) for e in possible], (c.case,) * len(possible))
    turned = margins(target, batch)[0][:, k] > 0
    met = frozenset(habit(e) for e, t in zip(possible, turned, strict=True) if t)
    return _Tried(c.provider, met, frozenset(map(habit, possible)))
