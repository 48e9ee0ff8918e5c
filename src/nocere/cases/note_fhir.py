"""Notes in FHIR R4: text attachments of a DocumentReference, sections of a Composition; read, and written back.

A Composition is one note: each section's title as a heading line ("TITLE:"), its narrative under it, a blank line
between sections.
"""

from __future__ import annotations

import base64
import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nocere.cases.note import LARGEST, checked
from nocere.cases.note_narrative import lines, replaced
from nocere.core.canonical import Json
from nocere.core.errors import DataError

KINDS = ("DocumentReference", "Composition")
HTEST = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HTEST", "display": "test health data"}


@dataclass(frozen=True, slots=True)
class FoundNote:
    """A note as a resource held it: its id, its text, the rest as a header, the patient and the kind of document."""

    id: str
    text: str
    header: Mapping[str, Json]
    patient: str
    kind: str


def read_notes(resource: Mapping[str, Any], where: str) -> list[FoundNote]:
    """The notes of a DocumentReference (one a text attachment) or a Composition (one).

    Raises:
        DataError: no text in it, data that is not base64 of a text, or text of another encoding than it says.
    """
    name = str(resource.get("id") or "")
    if not name:
        raise DataError(f"{where}: a {resource.get('resourceType')} without an id.", "Give every document its id.")
    where = f"{where}: {resource['resourceType']} {name}"
    patient = str(_at(resource, "subject", "reference") or "")
    kind = str(_at(resource, "type", "text") or _at(resource, "type", "coding", 0, "display") or "")
    if resource["resourceType"] == "Composition":
        text = _joined(_sections(resource, where))
        if not text.strip():
            raise DataError(f"{where}: no section has a narrative.")
        checked(text, where)
        if _split(text, _sections(resource, where), where) != [s.lines for s in _sections(resource, where)]:
            raise DataError(f"{where}: a line of a section reads like the next heading.", "Rename that section.")
        return [FoundNote(name, text, {"fhir": dict(resource)}, patient, kind)]
    found = []
    contents = resource.get("content")
    for i, content in enumerate(contents if isinstance(contents, list) else []):
        attachment = _at(content, "attachment")
        mime = str(_at(attachment, "contentType") or "")
        if mime.split(";")[0].strip().lower() != "text/plain" or not isinstance(_at(attachment, "data"), str):
            continue
        text = _attached(attachment["data"], mime, where)
        rest = copy.deepcopy(dict(resource))
        del rest["content"][i]["attachment"]["data"]
        found.append(FoundNote(f"{name}/{i}" if i else name, text, {"fhir": rest, "content": i}, patient, kind))
    if not found:
        raise DataError(f"{where}: no attachment of type text/plain that holds its data.")
    return found


def write_note(header: Mapping[str, Json], text: str, *, exhibit: bool = True) -> dict[str, Any]:
    """The resource of a note with another text and everything else as it was.

    Args:
        header: of the case.
        text: the new text.
        exhibit: mark it as test data (security label HTEST), so that nobody takes it for a patient's.

    Raises:
        DataError: not a note from FHIR, a heading that is gone, or characters that its encoding cannot hold.
    """
    resource: Any = copy.deepcopy(header.get("fhir"))
    if not isinstance(resource, dict):
        raise DataError("This note does not come from a FHIR resource.")
    where = f"{resource.get('resourceType')} {resource.get('id')}"
    if resource.get("resourceType") == "Composition":
        sections = list(_sections(resource, where))
        for section, new in zip(sections, _split(text, sections, where), strict=True):
            if new != section.lines:
                section.raw["text"]["div"] = replaced(section.raw["text"]["div"], new)
    else:
        attachment = resource["content"][header["content"]]["attachment"]
        data = _encoded(text, _charset(attachment.get("contentType", "")), where)
        attachment["data"] = base64.b64encode(data).decode("ascii")
        for stale in ("size", "hash"):
            attachment.pop(stale, None)
    if exhibit:
        meta = resource.setdefault("meta", {})
        meta["security"] = [*meta.get("security", []), HTEST]
    made: dict[str, Any] = resource
    return made


@dataclass(frozen=True, slots=True)
class _Section:
    """A section: its JSON, its heading line ("" without a title), and the lines of its narrative."""

    raw: dict[str, Any]
    heading: str
    lines: list[str]


def _sections(resource: Mapping[str, Any], where: str) -> list[_Section]:
    """The sections of a composition with a title or a narrative, each before the ones inside of it."""

    def walk(sections: Any, depth: int) -> Iterator[_Section]:
        if depth > 32:
            raise DataError(f"{where}: sections are nested too deeply.")
        for section in sections if isinstance(sections, list) else []:
            if not isinstance(section, dict):
                raise DataError(f"{where}: a section must be an object.")
            title, div = section.get("title"), _at(section, "text", "div")
            heading = (
                f"{' '.join(title.split()).removesuffix(':')}:" if isinstance(title, str) and title.strip() else ""
            )
            body = [line.text for line in lines(div)] if isinstance(div, str) else []
            if heading or body:
                yield _Section(section, heading, body)
            yield from walk(section.get("section"), depth + 1)

    return list(walk(resource.get("section"), 0))


def _joined(sections: list[_Section]) -> str:
    return "\n\n".join("\n".join([*([s.heading] if s.heading else []), *s.lines]) for s in sections) + "\n"


def _split(text: str, sections: list[_Section], where: str) -> list[list[str]]:
    """The lines of every section in an edited text; each begins at its heading, or after a blank line without one."""
    rows = text.split("\n")
    at, starts = 0, []
    for i, section in enumerate(sections):
        if section.heading:
            here = next((k for k in range(at, len(rows)) if rows[k].strip() == section.heading), None)
        else:
            here = at if i == 0 else next((k for k in range(at, len(rows)) if not rows[k].strip()), None)
        if here is None:
            raise DataError(f"{where}: the heading {section.heading!r} is not in the text any more.")
        starts.append(here)
        at = here + 1
    found = []
    for section, a, b in zip(sections, starts, [*starts[1:], len(rows)], strict=True):
        found.append([row for row in rows[a + bool(section.heading) : b] if row.strip()])
    return found


def _attached(data: str, mime: str, where: str) -> str:
    try:
        raw = base64.b64decode("".join(data.split()), validate=True)
    except ValueError as e:
        raise DataError(f"{where}: the attachment's data is not base64 ({e}).") from e
    if len(raw) > 2 * LARGEST:
        raise DataError(f"{where}: the note has {len(raw):,} bytes; at most {LARGEST:,} are read.")
    try:
        text = raw.decode(_charset(mime))
    except (UnicodeDecodeError, LookupError) as e:
        raise DataError(f"{where}: the attachment is not {_charset(mime)} text ({e}).") from e
    checked(text, where)
    return text


def _encoded(text: str, charset: str, where: str) -> bytes:
    try:
        return text.encode(charset)
    except UnicodeEncodeError as e:
        raise DataError(f"{where}: {charset} cannot hold the character {text[e.start]!r}.") from e


def _charset(mime: str) -> str:
    """The charset parameter of a media type; UTF-8 where there is none."""
    parts = [p.strip().partition("=") for p in mime.split(";")[1:]]
    return next((value.strip().strip('"') for key, _, value in parts if key.strip().lower() == "charset"), "utf-8")


def _at(value: Any, *path: str | int) -> Any:
    """What lies at a path of members and positions, None where there is nothing."""
    for step in path:
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, dict) else None
        else:
            value = value[step] if isinstance(value, list) and len(value) > step else None
    return value
