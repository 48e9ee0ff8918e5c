"""How values are laid out before they are hashed: length-prefixed, domain-separated (docs/spec/fingerprint-1.md).

Every part has its length before it, so that no two different lists of parts have the same bytes; every hash begins
with the profile and the tier, so that no hash of one tier can stand for one of another.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import TypeAlias

PROFILE = "nocere-fp/1"

# Attribute -> canonical value. None says that the attribute is absent, which is not the same as an empty value.
Attributes: TypeAlias = Mapping[str, str | None]


def prefixed(part: bytes) -> bytes:
    """`part` behind its length as 8 bytes, big endian."""
    return len(part).to_bytes(8, "big") + part


def encode(label: str, *parts: bytes) -> bytes:
    """The bytes that a tier hashes: profile, label, then every part, each behind its length."""
    return b"".join(prefixed(p) for p in (PROFILE.encode(), label.encode(), *parts))


def tier_hash(label: str, *parts: bytes) -> bytes:
    """SHA-256 of `encode(label, *parts)`; 32 bytes."""
    return hashlib.sha256(encode(label, *parts)).digest()


def tier_mac(key: bytes, label: str, *parts: bytes) -> str:
    """HMAC-SHA-256 under `key` of `encode(label, *parts)`, as hexadecimal."""
    return hmac.digest(key, encode(label, *parts), "sha256").hex()


def present(value: str | None) -> bytes:
    """One byte 0 for an absent value, one byte 1 and the UTF-8 text for a value that is there."""
    return b"\x00" if value is None else b"\x01" + value.encode("utf-8", "surrogatepass")


def encode_attributes(attributes: Attributes) -> bytes:
    """All attributes in the order of their names' UTF-8 bytes: name and value, each behind its length."""
    named = sorted((k.encode("utf-8", "surrogatepass"), v) for k, v in attributes.items())
    return b"".join(prefixed(name) + prefixed(present(value)) for name, value in named)
