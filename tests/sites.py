"""Sites, files and edits that the provenance tests share."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pydicom

from nocere.provenance.capture import Captured, capture
from nocere.provenance.fingerprint.reading import read
from nocere.provenance.fingerprint.tiers import Fingerprint, fingerprint
from nocere.provenance.gate.recipe import Recipe
from nocere.provenance.gate.route import Route, register
from nocere.provenance.site import Site

FILES = Path(pydicom.__file__).parent / "data" / "test_files"
CT = (FILES / "CT_small.dcm").read_bytes()
MR = (FILES / "MR_small.dcm").read_bytes()
ORIGIN = "log.test.example/2026"
FRAME = Recipe.of("frame", [{"op": "frame", "index": 0}])


def site_at(folder: Path, *contents: bytes, recipe: Recipe = FRAME) -> tuple[Site, list[Captured]]:
    """A new site with these inputs captured and the recipe registered."""
    site = Site.create(folder, ORIGIN)
    done = capture(site, [(f"input {i}", partial(bytes, c)) for i, c in enumerate(contents)])
    register(site, recipe)
    return site, done


def route(unverified: str = "refuse", recipe: Recipe = FRAME) -> Route:
    return Route("ct", "net", "1.0", recipe, unverified)  # type: ignore[arg-type]


def edited(content: bytes, edit: Callable[[Any], None]) -> bytes:
    """The DICOM file after `edit` of its data set."""
    ds = pydicom.dcmread(io.BytesIO(content))
    edit(ds)
    out = io.BytesIO()
    ds.save_as(out)
    return out.getvalue()


def one_pixel(ds: Any) -> None:
    pixels = ds.pixel_array.copy()
    pixels[70, 3] += 1
    ds.PixelData = pixels.tobytes()


def window(ds: Any) -> None:
    ds.WindowCenter = "77"


def patient(ds: Any, name: str = "OTHER") -> None:
    ds.PatientID = name


def print_of(site: Site, content: bytes) -> Fingerprint:
    return fingerprint(read(content), site.site_key)
