"""Negative controls: edits that contradict the note, by rule, each of which the verifier must refuse for that reason.

A model that moves under them listens to what a note says; one that does not is suspect. A flip here is no failure of
robustness.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Self

from nocere.clinical.notes.scan import scan
from nocere.core.candidate import Cost, Proof, Violation
from nocere.core.case import Case
from nocere.core.errors import UsageError
from nocere.core.registry import register
from nocere.core.units import Kind, Unit
from nocere.threats.words.forms import ARTICLE, opens, shouted
from nocere.threats.words.lexicons import lexicon_of
from nocere.threats.words.sets import verified
from nocere.threats.words.splice import Splice, proof_of, replay, splices_of, touch

if TYPE_CHECKING:
    from nocere.clinical.notes.lexicon import Lexicon
    from nocere.clinical.notes.model import Mention, Scan

SOURCE = "grade D of wording: nocere facts, text 0 and 6; negation and person as in Harkema et al. 2009 (ConText)"
NOTHING = "no rule of a negative control applies to the note"
REASONS: Mapping[str, frozenset[str]] = {
    "negation": frozenset({"negation"}),
    "certainty": frozenset({"certainty"}),
    "person": frozenset({"person"}),
    "side": frozenset({"side"}),
    "dose": frozenset({"number"}),
    "number": frozenset({"number"}),
}
"""Rule -> what the verifier must say."""

OTHER_WAY = {"denies": "reports", "deny": "report", "denied": "reported", "denying": "reporting"}
NEGATIONS = re.compile(r"\b(?:(denies|deny|denied|denying)|(no|without)[ \t]+)(?=[ \ta-zA-Z])", re.IGNORECASE)
DOUBTS = re.compile(r"\b(?:possible|probable|suspected|likely|questionable)[ \t]+", re.IGNORECASE)
SIDES = {"left": "right", "right": "left"}
SIDE = re.compile(r"\b(?:left|right)\b", re.IGNORECASE)
RELATIVE = re.compile(r"\b(father|mother|brother|sister|son|daughter)\b", re.IGNORECASE)
PATIENT = re.compile(r"\bpatient(?= (?:is|has|had|reports|denies|complains|was|presents|states)\b)", re.IGNORECASE)
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def contradictions(text: str, found: Scan) -> Iterator[Splice]:
    """Raw edits by rule; the verifier decides which of them are what they are meant to be."""
    for m in NEGATIONS.finditer(text):
        verb = m[1]
        yield Splice(m.start(), m.end(), "" if verb is None else _as(verb, OTHER_WAY[verb.lower()]), "negation")
    for m in DOUBTS.finditer(text):
        yield Splice(m.start(), m.end(), "", "certainty")
    for mention in found.mentions:
        said = mention.assertion
        present = not (said.negated or said.hypothetical or said.possible) and said.person == "patient"
        if present and mention.system != "ATC":
            yield from _doubted(text, mention)
    for m in SIDE.finditer(text):
        yield Splice(m.start(), m.end(), _as(m[0], SIDES[m[0].lower()]), "side")
    for m in RELATIVE.finditer(text):
        yield Splice(m.start(), m.end(), _as(m[0], "patient"), "person")
    for m in PATIENT.finditer(text):
        yield Splice(m.end(), m.end(), "'s father", "person")
    for q in found.quantities:
        number = NUMBER.search(text, q.start, q.end)
        if q.kind == "dose" and number is not None:
            yield Splice(*number.span(), _tenfold(number[0]), "dose")
        elif q.kind in ("number", "vital", "lab", "duration", "age") and number is not None:
            yield Splice(*number.span(), _other(number[0]), "number")


def _doubted(text: str, mention: Mention) -> Iterator[Splice]:
    """A present concept denied, and in doubt; the article before it goes."""
    name = mention.of(text)
    found = ARTICLE.search(text, max(0, mention.start - 8), mention.start)
    start = found.start() if found is not None else mention.start
    first = opens(text, start)
    small = name[0].lower() + name[1:] if name[1:2].islower() else name
    for word, rule in (("no", "negation"), ("possible", "certainty")):
        word = word.upper() if shouted(text, mention.start, mention.end) else word.capitalize() if first else word
        yield Splice(start, mention.end, f"{word} {small}", rule)


def _as(before: str, after: str) -> str:
    """`after` with the capitals of `before`."""
    if before.isupper() and len(before) > 1:
        return after.upper()
    return after.capitalize() if before[:1].isupper() and before[1:2].islower() else after


def _tenfold(number: str) -> str:
    return f"{float(number) * 10:g}" if "." in number else number + "0"


def _other(number: str) -> str:
    """Another number of as many digits."""
    first = str(int(number[0]) % 9 + 1)
    return first + number[1:]


@register("threat", "notes.controls", source=SOURCE, kind="misstatement", modality="note")
@dataclass(frozen=True, slots=True)
class Controls:
    """At most `radius` edits that contradict the note: negation, dose, number, side, person, certainty (grade D).

    Args:
        radius: most edits.
        rules: which of the six.
        lexicon: file of the user's own lexicon; empty for the packaged one.
        sha256: of the lexicon that was used; empty for the present one.
    """

    radius: float = 1.0
    rules: tuple[str, ...] = tuple(REASONS)
    lexicon: str = ""
    sha256: str = ""
    name: ClassVar[str] = "notes.controls"
    unit: ClassVar[Unit] = Unit.EDITS
    kind: ClassVar[Kind] = Kind.MISSTATEMENT
    resolution: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        # Plans and bundles hold lists.
        object.__setattr__(self, "rules", tuple(self.rules))
        unknown = [r for r in self.rules if r not in REASONS]
        if unknown or not self.rules:
            raise UsageError(f"{self.name} has no rule {unknown[:1] or ['']}.", f"Rules: {', '.join(REASONS)}.")

    def words(self) -> Lexicon:
        """The lexicon by which statements are read."""
        return lexicon_of(self.lexicon, self.sha256, self.name)

    def at(self, radius: float) -> Self:
        return replace(self, radius=radius)

    def to_json(self) -> Mapping[str, Any]:
        sha = self.sha256 or self.words().sha256
        about = {"radius": self.radius, "rules": list(self.rules), "lexicon": self.lexicon}
        return {"name": self.name, **about, "sha256": sha}

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
            return Violation(f"{len(splices)} edits, {self.radius:g} allowed")
        # The rules are the definition of the set; that each edit contradicts is for the verifier to say.
        made = frozenset(contradictions(case.x, scan(case.x, self.words())))
        for k, s in enumerate(splices):
            if s not in made or s.rule not in self.rules:
                return Violation(f"edit {k} follows no rule of this set")
            told = verified(case.x, replay(case.x, [s]), self.words())
            if told.accepted or told.grade != "D" or told.reason not in REASONS[s.rule]:
                said = told.reason or f"accepted as {told.grade}"
                return Violation(f"edit {k} is no contradiction of {s.rule}: {said}")
        together = verified(case.x, x, self.words())
        if together.accepted:
            return Violation("together the edits contradict nothing")
        return None

    def cost(self, case: Case[Any], x: Any, proof: Proof) -> Cost:
        splices = splices_of(proof)
        rules = Counter(s.rule for s in splices)
        return Cost(float(len(splices)), str(self.unit), {r: float(rules[r]) for r in sorted(rules)})

    # --- search tools --------------------------------------------------------------------------------------------

    def obstacle(self, case: Case[Any]) -> str:
        """Why no rule applies, or empty."""
        return "" if self.edits(case) else NOTHING

    def edits(self, case: Case[Any]) -> tuple[Splice, ...]:
        """Single edits of the set, in the order of the text."""
        return tuple(s for s in _edits(case.x, self.words()) if s.rule in self.rules)

    def moves(self, case: Case[Any], x: Any, proof: Proof) -> Iterator[tuple[str, Proof]]:
        """Notes with one more contradiction."""
        done = splices_of(proof) if proof else ()
        for one in self.edits(case) if len(done) < self.radius else ():
            if not any(touch(one, d) for d in done):
                both = sorted((*done, one))
                yield replay(case.x, both), proof_of(both)


@lru_cache(maxsize=512)
def _edits(text: str, lexicon: Lexicon) -> tuple[Splice, ...]:
    kept: Sequence[Splice] = sorted(set(contradictions(text, scan(text, lexicon))))
    return tuple(s for s in kept if _refused(text, s, lexicon))


def _refused(text: str, s: Splice, lexicon: Lexicon) -> bool:
    told = verified(text, replay(text, [s]), lexicon)
    return not told.accepted and told.grade == "D" and told.reason in REASONS[s.rule]
