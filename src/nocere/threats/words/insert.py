"""Insertions: sentences that say nothing of a patient, put where a sentence of the note ends.

The packaged sentences are about the document, its template and the institution; they were written for nocere. What
the note states must be the same before and after: the check scans both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, ClassVar, Self

from nocere.clinical.notes.model import Scan
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

SOURCE = "good words: Dalvi et al. 2004, KDD; sentences by the authors of nocere"
NOWHERE = "no sentence of the note ends where another one may follow"
ITEM = re.compile(r"[ \t]*(?:[-*•–]|\(?\d{1,2}[.)]|[a-zA-Z][.)])[ \t]")
NOT_UNDER = frozenset({"family history"})


@cache
def boilerplate() -> tuple[str, ...]:
    """The packaged sentences."""
    text = files("nocere.threats.words").joinpath("data/boilerplate.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


def parsed(inserted: str) -> tuple[str, ...] | None:
    """The packaged sentences that an inserted text consists of, each after a blank; None where it is anything else."""
    left, found = inserted, []
    while left:
        mine = next(
            (s for s in boilerplate() if left.startswith(f" {s}") and left[len(s) + 1 :][:1] in ("", " ")), None
        )
        if mine is None:
            return None
        found.append(mine)
        left = left[len(mine) + 1 :]
    return tuple(found)


def may_follow(found: Scan, at: int) -> bool:
    """Whether a sentence may be put at this offset: a sentence ends there, outside of lists and Family History."""
    text = found.text
    if not 0 < at <= len(text) or text[at - 1] not in ".!?" or text[at : at + 1].strip():
        return False
    section = next((s for s in reversed(found.sections) if s.start < at), None)
    line = text[text.rfind("\n", 0, at) + 1 : at]
    ends = any(s.end == at or text[s.end : at].strip() == "" == text[at : s.end].strip() for s in found.sentences)
    return ends and not ITEM.match(line) and (section is None or section.kind not in NOT_UNDER)


@register("threat", "notes.boilerplate", source=SOURCE, kind="truthful", modality="note")
@dataclass(frozen=True, slots=True)
class Boilerplate:
    """At most `radius` packaged sentences that say nothing of the patient, each put where a sentence ends.

    Args:
        radius: most sentences.
        lexicon: file of the user's own lexicon, by which statements are compared; empty for the packaged one.
        sha256: of the lexicon that was used; empty for the present one.
    """

    radius: float = 4.0
    lexicon: str = ""
    sha256: str = ""
    name: ClassVar[str] = "notes.boilerplate"
    unit: ClassVar[Unit] = Unit.EDITS
    kind: ClassVar[Kind] = Kind.TRUTHFUL
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
        found = scan(case.x, self.words())
        said: list[str] = []
        for k, s in enumerate(splices):
            more = parsed(s.text)
            if s.start != s.end or s.rule or not more:
                return Violation(f"edit {k} is no insertion of packaged sentences")
            if not may_follow(found, s.start):
                return Violation(f"edit {k} puts a sentence where none ends, into a list or under Family History")
            said += more
        if len(said) > self.radius:
            return Violation(f"{len(said)} sentences, {self.radius:g} allowed")
        if len(set(said)) < len(said):
            return Violation("a sentence is inserted twice")
        if statements(x, self.words()) != statements(case.x, self.words()):
            return Violation("the note states something else than before")
        return None

    def cost(self, case: Case[Any], x: Any, proof: Proof) -> Cost:
        splices = splices_of(proof)
        sentences = sum(len(parsed(s.text) or ()) for s in splices)
        characters = sum(len(s.text) for s in splices)
        return Cost(float(sentences), str(self.unit), {"sentences": float(sentences), "characters": float(characters)})

    # --- search tools --------------------------------------------------------------------------------------------

    def obstacle(self, case: Case[Any]) -> str:
        """Why nothing can be inserted, or empty."""
        return "" if _last(case.x, self.words()) >= 0 else NOWHERE

    def sentences(self) -> tuple[str, ...]:
        """What may be inserted."""
        return boilerplate()

    def inserted(self, case: Case[Any], sentences: Sequence[str]) -> tuple[str, Proof]:
        """The note with these sentences where its last sentence ends; the note itself where none may stand there."""
        place = _last(case.x, self.words())
        if place < 0 or not sentences:
            return case.x, None
        one = Splice(place, place, "".join(f" {s}" for s in sentences))
        return replay(case.x, [one]), proof_of([one])

    def moves(self, case: Case[Any], x: Any, proof: Proof) -> Iterator[tuple[str, Proof]]:
        """Notes with one more sentence at the same place."""
        done = [s for e in (splices_of(proof) if proof else ()) for s in parsed(e.text) or ()]
        for s in boilerplate() if len(done) < self.radius and not self.obstacle(case) else ():
            if s not in done:
                yield self.inserted(case, [*done, s])


@register("threat", "notes.phrase", source=SOURCE, kind="truthful", modality="note")
@dataclass(frozen=True, slots=True)
class Phrase(Boilerplate):
    """One phrase of at most `radius` packaged sentences, the same for every note, put where its last sentence ends."""

    name: ClassVar[str] = "notes.phrase"

    def check(self, case: Case[Any], x: Any, proof: Proof) -> Violation | None:
        if isinstance(proof, list) and len(proof) > 1:
            return Violation("a phrase is put at one place")
        # Not super(): classes with slots are made twice.
        return Boilerplate.check(self, case, x, proof)

    def shift(self, case: Case[Any], delta: Sequence[str]) -> tuple[str, Proof]:
        """The note with the sentences of a phrase; as many as the radius allows."""
        return self.inserted(case, list(delta)[: int(self.radius)])


@lru_cache(maxsize=512)
def _last(text: str, lexicon: Lexicon) -> int:
    """Where the last sentence that another one may follow ends, -1 if there is none."""
    found = scan(text, lexicon)
    ends = sorted({m.end() for m in re.finditer(r"[.!?](?=\s|$)", text)}, reverse=True)
    return next((at for at in ends if may_follow(found, at)), -1)
