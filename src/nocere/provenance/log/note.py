"""Signed notes: text with Ed25519 signature lines, verifier keys and private key files.

Source: C2SP signed-note; the private key file is the one of Go's golang.org/x/mod/sumdb/note. Only signature type 0x01
(Ed25519 over the text) is known here; a signature by any other key is ignored, as the specification asks.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from nocere.core.errors import DataError, UsageError, VerificationError

MAX_BYTES = 1_000_000
MAX_SIGNATURES = 100
ED25519 = b"\x01"
_PREFIX = "— "
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_KEY_ID = re.compile(r"[0-9a-f]{8}")


def b64(data: bytes) -> str:
    """Standard base64 with padding (RFC 4648 section 4)."""
    return base64.b64encode(data).decode("ascii")


def unb64(text: str) -> bytes | None:
    """Bytes of strict base64: padded, nothing else in it, unused bits zero; None if it is not.

    Being strict leaves one spelling of each signature and hash, so that no changed file is taken for the same.
    """
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    return data if b64(data) == text else None


def valid_name(name: str) -> bool:
    """Whether `name` can name a key: not empty, no Unicode space, no plus, no control character, no surrogate."""
    return bool(name) and not any(c.isspace() or c == "+" or c < " " or "\ud800" <= c <= "\udfff" for c in name)


def key_id(name: str, public: bytes) -> bytes:
    """Four bytes that tell keys of one name apart: SHA-256(name || LF || 0x01 || key)[:4]."""
    return hashlib.sha256(name.encode() + b"\n" + ED25519 + public).digest()[:4]


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key with its name, as written in a verifier key (vkey)."""

    name: str
    public: bytes
    id: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", key_id(self.name, self.public))

    @classmethod
    def parse(cls, vkey: str) -> Self:
        """Read `name+hex+base64`.

        Raises:
            UsageError: it is not an Ed25519 verifier key; the sentence says why.
        """
        hint = "A verifier key reads name+8 hex digits+base64; copy it whole from the operator of the log."
        name, _, rest = vkey.partition("+")
        written, _, encoded = rest.partition("+")
        data = unb64(encoded)
        if not valid_name(name) or not _KEY_ID.fullmatch(written) or not data:
            raise UsageError("The verifier key is malformed.", hint)
        if data[:1] != ED25519 or len(data) != 33:
            raise UsageError("The verifier key is not an Ed25519 key (type 0x01, 32 bytes).", hint)
        verifier = cls(name, data[1:])
        if verifier.id.hex() != written:
            raise UsageError("The verifier key does not match the key id written in it.", hint)
        return verifier

    @property
    def vkey(self) -> str:
        """The verifier key as text."""
        return f"{self.name}+{self.id.hex()}+{b64(ED25519 + self.public)}"

    def verifies(self, text: bytes, signature: bytes) -> bool:
        """Whether `signature` (without key id) is this key's over `text`."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key with its name."""

    name: str
    seed: bytes = field(repr=False)

    @classmethod
    def generate(cls, name: str) -> Self:
        """A new key.

        Raises:
            UsageError: the name is empty or holds a space, a plus or a control character.
        """
        if not valid_name(name):
            raise UsageError(
                f"{name!r} cannot name a log.", "Use a URL without scheme, such as log.hospital.example/2026."
            )
        return cls(name, Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `PRIVATE+KEY+name+hex+base64`.

        Raises:
            DataError: the text is not such a key. It is not repeated in the message.
        """
        hint = "Put the key file back from its backup."
        fields = text.strip().split("+", 4)
        if len(fields) != 5 or fields[:2] != ["PRIVATE", "KEY"] or not valid_name(fields[2]):
            raise DataError("The private key file is malformed.", hint)
        data = unb64(fields[4])
        if data is None or data[:1] != ED25519 or len(data) != 33:
            raise DataError("The private key file does not hold an Ed25519 key.", hint)
        key = cls(fields[2], data[1:])
        if key.verifier.id.hex() != fields[3]:
            raise DataError("The private key does not match the key id written in its file.", hint)
        return key

    @property
    def text(self) -> str:
        """The content of the private key file."""
        return f"PRIVATE+KEY+{self.name}+{self.verifier.id.hex()}+{b64(ED25519 + self.seed)}\n"

    @property
    def verifier(self) -> Verifier:
        """The public half."""
        return Verifier(self.name, Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw())

    def signature_line(self, text: str) -> str:
        """The signature line over `text`, with its line end."""
        signature = Ed25519PrivateKey.from_private_bytes(self.seed).sign(text.encode())
        return f"{_PREFIX}{self.name} {b64(self.verifier.id + signature)}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A note whose signatures by known keys all verified: its text, and those keys."""

    text: str
    signers: tuple[Verifier, ...]


def sign_note(text: str, keys: Sequence[SigningKey]) -> str:
    """`text` (which ends with a line end) signed by every key."""
    if not text.endswith("\n"):
        raise ValueError("the text of a note ends with a line end")
    return text + "\n" + "".join(key.signature_line(text) for key in keys)


def open_note(note: str | bytes, known: Sequence[Verifier]) -> Note:
    """Verify a note against the known keys.

    Every signature line by a known key must verify; at least one must be there. Lines by other keys are ignored.

    Raises:
        VerificationError: malformed, too long, signed by no known key, or a known key's signature is wrong.
        UsageError: two of the known keys have the same name and key id.
    """
    keys = {(v.name, v.id): v for v in known}
    if len(keys) != len(set(known)):
        raise UsageError("Two of the known keys have the same name and key id.", "Give each key once.")
    text, lines = split_note(note)
    signers: dict[tuple[str, bytes], Verifier] = {}
    for line in lines:
        name, _, encoded = line.removeprefix(_PREFIX).partition(" ")
        data = unb64(encoded)
        if not line.startswith(_PREFIX) or not valid_name(name) or data is None or len(data) < 5:
            raise VerificationError("The note has a malformed signature line.")
        key = keys.get((name, data[:4]))
        if key is None:
            continue
        if not key.verifies(text.encode(), data[4:]):
            raise VerificationError(f"The signature of {name}+{data[:4].hex()} does not verify.")
        signers[name, data[:4]] = key
    if not signers:
        raise VerificationError("The note is not signed by any of the known keys.")
    return Note(text, tuple(signers.values()))


def split_note(note: str | bytes) -> tuple[str, list[str]]:
    """Text and signature lines of a note, unverified.

    Raises:
        VerificationError: malformed or too long.
    """
    try:
        raw = note.encode() if isinstance(note, str) else note
        whole = raw.decode()
    except UnicodeError as e:
        raise VerificationError("The note is not UTF-8.") from e
    if len(raw) > MAX_BYTES:
        raise VerificationError(f"The note is longer than {MAX_BYTES:,} bytes.")
    if _CONTROL.search(whole):
        raise VerificationError("The note holds a control character.")
    text, blank, signatures = whole.rpartition("\n\n")
    if not blank or not signatures.endswith("\n"):
        raise VerificationError("The note does not end with a blank line and signature lines.")
    lines = signatures.removesuffix("\n").split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise VerificationError(f"The note has more than {MAX_SIGNATURES} signatures.")
    return text + "\n", lines
