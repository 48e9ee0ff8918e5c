"""The whole review of a model on notes, as plain numbers that a report shows: read from an audit, computed here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nocere.audit.bundle import Bundle
from nocere.clinical.notes.lexicon import load_lexicon
from nocere.core.canonical import dumps
from nocere.core.case import CaseSet
from nocere.core.errors import UsageError
from nocere.core.files import write_atomic
from nocere.core.intervals import rate
from nocere.scenarios.notes_review.controls import reactions
from nocere.scenarios.notes_review.flips import concepts, flips, grades, plain
from nocere.scenarios.notes_review.worded import SWAPS, Worded, worded
from nocere.targets.base import Target
from nocere.threats.words.splice import replay, splices_of

SHOWN = 6
CONTROLLED = 200  # notes that negative controls are made of


def review(bundle: Bundle, cases: CaseSet, target: Target) -> dict[str, Any]:
    """Everything that the notes report shows.

    Args:
        bundle: an audit with the preset `notes.standard`.
        cases: the cases that it was run on.
        target: the model that it was run on.

    Raises:
        UsageError: the bundle is of another audit, model or data.
    """
    if bundle.manifest["target"] != target.fingerprint:
        raise UsageError(f"{bundle.folder} is an audit of another model than {target.name}.", "Give its own model.")
    notes = worded(bundle, cases)
    if not notes:
        raise UsageError(f"{bundle.folder}: the model decides no note rightly: there is nothing to review.")
    lexicon = load_lexicon()
    results = bundle.results()
    return {
        "schema": 1,
        "bundle": bundle.hash,
        "name": bundle.plan["name"],
        "target": bundle.plan["target"],
        "phantom": bundle.plan["cases"]["phantom"],
        "cases": bundle.plan["cases"]["name"],
        "lexicon": {
            "sha256": lexicon.sha256,
            "rows": len(lexicon.entries),
            "codes": len({(e.system, e.code) for e in lexicon.entries}),
        },
        "notes": len(bundle.refs),
        "right": sum(results.known(r) and results.right(r) for r in bundle.refs),
        "searched": len(notes),
        "not_tested": bundle.plan.get("not_tested", []),
        "facts": sum("facts" in n.case.header for n in notes),
        "flips": flips(bundle, notes),
        "grades": grades(notes),
        "concepts": concepts(notes),
        "sampled": sampled(bundle),
        "phrases": phrases(bundle),
        "controls": reactions([n.case for n in notes[:CONTROLLED]], target),
        "examples": examples(bundle, notes),
    }


def sampled(bundle: Bundle) -> list[dict[str, Any]]:
    """Wordings drawn and not chosen: share of draws that turn the decision, over all notes and at the worst 5 %."""
    keys = ("draw_flip_share", "draw_flip_share_p95", "cases_with_a_flip")
    return [m.to_json() for m in bundle.measures if m.key in keys and m.group == "all"]


def phrases(bundle: Bundle) -> list[dict[str, Any]]:
    """Universal phrases: what was fitted, and how many held-out notes it turned."""
    rows = []
    for cell in bundle.plan["cells"]:
        if not cell["fit"]:
            continue
        held_out = [o for o in bundle.outcomes(cell["name"]) if o.case_id not in cell["fit"]]
        known = [o for o in held_out if o.kind in ("broken", "held")]
        texts = {
            e.text.strip()
            for o in known
            if o.finding is not None and o.finding.proof
            for e in splices_of(o.finding.proof)
        }
        groups = {r.id: r.group for r in bundle.refs}
        rows.append(
            {
                "cell": cell["name"],
                "phrase": sorted(texts),
                "attacks": [a["name"] for a in cell["attacks"]],
                "fit": len(cell["fit"]),
                "held_out": plain(rate([o.kind == "broken" for o in known], [groups[o.case_id] for o in known]))
                if known
                else None,
            }
        )
    return rows


def examples(bundle: Bundle, notes: Sequence[Worded]) -> list[dict[str, Any]]:
    """Turned notes for the reader: for every set the fewest edits first, with both answers and what licenses each."""
    labels = bundle.plan["target"]["decision"]["labels"]
    clean: Mapping[str, Any] = {r["case_id"]: r for r in bundle.read("clean.json")["cases"]}
    chosen: list[dict[str, Any]] = []
    for cell in SWAPS:
        mine = [(n, o) for n in notes if (o := n.broken(cell)) is not None]
        seen: set[tuple[tuple[str, str], ...]] = set()
        for n, o in sorted(mine, key=lambda pair: (pair[1].radius, pair[0].case.id)):
            verified, finding = n.verified(cell), o.finding
            assert verified is not None
            assert finding is not None
            swaps = tuple(sorted((e.before.casefold(), e.after.casefold()) for e in verified.edits))
            if swaps in seen or len(seen) >= SHOWN // 2:
                continue
            seen.add(swaps)
            was = clean[n.case.id]
            chosen.append(
                {
                    "case": n.case.id,
                    "set": cell,
                    "text": n.case.x,
                    "edited": replay(n.case.x, splices_of(finding.proof)),
                    "edits": [e.to_json() for e in verified.edits],
                    "before": _answer(labels, was["margins"], was["probabilities"]),
                    "after": _answer(labels, finding.margins, finding.probabilities),
                }
            )
    return chosen


def _answer(labels: Sequence[str], margins: Sequence[float], probabilities: Sequence[float] | None) -> dict[str, Any]:
    asserted = [label for label, m in zip(labels, margins, strict=True) if m > 0]
    told = None if probabilities is None else [float(np.round(p, 6)) for p in probabilities]
    return {"asserted": asserted, "labels": list(labels), "probabilities": told}


def write_review(found: dict[str, Any], folder: str | Path) -> Path:
    """Write `notes.json` beside the bundle's reports; returns its path.

    Raises:
        WriteError: the folder cannot be written.
    """
    path = Path(folder) / "notes.json"
    write_atomic(path, dumps(found))
    return path
