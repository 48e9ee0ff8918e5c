"""Backup and restore: one SQLite file, and no way to a second history.

A restored backup is older than what the key has signed, if the log went on. It is brought forward from the published
tiles, entry by entry, each checked against the signed checkpoint. If they are lost too, the log can be read and not
appended to: begin another one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from nocere.core.errors import NocereError, UsageError, VerificationError
from nocere.provenance.log.disk import ASIDE, make_folder, sync_folders, write_error
from nocere.provenance.log.fsck import check_database
from nocere.provenance.log.log import Log
from nocere.provenance.log.note import open_note
from nocere.provenance.log.published import FOLDER, Published
from nocere.provenance.log.sequencer import Sequencer
from nocere.provenance.log.signer import Signer
from nocere.provenance.log.store import DATABASE, Head, Store
from nocere.provenance.log.tiles import WIDTH, changed, grow
from nocere.provenance.merkle import leaf_hash, root


def backup(folder: Path, dest: Path) -> None:
    """Copy the log's database into the new file `dest` (mode 0600), consistent even while others write.

    The key and its memory are not in it; keep a copy of the key apart, and never put back an old memory.

    Raises:
        UsageError: there is no log, or `dest` exists.
        WriteError: the system refuses; nothing is left under the name `dest`.
    """
    if dest.exists():
        raise UsageError(f"{dest} exists already.", "Give the backup a name of its own.")
    with closing(Store(folder / DATABASE, read_only=True)) as store:
        _place(store, dest)


def restore(
    source: Path, folder: Path, key: Path | Sequence[Path], key_of: Callable[[bytes], str | None] | None = None
) -> int:
    """Put a backup in the place of a lost database, and bring it forward from `folder/public` if that is left.

    Args:
        source: what `backup` wrote.
        folder: the log's folder; holds no database, perhaps the published files.
        key: the log's present key file, or all of them, oldest first.
        key_of: gives the idempotency key of an entry. Tiles hold none, so without it a repeated call may append an
            entry again that came in after the backup.

    Returns:
        Number of entries brought forward.

    Raises:
        UsageError: there is a database already, the backup is no log, or the key is another log's.
        VerificationError: backup and published files disagree (nothing is put in place); or the key has signed more
            than is left (the log is in place, for reading only).
        WriteError: the system refuses.
    """
    target = folder / DATABASE
    for taken in (target, target.with_name(target.name + "-wal")):  # SQLite would play a foreign write-ahead log
        if taken.exists():
            raise UsageError(f"There is {taken} already.", "Move it away if it is to be replaced.")
    signers = [Signer(path) for path in ([key] if isinstance(key, Path) else key)]
    published = Published(folder / FOLDER)
    make_folder(folder)
    aside = target.with_name(target.name + ASIDE)
    aside.unlink(missing_ok=True)
    with closing(Store(source, read_only=True)) as store:
        _check(store, signers)
        _place(store, aside)
    try:
        with closing(Store(aside)) as store:
            before = store.head().checkpoint.size
            _bring_forward(store, published, signers, key_of)
            head = store.head()
        aside.rename(target)
        sync_folders([folder])
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    try:
        Log.open(folder, key).close()
    except VerificationError as e:
        with closing(Store(target)) as store:
            Sequencer(store, published, signers).publish(head)
        raise VerificationError(f"The log is restored for reading only. {e.message}", e.hint) from e
    return head.checkpoint.size - before


def _place(store: Store, path: Path) -> None:
    """A durable copy of the database under its final name in one step."""
    aside = path.with_name(path.name + ".copy")
    try:
        aside.unlink(missing_ok=True)
        aside.touch(mode=0o600)
        store.copy_to(aside)
        handle = os.open(aside, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        aside.replace(path)
    except OSError as e:
        raise write_error(path, e) from e
    finally:
        aside.unlink(missing_ok=True)
    sync_folders([path.parent])


def _check(store: Store, signers: Sequence[Signer]) -> None:
    """Refuse a backup that is damaged, changed or another log's."""
    problems: list[str] = []
    try:
        check_database(store.path, None, [], problems)
    except NocereError as e:
        problems.append(e.message)
    if problems:
        raise VerificationError(f"The backup is damaged: {problems[0]}", "Use another backup.")
    head = store.head()
    for signer in signers:
        if signer.verifier.name != head.checkpoint.origin:
            raise UsageError(
                f"The key {signer.path} is of the log {signer.verifier.name!r}, the backup of "
                f"{head.checkpoint.origin!r}.", "Give the key of that log.",
            )  # fmt: skip


def _bring_forward(
    store: Store, published: Published, signers: Sequence[Signer], key_of: Callable[[bytes], str | None] | None
) -> None:
    """Append what was published after the backup, under the checkpoint that was published with it."""
    if published.note() is None:
        return
    verifiers = [signer.verifier for signer in signers]
    out, note = published.checkpoint(verifiers)
    head = store.head()
    size = head.checkpoint.size
    if out.size < size:
        return
    if set(open_note(note, verifiers).signers) != set(verifiers):
        raise VerificationError("Not all of the keys have signed the published checkpoint.", "Give those that have.")
    if root(size, published.hashes(out.size)) != head.checkpoint.root:
        raise VerificationError(
            f"The published log does not extend the backup of {size} entries.",
            "One of them was changed, or is of another log. Run fsck on both.",
        )
    with store.transaction():
        for n, _ in changed(size, out.size):
            entries = published.checked_bundle(n, out)[max(0, size - n * WIDTH) :]
            keys = [(key_of(entry) if key_of else None) for entry in entries]
            known = {key: size + i for i, key in enumerate(keys) if key is not None and store.find(key) is None}
            store.add(size, entries, known)
            store.put_tiles(grow(size, [leaf_hash(entry) for entry in entries], store.tile))
            size += len(entries)
        store.advance(head, Head(out, note, tuple(verifier.vkey for verifier in verifiers)))
