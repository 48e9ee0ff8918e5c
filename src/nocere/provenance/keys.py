"""Who may write what: keys are enrolled and revoked by records, and judged by place in the log, never by a clock.

Entry 0 enrols the registrar with its own key and is the root of trust beside the key of the log. A key is good for the
entries after the one that enrols it and before the one that revokes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from nocere.core.errors import UsageError, VerificationError
from nocere.provenance.log.note import Verifier
from nocere.provenance.records import Record, parse

ROLES = {
    "registrar": "enrols and revokes keys, registers recipes",
    "capture": "fingerprints at the moment of capture",
    "amend": "records authorised changes: patient merge, rename, de-identification, correction",
    "gate": "checks inputs before the model and logs what it was shown",
    "audit": "appends audit bundles and files",
}
WRITES = {
    "capture": ("capture",),
    "amendment": ("amend",),
    "key": ("registrar",),
    "recipe": ("registrar",),
    "inference": ("gate",),
    "override": ("gate",),
    "bundle": ("audit",),
    "file": ("audit",),
    "heartbeat": ("capture", "gate", "amend", "audit"),
}
MARK = b'"type":"key"'


@dataclass(slots=True)
class Key:
    """One enrolled key: good for entries after `enrolled` and before `revoked`."""

    verifier: Verifier
    role: str
    enrolled: int
    revoked: int | None = None

    def good_at(self, index: int) -> bool:
        return self.enrolled < index and (self.revoked is None or index < self.revoked)


@dataclass(slots=True)
class Keyring:
    """The keys of a log, as its key records up to `size` say."""

    keys: list[Key] = field(default_factory=list)
    size: int = 0

    def extend(self, entries: Iterable[tuple[int, bytes]], size: int) -> None:
        """Take in the key records among `entries` (any order of types, ascending index) up to `size`.

        Raises:
            VerificationError: a key record was not written by a registrar in office, or is malformed.
        """
        for index, entry in entries:
            if MARK in entry:
                self._take(parse(entry, index))
        self.size = size

    def _take(self, record: Record) -> None:
        if record.type != "key":
            return
        try:
            action, role = record.body["action"], record.body["role"]
            verifier = Verifier.parse(record.body["vkey"])
        except (KeyError, TypeError, UsageError, AttributeError):
            raise VerificationError(f"Key record {record.index} is malformed.") from None
        if record.index == 0:
            if (action, role) != ("enrol", "registrar") or not record.signed_by(verifier):
                raise VerificationError("Entry 0 does not enrol a registrar with its own key.")
            self.keys.append(Key(verifier, role, -1))
            return
        self.author(record)
        if action == "enrol" and role in ROLES:
            self.keys.append(Key(verifier, role, record.index))
        elif action == "revoke":
            for key in self.keys:
                if key.verifier == verifier and key.revoked is None:
                    key.revoked = record.index
        elif action != "log-key":
            raise VerificationError(f"Key record {record.index} has an unknown action or role.")

    def author(self, record: Record) -> Key:
        """The key that signed `record`, in office at its index and in a role that may write it.

        Raises:
            VerificationError: there is none; the sentence says why.
        """
        name = str(record.body["agent"])
        mine = [k for k in self.keys if k.verifier.name == name and record.signed_by(k.verifier)]
        if not mine:
            raise VerificationError(f"Record {record.index} is not signed by a key that is enrolled for {name}.")
        in_office = [k for k in mine if k.good_at(record.index)]
        if not in_office:
            if any(k.revoked is not None and k.revoked <= record.index for k in mine):
                revoked = max(k.revoked for k in mine if k.revoked is not None)
                raise VerificationError(f"Record {record.index} is signed by a key that entry {revoked} revoked.")
            raise VerificationError(f"Record {record.index} is signed by a key that was enrolled only later.")
        allowed = [k for k in in_office if k.role in WRITES[record.type]]
        if not allowed:
            raise VerificationError(f"Record {record.index}: {name} may not write records of type {record.type}.")
        return allowed[0]
