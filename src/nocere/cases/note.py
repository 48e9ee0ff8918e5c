"""Notes: clinical free text, realised as a UTF-8 file that round-trips byte for byte.

A case's content is a str, with line ends, blanks and Unicode forms as the file has them; its header holds what else is
known of the document: `facts` (codes that the record supports), `row` (further columns), `fhir` (the resource), and
`bom` where the file begins with a byte order mark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nocere.cases.claim_json import parse_json
from nocere.core.candidate import Files
from nocere.core.canonical import Json, dumps, sha256
from nocere.core.case import Case, Truth
from nocere.core.errors import DataError

FILE, HEADER = "note.txt", "header.json"
LARGEST = 1_000_000  # bytes
BOM = "\ufeff"


def note_case(
    case_id: str,
    text: str,
    truth: Truth | None = None,
    *,
    header: Mapping[str, Json] | None = None,
    facts: Sequence[str] = (),
    group: str = "",
    attrs: Mapping[str, str] | None = None,
) -> Case[str]:
    """A case from a text.

    Args:
        case_id: its id.
        text: the note.
        truth: what is known of it.
        header: everything else of the document.
        facts: codes that the record supports; kept in the header.
        group: patient; default is the case itself.
        attrs: subgroups.

    Raises:
        DataError: an empty text, one of more than 1,000,000 bytes, or one that no UTF-8 file can hold.
    """
    head: dict[str, Json] = dict(header or {}) | ({"facts": list(facts)} if facts else {})
    data = checked(text, f"Case {case_id}")
    return Case(case_id, text, head, truth or Truth(), group or case_id, attrs or {}, sha256(data))


def checked(text: str, where: str) -> bytes:
    """The UTF-8 bytes of a text that can be a note.

    Raises:
        DataError: empty, too large, half of a surrogate pair, or a NUL byte.
    """
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as e:
        raise DataError(f"{where}: the note holds half of a surrogate pair (character {e.start}).") from e
    if len(data) > LARGEST:
        raise DataError(
            f"{where}: the note has {len(data):,} bytes; at most {LARGEST:,} are read.", "Split it into its documents."
        )
    if "\0" in text:
        raise DataError(f"{where}: this is a binary file, not a note (a NUL byte at character {text.index(chr(0))}).")
    if not text.strip().strip(BOM):
        raise DataError(f"{where}: the note is empty.", "Fill it in or remove it.")
    return data


def read_note(data: bytes, where: str) -> tuple[str, dict[str, Json]]:
    """Text and header of a note file; a byte order mark is kept in the header.

    Raises:
        DataError: not UTF-8, or not a note (see `checked`).
    """
    if len(data) > LARGEST:
        raise DataError(f"{where}: the note has {len(data):,} bytes; at most {LARGEST:,} are read.")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as e:
        raise DataError(f"{where} is not UTF-8 text ({e.reason} at byte {e.start}).", "Save it as UTF-8.") from e
    text, header = (text[1:], {"bom": True}) if text.startswith(BOM) else (text, {})
    checked(text, where)
    return text, dict(header)


class NoteCodec:
    """Realises notes as `note.txt`, with `header.json` (RFC 8785) beside it where there is a header."""

    name = "note"

    def encode(self, case: Case[Any], x: Any) -> Files:
        mark = BOM if case.header.get("bom") else ""
        files = {FILE: (mark + x).encode("utf-8")}
        return files | ({HEADER: dumps(case.header)} if case.header else {})

    def decode(self, files: Files) -> tuple[Any, Mapping[str, Json]]:
        """Text and header.

        Raises:
            DataError: not files that this codec writes.
        """
        if FILE not in files:
            raise DataError(f"This evidence has no {FILE}.")
        header: Any = parse_json(files[HEADER], HEADER) if HEADER in files else {}
        if not isinstance(header, dict) or (HEADER in files and (not header or dumps(header) != files[HEADER])):
            raise DataError(f"{HEADER} is not in the canonical form (RFC 8785) in which it was written here.")
        try:
            text = files[FILE].decode("utf-8")
        except UnicodeDecodeError as e:
            raise DataError(f"{FILE} is not UTF-8 text ({e.reason} at byte {e.start}).") from e
        if header.get("bom") and not text.startswith(BOM):
            raise DataError(f"{FILE} has no byte order mark, which its header says it has.")
        return text.removeprefix(BOM) if header.get("bom") else text, header
