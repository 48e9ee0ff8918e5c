"""Writing results: into a temporary file, then renamed, so that a name never stands for half a file."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from nocere.core.errors import WriteError


def private_folder(path: Path) -> Path:
    """Make `path` and its parents; the folder itself is readable by its owner only (it may hold patient data).

    Raises:
        WriteError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o700)
    except OSError as e:
        raise WriteError(f"Cannot make the folder {path}: {e.strerror}.", "Choose another place to write to.") from e
    return path


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` under its final name in one step (temporary file, fsync, rename).

    Raises:
        WriteError: no permission, disk full, or any other refusal; the former content stays.
    """
    name = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".tmp-", delete=False) as f:
            name = f.name
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        Path(name).replace(path)
    except OSError as e:
        if name is not None:
            Path(name).unlink(missing_ok=True)
        hint = "Free some space and run the same command again: it goes on where it stopped."
        if e.errno != errno.ENOSPC:
            hint = "Check the permissions of the folder, or choose another place to write to."
        raise WriteError(f"Cannot write {path}: {e.strerror}.", hint) from e


def clean_temporary(folder: Path) -> None:
    """Remove what a killed run left half written."""
    for left in folder.rglob(".tmp-*"):
        left.unlink(missing_ok=True)
