"""E1: which residual ("unspecified", "NOS") leaf says less than another leaf of its category and nothing else.

Decided: every clause of the residual's title, and every word that it has in brackets, is asserted by the other leaf's
title or by a title above it. Undecided: a word in brackets is not; or the residual is the unspecified child of a common
parent, but words alone do not show that its title follows; or only an inclusion term ("... NOS") says that it is
residual. Dropped: its title denies what the other one may assert.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from scripts.codes.tabular import Node
from scripts.codes.titles import NEGATIVE, Clause, bracketed, clauses, implied, said, words_of


@dataclass(slots=True)
class Residual:
    """A residual leaf, the node above it, the words that make it one, and what it generalises."""

    code: str
    at: str
    text: str
    decided: list[str] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)


def residuals(
    nodes: dict[str, Node], excluded: Callable[[str, str], bool], never: Collection[str] = ()
) -> list[Residual]:
    """All residual leaves of the list but `never`, in its order; a pair that `excluded` names is no generalisation."""
    leaves: dict[str, list[str]] = defaultdict(list)
    for n in nodes.values():
        if n.leaf:
            leaves[n.code[:3]].append(n.code)
    found = (r for codes in leaves.values() for r in _Category(codes, nodes).residuals(excluded))
    return [r for r in found if (r.decided or r.undecided) and r.code not in never]


# Words that choose one of several states of a thing: a title that has one is not the open form of a title without it.
CHOICES = frozenset({
    "right", "left", "bilateral", "unilateral", "uncomplicated", "asymptomatic", "acute", "chronic", "accidental",
    "intentional", "assault", "undetermined", "displaced", "nondisplaced", "initial", "subsequent", "susceptible",
    "resistant", "minor", "major",
})  # fmt: skip


class _Category:
    """The leaves of one category, and which of them assert a clause by a title of their own or above them."""

    def __init__(self, codes: list[str], nodes: dict[str, Node]) -> None:
        self.codes = codes
        self.nodes = nodes
        self.below: dict[str, set[str]] = defaultdict(set)
        for code in codes:
            for n in chain(nodes[code], nodes):
                self.below[n.code].add(code)
        self.extended: dict[str, set[str]] = defaultdict(set)
        for code in codes:
            self.extended[nodes[code].extension].add(code)
        self._saying: dict[Clause, frozenset[str]] = {}
        self._splitting: dict[Clause, frozenset[str]] = {}

    def saying(self, clause: Clause) -> frozenset[str]:
        """Leaves of which the clause is said."""
        if clause not in self._saying:
            if self._organ(clause):
                self._saying[clause] = frozenset(self.codes)
                return self._saying[clause]
            above = [n for n in self.below if implied(clause, said(self.nodes[n].title))]
            self._saying[clause] = frozenset(x for n in above for x in self.below[n])
        return self._saying[clause]

    def _organ(self, clause: Clause) -> bool:
        """Whether the clause is "unspecified eye" or "ear" where every code of the category is of that organ's chapter.

        "Bilateral" and a code that names no side do not repeat the word.
        """
        place = clause.unspecified and not clause.marker and set(clause.needed) in ({"eye"}, {"ear"})
        return place and (self.codes[0].startswith("H") or self.codes[0][:3] in ("E08", "E09", "E10", "E11", "E13"))

    def splitting(self, clause: Clause) -> frozenset[str]:
        """Leaves below a title that joins two things of which the clause takes one ("overweight and obesity")."""
        if clause not in self._splitting:
            need = clause.needed
            above = [
                n
                for n in self.below
                if any((a in need) != (b in need) for s in said(self.nodes[n].title) for a, b in s.joined)
            ]
            self._splitting[clause] = frozenset(x for n in above for x in self.below[n])
        return self._splitting[clause]

    def residuals(self, excluded: Callable[[str, str], bool]) -> Iterator[Residual]:
        for r in self.codes:
            node = self.nodes[r]
            fixed = bool(node.extension) and "unspecified" not in node.extension
            own = [node, self.nodes[node.parent]] if node.extension else [node]
            nos = [t for n in own for e in n.notes.get("inclusion", ()) for t in e if t.endswith(" NOS")]
            named = any(k.unspecified for k in clauses(node.title))
            # "Other specified" means other than its siblings: an inclusion term "NOS" does not make it cover them.
            if not named and (not nos or "other" in node.title.lower().split()):
                continue
            at = self.nodes[node.parent].parent if fixed else node.parent
            others = set(self.extended[node.extension] if fixed else self.codes) - {r}
            others &= self._same_rest(node)
            mine = clauses(node.title)
            named_so = others.intersection(*(self.saying(k) for k in mine))
            # "Acute" is no case of "(chronic)": a modifier in brackets has to be said of the other one as well.
            modifiers = bracketed(node.title)
            decided = {x for x in named_so if modifiers <= self._all_words(x)}
            maybe = self._near(node, at, fixed) if named else set()
            for term in nos:
                maybe |= others.intersection(*(self.saying(k) for k in clauses(term.removesuffix(" NOS"))))
            maybe = {x for x in (maybe & others) - named_so if self._open_question(mine, x)}
            maybe |= {x for x in named_so - decided if not (modifiers - self._all_words(x)) & CHOICES}
            found = Residual(r, at, "; ".join([node.title, *nos]))
            found.decided = sorted(x for x in decided if not excluded(r, x))
            found.undecided = sorted(x for x in maybe if not excluded(r, x))
            yield found

    def _all_words(self, x: str) -> frozenset[str]:
        return frozenset().union(*(words_of(n.title) for n in chain(self.nodes[x], self.nodes)))

    def _same_rest(self, node: Node) -> set[str]:
        """Leaves below the deepest title that says "other": a residual of other things is one for those only."""
        if "other" not in node.title.lower().split():
            return set(self.codes)
        above = next((n for n in chain(node, self.nodes)[1:] if "other" in n.title.lower().split()), None)
        return self.below[above.code] if above else set()

    def _near(self, node: Node, at: str, fixed: bool) -> set[str]:
        """Leaves below the parent of a code whose last character marks it as the unspecified one."""
        own = self.nodes[node.parent].code if fixed else node.code
        return self.below[at] if own.rstrip("X")[-1] in "9A" else set()

    def _open_question(self, mine: tuple[Clause, ...], x: str) -> bool:
        """Whether what is missing from x neither contradicts it nor names one side or one of two things."""
        missing = [k for k in mine if x not in self.saying(k)]
        if {w for k in missing for w in k.needed} & CHOICES or any(not k.unspecified and k != mine[0] for k in missing):
            return False
        if any(k.marker in NEGATIVE or x in self.splitting(k) for k in missing):
            return False
        return not any(k.marker for k in missing)


def chain(node: Node, nodes: dict[str, Node]) -> list[Node]:
    """The node and what is above it, up to its category."""
    out = [node]
    while len(out[-1].code) > 3:
        out.append(nodes[out[-1].parent])
    return out
