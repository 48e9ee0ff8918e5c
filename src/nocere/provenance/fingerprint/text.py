"""Notes and JSON documents (FHIR resources, claims): kinds without samples, whose content is their meaning.

A note is its text, NFC (UAX 15), UTF-8. A JSON document is its members, each under its JSON pointer (RFC 6901) with
its RFC 8785 value; members that say whose it is are identity.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from typing import Any

import rfc8785

from nocere.core.canonical import sha256
from nocere.core.errors import DataError
from nocere.provenance.fingerprint.reading import Reading

# FHIR R4 and claims: references to and numbers of people, places and documents. Everything else is meaning.
IDENTITY_KEYS = frozenset(
    {"id", "identifier", "meta", "subject", "patient", "beneficiary", "encounter", "fullUrl", "member_id", "patient_id"}
    | {"claim_id", "accession", "created", "issued", "authoredOn", "birthDate"}
)
PATIENT_KEYS = frozenset({"name", "telecom", "address", "gender", "contact", "photo"})
MAX_DEPTH = 64


def read_note(content: bytes) -> Reading:
    """Read a UTF-8 note; a byte order mark and the kind of line ends are encoding, every other character is text.

    Raises:
        DataError: not UTF-8.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise DataError(f"The note is not UTF-8 from byte {e.start} on.", "Save it as UTF-8.") from e
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    return Reading("note", sha256(content), None, None, (), {"text": text}, {}, {"text": text})


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise DataError("A member name is there twice in one JSON object.", "Parsers disagree on which one counts.")
    return found


def _no_constant(name: str) -> Any:
    raise DataError(f"{name} is not JSON (RFC 8259).")


def _canonical(value: Any) -> str:
    return rfc8785.dumps(value).decode("utf-8")


def _parts(value: Any, pointer: str = "", depth: int = 0) -> Iterator[tuple[str, str, str]]:
    """Innermost members, and whole identity members: pointer, canonical value, identity key or ""."""
    if depth > MAX_DEPTH:
        raise DataError(f"The JSON document is nested more than {MAX_DEPTH} deep.")
    if isinstance(value, dict) and value:
        keys = IDENTITY_KEYS | PATIENT_KEYS if value.get("resourceType") == "Patient" else IDENTITY_KEYS
        for key, inner in value.items():
            below = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
            if key in keys:
                yield below, _canonical(inner), key
            else:
                yield from _parts(inner, below, depth + 1)
    elif isinstance(value, list) and value:
        for i, inner in enumerate(value):
            yield from _parts(inner, f"{pointer}/{i}", depth + 1)
    else:
        yield pointer, _canonical(value), ""


def read_json(content: bytes) -> Reading:
    """Read a JSON document.

    The identity fields are the keys themselves, each with every place where it stands, so that no name that a document
    makes up is ever shown outside of the detail.

    Raises:
        DataError: not UTF-8 JSON, a member name twice, or a number that RFC 8785 cannot hold.
    """
    try:
        value = json.loads(content.decode("utf-8-sig"), object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
        parts = list(_parts(value))
        places = {key: sorted([p, v] for p, v, k in parts if k == key) for key in IDENTITY_KEYS | PATIENT_KEYS}
        identity = {key: _canonical(found) if found else None for key, found in places.items()}
    except UnicodeDecodeError as e:
        raise DataError(f"The JSON document is not UTF-8 from byte {e.start} on.", "Save it as UTF-8.") from e
    except json.JSONDecodeError as e:
        raise DataError(f"This is not JSON: line {e.lineno}, column {e.colno}.") from e
    except (rfc8785.CanonicalizationError, RecursionError, ValueError) as e:
        raise DataError(f"The JSON document holds what RFC 8785 cannot ({type(e).__name__}).") from e
    meaning: dict[str, str | None] = {p: v for p, v, key in parts if not key}
    return Reading("json", sha256(content), None, None, (), meaning, identity, {p: v for p, v, _ in parts})
