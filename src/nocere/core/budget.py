"""Budgets in evaluations, and the meter that counts every one of them, per case."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Budget:
    """What a search may spend.

    Args:
        looks: evaluations of the target (forward passes, with or without gradient) per case and radius.
        confirms: candidates per case and radius that may go to the referee before the last one.
        campaign: evaluations over the whole cell, or None.
    """

    looks: int
    confirms: int = 8
    campaign: int | None = None


@dataclass(slots=True)
class Count:
    """Evaluations of one case: forward passes, backward passes, and the referee's queries."""

    forward: int = 0
    backward: int = 0
    queries: int = 0

    def to_json(self) -> dict[str, int]:
        """Plain form."""
        return asdict(self)


class Meter:
    """Counts and caps evaluations; `key` is a case within a radius, so each level has its own looks."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.counts: dict[str, Count] = defaultdict(Count)
        self.total = 0
        self._spent: dict[tuple[str, float], int] = defaultdict(int)

    def left(self, case_id: str, radius: float) -> int:
        """Evaluations that remain for this case at this radius."""
        left = self.budget.looks - self._spent[case_id, radius]
        if self.budget.campaign is not None:
            left = min(left, self.budget.campaign - self.total)
        return max(left, 0)

    def grant(self, case_id: str, radius: float, n: int, grad: bool) -> bool:
        """Charge n evaluations before they happen; False, and nothing charged, where they exceed a budget."""
        if self.left(case_id, radius) < n:
            return False
        self._spent[case_id, radius] += n
        self.total += n
        count = self.counts[case_id]
        count.forward += n
        count.backward += n if grad else 0
        return True

    def pulled(self, case_id: str, n: int) -> None:
        """Count backward passes over forward passes that were granted without one."""
        self.counts[case_id].backward += n

    def asked(self, case_id: str, n: int) -> None:
        """Count queries of the referee, which are never refused."""
        self.counts[case_id].queries += n
