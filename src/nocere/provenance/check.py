"""Check a whole site: the log's own fsck, then what its records say: authors, counters, checkpoints seen, vault."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nocere.core.errors import DataError, NocereError, UsageError, VerificationError
from nocere.provenance.capture import tiers
from nocere.provenance.fingerprint.tiers import Fingerprint
from nocere.provenance.keys import Keyring
from nocere.provenance.log.fsck import fsck
from nocere.provenance.log.log import Log
from nocere.provenance.log.store import DATABASE
from nocere.provenance.merkle import HashReader, root
from nocere.provenance.records import Record, parse
from nocere.provenance.site import LOG, PRIVATE, VAULT, Site, opened
from nocere.provenance.vault import Vault

Told = Callable[[str, int, int], None]


def check_site(folder: Path, told: Told) -> tuple[int, list[str]]:
    """Everything that is wrong with a site, a sentence each, and how many entries were checked.

    Args:
        folder: the site.
        told: progress: what, done, total.

    Raises:
        UsageError: there is no site.
    """
    if not (folder / LOG).is_dir() or not (folder / PRIVATE).is_dir():
        raise UsageError(f"There is no log in {folder}.", f"Make one: nocere log init {folder} --origin NAME")
    told("log", 0, 1)
    problems = fsck(folder / LOG, key=Site.log_keys(folder))
    if not (folder / LOG / DATABASE).is_file():
        problems.append(f"The log's database {folder / LOG / DATABASE} is missing: restore it (nocere log restore).")
    told("log", 1, 1)
    try:
        with Log.open(folder / LOG) as log:
            vault = Vault(folder / PRIVATE / VAULT)
            size = log.size
            hashes = log.published.hashes(size)
            audit = _Audit(vault, hashes)
            for index, entry in enumerate(log.entries(0, size)):
                problems += audit.entry(index, entry)
                if index % 256 == 0 or index + 1 == size:
                    told("records", index + 1, size)
            problems += audit.chains()
            vault.close()
    except NocereError as e:
        # The log's files do not even read: fsck has named them, unless it is the vault.
        return 0, problems or [e.message]
    return size, problems


class _Audit:
    """Replays the records in order."""

    def __init__(self, vault: Vault, hashes: HashReader) -> None:
        self.vault, self.hashes = vault, hashes
        self.ring = Keyring()
        # agent -> counter -> place in the log, hash, and what the record says is the hash of the one before.
        self.chain: dict[str, dict[int, tuple[int, str, str]]] = {}
        self.roots: dict[int, str] = {}

    def entry(self, index: int, entry: bytes) -> list[str]:
        """What is wrong with one entry."""
        try:
            record = parse(entry, index)
            self.ring.extend([(index, entry)], index + 1)
            if index:
                self.ring.author(record)
        except VerificationError as e:
            return [e.message]
        return [*self._order(record), *self._row(record)]

    def chains(self) -> list[str]:
        """Every agent's records follow on one another by counter and hash.

        Two processes of one agent may deliver in another order than they counted: the chain is what must be whole.
        """
        found = []
        for agent, records in self.chain.items():
            before = "0" * 64
            for n, counter in enumerate(sorted(records)):
                index, own, prev = records[counter]
                if (counter != n and counter - 1 not in records) or prev != before:
                    found.append(f"Record {index} does not follow on record {counter - 1} of {agent}: one is missing.")
                before = own
        return sorted(found)

    def _order(self, record: Record) -> list[str]:
        """The agent has no other record with this counter, and the checkpoint that it saw is one of this log's."""
        found = []
        agent, counter = str(record.body["agent"]), int(record.body["counter"])
        chain = self.chain.setdefault(agent, {})
        if counter in chain:
            found.append(f"Record {record.index} repeats counter {counter} of {agent}.")
        else:
            chain[counter] = (record.index, record.hash, str(record.body["prev"]))
        seen = record.body["seen"]
        size = int(seen["size"])
        if size <= record.index and size not in self.roots:
            self.roots[size] = root(size, self.hashes).hex()
        if size > record.index or self.roots[size] != seen["root"]:
            found.append(f"Record {record.index} names a checkpoint that this log never had.")
        return found

    def _row(self, record: Record) -> list[str]:
        """The vault's row, if it is there and was not erased, is what the log committed to."""
        row = self.vault.at(record.index)
        if row is None:
            return [f"The vault has no row of record {record.index}."]
        if row.entry != record.entry:
            return [f"The vault's copy of record {record.index} is not what the log holds."]
        if row.salt is None:
            return []
        try:
            clear = opened(record, row)
            if row.detail is not None and tiers(Fingerprint.from_json(row.detail)) != dict(clear):
                return [f"The vault's detail of record {record.index} is not what the log committed to."]
        except (VerificationError, DataError) as e:
            return [e.message]
        return []
