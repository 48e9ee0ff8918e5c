"""The evidence package: a folder that a stranger can check offline with the verifier that lies in it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nocere.core.canonical import dumps, sha256
from nocere.core.errors import UsageError, VerificationError
from nocere.core.files import private_folder, write_atomic
from nocere.provenance.fingerprint.tiers import Fingerprint
from nocere.provenance.investigate.investigation import CANNOT_TELL, Investigation
from nocere.provenance.log.proof import evidence_text
from nocere.provenance.records import salt_of
from nocere.provenance.site import Site, opened

VERSION = "nocere-evidence/1"
# Kinds whose attributes are their whole content: it stays out of a package, which then says that it differs, not where.
ALL_CONTENT = ("note", "json")
VERIFIER = Path(__file__).with_name("verify.py")
README = """\
Evidence package of nocere
==========================

{verdicts}

To check it, offline, with Python 3.11 or newer and the package `cryptography`:

    python verify.py . --vkey '{vkey}'

Take the key from the operator of the log, not from this file, and a verify.py from a source that you trust. Add
`--suspect FILE` to check that a file is the suspect of this package.

  package.json   what is here, with the SHA-256 of every file, and what is claimed
  records/       log entries with their proof of inclusion and the signed checkpoint (C2SP tlog-proof)
  openings.json  values behind the commitments in those entries, with the salt of each
  fingerprints/  original and suspect; attribute values that decide how samples are read are in them in clear; of
                 notes and JSON documents only the digests
  pictures/      changed tiles

What nothing here can tell:
{cannot}
"""


def write_package(site: Site, found: Investigation, folder: Path, extra: Mapping[str, bytes] | None = None) -> Path:
    """Write the package of an investigation into a new folder.

    Args:
        site: the log that the investigation was made with.
        folder: new or empty; made readable by the owner only.
        extra: further files by name, such as a report.

    Raises:
        UsageError: the folder holds something.
        WriteError: it cannot be written; nothing half written stays under its name.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not an empty folder.", "Choose another folder for the package.")
    checkpoint = site.log.checkpoint()
    files: dict[str, bytes] = dict(extra or {})
    for index in _records(site, found):
        files[f"records/{index}.tlog-proof"] = evidence_text(site.log.prove(index, checkpoint)).encode()
    files["openings.json"] = dumps(_openings(site, found))
    for name, fp in (("original", found.original), ("suspect", found.suspect)):
        if fp is not None:
            files[f"fingerprints/{name}.json"] = fp.to_json(detail=fp.kind not in ALL_CONTENT).encode()
    files |= {f"pictures/{name}": png for name, png in (found.pictures or {}).items()}
    verdicts = "\n".join(f"{f.verdict.value}: {f.sentence}" for f in found.findings)
    cannot = "\n".join(f"- {line}" for line in CANNOT_TELL)
    files["README.txt"] = README.format(verdicts=verdicts, vkey=site.log.vkey, cannot=cannot).encode()
    package = {
        "v": VERSION,
        "vkey": site.log.vkey,
        "record": None if found.record is None else found.record.index,
        "verdicts": [{"verdict": f.verdict.value, "authorised": f.authorised} for f in found.findings],
        "differences": _differences(found.original, found.suspect),
        "files": {name: sha256(data) for name, data in files.items()},
    }
    building = folder.with_name(f".tmp-{folder.name}")
    shutil.rmtree(building, ignore_errors=True)
    try:
        for name, data in {**files, "package.json": dumps(package), "verify.py": VERIFIER.read_bytes()}.items():
            private_folder((building / name).parent)
            write_atomic(building / name, data)
        building.chmod(0o700)
        building.replace(folder)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    return folder


def _records(site: Site, found: Investigation) -> list[int]:
    """Every record that the findings rest on: those about the input, and all key records."""
    site.ring()
    keys = [index for index, _ in site.vault.key_records()[1]]
    about = [] if found.record is None else [found.record.index, *found.amendments]
    return sorted({*keys, *about, *(e.index for e in found.events)})


def _openings(site: Site, found: Investigation) -> dict[str, Any]:
    """The disclosed commitments of the capture and amendment records; inference records stay closed."""
    out: dict[str, Any] = {}
    for index in [] if found.record is None else [found.record.index, *found.amendments]:
        row = site.vault.at(index)
        if row is None or row.salt is None:
            raise VerificationError(f"The vault lost the secrets of record {index}: it cannot be disclosed.")
        salt, clear = row.salt, opened(site.record(index), row)
        out[str(index)] = {n: {"value": v, "salt": salt_of(salt, n).hex()} for n, v in clear.items()}
    return out


def _differences(original: Fingerprint | None, suspect: Fingerprint | None) -> dict[str, Any] | None:
    """What differs, as the verifier computes it again: tiers, tiles in place (frame, number), names."""
    if original is None or suspect is None:
        return None
    a, b = original.detail, suspect.detail
    tiles: list[list[int]] = []
    meaning: list[str] = []
    if a is not None and b is not None and original.kind not in ALL_CONTENT:
        if a.shape is not None and a.shape == b.shape and original.f2 != suspect.f2:
            pairs = enumerate(zip(a.tiles, b.tiles, strict=True))
            tiles = [[i, t] for i, (x, y) in pairs for t in range(len(x)) if x[t] != y[t]]
        meaning = sorted(n for n in {*a.meaning, *b.meaning} if a.meaning.get(n) != b.meaning.get(n))
    names = ("f0", "f1", "f2", "f2c", "f3", "f4", "f5")
    return {
        "tiers": [n for n in names if getattr(original, n) != getattr(suspect, n)],
        "tiles": tiles,
        "meaning": meaning,
        "identity": sorted(n for n in {*original.f4, *suspect.f4} if original.f4.get(n) != suspect.f4.get(n)),
    }
