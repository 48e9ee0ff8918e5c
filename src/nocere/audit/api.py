"""The Python interface: an audit of a model in ten lines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nocere.audit.bundle import Bundle
from nocere.audit.plan import make_plan, resolve
from nocere.audit.runner import Progress, run_audit
from nocere.core.case import CaseSet
from nocere.targets.base import Target


def probe(
    target: Target,
    cases: CaseSet,
    out: str | Path,
    *,
    name: str = "audit",
    preset: str = "",
    cells: list[dict[str, Any]] | None = None,
    criteria: list[dict[str, Any]] | None = None,
    seed: int = 0,
    views: Mapping[str, Target] | None = None,
    progress: Progress | None = None,
    **plan: Any,
) -> Bundle:
    """Audit `target` on `cases` into the folder `out`; an interrupted audit goes on.

    Args:
        target: a `TorchTarget`, `SklearnTarget`, `callable_target(...)`, or what `load_target` returns.
        cases: `folder(...)`, `medmnist(...)`, a phantom, or `CaseSet.of(...)`.
        out: folder of the bundle.
        name: shown in the report.
        preset: default "image.standard" where no cells are given.
        cells, criteria: tables as in a plan file.
        views: models that a cell may search instead of the target (`view = NAME`): another one, or a differentiable
            copy of it (`nocere.targets.straight.bpda`). Success is judged on `target`.
        plan: further fields of a plan: intended_use, not_tested, draws, tau, view.

    Raises:
        NocereError: with one sentence that says what was wrong and what to do.
    """
    data = {"name": name, "seed": seed, "cell": cells or [], "criterion": criteria or [], **plan}
    data["preset"] = preset or ("" if cells else "image.standard")
    return run_audit(resolve(make_plan(data), target, cases, views=views), out, progress=progress)
