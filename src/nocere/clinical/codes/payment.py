"""What a claim pays: MS-DRG weight times a base rate, a risk score times a yearly benchmark, anaesthesia by the minute.

Base rates, benchmarks and conversion factors differ by hospital, county and year: they are parameters, and the defaults
are round numbers near those of fiscal year 2026, not CMS's own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nocere.clinical.codes.groupers import Drgpy, Grouper, RiskScore, Stay
from nocere.clinical.codes.weights import Weight, ladder, weight_of
from nocere.core.errors import DataError, UsageError

BASE_RATE = 7_000.0  # US dollars a stay of weight 1
BENCHMARK = 12_000.0  # US dollars a year and risk score 1
CONVERSION = 20.0  # US dollars an anaesthesia unit
MINUTES_A_UNIT = 15


@dataclass(frozen=True, slots=True)
class DrgPayment:
    """Pays an inpatient stay by its MS-DRG, without outliers, transfers or hospital adjustments.

    Args:
        base_rate: US dollars for a relative weight of 1.
        grouper: assigns the MS-DRG.

    Raises:
        UsageError: a base rate that is not positive.
    """

    base_rate: float = BASE_RATE
    grouper: Grouper = field(default_factory=Drgpy)

    def __post_init__(self) -> None:
        if not self.base_rate > 0:
            raise UsageError(f"A base rate must be above 0 dollars; got {self.base_rate:g}.")

    def weight(self, stay: Stay) -> Weight:
        """The row of the weight table that pays the stay; weight 0 where it cannot be grouped.

        Raises:
            DataError: the stay is not coded in ICD-10-CM.
        """
        return weight_of(self.grouper.drg(stay))

    def usd(self, stay: Stay) -> float:
        """US dollars.

        Raises:
            DataError: the stay is not coded in ICD-10-CM.
        """
        return self.base_rate * self.weight(stay).weight

    def rungs(self, stay: Stay) -> tuple[tuple[Weight, float], ...]:
        """The severity ladder of the stay's base DRG, lowest rung first, each with what it pays in US dollars.

        Raises:
            DataError: the stay is not coded in ICD-10-CM.
        """
        return tuple((w, self.base_rate * w.weight) for w in ladder(self.weight(stay).drg))


@dataclass(frozen=True, slots=True)
class RiskPayment:
    """Pays a health plan for one person and year by risk score.

    Args:
        benchmark: US dollars a year for a risk score of 1.
        risk: the risk model.
    """

    benchmark: float = BENCHMARK
    risk: RiskScore = field(default_factory=RiskScore)

    def usd(self, stay: Stay) -> float:
        """US dollars a year.

        Raises:
            DataError: the age or sex of the person is unknown.
        """
        return self.benchmark * self.risk.raf([d.code for d in stay.diagnoses], stay.age, stay.sex).score


def anaesthesia_units(base_units: float, minutes: int) -> float:
    """Anaesthesia units: base units of the procedure and one unit in 15 minutes, to one decimal (Medicare).

    Raises:
        DataError: negative base units or minutes.
    """
    if base_units < 0 or minutes < 0:
        raise DataError(f"Anaesthesia time and base units cannot be negative; got {minutes} min, {base_units:g} units.")
    # Whole numbers: 0.05 in binary would round either way.
    return base_units + (2 * 10 * minutes + MINUTES_A_UNIT) // (2 * MINUTES_A_UNIT) / 10


def anaesthesia_usd(base_units: float, minutes: int, conversion: float = CONVERSION) -> float:
    """US dollars for an anaesthetic.

    Raises:
        DataError: negative base units or minutes.
    """
    return conversion * anaesthesia_units(base_units, minutes)


def usd_a_minute(conversion: float = CONVERSION) -> float:
    """What one more minute of anaesthesia pays, on average over the rounding, in US dollars."""
    return conversion / MINUTES_A_UNIT
