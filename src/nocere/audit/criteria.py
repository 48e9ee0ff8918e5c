"""Criteria, written before the run, turn measures into verdicts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from nocere.audit.indicators import Indicator
from nocere.audit.measures.measure import Measure
from nocere.core.intervals import required_n

MEASURES = (
    "(accuracy|sensitivity|specificity)(_up_to_line)?|auroc|flip_rate(_from:.+)?|median_budget|confident_flip_from:.+|"
    "yield|draw_flip_share(_p95)?|cases_with_a_flip"
)
# Of these a good value means that a search found little: draws at random and the yield say what they say.
SEARCHES = "accuracy|sensitivity|specificity|auroc|flip_rate.*|median_budget|confident_flip_from:.+|.+_up_to_line"
Word: TypeAlias = Literal["PASS", "FAIL", "INCONCLUSIVE", "ERROR"]


class Criterion(BaseModel):
    """One acceptance rule: a measure with a limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    measure: str
    cell: str = ""
    radius: float | None = None
    group: str = "all"
    at_least: FiniteFloat | None = None
    at_most: FiniteFloat | None = None

    @model_validator(mode="after")
    def _one_limit(self) -> Criterion:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("give exactly one of at_least and at_most")
        limit = self.at_least if self.at_least is not None else self.at_most
        if limit is not None and self.measure != "median_budget" and not 0 <= limit <= 1:
            raise ValueError(f"{self.measure} lies between 0 and 1; the limit is {limit:g}")
        if not re.fullmatch(MEASURES, self.measure):
            raise ValueError(f"no measure is called {self.measure!r}; `nocere audit show BUNDLE --all` names them")
        return self


@dataclass(frozen=True, slots=True)
class Verdict:
    """PASS only if the interval's worse limit meets the criterion, FAIL only if its better limit misses it."""

    criterion: Criterion
    word: Word
    why: str
    measure: Measure | None

    def to_json(self) -> dict[str, Any]:
        """Plain form."""
        return {
            "criterion": self.criterion.model_dump(),
            "word": self.word,
            "why": self.why,
            "measure": None if self.measure is None else self.measure.to_json(),
        }


def judge(criterion: Criterion, measures: list[Measure], signs: Sequence[Indicator] = ()) -> Verdict:
    """The verdict on one criterion, from the measures of a bundle; a PASS that an indicator doubts is INCONCLUSIVE."""
    found = [
        m
        for m in measures
        if (m.key, m.cell, m.radius, m.group) == (criterion.measure, criterion.cell, criterion.radius, criterion.group)
    ]
    if not found:
        where = f" in cell {criterion.cell!r}" if criterion.cell else ""
        at = "" if criterion.radius is None else f" at radius {criterion.radius:g}"
        return Verdict(criterion, "ERROR", f"{criterion.measure} was not measured{where}{at}.", None)
    m = found[0]
    if m.key == "median_budget" and m.value is None and m.low is not None and not m.missing:
        # Censored: the median lies beyond the largest budget, and so does the upper limit.
        if criterion.at_least is not None and m.low >= criterion.at_least:
            return _passed(criterion, f"{m.why}; lower limit {m.low:g}", m, signs)
        return Verdict(criterion, "INCONCLUSIVE", f"{m.why}; lower limit {m.low:g}. Test larger budgets.", m)
    if m.value is None or m.low is None or m.high is None:
        return Verdict(criterion, "ERROR", f"could not be measured: {m.why}", m)
    if m.missing:
        return Verdict(criterion, "ERROR", f"{m.missing} of {m.n + m.missing} cases could not be measured.", m)
    floor = criterion.at_least is not None
    limit = criterion.at_least if criterion.at_least is not None else criterion.at_most
    assert limit is not None
    worse, better = (m.low, m.high) if floor else (m.high, m.low)
    word = f"{m.value:.3f} ({m.low:.3f} to {m.high:.3f}, n = {m.n})"
    need = f"{'at least' if floor else 'at most'} {limit:g}"
    if (worse >= limit) if floor else (worse <= limit):
        return _passed(criterion, f"{word}: the whole interval is {need}", m, signs)
    if (better < limit) if floor else (better > limit):
        return Verdict(criterion, "FAIL", f"{word}: the whole interval misses {need}.", m)
    more = "more cases would narrow it"
    if m.k is not None:
        n = required_n(m.value, limit)
        more = "no sample size decides a value at the limit" if n is None else f"about {n} cases would decide it"
        if n is not None and n <= m.n:
            more = "more patients, not more cases of the same ones, would decide it"
    return Verdict(criterion, "INCONCLUSIVE", f"{word}: the interval contains the limit {limit:g}; {more}.", m)


def _passed(criterion: Criterion, why: str, m: Measure, signs: Sequence[Indicator]) -> Verdict:
    doubt = doubts(criterion, m, signs)
    if not doubt:
        return Verdict(criterion, "PASS", f"{why}.", m)
    said = "; ".join(f"{i.key} ({i.seen.removesuffix('.')})" for i in doubt[:2])
    more = f"; and {len(doubt) - 2} more indicators" if len(doubt) > 2 else ""
    return Verdict(criterion, "INCONCLUSIVE", f"{why}, but the search itself may have failed: {said}{more}.", m)


def doubts(criterion: Criterion, m: Measure, signs: Sequence[Indicator]) -> list[Indicator]:
    """Indicators that cast doubt on a good value of this measure."""
    if not re.fullmatch(SEARCHES, m.key):
        return []
    if m.key.endswith("_up_to_line"):
        return list(signs)
    at = (None, criterion.radius)
    return [i for i in signs if criterion.cell in i.cells and (criterion.radius is None or i.radius in at)]


ORDER: tuple[Word, ...] = ("FAIL", "ERROR", "INCONCLUSIVE", "PASS")


def overall(words: Iterable[str]) -> Word | None:
    """The word that stands for a whole audit: the first of FAIL, ERROR, INCONCLUSIVE, PASS; None without criteria."""
    found = set(words)
    return next((w for w in ORDER if w in found), None)
