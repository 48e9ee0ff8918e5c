"""Concepts of the lexicon named in a text: leftmost, then longest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from nocere.clinical.notes.forms import key
from nocere.clinical.notes.lexicon import Entry, Lexicon
from nocere.clinical.notes.words import Trie, Words, words

SHORT = 3
"""Letters up to which an abbreviation counts only in capitals as the lexicon writes it (PE); copd is COPD."""
_ALSO_WORDS = frozenset({"AIDS"})


class Found(NamedTuple):
    """An entry, and its first word and the one after its last."""

    first: int
    after: int
    entry: Entry


class Finder:
    """The lexicon as a trie."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._trie: Trie[Entry] = Trie(plurals=True)
        for entry in lexicon.entries:
            self._trie.add(words(key(entry.surface)).keys, entry)

    def find(self, text: str, of: Words, spans: Sequence[tuple[int, int]]) -> list[Found]:
        """Mentions inside the spans of words (sentences), in order, none overlapping another."""
        found: list[Found] = []
        keys, tight, longest = of.keys, of.tight, self._trie.longest
        for at, stop in spans:
            while at < stop:
                hit = longest(keys, tight, at, stop)
                if hit and _case(hit[1].surface, text[of.starts[at] : of.ends[hit[0] - 1]]):
                    found.append(Found(at, *hit))
                    at = hit[0]
                else:
                    at += 1
        return found


def _case(surface: str, written: str) -> bool:
    """Whether the case of what is written allows the entry: short capitals are words otherwise ("all", "as")."""
    if surface == written or surface.islower():
        return True
    letters = "".join(filter(str.isalpha, surface))
    if (letters.isupper() and len(letters) <= SHORT) or surface in _ALSO_WORDS:
        return written.removesuffix("s") == surface
    return True
