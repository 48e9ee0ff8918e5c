"""Notes in FHIR R4, one resource a file, in a Bundle, or one a line (.ndjson)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nocere.cases.datasets.claims_fhir import ENDINGS, resources
from nocere.cases.datasets.claims_set import files_in, read_labels
from nocere.cases.datasets.notes_set import note_set
from nocere.cases.note import note_case
from nocere.cases.note_fhir import KINDS, read_notes
from nocere.core.case import Case, CaseSet, Truth
from nocere.core.errors import DataError
from nocere.core.registry import register


@register("dataset", "notes.fhir", source="HL7 FHIR R4 (4.0.1) DocumentReference and Composition")
def notes_fhir(path: str | Path, *, labels: str | Path = "", limit: int = 0) -> CaseSet:
    """Text attachments of DocumentReferences, and Compositions with their sections as headed text.

    Args:
        path: a file or a folder; other resources in it are passed over.
        labels: CSV with the columns id and label; an attachment after the first is `ID/POSITION`.
        limit: only the first so many; 0 takes all.

    Raises:
        DataError: not FHIR JSON, a document without text, an id that stands twice, a note without a label, or labels of
            notes that are not there; the sentence names file and document.
    """
    known = read_labels(labels) if labels else {}
    found = list(_cases(files_in(path, ENDINGS), known, str(labels)))
    left = sorted(set(known) - {c.id for c in found})
    if left:
        raise DataError(f"{labels} has a label for {left[0]!r}, and there is no such note.")
    return note_set(found[: limit or None], f"{Path(path).name} (notes)")


def _cases(files: list[Path], labels: dict[str, Truth], source: str) -> Iterator[Case[str]]:
    seen: dict[str, str] = {}
    for file in files:
        for resource, where in resources(file):
            if resource["resourceType"] not in KINDS:
                continue
            for note in read_notes(resource, where):
                if note.id in seen:
                    raise DataError(f"{where}: the id {note.id!r} stands in {seen[note.id]} already.")
                seen[note.id] = where
                if labels and note.id not in labels:
                    raise DataError(
                        f"{where}: {source} has no label for the note {note.id!r}.", "Add a row with its id."
                    )
                attrs = {"kind": note.kind} if note.kind else {}
                truth = labels.get(note.id, Truth())
                yield note_case(note.id, note.text, truth, header=note.header, group=note.patient, attrs=attrs)
