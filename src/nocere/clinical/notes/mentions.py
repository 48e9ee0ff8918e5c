"""Concepts of the lexicon named in a text: leftmost, then longest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from nocere.clinical.notes.forms import key, singular
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
        self._first = self._trie.first

    def find(self, of: Words, spans: Sequence[tuple[int, int]]) -> list[Found]:
        """Mentions inside the spans of words (sentences), in order, none overlapping another."""
        found: list[Found] = []
        keys, first = of.keys, self._first
        begins = [i for i, k in enumerate(keys) if k in first or singular(k) in first]
        done, span = 0, 0
        for at in begins:
            if at < done:
                continue
            while spans[span][1] <= at:
                span += 1
            hit = self._trie.longest(of, at, spans[span][1])
            if at and keys[at - 1] == "non" and of.tight(at):
                continue  # non-small cell carcinoma is another thing than small cell carcinoma
            if hit and _case(hit[1].surface, of.text[of.starts[at] : of.ends[hit[0] - 1]]):
                found.append(Found(at, *hit))
                done = hit[0]
        return found


def _case(surface: str, written: str) -> bool:
    """Whether the case of what is written allows the entry: short capitals are words otherwise ("all", "as")."""
    if surface == written or surface.islower():
        return True
    letters = "".join(filter(str.isalpha, surface))
    if (letters.isupper() and len(letters) <= SHORT) or surface in _ALSO_WORDS:
        return written.removesuffix("s") == surface
    return True
