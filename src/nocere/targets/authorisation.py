"""What the owner of a served model allows, signed: the only way in which a model on another machine is asked.

The owner signs a JSON file with an Ed25519 key (RFC 8032) over its canonical form (RFC 8785). Whoever audits names the
owner's public key, got from the owner by another way; the key in the file only says which one signed. The file is sent
along with every request, and is stored in the audit.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from nocere.core.canonical import dumps
from nocere.core.errors import TargetError

CONTEXT = b"nocere owner authorisation v1\n"
HEADER = "Nocere-Authorisation"


@dataclass(frozen=True, slots=True)
class Authorisation:
    """An owner's permission to audit one served model.

    Args:
        owner: who gives it.
        url: scheme, host and port, such as "https://models.hospital.example:8443".
        model: name of the model on that server.
        scope: what for, in words.
        until: ISO 8601 instant with a zone, after which nothing is asked.
        queries: rows that may be asked, over all runs.
        key: Ed25519 public key that signed, 64 hexadecimal digits.
        signature: over the other fields, base64.
    """

    owner: str
    url: str
    model: str
    scope: str
    until: str
    queries: int
    key: str = ""
    signature: str = ""

    def signed(self, private: Ed25519PrivateKey) -> Authorisation:
        """The same, signed."""
        made = replace(self, key=private.public_key().public_bytes_raw().hex(), signature="")
        return replace(made, signature=base64.b64encode(private.sign(made.message)).decode())

    @property
    def message(self) -> bytes:
        """What is signed."""
        return CONTEXT + dumps({k: v for k, v in self.to_json().items() if k != "signature"})

    def to_json(self) -> dict[str, Any]:
        """Plain form, as in the file and in the audit."""
        return {k: getattr(self, k) for k in self.__dataclass_fields__}

    @property
    def header(self) -> str:
        """Value of the request header."""
        return base64.urlsafe_b64encode(dumps(self.to_json())).decode()

    def check(self, owner: Ed25519PublicKey, url: str, model: str, now: datetime) -> None:
        """Refuse what this does not allow.

        Raises:
            TargetError: signed by another key or changed since, for another server or model, or expired.
        """
        try:
            owner.verify(base64.b64decode(self.signature, validate=True), self.message)
        except (InvalidSignature, binascii.Error) as e:
            raise TargetError(
                f"The authorisation of {self.owner} for {self.url} is not signed by the owner's key, or was changed.",
                "Ask the owner for a new one (`nocere authorise`), and for the public key that belongs to it.",
            ) from e
        if (self.url, self.model) != (url, model):
            raise TargetError(
                f"The authorisation of {self.owner} is for the model {self.model!r} at {self.url}, "
                f"not for {model!r} at {url}."
            )
        self.check_time(now)

    def check_time(self, now: datetime) -> None:
        """Refuse an expired one.

        Raises:
            TargetError: it is.
        """
        if now >= instant(self.until):
            raise TargetError(f"The authorisation of {self.owner} for {self.url} expired at {self.until}.")


def instant(text: str) -> datetime:
    """An ISO 8601 date (its end, in UTC) or instant with a zone.

    Raises:
        TargetError: it is neither.
    """
    try:
        at = datetime.fromisoformat(text)
    except (ValueError, TypeError) as e:
        raise TargetError(f"{text!r} is no date or time.", "Write 2026-12-31 or 2026-12-31T17:00:00+01:00.") from e
    if len(text) == len("2026-12-31"):
        return at.replace(hour=23, minute=59, second=59, tzinfo=UTC)
    if at.tzinfo is None:
        raise TargetError(f"The time {text!r} has no zone.", "Add Z or an offset such as +01:00.")
    return at


def read_authorisation(path: Path) -> Authorisation:
    """An authorisation as `nocere authorise` writes it; nothing of it is trusted yet.

    Raises:
        TargetError: missing, or not such a file.
    """
    try:
        data = json.loads(path.read_bytes())
        made = Authorisation(**data)
        whole = all(isinstance(getattr(made, k), int if k == "queries" else str) for k in made.__dataclass_fields__)
    except OSError as e:
        raise TargetError(f"The authorisation {path} cannot be read: {e.strerror}.") from e
    except (ValueError, TypeError) as e:
        raise TargetError(f"{path} is not an authorisation.", "Ask the owner for one (`nocere authorise`).") from e
    if not whole:
        raise TargetError(f"{path} is not an authorisation: a field is of the wrong kind.")
    return made


def read_public(path: Path) -> Ed25519PublicKey:
    """An Ed25519 public key in PEM.

    Raises:
        TargetError: missing, or another kind of key.
    """
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as e:
        raise TargetError(f"{path} is not a public key in PEM.") from e
    if not isinstance(key, Ed25519PublicKey):
        raise TargetError(f"{path} is a public key of another kind than Ed25519.")
    return key


def read_private(path: Path) -> Ed25519PrivateKey:
    """An Ed25519 private key in PEM, without a password.

    Raises:
        TargetError: missing, protected, or another kind of key.
    """
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as e:
        raise TargetError(f"{path} is not a private key in PEM without a password.") from e
    if not isinstance(key, Ed25519PrivateKey):
        raise TargetError(f"{path} is a private key of another kind than Ed25519.")
    return key


class Count:
    """Rows asked so far, up to a cap; with a file, over all processes and runs that use it."""

    def __init__(self, cap: int | None, path: Path | None, what: str) -> None:
        self.cap, self.path, self.what = cap, path, what
        self.asked = 0

    def take(self, n: int) -> None:
        """Count n rows before they are asked.

        Raises:
            TargetError: they would be more than the cap.
        """
        with self._shared() as held:
            asked = self.asked if held is None else int(held.read().strip() or b"0")
            if self.cap is not None and asked + n > self.cap:
                raise TargetError(f"{self.what} allows {self.cap} queries; {asked} are used, and {n} more are asked.")
            self.asked = asked + n
            if held is not None:
                held.seek(0)
                held.write(str(self.asked).encode())
                held.truncate()

    @contextlib.contextmanager
    def _shared(self) -> Iterator[Any]:
        if self.path is None:
            yield None
            return
        import fcntl

        try:
            with os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as f:
                fcntl.flock(f, fcntl.LOCK_EX)
                yield f
        except (OSError, ValueError) as e:
            raise TargetError(f"Queries cannot be counted in {self.path}: {e}.") from e
