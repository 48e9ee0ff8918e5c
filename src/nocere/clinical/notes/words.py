"""Words of a note with their places, and a trie over words: what the lexicon and the cues are looked up in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from nocere.clinical.notes.forms import fold, singular

T = TypeVar("T")

_WORD = re.compile(r"\([-+]\)|[^\W_]+(?:['’][^\W_]+)*|[^\w\s\-‐‑]|_")
_GAP = re.compile(r"[ \t\u00a0]*\r?\n?[ \t\u00a0]*|[-‐‑]")


@dataclass(frozen=True, slots=True)
class Words:
    """Runs of letters and digits, and single marks; blanks and hyphens are between them.

    `keys[i]` is the folded word, `tight[i]` whether only blanks, one line break or a hyphen stand between it and the
    word before. All four have one item a word.
    """

    keys: list[str]
    starts: list[int]
    ends: list[int]
    tight: list[bool]


def words(text: str) -> Words:
    """The words of a text in order."""
    keys: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    tight: list[bool] = []
    before = 0
    for match in _WORD.finditer(text):
        start, end = match.span()
        keys.append(fold(match.group()))
        starts.append(start)
        ends.append(end)
        gap = text[before:start]
        tight.append(not gap or gap in " -" or _GAP.fullmatch(gap) is not None)
        before = end
    return Words(keys, starts, ends, tight)


class _Node(Generic[T]):
    __slots__ = ("after", "ends")

    def __init__(self) -> None:
        self.ends: dict[str, T] = {}
        self.after: dict[str, _Node[T]] = {}


class Trie(Generic[T]):
    """Sequences of words, each with a value.

    Args:
        plurals: whether the last word of a sequence matches its plural too.
    """

    def __init__(self, plurals: bool = False) -> None:
        self._root: _Node[T] = _Node()
        self._plurals = plurals

    def add(self, keys: Sequence[str], value: T) -> None:
        """Adds a sequence of folded words; a later value replaces an earlier one."""
        node = self._root
        for k in keys[:-1]:
            node = node.after.setdefault(k, _Node())
        node.ends[singular(keys[-1]) if self._plurals else keys[-1]] = value

    @property
    def first(self) -> frozenset[str]:
        """Words with which a sequence begins."""
        return frozenset((*self._root.ends, *self._root.after))

    def longest(self, keys: Sequence[str], tight: Sequence[bool], at: int, stop: int) -> tuple[int, T] | None:
        """The longest sequence that begins with word `at` and ends before word `stop`: (position after it, value)."""
        node, found, i = self._root, None, at
        while True:
            k = keys[i]
            if (value := node.ends.get(singular(k) if self._plurals else k)) is not None:
                found = (i + 1, value)
            i += 1
            if (following := node.after.get(k)) is None or i >= stop or not tight[i]:
                return found
            node = following
