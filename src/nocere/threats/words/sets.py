"""Perturbation sets of notes: at most `radius` wordings exchanged, each of a licensed grade, with nothing else moved.

`notes.surface` writes the same words differently, `notes.same_concept` also says the same by other words,
`notes.coding_variant` also uses words that a coder would bill differently, where the record supports both codes;
`notes.coding_variant_wide` asks for no support. The verifier decides on every text; nothing of a search is believed.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Self

from nocere.clinical.notes.model import Grade, Verified
from nocere.clinical.notes.verify import verify
from nocere.core.candidate import Cost, Proof, Violation
from nocere.core.case import Case
from nocere.core.errors import DataError
from nocere.core.registry import register
from nocere.core.units import Kind, Unit
from nocere.threats.words.lexicons import lexicon_of
from nocere.threats.words.sites import Site, sites
from nocere.threats.words.splice import Splice, proof_of, replay, splices_of, touch

if TYPE_CHECKING:
    from nocere.clinical.notes.lexicon import Lexicon

SOURCE = "grades of wording: nocere facts, text 6; after Finlayson et al. 2019, Science 363:1287, Fig. 1"
NOTHING = "no part of the note can be worded otherwise by this lexicon"

Choice = tuple[int, int]  # a site, and which of its options


@dataclass(frozen=True, slots=True)
class Rewordings:
    """At most `radius` places worded otherwise; what the sets have in common.

    Args:
        radius: most places.
        lexicon: file of the user's own lexicon; empty for the packaged one.
        sha256: of the lexicon that was used; empty for the present one.
    """

    radius: float = 3.0
    lexicon: str = ""
    sha256: str = ""
    name: ClassVar[str] = ""
    unit: ClassVar[Unit] = Unit.EDITS
    kind: ClassVar[Kind] = Kind.VARIATION
    resolution: ClassVar[float] = 1.0
    grades: ClassVar[frozenset[Grade]] = frozenset()
    supported: ClassVar[bool] = False

    def words(self) -> Lexicon:
        """The lexicon.

        Raises:
            VerificationError: it is another one than this set names.
        """
        return lexicon_of(self.lexicon, self.sha256, self.name)

    def at(self, radius: float) -> Self:
        return replace(self, radius=radius)

    def to_json(self) -> dict[str, Any]:
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
        told = verified(case.x, x, self.words())
        if not told.accepted or told.grade is None:
            return Violation(told.why)
        wrong_grade = next((e for e in told.edits if e.grade not in self.grades), None)
        if told.grade not in self.grades or wrong_grade is not None:
            return Violation(f"an edit of grade {told.grade}, which {self.name} does not hold")
        if places(splices, told) > self.radius:
            return Violation(f"{places(splices, told)} edits, {self.radius:g} allowed")
        unknown = unsupported(told, facts_of(case)) if self.supported else None
        return None if unknown is None else Violation(f"nothing supports both {unknown[0]} and {unknown[1]}")

    def cost(self, case: Case[Any], x: Any, proof: Proof) -> Cost:
        told = verified(case.x, x, self.words())
        grades = Counter(str(e.grade) for e in told.edits)
        return Cost(
            float(places(splices_of(proof), told)), str(self.unit), {k: float(grades[k]) for k in sorted(grades)}
        )

    # --- search tools --------------------------------------------------------------------------------------------

    def obstacle(self, case: Case[Any]) -> str:
        """Why the set has no member that a search knows of, or empty."""
        return "" if self.options(case) else NOTHING

    def options(self, case: Case[Any]) -> tuple[Site, ...]:
        """Disjoint sites of the note with the wordings that this set holds there, in order."""
        if self.supported:
            return _supported(case.x, self.words(), self.grades, facts_of(case))
        return sites(case.x, self.words(), self.grades)

    def reworded(self, case: Case[Any], chosen: Sequence[Choice]) -> tuple[str, Proof]:
        """The note with these options of these sites, and its proof."""
        at = self.options(case)
        splices = sorted(at[s].splice(o) for s, o in chosen)
        return replay(case.x, splices), proof_of(splices)

    def moves(self, case: Case[Any], x: Any, proof: Proof) -> Iterator[tuple[str, Proof]]:
        """Notes with one more place worded otherwise."""
        done = splices_of(proof) if proof else ()
        for site in self.options(case) if len(done) < self.radius else ():
            for k in range(len(site.options)):
                one = site.splice(k)
                if not any(touch(one, d) for d in done):
                    both = sorted((*done, one))
                    yield replay(case.x, both), proof_of(both)

    def members(self, case: Case[Any]) -> Iterator[tuple[str, Proof]]:
        """Every note that `options` can make within the radius, the original left out."""
        at = self.options(case)
        for n in range(1, min(int(self.radius), len(at)) + 1):
            for some in itertools.combinations(range(len(at)), n):
                for chosen in itertools.product(*(range(len(at[s].options)) for s in some)):
                    yield self.reworded(case, list(zip(some, chosen, strict=True)))


@lru_cache(maxsize=4096)
def verified(original: str, edited: str, lexicon: Lexicon) -> Verified:
    """What the verifier says; the answer of a pure function is kept for a while."""
    return verify(original, edited, lexicon=lexicon)


def unsupported(told: Verified, facts: frozenset[str]) -> tuple[str, str] | None:
    """The codes of the first coding variant that the facts do not hold both of."""
    return next((e.codes for e in told.edits if e.grade == "C" and not facts.issuperset(e.codes)), None)


@lru_cache(maxsize=512)
def _supported(text: str, lexicon: Lexicon, grades: frozenset[Grade], facts: frozenset[str]) -> tuple[Site, ...]:
    """Sites with the options that the facts support."""
    kept = []
    for s in sites(text, lexicon, grades):

        def held(k: int, s: Site = s) -> bool:
            told = verified(text, replay(text, [s.splice(k)]), lexicon)
            return told.accepted and unsupported(told, facts) is None

        some = tuple(o for k, o in enumerate(s.options) if o.grade != "C" or held(k))
        kept += [Site(s.start, s.end, some)] if some else []
    return tuple(kept)


def places(splices: Sequence[Splice], told: Verified) -> int:
    """How many places were touched: by the proof, or as the verifier counts them where that is more."""
    return max(len(splices), len(told.edits))


def facts_of(case: Case[Any]) -> frozenset[str]:
    """Codes that the record supports: header entry "facts", a list of codes.

    Raises:
        DataError: another form.
    """
    given: Any = case.header.get("facts", [])
    if not isinstance(given, (list, tuple)) or any(type(c) is not str for c in given):
        raise DataError(f"Note {case.id}: its facts are not a list of codes.", 'Write them as ["F10.20", "M54.50"].')
    return frozenset(given)


@register("threat", "notes.surface", source=SOURCE, kind="representation", modality="note")
@dataclass(frozen=True, slots=True)
class Surface(Rewordings):
    """The same words written differently: spelling, capitals, unambiguous abbreviations and formats (grade A)."""

    name: ClassVar[str] = "notes.surface"
    kind: ClassVar[Kind] = Kind.REPRESENTATION
    grades: ClassVar[frozenset[Grade]] = frozenset({"A"})


@register("threat", "notes.same_concept", source=SOURCE, kind="variation", modality="note")
@dataclass(frozen=True, slots=True)
class SameConcept(Rewordings):
    """The same said by other words of the same concept and code (grades A and B)."""

    name: ClassVar[str] = "notes.same_concept"
    grades: ClassVar[frozenset[Grade]] = frozenset({"A", "B"})


@register("threat", "notes.coding_variant", source=SOURCE, kind="truthful", modality="note")
@dataclass(frozen=True, slots=True)
class CodingVariant(Rewordings):
    """Also words that are billed by another code (grade C), where the facts of the case hold both codes."""

    name: ClassVar[str] = "notes.coding_variant"
    kind: ClassVar[Kind] = Kind.TRUTHFUL
    grades: ClassVar[frozenset[Grade]] = frozenset({"A", "B", "C"})
    supported: ClassVar[bool] = True


@register("threat", "notes.coding_variant_wide", source=SOURCE, kind="misstatement", modality="note")
@dataclass(frozen=True, slots=True)
class CodingVariantWide(Rewordings):
    """The same without asking for support: the difference to it is what asking is worth."""

    name: ClassVar[str] = "notes.coding_variant_wide"
    kind: ClassVar[Kind] = Kind.MISSTATEMENT
    grades: ClassVar[frozenset[Grade]] = frozenset({"A", "B", "C"})
