"""A small audited phantom payer, for tests of the claims review and of its page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nocere.audit.bundle import Bundle
from nocere.audit.plan import make_plan, resolve
from nocere.audit.runner import run_audit
from nocere.cases.phantoms.claims import billing
from nocere.core.case import CaseSet
from nocere.targets.claims.payer import train_payer


def audited(folder: Path, n: int = 60) -> tuple[Bundle, CaseSet, Any]:
    """Bundle, cases and target."""
    target, cases = train_payer(n=1500, trees=60).target, billing(n=n)
    spec = resolve(make_plan({"name": "payer", "preset": "claims.standard"}), target, cases)
    return run_audit(spec, folder), cases, target
