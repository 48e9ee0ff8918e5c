"""The canonical form of a note: what the verifier compares, and a text that a model can be given instead."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

from nocere.clinical.notes.atoms import Reader
from nocere.clinical.notes.bags import row
from nocere.clinical.notes.lexicon import Lexicon, load_lexicon
from nocere.clinical.notes.naming import Atom
from nocere.clinical.notes.tokens import MONTHS
from nocere.clinical.notes.verify import reader

Level: TypeAlias = Literal["same", "umbrella"]

_ROUNDS = 8  # what is dropped may bring words together that are one wording: a second round is rare, a third rarer
_DIGITS = str.maketrans(dict(zip("0123456789", row("zero one two three four five six seven eight nine"), strict=True)))
_MONTH_NAMES = {number: name for name, number in reversed(MONTHS.items())}
_MONTH_DAY = re.compile(r"-(\d\d)-(\d\d)")
_YEAR_MONTH = re.compile(r"(\d{4})-(\d\d)")


def canonical(text: str, lexicon: Lexicon | None = None) -> tuple[Atom, ...]:
    """The atoms of a text; two texts that are equal but for licensed wordings have the same `wide` values."""
    return reader(lexicon or load_lexicon()).atoms(text)


def canonicalise(text: str, lexicon: Lexicon | None = None, level: Level = "same") -> str:
    """The text with every licensed wording in one form, and every concept as one word ("concepthypertension").

    Texts that the verifier accepts with grade A or B come out equal at level "same", also those of grade C at level
    "umbrella". Applying it again changes nothing. Blank lines and the width of blanks are not kept.
    """
    read = reader(lexicon or load_lexicon())
    for _ in range(_ROUNDS):
        before, text = text, _once(text, read, level)
        if text == before:
            break
    return text


def _once(text: str, read: Reader, level: Level) -> str:
    lines: list[list[str]] = [[]]
    for atom in read.atoms(text):
        if atom.kind == "break":
            lines.append([])
        else:
            lines[-1].append(_written(atom, level, read.wordings))
    return "\n".join(_line(line) for line in lines)


def _line(words: list[str]) -> str:
    """Words with blanks between them; a sign stays before its number, a genitive behind its word."""
    text = "".join(w if w == "-" else w + " " for w in words).rstrip(" ")
    return text.replace(" 's", "'s")


def _written(atom: Atom, level: Level, phrases: dict[str, str]) -> str:
    if atom.kind == "phrase":
        return phrases[atom.same]
    if atom.kind == "date":
        return _date(atom.same)
    if atom.entry is None:
        return atom.same
    if atom.entry.relation == "narrower":
        return atom.entry.surface
    named = atom.wide if level == "umbrella" else atom.same
    prefix = "umbrella" if named.startswith("^") else "concept"
    return prefix + re.sub("[^a-z]", "", named.translate(_DIGITS))


def _date(key: str) -> str:
    if match := _MONTH_DAY.fullmatch(key):
        return f"{_MONTH_NAMES[int(match[1])]} {int(match[2])}"
    if match := _YEAR_MONTH.fullmatch(key):
        return f"{_MONTH_NAMES[int(match[2])]} {match[1]}"
    return key
