"""`nocere reuse`: one photograph under two patients or claims."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from nocere.core.errors import Exit, NocereError, UsageError


def reuse(
    manifest: Path,
    /,
    *,
    group: str = "patient",
    path: str = "path",
    index: Path | None = None,
    out: Path | None = None,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], negative="")] = False,
) -> int:
    """Find photographs that appear under more than one patient or claim, also turned, mirrored, cropped or re-encoded.

    A pair is a lead, not a proof of fraud: look at its picture. Sets hold honest duplicates too. Exit code 0: no pair;
    4: pairs were found; 2: a file could not be searched (the others were).

    Example: `nocere reuse claims.csv --group claim --index claims.npz --out found`

    Parameters
    ----------
    manifest
        CSV file that lists images (DICOM, PNG, JPEG), with paths relative to its folder.
    group
        Its column that says whose image it is; images of one group are never compared.
    path
        Its column with the path.
    index
        Keeps the images' features: those in it are compared with the new ones too. Images that are in it already, by
        their path, are not new. It shows the images to whoever reads it; keep it where the images are kept.
    out
        New folder for pairs.csv and a picture of each pair.
    quiet
        No progress.
    """
    from nocere.cli.output import progress
    from nocere.core.files import private_folder, write_atomic
    from nocere.provenance.investigate.reuse import Index
    from nocere.provenance.investigate.reuse.features import opencv
    from nocere.provenance.investigate.reuse.files import frames, listed, pair_picture, pairs_csv

    opencv()
    images = listed(manifest, path, group)
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is not an empty folder.", "Choose another folder.")
    held = Index.load(index) if index is not None and index.exists() else Index()
    before, bad, known = len(held), list[str](), 0
    files: dict[str, Path] = {}
    with progress(quiet) as told:
        for k, (file, whose) in enumerate(images, 1):
            try:
                for id, plane in frames(file):
                    files[id] = file
                    if id in held:
                        known += 1
                    else:
                        held.add(id, whose, plane)
            except NocereError as e:
                bad.append(f"{file}: {e}")
            told("describing", k, len(images))
        found = []
        for pair in held.duplicates(before):
            found.append(pair)
            told("pairs", len(found), len(found))
    if index is not None:
        held.save(index)
    for d in found:
        m = d.other
        print(f"{d.id} ({d.group}) = {m.id} ({m.group}): score {m.score:.2f}, {m.inliers} features")
    if out is not None:
        private_folder(out)
        pictures = {}
        for k, d in enumerate(found):
            if d.other.id in files:  # an image that only the index knows cannot be drawn
                one, other = (dict(frames(files[i]))[i] for i in (d.id, d.other.id))
                pictures[k] = f"pair-{k + 1:04d}.png"
                write_atomic(out / pictures[k], pair_picture(one, other, d.other.transform))
        write_atomic(out / "pairs.csv", pairs_csv(found, pictures))
    blank = [id for id in held.unsearchable if id in files]
    for line in (*bad, *(f"{id}: it shows too little detail to be found again." for id in blank)):
        print(f"nocere: not searched: {line}", file=sys.stderr)
    searched = len(files) - len(blank) - known
    pairs = f"{len(found)} pair{'' if len(found) == 1 else 's'}"
    print(f"{pairs} among {searched} new images" + (f" and {before} of the index." if before else "."))
    return int(Exit.USAGE if bad or blank else Exit.UNVERIFIED if found else Exit.PASS)
