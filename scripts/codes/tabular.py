"""The ICD-10-CM tabular list as a tree of nodes with their notes, from the XML of NCHS that simple-icd-10-cm ships.

Seventh characters are written out as codes where the code list has them; the XML defines them once for a category.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field

NOTES = {"excludes1": "excludes1", "excludes2": "excludes2", "includes": "includes", "inclusionTerm": "inclusion",
         "codeFirst": "code_first", "useAdditionalCode": "use_additional", "codeAlso": "code_also"}  # fmt: skip


@dataclass(slots=True)
class Node:
    """One chapter, block, category or code.

    `notes` holds, for each kind of note, its elements in order, each a tuple of lines. `leaf` means billable.
    """

    code: str
    title: str
    parent: str
    notes: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)
    children: list[str] = field(default_factory=list)
    extension: str = ""
    leaf: bool = False


def parse(xml: str, listed: str) -> dict[str, Node]:
    """All nodes by dotted code, parents before children; chapters have the parent ""."""
    valid = {line.split(" ")[0].strip().replace(".", "") for line in listed.splitlines()}
    nodes: dict[str, Node] = {}
    for chapter in ET.fromstring(xml).iter("chapter"):  # noqa: S314 (a file of an installed package)
        _walk(chapter, "", {}, nodes, valid)
    for node in nodes.values():
        node.leaf = not node.children and len(node.code) > 2 and "-" not in node.code
    return nodes


def _walk(
    element: ET.Element, parent: str, extensions: dict[str, str], nodes: dict[str, Node], valid: set[str]
) -> None:
    name = element.get("id") or (element.findtext("name") or "").strip()
    if element.tag == "chapter":
        name = f"Chapter {name}"
    # A block of one category has the category's own name (B99): the category carries on under the block's parent.
    same = element.tag == "section" and any(d.findtext("name") == name for d in element.findall("diag"))
    if same:
        name = f"{name}-{name}"
    node = Node(name, " ".join((element.findtext("desc") or "").split()), parent)
    if name in nodes:
        raise ValueError(f"{name} stands twice in the tabular list")
    nodes[name] = node
    if parent:
        nodes[parent].children.append(name)
    for part in element:
        if part.tag in NOTES:
            lines = tuple(" ".join(n.text.split()) for n in part if n.text)
            node.notes.setdefault(NOTES[part.tag], []).append(lines)
    defined = element.find("sevenChrDef")
    if defined is not None:
        extensions = dict(_extensions(defined))
    below = [e for e in element if e.tag in ("section", "diag")]
    for e in below:
        _walk(e, name, extensions, nodes, valid)
    if element.tag == "diag" and not below:
        _extend(node, extensions, nodes, valid)


def _extensions(defined: ET.Element) -> Iterator[tuple[str, str]]:
    text: dict[str, str] = {}
    last = ""
    for e in defined:
        if e.tag == "extension":
            last = e.get("char") or ""
            text[last] = " ".join((e.text or "").split())
        elif e.tag == "note" and last:
            text[last] += f"/{' '.join((e.text or '').split())}"
    yield from text.items()


def _extend(node: Node, extensions: dict[str, str], nodes: dict[str, Node], valid: set[str]) -> None:
    stem = node.code if "." in node.code else f"{node.code}."
    stem = stem.ljust(7, "X")
    for char, text in extensions.items():
        code = stem + char
        if code.replace(".", "") in valid:
            nodes[code] = Node(code, f"{node.title}, {text}", node.code, extension=text)
            node.children.append(code)
