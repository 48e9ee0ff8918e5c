"""`nocere capture`, `amend`, `gate` and `investigate`: fingerprints at capture, and what became of the files since."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from nocere.core.errors import DataError, Exit, UsageError

if TYPE_CHECKING:
    from nocere.provenance.gate.route import Route
    from nocere.provenance.investigate.investigation import Investigation

SiteFolder = Annotated[Path, Parameter(env_var="NOCERE_SITE")]
Flag = Annotated[bool, Parameter(negative="")]


def load_route(path: Path) -> Route:
    """A route from its JSON file.

    Raises:
        DataError: unreadable, or not a route.
    """
    from nocere.provenance.gate.route import Route

    try:
        return Route.parse(path.read_bytes())
    except OSError as e:
        raise DataError(f"Cannot read {path}: {e.strerror}.", "Correct the path.") from e


def _files(paths: list[Path]) -> list[Path]:
    """Files as given, folders as the files in them; hidden files are left out."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
        else:
            found.append(path)
    if not found:
        raise UsageError("There is no file to capture.", "Give files, or folders with files in them.")
    # The parts of a WFDB record belong to its header.
    headers = {p.with_suffix("") for p in found if p.suffix == ".hea"}
    return [p for p in found if p.suffix == ".hea" or p.with_suffix("") not in headers]


def capture(
    files: list[Path],
    /,
    *,
    site: SiteFolder,
    agent: str = "capture",
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], negative="")] = False,
) -> int:
    """Fingerprint files and append a capture record for each to the log.

    A file that cannot be read stops no other one; the exit code is then 2. If the clock is behind the log, the files
    are captured all the same and the exit code is 4.

    Example: `nocere capture /from-the-scanner --site site`

    Parameters
    ----------
    files
        DICOM, PNG, JPEG, WFDB headers (.hea), notes (UTF-8 text), FHIR or claims (JSON); folders are searched.
    site
        Folder made by `nocere log init`; also taken from NOCERE_SITE.
    agent
        Who captures.
    quiet
        No progress.
    """
    from nocere.cli.output import progress
    from nocere.provenance.capture import capture as capture_all
    from nocere.provenance.capture import load
    from nocere.provenance.site import Site

    paths = _files(files)
    with Site.open(site) as at:
        clock = at.clock_problem()
        with progress(quiet) as told:
            inputs = ((str(p), lambda p=p: load(p)) for p in paths)
            done = capture_all(at, inputs, agent=agent, progress=lambda n: told("capturing", n, len(paths)))
    bad = [c for c in done if c.problem is not None]
    for c in done:
        if c.index is not None and c.fingerprint is not None:
            print(f"{c.index}\t{c.fingerprint.kind}\t{c.label}")
    for c in bad:
        print(f"nocere: not captured: {c.label}: {c.problem}", file=sys.stderr)
    if clock:
        print(f"nocere: {clock}", file=sys.stderr)
    return int(Exit.USAGE if bad else Exit.UNVERIFIED if clock else Exit.PASS)


def amend(original: Path, amended: Path, /, *, site: SiteFolder, reason: str, agent: str = "amend") -> int:
    """Record an authorised change of a captured file: patient merge or rename, de-identification, correction.

    Covers who or what a file is about, and attributes; changed samples need a capture of their own.

    Example: `nocere amend ct.dcm ct-merged.dcm --reason merge --site site`

    Parameters
    ----------
    original
        The file as captured.
    amended
        The file after the change.
    site
        Folder made by `nocere log init`; also taken from NOCERE_SITE.
    reason
        merge, rename, deidentification or correction.
    agent
        Who authorises.
    """
    from nocere.provenance.capture import amend as record
    from nocere.provenance.capture import load
    from nocere.provenance.fingerprint.reading import read
    from nocere.provenance.fingerprint.tiers import fingerprint
    from nocere.provenance.match import match
    from nocere.provenance.site import Site

    with Site.open(site) as at:
        before, after = (fingerprint(read(load(p)), at.site_key) for p in (original, amended))
        found = match(at, before)
        if found.record is None or not found.passed:
            raise UsageError(
                f"{original} is not as captured ({found.verdict.value}): {found.findings[0].sentence}",
                "Give the file as it was captured.",
            )
        print(record(at, before, after, [found.record.index], reason, agent=agent))
    return 0


def gate(
    files: list[Path],
    /,
    *,
    site: SiteFolder,
    route: Path,
    out: Path | None = None,
    json: Flag = False,
) -> int:
    """Check files as the gate before a model does, and log what the model would be shown.

    Exit code 0: every file verifies; 4: one does not.

    Example: `nocere gate incoming.dcm --site site --route route.json --out arrays`

    Parameters
    ----------
    files
        What is about to go to the model.
    site
        Folder made by `nocere log init`; also taken from NOCERE_SITE.
    route
        JSON file with model, version, recipe and what happens to a file that does not verify; its recipe is registered
        with `nocere log register`.
    out
        Folder for the arrays (npy) that were handed over.
    json
        One JSON object a file.
    """
    from nocere.cli.output import show_json
    from nocere.core.files import private_folder
    from nocere.provenance.capture import load
    from nocere.provenance.gate.gate import Gate
    from nocere.provenance.site import Site

    way = load_route(route)
    if out is not None:
        private_folder(out)
    worst = Exit.PASS
    with Site.open(site) as at, Gate(at, way, alarm=lambda _: None) as opened:
        for path in _files(files):
            array, verdict = opened.open(load(path))
            index = verdict.record.result()
            worst = worst if verdict.mode == "verified" else Exit.UNVERIFIED
            if out is not None and array is not None:
                _store(out / f"{index}.npy", array)
            if json:
                words = [f.verdict.value for f in verdict.match.findings]
                show_json({"file": str(path), "mode": verdict.mode, "verdicts": words, "record": index})
            else:
                print(f"{verdict.mode.upper():<10}  {path}  {verdict.sentence}")
    return int(worst)


def _store(path: Path, array: Any) -> None:
    import io

    import numpy as np

    from nocere.core.files import write_atomic

    data = io.BytesIO()
    np.save(data, array, allow_pickle=False)
    write_atomic(path, data.getvalue())


def investigate(
    files: list[Path],
    /,
    *,
    site: Annotated[Path | None, Parameter(env_var="NOCERE_SITE")] = None,
    out: Path | None = None,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], negative="")] = False,
) -> int:
    """Say what became of a file since it was captured: what changed, where, what explains it, who had it when.

    Give SUSPECT, or ORIGINAL and SUSPECT. The log alone tells which tiles and attributes changed; a retained original
    also tells whether a benign change such as JPEG explains it. With --out an evidence package is written, which
    anybody can check offline with the verifier inside. Exit code 0: as captured, or every change authorised; 4: not.

    Example: `nocere investigate original.dcm suspect.dcm --site site --out evidence`

    Parameters
    ----------
    files
        [ORIGINAL] SUSPECT.
    site
        Folder made by `nocere log init`; also taken from NOCERE_SITE.
    out
        New folder for the evidence package and the report.
    quiet
        No progress.
    """
    from nocere.provenance.capture import load
    from nocere.provenance.investigate.investigation import investigate as look
    from nocere.provenance.investigate.package import write_package
    from nocere.provenance.site import Site
    from nocere.report.investigation import render

    if len(files) not in (1, 2):
        raise UsageError(f"{len(files)} files were given.", "Give SUSPECT, or ORIGINAL and SUSPECT.")
    suspect = load(files[-1])
    original = load(files[0]) if len(files) == 2 else None
    tell = None if quiet else (lambda what: print(f"{what} ...", file=sys.stderr, flush=True))
    if site is None:
        if out is not None:
            raise UsageError("An evidence package needs a log.", "Give --site.")
        _tell(look(suspect, original=original, progress=tell))
        return 0
    with Site.open(site) as at:
        found = look(suspect, site=at, original=original, progress=tell)
        if out is not None:
            page = render(found, files[-1].name, at.log.vkey)
            write_package(at, found, out, {"report.html": page.encode()})
    _tell(found)
    if out is not None:
        print(f"\nEvidence: {out}  (open {out / 'report.html'}; check it: python {out / 'verify.py'} {out} --vkey KEY)")
    return int(Exit.PASS if found.harmless else Exit.UNVERIFIED)


def _tell(found: Investigation) -> None:
    """The result in lines."""
    from nocere.provenance.investigate.investigation import CANNOT_TELL
    from nocere.report.investigation import lines

    for line in lines(found):
        print(line)
    print("\nWhat this cannot tell:")
    for line in CANNOT_TELL:
        print(f"  - {line}")
