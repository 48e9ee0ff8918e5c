"""The page of the provenance demo: one row for every thing that happened to a captured image."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from nocere.provenance.fingerprint.reading import read
from nocere.report.html import page_environment, style


def render_demo(rows: Sequence[Mapping[str, Any]], vkey: str) -> str:
    """One self-contained page.

    Args:
        rows: name, title, why, mode, verdict, says (the model without a gate), data (the file), picture (PNG or None).
        vkey: verifier key of the log.
    """
    shown = [
        {**r, "thumbnail": _thumbnail(r["data"]), "picture": _b64(r["picture"]) if r["picture"] else ""} for r in rows
    ]
    return page_environment().get_template("provenance.html.j2").render(rows=shown, vkey=vkey, **style())


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _thumbnail(data: bytes) -> str:
    """The stored samples of the first frame as PNG."""
    pixels = read(data).pixels
    assert pixels is not None
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels[0, :, :, 0])).save(out, "PNG", optimize=True)
    return _b64(out.getvalue())
