"""All registered measures of a set of results."""

from __future__ import annotations

from dataclasses import replace

from nocere.audit.measures.measure import Measure, Results
from nocere.core.registry import entries


def compute(results: Results) -> list[Measure]:
    """Every measure, in a fixed order; cells that test the search say nothing about the model."""
    results = replace(results, cells=tuple(c for c in results.cells if not c.sanity))
    out = [m for entry in entries("measure") for m in entry.make(results)]
    return sorted(out, key=lambda m: (m.cell, -1.0 if m.radius is None else m.radius, m.line or 0, m.key, m.group))
