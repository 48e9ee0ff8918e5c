"""`nocere list` and `nocere doctor`: what there is, and whether this machine can run it."""

from __future__ import annotations

import platform
import shutil
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from nocere.core.errors import Exit

Kinds = Literal["attacks", "threats", "datasets", "phantoms", "targets", "measures", "defences", "scenarios"]
NEEDED = ("numpy", "scipy", "scikit-learn", "pydantic", "cyclopts", "rich", "jinja2", "pillow", "rfc8785")
OPTIONAL = {"torch": "gradient attacks on images, nocere train", "pydicom": "DICOM"}


def list_things(what: Kinds, /, *, json: Annotated[bool, Parameter(negative="")] = False) -> int:
    """List attacks, threats, datasets, phantoms, targets or measures that plans can name.

    Parameters
    ----------
    what
        Kind of thing.
    json
        Print them as one JSON object.
    """
    from nocere.cli.output import show_json, table
    from nocere.core.registry import entries, unavailable

    found = entries(what[:-1])  # type: ignore[arg-type]
    if json:
        show_json([{"name": e.name, "summary": e.summary, "source": e.source, **e.facts} for e in found])
        return 0
    table(what, ["name", "what it does", "source"], [[e.name, e.summary, e.source] for e in found])
    if what == "measures":
        print(
            "Criteria name what these give: accuracy, sensitivity, specificity (each also with _up_to_line),\n"
            "auroc, flip_rate, flip_rate_from:LABEL, median_budget, confident_flip_from:LABEL, yield,\n"
            "draw_flip_share, cases_with_a_flip."
        )
    for module, why in unavailable().items():
        print(f"not available: {module} ({why})")
    return 0


def doctor(*, json: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Check that this machine can run audits, and say what is missing."""
    from nocere.cli.output import show_json

    checks: list[tuple[str, bool, str]] = [("python", True, platform.python_version())]
    checks += [(name, *_package(name)) for name in NEEDED]
    checks += [(f"{name} (for {why})", *_package(name)) for name, why in OPTIONAL.items()]
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    checks.append(("chromium (tests only)", browser is not None, browser or "not found"))
    checks.append(("temporary folder can be written", *_writable()))
    if json:
        show_json([{"check": n, "ok": ok, "found": found} for n, ok, found in checks])
    else:
        for name, ok, found in checks:
            print(f"{'ok     ' if ok else 'MISSING'}  {name}: {found}")
    bad = [n for n, ok, _ in checks if not ok and n in NEEDED]
    return int(Exit.PREREQUISITE if bad else Exit.PASS)


def _package(name: str) -> tuple[bool, str]:
    try:
        return True, version(name)
    except PackageNotFoundError:
        return False, f"install it with: pip install {name}"


def _writable() -> tuple[bool, str]:
    try:
        with tempfile.NamedTemporaryFile() as f:
            return True, str(Path(f.name).parent)
    except OSError as e:
        return False, str(e)
