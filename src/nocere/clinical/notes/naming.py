"""Atoms: concepts of the lexicon and neutral phrases found in tokens, and every other token as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nocere.clinical.notes import compounds
from nocere.clinical.notes.forms import singular
from nocere.clinical.notes.lettering import Lettering
from nocere.clinical.notes.lexicon import ATC, Entry, Lexicon
from nocere.clinical.notes.tokens import Keys, Token


@dataclass(frozen=True, slots=True)
class Atom:
    """A canonical value and where it stands.

    `surface` is equal for wordings of grade A, `same` also for those of one concept (B), `wide` also for those of one
    umbrella (C). `kind` is "concept", "phrase" or that of the token.
    """

    start: int
    end: int
    surface: str
    same: str
    wide: str
    kind: str
    entry: Entry | None = None

    def moved(self, by: int) -> Atom:
        """The atom at its place in a longer text."""
        return Atom(self.start + by, self.end + by, self.surface, self.same, self.wide, self.kind, self.entry)


class Naming:
    """Surfaces of concepts and phrases, as the passes before read them."""

    def __init__(self, lexicon: Lexicon, lettering: Lettering, read: Callable[[str], Keys]) -> None:
        self._lettering = lettering
        self._read = read
        self._names: dict[Keys, Entry] = {}
        self._longest: dict[str, int] = {}
        self._phrases: dict[str, list[tuple[Keys, str]]] = {}
        self.wordings: dict[str, str] = {}
        self._build(lexicon)

    def apply(self, tokens: list[Token]) -> tuple[Atom, ...]:
        """The atoms of tokens."""
        found: list[Atom] = []
        i = 0
        while i < len(tokens):
            length, entry = self._name(tokens, i)
            t, phrase = tokens[i], None if length else self._phrase(tokens, i)
            if entry:
                found.append(_atom(entry, t.start, tokens[i + length - 1].end))
            elif phrase:
                length, group = phrase
                key = f"~{group}"
                found.append(Atom(t.start, tokens[i + length - 1].end, key, key, key, "phrase"))
            elif length:
                length = _compound(found, tokens, i, length)
            else:
                length = 1
                found.append(Atom(t.start, t.end, t.key, t.key, t.key, t.kind))
            i += length
        return tuple(found)

    def _name(self, tokens: list[Token], i: int) -> tuple[int, Entry | None]:
        """Words of the longest name at a position, and its entry unless it is a part of another name; (0, None)."""
        for length in range(min(self._longest.get(tokens[i].key, 1), len(tokens) - i), 0, -1):
            keys = tuple(t.key for t in tokens[i : i + length])
            entry = self._names.get(keys) or self._names.get((*keys[:-1], singular(keys[-1])))
            if entry:
                return length, None if self._part_of_another(tokens, i, length, entry) else entry
        return 0, None

    @staticmethod
    def _part_of_another(tokens: list[Token], i: int, length: int, entry: Entry) -> bool:
        drug = entry.system == ATC
        if i:
            before = tokens[i - 1]
            if _tied(before, tokens[i]) or before.kind == "odd" or _canonical(before.key):
                return True
            if before.key == "'s" and i > 1 and compounds.genitive(tokens[i - 2].key):
                return True
            if before.key in ("/", "+") if drug else before.kind == "word" and compounds.before(before.key):
                return True
        if i + length == len(tokens):
            return False
        after = tokens[i + length]
        if _tied(tokens[i + length - 1], after) or after.kind == "odd" or _canonical(after.key):
            return True
        return (drug and after.key in ("/", "+")) or compounds.after(after.key, drug)

    def _phrase(self, tokens: list[Token], i: int) -> tuple[int, str] | None:
        for keys, group in self._phrases.get(tokens[i].key, ()):
            if tuple(t.key for t in tokens[i : i + len(keys)]) == keys:
                return len(keys), group
        return None

    def _build(self, lexicon: Lexicon) -> None:
        rows: dict[Keys, Entry] = {}
        for entry in lexicon.entries:
            form = self._read(entry.surface)
            if form:
                rows.setdefault(form, entry)
        for form, entry in list(rows.items()):
            bare = tuple(k for k in form if k != "'s")
            for variant in (*self._lettering.cases(form), (*form[:-1], singular(form[-1])), bare):
                rows.setdefault(variant, entry)
        self._names = rows
        for form in rows:
            self._longest[form[0]] = max(len(form), self._longest.get(form[0], 1))
        for phrase in lexicon.phrases:
            form = self._read(phrase.phrase)
            self._phrases.setdefault(form[0], []).append((form, phrase.group))
            self.wordings.setdefault(f"~{phrase.group}", " ".join(form))
        for others in self._phrases.values():
            others.sort(key=lambda option: -len(option[0]))


def _tied(one: Token, other: Token) -> bool:
    """Whether two tokens are one word to a reader: fever-free, CHF2."""
    worded = one.kind in ("word", "number") and other.kind in ("word", "number")
    return other.joined or (worded and other.glued and one.end == other.start)


def _canonical(key: str) -> bool:
    """Whether a word is one that stands for a concept in a canonical text."""
    return key.startswith(("concept", "umbrella"))


def _compound(found: list[Atom], tokens: list[Token], i: int, length: int) -> int:
    """Adds a name that is a part of another one as words, tied ones as one; returns how many tokens were read."""
    tied = i and _tied(tokens[i - 1], tokens[i]) and found and found[-1].kind in ("word", "number")
    key, start = "", tokens[i].start
    end = i + length
    while end < len(tokens) and _tied(tokens[end - 1], tokens[end]):
        end += 1
    if not tied and end == i + length:
        found.extend(Atom(t.start, t.end, t.key, t.key, t.key, t.kind) for t in tokens[i:end])
        return length
    if tied:
        last = found.pop()
        key, start = last.wide, last.start
    for position in range(i, end):
        t = tokens[position]
        key += ("-" if t.joined else "" if t.glued else " ") + t.key if key else t.key
    found.append(Atom(start, tokens[end - 1].end, key, key, key, "word"))
    return end - i


def _atom(entry: Entry, start: int, end: int) -> Atom:
    surface = f"{entry.surface}|{entry.concept}"
    if entry.relation == "narrower":
        return Atom(start, end, surface, surface, surface, "concept", entry)
    same = f"={entry.concept}"
    wide = f"^{entry.umbrella}" if entry.umbrella else same
    return Atom(start, end, surface, same, wide, "concept", entry)
