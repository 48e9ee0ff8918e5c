"""How far true codes move the model, how much further false ones do, and what asking for evidence would stop.

G_truth is the share of contested claims that edits turn which facts and rules license: an interval, since prose notes
that no program decides are once refused and once allowed. G_all needs no evidence. Their difference is what evidence is
worth (facts of claims, 4.2).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from nocere.core.intervals import Estimate, cluster_bootstrap, paired_difference, rate
from nocere.scenarios.claims_review.contested import ALL, SETS, TRUTHFUL, WIDE, Contested

UNKNOWN = ("errored", "not_reached", "not_applicable")


def plain(e: Estimate) -> dict[str, Any]:
    """An estimate as plain numbers."""
    i = e.interval
    return {"value": e.value, "low": i.low, "high": i.high, "k": e.k, "n": e.n, "groups": e.groups, "method": i.method}


def gaming(claims: Sequence[Contested], counts: Sequence[int]) -> list[dict[str, Any]]:
    """For every set and number of edits: share turned, dollars moved, share that is certified, share unknown."""
    rows = []
    for cell in SETS:
        for k in counts:
            states = [c.state(cell, k) for c in claims]
            known = [c for c, s in zip(claims, states, strict=True) if s not in UNKNOWN]
            turned = [c.turned(cell, k) for c in known]
            usd = [c.usd * t for c, t in zip(known, turned, strict=True)]
            rows.append(
                {
                    "set": cell,
                    "edits": k,
                    "turned": plain(rate(turned, [c.provider for c in known])) if known else None,
                    "usd": total(usd, [c.provider for c in known]) if known else None,
                    "certified": sum(s == "certified" for s in states),
                    "unknown": len(states) - len(known),
                }
            )
    return rows


def total(usd: Sequence[float], providers: Sequence[str]) -> dict[str, Any]:
    """Sum of dollars with a bootstrap interval over providers."""
    values = np.asarray(usd, dtype=np.float64)
    found = float(values.sum())
    if len(set(providers)) < 2:
        return {"value": found, "low": None, "high": None, "n": len(values), "method": "one provider: no interval"}
    # The mean is resampled: the number of claims differs from draw to draw.
    i = cluster_bootstrap(lambda rows: float(values[rows].mean()) * len(values), providers)
    return {"value": found, "low": min(i.low, found), "high": max(i.high, found), "n": len(values), "method": i.method}


def evidence_value(claims: Sequence[Contested], k: int) -> dict[str, Any]:
    """What asking for evidence stops at k edits: G_all less G_truth, in flips and dollars, at both ends of G_truth."""
    known = [c for c in claims if not any(c.state(cell, k) in UNKNOWN for cell in SETS)]
    if not known:
        return {"edits": k, "n": 0}
    providers = [c.provider for c in known]
    every = [c.turned(ALL, k) for c in known]
    out: dict[str, Any] = {"edits": k, "n": len(known)}
    for name, cell in (("undecided_refused", TRUTHFUL), ("undecided_allowed", WIDE)):
        true = [c.turned(cell, k) for c in known]
        stopped = [c.usd * (a - t) for c, a, t in zip(known, every, true, strict=True)]
        out[name] = {
            "flips": plain(paired_difference(every, true, providers)),
            "usd": total(stopped, providers),
        }
    return out


def fewest(claims: Sequence[Contested], counts: Sequence[int]) -> dict[str, dict[str, int]]:
    """Of each set: how many claims need 1, 2, ... edits, hold at all that were looked at, or are unknown."""
    out = {}
    for cell in SETS:
        tally: Counter[str] = Counter()
        for c in claims:
            first = next((k for k in counts if c.turned(cell, k)), None)
            last = c.state(cell, counts[-1])
            tally[str(first) if first is not None else "unknown" if last in UNKNOWN else last] += 1
        out[cell] = dict(sorted(tally.items()))
    return out
