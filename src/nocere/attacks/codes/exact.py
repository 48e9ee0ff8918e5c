"""claims.exact: the worst permitted set of edits of every claim, or the claim that there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nocere.attacks.base import Ask, AttackDefaults, Certificate, Job, Search
from nocere.attacks.codes import best as searches
from nocere.attacks.codes.best import Best, CodeSet
from nocere.attacks.structure.clauses import Clause, clauses
from nocere.core.decision import Decision
from nocere.core.errors import UsageError
from nocere.core.goal import Goal, Literals
from nocere.core.registry import register
from nocere.targets.base import Access
from nocere.targets.claims.structure import ClaimStructure
from nocere.threats.codes.edit import replay


@register(
    "attack",
    "claims.exact",
    source="Kantchelian et al. 2016, arXiv:1509.07892 (the question); interactions of edits (the method)",
    access="structure",
    modality="claim",
    threat="claims.truthful",
)
@dataclass(frozen=True, slots=True)
class Exact(AttackDefaults):
    """Best permitted set of edits of a claim for linear models and ensembles of trees: exact.

    Where no permitted set meets the goal, that is claimed as a certificate.

    Args:
        tries: sets of edits of one claim that the rules are asked about, before a claim stays undecided.
    """

    tries: int = 5_000
    name: ClassVar[str] = "claims.exact"
    needs: ClassVar[frozenset[Access]] = frozenset({"structure"})

    def __post_init__(self) -> None:
        if self.tries < 1:
            raise UsageError(f"{self.name} needs at least one try.")

    def search(self, job: Job) -> Search:
        if not isinstance(job.structure, ClaimStructure):
            raise UsageError(f"{self.name} needs a target on claims that gives its structure (linear, or trees).")
        x, rows, proofs, claims = [], [], [], []
        for row, case in enumerate(job.cases):
            radius = float(job.radius[row])
            pset: Any = job.pset
            if not all(hasattr(pset, n) for n in ("edits", "compatible", "permits")):
                raise UsageError(f"{self.name} searches sets of edits of codes, not {pset.name}.")
            at = pset.at(radius)
            goal = goal_clauses(job.structure, job.decision, job.goal, job.literals.take([row]))
            found = worst(case, at, job.structure, goal, int(radius), tries=self.tries)
            for one in found:
                if one.edits:
                    x.append(replay(case.x, one.edits))
                    rows.append(row)
                    proofs.append([e.to_json() for e in one.edits])
            if all(one.bound <= 0 for one in found):
                values = [one.bound for one in found if np.isfinite(one.bound)]
                claims.append(Certificate(row, "claims_exact", {"best": max(values, default=None)}))
        if x:
            yield Ask(x, np.array(rows, dtype=np.intp), proofs=proofs)
        return claims


def goal_clauses(structure: ClaimStructure, decision: Decision, goal: Goal, literals: Literals) -> list[Clause]:
    """The goal of one claim as conditions on the model's outputs."""
    link: Any = getattr(structure.form, "link", "identity")
    return clauses(decision, goal, literals.weight[0], literals.offset[0], link)


def worst(
    case: Any, pset: CodeSet, structure: ClaimStructure, goal: list[Clause], most: int, *, tries: int = 5_000
) -> list[Best]:
    """The best set of at most `most` edits for every clause of a goal, one of which has to hold."""
    search = searches.Search(case, pset, structure, most, tries=tries)
    return [search.best(clause) for clause in goal]
