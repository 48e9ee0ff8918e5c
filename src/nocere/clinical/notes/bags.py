"""Sets of words written as running text, which stays legible in a diff."""

from __future__ import annotations


def bag(*words: str) -> frozenset[str]:
    """The words of the strings."""
    return frozenset(w for part in words for w in part.split())


def row(words: str) -> list[str]:
    """The words of a string in order."""
    return words.split()
