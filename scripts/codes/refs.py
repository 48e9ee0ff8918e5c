"""Which codes a note names: lists, ranges, and "with fifth or sixth character 5".

A note that names no code, or that restricts codes by words we do not read, is prose: the caller marks it undecided.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from scripts.codes.tabular import Node

CODE = r"(?:[A-Z][0-9][0-9A-Z]|QA[0-9])(?:\.[0-9A-Z]{1,4})?"
NINTH_CODE = r"(?:V[0-9]{2}|E?[0-9]{3})(?:\.[0-9]{1,2})?"
_OPEN = r"(?:\.?-(?![0-9A-Z])|\.(?![0-9A-Z]))?"
_WITH = re.compile(r",?\s*with\s+(.*)$")
_ORDINALS = {"4th": 4, "fourth": 4, "5th": 5, "fifth": 5, "6th": 6, "sixth": 6, "six": 6, "7th": 7, "seventh": 7}


@dataclass(frozen=True, slots=True)
class Refs:
    """Nodes that a note names; `whole` is False where a restriction in words was not understood."""

    nodes: tuple[str, ...]
    whole: bool = True


class Resolver:
    """Reads notes against one tabular list. `code` is the form of its codes."""

    def __init__(self, nodes: dict[str, Node], code: str = CODE) -> None:
        self._nodes = nodes
        self._code = code
        self._item = re.compile(rf"({code}){_OPEN}(?:\s*(?:-|to|through)\s*({code}){_OPEN})?")
        self._plain = sorted((c.replace(".", ""), c) for c in nodes if re.fullmatch(code, c))
        self._keys = [k for k, _ in self._plain]

    def read(self, text: str) -> Refs:
        """Codes of one line of a note, at the highest nodes that cover them, in the order of the list."""
        found: dict[str, None] = {}
        whole = True
        parts = re.findall(rf"\(([^()]*{self._code}[^()]*)\)", text)
        parts = parts or ([text] if re.search(self._code, text) else [])
        for part in parts:
            limit = _WITH.search(part)
            named = part[: limit.start()] if limit else part
            codes = [c for m in self._item.finditer(named) for c in self._range(m[1], m[2] or m[1])]
            if limit and codes:
                kept = self._restrict(codes, limit[1])
                whole &= bool(kept)
                codes = kept
            found.update(dict.fromkeys(codes))
        return Refs(tuple(found), whole and bool(found))

    def _range(self, first: str, last: str) -> list[str]:
        low, high = first.replace(".", ""), last.replace(".", "")
        if low == high:
            return [first] if first in self._nodes else []
        inside: list[str] = []
        for key, code in self._plain[bisect_left(self._keys, low) :]:
            if key > high and not key.startswith(high):
                break
            if high.startswith(key) and key != high:
                continue  # it reaches beyond the range: T88 of T80-T88.6
            if not (inside and key.startswith(inside[-1].replace(".", ""))):
                inside.append(code)
        return inside

    def _restrict(self, codes: Sequence[str], words: str) -> list[str]:
        """Nodes below `codes` whose characters are as the words ask; nothing where the words are not understood."""
        words = words.strip().lower().rstrip(".")
        if m := re.fullmatch(r"\.([0-9a-z]+)-?(?:-\.([0-9a-z]+))?", words):
            low, high = m[1].upper(), (m[2] or m[1]).upper()
            return [c for c in self._below(codes) if "." in c and low <= c.split(".")[1] <= high]
        if m := re.fullmatch(r"final characters? -?([0-9a-z]+)", words):
            return [c for c in self._below(codes) if self._nodes[c].leaf and c.endswith(m[1].upper())]
        if m := re.fullmatch(r"fifth to sixth characters (\w\w)", words):
            plain = ((c, c.replace(".", "")) for c in self._below(codes))
            return [c for c, p in plain if len(p) == 6 and p[4:] == m[1].upper()]
        if m := re.fullmatch(r"(\w+)(?: or (\w+))?[ -]character (\w)(?:-(\w))?", words):
            places = [_ORDINALS.get(m[1], 0), _ORDINALS.get(m[2] or "", 0)]
            if places[0] and (places[1] or not m[2]):
                return self._at(codes, [p for p in places if p], m[3].upper(), (m[4] or m[3]).upper())
        return []

    def _at(self, codes: Sequence[str], places: list[int], low: str, high: str) -> list[str]:
        kept = []
        for code in self._below(codes):
            plain = code.replace(".", "")
            # The place is counted on the stem: an added seventh character is only ever the seventh.
            if any(len(plain) == p and low <= plain[p - 1] <= high for p in places):
                kept.append(code)
        return kept

    def _below(self, codes: Sequence[str]) -> list[str]:
        out: list[str] = []
        stack = list(reversed(codes))
        while stack:
            code = stack.pop()
            out.append(code)
            stack.extend(reversed(self._nodes[code].children))
        return out
