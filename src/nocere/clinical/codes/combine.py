"""E2 as compiled: combination codes and their components, both ways, with the note or guideline that links them.

A row has slots (leaves that may fill each component); kept components stay beside the combination code ("use additional
code to identify the stage"). Combining is decided where the classification presumes the link (ICD-10-CM guidelines,
section I.A.15 "with") or a guideline makes it; coming apart where no component asserts what the combination denies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import cast

from nocere.clinical.codes.packed import Packed
from nocere.clinical.codes.rules import Combination, Rule, RuleKind
from nocere.clinical.codes.tree import Tree

_Row = tuple[str, int, str, list[int], int, list[int], list[int], list[int], bool, bool | None]


class Combinations:
    """Combinations of one code system. `key` names its part of the compiled file, `prefix` begins its rule ids."""

    def __init__(self, packed: Packed, tree: Tree, key: str, prefix: str) -> None:
        part = packed.json("combine")
        self._tree = tree
        self._prefix = prefix
        self._multiple: str = part["texts"]["multiple"]
        self._rows: list[_Row] = [tuple(r) for r in part[key]]
        self._fills: dict[str, list[tuple[int, int]]] = {}
        self._makes: dict[str, list[int]] = {}
        sets = [tree.named(s) for s in part[f"sets-{key}"]]
        self._slots = [[sets[s] for s in row[3]] for row in self._rows]
        for k, row in enumerate(self._rows):
            for slot, some in enumerate(self._slots[k]):
                for c in some:
                    self._fills.setdefault(c, []).append((k, slot))
            if row[4] >= 0 and row[9] is not None:
                self._makes.setdefault(tree.codes[row[4]], []).append(k)
        self._known: dict[str, Combination] = {}

    def of(self, codes: Iterable[str]) -> tuple[Combination, ...]:
        """Steps that these codes allow: combining first, then coming apart, in the order of the rows."""
        there = tuple(dict.fromkeys(codes))
        found: dict[tuple[tuple[str, ...], ...], Combination] = {}
        slots: dict[int, dict[int, list[str]]] = {}
        for c in there:
            for k, slot in self._fills.get(c, ()):
                slots.setdefault(k, {}).setdefault(slot, []).append(c)
        for k in sorted(slots):
            for step in self._combined(k, slots[k], there):
                found.setdefault((step.remove, step.add), step)
        for c in there:
            for k in self._makes.get(c, ()):
                for step in self._apart(k, c, slots.get(k, {}), there):
                    found.setdefault((step.remove, step.add), step)
        return tuple(found.values())

    def steps(self) -> Iterator[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], bool]]:
        """Every step that adds a code, whatever is on a claim: codes that leave, come, stay; whether it is decided."""
        named = self._tree.named
        for row, slots in zip(self._rows, self._slots, strict=True):
            if row[4] < 0:
                continue
            whole = (self._tree.codes[row[4]],)
            for chosen in product(*slots):
                if len(set(chosen)) == len(chosen) and whole[0] not in chosen:
                    kept = tuple(chosen[s] for s in row[5])
                    yield tuple(c for s, c in enumerate(chosen) if s not in row[5]), whole, kept, row[8]
            if row[9] is not None and row[6]:
                yield whole, named(row[6]), (), row[9]
            if row[9] is not None and row[7] and row[5]:
                for kept in product(*(slots[s] for s in row[5])):
                    yield whole, tuple(c for c in named(row[7]) if c not in kept), kept, row[9]

    def rule(self, kind: str, rest: str) -> Rule:
        """The rule of an id's end, such as "I10&I50.9->I11.0".

        Raises:
            KeyError: the rows do not license that step.
        """
        name = f"{self._prefix}:{kind}:{rest}"
        if name not in self._known:
            left, _, _ = rest.partition("->")
            self.of(c for part in left.split("&") for c in part.split("+") if c)
        return self._known[name].rule

    def counts(self) -> dict[str, int]:
        """Rows, those decided each way, combination codes."""
        return {
            "rows": len(self._rows),
            "combine": sum(r[8] for r in self._rows),
            "apart": sum(r[9] is True for r in self._rows),
            "codes": len({r[4] for r in self._rows if r[4] >= 0}),
        }

    def _combined(self, k: int, filled: dict[int, list[str]], there: Sequence[str]) -> Iterable[Combination]:
        row = self._rows[k]
        if len(filled) < len(row[3]):
            return
        add = (self._tree.codes[row[4]],) if row[4] >= 0 else ()
        if add and add[0] in there:
            return
        for chosen in product(*(filled[s] for s in range(len(row[3])))):
            if len(set(chosen)) == len(chosen):
                remove = tuple(c for s, c in enumerate(chosen) if s not in row[5])
                keep = tuple(c for s, c in enumerate(chosen) if s in row[5])
                yield self._step(row[0], row, remove, keep, add, row[8])

    def _apart(self, k: int, code: str, filled: dict[int, list[str]], there: Sequence[str]) -> Iterable[Combination]:
        row = self._rows[k]
        kept = [filled.get(s, []) for s in row[5]]
        if row[7] and kept and all(kept):
            for keep in product(*kept):
                yield from self._back(row, code, keep, self._tree.named(row[7]), there)
        elif row[6]:
            yield from self._back(row, code, (), self._tree.named(row[6]), there)

    def _back(
        self, row: _Row, code: str, keep: tuple[str, ...], parts: tuple[str, ...], there: Sequence[str]
    ) -> Iterable[Combination]:
        keep = (*keep, *(c for c in parts if c in there))
        add = tuple(c for c in parts if c not in there)
        if add:
            yield self._step("decompose", row, (code,), keep, add, bool(row[9]))

    def _step(
        self, word: str, row: _Row, remove: tuple[str, ...], keep: tuple[str, ...], add: tuple[str, ...], sure: bool
    ) -> Combination:
        left = "&".join(("+".join(remove), *keep))
        name = f"{self._prefix}:{word}:{left}->{'+'.join(add)}"
        known = self._known.get(name)
        if known is None:
            text = f"{row[2]} {self._multiple}" if word == "decompose" else row[2]
            kind = cast(RuleKind, "combine" if word == "decompose" else word)
            at = self._tree.codes[row[1]]
            rule = Rule(name, kind, at, text, (*remove, *keep), sure, remove, add, keep)
            known = self._known[name] = Combination(remove, add, keep, rule)
        return known
