"""Whether a text asserts a mention: negated, possible, hypothetical, historical, of another person.

In the tradition of ConText (Harkema et al. 2009, J Biomed Inform 42:839): a cue before or after a mention sets a
property, as far as its scope reaches. A scope ends with its sentence, after `reach` words, or at a cue that stops it
("but", "positive for"). Cues that set and stop nothing only keep a shorter one from being read ("no change").

data/context.tsv is of our own writing. In a phrase `a|b` and `{a|b c}` are alternatives, `[a|b c]` may be absent, `#`
is a number, `#year` a year, `<kin>` a relative and `<other>` another person. `sets` and `stops` join properties by "+";
"all" stops every one.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal, NamedTuple, TypeAlias, cast

from nocere.clinical.notes.forms import fold
from nocere.clinical.notes.model import Assertion, Person
from nocere.clinical.notes.words import Trie, Words

Property: TypeAlias = Literal["negated", "possible", "hypothetical", "historical", "family", "other"]
PROPERTIES: tuple[Property, ...] = ("negated", "possible", "hypothetical", "historical", "family", "other")
_NEW_SCOPE: dict[Property, tuple[Property, ...]] = {
    "negated": ("possible",),
    "possible": ("negated",),
    "hypothetical": ("negated", "possible"),
    "family": ("negated", "possible"),
    "other": ("negated", "possible"),
}
"""What a cue of a property also stops, unless it stands directly behind the other one ("no suspected")."""
_SLOT = re.compile(r"\[[^\]]+\]|\{[^}]+\}|\S+")
_KIN = (
    "mother father mom dad brother brothers sister sisters sibling siblings aunt aunts uncle uncles grandmother "
    "grandfather grandparent grandparents parent parents cousin cousins daughter daughters son sons twin niece nephew "
    "relative relatives"
)
_OTHERS = (
    "husband wife spouse boyfriend girlfriend fiance fiancee partner roommate roommates coworker coworkers colleague "
    "colleagues friend friends neighbor neighbors classmate classmates donor caregiver stepmother stepfather stepson "
    "stepdaughter"
)
_PEOPLE = {w + s: name for name, of in (("<kin>", _KIN), ("<other>", _OTHERS)) for w in of.split() for s in ("", "'s")}
_JOINS = frozenset(("and", "or", "nor", "&"))
_PRESENT = Assertion()


@dataclass(frozen=True, slots=True)
class Rule:
    """What a cue sets.

    Direction "either" is forward if a mention follows in its scope, else backward; "answer" is the same, but backward
    only right behind a colon ("Nausea: no").
    """

    sets: tuple[Property, ...] = ()
    direction: str = "forward"
    reach: int = 0


class Cue(NamedTuple):
    """A rule found in a text: its first word and the one after its last."""

    first: int
    after: int
    rule: Rule


class Stop(NamedTuple):
    """Words that end the scope of some properties."""

    first: int
    after: int
    stops: frozenset[Property]


@cache
def rules() -> tuple[Trie[Rule], Trie[frozenset[Property]]]:
    """The packaged rules: what sets a property or nothing, and what stops some."""
    cues: Trie[Rule] = Trie()
    stopping: dict[tuple[str, ...], frozenset[Property]] = {}
    text = files("nocere.clinical.notes").joinpath("data/context.tsv").read_text(encoding="utf-8")
    for line in text.splitlines()[1:]:
        phrase, sets, direction, reach, stops = line.split("\t")
        for way in expanded(phrase):
            if stops:
                stopped = PROPERTIES if stops == "all" else _properties(stops)
                stopping[way] = frozenset((*stopping.get(way, ()), *stopped))
            else:
                cues.add(way, Rule(_properties(sets), direction, int(reach or 0)))
    trie: Trie[frozenset[Property]] = Trie()
    for way, properties in stopping.items():
        trie.add(way, properties)
    return cues, trie


def expanded(phrase: str) -> list[tuple[str, ...]]:
    """All sequences of words that a phrase of the table stands for."""
    slots: list[tuple[tuple[str, ...], ...]] = []
    for part in _SLOT.findall(phrase):
        group = part[0] in "[{" and len(part) > 1
        choices = tuple(tuple(map(fold, c.split())) for c in (part[1:-1] if group else part).split("|"))
        slots.append(((), *choices) if part[0] == "[" else choices)
    return [tuple(itertools.chain(*way)) for way in itertools.product(*slots)]


def assertions(
    of: Words, spans: Sequence[tuple[int, int]], mentions: Sequence[tuple[int, int]], readings: Sequence[str]
) -> list[Assertion]:
    """What is asserted of each mention.

    Args:
        of: the words of the text.
        spans: first word and the one after the last of each sentence.
        mentions: the same of each mention, in order, each within a sentence.
        readings: what the heading above each mention says of it ("" or a property).
    """
    numbered = Words(
        of.text, [_class(k) if "0" <= k[0] <= "9" or k in _PEOPLE else k for k in of.keys], of.starts, of.ends
    )
    found: list[Assertion] = []
    carried: list[Rule] = []
    m, n = 0, len(mentions)
    for s, (begin, end) in enumerate(spans):
        here = m
        while m < n and mentions[m][0] < end:
            m += 1
        carried = carried if carried and _item(of, spans, s) else []
        opens = end > begin and of.keys[end - 1] == ":"
        if here == m and not opens:
            continue
        inside = mentions[here:m]
        cues = _cues(numbered, begin, end, inside)
        stops = _stops(numbered, begin, end, cues)
        marks = [set(_properties(r)) for r in readings[here:m]]
        for rule in carried:
            _forward(Cue(begin, begin, rule), _limit(Cue(begin, begin, rule), stops, end), inside, marks)
        limits = [_limit(cue, stops, end) for cue in cues]
        for cue, limit in zip(cues, limits, strict=True):
            if cue.rule.sets:
                way = cue.rule.direction
                reached = way != "backward" and _forward(cue, limit, inside, marks)
                answers = way == "answer" and cue.first > begin and of.keys[cue.first - 1] == ":"
                if not reached and (way in ("backward", "either") or answers):
                    _backward(cue, stops, begin, of, inside, marks)
        if opens:
            carried = [c.rule for c, limit in zip(cues, limits, strict=True) if c.rule.sets and limit == end]
        found.extend(_assertion(mark) for mark in marks)
    return found


@cache
def _first() -> tuple[frozenset[str], frozenset[str]]:
    cues, stops = rules()
    return cues.first, stops.first


def _class(key: str) -> str:
    """The class by which rules name a number, a year, a relative or another person."""
    if "0" <= key[0] <= "9":
        return "#year" if len(key) == 4 and key[:2] in ("19", "20") else "#"
    return _PEOPLE[key]


def _properties(joined: str) -> tuple[Property, ...]:
    return cast("tuple[Property, ...]", tuple(joined.split("+"))) if joined else ()


def _item(of: Words, spans: Sequence[tuple[int, int]], s: int) -> bool:
    """Whether a sentence is an item of a list that goes on: a bullet on the next line."""
    gap = of.text[of.ends[spans[s - 1][1] - 1] : of.starts[spans[s][0]]]
    return gap.count("\n") == 1 and any(mark in gap for mark in "-•*·")


def _cues(of: Words, begin: int, end: int, mentions: Sequence[tuple[int, int]]) -> list[Cue]:
    """Cues of a sentence outside of its mentions: leftmost, then longest."""
    found: list[Cue] = []
    trie, first, at = rules()[0], _first()[0], begin
    for start, after in (*mentions, (end, end)):
        while at < start:
            if of.keys[at] in first and (hit := trie.longest(of, at, start)):
                found.append(Cue(at, *hit))
                at = hit[0]
            else:
                at += 1
        at = after
    return found


def _stops(of: Words, begin: int, end: int, cues: Sequence[Cue]) -> list[Stop]:
    """What ends scopes in a sentence: words of the table unless they are part of a cue, and the cues of a new scope."""
    found: list[Stop] = []
    trie, first, at = rules()[1], _first()[1], begin
    for cue in (*cues, None):
        start = cue.first if cue else end
        hits = ((i, trie.longest(of, i, end)) for i in range(at, start) if of.keys[i] in first)
        found.extend(Stop(i, *hit) for i, hit in hits if hit)
        if cue:
            if (hit := trie.longest(of, start, end)) and hit[0] >= cue.after:
                found.append(Stop(start, *hit))
            ended = frozenset(p for s in cue.rule.sets for p in _NEW_SCOPE.get(s, ()) if p not in cue.rule.sets)
            if ended and cue.rule.direction != "backward":
                found.append(Stop(start, -1, ended))
            at = cue.after
    return found


def _limit(cue: Cue, stops: Sequence[Stop], end: int) -> int:
    """The word at which the scope after a cue ends."""
    limit = min(end, cue.after + cue.rule.reach) if cue.rule.reach else end
    for stop in stops:
        if stop.first >= limit:
            break
        # A cue of a new scope directly behind this one belongs to it.
        if stop.first >= cue.after + (stop.after < 0) and any(p in stop.stops for p in cue.rule.sets):
            return stop.first
    return limit


def _forward(cue: Cue, limit: int, mentions: Sequence[tuple[int, int]], marks: Sequence[set[Property]]) -> bool:
    """Marks mentions between a cue and the end of its scope, and tells whether there is one."""
    reached = False
    for (start, _), mark in zip(mentions, marks, strict=True):
        if cue.after <= start < limit:
            mark.update(cue.rule.sets)
            reached = True
    return reached


def _backward(
    cue: Cue,
    stops: Sequence[Stop],
    begin: int,
    of: Words,
    mentions: Sequence[tuple[int, int]],
    marks: Sequence[set[Property]],
) -> None:
    """Marks mentions before a cue: the nearest, and those that a list joins to it ("fever, cough and pain were")."""
    limit = max(begin, cue.first - cue.rule.reach) if cue.rule.reach else begin
    for stop in stops:
        if stop.first < cue.first and any(p in stop.stops for p in cue.rule.sets):
            limit = max(limit, stop.after if stop.after > 0 else stop.first + 1)
    joined = False
    for i in range(cue.first - 1, limit - 1, -1):
        if of.keys[i] in _JOINS:
            joined = True
        elif of.keys[i] == "," and not joined and i < cue.first - 1:
            limit = i + 1
            break
    for (_, after), mark in zip(mentions, marks, strict=True):
        if limit < after <= cue.first:
            mark.update(cue.rule.sets)


def _assertion(marks: set[Property]) -> Assertion:
    if not marks:
        return _PRESENT
    person: Person = "family" if "family" in marks else "other" if "other" in marks else "patient"
    return Assertion("negated" in marks, "possible" in marks, "hypothetical" in marks, "historical" in marks, person)
