"""Every set of wordings of a note, and the checker that lists them again.

What is certified is a statement about the listed wordings of one lexicon: no set of at most `radius` of them turns the
model. The set of notes that the verifier would accept is larger (blanks, capitals, wordings that no lexicon lists).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np

from nocere.attacks.base import Ask, AttackDefaults, Certificate, Job, Search
from nocere.attacks.evaluate import goal_margins
from nocere.attacks.structure.checkers import Informed
from nocere.core.candidate import Judge, Proof
from nocere.core.canonical import Json
from nocere.core.case import Case
from nocere.core.errors import UsageError
from nocere.core.registry import register
from nocere.targets.base import Access
from nocere.threats.base import PerturbationSet

CHUNK = 256  # notes that are asked at once
LISTED = 50_000  # notes that the checker asks about
KIND = "notes_exhaustive"
SCOPE = "sets of at most `radius` of the wordings that the lexicon lists for this note"


def count(options: Sequence[int], most: int) -> int:
    """How many notes differ at one to `most` sites, with so many options a site."""
    ways = [1] + [0] * most
    for n in options:
        for size in range(most, 0, -1):
            ways[size] += n * ways[size - 1]
    return sum(ways[1:])


@register(
    "attack", "notes.exhaustive", source="enumeration", access="scores", modality="note", threat="notes.same_concept"
)
@dataclass(frozen=True, slots=True)
class Exhaustive(AttackDefaults):
    """Every set of listed wordings, for any model, where they are few; if none meets the goal, that is certified.

    Args:
        limit: most notes that are asked.
    """

    limit: int = 5000
    name: ClassVar[str] = "notes.exhaustive"
    needs: ClassVar[frozenset[Access]] = frozenset({"scores"})
    cohort: ClassVar[int | None] = 1

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= LISTED:
            raise UsageError(f"{self.name} needs a limit from 1 to {LISTED:,}; got {self.limit}.")

    def search(self, job: Job) -> Search:
        pset: Any = job.pset.at(float(job.radius[0]))
        if not hasattr(pset, "reworded"):
            raise UsageError(f"{self.name} needs a set of wordings with sites, which {pset.name} is not.")
        case = job.cases[0]
        options = [len(s.options) for s in pset.options(case)]
        n = count(options, min(int(pset.radius), len(options)))
        if n > self.limit:
            raise UsageError(f"{self.name}: {n:,} sets of wordings are more than its limit of {self.limit:,}.")
        unsure = False
        for part in _chunks(pset.members(case)):
            rows = np.zeros(len(part), dtype=np.intp)
            answer = yield Ask([x for x, _ in part], rows, proofs=[p for _, p in part])
            if not answer.live.all():
                return []
            # A note that meets the goal and is none of the set does no harm to the claim.
            unsure |= any(pset.check(case, *part[k]) is None for k in np.flatnonzero(answer.margin > 0))
        said: dict[str, Json] = {"sites": len(options), "options": sum(options), "members": n, "scope": SCOPE}
        return [] if unsure or not n else [Certificate(0, KIND, said | {"lexicon": pset.words().sha256})]


def _chunks(nodes: Iterator[tuple[Any, Proof]]) -> Iterator[list[tuple[Any, Proof]]]:
    while part := list(itertools.islice(nodes, CHUNK)):
        yield part


def notes_exhaustive(case: Case[Any], pset: PerturbationSet, judge: Judge, claim: Certificate) -> bool:
    """True when the shipped model, asked again about every set of listed wordings, meets the goal on none of the set.

    The list is made anew from the sites, and the notes by joining parts; nothing of the search is used.
    """
    rules: Any = pset
    if not isinstance(judge, Informed) or judge.target.stochastic or not hasattr(rules, "options"):
        return False
    sites = rules.options(case)
    parts = [(s.start, s.end, tuple(o.text for o in s.options)) for s in sites]
    options = [len(texts) for _, _, texts in parts]
    told = (claim.data.get("sites"), claim.data.get("options"), claim.data.get("members"))
    if told[:2] != (len(sites), sum(options)) or type(told[2]) is not int or not 0 < told[2] <= LISTED:
        return False
    listed = list(itertools.islice(_subsets(options, int(pset.radius)), told[2] + 1))
    if len(listed) != told[2]:
        return False
    literals = judge.literals[case.id]
    for at in range(0, len(listed), CHUNK):
        some = listed[at : at + CHUNK]
        notes = [_joined(case.x, parts, picked) for picked in some]
        lit = literals.take(np.zeros(len(some), dtype=int))
        margin, _, _ = goal_margins(judge.target, notes, (case,) * len(some), lit, judge.goal)
        if not np.isfinite(margin).all():
            return False
        for k in np.flatnonzero(margin > 0):
            if rules.check(case, notes[k], _told(parts, some[k])) is None:
                return False
    return True


def _subsets(options: Sequence[int], most: int) -> Iterator[tuple[int, ...]]:
    """One number a site, 0 for what stands there: all with one to `most` sites changed."""
    if prod(n + 1 for n in options) <= LISTED:
        every = itertools.product(*(range(n + 1) for n in options))
        yield from (picked for picked in every if 0 < sum(map(bool, picked)) <= most)
        return
    for size in range(1, min(most, len(options)) + 1):
        for where in itertools.combinations(range(len(options)), size):
            for which in itertools.product(*(range(1, options[w] + 1) for w in where)):
                put = dict(zip(where, which, strict=True))
                yield tuple(put.get(k, 0) for k in range(len(options)))


def _joined(text: str, parts: Sequence[tuple[int, int, tuple[str, ...]]], picked: Sequence[int]) -> str:
    out, at = "", 0
    for (start, end, texts), k in zip(parts, picked, strict=True):
        out += text[at:start] + (texts[k - 1] if k else text[start:end])
        at = end
    return out + text[at:]


def _told(parts: Sequence[tuple[int, int, tuple[str, ...]]], picked: Sequence[int]) -> Proof:
    return [
        {"start": start, "end": end, "text": texts[k - 1]}
        for (start, end, texts), k in zip(parts, picked, strict=True)
        if k
    ]
