"""Equivalence quotient: features of a claim that no rewriting of classes E0 to E2 can change, by construction.

Codes that generalise one another (E1) share one class, and so do a renamed code and its successor (E0). A combination
code (E2) is no class of its own: it is in the classes of what it says, so that I11.0 is what I10 with I50.9 is. Where
two rules ask for different things of one code, classes are merged until every rule holds. Presence of classes is then
the same before and after every such edit, and so is every score. The price is what the model can no longer tell apart;
what the rule graph does not know is not covered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nocere.cases.claim import Claim
from nocere.clinical.codes.graph import TENTH, RuleGraph, load_rules
from nocere.core.registry import register
from nocere.targets.claims.encoder import Encoder
from nocere.targets.claims.payer import fit

Undecided = Literal["reject", "allow"]
# Nothing that depends on how many diagnoses there are, or on which one is first: E0 and E2 change both.
KINDS = ("class", "procedure", "line", "setting", "sex")
SUMS = ("minutes", "age", "days")


class _Union:
    """Disjoint sets of codes; the root of a set is its first code in the order of the alphabet."""

    def __init__(self) -> None:
        self._up: dict[str, str] = {}

    def find(self, x: str) -> str:
        root = x
        while (up := self._up.get(root, root)) != root:
            root = up
        while (up := self._up.get(x, x)) != root:
            self._up[x], x = root, up
        return root

    def join(self, a: str, b: str) -> None:
        a, b = sorted((self.find(a), self.find(b)))
        if a != b:
            self._up[b] = a


@dataclass(frozen=True, slots=True)
class Quotient:
    """Code -> the classes that it says, for all codes that are not a class of their own."""

    classes: Mapping[str, tuple[str, ...]]

    def of(self, code: str) -> tuple[str, ...]:
        """Classes of a code."""
        return self.classes.get(code, (code,))

    def said(self, codes: Iterable[str]) -> frozenset[str]:
        """Classes of all codes of a claim: equal for equivalent claims."""
        return frozenset(name for c in codes for name in self.of(c))

    def encoder(
        self, claims: Sequence[Claim], *, kinds: Sequence[str] = KINDS, sums: Sequence[str] = SUMS, least: int = 20
    ) -> Encoder:
        """An encoder of the classes that at least `least` of the claims have.

        It also knows the classes of codes that the claims do not have: an edit may bring them.
        """
        pairs = [(c, name) for c, names in self.classes.items() for name in names]
        learnt = Encoder.learn(claims, kinds, least=least, sums=sums, classes=pairs)
        used = {f.partition("=")[2] for f in learnt.features if f.startswith(("class=", "n:class="))}
        kept = {c for c, name in pairs if name in used}
        return Encoder(learnt.features, tuple((c, name) for c, name in learnt.classes if c in kept))


@lru_cache(maxsize=4)
def quotient(rules: RuleGraph, undecided: Undecided = "reject") -> Quotient:
    """Classes that no decided E1 or E2 rule of the graph crosses; "allow" takes the undecided rules too."""
    codes = tuple(c for c in rules.tree(TENTH).codes if rules.billable(c))
    units = _Union()
    for general in codes:
        for code, rule in rules.refinements(general):
            if rule.decided or undecided == "allow":
                units.join(code, general)
    for code in rules.retired_codes:
        rule_of_year = rules.successors(code)
        if rule_of_year is not None and rule_of_year.decided:
            units.join(code, rule_of_year.codes[0])
    steps = (step for *step, sure in rules.combination_steps() if sure or undecided == "allow")
    relations = list(dict.fromkeys(tuple(frozenset(map(units.find, side)) for side in step) for step in steps))
    says = _definitions(relations)
    atoms = _Union()

    def said(parts: Iterable[str]) -> frozenset[str]:
        out: set[str] = set()
        waiting = list(parts)
        while waiting:
            x = waiting.pop()
            if x in says:
                waiting += says[x]
            else:
                out.add(atoms.find(x))
        return frozenset(out)

    changed = True
    while changed:
        changed = False
        for gone, come, keep in relations:
            one, other = said(gone | keep), said(come | keep)
            if one != other:
                changed = True
                _reconcile(one, other, atoms)
    found = {c: tuple(sorted(said((units.find(c),)))) for c in (*codes, *rules.retired_codes)}
    return Quotient({c: names for c, names in found.items() if names != (c,)})


def _definitions(relations: Sequence[Any]) -> dict[str, frozenset[str]]:
    """Unit of a combination code -> units of what it says; never in a circle.

    What a code comes apart into is the fullest account of what it says, so it goes first; then what it is combined from
    beside what is kept.
    """
    says: dict[str, frozenset[str]] = {}

    def define(whole: frozenset[str], parts: frozenset[str]) -> None:
        (unit,) = whole
        if unit not in says and parts and not _reaches(parts, unit, says):
            says[unit] = parts

    for gone, come, keep in relations:
        if len(gone) == 1 and len(come) > 1 and not keep:
            define(gone, come)
    for gone, come, _ in relations:
        if len(come) == 1:
            define(come, gone)
    return says


def _reaches(parts: Iterable[str], unit: str, says: Mapping[str, frozenset[str]]) -> bool:
    return any(p == unit or _reaches(says.get(p, ()), unit, says) for p in parts)


def _reconcile(one: frozenset[str], other: frozenset[str], atoms: _Union) -> None:
    """Merges classes until both sides are equal: what only one side says, with what only the other says, or else each
    with the nearest (by its code) of what both say."""
    left, right, both = sorted(one - other), sorted(other - one), sorted(one & other)
    if left and right:
        for x in (*left, *right):
            atoms.join(left[0], x)
    for x in () if left and right else (*left, *right):
        atoms.join(x, max(both, key=lambda y: _shared(x, y)))


def _shared(a: str, b: str) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


@register("defence", "claims.quotient", source="facts of claims, 4.4: equivalence closure over E0 to E2")
@dataclass(frozen=True, slots=True)
class QuotientDefence:
    """A model on classes of codes that no generalising, combining or reordering changes.

    Args:
        undecided: "allow" closes over relations too that hang on prose.
        trees: of LightGBM.
        leaves: of each tree.
    """

    undecided: Undecided = "reject"
    trees: int = 200
    leaves: int = 15
    name: str = "claims.quotient"

    def train(self, claims: Sequence[Claim], truth: NDArray[np.int64], *, seed: int) -> tuple[Any, Encoder]:
        """A fitted model and its encoder."""
        encoder = quotient(load_rules(), self.undecided).encoder(claims)
        return fit(encoder.rows(claims), truth, "lightgbm", encoder, self.trees, self.leaves, seed), encoder
