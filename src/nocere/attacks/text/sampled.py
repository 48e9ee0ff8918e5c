"""Ordinary variation: wordings as they are drawn, not as they are chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.base import Ask, AttackDefaults, Job, Search
from nocere.attacks.text.slate import Chosen, Slate, rows_of, slates
from nocere.core.errors import UsageError
from nocere.core.registry import register
from nocere.targets.base import Access

TURN = 25  # draws a note and turn


@register(
    "attack", "notes.sampled", source="sampling of licensed wordings (design, section 5, line 1)",
    access="scores or labels", modality="note", threat="notes.same_concept",
)  # fmt: skip
@dataclass(frozen=True, slots=True)
class Sampled(AttackDefaults):
    """Random wordings: every site takes one of its licensed forms, its own among them, at most `radius` of them others.

    Args:
        draws: notes that are drawn a case.
        shares: declared frequencies as pairs of wording and weight; a form without one has the smallest that is
            declared at its site, and without any all forms of a site are equally frequent.
    """

    draws: int = 100
    shares: tuple[tuple[str, float], ...] = ()
    name: ClassVar[str] = "notes.sampled"
    needs: ClassVar[frozenset[Access]] = frozenset({"labels"})

    def __post_init__(self) -> None:
        # Plans and bundles hold lists.
        object.__setattr__(self, "shares", tuple((str(w), float(share)) for w, share in self.shares))
        if self.draws < 1 or any(not np.isfinite(share) or share < 0 for _, share in self.shares):
            raise UsageError(f"{self.name} needs at least one draw, and shares that are not negative.")

    def search(self, job: Job) -> Search:
        alive = slates(job, self.name)
        shares = {row: self._shares(s) for row, s in alive.items()}
        for start in range(0, self.draws, TURN):
            n = min(TURN, self.draws - start)
            wanted = [(s, c) for row, s in alive.items() for c in self._drawn(job, s, shares[row], n)]
            if not wanted:
                break
            x, rows, proofs = rows_of(wanted)
            answer = yield Ask(x, rows, proofs=proofs)
            open_ = {int(r) for r in rows[answer.live]}
            alive = {row: s for row, s in alive.items() if row in open_}
        return []

    def _shares(self, s: Slate) -> list[NDArray[np.float64]]:
        """Cumulative shares of the forms of every site, the form of the note first."""
        declared = {w.lower(): share for w, share in self.shares}
        out = []
        for site in s.pset.options(s.case):
            forms = [s.case.x[site.start : site.end], *(o.text for o in site.options)]
            known = [declared.get(f.lower()) for f in forms]
            least = min((k for k in known if k is not None), default=1.0)
            weight = np.array([least if k is None else k for k in known])
            weight = weight if weight.sum() > 0 else np.ones(len(forms))
            out.append(np.cumsum(weight / weight.sum()))
        return out

    def _drawn(self, job: Job, s: Slate, shares: Sequence[NDArray[np.float64]], n: int) -> list[Chosen]:
        """Draws that the rules hold; one that they do not is the note as it is."""
        u = (job.rng.uniform([s.row], (n, 2, len(shares)))[0].astype(np.float64) + 1.0) / 2.0
        drawn = []
        for which, order in u:
            forms = [int(np.searchsorted(c, v, side="right")) for c, v in zip(shares, which, strict=True)]
            changed = [k for k in np.argsort(order, kind="stable") if forms[k] > 0][: s.most]
            chosen = tuple(sorted((int(k), min(forms[k], len(shares[k]) - 1) - 1) for k in changed))
            drawn.append(chosen if self._held(s, chosen) else ())
        return drawn

    def _held(self, s: Slate, chosen: Chosen) -> bool:
        rules: Any = s.pset
        return not chosen or rules.check(s.case, *s.text(chosen)) is None
