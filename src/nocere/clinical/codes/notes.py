"""Notes of the tabular list as rules: Excludes1, code first, use additional code, code also; inherited from above.

An Excludes1 note forbids two codes on one claim, whichever of them carries it (ICD-10-CM guidelines, section I.A.12.a;
the exception made there for conditions unrelated to each other cannot be decided from codes and is not made here).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import cast

from nocere.clinical.codes.packed import Packed
from nocere.clinical.codes.rules import PREFIX, Rule, RuleKind
from nocere.clinical.codes.tree import Tree

DEMANDING = ("use_additional", "code_first")


class Notes:
    """All notes of one tabular list, by node and by id."""

    def __init__(self, packed: Packed, tree: Tree) -> None:
        part = packed.json("notes")
        self._tree = tree
        self._sets: list[list[int]] = part["sets"]
        self._rows: list[tuple[str, int, int, str, int, bool]] = part["notes"]
        self._at: dict[tuple[str, str], list[int]] = {}
        for k, (kind, node, *_) in enumerate(self._rows):
            self._at.setdefault((kind, tree.codes[node]), []).append(k)
        self._rules: dict[int, Rule] = {}
        self._out: dict[str, dict[str, int]] = {}
        self._touching: dict[str, tuple[Rule, ...]] = {}
        self._demands: dict[str, list[tuple[int, frozenset[str]]]] = {}

    def rule(self, k: int) -> Rule:
        """Rule of one row."""
        known = self._rules.get(k)
        if known is None:
            kind, node, place, text, codes, decided = self._rows[k]
            at = self._tree.codes[node]
            named = self._tree.named(self._sets[codes])
            made = Rule(f"{PREFIX}:{kind}:{at}#{place}", cast(RuleKind, kind), at, text, named, decided)
            known = self._rules[k] = made
        return known

    def find(self, kind: str, rest: str) -> Rule:
        """Rule by the end of its id, such as "I10#0".

        Raises:
            KeyError: there is none.
        """
        at, _, place = rest.rpartition("#")
        for k in self._at.get((kind, at), ()):
            if str(self._rows[k][2]) == place:
                return self.rule(k)
        raise KeyError(f"{PREFIX}:{kind}:{rest}")

    def above(self, kind: str, code: str) -> tuple[Rule, ...]:
        """Notes of a kind that hold for a code: its own and inherited ones, nearest first."""
        return tuple(self.rule(k) for n in self._tree.lineage(code) for k in self._at.get((kind, n), ()))

    def excludes1(self, a: str, b: str) -> Rule | None:
        """The note that forbids two codes together, if one does."""
        if a == b:
            return None
        return self._named(a, b) or self._named(b, a)

    def _named(self, a: str, b: str) -> Rule | None:
        out = self._out.get(a)
        if out is None:
            out = self._out[a] = self._excluded(a)
        if not out:
            return None
        for n in self._tree.lineage(b):
            k = out.get(n)
            # A note that holds for both codes does not set them against each other (D72 names D72.824).
            if k is not None and self._tree.codes[self._rows[k][1]] not in self._tree.lineage(b):
                return self.rule(k)
        return None

    def _excluded(self, a: str) -> dict[str, int]:
        out: dict[str, int] = {}
        for n in self._tree.lineage(a):
            for k in self._at.get(("excludes1", n), ()):
                for t in self._sets[self._rows[k][4]]:
                    out.setdefault(self._tree.codes[t], k)
        return out

    def demanded(self, code: str, others: Iterable[str]) -> Rule | None:
        """The note of another code on the claim that asks for this one beside it or before it."""
        line = self._tree.lineage(code)
        for other in others:
            for k, named in self._asked(other) if other != code else ():
                if any(n in named for n in line):
                    return self.rule(k)
        return None

    def open_demand(self, others: Collection[str]) -> Rule | None:
        """A use-additional or code-first note of one of the codes that may ask for more than it names.

        A code-first note is met by one cause ("underlying disease, such as ..."): closed where a named one is there.
        """
        for other in others:
            for k, named in self._asked(other):
                if not self._rows[k][5] and not (self._rows[k][0] == "code_first" and self._any(named, others)):
                    return self.rule(k)
        return None

    def _any(self, named: frozenset[str], codes: Iterable[str]) -> bool:
        return any(n in named for c in codes for n in self._tree.lineage(c))

    def _asked(self, code: str) -> list[tuple[int, frozenset[str]]]:
        known = self._demands.get(code)
        if known is None:
            ks = [k for n in self._tree.lineage(code) for kind in DEMANDING for k in self._at.get((kind, n), ())]
            known = [(k, frozenset(self._tree.named(self._sets[self._rows[k][4]]))) for k in ks]
            self._demands[code] = known
        return known

    def undecided(self, code: str) -> tuple[Rule, ...]:
        """Notes that hold for a code and that name no code, or name some in words that we do not read."""
        known = self._touching.get(code)
        if known is None:
            kinds = ("excludes1", "code_first", "use_additional", "code_also")
            known = tuple(r for kind in kinds for r in self.above(kind, code) if not r.decided)
            self._touching[code] = known
        return known

    def counts(self) -> dict[str, dict[str, int]]:
        """For each kind: notes, those that name codes, those decided, edges between nodes."""
        out: dict[str, dict[str, int]] = {}
        for kind, _, _, _, codes, decided in self._rows:
            c = out.setdefault(kind, {"notes": 0, "named": 0, "decided": 0, "edges": 0})
            c["notes"] += 1
            c["named"] += bool(codes)
            c["decided"] += decided
            c["edges"] += len(self._sets[codes])
        return out
