"""Excludes1 between nodes, as the compiler needs it: does a note above one code name another one."""

from __future__ import annotations

from scripts.codes.refs import Resolver
from scripts.codes.tabular import Node


class Excludes:
    """Nodes that the Excludes1 notes at or above a code name."""

    def __init__(self, nodes: dict[str, Node], resolver: Resolver) -> None:
        self._nodes = nodes
        self._at = {
            n.code: {t for e in n.notes.get("excludes1", ()) for line in e for t in resolver.read(line).nodes}
            for n in nodes.values()
        }

    def named_by(self, a: str, b: str) -> bool:
        """Whether an Excludes1 note that holds for `a` and not for `b` as well names `b`."""
        above_b = self._line(b)
        return any(t in above_b for n in self._line(a) if n not in above_b for t in self._at[n])

    def _line(self, code: str) -> list[str]:
        out = []
        while code:
            out.append(code)
            code = self._nodes[code].parent
        return out
