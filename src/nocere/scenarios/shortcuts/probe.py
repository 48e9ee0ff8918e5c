"""The shortcut probe: AUROC of simple models on sights without a lesion, beside that of a target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.core.canonical import dumps
from nocere.core.case import CaseRef, CaseSet
from nocere.core.errors import UsageError
from nocere.core.files import write_atomic
from nocere.core.ranking import auroc
from nocere.scenarios.shortcuts import covered, sights, simple
from nocere.scenarios.shortcuts.covered import plain
from nocere.targets.base import Target

LEVEL = 0.95
Bytes = Callable[[CaseRef], bytes]
"""The source file of a case."""


def probe(
    cases: CaseSet, target: Target | None = None, *, label: str = "", source: Bytes | None = None, seed: int = 0
) -> dict[str, Any]:
    """Everything that the shortcuts page shows.

    Args:
        cases: pictures with a known label; those without one are left out.
        target: a model to set beside; asked about the same pictures with parts covered.
        label: the label to predict; may be empty where there are two, or where the target has a positive one.
        source: gives the file of a case, for what files tell besides pixels.
        seed: decides folds, forests and bootstrap draws.

    Raises:
        UsageError: fewer than ten patients of a class, cases that are no pictures, or no label named among several.
    """
    told = [r for r in cases.refs if r.truth.labels]
    label = _label(told, target, label)
    cases = cases.take([r.id for r in told])
    truth = np.array([label in r.truth.labels for r in told])
    groups = [r.group for r in told]
    folds = simple.folds_of(truth, groups, seed)
    shown = _shown(cases, source)
    tried = len(shown) * len(simple.KINDS)
    return {
        "schema": 1,
        "cases": cases.name,
        "phantom": cases.phantom,
        "label": label,
        "n": len(told),
        "positive": int(truth.sum()),
        "patients": len(set(groups)),
        "folds": simple.FOLDS,
        "seed": seed,
        "sizes": {"border": sights.RING, "corner": sights.CORNER, "centre": covered.CENTRE},
        "tried": tried,
        "sights": [_sight(name, features, truth, groups, folds, tried, seed) for name, features in shown.items()],
        "target": None
        if target is None
        else {
            "name": target.name,
            "fingerprint": target.fingerprint,
            "covers": covered.remaining(cases, target, label, seed),
        },
    }


def _label(told: Sequence[CaseRef], target: Target | None, label: str) -> str:
    known = sorted({k for r in told for k in r.truth.labels})
    label = (
        label or (target.decision.positive if target is not None else None) or (known[-1] if len(known) == 2 else "")
    )
    if label not in known or (target is not None and label not in target.decision.labels):
        raise UsageError(
            f"The label to predict is not known: {label!r}."
            if label
            else "The cases have no two labels to tell apart.",
            f"Name one of these with --label: {', '.join(known)}.",
        )
    return label


def _shown(cases: CaseSet, source: Bytes | None) -> dict[str, NDArray[np.float64]]:
    """Columns [n, k] of every sight that differs between cases."""
    rows: dict[str, list[NDArray[np.float64]]] = {name: [] for name in sights.OF_PICTURES}
    for case in cases:
        p = sights.picture(case)
        for name, look in sights.OF_PICTURES.items():
            rows[name].append(look(p))
    if source is not None:
        rows["file"] = [sights.of_file(source(r)) for r in cases.refs]
    out = {name: np.stack(found) for name, found in rows.items()}
    for key in sorted({k for r in cases.refs for k in r.attrs}):
        columns = sights.of_values([r.attrs.get(key, "") for r in cases.refs])
        if columns is not None:
            out[f"attribute: {key}"] = columns
    return {name: columns for name, columns in out.items() if (columns != columns[0]).any()}


def _sight(
    name: str,
    features: NDArray[np.float64],
    truth: NDArray[np.bool_],
    groups: Sequence[str],
    folds: Sequence[NDArray[np.intp]],
    tried: int,
    seed: int,
) -> dict[str, Any]:
    models = []
    for kind in simple.KINDS:
        score = simple.predicted(features, truth, folds, kind, seed)
        strict = auroc(score, truth, groups, level=1 - (1 - LEVEL) / tried)
        models.append({"model": kind, **plain(auroc(score, truth, groups, LEVEL)), "strict": strict.interval.low})
    return {
        "sight": name,
        "without_lesion": name in sights.WITHOUT_LESION or name.startswith("attribute: "),
        "columns": features.shape[1],
        "models": models,
        # Many looks find something by chance: the lower limit is that of all of them together (Bonferroni).
        "found": any(m["strict"] > 0.5 for m in models),
    }


def write_probe(found: dict[str, Any], folder: str | Path) -> Path:
    """Write `shortcuts.json` into a folder; returns its path.

    Raises:
        WriteError: the folder cannot be written.
    """
    path = Path(folder) / "shortcuts.json"
    write_atomic(path, dumps(found))
    return path
