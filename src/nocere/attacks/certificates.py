"""Checkers of certificates: a claim of an exact search counts only if one of these accepts it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeAlias, runtime_checkable

from nocere.attacks.base import Certificate
from nocere.attacks.codes.checker import claims_exact
from nocere.attacks.structure.checkers import linear_linf, tree_ensemble, tree_leaf_box
from nocere.attacks.text.exhaustive import KIND as NOTES
from nocere.attacks.text.exhaustive import notes_exhaustive
from nocere.core.candidate import Candidate, Judge, Proof
from nocere.core.case import Case
from nocere.threats.base import PerturbationSet

Checker: TypeAlias = Callable[[Case[Any], PerturbationSet, Judge, Certificate], bool]


@runtime_checkable
class Finite(Protocol):
    """A perturbation set that can list all of its members."""

    def members(self, case: Case[Any]) -> Iterator[tuple[Any, Proof]]:
        """Every content inside but the original, once, with a proof."""
        ...


def exhaustive(case: Case[Any], pset: PerturbationSet, judge: Judge, claim: Certificate) -> bool:
    """True when the referee rejects every member of the set, and the claim counted as many as there are."""
    told = claim.data.get("members")
    if not isinstance(pset, Finite) or type(told) is not int or told < 0:
        return False
    # One more than was told is enough to see that it is wrong.
    first = itertools.islice(pset.members(case), told + 1)
    members = [Candidate(case.id, x, pset.radius, proof) for x, proof in first]
    if told != len(members):
        return False
    return not any(f.ok for f in judge.judge(members))


CHECKERS: dict[str, Checker] = {
    "exhaustive": exhaustive,
    "linear_linf": linear_linf,
    "tree_leaf_box": tree_leaf_box,
    "tree_ensemble": tree_ensemble,
    "claims_exact": claims_exact,
    NOTES: notes_exhaustive,
}


def accepted(case: Case[Any], pset: PerturbationSet, judge: Judge, claim: Certificate) -> bool:
    """Whether a certificate stands; an unknown kind or a checker that fails accepts nothing."""
    checker = CHECKERS.get(claim.kind)
    if checker is None:
        return False
    try:
        return checker(case, pset, judge, claim)
    except Exception:
        return False
