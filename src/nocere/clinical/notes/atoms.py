"""Canonical atoms of a note: every wording that the verifier licenses comes out as the same atom.

Each pass knows one kind of equality (spelling, hyphens, numbers, abbreviations, units, commas, articles, concepts) and
is applied to the lexicon's own surfaces too, so that both sides are always read alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeAlias

from nocere.clinical.notes import compounds
from nocere.clinical.notes.amounts import measured, unit_at
from nocere.clinical.notes.casing import COMMON, MEANINGFUL, fold
from nocere.clinical.notes.formats import (
    CLOSED,
    CONTRACTED,
    COUNTED,
    GROUPS,
    NO_ARTICLE_DROP_AFTER,
    NO_ARTICLE_DROP_BEFORE,
    NUMBERS,
    ORDINALS,
    PREFIXES,
    ROMAN,
    TENS,
)
from nocere.clinical.notes.forms import american, singular
from nocere.clinical.notes.lexicon import ATC, Entry, Lexicon
from nocere.clinical.notes.tokens import Token, TokenKind, tokenise

Keys: TypeAlias = tuple[str, ...]

# A part of a note that is read by itself: to the end of a line, or of a sentence before a capital letter.
_CHUNK = re.compile(r"[^\n]*?(?:[.?!;][ \t]+(?=[A-Z])|[ \t]*\n[\r\n \t]*|\Z)", re.DOTALL)
_LIST_END = frozenset({"and", "or"})
_CLOSING = frozenset({".", ";", ":", "(", ")", "?", "!"})


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


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a text with its atoms (offsets within the part) and their widest values."""

    text: str
    atoms: tuple[Atom, ...]
    wide: Keys


def split(text: str) -> list[str]:
    """The parts of a text, whose concatenation is the text."""
    return [part for part in _CHUNK.findall(text) if part]


class Reader:
    """Reads texts with one lexicon. Pure: what it remembers are only results (at most 16,384 parts)."""

    def __init__(self, lexicon: Lexicon) -> None:
        self.lexicon = lexicon
        self.known = self._words(lexicon)
        self.rewrites: dict[str, list[tuple[Keys, Keys, tuple[bool, ...]]]] = {}
        self.names: dict[str, list[tuple[Keys, Entry]]] = {}
        self.phrases: dict[str, list[tuple[Keys, str]]] = {}
        self.wordings: dict[str, str] = {}
        self._build_rewrites()
        self._build_names()
        self.chunk = lru_cache(16_384)(self._chunk)

    def chunks(self, text: str) -> list[Chunk]:
        """The parts of a text, read. The last one is told that the text ends there."""
        parts = split(text)
        last = len(parts) - 1
        return [self.chunk(part, i == last) for i, part in enumerate(parts)]

    def atoms(self, text: str) -> tuple[Atom, ...]:
        """All atoms of a text; offsets are into the text."""
        found: list[Atom] = []
        at = 0
        for chunk in self.chunks(text):
            found.extend(replace(a, start=a.start + at, end=a.end + at) for a in chunk.atoms)
            at += len(chunk.text)
        return tuple(found)

    def _chunk(self, part: str, final: bool) -> Chunk:
        tokens = self._read(part)
        if final or (tokens and tokens[-1].kind == "break"):
            tokens = _without_stop(tokens)
        atoms = self._named(tokens)
        return Chunk(part, atoms, tuple(a.wide for a in atoms))

    def _read(self, part: str) -> list[Token]:
        """All passes but the last."""
        return _articles(_commas(self._measures(self._rewritten(self._words_of(part)))))

    # --- words: case, spelling, hyphens, numbers -----------------------------------------------------------------

    def _words_of(self, part: str) -> list[Token]:
        tokens = _hyphens(tokenise(part))
        found: list[Token] = []
        for i, t in enumerate(tokens):
            if t.kind != "word":
                found.append(t)
                continue
            t.key = self._folded(tokens, i)
            for position, key in enumerate(self._apart(t.key)):
                found.append(replace(t, key=key, glued=t.glued and position == 0))
        return _numbers(found)

    def _folded(self, tokens: list[Token], i: int) -> str:
        t = tokens[i]
        if len(t.raw) == 1 and t.raw.isupper():
            near = tokens[i + 1] if i + 1 < len(tokens) else None
            slash = (near and near.glued and near.key == "/") or (t.glued and i and tokens[i - 1].key == "/")
            counted = near and near.kind == "number" and t.raw == "Q"
            ray = near and near.joined and t.raw == "X"
            article = t.raw == "A" and near and near.kind == "word" and near.raw.islower() and not near.joined
            article = article and (i == 0 or tokens[i - 1].kind in ("mark", "break"))
            return t.raw.lower() if slash or counted or ray or article else t.raw
        if len(t.raw) == 2 and t.raw == "MG" and i and tokens[i - 1].kind == "number":
            return "mg"
        key = fold(t.raw, self.known, self._shouted(tokens, i))
        return american(key) if key.islower() else key

    def _shouted(self, tokens: list[Token], i: int) -> bool:
        around = [tokens[j].raw for j in (i - 1, i + 1) if 0 <= j < len(tokens) and tokens[j].kind == "word"]
        return any(len(w) > 1 and w.isupper() for w in around)

    def _apart(self, key: str) -> Keys:
        """Contractions and words that are also written apart."""
        if key in CONTRACTED:
            return CONTRACTED[key]
        if key in CLOSED:
            return CLOSED[key]
        if len(key) > 5 and key.islower():
            for prefix in PREFIXES:
                rest = key.removeprefix(prefix)
                if rest != key and len(rest) > 3 and (rest in self.known or (prefix == "non" and key != "nonetheless")):
                    return prefix, rest
        return (key,)

    # --- abbreviations and formats -------------------------------------------------------------------------------

    def _rewritten(self, tokens: list[Token]) -> list[Token]:
        """Abbreviations, frequencies and routes in the form that all of their group are compared as."""
        found: list[Token] = []
        i = 0
        while i < len(tokens):
            t = tokens[i]
            for keys, into, glue in self.rewrites.get(t.key, ()):
                here = tokens[i : i + len(keys)]
                if len(here) < len(keys) or any(a.key != k for a, k in zip(here, keys, strict=True)):
                    continue
                if any(g and not a.glued for a, g in zip(here, glue, strict=True)) or self._counted(tokens, i, keys):
                    continue
                for position, key in enumerate(into):
                    kind: TokenKind = "number" if key.isdigit() else "word" if key[0].isalnum() else "mark"
                    glued, joined = t.glued and position == 0, t.joined and position == 0
                    found.append(Token(here[0].start, here[-1].end, key, kind, glued, key, joined))
                i += len(keys)
                break
            else:
                found.append(t)
                i += 1
        return found

    @staticmethod
    def _counted(tokens: list[Token], i: int, keys: Keys) -> bool:
        """IV after nerve or factor is four; an abbreviation glued to a character that we do not read is none."""
        if keys == ("IV",) and i and tokens[i - 1].key in ("nerve", "nerves", "cn", "CN", "factor", "and", "to"):
            return True
        after = tokens[i + len(keys)] if i + len(keys) < len(tokens) else None
        return bool(
            (tokens[i].glued and i and tokens[i - 1].kind == "odd") or (after and after.glued and after.kind == "odd")
        )

    def _build_rewrites(self) -> None:
        rows = [(a.short, a.long) for a in self.lexicon.abbreviations if a.kind not in ("unit", "time")]
        pairs = [(group[0], other) for group in GROUPS for other in group]
        groups: dict[Keys, set[Keys]] = {}
        glued: dict[Keys, tuple[bool, ...]] = {}
        heads: list[Keys] = []
        for head, other in pairs + [(long, short) for short, long in rows]:
            a, b = self._form(head, glued), self._form(other, glued)
            heads.append(a)
            merged = groups.get(a, {a}) | groups.get(b, {b})
            for form in merged:
                groups[form] = merged
        ranks = {form: rank for rank, form in reversed(list(enumerate(heads)))}
        for form, group in groups.items():
            self._add_rewrite(form, min((g for g in group if g in ranks), key=lambda g: ranks[g]), glued[form])
        for short in [s for s, _ in rows] + [w for group in GROUPS for w in group]:
            form = self._form(short, glued)
            into = next(into for keys, into, _ in self.rewrites[form[0]] if keys == form)
            for variant in _cases(form, self.known):
                if not any(keys == variant for keys, _, _ in self.rewrites.get(variant[0], ())):
                    self._add_rewrite(variant, into, glued[form])
        for options in self.rewrites.values():
            options.sort(key=lambda option: -len(option[0]))

    def _add_rewrite(self, form: Keys, head: Keys, glue: tuple[bool, ...]) -> None:
        self.rewrites.setdefault(form[0], []).append((form, head, glue))

    def _form(self, wording: str, glued: dict[Keys, tuple[bool, ...]]) -> Keys:
        tokens = _without_stop(self._words_of(wording))
        form = tuple(t.key for t in tokens)
        glued.setdefault(form, tuple(t.glued and not t.joined and (t.kind == "mark" or "/" in form) for t in tokens))
        return form

    # --- numbers with their units --------------------------------------------------------------------------------

    def _measures(self, tokens: list[Token]) -> list[Token]:
        keys = [t.key for t in tokens]
        found: list[Token] = []
        i = 0
        while i < len(tokens):
            t = tokens[i]
            if t.key == "q" and i + 1 < len(tokens) and tokens[i + 1].kind == "number":
                found.append(replace(t, key="every", joined=False))
                i += 1
                continue
            if t.key in ("x", "\u00d7") and i + 2 < len(tokens) and tokens[i + 1].kind == "number":
                unit, _ = unit_at(keys, i + 2)
                if unit in ("day", "week", "month", "year", "hour", "minute"):
                    found.append(replace(t, key="for", kind="word"))
                    i += 1
                    continue
            if t.kind != "number" or not _plain(t.key):
                found.append(t)
                i += 1
                continue
            i = self._measure(tokens, keys, found, i)
        return found

    def _measure(self, tokens: list[Token], keys: list[str], found: list[Token], i: int) -> int:
        """Reads a number with the units after it; returns where to go on."""
        t = tokens[i]
        unit, length = unit_at(keys, i + 1, t.key)
        if not unit:
            found.append(t)
            return i + 1
        aged = self._aged(tokens, keys, found, i, unit, length)
        if aged:
            return aged
        convert = not _enumerated(found)
        end = i + 1 + length
        last = tokens[end - 1]
        found.append(
            Token(t.start, last.end, measured(t.key, unit, convert), "measure", t.glued, f"{t.key} {unit}", t.joined)
        )
        while end < len(tokens) and keys[end] in ("/", "per"):
            below, length = unit_at(keys, end + 1)
            if not below:
                break
            per = tokens[end]
            found.append(Token(per.start, per.end, "per", "word", False, "per"))
            found.append(Token(tokens[end + 1].start, tokens[end + length].end, below, "word", False, below))
            end += 1 + length
        return end

    def _aged(self, tokens: list[Token], keys: list[str], found: list[Token], i: int, unit: str, length: int) -> int:
        """58-year-old, 58 y/o: an age, and the sex that may follow it in one letter; 0 where it is none."""
        end = i + 1 + length
        if unit not in ("year", "month", "week", "day") or keys[end : end + 1] != ["old"]:
            return 0
        t = tokens[i]
        key = measured(t.key, unit, False) + " old"
        found.append(Token(t.start, tokens[end].end, key, "measure", t.glued, key))
        end += 1
        sex = _SEXES.get(keys[end]) if end < len(keys) else None
        if sex:
            found.append(replace(tokens[end], key=sex, joined=False))
            end += 1
        return end

    # --- concepts ------------------------------------------------------------------------------------------------

    def _named(self, tokens: list[Token]) -> tuple[Atom, ...]:
        found: list[Atom] = []
        i = 0
        while i < len(tokens):
            name = self._name(tokens, i)
            phrase = None if name else self._phrase(tokens, i)
            t = tokens[i]
            if name:
                length, entry = name
                found.append(_atom(entry, t.start, tokens[i + length - 1].end))
            elif phrase:
                length, group = phrase
                key = f"~{group}"
                found.append(Atom(t.start, tokens[i + length - 1].end, key, key, key, "phrase"))
            else:
                length = 1
                found.append(Atom(t.start, t.end, t.key, t.key, t.key, t.kind))
            i += length
        return tuple(found)

    def _name(self, tokens: list[Token], i: int) -> tuple[int, Entry] | None:
        for keys, entry in self.names.get(tokens[i].key, ()) or self.names.get(singular(tokens[i].key), ()):
            here = tokens[i : i + len(keys)]
            if len(here) < len(keys) or any(a.key != k for a, k in zip(here[:-1], keys, strict=False)):
                continue
            last = here[-1].key
            if keys[-1] not in (last, singular(last)):
                continue
            return None if self._part_of_another(tokens, i, len(keys), entry) else (len(keys), entry)
        return None

    @staticmethod
    def _part_of_another(tokens: list[Token], i: int, length: int, entry: Entry) -> bool:
        drug = entry.system == ATC
        first = tokens[i]
        after = tokens[i + length] if i + length < len(tokens) else None
        if i:
            before = tokens[i - 1]
            if (
                first.joined
                or (first.glued and before.kind in ("odd", "word", "number"))
                or (before.kind == "odd" and first.glued)
            ):
                return True
            if not drug and before.kind == "word" and compounds.before(before.key):
                return True
            if first.glued and before.key in ("/", "-", "+"):
                return drug
        if after is None:
            return False
        if after.joined or (after.glued and after.kind in ("odd", "word", "number")):
            return True
        if after.glued and after.key in ("/", "-", "+") and drug:
            return True
        return after.kind in ("word", "number", "mark") and compounds.after(after.key, drug)

    def _phrase(self, tokens: list[Token], i: int) -> tuple[int, str] | None:
        for keys, group in self.phrases.get(tokens[i].key, ()):
            if tuple(t.key for t in tokens[i : i + len(keys)]) == keys:
                return len(keys), group
        return None

    def _build_names(self) -> None:
        rows: dict[Keys, Entry] = {}
        for entry in self.lexicon.entries:
            form = self._surface(entry.surface)
            if form:
                rows.setdefault(form, entry)
        for form, entry in list(rows.items()):
            bare = tuple(k.removesuffix("'s") for k in form)
            for variant in (*_cases(form, self.known), (*form[:-1], singular(form[-1])), bare):
                rows.setdefault(variant, entry)
        for form, entry in rows.items():
            self.names.setdefault(form[0], []).append((form, entry))
        for options in self.names.values():
            options.sort(key=lambda option: -len(option[0]))
        for phrase in self.lexicon.phrases:
            form = self._surface(phrase.phrase)
            self.phrases.setdefault(form[0], []).append((form, phrase.group))
            self.wordings.setdefault(f"~{phrase.group}", " ".join(form))
        for others in self.phrases.values():
            others.sort(key=lambda option: -len(option[0]))

    def _surface(self, wording: str) -> Keys:
        return tuple(t.key for t in self._read(wording))

    @staticmethod
    def _words(lexicon: Lexicon) -> frozenset[str]:
        """Words in small letters that the lexicon is written with: these may be folded."""
        texts: Iterable[str] = (
            *(e.surface for e in lexicon.entries),
            *(a.long for a in lexicon.abbreviations),
            *(p.phrase for p in lexicon.phrases),
        )
        words = {w for text in texts for w in re.findall("[a-z]+", text.replace("-", " ")) if len(w) > 2}
        return frozenset((words | COMMON) - {m.lower() for m in MEANINGFUL})


_SEXES = {
    "F": "female", "f": "female", "female": "female", "woman": "female", "lady": "female",
    "M": "male", "m": "male", "male": "male", "man": "male", "gentleman": "male",
}  # fmt: skip
_SEPARATORS = frozenset({"to", "/", "-", ",", "and", "or", "x", "\u00d7", "by"})
_PLAIN = re.compile(r"(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")


def _plain(value: str) -> bool:
    """Whether the key of a number token is a value and not a literal (007)."""
    return _PLAIN.fullmatch(value) is not None


def _enumerated(found: Sequence[Token]) -> bool:
    """Whether numbers without a unit stand before, which would take over that of the next one (5 to 10 mg)."""
    position = len(found) - 1
    if position >= 0 and found[position].kind == "number":
        return True
    seen = False
    while position >= 0 and found[position].key in _SEPARATORS:
        seen = True
        position -= 1
    return seen and position >= 0 and found[position].kind in ("number", "measure")


def _hyphens(tokens: list[Token]) -> list[Token]:
    """Drops hyphens inside words (follow-up, B-12, 5-mg); between numbers they are "to"; others stay dashes."""
    found: list[Token] = []
    joined = False
    for i, t in enumerate(tokens):
        if t.key != "-":
            found.append(replace(t, joined=True, glued=False) if joined else t)
            joined = False
            continue
        before = tokens[i - 1] if i else None
        after = tokens[i + 1] if i + 1 < len(tokens) else None
        inside = before and after and t.glued and after.glued
        if not inside or before is None or after is None:
            found.append(replace(t, key="--") if not t.glued and after and not after.glued else t)
        elif after.kind == "number" and (
            before.kind == "number" or (before.glued and i > 1 and tokens[i - 2].kind == "number")
        ):
            found.append(replace(t, key="to", kind="word", glued=False))
        elif before.kind in ("word", "number") and after.kind in ("word", "number"):
            joined = True
        else:
            found.append(t)
    return found


def _numbers(tokens: list[Token]) -> list[Token]:
    """Number words, ordinals, and Roman numerals where they count."""
    found: list[Token] = []
    for i, t in enumerate(tokens):
        before = found[-1] if found else None
        if t.kind != "word":
            found.append(t)
        elif t.key in NUMBERS or t.key in TENS:
            value = NUMBERS.get(t.key, TENS.get(t.key, 0))
            tens = before is not None and t.joined and before.raw.lower() in TENS and 0 < value < 10
            if tens and before is not None:
                found[-1] = replace(before, end=t.end, key=str(int(before.key) + value), raw=t.raw)
            else:
                found.append(replace(t, key=str(value), kind="number"))
        elif t.key in ORDINALS and not (t.key == "second" and before is not None and before.kind == "number"):
            found.append(replace(t, key=ORDINALS[t.key]))
        elif t.raw in ROMAN and before is not None and before.key in COUNTED:
            found.append(replace(t, key=ROMAN[t.raw], kind="number"))
        elif t.key == "yo" and before is not None and before.kind == "number":
            found.extend((replace(t, key="year"), replace(t, key="old")))
        elif (
            t.key == "y"
            and before is not None
            and before.kind == "number"
            and [n.key for n in tokens[i + 1 : i + 3]] == ["/", "o"]
        ):
            tokens[i + 1].key, tokens[i + 2].key = "", "old"
            found.append(replace(t, key="year"))
        else:
            found.append(t)
    return [t for t in found if t.key]


def _without_stop(tokens: list[Token]) -> list[Token]:
    """Without the full stop that ends a line or the text."""
    end = len(tokens) - (1 if tokens and tokens[-1].kind == "break" else 0)
    if end and tokens[end - 1].key == ".":
        return tokens[: end - 1] + tokens[end:]
    return tokens


def _commas(tokens: list[Token]) -> list[Token]:
    """Drops the comma before the last "and" of a list, and stops that end an abbreviation inside a sentence."""
    found: list[Token] = []
    listed = False
    for i, t in enumerate(tokens):
        after = tokens[i + 1] if i + 1 < len(tokens) else None
        if t.key in _CLOSING:
            listed = False
        if t.key == "," and t.kind == "mark":
            if listed and after is not None and after.key in _LIST_END:
                continue
            listed = True
        if t.key == "." and t.glued and found and found[-1].kind in ("word", "measure"):
            title = found[-1].key in ("dr", "mr", "mrs", "ms", "Dr", "st")
            if after is not None and after.kind == "word" and (title or after.raw.islower()) and not after.glued:
                continue
        found.append(t)
    return found


def _articles(tokens: list[Token]) -> list[Token]:
    """Drops articles where they say nothing: not in "a few", "hepatitis A", "3 a day"."""
    found: list[Token] = []
    for i, t in enumerate(tokens):
        after = tokens[i + 1] if i + 1 < len(tokens) else None
        if t.key == "an":
            t = replace(t, key="a")
        if t.key in ("a", "the") and t.kind == "word" and after is not None and after.kind in ("word", "number"):
            before = found[-1] if found else None
            stays = after.key in NO_ARTICLE_DROP_BEFORE or t.glued or after.joined or t.joined or after.glued
            if before is not None and not stays:
                stays = before.kind in ("number", "measure") or before.key in NO_ARTICLE_DROP_AFTER
            if not stays:
                continue
        found.append(t)
    return found


def _cases(form: Keys, known: frozenset[str]) -> tuple[Keys, ...]:
    """The form in small letters and in capitals, where that is not another word."""
    small = tuple(k if k in MEANINGFUL or (len(k) == 1 and len(form) == 1) else k.lower() for k in form)
    loud = tuple(k.upper() if len(k) <= 5 and k.isalpha() and k not in known else k for k in form)
    lone = len(form) == 1 and (small[0] in known or loud[0] in MEANINGFUL)
    return () if lone else (small, loud)


def _atom(entry: Entry, start: int, end: int) -> Atom:
    surface = f"{entry.surface}|{entry.concept}"
    if entry.relation == "narrower":
        return Atom(start, end, surface, surface, surface, "concept", entry)
    same = f"={entry.concept}"
    wide = f"^{entry.umbrella}" if entry.umbrella else same
    return Atom(start, end, surface, same, wide, "concept", entry)
