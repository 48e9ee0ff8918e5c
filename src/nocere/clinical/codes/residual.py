"""E1 as compiled: residual leaves ("unspecified", NOS) and the leaves that each of them generalises.

A pair is decided where each clause of the residual's title is asserted by the other code's title or a title above it,
as `scripts/codes/residual.py` works out from the tabular list. A pair that the words leave open has a rule of its own
that is not decided.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nocere.clinical.codes.packed import Packed
from nocere.clinical.codes.rules import PREFIX, Rule
from nocere.clinical.codes.tree import Tree

Step = tuple[str, Rule]
Ints = NDArray[np.int32]


class Residuals:
    """Generalisations and their inverse, from two sorted columns of pairs."""

    def __init__(self, packed: Packed, tree: Tree) -> None:
        self._tree = tree
        self._rows: list[tuple[int, int, str]] = packed.json("residual")
        part = packed.json("residual-pairs")
        self._leaf: Ints = np.cumsum(part["leaf"], dtype=np.int32)
        self._residual: Ints = np.asarray(part["residual"], np.int32)
        self._decided = np.asarray(part["decided"], np.bool_)
        self._row = {tree.codes[code]: k for k, (code, _, _) in enumerate(self._rows)}
        self._rules: dict[tuple[str, bool], Rule] = {}
        self._up: dict[str, tuple[Step, ...]] = {}
        self._down: dict[str, tuple[Step, ...]] = {}

    @cached_property
    def _by_residual(self) -> tuple[Ints, Ints]:
        order = np.argsort(self._residual, kind="stable").astype(np.int32)
        return self._residual[order], order

    def rule(self, code: str, decided: bool) -> Rule:
        """The rule of one residual leaf; its `codes` are what it generalises.

        Raises:
            KeyError: not a residual leaf, or nothing of that kind below it.
        """
        known = self._rules.get((code, decided))
        if known is None:
            k = np.int32(self._row[code])
            _, at, text = self._rows[k]
            column, order = self._by_residual
            pairs = order[np.searchsorted(column, k) : np.searchsorted(column, k, "right")]
            below = self._leaf[pairs[self._decided[pairs] == decided]]
            name = f"{PREFIX}:{'residual' if decided else 'residual-undecided'}:{code}"
            if not len(below):
                raise KeyError(name)
            codes = self._tree.named(below.tolist())
            known = Rule(name, "residual", self._tree.codes[at], text, codes, decided, add=(code,))
            self._rules[code, decided] = known
        return known

    def generalisations(self, code: str) -> tuple[Step, ...]:
        """Residual leaves that say less than the code, in the order of the list."""
        known = self._up.get(code)
        if known is None:
            i = np.int32(self._tree.at(code))  # of the column's own type: another one would copy the column
            some = slice(np.searchsorted(self._leaf, i), np.searchsorted(self._leaf, i, "right"))
            pairs = zip(self._residual[some].tolist(), self._decided[some].tolist(), strict=True)
            names = [(self._tree.codes[self._rows[k][0]], sure) for k, sure in pairs]
            known = self._up[code] = tuple((r, self.rule(r, sure)) for r, sure in names)
        return known

    def refinements(self, code: str) -> tuple[Step, ...]:
        """Leaves that the code generalises if it is a residual one, decided pairs first."""
        known = self._down.get(code)
        if known is None:
            self._tree.at(code)
            found: list[Step] = []
            for sure in (True, False) if code in self._row else ():
                try:
                    rule = self.rule(code, sure)
                except KeyError:
                    continue
                found.extend((x, rule) for x in rule.codes)
            known = self._down[code] = tuple(found)
        return known

    def counts(self) -> dict[str, int]:
        """Residual leaves, pairs decided and not, leaves that have a decided generalisation."""
        return {
            "residuals": len(self._rows),
            "decided": int(self._decided.sum()),
            "undecided": int((~self._decided).sum()),
            "leaves": len(np.unique(self._leaf[self._decided])),
        }
