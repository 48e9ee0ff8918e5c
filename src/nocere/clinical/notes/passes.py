"""Passes over tokens that need no lexicon: hyphens, numbers in words, commas of lists, articles, full stops."""

from __future__ import annotations

from dataclasses import replace

from nocere.clinical.notes.bags import bag
from nocere.clinical.notes.formats import (
    COUNTED,
    NO_ARTICLE_DROP_AFTER,
    NO_ARTICLE_DROP_BEFORE,
    NUMBERS,
    ORDINALS,
    ROMAN,
    TENS,
)
from nocere.clinical.notes.tokens import Token

_LIST_END = frozenset({"and", "or"})
_TITLES = frozenset({"dr", "mr", "mrs", "ms", "st"})
_SHORT = bag("approx resp temp dept wt ht abd hx dx rx tx fx hr min tab cap est vs pt ext lt rt")
_ARTICLES = frozenset({"a", "an", "the"})
_CLOSING = frozenset({".", ";", ":", "(", ")", "?", "!"})


def hyphens(tokens: list[Token]) -> list[Token]:
    """Drops hyphens inside words (follow-up, B-12, 5-mg); between numbers they are "to"; others stay dashes."""
    found: list[Token] = []
    joined = False
    for i, t in enumerate(tokens):
        if t.key != "-":
            found.append(replace(t, joined=True, glued=False) if joined else t)
            joined = False
            continue
        before = tokens[i - 1] if i and t.glued else None
        after = tokens[i + 1] if i + 1 < len(tokens) and tokens[i + 1].glued else None
        worded = before is not None and before.kind in ("word", "number") and before.raw.lower() not in _ARTICLES
        if after is None or after.kind not in ("word", "number") or (not worded and after.kind != "number"):
            found.append(replace(t, key="--"))
        elif before is None or not worded:
            found.append(t)  # a sign
        elif after.kind == "number" and (before.kind == "number" or (before.glued and tokens[i - 2].kind == "number")):
            found.append(replace(t, key="to", kind="word", glued=False, raw="to"))
        else:
            joined = True
    return found


def numbers(tokens: list[Token]) -> list[Token]:
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


def without_stop(tokens: list[Token]) -> list[Token]:
    """Without the full stop that ends a line or the text."""
    end = len(tokens) - (1 if tokens and tokens[-1].kind == "break" else 0)
    if end and tokens[end - 1].key == "." and (end < 2 or tokens[end - 2].key != "."):
        return tokens[: end - 1] + tokens[end:]
    return tokens


def commas(tokens: list[Token]) -> list[Token]:
    """Drops the comma before the last "and" of a list, the stop of an abbreviation, and "for" after "as needed"."""
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
        if t.key == "for" and [n.key for n in found[-2:]] == ["as", "needed"]:
            continue
        if t.key == "." and t.glued and found:
            inside = after is not None and after.kind == "word" and not after.glued and after.raw[0].islower()
            short = found[-1].kind == "measure" or found[-1].key in _SHORT
            if (found[-1].key in _TITLES and (after is None or after.kind == "word")) or (short and inside):
                continue
        found.append(t)
    return found


def articles(tokens: list[Token]) -> list[Token]:
    """Drops articles where they say nothing: not in "a few", "hepatitis A", "3 a day"."""
    found: list[Token] = []
    for i, t in enumerate(tokens):
        after = tokens[i + 1] if i + 1 < len(tokens) else None
        if t.key == "an":
            t = replace(t, key="a")
        if t.key in ("a", "the") and t.kind == "word" and after is not None and after.kind in ("word", "number"):
            before = found[-1] if found else None
            stays = after.key in NO_ARTICLE_DROP_BEFORE or t.joined
            if before is not None and not stays:
                stays = before.kind in ("number", "measure") or before.key in NO_ARTICLE_DROP_AFTER
            if not stays:
                continue
        found.append(t)
    return found
