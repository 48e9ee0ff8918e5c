"""Files that are still there after a power cut: written aside, synced, renamed, and the folder synced."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from nocere.core.errors import WriteError

ASIDE = ".new"


def write_error(path: Path, error: OSError) -> WriteError:
    """The error to show for a file that the system would not write."""
    hint = "Check the permissions of the folder and the health of the disk, then run the same command again."
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "Free some space and run the same command again: nothing that was receipted is lost."
    return WriteError(f"Cannot write {path}: {error.strerror}.", hint)


def replace(path: Path, data: bytes) -> None:
    """Write `data` under its final name in one step, readable by its owner only; the name still needs `sync_folders`.

    The caller holds the log's lock, so the name aside is free; what a killed run left under it is overwritten.

    Raises:
        WriteError: refused; the former content stays.
    """
    aside = path.with_name(path.name + ASIDE)
    try:
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        aside.replace(path)
    except OSError as e:
        raise write_error(path, e) from e


def sync_folders(folders: Iterable[Path]) -> None:
    """Make the names in these folders durable.

    Raises:
        WriteError: refused.
    """
    for folder in sorted(set(folders)):
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as e:
            raise write_error(folder, e) from e


def make_folder(path: Path) -> None:
    """Make `path` and its parents, for the owner only, with durable names.

    Raises:
        WriteError: refused.
    """
    missing = [p for p in (path, *path.parents) if not p.exists()]
    try:
        for folder in reversed(missing):
            folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as e:
        raise write_error(path, e) from e
    sync_folders(folder.parent for folder in missing)


def write_durably(path: Path, data: bytes) -> None:
    """`replace`, and the name made durable too.

    Raises:
        WriteError: refused; the former content stays, or the new one is there and may not survive a power cut.
    """
    replace(path, data)
    sync_folders([path.parent])
