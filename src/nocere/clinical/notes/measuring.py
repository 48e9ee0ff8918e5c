"""Numbers joined with their units, ages with the sex after them, and "q6h" as "every 6 hours"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from nocere.clinical.notes.amounts import measured, unit_at
from nocere.clinical.notes.tokens import Token

_SEXES = {
    "F": "female", "f": "female", "female": "female", "woman": "female", "lady": "female",
    "M": "male", "m": "male", "male": "male", "man": "male", "gentleman": "male",
}  # fmt: skip
# The usual unit of a vital sign says nothing more where the sign is named shortly before the number.
_USUAL = {"mmHg": frozenset({"pressure", "bp"}), "bpm": frozenset({"rate", "pulse", "hr"})}
_BACK = 6
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


def measures(tokens: list[Token]) -> list[Token]:
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
        i = _measure(tokens, keys, found, i)
    return found


def _measure(tokens: list[Token], keys: list[str], found: list[Token], i: int) -> int:
    """Reads a number with the units after it; returns where to go on."""
    t = tokens[i]
    unit, length = unit_at(keys, i + 1, t.key)
    if not unit:
        found.append(t)
        return i + 1
    aged = _aged(tokens, keys, found, i, unit, length)
    if aged:
        return aged
    convert = not _enumerated(found)
    end = i + 1 + length
    last = tokens[end - 1]
    if any(k.lower() in _USUAL.get(unit, ()) for k in keys[max(0, i - _BACK) : i]):
        found.append(replace(t, end=last.end))
        return end
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


def _aged(tokens: list[Token], keys: list[str], found: list[Token], i: int, unit: str, length: int) -> int:
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
