"""E1 as compiled: residual leaves ("unspecified", NOS) and the leaves that each of them generalises.

A pair is decided where each clause of the residual's title is asserted by the other code's title or a title above it, as
`scripts/codes/residual.py` works out from the tabular list; a pair that the words leave open has a rule of its own that is
not decided.
"""

from __future__ import annotations

from nocere.clinical.codes.notes import PREFIX
from nocere.clinical.codes.packed import Packed
from nocere.clinical.codes.rules import Rule
from nocere.clinical.codes.tree import Tree

Step = tuple[str, Rule]


class Residuals:
    """Generalisations and their inverse."""

    def __init__(self, packed: Packed, tree: Tree) -> None:
        self._tree = tree
        self._rows: dict[str, tuple[int, str, list[int], list[int]]] = {}
        self._up: dict[int, list[tuple[str, bool]]] = {}
        for code, at, text, decided, undecided in packed.json("residual"):
            name = tree.codes[code]
            lists = _summed(decided), _summed(undecided)
            self._rows[name] = (at, text, *lists)
            for some, sure in zip(lists, (True, False), strict=True):
                for x in some:
                    self._up.setdefault(x, []).append((name, sure))
        self._rules: dict[tuple[str, bool], Rule] = {}
        self._known: dict[str, tuple[Step, ...]] = {}
        self._back: dict[str, tuple[Step, ...]] = {}

    def rule(self, code: str, decided: bool) -> Rule:
        """The rule of one residual leaf; its `codes` are what it generalises.

        Raises:
            KeyError: not a residual leaf, or nothing of that kind below it.
        """
        known = self._rules.get((code, decided))
        if known is None:
            at, text, sure, unsure = self._rows[code]
            below = self._tree.named(sure if decided else unsure)
            kind = "residual" if decided else "residual-undecided"
            if not below:
                raise KeyError(f"{PREFIX}:{kind}:{code}")
            known = Rule(f"{PREFIX}:{kind}:{code}", "residual", self._tree.codes[at], text, below, decided, add=(code,))
            self._rules[code, decided] = known
        return known

    def generalisations(self, code: str) -> tuple[Step, ...]:
        """Residual leaves that say less than the code, in the order of the list."""
        known = self._known.get(code)
        if known is None:
            up = self._up.get(self._tree.at(code), ())
            known = self._known[code] = tuple((r, self.rule(r, sure)) for r, sure in up)
        return known

    def refinements(self, code: str) -> tuple[Step, ...]:
        """Leaves that the code generalises if it is a residual one."""
        known = self._back.get(code)
        if known is None:
            found: list[Step] = []
            if code in self._rows:
                for decided, some in zip((True, False), self._rows[code][2:], strict=True):
                    found.extend((x, self.rule(code, decided)) for x in self._tree.named(some))
            known = self._back[code] = tuple(found)
        return known

    def counts(self) -> dict[str, int]:
        """Residual leaves, pairs decided and not, leaves that have a generalisation."""
        rows = self._rows.values()
        return {
            "residuals": len(self._rows),
            "decided": sum(len(r[2]) for r in rows),
            "undecided": sum(len(r[3]) for r in rows),
            "leaves": sum(any(sure for _, sure in up) for up in self._up.values()),
        }


def _summed(steps: list[int]) -> list[int]:
    out, at = [], 0
    for s in steps:
        at += s
        out.append(at)
    return out
