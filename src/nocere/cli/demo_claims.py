"""`nocere demo --only claims`: a phantom payer learns from its history, and true codes turn its denials."""

from __future__ import annotations

from pathlib import Path

from nocere.cli.claims import summary
from nocere.cli.output import Told, cores
from nocere.core.files import private_folder, write_atomic
from nocere.report.claims import step_words

PLAN = """\
name = "Demo: a payer's denial model"
intended_use = "None: a demonstration on phantom claims"
target = "payer/card.toml"
seed = 1
preset = "claims.standard"
not_tested = ["real claims: every claim here is a phantom"]
[cases]
phantom = "claims.billing"
n = 200
seed = 7
split = "test"
"""
HISTORY = 5_000


def demo(out: Path, told: Told) -> list[str]:
    """Train, audit, review; returns what happened, in lines."""
    from nocere.audit.plan import load_spec
    from nocere.audit.runner import run_audit
    from nocere.audit.work import Source
    from nocere.clinical.codes.graph import load_rules
    from nocere.report.claims import write_claims
    from nocere.report.html import write_report
    from nocere.scenarios.claims_review.paper import papers_edit
    from nocere.scenarios.claims_review.review import review, write_review
    from nocere.targets.claims.files import write_claim_target
    from nocere.targets.claims.payer import train_payer

    private_folder(out)
    plan = out / "plan.toml"
    write_atomic(plan, PLAN.encode())
    if not (out / "payer" / "card.toml").exists():
        told("training the phantom payer", 0, 1)
        write_claim_target(train_payer(n=HISTORY).target, out / "payer")
        told("training the phantom payer", 1, 1)
    spec = load_spec(plan)
    bundle = run_audit(spec, out / "audit", workers=cores(), source=Source(plan, trust=False), progress=told)
    write_report(bundle)
    told("review", 0, 1)
    found = review(bundle, spec.cases, spec.target)
    found["paper"] = papers_edit(spec.target, found["wanted"], load_rules())
    write_review(found, bundle.folder)
    page = write_claims(found, bundle.folder)
    told("review", 1, 1)
    return [
        "Phantom claims, not patients. What happened:",
        *(f"  {line}" for line in summary(found)),
        *_example(found),
        *_papers(found["paper"]),
        f"\nOpen the report: {page.resolve()}",
    ]


def _example(found: dict[str, object]) -> list[str]:
    """The first claim that true codes turn, step by step."""
    examples: list[dict[str, object]] = found["examples"]  # type: ignore[assignment]
    if not examples:
        return ["  No contested claim was turned by true codes."]
    e = examples[0]
    lines = [f"  For example {e['case']}, denied, then approved after:"]
    for step in e["steps"]:  # type: ignore[attr-defined]
        lines.append(f"    {step_words(step)}")
        if step["text"]:
            lines.append(f"      by {step['rule']}: {step['text'][:100]}")
    return lines


def _papers(p: dict[str, object]) -> list[str]:
    """What became of the paper's own edit."""
    before, after = (", ".join(c["code"] for c in p[side]["codes"]) for side in ("before", "after"))  # type: ignore[index]
    lines = [f"  The paper's patient (in ICD-10-CM): {before}, and again as {after}:"]
    if p["flips"]:
        lines.append("    denied, then approved: the paper's edit flips this model.")
    else:
        lines.append("    the paper's edit does not flip this model.")
    for name, s in p["sets"].items():  # type: ignore[attr-defined]
        rank = s["rank_of_the_papers"]
        place = f"; by its margin the paper's ranks {rank} of {s['flips'] + 1}" if rank else ""
        member = "is one of them" if s["contains_it"] else "is not among them"
        found = f"{s['flips']} of {s['members']} codings by up to {p['edits']} edits flip it"
        lines.append(f"    {name}: {found}; the paper's {member}{place}")
    return lines
