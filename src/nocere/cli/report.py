"""`nocere report`: write the report of a bundle again, or one that may leave the house."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from nocere.core.errors import UsageError
from nocere.core.files import private_folder


def report(
    bundle: Path,
    /,
    *,
    out: Path | None = None,
    share: Annotated[bool, Parameter(negative="")] = False,
    key: Path | None = None,
) -> int:
    """Write report.html and report.json of a finished audit.

    Parameters
    ----------
    bundle
        Folder that `nocere audit run` wrote.
    out
        Folder to write to; default is the bundle's own.
    share
        Leave pictures, case and patient ids and paths out, and keep the numbers.
    key
        With --share: a file with at least 16 secret bytes of your site; ids are replaced by keyed hashes, so that you
        can find a case again and nobody else can.
    """
    from nocere.audit.bundle import Bundle
    from nocere.report.html import write_report

    opened = Bundle(bundle)
    opened.verify()
    secret = None
    if key is not None and not share:
        raise UsageError("--key is for a report that may be shared.", "Add --share, or leave --key out.")
    if out is not None:
        private_folder(out)
    if share:
        if key is None:
            raise UsageError("--share needs the site's key.", "Give a file of at least 16 secret bytes with --key.")
        try:
            secret = key.read_bytes()
        except OSError as e:
            raise UsageError(f"Cannot read the key {key}: {e.strerror}.") from e
        if len(secret) < 16:
            raise UsageError(f"The key {key} has {len(secret)} bytes; at least 16 are needed.")
    for path in write_report(opened, share_key=secret, out=out):
        print(path)
    return 0
