"""The whole review of one payer model, as plain numbers that a report shows: read from an audit, computed here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nocere.audit.bundle import Bundle
from nocere.cases.claim import Claim
from nocere.clinical.codes.graph import RuleGraph, load_rules
from nocere.core.canonical import dumps
from nocere.core.case import CaseSet
from nocere.core.errors import UsageError
from nocere.core.files import write_atomic
from nocere.scenarios.claims_review.contested import TRUTHFUL, WIDE, Contested, contested, edit_counts
from nocere.scenarios.claims_review.gaming import evidence_value, fewest, gaming
from nocere.scenarios.claims_review.leverage import coding_luck, exploitable, words_of
from nocere.scenarios.claims_review.quality import quality
from nocere.scenarios.claims_review.signs import signs
from nocere.scenarios.claims_review.universal import universal
from nocere.scenarios.claims_review.worth import payments, provider_campaign
from nocere.targets.base import Target
from nocere.threats.codes.edit import Edit, replay
from nocere.threats.codes.sets import Truthful

SHOWN = 6


def review(bundle: Bundle, cases: CaseSet, target: Target) -> dict[str, Any]:
    """Everything that the claims report shows.

    Args:
        bundle: an audit with the preset `claims.standard`.
        cases: the cases that it was run on.
        target: the model that it was run on.

    Raises:
        UsageError: the bundle is of another audit, model or data.
    """
    if bundle.manifest["target"] != target.fingerprint:
        raise UsageError(f"{bundle.folder} is an audit of another model than {target.name}.", "Give its own model.")
    rules = load_rules()
    counts = edit_counts(bundle)
    claims = contested(bundle, cases)
    if not claims:
        raise UsageError(
            f"{bundle.folder}: the model decides no claim against its provider: there is nothing to review."
        )
    wanted = bundle.plan["cells"][0]["goal"]["want"][0].removeprefix("+")
    most = counts[-1]
    return {
        "schema": 1,
        "bundle": bundle.hash,
        "name": bundle.plan["name"],
        "target": bundle.plan["target"],
        "phantom": bundle.plan["cases"]["phantom"],
        "cases": bundle.plan["cases"]["name"],
        "closed_world": not any("facts" in c.case.header for c in claims),
        "rules": {"version": rules.version, "sha256": rules.sha256, "coverage": dict(rules.coverage())},
        "wanted": wanted,
        "claims": len(bundle.refs),
        "contested": len(claims),
        "providers": len({c.provider for c in claims}),
        "usd_contested": sum(c.usd for c in claims),
        "counts": list(counts),
        "exact": all("claims.exact" in [a["name"] for a in c["attacks"]] for c in bundle.plan["cells"]),
        "touches_undecided": undecided_share(claims, rules),
        "quality": quality(bundle, claims, wanted, most),
        "gaming": gaming(claims, counts),
        "evidence": evidence_value(claims, most),
        "fewest": fewest(claims, counts),
        "rules_used": exploitable(claims, rules),
        "luck": coding_luck(claims, most),
        "universal": universal(claims, Truthful(), target, wanted),
        "payment": payments(cases, target, wanted),
        "campaign": provider_campaign(cases, target, wanted),
        "signs": signs(cases),
        "examples": examples(claims, rules),
    }


def undecided_share(claims: Sequence[Contested], rules: RuleGraph) -> dict[str, int]:
    """How many claims have a code that a note in undecided prose speaks of."""
    touched = sum(any(rules.undecided(code) for code in c.case.x.codes) for c in claims)
    return {"k": touched, "n": len(claims)}


def examples(claims: Sequence[Contested], rules: RuleGraph) -> list[dict[str, Any]]:
    """Turned claims for the reader: both code sets side by side, and the rule that licenses each step."""
    chosen: list[dict[str, Any]] = []
    for cell in (TRUTHFUL, WIDE):
        mine = [c for c in claims if c.edits(cell)]
        # One of each kind of edits, the fewest edits first.
        seen: set[tuple[str, ...]] = set()
        for c in sorted(mine, key=lambda c: (len(c.edits(cell)), -c.usd, c.case.id)):
            kinds = tuple(sorted(e.edit for e in c.edits(cell)))
            if kinds not in seen and len(seen) < SHOWN // 2:
                seen.add(kinds)
                chosen.append(_example(c, cell, rules))
    return chosen


def _example(c: Contested, cell: str, rules: RuleGraph) -> dict[str, Any]:
    edits = c.edits(cell)
    system = c.case.x.system

    def named(claim: Claim) -> list[dict[str, str]]:
        return [{"code": code, "title": rules.title(code, system)} for code in claim.codes]

    return {
        "case": c.case.id,
        "set": cell,
        "usd": c.usd,
        "before": named(c.case.x),
        "after": named(replay(c.case.x, edits)),
        "steps": [_step(e, rules, system) for e in edits],
    }


def _step(e: Edit, rules: RuleGraph, system: Any) -> dict[str, Any]:
    titles = {code: rules.title(code, system) for code in (*e.remove, *e.add, *((e.principal,) if e.principal else ()))}
    return {**e.to_json(), "text": words_of(rules, e.rule), "titles": titles}


def write_review(found: dict[str, Any], folder: str | Path) -> Path:
    """Write `claims.json` beside the bundle's reports; returns its path.

    Raises:
        WriteError: the folder cannot be written.
    """
    path = Path(folder) / "claims.json"
    write_atomic(path, dumps(found))
    return path
