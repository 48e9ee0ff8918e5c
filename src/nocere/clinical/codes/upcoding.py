"""Upcoding along the severity ladder: what holds a stay on its rung, and which billers stand higher than their peers.

Stays at the highest severity rose by a fifth in five years while they got shorter, and many rest on one secondary
diagnosis (OIG OEI-02-18-00380). Neither figure proves anything about one stay: they say where to look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from nocere.clinical.codes.groupers import Grouper, Stay
from nocere.clinical.codes.payment import DrgPayment
from nocere.clinical.codes.weights import ladder, weight_of
from nocere.core.errors import UsageError
from nocere.core.intervals import Estimate, rate


class Editable(Stay, Protocol):
    """A stay whose diagnoses can be replaced; a `nocere.cases.claim.Claim` is one."""

    def with_diagnoses(self, diagnoses: Any) -> Self: ...


def rests_on(stay: Editable, payment: DrgPayment) -> tuple[tuple[str, float], ...]:
    """Secondary codes without which the stay would pay less, each with the US dollars that hang on it.

    Raises:
        DataError: the stay is not coded in ICD-10-CM.
    """
    paid, found = payment.usd(stay), []
    for code in dict.fromkeys(d.code for d in stay.diagnoses[1:]):
        kept = tuple(d for i, d in enumerate(stay.diagnoses) if i == 0 or d.code != code)
        lost = paid - payment.usd(stay.with_diagnoses(kept))
        if lost > 0:
            found.append((code, lost))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Climb:
    """One biller's stays that have a ladder.

    Args:
        biller: its name.
        top: share of them on the highest rung.
        alone: share of those that pay more than the lowest rung and would pay less without one code; `None` if none do.
        peers: share on the highest rung among all other billers' stays of the same ladders, by this biller's own mix.
    """

    biller: str
    top: Estimate
    alone: Estimate | None
    peers: float


def climbs(stays: Mapping[str, Sequence[Editable]], grouper: Grouper, *, least: int = 20) -> tuple[Climb, ...]:
    """Billers with at least `least` stays on ladders, furthest above their peers first.

    Raises:
        UsageError: no biller has so many.
        DataError: a stay is not coded in ICD-10-CM.
    """
    placed = {b: [p for s in some if (p := _placed(s, grouper)) is not None] for b, some in stays.items()}
    everybody: dict[str, tuple[int, int]] = {}
    for some in placed.values():
        for base, is_top, _, _ in some:
            n, k = everybody.get(base, (0, 0))
            everybody[base] = (n + 1, k + is_top)
    payment, found = DrgPayment(grouper=grouper), []
    for biller, some in placed.items():
        if len(some) < least:
            continue
        expected = []
        for base in (p[0] for p in some):
            mine = [p[1] for p in some if p[0] == base]
            n, k = everybody[base]
            if n > len(mine):
                expected.append((k - sum(mine)) / (n - len(mine)))
        ids = [str(i) for i in range(len(some))]
        single = [len(rests_on(stay, payment)) == 1 for _, _, above, stay in some if above]
        top = rate([p[1] for p in some], ids)
        peers = sum(expected) / len(expected) if expected else float("nan")
        found.append(Climb(biller, top, rate(single, ids[: len(single)]) if single else None, peers))
    if not found:
        raise UsageError(f"No biller has {least} stays whose MS-DRG has a severity ladder.", "Give more stays.")
    return tuple(sorted(found, key=lambda c: (-(c.top.value - c.peers) if c.peers == c.peers else 0.0, c.biller)))


def _placed(stay: Editable, grouper: Grouper) -> tuple[str, bool, bool, Editable] | None:
    """Base DRG, whether on the highest rung, whether above the lowest; None where there is no ladder."""
    row = weight_of(grouper.drg(stay))
    rungs = ladder(row.drg)
    return None if len(rungs) == 1 else (rungs[0].drg, row == rungs[-1], row != rungs[0], stay)
