"""The notes of the tabular list that name codes, as rows for the compiled file."""

from __future__ import annotations

import re

from scripts.codes.refs import Resolver
from scripts.codes.tabular import Node

KINDS = ("excludes1", "code_first", "use_additional", "code_also")
# A list that these words open or close is not complete: a code that it does not name may be meant too.
_OPEN = re.compile(r"such as|any associated condition|any identified|\betc\b", re.IGNORECASE)

Row = tuple[str, int, int, str, int, bool]


def notes(nodes: dict[str, Node], resolver: Resolver, number: dict[str, int]) -> tuple[list[Row], list[list[int]]]:
    """Rows (kind, node, place among the node's notes of that kind, text, set of codes, decided) and the sets of codes.

    An Excludes1 note is one line; the other kinds are one row an element, since their lines belong together ("code to
    identify:" and what follows).
    """
    sets: dict[tuple[int, ...], int] = {(): 0}
    rows: list[Row] = []
    for node in nodes.values():
        for kind in KINDS:
            elements = node.notes.get(kind, [])
            lines = [(x,) for e in elements for x in e] if kind == "excludes1" else elements
            for i, element in enumerate(lines):
                refs = [resolver.read(line) for line in element]
                found = tuple(dict.fromkeys(number[c] for r in refs for c in r.nodes))
                # A line that only opens a list ("osteomyelitis due to:") forbids nothing by itself.
                opens = kind == "excludes1" and element[0].endswith(":") and not element[0].endswith("such as:")
                whole = (bool(found) or opens) and all(r.whole for r in refs if r.nodes)
                if kind != "excludes1":
                    whole &= all(r.nodes or line.endswith(":") for r, line in zip(refs, element, strict=True))
                    whole &= not _OPEN.search(element[0]) or len(element) == 1
                rows.append((kind, number[node.code], i, "; ".join(element), sets.setdefault(found, len(sets)), whole))
    return rows, [list(s) for s in sets]
