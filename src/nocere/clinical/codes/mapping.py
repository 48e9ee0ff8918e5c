"""From one code set to the next: the CMS General Equivalence Mapping (ICD-9-CM to ICD-10-CM), and codes retired."""

from __future__ import annotations

from nocere.clinical.codes.packed import Packed
from nocere.clinical.codes.rules import PREFIX, PREFIX_9, GemRow, Rule
from nocere.clinical.codes.tree import Tree


class Gem:
    """Rows of the mapping by ICD-9-CM code."""

    def __init__(self, packed: Packed) -> None:
        self._rows: dict[str, list[str]] = {}
        for line in packed.lines("gem"):
            self._rows.setdefault(line[: line.index(" ")], []).append(line)

    def rows(self, code: str) -> tuple[GemRow, ...]:
        """Rows of a code, none where the mapping does not have it."""
        return tuple(_row(line) for line in self._rows.get(code, ()))

    def rule(self, code: str) -> Rule:
        """The rule of a code's mapping; decided where CMS calls one ICD-10-CM code equivalent to it.

        Raises:
            KeyError: the mapping does not have the code, or has no target for it.
        """
        rows = self.rows(code)
        targets = tuple(dict.fromkeys(r.target for r in rows if r.target))
        if not targets:
            raise KeyError(f"{PREFIX_9}:gem:{code}")
        text = "; ".join(f"GEM 2018: {line}" for line in self._rows[code])
        return Rule(f"{PREFIX_9}:gem:{code}", "gem", code, text, targets, all(r.exact for r in rows))

    def counts(self) -> dict[str, int]:
        """Codes, rows, codes that CMS calls equivalent, codes without a map."""
        rows = [_row(line) for lines in self._rows.values() for line in lines]
        return {
            "codes": len(self._rows),
            "rows": len(rows),
            "exact": sum(r.exact for r in rows),
            "unmapped": sum(r.no_map for r in rows),
        }


class Years:
    """Which code years of the two lists that we have (FY2024 and FY2026) know a leaf."""

    def __init__(self, packed: Packed, tree: Tree) -> None:
        part = packed.json("years")
        self.known: tuple[int, ...] = tuple(part["lists"])
        self._tree = tree
        self._new = frozenset(part["new"])
        self._retired: dict[str, tuple[str, tuple[str, ...]]] = {c: (t, tuple(s)) for c, t, s in part["retired"]}

    def valid(self, code: str) -> tuple[int, ...]:
        """Years whose list has the code as a complete one."""
        if code in self._retired:
            return self.known[:1]
        if not self._tree.billable(code):
            return ()
        return self.known[1:] if code in self._new else self.known

    @property
    def gone(self) -> tuple[str, ...]:
        """Codes that were complete in FY2024 and are not now."""
        return tuple(self._retired)

    def retired(self, code: str) -> str:
        """Title of a code that was complete in FY2024 and is not now, else ""."""
        return self._retired.get(code, ("", ()))[0]

    def rule(self, code: str) -> Rule:
        """The rule that leads from a retired code to those that took its place; `codes` may be empty.

        Decided where exactly one code says no more than the retired one did.

        Raises:
            KeyError: not a retired code.
        """
        title, after = self._retired[code]
        text = f"FY2024: {code} {title}; FY2026: " + (
            "; ".join(f"{c} {self._tree.title(c)}" for c in after) or "no code that says the same and no more"
        )
        return Rule(f"{PREFIX}:year:{code}", "year", code, text, after, len(after) == 1)


def _row(line: str) -> GemRow:
    code, target, flags = line.split(" ")
    approximate, no_map, combination = (f == "1" for f in flags[:3])
    return GemRow(code, target, approximate, no_map, combination, int(flags[3]), int(flags[4]))
