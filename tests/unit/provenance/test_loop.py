"""The loop closes: what an audit finds goes through the gate, made after capture and before it."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.images import audit, cell, world

from nocere.attacks.image.pgd import Pgd
from nocere.audit.bundle import evidence_path
from nocere.provenance.capture import capture
from nocere.provenance.fingerprint.verdict import Verdict
from nocere.provenance.gate.gate import Gate
from nocere.provenance.gate.recipe import Recipe
from nocere.provenance.gate.route import Route, register
from nocere.provenance.investigate.investigation import investigate
from nocere.provenance.site import Site

GREY = Recipe.of("frame, channels first", [{"op": "frame", "index": 0}, {"op": "channels_first"}])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[bytes, bytes]]:
    """(original, adversarial) PNG files of an audit."""
    cases, target = world(12)
    bundle = audit(
        tmp_path_factory.mktemp("loop") / "b", cases, target, cell(cases, (Pgd(20),), name="noise", radii=(4.0,))
    )
    hits = [o.case_id for o in bundle.outcomes("noise") if o.kind == "broken"]
    assert len(hits) >= 3
    from nocere.audit.bundle import short

    return [
        (
            (bundle.folder / "originals" / short(i) / "image.png").read_bytes(),
            (bundle.folder / evidence_path("noise", i, 4.0) / "image.png").read_bytes(),
        )
        for i in hits
    ]  # fmt: skip


def saved_as(png: bytes, kind: str, **how: object) -> bytes:
    out = io.BytesIO()
    Image.open(io.BytesIO(png)).save(out, kind, **how)
    # What a lossy step leaves, stored without loss again: a JPEG file would be told by its kind alone.
    again = io.BytesIO()
    Image.open(io.BytesIO(out.getvalue())).save(again, "PNG")
    return again.getvalue()


def site_with(folder: Path, contents: list[bytes]) -> Site:
    site = Site.create(folder, "log.test.example/2026")
    capture(site, [(str(i), partial(bytes, c)) for i, c in enumerate(contents)])
    register(site, GREY)
    return site


def test_line_4_after_capture_is_caught(tmp_path: Path, files: list[tuple[bytes, bytes]]) -> None:
    site = site_with(tmp_path / "s", [o for o, _ in files])
    with Gate(site, Route("r", "m", "1", GREY), alarm=lambda _: None) as gate:
        for original, adversarial in files:
            assert gate.open(original).verdict.mode == "verified"
            assert gate.open(adversarial).array is None
            for lossy in (
                saved_as(adversarial, "JPEG", quality=95),
                saved_as(adversarial, "JPEG2000", irreversible=True),
            ):
                assert gate.open(lossy).array is None
    for original, adversarial in files[:3]:
        for suspect in (adversarial, saved_as(adversarial, "JPEG", quality=90, subsampling=0)):
            found = investigate(suspect, site=site, original=original)
            assert found.verdict is Verdict.PIXELS_CHANGED
            assert found.explanation is not None
            assert not found.explanation.explained
        benign = investigate(saved_as(original, "JPEG", quality=90, subsampling=0), site=site, original=original)
        assert benign.explanation is not None
        assert benign.explanation.explained
    site.close()


def test_line_4_before_capture_is_not_caught(tmp_path: Path, files: list[tuple[bytes, bytes]]) -> None:
    """Stated as a limit: the agent hashes what reaches it."""
    site = site_with(tmp_path / "s", [a for _, a in files])
    with Gate(site, Route("r", "m", "1", GREY)) as gate:
        for _, adversarial in files:
            array, judged = gate.open(adversarial)
            assert judged.match.verdict is Verdict.IDENTICAL
            assert array is not None
            shown = np.asarray(Image.open(io.BytesIO(adversarial)))
            assert np.array_equal(np.moveaxis(array, 0, -1), shown.reshape(array.shape[1], array.shape[2], -1))
    site.close()


def test_lines_1_and_2_are_not_caught(tmp_path: Path, files: list[tuple[bytes, bytes]]) -> None:
    """Another view of the same lesion, or another picture chosen: captured as it is, it is what was captured."""
    turned = [saved_as_png(np.rot90(np.asarray(Image.open(io.BytesIO(o))))) for o, _ in files]
    site = site_with(tmp_path / "s", turned)
    with Gate(site, Route("r", "m", "1", GREY)) as gate:
        assert all(gate.open(t).verdict.mode == "verified" for t in turned)
    site.close()


def saved_as_png(pixels: np.ndarray) -> bytes:  # type: ignore[type-arg]
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(out, "PNG")
    return out.getvalue()
