"""Good words: sentences that say nothing of the patient, chosen for their effect on one note."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nocere.attacks.base import Ask, AttackDefaults, Job, Search
from nocere.core.candidate import Proof
from nocere.core.errors import UsageError
from nocere.core.registry import register
from nocere.targets.base import Access


def needs_sentences(job: Job, name: str) -> Any:
    """The set, if it inserts sentences.

    Raises:
        UsageError: it does not.
    """
    if not hasattr(job.pset, "inserted"):
        raise UsageError(f"{name} inserts sentences, which {job.pset.name} does not allow.")
    return job.pset


@register(
    "attack", "notes.insert", source="Dalvi et al. 2004, KDD; good words: Lowd, Meek 2005, CEAS", access="scores",
    modality="note", threat="notes.boilerplate",
)  # fmt: skip
@dataclass(frozen=True, slots=True)
class Insert(AttackDefaults):
    """Ask every sentence once, then put the best ones together, most effect first.

    Args:
        spare: further sentences that are tried in the place of the last one.
    """

    spare: int = 4
    name: ClassVar[str] = "notes.insert"
    needs: ClassVar[frozenset[Access]] = frozenset({"scores"})

    def __post_init__(self) -> None:
        if self.spare < 0:
            raise UsageError(f"{self.name}: spare is not negative; got {self.spare}.")

    def search(self, job: Job) -> Search:
        pset = needs_sentences(job, self.name)
        sentences = pset.sentences()
        open_ = [row for row, case in enumerate(job.cases) if not pset.obstacle(case)]
        asked = [(row, [s]) for row in open_ for s in sentences]
        if not asked:
            return []
        answer = yield _ask(job, asked)
        margin, live = answer.margin.reshape(len(open_), -1), answer.live.reshape(len(open_), -1)
        ranked = {
            row: [sentences[i] for i in np.argsort(-margin[k].round(9), kind="stable")]
            for k, row in enumerate(open_)
            if live[k].all()
        }
        for size in range(2, int(job.radius.max()) + 1):
            asked = [
                (row, [*best[: size - 1], last])
                for row, best in ranked.items()
                if size <= job.radius[row]
                for last in best[size - 1 : size + self.spare]
            ]
            if not asked:
                break
            answer = yield _ask(job, asked)
            for row in {r for r, _ in asked}:
                mine = [k for k, (r, _) in enumerate(asked) if r == row and answer.live[k]]
                if not mine:
                    del ranked[row]
                    continue
                last = asked[max(mine, key=lambda k: (answer.margin[k], -k))][1][-1]
                rest = [s for s in ranked[row][size - 1 :] if s != last]
                ranked[row] = [*ranked[row][: size - 1], last, *rest]
        return []


def _ask(job: Job, asked: list[tuple[int, list[str]]]) -> Ask:
    pset: Any = job.pset
    made: list[tuple[Any, Proof]] = [pset.inserted(job.cases[row], some) for row, some in asked]
    rows = np.array([row for row, _ in asked], dtype=np.intp)
    return Ask([x for x, _ in made], rows, proofs=[p for _, p in made])
