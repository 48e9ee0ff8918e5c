"""Wordings chosen by the gradient: it says what each option should bring, and only the first few are asked."""

from __future__ import annotations

import re
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

SOURCE = "HotFlip: Ebrahimi et al. 2018, ACL, arXiv:1712.06751; here for spans of words, and every answer is measured"
BEFORE, AFTER = re.compile(r"\S*\w\W*$"), re.compile(r"^\W*\w\S*")
REACH = 40  # characters in which the neighbouring word is looked for


def promised(gradient: Any, s: Slate, now: Chosen) -> NDArray[np.float64]:
    """First-order gains of all options of a slate over the wording that a note has with `now`.

    An option is compared with what stands at its site, both with the word before and after, since n-grams reach over.
    """
    sites, at = s.pset.options(s.case), dict(now)
    text, moved, where = s.text(now)[0], 0, []
    for k, site in enumerate(sites):
        length = len(site.options[at[k]].text) if k in at else site.end - site.start
        where.append((site.start + moved, site.start + moved + length))
        moved += length - (site.end - site.start)
    fragments: list[str] = []
    for k, option in s.choices:
        start, end = where[k]
        before = BEFORE.search(text[max(0, start - REACH) : start])
        after = AFTER.search(text[end : end + REACH])
        frame = (before[0] if before else "", after[0] if after else "")
        fragments += [f"{frame[0]}{said}{frame[1]}" for said in (sites[k].options[option].text, text[start:end])]
    gained = np.asarray(gradient.gain(fragments), dtype=np.float64)
    return gained[0::2] - gained[1::2]


@register("attack", "notes.gradient", source=SOURCE, access="gradients", modality="note", threat="notes.same_concept")
@dataclass(frozen=True, slots=True)
class Gradient(AttackDefaults):
    """Order wordings by the gradient, ask the sets that promise most, and look again from the best of them.

    Args:
        few: sets that are asked at a time.
        rounds: gradients a note.
    """

    few: int = 4
    rounds: int = 4
    name: ClassVar[str] = "notes.gradient"
    needs: ClassVar[frozenset[Access]] = frozenset({"gradients"})

    def __post_init__(self) -> None:
        if min(self.few, self.rounds) < 1:
            raise UsageError(f"{self.name} needs at least one set and one round; got {self.few} and {self.rounds}.")

    def search(self, job: Job) -> Search:
        alive = slates(job, self.name)
        for _ in range(self.rounds):
            if not alive:
                break
            # The note itself first, then the best of what was asked.
            looked = list(alive.values())
            x, rows, proofs = rows_of([(s, s.best) for s in looked])
            answer = yield Ask(x, rows, grad=True, proofs=proofs)
            sets: list[tuple[Slate, Chosen]] = []
            for k, s in enumerate(looked):
                if answer.live[k]:
                    s.asked.add(s.best)
                    s.margin = max(s.margin, float(answer.margin[k]))
                    sets += [(s, c) for c in self._next(s, promised(answer.grad[k], s, s.best))]
            alive = yield from _better(sets)
        return []

    def _next(self, s: Slate, gains: NDArray[np.float64]) -> Sequence[Chosen]:
        """Sets that promise most: of any size from the note itself, and near the best one later."""
        # Gains are told from where the note stands: what is chosen already is the zero of its site.
        s.gains = gains
        return s.near(self.few) if s.best else s.promising(self.few)


def _better(sets: list[tuple[Slate, Chosen]]) -> Any:
    """Ask sets; the slates whose best set is a new one."""
    if not sets:
        return {}
    x, rows, proofs = rows_of(sets)
    answer = yield Ask(x, rows, proofs=proofs)
    gained: dict[int, Slate] = {}
    for k, (s, chosen) in enumerate(sets):
        if answer.live[k] and s.hear(chosen, float(answer.margin[k])):
            gained[s.row] = s
    return gained
