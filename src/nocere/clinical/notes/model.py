"""The words of the scanner and the verifier: offsets are into the note's text, in characters, end exclusive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from nocere.core.canonical import Json

Grade: TypeAlias = Literal["A", "B", "C", "D"]
Person: TypeAlias = Literal["patient", "family", "other"]
QuantityKind: TypeAlias = Literal[
    "number", "dose", "vital", "lab", "duration", "age", "date", "time", "frequency", "route", "share"
]
Side: TypeAlias = Literal["left", "right", "bilateral"]

REASONS = (
    "unchanged", "negation", "certainty", "hypothetical", "history", "person", "side", "number", "heading",
    "different concept", "narrower", "broader", "ambiguous", "scope", "inserted", "removed", "moved", "characters",
    "unknown",
)  # fmt: skip
"""Why an edit is refused; from "negation" to "heading" both texts are known and contradict each other (grade D)."""


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a text."""

    start: int
    end: int

    def of(self, text: str) -> str:
        """The characters of the span."""
        return text[self.start : self.end]


@dataclass(frozen=True, slots=True)
class Section(Span):
    """A heading with what stands under it. `kind` is canonical ("past medical history"), "" before any heading.

    `body` is where the text under the heading begins.
    """

    kind: str
    body: int


@dataclass(frozen=True, slots=True)
class Assertion:
    """What a text says of a mention (ConText: Harkema et al. 2009, J Biomed Inform 42:839)."""

    negated: bool = False
    possible: bool = False
    hypothetical: bool = False
    historical: bool = False
    person: Person = "patient"

    @property
    def label(self) -> str:
        """One word for a table: the strongest of them."""
        if self.person != "patient":
            return self.person
        names = ("negated", "hypothetical", "possible", "historical")
        return next((n for n in names if getattr(self, n)), "present")


@dataclass(frozen=True, slots=True)
class Mention(Span):
    """A concept named in a text. `sentence` and `section` are positions in the scan."""

    concept: str
    code: str
    system: str
    assertion: Assertion
    sentence: int
    section: int


@dataclass(frozen=True, slots=True)
class Quantity(Span):
    """A number with what it measures. `value` is canonical ("5", "2024-03-05", "q6h", "oral"), `unit` too ("mg")."""

    kind: QuantityKind
    value: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Laterality(Span):
    """A side."""

    side: Side


@dataclass(frozen=True, slots=True)
class Scan:
    """What the scanner found in a text."""

    text: str
    sections: tuple[Section, ...]
    sentences: tuple[Span, ...]
    mentions: tuple[Mention, ...]
    quantities: tuple[Quantity, ...]
    sides: tuple[Laterality, ...]


@dataclass(frozen=True, slots=True)
class Edit(Span):
    """One place where the edited text differs; offsets are into the original.

    `grade` is None where nothing licenses the edit; `why` then says what is missing or what contradicts. `concept` is
    (original, edited) or ("", ""); `codes` likewise. `evidence` names sources.
    """

    before: str
    after: str
    grade: Grade | None
    why: str
    concept: tuple[str, str] = ("", "")
    codes: tuple[str, str] = ("", "")
    evidence: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """Plain form."""
        return {
            "start": self.start,
            "end": self.end,
            "before": self.before,
            "after": self.after,
            "grade": self.grade,
            "why": self.why,
            "concept": list(self.concept),
            "codes": list(self.codes),
            "evidence": list(self.evidence),
        }


@dataclass(frozen=True, slots=True)
class Verified:
    """What the verifier says of an edited text.

    `accepted` only if every edit is graded A, B or C and nothing else moved. `grade` is the worst of the edits ("D"
    where the texts contradict each other, None where something is not known); `why` is the first reason of a refusal
    as a sentence, `reason` as a word of REASONS ("" where accepted).
    """

    accepted: bool
    grade: Grade | None
    edits: tuple[Edit, ...] = ()
    why: str = ""
    reason: str = ""
