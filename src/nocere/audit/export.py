"""Adversarial files taken out of a bundle, to show them or to send them through a gate."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from nocere.audit.bundle import Bundle, evidence_path, short
from nocere.cases import dicom
from nocere.core.canonical import sha256
from nocere.core.errors import UsageError
from nocere.core.files import private_folder, write_atomic

LIST = "exhibits.csv"
COLUMNS = ("file", "original", "cell", "case", "radius", "sha256")


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One adversarial file: where it went, what it came from, and what it is."""

    file: str
    original: str
    cell: str
    case: str
    radius: float
    sha256: str


def export(bundle: Bundle, out: Path, *, unmarked: bool = False) -> list[Exhibit]:
    """Write every adversarial file of a bundle and its original into a new folder, with a list of them (CSV).

    Args:
        bundle: a finished audit; checked against its manifest first.
        out: a new or empty folder, readable by its owner only.
        unmarked: DICOM without the marks of an exhibit: the original data set with other pixel data, for tests of a
            gate. Nothing then tells such a file from a patient's but its pixels.

    Raises:
        UsageError: the folder is not empty, or files without marks are asked of evidence that has none.
        VerificationError: the bundle has been changed.
        WriteError: the folder cannot be written.
    """
    bundle.verify()
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty.", "Choose a new folder.")
    found: list[Exhibit] = []
    originals: dict[str, bytes] = {}
    contents: dict[str, bytes] = {}
    for cell in bundle.plan["cells"]:
        for o in bundle.outcomes(cell["name"]):
            if o.finding is None or not o.finding.ok:
                continue
            folder = evidence_path(cell["name"], o.case_id, o.radius)
            for name in sorted(n for n in bundle.manifest["files"] if n.startswith(folder + "/")):
                leaf = name.rsplit("/", 1)[1]
                data = bundle.bytes(name)
                if unmarked:
                    if leaf != dicom.FILE:
                        raise UsageError(
                            f"{leaf} is no DICOM: only DICOM exhibits carry marks.", "Leave --unmarked out."
                        )
                    data = dicom.unmarked(data, name)
                before = f"originals/{short(o.case_id)}/{leaf}"
                originals[before] = bundle.bytes(before)
                path = name.removeprefix("evidence/")
                contents[path] = data
                found.append(Exhibit(path, before, cell["name"], o.case_id, o.radius, sha256(data)))
    private_folder(out)
    for path, data in {**contents, **originals}.items():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        write_atomic(out / path, data)
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(COLUMNS)
    rows.writerows([f"{getattr(e, c):g}" if c == "radius" else getattr(e, c) for c in COLUMNS] for e in found)
    write_atomic(out / LIST, table.getvalue().encode())
    return found
