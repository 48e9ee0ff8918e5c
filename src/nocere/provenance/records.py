"""What an entry of the log says, and who says it: one line of canonical JSON, signed by its author as a note.

A record is a C2SP signed note whose text is one line of RFC 8785 JSON, so records and checkpoints share one signature
format and one parser. Nothing in a record can be traced to a patient without the vault: every digest of content is a
commitment under a salt of its own (design 0005).
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nocere.core.canonical import dumps
from nocere.core.errors import VerificationError
from nocere.provenance.log.note import SigningKey, Verifier, open_note, sign_note, split_note
from nocere.provenance.merkle import leaf_hash

VERSION = "nocere-record/1"
MAX_BYTES = 16_384
TYPES = ("capture", "amendment", "key", "recipe", "inference", "override", "bundle", "file", "heartbeat")
REASONS = ("merge", "rename", "deidentification", "correction")
_HEX = re.compile(r"[0-9a-f]{64}")
_HEADER = {"v": str, "type": str, "agent": str, "counter": int, "prev": str, "seen": dict, "clock": str}


@dataclass(frozen=True, slots=True)
class Record:
    """A parsed entry.

    Attributes:
        index: its place in the log.
        entry: the bytes in the log.
        body: v, type, agent, counter, prev (hash of the agent's record before), seen (size and root of the checkpoint
            that the agent knew), clock (what the agent's clock said, UTC), and the fields of its type.
    """

    index: int
    entry: bytes
    body: Mapping[str, Any]

    @property
    def type(self) -> str:
        return str(self.body["type"])

    @property
    def hash(self) -> str:
        """RFC 6962 leaf hash, hexadecimal: how later records name this one."""
        return leaf_hash(self.entry).hex()

    def signed_by(self, key: Verifier) -> bool:
        """Whether `key` signed this record, and is the agent that it names."""
        try:
            open_note(self.entry, [key])
        except VerificationError:
            return False
        return bool(key.name == self.body["agent"])


def salt_of(salt: bytes, name: str) -> bytes:
    """The salt of one tier or field: handing it over discloses that one and no other."""
    return hmac.digest(salt, name.encode(), "sha256")


def commitment(salt: bytes, name: str, value: str) -> str:
    """HMAC-SHA-256 of `value` under the salt of `name`, hexadecimal; without the salt it cannot be guessed."""
    return hmac.digest(salt_of(salt, name), value.encode(), "sha256").hex()


def header(kind: str, agent: str, counter: int, prev: str, seen: tuple[int, str], clock: datetime) -> dict[str, Any]:
    """The fields that every record has."""
    return {
        "v": VERSION,
        "type": kind,
        "agent": agent,
        "counter": counter,
        "prev": prev,
        "seen": {"size": seen[0], "root": seen[1]},
        "clock": clock.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def seal(body: Mapping[str, Any], key: SigningKey) -> bytes:
    """The signed entry of `body`."""
    return sign_note(dumps(body).decode() + "\n", [key]).encode()


def parse(entry: bytes, index: int) -> Record:
    """Read an entry without judging its signature.

    Raises:
        VerificationError: it is not a record of this version in its one canonical form.
    """

    def bad(why: str) -> VerificationError:
        return VerificationError(f"Entry {index} of the log is not a record: {why}.")

    if len(entry) > MAX_BYTES:
        raise bad("it is longer than a record can be")
    try:
        text, _ = split_note(entry)
        body = json.loads(text)
    except (VerificationError, ValueError, RecursionError):
        raise bad("it is no signed note of one line of JSON") from None
    if not isinstance(body, dict) or any(type(body.get(k)) is not t for k, t in _HEADER.items()):
        raise bad("a field of its header is missing or of the wrong type")
    if body["v"] != VERSION or body["type"] not in TYPES:
        raise bad("its version or type is unknown")
    try:
        canonical = dumps(body).decode() + "\n" == text
    except ValueError:
        canonical = False
    if not canonical:
        raise bad("its JSON is not canonical")
    seen = body["seen"]
    if type(seen.get("size")) is not int or not _HEX.fullmatch(str(seen.get("root"))):
        raise bad("the checkpoint that it saw is malformed")
    return Record(index, entry, body)
