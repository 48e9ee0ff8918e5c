"""Canonical atoms of a note: every wording that the verifier licenses comes out as the same atom.

Each pass knows one kind of equality (letters, abbreviations, amounts, commas, articles, concepts) and is applied to the
lexicon's own surfaces too, so that both sides are always read alike. A part of a note (a sentence, a line) is read by
itself, and what was read of it is kept.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from nocere.clinical.notes.abbreviated import Abbreviated
from nocere.clinical.notes.lettering import Lettering
from nocere.clinical.notes.lexicon import Lexicon
from nocere.clinical.notes.measuring import measures
from nocere.clinical.notes.naming import Atom, Naming
from nocere.clinical.notes.passes import articles, commas, without_stop
from nocere.clinical.notes.tokens import Keys, Token

# What ends a part: a line break, or a full stop before a capital letter.
_END = re.compile(r"(?<!\.[A-Za-z])[.?!;][ \t]+(?=[A-Z])|\n[\r\n \t]*")


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """A part of a text with its atoms (offsets within the part) and their widest values."""

    text: str
    atoms: tuple[Atom, ...]
    wide: Keys


def split(text: str) -> list[str]:
    """The parts of a text, whose concatenation is the text."""
    found: list[str] = []
    start = 0
    for match in _END.finditer(text):
        found.append(text[start : match.end()])
        start = match.end()
    if start < len(text):
        found.append(text[start:])
    return found


def joined(chunks: Sequence[Chunk]) -> Chunk:
    """Parts that follow each other as one; offsets are within it."""
    atoms: list[Atom] = []
    at = 0
    for chunk in chunks:
        atoms.extend(a.moved(at) for a in chunk.atoms)
        at += len(chunk.text)
    return Chunk("".join(c.text for c in chunks), tuple(atoms), tuple(a.wide for a in atoms))


class Reader:
    """Reads texts with one lexicon. Pure: what it remembers are only results (at most 16,384 parts)."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._lettering = Lettering(
            (
                *(e.surface for e in lexicon.entries),
                *(a.long for a in lexicon.abbreviations),
                *(p.phrase for p in lexicon.phrases),
            )
        )
        self._abbreviated = Abbreviated(lexicon, self._lettering)
        self._naming = Naming(lexicon, self._lettering, lambda wording: tuple(t.key for t in self._read(wording)))
        self.wordings = self._naming.wordings
        self.chunk = lru_cache(16_384)(self._chunk)

    def chunks(self, text: str) -> list[Chunk]:
        """The parts of a text, read. The last one is told that the text ends there."""
        parts = split(text)
        last = len(parts) - 1
        return [self.chunk(part, i == last) for i, part in enumerate(parts)]

    def atoms(self, text: str) -> tuple[Atom, ...]:
        """All atoms of a text; offsets are into the text."""
        return joined(self.chunks(text)).atoms

    def _chunk(self, part: str, final: bool) -> Chunk:
        tokens = self._read(part)
        if final or (tokens and tokens[-1].kind == "break"):
            tokens = without_stop(tokens)
        atoms = self._naming.apply(tokens)
        return Chunk(part, atoms, tuple(a.wide for a in atoms))

    def _read(self, part: str) -> list[Token]:
        """All passes but the last."""
        return articles(commas(measures(self._abbreviated.apply(self._lettering.words(part)))))
