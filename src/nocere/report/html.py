"""Renders the view model as one self-contained HTML file without a script, and writes it beside its JSON twin."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from nocere.audit.bundle import Bundle
from nocere.core.canonical import dumps
from nocere.core.files import write_atomic
from nocere.report import charts
from nocere.report.view import view
from nocere.report.words import KINDS, percent

TEMPLATES = Path(__file__).parent / "templates"


def render_html(page: Mapping[str, Any]) -> str:
    """The page of a view: one file that asks nothing from anywhere."""
    return page_environment().get_template("report.html.j2").render(v=page, kinds=KINDS, **style())


def style() -> dict[str, Any]:
    """`css` and `csp` of a page."""
    css = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    # The style sheet is allowed by its hash, so not even a style smuggled into a name could act.
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    csp = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return {"css": Markup(css), "csp": csp}  # noqa: S704


def write_report(bundle: Bundle, *, share_key: bytes | None = None, out: str | Path | None = None) -> list[Path]:
    """Write `report.html` and `report.json`, or `report-share.html` and `.json` with a key.

    Args:
        bundle: a finished run.
        share_key: see `view`.
        out: the folder to write to; default is the bundle's own, where reports are not part of the evidence.

    Raises:
        VerificationError: a file of the bundle is missing or was changed.
        WriteError: the folder cannot be written.
    """
    folder = Path(out) if out is not None else bundle.folder
    page = view(bundle, share_key=share_key)
    stem = "report" if share_key is None else "report-share"
    paths = [folder / f"{stem}.html", folder / f"{stem}.json"]
    write_atomic(paths[0], render_html(page).encode())
    write_atomic(paths[1], dumps(page))
    return paths


@lru_cache(maxsize=1)
def page_environment() -> Environment:
    env = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=_together,
    )
    env.filters["percent"] = percent
    # Charts escape every text that they are given.
    for name in ("panel", "forest", "bars"):
        env.globals[name] = _marked(getattr(charts, name))
    return env


def _together(value: Any) -> Any:
    """Keeps a number and its per cent sign on one line."""
    return value.replace(" %", "\u00a0%") if type(value) is str else value


def _marked(draw: Any) -> Any:
    return lambda *args: Markup(draw(*args))  # noqa: S704
