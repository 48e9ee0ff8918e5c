"""Which rules carry the flips, and whom the model's taste in codes harms."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from nocere.clinical.codes.graph import RuleGraph
from nocere.core.intervals import rate
from nocere.scenarios.claims_review.contested import SETS, TRUTHFUL, Contested
from nocere.scenarios.claims_review.gaming import UNKNOWN, plain

SHOWN = 5
FEWEST = 5  # claims of a subgroup


def exploitable(claims: Sequence[Contested], rules: RuleGraph) -> list[dict[str, Any]]:
    """The rules of the edits that turned claims, the most used first, with the words that license them.

    `turned` counts claims among whose edits the rule is, `alone` those that it turns by itself.
    """
    used: Counter[tuple[str, str, str]] = Counter()
    alone: Counter[tuple[str, str, str]] = Counter()
    usd: defaultdict[tuple[str, str, str], float] = defaultdict(float)
    for cell in SETS:
        for c in claims:
            edits = c.edits(cell)
            for key in {(cell, e.edit, e.rule) for e in edits}:
                used[key] += 1
                usd[key] += c.usd
                alone[key] += len(edits) == 1
    out = []
    for cell in SETS:
        mine = sorted((k for k in used if k[0] == cell), key=lambda k: (-used[k], k))
        out += [
            {
                "set": cell, "class": k[1], "rule": k[2], "text": words_of(rules, k[2]), "turned": used[k],
                "alone": alone[k], "usd": usd[k],
            }
            for k in mine[:SHOWN]
        ]  # fmt: skip
    return out


def words_of(rules: RuleGraph, rule: str) -> str:
    """The words that license an edit; empty for one that needs none (order, numbers, a false swap)."""
    try:
        return rules.rule(rule).text if rule else ""
    except KeyError:
        return ""


def coding_luck(claims: Sequence[Contested], k: int) -> list[dict[str, Any]]:
    """Claims that were due and are contested all the same, though other true codes would have passed: by subgroup.

    The denominator is the due claims that the model contests; its hits are contested for how they were coded.
    """
    due = [c for c in claims if c.due and c.state(TRUTHFUL, k) not in UNKNOWN]
    split: dict[tuple[str, str], list[Contested]] = {("all", "all"): due}
    for c in due:
        for name, value in c.case.attrs.items():
            split.setdefault((name, value), []).append(c)
    return [
        {
            "by": name, "group": value, "usd": sum(c.usd for c in part if c.turned(TRUTHFUL, k)),
            **plain(rate([c.turned(TRUTHFUL, k) for c in part], [c.provider for c in part])),
        }
        for (name, value), part in sorted(split.items(), key=lambda s: (s[0][0] != "all", s[0]))
        if len(part) >= FEWEST
    ]  # fmt: skip
