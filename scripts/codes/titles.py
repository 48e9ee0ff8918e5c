"""What a title asserts, as clauses, and whether titles imply a clause: the text side of E1.

"Type 2 diabetes mellitus with mild nonproliferative diabetic retinopathy without macular edema, right eye" asserts four
things. A residual code generalises another one only where each clause of its own title is asserted by the other code's
title or by a title above it in the same category. Words are compared as words: what needs medical knowledge beyond them
is left undecided by the caller.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

# Words that open a clause of their own; the longer ones first.
_MARKERS = ("not due to", "due to", "without", "with", "not", "in", "by", "as", "following", "complicating", "during",
            "resulting in", "affecting", "associated with")  # fmt: skip
_MARK = re.compile(r"\b(" + "|".join(sorted(_MARKERS, key=len, reverse=True)) + r")\b")
NEGATIVE = frozenset({"without", "not", "not due to"})
# Nouns that only name the axis which is left open ("unspecified site"): after "unspecified" they assert nothing.
_AXES = frozenset({
    "part", "site", "side", "type", "location", "level", "region", "aspect", "severity", "stage", "degree", "trimester",
    "laterality", "form", "nature", "cause", "complication", "organism", "agent", "episode", "number", "encounter",
    "place", "activity", "status", "fetus", "person",
})  # fmt: skip
_FILL = frozenset(["of", "the", "a", "an", "to", "and", "or", "for", "at", "on", "from", "its"])
_OPEN = re.compile(r"\bnot otherwise specified\b|\bnot specified as [^,]*|\bnot specified\b|\bnot stated\b")


@dataclass(frozen=True, slots=True)
class Clause:
    """Words of one clause behind its marker ("" for the head and for what follows a comma).

    `opened` holds those of `words` that follow "unspecified" and only name an open axis. `joined` holds pairs of words
    that stand left and right of "and" or "or".
    """

    marker: str
    words: tuple[str, ...]
    unspecified: bool = False
    opened: frozenset[str] = frozenset()
    joined: frozenset[tuple[str, str]] = frozenset()

    @property
    def needed(self) -> tuple[str, ...]:
        """What must be asserted elsewhere; an axis noun behind a marker counts (with unspecified complications)."""
        return tuple(w for w in self.words if w not in self.opened)


@cache
def clauses(title: str) -> tuple[Clause, ...]:
    """The clauses of a title. What stands in brackets is a synonym or a nonessential modifier and is left out."""
    out: list[Clause] = []
    for part in _listed(_plain(title).split(",")):
        pieces = _MARK.split(part)
        out.extend(_clause("", pieces[0]))
        for marker, words in zip(pieces[1::2], pieces[2::2], strict=True):
            out.extend(_clause(marker, words))
    return tuple(out)


@cache
def said(title: str) -> tuple[Clause, ...]:
    """What a title asserts for others: its clauses, and its head as one with commas read as spaces."""
    return (*clauses(title), *_clause("", _MARK.split(_plain(title))[0].replace(", ", " ").replace(",", " and ")))


@cache
def bracketed(title: str) -> frozenset[str]:
    """The nonessential modifiers of a title: words in brackets say which form a code is for where none is named."""
    inside = " ".join(re.findall(r"\(([^()]*)\)", title.lower()))
    return frozenset(stem(w) for w in re.findall(r"[a-z0-9][a-z0-9'\-]*", inside) if w not in _FILL)


def words_of(title: str) -> frozenset[str]:
    """All words of a title, those in brackets too."""
    return frozenset(stem(w) for w in re.findall(r"[a-z0-9][a-z0-9'\-]*", title.lower()))


def _plain(title: str) -> str:
    text = re.sub(r"\([^()]*\)|\[[^\[\]]*\]", " ", title.lower())
    text = _OPEN.sub("unspecified", text).replace("other and unspecified", "unspecified")
    # A list "a, b and c" joins all its words: the comma after which no space stands is read as "and".
    return re.sub(r", (?=(?:[a-z'\- ]+, )*[a-z'\- ]+ and )", ",", text)


def _listed(parts: list[str]) -> list[str]:
    """Parts of a title between commas, lists put together again."""
    out: list[str] = []
    for part in parts:
        if out and part[:1] not in ("", " "):
            out[-1] += f" and {part}"
        else:
            out.append(part)
    return out


def _clause(marker: str, text: str) -> Iterable[Clause]:
    words: list[str] = []
    opened: set[str] = set()
    joined: set[tuple[str, str]] = set()
    unspecified = follows = False
    pending = ""
    for w in re.findall(r"[a-z0-9][a-z0-9'\-]*", text):
        if w == "unspecified":
            unspecified = follows = True
        elif w in ("and", "or"):
            pending = words[-1] if words else ""
            follows = False
        elif w in _FILL:
            follows = False
        else:
            word = stem(w)
            if follows and word in _AXES and not marker:
                opened.add(word)
            if pending:
                joined.add((pending, word))
                pending = ""
            words.append(word)
            follows = False
    if unspecified and not marker and set(words) <= _AXES:
        opened.update(words)
    if words or unspecified:
        yield Clause(marker, tuple(words), unspecified, frozenset(opened), frozenset(joined))


@cache
def stem(word: str) -> str:
    """Singular of a word, roughly."""
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith("s") and len(word) > 3 and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def implied(clause: Clause, sources: Iterable[Clause]) -> bool:
    """Whether some source asserts at least what the clause asserts."""
    need = clause.needed
    if not need:
        # ", unspecified" and ", unspecified eye" assert nothing; "with unspecified complication" that there is one.
        return not clause.marker or any(s.marker == clause.marker for s in sources)
    return any(s.marker == clause.marker and _covers(s, need) for s in sources)


def _covers(source: Clause, need: tuple[str, ...]) -> bool:
    words = source.words
    if words == need:
        return True
    if words[-1:] != need[-1:] and words[:1] != need[:1]:
        return False
    at = 0
    for w in words:  # as a subsequence: word order is kept
        at += at < len(need) and w == need[at]
    # "Head and neck" does not imply "neck": of a pair joined by "and" or "or", both words stay or both go.
    return at == len(need) and all((a in need) == (b in need) for a, b in source.joined)
