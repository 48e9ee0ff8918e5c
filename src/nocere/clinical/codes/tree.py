"""One classification as a tree: codes, titles, parents, leaves. Order is the order of the printed list."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from nocere.clinical.codes.packed import Packed
from nocere.core.errors import UsageError


class Tree:
    """Codes of one system. `key` names its parts in the compiled file."""

    def __init__(self, packed: Packed, key: str, system: str) -> None:
        self._packed = packed
        self._key = key
        self.system = system
        part = packed.json(f"tree-{key}")
        self.codes: list[str] = part["codes"]
        self._parents: list[int] = part["parents"]
        self._leaf: str = part["leaf"]
        self.index: dict[str, int] = {c: i for i, c in enumerate(self.codes)}
        self._lineages: dict[str, tuple[str, ...]] = {}

    @cached_property
    def _titles(self) -> list[str]:
        return self._packed.lines(f"titles-{self._key}")

    @cached_property
    def _children(self) -> dict[int, list[int]]:
        below: dict[int, list[int]] = {}
        for i, p in enumerate(self._parents):
            below.setdefault(p, []).append(i)
        return below

    def at(self, code: str) -> int:
        """Position of a code.

        Raises:
            UsageError: no such code.
        """
        i = self.index.get(code)
        if i is None:
            raise UsageError(f"{self.system} has no code {code!r}.", "Write it with its dot, as in E11.9.")
        return i

    def title(self, code: str) -> str:
        """Title of a code, block or chapter."""
        return self._titles[self.at(code)]

    def billable(self, code: str) -> bool:
        """Whether the code is a leaf of the list, complete with seventh character where one is asked for."""
        i = self.index.get(code)
        return i is not None and self._leaf[i] == "1"

    def parent(self, code: str) -> str:
        """The node above, "" above a chapter."""
        p = self._parents[self.at(code)]
        return self.codes[p] if p >= 0 else ""

    def lineage(self, code: str) -> tuple[str, ...]:
        """The code itself and all that is above it, nearest first."""
        known = self._lineages.get(code)
        if known is None:
            i = self.at(code)
            out = []
            while i >= 0:
                out.append(self.codes[i])
                i = self._parents[i]
            known = self._lineages[code] = tuple(out)
        return known

    def children(self, code: str) -> tuple[str, ...]:
        """Nodes directly below."""
        return self.named(self._children.get(self.at(code), ()))

    def leaves(self, code: str) -> tuple[str, ...]:
        """Billable codes at or below a node, in the order of the list."""
        out: list[int] = []
        stack = [self.at(code)]
        while stack:
            i = stack.pop()
            if self._leaf[i] == "1":
                out.append(i)
            stack.extend(reversed(self._children.get(i, ())))
        return self.named(out)

    def named(self, positions: Sequence[int]) -> tuple[str, ...]:
        """Codes at positions."""
        return tuple(self.codes[i] for i in positions)
