"""Signs of upcoding by provider: higher rungs of the severity ladder than peers, and minutes that no clock gives.

A sign is a reason to look, never a finding of fraud.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nocere.cases.claim import Claim
from nocere.clinical.codes.anaesthesia import screen
from nocere.clinical.codes.groupers import Drgpy
from nocere.clinical.codes.payment import usd_a_minute
from nocere.clinical.codes.upcoding import climbs
from nocere.core.case import CaseSet
from nocere.core.errors import PrerequisiteError, UsageError
from nocere.scenarios.claims_review.gaming import plain
from nocere.threats.codes.truth import facts_of

SHOWN = 5


def signs(cases: CaseSet) -> dict[str, Any]:
    """Providers furthest above their peers on DRG ladders, and those whose minutes are anomalous.

    Expected minutes are the record's where a case has them, else the median that all providers bill for the service.
    """
    stays: dict[str, list[Claim]] = {}
    billed: list[tuple[str, str, int, float | None]] = []
    for case in cases:
        claim = case.x
        if claim.setting == "inpatient" and claim.system == "ICD-10-CM" and claim.provider:
            stays.setdefault(claim.provider, []).append(claim)
        timed = [(i, line) for i, line in enumerate(claim.lines) if line.minutes]
        noted = {d.line: float(d.minutes) for d in facts_of(case).lines} if timed else {}
        billed += [(claim.provider or "unknown", line.code, line.minutes, noted.get(i)) for i, line in timed]
    usual = {code: float(np.median([m for _, c, m, _ in billed if c == code])) for code in {b[1] for b in billed}}
    times: dict[str, list[tuple[int, float]]] = {}
    for provider, code, minutes, known in billed:
        times.setdefault(provider, []).append((minutes, usual[code] if known is None else known))
    return {
        "usd_a_minute": usd_a_minute(),
        "timed_lines": len(billed),
        "ladder": _ladder(stays),
        "minutes": [
            {
                "provider": b.name, "round": plain(b.digits.round_share), "p": b.digits.p, "excess": plain(b.excess),
                "anomalous": b.anomalous,
            }
            for b in screen(times)[:SHOWN]
        ],
    }  # fmt: skip


def _ladder(stays: dict[str, list[Claim]]) -> list[dict[str, Any]]:
    try:
        found = climbs(stays, Drgpy())
    except (UsageError, PrerequisiteError):
        return []
    return [{"provider": c.biller, "top": plain(c.top), "peers": c.peers} for c in found[:SHOWN]]
