"""A small audited phantom risk model, for tests of the notes review and of its page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nocere.audit.bundle import Bundle
from nocere.audit.plan import make_plan, resolve
from nocere.audit.runner import run_audit
from nocere.cases.phantoms.notes import opioid
from nocere.core.case import CaseSet
from nocere.targets.notes.opioid import train_risk


def audited(folder: Path, n: int = 24) -> tuple[Bundle, CaseSet, Any]:
    """Bundle, cases and target."""
    target, cases = train_risk(n=800).target, opioid(n=n)
    spec = resolve(make_plan({"name": "risk", "preset": "notes.standard"}), target, cases)
    return run_audit(spec, folder), cases, target
