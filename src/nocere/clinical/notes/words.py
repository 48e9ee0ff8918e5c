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

    `keys[i]` is the folded word, `starts` and `ends` its place in `text`.
    """

    text: str
    keys: list[str]
    starts: list[int]
    ends: list[int]

    def tight(self, i: int) -> bool:
        """Whether only blanks, one line break or a hyphen stand between word `i` and the one before."""
        gap = self.text[self.ends[i - 1] : self.starts[i]]
        return gap == " " or _GAP.fullmatch(gap) is not None


def words(text: str) -> Words:
    """The words of a text in order."""
    spans = [match.span() for match in _WORD.finditer(text)]
    return Words(text, [fold(text[a:b]) for a, b in spans], [a for a, _ in spans], [b for _, b in spans])


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
        """Words with which a sequence begins; of sequences of one word, as they are kept (singular)."""
        return frozenset((*self._root.ends, *self._root.after))

    def longest(self, of: Words, at: int, stop: int) -> tuple[int, T] | None:
        """The longest sequence that begins with word `at` and ends before word `stop`: (position after it, value)."""
        node, found, i = self._root, None, at
        keys = of.keys
        while True:
            key = keys[i]
            if (value := node.ends.get(singular(key) if self._plurals else key)) is not None:
                found = (i + 1, value)
            i += 1
            if (following := node.after.get(key)) is None or i >= stop or not of.tight(i):
                return found
            node = following
