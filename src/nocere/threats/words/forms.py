"""How a wording looks where another one stood: capitals, plural, and the article before it."""

from __future__ import annotations

import re

# Letters whose names begin with a vowel sound: "an MI", but "a UTI".
SPOKEN = frozenset("AEFHILMNORSX")
ARTICLE = re.compile(r"\b([Aa])(n?)([ \t]+)$")


def dressed(wording: str, *, raised: bool, shouted: bool) -> str:
    """A wording with the capitals of its place.

    Args:
        wording: as the lexicon has it; capitals of its own (COPD) stay.
        raised: whether it begins with a capital there: it opens a sentence, or what stands there is written so.
        shouted: whether its surroundings are written in capitals.
    """
    if shouted:
        return wording.upper()
    return wording[:1].upper() + wording[1:] if raised and _plain(wording) else wording


def _plain(wording: str) -> bool:
    """Whether the first word has no capitals of its own."""
    return wording.split(" ")[0].islower()


def opens(text: str, at: int) -> bool:
    """Whether a sentence, a line or an item begins at this place."""
    before = text[:at].rstrip(" \t")
    return not before or before[-1] in ".!?:;\n\r-*•"


def shouted(text: str, start: int, end: int) -> bool:
    """Whether the line around a span has no small letter, and letters beside the span."""
    a = max(text.rfind("\n", 0, start), text.rfind(":", 0, start)) + 1
    b = text.find("\n", end)
    beside = text[a:start] + text[end : len(text) if b < 0 else b]
    return beside.isupper() and text[start:end].isupper()


def plural(wording: str) -> str:
    """The plural of the last word; an abbreviation stays as it is."""
    last = wording.rsplit(" ", 1)[-1]
    if not last.isalpha() or not last.islower() or last.endswith("s"):
        return wording
    if last.endswith("y") and last[-2:-1] not in "aeiou":
        return wording[:-1] + "ies"
    return wording + ("es" if last.endswith(("x", "z", "ch", "sh")) else "s")


def article(text: str, start: int, after: str) -> tuple[int, str] | None:
    """Where an indefinite article before `start` begins, and what it must be before `after`; None where it fits."""
    found = ARTICLE.search(text, max(0, start - 8), start)
    if found is None or not after:
        return None
    word = after.split(" ")[0].rstrip(".")
    vowel = word[0] in SPOKEN if word.isupper() and len(word) > 1 else word[0].lower() in "aeiou"
    if vowel == bool(found[2]):
        return None
    return found.start(), found[1] + "n" * vowel + found[3]
