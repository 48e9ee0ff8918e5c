"""E2: combination codes and their components, from titles ("A with B") and from the reviewed file curated.toml.

A title row: the combination leaf asserts "A with B"; `a` is a leaf of its category that asserts the same but for B (or
denies B); `b` is a leaf elsewhere whose title says just B. Section I.A.15 presumes the link, so a + b may become the
combination; undecided where b is a symptom of chapter 18. The way back is true only where `a` denies nothing and no
Excludes1 note forbids a and b together.
"""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.codes.refs import Resolver
from scripts.codes.residual import chain
from scripts.codes.tabular import Node
from scripts.codes.titles import Clause, clauses

Yes = bool | None


@dataclass(slots=True)
class Row:
    """One combination.

    `of`: for each component the leaves that fill it; `keep`: positions in `of` that stay. `split`: what the combination
    comes apart into; `rejoin`: what comes back where kept components are on the claim. `combine`, `apart`: True for
    decided, False for undecided, None for never.
    """

    kind: str
    at: str
    text: str
    of: list[list[str]]
    into: str = ""
    keep: list[int] = field(default_factory=list)
    split: list[str] = field(default_factory=list)
    rejoin: list[str] = field(default_factory=list)
    combine: Yes = True
    apart: Yes = None


def curated(
    path: Path, resolvers: Mapping[str, Resolver], lists: Mapping[str, dict[str, Node]]
) -> tuple[dict[str, list[Row]], dict[str, str], list[str]]:
    """Rows of the reviewed file by code system, its general texts, and residual codes that generalise nothing.

    Raises:
        ValueError: a row names a code that the list does not have as a leaf.
    """
    made = tomllib.loads(path.read_text(encoding="utf-8"))
    rows: dict[str, list[Row]] = defaultdict(list)
    for kind in ("combine", "syndrome"):
        for entry in made[kind]:
            system = entry.get("system", "ICD-10-CM")
            for value in entry.get("each", [""]):
                put = (value,) if isinstance(value, str) else tuple(value)
                filled = _filled(entry, put)
                rows[system].append(_row(kind, filled, resolvers[system], lists[system]))
                if "beside" in filled:
                    # Another code of the same disease stands for the first component and stays.
                    other = [filled["beside"], *filled["of"][1:]]
                    kept = [filled["beside"], *filled.get("keep", [])]
                    also = {**filled, "of": other, "keep": kept}
                    rows[system].append(_row(kind, also, resolvers[system], lists[system]))
    return rows, made["text"], [n["residual"] for n in made["never"]]


def _filled(entry: dict[str, Any], put: tuple[str, ...]) -> dict[str, Any]:
    def fill(v: Any) -> Any:
        if isinstance(v, list):
            return [fill(x) for x in v]
        return v.format(*put) if isinstance(v, str) and "{" in v else v

    return {k: v if k in ("each", "text") else fill(v) for k, v in entry.items()}


def _row(kind: str, e: dict[str, Any], resolver: Resolver, nodes: dict[str, Node]) -> Row:
    def named(text: str) -> list[str]:
        found = [x for node in resolver.read(f"({text})").nodes for x in leaves(node, nodes)]
        if not found:
            raise ValueError(f"curated row {e['text'][:60]!r}: {text!r} names no leaf")
        return found

    unsure = e.get("open", [])
    split, rejoin = e.get("split", []), e.get("rejoin", [])
    kept = [i for i, o in enumerate(e["of"]) if o in e.get("keep", [])]
    if split and kept and not rejoin:
        rejoin = [c for i, c in enumerate(split) if i not in kept and not any(c in named(e["of"][k]) for k in kept)]
    for code in (*split, *rejoin, *([e["into"]] if "into" in e else [])):
        if not nodes[code].leaf:
            raise ValueError(f"curated row {e['text'][:60]!r}: {code} is no leaf")
    return Row(
        kind,
        nodes[e.get("into", e["of"][0])].parent,
        e["text"],
        [named(o) for o in e["of"]],
        e.get("into", ""),
        kept,
        split,
        rejoin,
        "combine" not in unsure,
        ("split" not in unsure) if split or rejoin else None,
    )


def titled(nodes: dict[str, Node], excluded: Callable[[str, str], bool]) -> Iterator[Row]:
    """Rows that titles alone give, in the order of the list."""
    plain = _plain(nodes)
    by_category: dict[str, list[Node]] = defaultdict(list)
    for n in nodes.values():
        if n.leaf:
            by_category[n.code[:3]].append(n)
    for c in (n for n in nodes.values() if n.leaf and not n.extension):
        asserted = clauses(c.title)
        for k in asserted:
            if k.marker != "with" or not k.needed or k.joined:
                continue
            others = [b for b in plain.get(_key(k), ()) if b[:3] != c.code[:3]]
            rest = _set(x for x in asserted if x is not k)
            for a in by_category[c.code[:3]]:
                mine = _set(clauses(a.title))
                if others and a is not c and rest <= mine and all(x.marker == "without" for x in mine - rest):
                    yield from (_titled(a, nodes[b], c, mine == rest, nodes, excluded) for b in others)


def _titled(
    a: Node, b: Node, c: Node, open_: bool, nodes: dict[str, Node], excluded: Callable[[str, str], bool]
) -> Row:
    text = f'Section I.A.15 ("with") and titles: {a.title}; {b.title}; {c.title}.'
    row = Row("combine", c.parent, text, [[a.code], [b.code]], c.code, combine=not b.code.startswith("R"))
    if _named(c, b.code, nodes):
        row.keep = [1]
    if open_ and not excluded(a.code, b.code) and not excluded(b.code, a.code):
        row.split, row.apart = [a.code, b.code], True
        row.rejoin = [a.code] if row.keep else []
    return row


def leaves(code: str, nodes: dict[str, Node]) -> list[str]:
    """Leaves at or below a node."""
    node = nodes[code]
    return [code] if node.leaf else [x for c in node.children for x in leaves(c, nodes)]


def _plain(nodes: dict[str, Node]) -> dict[tuple[str, ...], list[str]]:
    """Leaves by the words of a title that says one thing only."""
    plain: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for n in nodes.values():
        said = [k for k in clauses(n.title) if k.needed] if n.leaf else []
        if len(said) == 1 and not said[0].marker and not said[0].joined:
            plain[_key(said[0])].append(n.code)
    return plain


def _key(k: Clause) -> tuple[str, ...]:
    return tuple(sorted(w for w in k.needed if w != "diabetic"))


def _set(some: Any) -> frozenset[Clause]:
    """Clauses that assert something, without what only opens an axis."""
    return frozenset(Clause(k.marker, k.needed) for k in some if k.needed)


def _named(c: Node, b: str, nodes: dict[str, Node]) -> bool:
    """Whether a note of the combination asks for the component beside it."""
    lines = [
        x for n in chain(c, nodes) for kind in ("use_additional", "code_also") for e in n.notes.get(kind, ()) for x in e
    ]
    return any(b[:3] in x for x in lines)
