"""Abbreviations, frequencies and routes: all forms of a group are read as the first of them."""

from __future__ import annotations

from dataclasses import replace

from nocere.clinical.notes.formats import GROUPS
from nocere.clinical.notes.lettering import Lettering
from nocere.clinical.notes.lexicon import Lexicon
from nocere.clinical.notes.passes import without_stop
from nocere.clinical.notes.tokens import Keys, Token, TokenKind


class Abbreviated:
    """The rows of abbreviations.tsv and of `formats.GROUPS`, joined where they share a form."""

    def __init__(self, lexicon: Lexicon, lettering: Lettering) -> None:
        self._lettering = lettering
        self._forms: dict[str, list[tuple[Keys, Keys, tuple[bool, ...]]]] = {}
        self._build(lexicon)

    def apply(self, tokens: list[Token]) -> list[Token]:
        """Abbreviations, frequencies and routes in the form that all of their group are compared as."""
        found: list[Token] = []
        i = 0
        while i < len(tokens):
            t = tokens[i]
            for keys, into, glue in self._forms.get(t.key, ()):
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
                if self._stopped(tokens, i):
                    found[-1] = replace(found[-1], end=tokens[i].end)
                    i += 1
                break
            else:
                found.append(t)
                i += 1
        return found

    @staticmethod
    def _stopped(tokens: list[Token], i: int) -> bool:
        """Whether a full stop belongs to the abbreviation before it (Pt. complains): a small letter follows."""
        if i + 1 >= len(tokens) or tokens[i].key != "." or not tokens[i].glued:
            return False
        return tokens[i + 1].kind == "word" and not tokens[i + 1].glued and tokens[i + 1].raw[:1].islower()

    @staticmethod
    def _counted(tokens: list[Token], i: int, keys: Keys) -> bool:
        """IV after nerve or factor is four, hr after a number hours; beside a character that we do not read is none."""
        if keys == ("IV",) and i and tokens[i - 1].key in ("nerve", "nerves", "cn", "CN", "factor", "and", "to"):
            return True
        if keys == ("hr",) and i and tokens[i - 1].kind == "number":
            return True
        around = (*tokens[max(i - 1, 0) : i], *tokens[i + len(keys) : i + len(keys) + 1])
        return any(t.kind == "odd" for t in around)

    def _build(self, lexicon: Lexicon) -> None:
        rows = [(a.short, a.long) for a in lexicon.abbreviations if a.kind not in ("unit", "time")]
        rows += _acronyms(lexicon)
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
            self._add(form, min((g for g in group if g in ranks), key=lambda g: ranks[g]), glued[form])
        for short in [s for s, _ in rows] + [w for group in GROUPS for w in group]:
            form = self._form(short, glued)
            into = next(into for keys, into, _ in self._forms[form[0]] if keys == form)
            for variant in self._lettering.cases(form):
                if not any(keys == variant for keys, _, _ in self._forms.get(variant[0], ())):
                    self._add(variant, into, glued[form])
        for options in self._forms.values():
            options.sort(key=lambda option: -len(option[0]))

    def _add(self, form: Keys, head: Keys, glue: tuple[bool, ...]) -> None:
        self._forms.setdefault(form[0], []).append((form, head, glue))

    def _form(self, wording: str, glued: dict[Keys, tuple[bool, ...]]) -> Keys:
        tokens = without_stop(self._lettering.words(wording))
        form = tuple(t.key for t in tokens)
        glued.setdefault(form, tuple(t.glued and not t.joined and (t.kind == "mark" or "/" in form) for t in tokens))
        return form


def _acronyms(lexicon: Lexicon) -> list[tuple[str, str]]:
    """Surfaces in capitals, and those of their concept whose initials (COPD) or else letters (HTN) they are."""
    found: list[tuple[str, str]] = []
    for entry in lexicon.entries:
        short = entry.surface
        if entry.relation == "narrower" or not (short.isalpha() and short.isupper() and len(short) > 1):
            continue
        same = (e for e in lexicon.concept(entry.concept) if e.relation != "narrower")
        longs = [e.surface for e in same if not e.surface.isupper()]
        made_of = [long for long in longs if _initials(long) == short] or [
            long for long in longs if " " not in long and _inside(short.lower(), long) and short[0].lower() == long[0]
        ]
        found.extend((short, long) for long in made_of)
    return found


def _initials(wording: str) -> str:
    words = [w for w in wording.replace("-", " ").split() if w not in ("of", "and", "the", "to", "in", "on")]
    return "".join(w[0] for w in words).upper() if len(words) > 1 else ""


def _inside(letters: str, word: str) -> bool:
    """Whether the letters stand in the word in their order."""
    rest = iter(word)
    return all(letter in rest for letter in letters)
