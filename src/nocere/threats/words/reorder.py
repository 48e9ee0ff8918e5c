"""Other orders of sentences that do not lean on each other, each inside of its section.

A sentence may move only if neither it nor the one after it begins with, or holds, a word that points at what was said
before. What the note states must be the same before and after, counted: the check scans both.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Self

from nocere.clinical.notes.model import Span
from nocere.clinical.notes.scan import scan
from nocere.core.candidate import Cost, Proof, Violation
from nocere.core.case import Case
from nocere.core.registry import register
from nocere.core.units import Kind, Unit
from nocere.threats.words.lexicons import lexicon_of
from nocere.threats.words.splice import Splice, proof_of, replay, splices_of
from nocere.threats.words.statements import statements

if TYPE_CHECKING:
    from nocere.clinical.notes.lexicon import Lexicon

SOURCE = "order of sentences as representation (design, section 5, line 0)"
FIXED = "no two sentences of one section can change places"
WORD = re.compile(r"[a-z]+")
# Words that point back, or say when and why: a sentence that holds one of them stays, and so does the one before it.
LEANS = frozenset(
    WORD.findall("""
    this that these those it its he she his her him hers they them their such same other another both latter former
    then later next after afterwards before previously again also too first second third finally last since until
    because therefore thus hence so however but although though despite otherwise instead still meanwhile while when
    which who following followed subsequently subsequent initially now currently above below as if and or nor
    """)
)


def leans(sentence: str) -> bool:
    """Whether a sentence points at others: by a pronoun or a word of sequence or reason, or by how it begins."""
    words = WORD.findall(sentence.lower())
    inner = LEANS - {"and", "or", "nor", "as", "if", "first", "second", "third", "who", "which"}
    return not words or words[0] in LEANS or any(w in inner for w in words)


def whole(text: str, s: Span) -> bool:
    """Whether a span is a sentence of its own in running text: it begins with a capital and ends with a stop."""
    said = s.of(text)
    return bool(said[:1].isupper() and said[-1:] in (".", "!") and "\n" not in said and ":" not in said)


@lru_cache(maxsize=512)
def movable(text: str, lexicon: Lexicon) -> tuple[tuple[Span, ...], ...]:
    """Sentences that may change places, section by section."""
    found = scan(text, lexicon)
    spans = [_trimmed(text, s) for s in found.sentences]
    out = []
    for section in found.sections:
        inside = [s for s in spans if section.start <= s.start and s.end <= section.end]
        free = [
            s
            for s, after in itertools.zip_longest(inside, inside[1:])
            if s.start >= section.body and whole(text, s) and not leans(s.of(text))
            and not (after is not None and leans(after.of(text)))
        ]  # fmt: skip
        if len(free) > 1:
            out.append(tuple(free))
    return tuple(out)


def _trimmed(text: str, s: Span) -> Span:
    said = s.of(text)
    start = s.start + len(said) - len(said.lstrip())
    return Span(start, start + len(said.strip()))


@register("threat", "notes.reorder", source=SOURCE, kind="representation", modality="note")
@dataclass(frozen=True, slots=True)
class Reorder:
    """At most `radius` sentences at another place inside of their section, none of which leans on another one.

    Args:
        radius: most sentences that stand elsewhere; two that change places are two.
        lexicon: file of the user's own lexicon, by which statements are compared; empty for the packaged one.
        sha256: of the lexicon that was used; empty for the present one.
    """

    radius: float = 4.0
    lexicon: str = ""
    sha256: str = ""
    name: ClassVar[str] = "notes.reorder"
    unit: ClassVar[Unit] = Unit.EDITS
    kind: ClassVar[Kind] = Kind.REPRESENTATION
    resolution: ClassVar[float] = 1.0

    def words(self) -> Lexicon:
        """The lexicon by which statements are compared."""
        return lexicon_of(self.lexicon, self.sha256, self.name)

    def at(self, radius: float) -> Self:
        return replace(self, radius=radius)

    def to_json(self) -> Mapping[str, Any]:
        sha = self.sha256 or self.words().sha256
        return {"name": self.name, "radius": self.radius, "lexicon": self.lexicon, "sha256": sha}

    # --- the rules -----------------------------------------------------------------------------------------------

    def check(self, case: Case[Any], x: Any, proof: Proof) -> Violation | None:
        try:
            splices = splices_of(proof)
            again = replay(case.x, splices)
        except ValueError as wrong:
            return Violation(str(wrong))
        if again != x:
            return Violation("the proof does not give this note")
        if len(splices) > self.radius:
            return Violation(f"{len(splices)} sentences stand elsewhere, {self.radius:g} allowed")
        left = {(s.start, s.end): s for s in splices}
        if any(s.rule for s in splices):
            return Violation("a new order has no rules")
        for section in movable(case.x, self.words()):
            moved = [left.pop((s.start, s.end)) for s in section if (s.start, s.end) in left]
            if sorted(case.x[s.start : s.end] for s in moved) != sorted(s.text for s in moved):
                return Violation("the sentences of a section are not those that it had")
        if left:
            return Violation("a sentence moves that leans on another one, or a part of one")
        if statements(x, self.words()).counted() != statements(case.x, self.words()).counted():
            return Violation("the note states something else than before")
        return None

    def cost(self, case: Case[Any], x: Any, proof: Proof) -> Cost:
        n = float(len(splices_of(proof)))
        return Cost(n, str(self.unit), {"sentences": n})

    # --- search tools --------------------------------------------------------------------------------------------

    def obstacle(self, case: Case[Any]) -> str:
        """Why nothing can move, or empty."""
        return "" if next(self.moves(case, case.x, None), None) is not None else FIXED

    def moves(self, case: Case[Any], x: Any, proof: Proof) -> Iterator[tuple[str, Proof]]:
        """Notes in which two more sentences have changed places."""
        done = {(s.start, s.end): s.text for s in (splices_of(proof) if proof else ())}
        for section in movable(case.x, self.words()):
            now = {(s.start, s.end): done.get((s.start, s.end), s.of(case.x)) for s in section}
            for a, b in itertools.combinations(now, 2):
                if now[a] != now[b]:
                    after = done | {a: now[b], b: now[a]}
                    moved = [Splice(*at, t) for at, t in sorted(after.items()) if t != case.x[slice(*at)]]
                    if 0 < len(moved) <= self.radius:
                        yield replay(case.x, moved), proof_of(moved)
