"""Backup and restore of a site: log database and vault. Keys are never in a backup."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from nocere.core.errors import UsageError, VerificationError, WriteError
from nocere.core.files import private_folder
from nocere.provenance.log.backup import backup, restore
from nocere.provenance.log.log import Log
from nocere.provenance.log.store import DATABASE
from nocere.provenance.records import parse
from nocere.provenance.site import LOG, PRIVATE, VAULT, Site
from nocere.provenance.vault import Row, Vault


def backup_site(folder: Path, to: Path) -> int:
    """Copy log and vault into a new folder, consistent while others write; the number of entries.

    Raises:
        UsageError: there is no site, or the folder holds something.
        WriteError: it cannot be written; nothing is left under the name `to`.
    """
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UsageError(f"{to} exists and is not an empty folder.", "Choose another folder for the backup.")
    with Log.open(folder / LOG) as log:
        size = log.size
    building = to.with_name(f".tmp-{to.name}")
    shutil.rmtree(building, ignore_errors=True)
    try:
        private_folder(building)
        # The vault first: it then holds nothing that the log's copy lacks, but for what waits for delivery.
        vault = Vault(folder / PRIVATE / VAULT)
        vault.copy_to(building / VAULT)
        vault.close()
        backup(folder / LOG, building / DATABASE)
        building.replace(to)
    except sqlite3.Error as e:
        raise WriteError(f"Cannot write the backup {to}: {e}.", "Free some space, or choose another place.") from e
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return size


def restore_site(copy: Path, folder: Path) -> int:
    """Put back what is lost of a site: its log database, its vault, or both; the number of entries.

    A database behind what the key has signed is brought forward from the published tiles; if that cannot be done the
    log stays closed for writing. Secrets of records that came after the backup are lost, the records are not.

    Raises:
        UsageError: no backup, or neither part is lost.
        VerificationError: the log would fork; it can be read, not written.
    """
    if not (copy / DATABASE).is_file() or not (copy / VAULT).is_file():
        raise UsageError(f"{copy} is no backup of a site.", "Give a folder made by `nocere log backup`.")
    vault_path = folder / PRIVATE / VAULT
    lost_log, lost_vault = not (folder / LOG / DATABASE).exists(), not vault_path.exists()
    if not lost_log and not lost_vault:
        raise UsageError(
            f"Neither the log database nor the vault of {folder} is missing.",
            "Move away what is to be replaced; fsck says whether it needs to be.",
        )
    if lost_vault:
        source = Vault(copy / VAULT)
        source.copy_to(vault_path)
        source.close()
    if lost_log:
        restore(copy / DATABASE, folder / LOG, Site.log_keys(folder), _key_of)
    with Log.open(folder / LOG) as log, closing(Vault(vault_path)) as vault:
        _catch_up(log, vault)
        return log.size


def _key_of(entry: bytes) -> str | None:
    """The name under which a site appends a record."""
    try:
        body = parse(entry, 0).body
    except VerificationError:
        return None
    return f"{body['agent']}/{body['counter']}"


def _catch_up(log: Log, vault: Vault) -> None:
    """Give the vault a row, without secrets, of every record that it does not know."""
    for index, entry in enumerate(log.entries()):
        if vault.at(index) is None:
            record = parse(entry, index)
            body = record.body
            row = Row(body["agent"], body["counter"], None, record.type, entry, record.hash)
            with vault.writing():
                if not vault.has(row.agent, row.counter):
                    vault.stage([row])
            vault.delivered({(row.agent, row.counter): index})
