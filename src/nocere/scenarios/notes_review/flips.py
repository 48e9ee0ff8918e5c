"""How many notes other wordings turn: by set and number of edits, by grade, by concepts touched, by concept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from nocere.audit.bundle import Bundle
from nocere.core.intervals import Estimate, rate
from nocere.scenarios.notes_review.worded import WIDE, Worded

UNKNOWN = ("errored", "not_reached", "not_applicable")
SHOWN = 12


def plain(e: Estimate) -> dict[str, Any]:
    """An estimate as plain numbers."""
    i = e.interval
    return {"value": e.value, "low": i.low, "high": i.high, "k": e.k, "n": e.n, "groups": e.groups, "method": i.method}


def flips(bundle: Bundle, notes: Sequence[Worded]) -> list[dict[str, Any]]:
    """For every set and number of edits: share of notes that are turned, share certified, how many are unknown.

    Notes that the set has no edit for count as not turned: it is the model's share that is told, not the set's.
    """
    rows = []
    for cell in bundle.plan["cells"]:
        name = cell["name"]
        mine = [n for n in notes if name in n.outcomes]
        for radius in cell["radii"] if mine and cell["aim"] == "flip" else ():
            k = int(radius)
            states = [n.state(name, k) for n in mine]
            known = [(n, s) for n, s in zip(mine, states, strict=True) if s not in ("errored", "not_reached")]
            rows.append(
                {
                    "set": name,
                    "edits": k,
                    "turned": plain(rate([s == "broken" for _, s in known], [n.case.group for n, _ in known]))
                    if known
                    else None,
                    "certified": states.count("certified"),
                    "no_edit": states.count("not_applicable"),
                    "unknown": len(states) - len(known),
                }
            )
    return rows


def grades(notes: Sequence[Worded]) -> list[dict[str, Any]]:
    """Of the notes that the widest set turned: the worst grade of their edits, and the number of places."""
    tally: Counter[tuple[str, int]] = Counter()
    for n in notes:
        v = n.verified(WIDE)
        if v is not None:
            tally[str(v.grade), len(v.edits)] += 1
    return [{"grade": g, "edits": k, "notes": count} for (g, k), count in sorted(tally.items())]


def concepts(notes: Sequence[Worded]) -> list[dict[str, Any]]:
    """The swaps that turned most notes: what for what, its grade, codes and evidence, and how often it did so alone."""
    used: Counter[tuple[str, str]] = Counter()
    alone: Counter[tuple[str, str]] = Counter()
    about: dict[tuple[str, str], Mapping[str, Any]] = {}
    for n in notes:
        v = n.verified(WIDE)
        for e in v.edits if v is not None else ():
            key = (e.before.casefold(), e.after.casefold())
            used[key] += 1
            alone[key] += len(v.edits) == 1  # type: ignore[union-attr]
            about[key] = e.to_json()
    best = sorted(used, key=lambda key: (-used[key], key))[:SHOWN]
    return [{**about[key], "before": key[0], "after": key[1], "notes": used[key], "alone": alone[key]} for key in best]
