"""Words of a text in the letters that they are compared in: case, British spelling, hyphens, words written apart."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from nocere.clinical.notes.casing import COMMON, MEANINGFUL, fold
from nocere.clinical.notes.formats import CLOSED, CONTRACTED, PREFIXES
from nocere.clinical.notes.forms import american
from nocere.clinical.notes.passes import hyphens, numbers
from nocere.clinical.notes.tokens import Keys, Token, tokenise


class Lettering:
    """Reads words. `known` are words in small letters that certainly are words, so that capitals may be folded."""

    def __init__(self, texts: Iterable[str]) -> None:
        words = {w for text in texts for w in re.findall("[a-z]+", text.replace("-", " ")) if len(w) > 2}
        self.known = frozenset((words | COMMON) - {m.lower() for m in MEANINGFUL})

    def words(self, part: str) -> list[Token]:
        """The tokens of a part of a text with their folded keys."""
        tokens = hyphens(tokenise(part))
        found: list[Token] = []
        for i, t in enumerate(tokens):
            if t.kind != "word":
                found.append(t)
                continue
            t.key = self._folded(tokens, i)
            for position, key in enumerate(self._apart(t.key)):
                found.append(replace(t, key=key, glued=t.glued and position == 0))
        return numbers(found)

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
        """Contractions, the genitive, and words that are also written apart."""
        if key in CONTRACTED:
            return CONTRACTED[key]
        if key in CLOSED:
            return CLOSED[key]
        if key.endswith("'s") and len(key) > 2:
            return (*self._apart(key[:-2]), "'s")
        if len(key) > 5 and key.islower():
            for prefix in PREFIXES:
                rest = key.removeprefix(prefix)
                if rest == key or len(rest) <= 3 or (prefix == "micro" and rest.rstrip("s") in ("gram", "liter")):
                    continue
                if rest in self.known or (prefix == "non" and key != "nonetheless"):
                    return prefix, rest
        return (key,)

    def cases(self, form: Keys) -> tuple[Keys, ...]:
        """The form in small letters and in capitals, where that is not another word."""
        small = tuple(k if k in MEANINGFUL or (len(k) == 1 and len(form) == 1) else k.lower() for k in form)
        loud = tuple(k.upper() if len(k) <= 5 and k.isalpha() and k not in self.known else k for k in form)
        lone = len(form) == 1 and (small[0] in self.known or loud[0] in MEANINGFUL)
        return () if lone else (small, loud)
