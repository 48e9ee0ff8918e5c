"""`nocere demo --only notes`: a phantom risk model learns from its history, and other words for the same turn it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nocere.cli.output import Told, cores
from nocere.core.files import private_folder, write_atomic

PLAN = """\
name = "Demo: an opioid-risk model"
intended_use = "None: a demonstration on phantom notes"
target = "model/card.toml"
seed = 1
preset = "notes.standard"
not_tested = ["real notes: every note here is a phantom"]
[cases]
phantom = "notes.opioid"
n = 150
seed = 7
split = "test"
"""
HISTORY = 4_000
SEEDS, SEED_HISTORY = 5, 2_000


def demo(out: Path, told: Told) -> list[str]:
    """Train, audit, review; returns what happened, in lines."""
    from nocere.audit.plan import load_spec
    from nocere.audit.runner import run_audit
    from nocere.audit.work import Source
    from nocere.report.html import write_report
    from nocere.report.notes import summary, write_notes
    from nocere.scenarios.notes_review.paper import papers_edit, papers_seeds
    from nocere.scenarios.notes_review.review import review, write_review
    from nocere.targets.notes.files import write_note_target
    from nocere.targets.notes.opioid import train_risk

    private_folder(out)
    plan = out / "plan.toml"
    write_atomic(plan, PLAN.encode())
    if not (out / "model" / "card.toml").exists():
        told("training the phantom risk model", 0, 1)
        write_note_target(train_risk(n=HISTORY).target, out / "model")
        told("training the phantom risk model", 1, 1)
    spec = load_spec(plan)
    bundle = run_audit(spec, out / "audit", workers=cores(), source=Source(plan, trust=False), progress=told)
    write_report(bundle)
    told("review", 0, 1)
    found = review(bundle, spec.cases, spec.target)
    found["paper"] = papers_edit(spec.target, "high", list(spec.cases))
    found["paper"]["seeds"] = papers_seeds(range(1, SEEDS + 1), n=SEED_HISTORY)
    write_review(found, bundle.folder)
    page = write_notes(found, bundle.folder)
    told("review", 1, 1)
    return [
        "Phantom notes, not patients. What happened:",
        *(f"  {line}" for line in summary(found)),
        *_papers(found["paper"]),
        f"\nOpen the report: {page.resolve()}",
    ]


def _papers(p: dict[str, Any]) -> list[str]:
    """What became of the paper's own edit."""
    from nocere.report.notes import share

    lines = [f"  The paper's sentence: {p['text']}"]
    lines += [
        f"    {e['before']} -> {e['after']}: grade {e['grade']}, {e['codes'][0]} -> {e['codes'][1]} "
        f"({'; '.join(e['evidence'])})"
        for e in p["verified"]
    ]
    verdict = "high, then low: the paper's edit flips it" if p["flips"] else "the paper's edit does not flip it"
    lines.append(f"    {verdict} (margin towards high {p['before']:.2f}, then {p['after']:.2f})")
    for name, s in p["sets"].items():
        rank = f"; the paper's ranks {s['rank_of_the_papers']}" if s["rank_of_the_papers"] else ""
        lines.append(f"    {name}: {s['flips']} of {s['members']} rewordings by up to {p['edits']} edits flip it{rank}")
    inside = p["in_notes"]
    lines.append(
        f"    in whole notes: {inside['notes']} have both wordings, {inside['called']} are called high, "
        f"turned {share(inside['flipped'])}"
    )
    lines.append(f"    it flips in {sum(s['flips'] for s in p['seeds'])} of {len(p['seeds'])} phantom worlds")
    return lines
