"""One site: its log, its keys, its vault. Everything that writes a record goes through here.

    SITE/log/       the log; `log/public/` may be given to anybody
    SITE/private/   keys, what the log key remembers, the vault: for the owner only, and backed up with care

A record is signed and stored in the vault before it is sent to the log (see `vault`), so a log that is down, full or
killed delays a record and never loses one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from nocere.core.errors import DataError, UsageError, VerificationError
from nocere.core.files import private_folder, write_atomic
from nocere.provenance.keys import MARK, ROLES, Keyring
from nocere.provenance.log.log import Log
from nocere.provenance.log.note import SigningKey
from nocere.provenance.log.sequencer import Receipt
from nocere.provenance.log.tiles import WIDTH
from nocere.provenance.merkle import leaf_hash
from nocere.provenance.records import Record, commitment, header, parse, seal
from nocere.provenance.vault import Row, Vault

LOG, PRIVATE, VAULT, LOG_KEY, SITE_KEY, AGENTS = "log", "private", "vault.sqlite", "log.key", "site.key", "agents"
CACHED = 1 << 16  # entries, about 64 MB
CLOCK_TOLERANCE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Draft:
    """A record to be written: its type, its public fields, and the secrets that go to the vault."""

    type: str
    fields: Mapping[str, Any]
    salt: bytes | None = None
    clear: Mapping[str, str] | None = None
    finds: Mapping[str, str] = field(default_factory=dict)
    detail: str | None = None
    label: str = ""

    @classmethod
    def committed(cls, type: str, fields: Mapping[str, Any], clear: Mapping[str, str], **more: Any) -> Draft:
        """A draft whose `fields` get a commitment for every entry of `clear`, under a fresh salt."""
        salt = os.urandom(32)
        public = {**fields, "commitments": {name: commitment(salt, name, value) for name, value in clear.items()}}
        return cls(type, public, salt, clear, **more)


class Site:
    """An open site.

    Attributes:
        clock: gives the time that records claim; a claim only, never used to judge validity.
    """

    def __init__(self, folder: Path, log: Log, vault: Vault) -> None:
        """Use `Site.create` or `Site.open`."""
        self.folder, self.log, self.vault = folder, log, vault
        self.clock: Callable[[], datetime] = lambda: datetime.now(UTC)
        self._ring: Keyring | None = None
        self._entries: dict[int, bytes] = {}

    # --- making and opening -------------------------------------------------------------------------------------

    @classmethod
    def create(cls, folder: Path, origin: str) -> Self:
        """A new site with one agent for every role; the only way in which a log comes into being.

        Args:
            folder: new or empty.
            origin: name of the log for ever, a URL without scheme such as `log.hospital.example/2026`.

        Raises:
            UsageError: something is in the way, or the origin cannot name a log.
            WriteError: the system refuses; nothing half made is left under `folder`.
        """
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{folder} exists and is not an empty folder.", "Choose another folder for the site.")
        private_folder(folder.absolute().parent) if not folder.absolute().parent.exists() else None
        building = folder.with_name(f".tmp-{folder.name}-{os.getpid()}")
        try:
            private_folder(building)
            private_folder(building / PRIVATE / AGENTS)
            private_folder(building / PRIVATE)
            write_atomic(building / PRIVATE / SITE_KEY, os.urandom(32))
            vault = Vault.create(building / PRIVATE / VAULT)
            log = Log.create(building / LOG, origin, building / PRIVATE / LOG_KEY)
            site = cls(building, log, vault)
            for role in ROLES:
                site.enrol(role, role)
            site.close()
            building.replace(folder)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open a site for writing, and deliver what an interrupted command left in the outbox.

        Raises:
            UsageError: there is no site here; one is never made by opening.
            VerificationError: log, key and published files disagree.
        """
        if not (folder / LOG).is_dir() or not (folder / PRIVATE).is_dir():
            raise UsageError(
                f"There is no log in {folder}.",
                f"Correct the path, or make one: nocere log init {folder} --origin NAME",
            )
        log = Log.open(folder / LOG, cls.log_keys(folder))
        site = cls(folder, log, Vault(folder / PRIVATE / VAULT))
        site.deliver()
        return site

    def close(self) -> None:
        """Close log and vault."""
        self.log.close()
        self.vault.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- keys ---------------------------------------------------------------------------------------------------

    @property
    def site_key(self) -> bytes:
        """The key of identity fields (F4).

        Raises:
            DataError: the file is missing or no key.
        """
        path = self.folder / PRIVATE / SITE_KEY
        if not path.is_file() or len(key := path.read_bytes()) != 32:
            raise DataError(f"The site key {path} is missing or damaged.", "Restore it from its backup.")
        return key

    def key(self, agent: str) -> SigningKey:
        """The signing key of an agent.

        Raises:
            UsageError: no such agent here.
            DataError: its key file is damaged.
        """
        path = self.folder / PRIVATE / AGENTS / f"{agent}.key"
        if not path.is_file():
            known = ", ".join(sorted(p.stem for p in path.parent.glob("*.key")))
            raise UsageError(f"This site holds no key of an agent {agent!r}.", f"Known here: {known}.")
        return SigningKey.parse(path.read_text())

    def enrol(self, agent: str, role: str) -> int:
        """Make and enrol a key for an agent; a key that it had is revoked right after. Returns the record's index.

        Raises:
            UsageError: unknown role, or a name that cannot be one.
        """
        if role not in ROLES:
            raise UsageError(f"Unknown role {role!r}.", f"Roles: {', '.join(ROLES)}.")
        if "/" in agent or agent.startswith("."):
            raise UsageError(f"{agent!r} cannot name an agent.", "Use letters, digits and dashes.")
        former = [k for k in self.ring().keys if k.verifier.name == agent and k.revoked is None]
        key = SigningKey.generate(agent)
        path = self.folder / PRIVATE / AGENTS / f"{agent}.key"
        fields = {"action": "enrol", "role": role, "vkey": key.verifier.vkey}
        if role == "registrar" and not self.log.size:
            write_atomic(path, key.text.encode())
        (index,) = self.write("registrar", [Draft("key", fields)])
        write_atomic(path, key.text.encode())
        for k in former:
            self.write("registrar", [Draft("key", {"action": "revoke", "role": k.role, "vkey": k.verifier.vkey})])
        return index

    def revoke(self, agent: str) -> list[int]:
        """Revoke every key of an agent from the next entry on; what it signed before stays valid.

        Raises:
            UsageError: it has none in office.
        """
        keys = [k for k in self.ring().keys if k.verifier.name == agent and k.revoked is None]
        if not keys:
            raise UsageError(f"No key of {agent!r} is in office.", "Nothing was revoked.")
        drafts = [Draft("key", {"action": "revoke", "role": k.role, "vkey": k.verifier.vkey}) for k in keys]
        return self.write("registrar", drafts)

    def rotate(self) -> str:
        """Give the log a new key; old and new sign together until `retire`. Returns the new verifier key."""
        number = len(list((self.folder / PRIVATE).glob("log*"))) + 1
        self.log.rotate(self.folder / PRIVATE / f"log-{number}.key")
        vkey = self.log.vkey
        self.write("registrar", [Draft("key", {"action": "log-key", "role": "log", "vkey": vkey})])
        return vkey

    def retire(self) -> None:
        """End the overlap after `rotate`: the oldest log key signs no more.

        Raises:
            UsageError: there is one key only.
        """
        self.log.retire()
        oldest = self.log_keys(self.folder)[0]
        oldest.replace(oldest.with_suffix(".retired"))

    @staticmethod
    def log_keys(folder: Path) -> list[Path]:
        """Key files of the log that is in `folder`, oldest first."""
        return sorted((folder / PRIVATE).glob("log*.key"), key=lambda p: (len(p.name), p.name))

    def ring(self, upto: int | None = None) -> Keyring:
        """The keys as the log has them at size `upto`, or now; only entries that came since the last call are read.

        A later revocation takes nothing from a record, so a record at index i needs no more than i + 1 entries.

        Raises:
            VerificationError: a key record is not what it should be.
        """
        if self._ring is None:
            scanned, known = self.vault.key_records()
            self._ring = Keyring()
            self._ring.extend(known, scanned)
        if upto is None or self._ring.size < upto:
            start, size = self._ring.size, self.log.size
            found = [(i, e) for i, e in enumerate(self.log.entries(start, size), start) if MARK in e]
            self._ring.extend(found, size)
            self.vault.scanned(size, found)
        return self._ring

    # --- writing ------------------------------------------------------------------------------------------------

    def write(self, agent: str, drafts: Sequence[Draft]) -> list[int]:
        """Sign, store and append records; their places in the log, durable and published.

        Raises:
            UsageError: this site holds no key of that agent.
            WriteError: vault or log cannot be written. What the vault holds is delivered by the next command.
        """
        key = self.key(agent)
        head = self.log.head()
        seen, now = (head.size, head.root.hex()), self.clock()
        staged: list[Row] = []
        with self.vault.writing():
            counter, prev = self.vault.last(agent)
            for d in drafts:
                counter += 1
                entry = seal({**header(d.type, agent, counter, prev, seen, now), **d.fields}, key)
                prev = leaf_hash(entry).hex()
                staged.append(
                    Row(agent, counter, None, d.type, entry, prev, d.salt, d.clear, d.finds, d.detail, d.label)
                )  # fmt: skip
            self.vault.stage(staged)
        places = {(r.agent, r.counter): p.index for r, p in self._append(staged)}
        self.vault.delivered(places)
        return [places[r.agent, r.counter] for r in staged]

    def deliver(self) -> int:
        """Send what waits in the outbox to the log; a record that is there already is not added again."""
        waiting = self.vault.waiting()
        if waiting:
            self.vault.delivered({(r.agent, r.counter): p.index for r, p in self._append(waiting)})
        return len(waiting)

    def _append(self, rows: Sequence[Row]) -> list[tuple[Row, Receipt]]:
        receipts = self.log.append([r.entry for r in rows], [f"{r.agent}/{r.counter}" for r in rows])
        return list(zip(rows, receipts, strict=True))

    def erase(self, index: int) -> list[int]:
        """Forget the secrets of a record, and of every record about it; the places of all that were erased.

        An inference record of a file holds that file's hash: erasing the capture alone would leave it to be found.

        Raises:
            UsageError: the vault holds no secrets of that record.
        """
        about = [("inference", f"input:{index}"), ("amendment", f"of:{index}")]
        rows = [r for kind, name in about for r in self.vault.find(name, "1", kind, limit=-1)]
        also = sorted(r.index for r in rows if r.index is not None and r.salt is not None)
        self.vault.erase(index)
        for other in also:
            self.vault.erase(other)
        return [index, *also]

    def clock_problem(self) -> str:
        """One sentence if the clock here is behind what the newest record claims, else empty."""
        size = self.log.size
        if not size:
            return ""
        newest = datetime.strptime(self.record(size - 1).body["clock"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        behind = newest - self.clock()
        if behind <= CLOCK_TOLERANCE:
            return ""
        return (
            f"The clock of this machine is {behind.total_seconds() / 60:.0f} minutes behind the newest record of "
            "the log: set the clock; the order in the log, not the clock, is what counts as evidence."
        )

    # --- reading ------------------------------------------------------------------------------------------------

    def record(self, index: int) -> Record:
        """A record of the log, checked against the published checkpoint; its author is not judged here.

        Raises:
            UsageError: there is no such entry.
            VerificationError: the log's files do not verify, or the entry is no record.
        """
        if index not in self._entries:
            # A whole bundle is checked for one entry of it; what was checked once cannot change.
            first = index - index % WIDTH
            stop = min(first + WIDTH, self.log.size)
            if not 0 <= index < stop:
                raise UsageError(f"There is no entry {index} in a log of {stop} entries.", "Entries count from 0.")
            if len(self._entries) > CACHED:
                self._entries.clear()
            self._entries.update(enumerate(self.log.entries(first, stop), first))
        return parse(self._entries[index], index)

    def verified(self, index: int) -> Record:
        """A record that is in the log and was written by a key in office in a role that may.

        Raises:
            VerificationError: it does not verify; the sentence says why.
        """
        record = self.record(index)
        self.ring(index + 1).author(record)
        return record


def opened(record: Record, row: Row) -> Mapping[str, str]:
    """The clear values of a vault row, after checking every one of them against the record's commitments.

    Raises:
        VerificationError: the row was erased, or says other than the log.
    """
    if row.salt is None or row.clear is None:
        raise VerificationError(f"The secrets of record {record.index} were erased: it cannot be compared any more.")
    commitments = record.body.get("commitments")
    if not isinstance(commitments, dict) or set(commitments) != set(row.clear):
        raise VerificationError(f"The vault's row of record {record.index} does not belong to that record.")
    for name, value in row.clear.items():
        if commitment(row.salt, name, value) != commitments[name]:
            raise VerificationError(f"The vault's {name} of record {record.index} is not what the log committed to.")
    return row.clear
