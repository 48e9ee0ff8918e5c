"""`nocere demo --only provenance`: capture a file, change it in every way that matters, gate and investigate each."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nocere.cli import demo_inputs as inputs
from nocere.core.files import private_folder, write_atomic
from nocere.provenance.fingerprint.reading import read

Told = Callable[[str, int, int], None]
UID = "1.2.826.0.1.3680043.8.498.1"


@dataclass(frozen=True, slots=True)
class Story:
    """One thing that happens to the captured file, and why the gate should or should not see it.

    Attributes:
        name: file name.
        title: in words.
        data: the file that reaches the gate.
        why: what to learn from it.
        captured: True when this very file was captured, change and all: the change came before capture.
    """

    name: str
    title: str
    data: bytes
    why: str
    captured: bool = False


def demo(out: Path, told: Told) -> list[str]:
    """Run the demo into a folder; the lines to print."""
    from nocere.provenance.capture import amend, capture
    from nocere.provenance.fingerprint.tiers import fingerprint
    from nocere.provenance.gate.gate import Gate
    from nocere.provenance.gate.recipe import Recipe
    from nocere.provenance.gate.route import Route, register
    from nocere.provenance.investigate.investigation import investigate
    from nocere.provenance.investigate.package import write_package
    from nocere.provenance.site import Draft, Site
    from nocere.report.investigation import heading, render
    from nocere.report.provenance import render_demo

    private_folder(out)
    for name in ("site", "files", "evidence"):
        shutil.rmtree(out / name, ignore_errors=True)
    world = inputs.world(out, told)
    original = inputs.dicom(world.case.x, UID)
    stories = _stories(world, original)
    private_folder(out / "files")
    for s in stories:
        write_atomic(out / "files" / f"{s.name}.dcm", s.data)
    recipe = Recipe.of("grey levels, channels first", [{"op": "frame", "index": 0}, {"op": "channels_first"}])
    route = Route("chest", "linear demo", "1", recipe)
    rows: list[dict[str, Any]] = []
    with Site.create(out / "site", "demo.nocere.invalid/1") as site:
        capture(site, [(s.name, partial(bytes, s.data)) for s in stories if s.captured or s.name == "captured"])
        register(site, recipe)
        merged = next(s for s in stories if s.name == "patient-merged")
        before, after = (fingerprint(read(d), site.site_key) for d in (stories[0].data, merged.data))
        amend(site, before, after, [5], "merge")
        site.write("audit", [Draft("bundle", {"manifest": _manifest(world.bundle)}, label="audit")])
        with Gate(site, route, alarm=lambda _: None) as gate:
            for i, s in enumerate(stories):
                told("gate and investigation", i, len(stories))
                array, judged = gate.open(s.data)
                judged.record.result()
                found = investigate(s.data, site=site, original=stories[0].data if not s.captured else None)
                page = render(found, f"{s.name}.dcm", site.log.vkey)
                write_package(site, found, out / "evidence" / s.name, {"report.html": page.encode()})
                rows.append({
                    "name": s.name, "title": s.title, "why": s.why, "mode": judged.mode, "verdict": heading(found),
                    "right": (judged.mode == "verified") == (s.name in EXPECTED), "data": s.data,
                    "says": _says(world, s.data), "handed_over": array is not None,
                    "picture": next(iter((found.pictures or {}).values()), None),
                })  # fmt: skip
            told("gate and investigation", len(stories), len(stories))
        vkey = site.log.vkey
    write_atomic(out / "report.html", render_demo(rows, vkey).encode())
    return _lines(rows, out, vkey)


# What the gate should let through: the file, other encodings, authorised changes, and what was captured that way.
EXPECTED = {"captured", "lossless", "patient-merged", "noise-before-capture", "turned-before-capture"}


def _stories(world: inputs.World, original: Any) -> list[Story]:
    x, adversarial = world.case.x, world.adversarial
    fresh = inputs.with_fields(inputs.dicom(world.other, f"{UID}.8"), PatientID="PHANTOM-2")

    def file(pixels: Any) -> bytes:
        return inputs.saved(inputs.with_pixels(original, pixels))

    stories = [
        Story("captured", "As captured", inputs.saved(original), "The bytes are those that the agent hashed."),
        Story("lossless", "Stored as RLE by an archive", inputs.saved(inputs.lossless(original)),
              "Another file, the same samples and attributes: no alarm."),
        Story("one-pixel", "One grey level in one pixel", file(inputs.one_pixel(x)),
              "One tile of sixteen has another hash."),
        Story("window", "Window Center changed", inputs.saved(inputs.with_fields(original, WindowCenter="60")),
              "The samples are the same, but they are shown brighter."),
        Story("patient", "Patient ID changed", inputs.saved(inputs.with_fields(original, PatientID="PHANTOM-9")),
              "The image of one patient under the name of another one."),
        Story("patient-merged", "Patient ID changed, with a signed amendment",
              inputs.saved(inputs.with_fields(original, PatientID="PHANTOM-7")),
              "A merge that somebody signed for: no alarm."),
        Story("jpeg", "Saved as JPEG, quality 80", file(inputs.jpeg(x, 80)),
              "The samples changed, and a named benign transform of the original gives exactly this."),
        Story("noise", f"Adversarial noise of {inputs.RADIUS} grey levels", file(adversarial),
              "Line 4 after capture: nobody sees it, the fingerprint does."),
        Story("noise-jpeg", "Adversarial noise, then JPEG", file(inputs.jpeg(adversarial, 80)),
              "A lossy pass after the attack hides its statistics; it does not make it a JPEG of the original."),
        Story("noise-j2k", "Adversarial noise, then JPEG 2000", file(inputs.jpeg2000(adversarial, 8)),
              "The same with another codec."),
        Story("noise-before-capture", "Adversarial noise made before capture", inputs.saved(fresh),
              "NOT caught: what reaches the capture agent is what is hashed. Put the agent at the device.", True),
    ]  # fmt: skip
    if world.turned is not None:
        turned = inputs.with_fields(inputs.dicom(world.turned, f"{UID}.9"), PatientID="PHANTOM-3")
        stories.append(
            Story("turned-before-capture", "Patient or camera turned and shifted (line 2)", inputs.saved(turned),
                  "NOT caught, and not a forgery: the image was taken that way. Only a sturdier model helps.", True)
        )  # fmt: skip
    return stories


def _manifest(bundle: Path) -> str:
    from nocere.audit.bundle import Bundle

    return Bundle(bundle).hash


def _says(world: inputs.World, data: bytes) -> str:
    """What the model would say without a gate."""
    pixels = read(data).pixels
    assert pixels is not None
    label, p = inputs.answer(world.target, np.array(np.moveaxis(pixels[0], -1, 0), dtype=np.uint8))
    return f"{label} {p:.2f}"


def _lines(rows: list[dict[str, Any]], out: Path, vkey: str) -> list[str]:
    lines = ["A synthetic chest X-ray was captured. What reached the gate, and what the gate did:", ""]
    for r in rows:
        lines.append(f"  {r['mode'].upper():<9} {r['title']:<46} {r['verdict']}")
        lines.append(f"            without a gate the model says: {r['says']}")
    wrong = [r["name"] for r in rows if not r["right"]]
    lines += ["", f"Not as expected: {', '.join(wrong)}" if wrong else "Every one as expected.", ""]
    lines.append(f"Open the report: {(out / 'report.html').resolve()}")
    evidence = out / "evidence" / "noise"
    lines.append(f"Check a package offline: python {evidence / 'verify.py'} {evidence} --vkey '{vkey}'")
    return lines
