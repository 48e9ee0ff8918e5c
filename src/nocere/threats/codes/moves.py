"""Moves: the single edits of a claim that its rules license, which of them go together, and what they may leave.

Search tools. Everything is relative to the original claim: an edit removes codes that stood there and adds codes that
did not. What comes out of edits is judged by `check`, which shares no code with this file.

The lists are finite on purpose, so that an exact search means something: of all orders of the secondary diagnoses two
are offered (reversed, by code), of X7 swaps and of refinements without evidence at most `Terms.laterals` a code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from nocere.cases.claim import Claim
from nocere.clinical.codes.rules import Rule
from nocere.core.candidate import Violation
from nocere.core.case import Case
from nocere.threats.codes.edit import Edit, EditClass, Terms, ordered, replay
from nocere.threats.codes.language import Language, language
from nocere.threats.codes.truth import TOLERANCE, Documented, Fact, Facts, facts_of

if TYPE_CHECKING:
    from nocere.clinical.codes.graph import RuleGraph

T = TypeVar("T")
QUARTER_HOUR = 15  # minutes of one anaesthesia time unit; Medicare counts tenths of it


def moves(case: Case[Claim], rules: RuleGraph, terms: Terms) -> tuple[Edit, ...]:
    """Every licensed edit of the claim alone, in a fixed order; `allowed` says which sets of them may stand."""
    return _view(case.x, facts_of(case), language(rules, case.x.system), terms).moves


def compatible(a: Edit, b: Edit) -> bool:
    """Whether two edits touch different codes and lines, and not both the order."""
    return not _touched(a) & _touched(b)


def allowed(case: Case[Claim], edits: Sequence[Edit], rules: RuleGraph, terms: Terms) -> Violation | None:
    """None when the claim after these moves keeps the rules that it kept before and, where that counts, says the truth.

    Args:
        case: the original.
        edits: compatible moves of it.
        rules: the rule graph.
        terms: of the set.
    """
    if any(_touched(a) & _touched(b) for k, a in enumerate(edits) for b in edits[:k]):
        return Violation("two edits touch the same thing")
    try:
        edited = replay(case.x, ordered(edits))
    except ValueError as e:
        return Violation(str(e))
    view = _view(case.x, facts_of(case), language(rules, case.x.system), terms)
    return (
        view.judge(edited, edits)
        if view.licensed.issuperset(edits)
        else Violation("an edit that no rule licenses here")
    )


def _touched(e: Edit) -> frozenset[str | int]:
    names: set[str | int] = {*e.remove, *e.add}
    if e.principal or e.order:
        names |= {"", *([e.principal] if e.principal else [])}
    if e.line >= 0:
        names.add(e.line)
    return frozenset(names)


@lru_cache(maxsize=512)
def _view(claim: Claim, facts: Facts, rules: Language, terms: Terms) -> _View:
    return _View(claim, facts, rules, terms)


class _View:
    """A claim under rules: what may be done to it."""

    def __init__(self, claim: Claim, facts: Facts, rules: Language, terms: Terms) -> None:
        self.claim, self.facts, self.rules, self.terms = claim, facts, rules, terms
        self.here = frozenset(claim.codes)
        self.known = {f.code: f for f in facts.codes}
        self.true = self._true()
        self.carried = {d.code: d.evidence for d in reversed(claim.diagnoses)}
        self.unmet_before = {r.id for c in claim.codes for r in rules.partners(c) if not _met(claim.codes, c, r)}
        self.kept: dict[Edit, tuple[str, ...]] = {}  # by combination: components that stay
        self.prose = {r.id: r for c in claim.codes for r in rules.undecided(c)}
        makers: dict[EditClass, Iterator[Edit]] = {
            "E0": self._rewritten(), "E1": self._generalised(), "E2": self._combined(), "E3": self._optional(),
            "E4": self._refined(), "E5": self._resequenced(), "E6": self._numbers(), "X7": self._misstated(),
        }  # fmt: skip
        found = (e for name, made in makers.items() if name in terms.classes for e in made)
        self.moves = tuple(dict.fromkeys(e for e in found if all(self._fits(c) for c in e.add)))
        self.licensed = frozenset(self.moves)

    # --- facts and rules -----------------------------------------------------------------------------------------

    def _decided(self, rule: Rule) -> bool:
        return rule.decided or self.terms.undecided == "allow"

    def _true(self) -> frozenset[str]:
        """All that follows from the facts, one new code at a time."""
        true: dict[str, None] = {}
        waiting = [f.code for f in self.facts.codes]
        while waiting:
            code = waiting.pop()
            if code not in true:
                true[code] = None
                waiting += [b for b, rule in self.rules.generalisations(code) if self._decided(rule)]
                waiting += [after[0] for after in [self.rules.successor(code)] if after is not None]
            if not waiting:
                for c in self.rules.combinations(tuple(true)):
                    if self._decided(c.rule) and all(p in true for p in (*c.remove, *c.keep)):
                        waiting += [b for b in c.add if b not in true]
        return frozenset(true)

    def _fits(self, code: str) -> bool:
        """Whether a code may come onto this claim at all."""
        if code in self.here:
            return True
        if not self.rules.billable(code) or not self.rules.fits(code, self.claim.sex, self.claim.age):
            return False
        # What a note in prose asks of this code, it asked of one that stood there.
        return self.terms.undecided == "allow" or all(r.id in self.prose for r in self.rules.undecided(code))

    def _support(self, code: str) -> Fact | None:
        fact = self.known.get(code)
        return fact if fact is not None and fact.evidence else None

    def _acceptable_first(self, code: str) -> bool:
        """Neither a manifestation (Section I.A.13) nor an external cause (I.C.20.a.6), unless the first one was."""
        first, external = self.claim.principal, "E" if self.claim.system == "ICD-9-CM" else "VWXY"
        if code[:1] in external and first[:1] not in external:
            return False
        return set(self.rules.code_first(code)) <= set(self.rules.code_first(first))

    def _settled(self, *, leaves: str = "", comes: str = "") -> bool:
        """Whether no note in prose can be about a condition that leaves the claim or comes to it.

        Prose speaks of conditions, so it reads the same when the same conditions are coded in another way (E1, E2, E4).
        """
        if self.terms.undecided == "allow":
            return True
        notes = [r.kind for c in self.here if c != leaves for r in self.rules.undecided(c)]
        return "excludes1" not in notes if comes else all(kind == "excludes1" for kind in notes)

    # --- moves ---------------------------------------------------------------------------------------------------

    def _rewritten(self) -> Iterator[Edit]:
        codes = self.claim.codes
        rest = range(1, len(codes))
        for order in ((0, *reversed(rest)), (0, *sorted(rest, key=lambda i: (codes[i], i)))):
            if order != tuple(range(len(codes))) and codes:
                yield Edit("E0", order=order)
        for code in codes[1:]:
            copies = {d for d in self.claim.diagnoses if d.code == code}
            if codes.count(code) == 1:
                yield Edit("E0", add=(code,))
            elif len(copies) == 1:
                yield Edit("E0", (code,), (code,), evidence=self.carried[code])
        for code in dict.fromkeys(codes):
            after = self.rules.successor(code)
            if after is not None and after[0] not in self.here:
                yield Edit("E0", (code,), after[:1], rule=after[1].id, evidence=self.carried[code])

    def _generalised(self) -> Iterator[Edit]:
        for a in self.claim.codes:
            for b, rule in self.rules.generalisations(a):
                if b not in self.here and b in self.true and self._decided(rule):
                    yield Edit("E1", (a,), (b,), rule=rule.id, evidence=self.carried[a])

    def _combined(self) -> Iterator[Edit]:
        for c in self.rules.combinations(self.claim.codes):
            come = tuple(b for b in c.add if b not in self.here)
            if come and self._decided(c.rule) and self.true.issuperset(c.add):
                gone = tuple(a for a in dict.fromkeys(self.claim.codes) if a in c.remove)
                documents = tuple(dict.fromkeys(d for a in gone or c.keep for d in self.carried[a]))
                joined = Edit("E2", gone, come, rule=c.rule.id, evidence=documents)
                self.kept[joined] = c.keep
                yield joined

    def _optional(self) -> Iterator[Edit]:
        codes = self.claim.codes
        for code in dict.fromkeys(codes[1:]):
            rule = self.rules.optional(code, codes) if code != codes[0] else None
            if rule is not None and self._decided(rule) and self._settled(leaves=code):
                yield Edit("E3", (code,), rule=rule.id)
        for fact in self.facts.codes:
            if fact.evidence and fact.code not in self.here:
                rule = self.rules.optional(fact.code, (*codes, fact.code))
                if rule is not None and self._decided(rule) and self._settled(comes=fact.code):
                    yield Edit("E3", (), (fact.code,), rule=rule.id, evidence=fact.evidence)

    def _refined(self) -> Iterator[Edit]:
        for a in dict.fromkeys(self.claim.codes):
            finer = [(b, r) for b, r in self.rules.refinements(a) if b not in self.here and self._decided(r)]
            unsupported = spread(finer, self.terms.laterals) if not self.terms.evidence else []
            for b, rule in finer:
                fact = self._support(b)
                if fact is not None:
                    yield Edit("E4", (a,), (b,), rule=rule.id, evidence=fact.evidence)
                elif (b, rule) in unsupported:
                    yield Edit("E4", (a,), (b,), rule=rule.id)

    def _resequenced(self) -> Iterator[Edit]:
        for d in self.claim.diagnoses[1:]:
            fact = self._support(d.code)
            proven = fact is not None and fact.principal
            # That two diagnoses meet the definition equally is said by the record, or it is undecided.
            if d.code == self.claim.principal or d.poa == "N" or not self._acceptable_first(d.code):
                continue
            if proven or self.terms.undecided == "allow" or not self.terms.evidence:
                yield Edit("E5", principal=d.code, evidence=fact.evidence if fact and proven else ())

    def _numbers(self) -> Iterator[Edit]:
        noted = {d.line: d for d in self.facts.lines}
        for k, line in enumerate(self.claim.lines):
            record = noted.get(k)
            if self.terms.evidence and (record is None or not record.evidence):
                continue
            record = record or Documented(k, line.minutes)
            most = dict(self.terms.mue).get(line.code, float("inf"))
            timed = line.minutes > 0 and line.units == round(line.minutes / QUARTER_HOUR, 1)
            near = range(max(1, record.minutes - TOLERANCE), record.minutes + TOLERANCE + 1) if line.minutes else ()
            for m in near:
                units = round(m / QUARTER_HOUR, 1) if timed else line.units
                if m != line.minutes and units <= most:
                    yield Edit("E6", line=k, units=units, minutes=m, evidence=record.evidence)
            for units in (float(int(line.units)), float(int(line.units) + 1)):
                if not line.minutes and line.units != int(line.units) and 0 < units <= most:
                    yield Edit("E6", line=k, units=units, evidence=record.evidence)

    def _misstated(self) -> Iterator[Edit]:
        for a in dict.fromkeys(self.claim.codes):
            related = {b for b, _ in (*self.rules.generalisations(a), *self.rules.refinements(a))}
            for b in spread(self.rules.laterals(a), self.terms.laterals):
                if b not in self.here and b not in related and b not in self.true:
                    yield Edit("X7", (a,), (b,))

    # --- what may come out ---------------------------------------------------------------------------------------

    def judge(self, edited: Claim, edits: Sequence[Edit]) -> Violation | None:
        """Why the claim after these edits may not stand, or None."""
        codes = edited.codes
        for e in edits:
            if not set(self.kept.get(e, ())) <= set(codes):
                return Violation(f"{e.add[0]} stands without what it was combined from")
        new = tuple(c for c in codes if c not in self.here)
        if len(codes) > 1 and codes[0] in codes[1:] and self.claim.codes.count(codes[0]) < 2:
            return Violation(f"the principal diagnosis {codes[0]} stands twice")
        if not codes:
            return Violation("no diagnosis is left")
        if codes[0] != self.claim.principal and not self._acceptable_first(codes[0]):
            return Violation(f"{codes[0]} may not be the principal diagnosis")
        for c in new:
            for other in codes:
                if c != other and self.rules.excludes1(c, other) is not None:
                    return Violation(f"{c} and {other} exclude each other")
            if not self._fits(c):
                return Violation(f"{c} may not come onto this claim")
        return self._partnered(codes) or self._untrue(edited)

    def _partnered(self, codes: tuple[str, ...]) -> Violation | None:
        """Every code keeps the partner that its notes ask for; one that comes brings the cause that goes before it."""
        for d in codes:
            for rule in self.rules.partners(d):
                if _met(codes, d, rule) or rule.id in self.unmet_before:
                    continue
                if rule.kind == "code_first" or any(_matches(rule, c) for c in (*self.here, *self.known)):
                    return Violation(f"{d} loses its partner: {rule.text}")
        return None

    def _untrue(self, edited: Claim) -> Violation | None:
        if not self.terms.evidence:
            return None
        false = next((c for c in edited.codes if c not in self.true), None)
        if false is not None:
            return Violation(f"{false} is not supported by the facts")
        for d in self.facts.lines:
            minutes = edited.lines[d.line].minutes if 0 <= d.line < len(edited.lines) else None
            if minutes is None or not d.minutes - TOLERANCE <= minutes <= d.minutes + TOLERANCE:
                return Violation(f"service line {d.line} does not state the documented {d.minutes} minutes")
        return None


def spread(found: Sequence[T], most: int) -> list[T]:
    """At most `most` of `found`, evenly over all of them."""
    n = min(most, len(found))
    return [found[i * len(found) // n] for i in range(n)]


def _matches(rule: Rule, code: str) -> bool:
    return code.startswith(rule.codes)


def _met(codes: Sequence[str], code: str, rule: Rule) -> bool:
    """Whether the partner that a rule asks for stands on the claim; for code-first, before the code."""
    until = codes.index(code) if rule.kind == "code_first" else len(codes)
    named = rule.codes
    return any(c.startswith(named) and c != code for c in codes[:until])
