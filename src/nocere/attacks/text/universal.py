"""Universal phrases: one phrase of sentences that say nothing, fitted on some notes and put into all others."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from nocere.attacks.base import Answer, Ask, AttackDefaults, Job, Search, Share
from nocere.attacks.image.universal import one_radius, shuffled
from nocere.attacks.text.insert import needs_sentences
from nocere.core.errors import UsageError
from nocere.core.registry import register
from nocere.targets.base import Access

SOURCE = "universal triggers: Wallace et al. 2019, EMNLP, arXiv:1908.07125; here of whole sentences that are true"

Phrase = tuple[str, ...]
Worth = tuple[int, float]  # fit notes that meet the goal, mean margin
Heard = dict[Phrase, Worth]


def fit_rows(job: Job, name: str, most: int) -> NDArray[np.intp]:
    """Fit notes that a phrase can be put into, at most so many, drawn by their cases.

    Raises:
        UsageError: the set has no one change for many notes, or there is nothing to fit on.
    """
    pset = needs_sentences(job, name)
    if not hasattr(pset, "shift"):
        raise UsageError(f"{name} cannot search {pset.name}: it has no one change for many notes.")
    one_radius(job, name)
    rows = np.array([r for r in np.flatnonzero(job.fit) if not pset.obstacle(job.cases[r])], dtype=np.intp)
    if rows.size == 0:
        raise UsageError(f"{name} has no note to fit on that a phrase could be put into.")
    return np.sort(shuffled(job, rows)[:most])


def tried(job: Job, rows: NDArray[np.intp], phrases: Sequence[Phrase]) -> Generator[Ask, Answer, Heard]:
    """Ask phrases on all fit notes; those of which anything was heard, with what they are worth."""
    pset: Any = job.pset.at(float(job.radius[0]))
    made = [pset.shift(job.cases[r], phrase) for phrase in phrases for r in rows]
    owner = np.tile(rows, len(phrases))
    answer = yield Ask([x for x, _ in made], owner, proofs=[p for _, p in made])
    live, margin = answer.live.reshape(len(phrases), -1), answer.margin.reshape(len(phrases), -1)
    return {
        phrase: (int((margin[k][live[k]] > 0).sum()), round(float(margin[k][live[k]].mean()), 9))
        for k, phrase in enumerate(phrases)
        if live[k].any()
    }


def ranked(heard: Heard) -> list[Phrase]:
    """Phrases, the most useful first."""
    return sorted(heard, key=lambda p: (-heard[p][0], -heard[p][1], p))


@register("attack", "notes.universal", source=SOURCE, access="scores", modality="note", threat="notes.phrase")
@dataclass(frozen=True, slots=True)
class Universal(AttackDefaults):
    """One phrase for all notes, by a beam over sentences that were each asked alone on the fit notes.

    Args:
        words: most sentences of the phrase; the radius counts as well.
        width: phrases that are kept of every length.
        branch: further sentences that each of them is tried with.
        fit: fit notes that are asked, at most.
    """

    words: int = 4
    width: int = 3
    branch: int = 8
    fit: int = 48
    name: ClassVar[str] = "notes.universal"
    needs: ClassVar[frozenset[Access]] = frozenset({"scores"})
    scope: ClassVar[Literal["case", "group"]] = "group"

    def __post_init__(self) -> None:
        if min(self.words, self.width, self.branch, self.fit) < 1:
            raise UsageError(f"{self.name}: words, width, branch and fit are at least 1.")

    def search(self, job: Job) -> Search:
        rows = fit_rows(job, self.name, self.fit)
        pset: Any = job.pset
        heard = yield from tried(job, rows, [(s,) for s in pset.sentences()])
        if not heard:
            return []
        # Alone, the mean says more than the few notes that one sentence turns.
        first = [p[0] for p in sorted(heard, key=lambda p: (-heard[p][1], p))]
        kept = ranked(heard)[: self.width]
        for _ in range(1, min(self.words, int(job.radius[0]))):
            more = (tuple(sorted((*p, s))) for p in kept for s in [s for s in first if s not in p][: self.branch])
            longer = yield from tried(job, rows, list(dict.fromkeys(more)))
            if not longer:
                break
            heard |= longer
            kept = ranked(longer)[: self.width]
        yield Share(ranked(heard)[0])
        return []


@register(
    "attack", "notes.universal_gradient", source=SOURCE, access="gradients", modality="note", threat="notes.phrase"
)
@dataclass(frozen=True, slots=True)
class UniversalGradient(AttackDefaults):
    """One phrase for all notes, sentence by sentence: the gradient says which few are worth asking.

    Args:
        words: most sentences of the phrase; the radius counts as well.
        few: sentences that are asked a step.
        fit: fit notes that are asked, at most.
    """

    words: int = 4
    few: int = 4
    fit: int = 48
    name: ClassVar[str] = "notes.universal_gradient"
    needs: ClassVar[frozenset[Access]] = frozenset({"gradients"})
    scope: ClassVar[Literal["case", "group"]] = "group"

    def __post_init__(self) -> None:
        if min(self.words, self.few, self.fit) < 1:
            raise UsageError(f"{self.name}: words, few and fit are at least 1.")

    def search(self, job: Job) -> Search:
        rows = fit_rows(job, self.name, self.fit)
        pset: Any = job.pset.at(float(job.radius[0]))
        heard: Heard = {}
        phrase: Phrase = ()
        for _ in range(min(self.words, int(job.radius[0]))):
            made = [pset.shift(job.cases[r], phrase) for r in rows]
            answer = yield Ask([x for x, _ in made], rows, grad=True, proofs=[p for _, p in made])
            seen = [g for g, live in zip(answer.grad, answer.live, strict=True) if live]
            free = [s for s in pset.sentences() if s not in phrase]
            if not seen or not free:
                break
            gained = np.mean([np.asarray(g.gain(free), dtype=np.float64) for g in seen], axis=0).round(9)
            first = [free[i] for i in np.argsort(-gained, kind="stable")[: self.few]]
            longer = yield from tried(job, rows, [tuple(sorted((*phrase, s))) for s in first])
            if not longer:
                break
            heard |= longer
            phrase = ranked(longer)[0]
        if heard:
            yield Share(ranked(heard)[0])
        return []
