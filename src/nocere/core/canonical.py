"""Canonical JSON (RFC 8785) and SHA-256: the same content always has the same bytes and the same hash."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import rfc8785

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"


def sha256(data: bytes) -> str:
    """Lower-case hexadecimal SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def plain(value: Any) -> Any:
    """Numpy scalars, tuples and mappings as plain JSON types.

    Raises:
        ValueError: a NaN or infinity, which canonical JSON cannot hold and which must never pass for a number.
    """
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value) if isinstance(value, (set, frozenset)) else value
        return [plain(v) for v in items]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} has no place in a record: say why the number is missing instead")
    return value


def dumps(value: Any) -> bytes:
    """`value` as RFC 8785 bytes."""
    return rfc8785.dumps(plain(value))


def digest(value: Any) -> str:
    """SHA-256 of the canonical form of `value`."""
    return sha256(dumps(value))
