"""A folder of notes with a CSV manifest: path, label or reader votes, patient, site, split, facts, subgroups."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nocere.cases.datasets.manifest import VOTES, bytes_of, rows_of, truth_of
from nocere.cases.datasets.notes_set import facts_of, require
from nocere.cases.note import read_note
from nocere.core.canonical import sha256
from nocere.core.case import Case, CaseRef, CaseSet
from nocere.core.errors import DataError
from nocere.core.registry import register

STANDARD = ("path", "label", "patient", "site", "split", "facts")


@register("dataset", "notes.folder", source="CSV (RFC 4180) beside UTF-8 text files")
def notes_folder(
    manifest: str | Path,
    *,
    split: str = "",
    columns: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    subgroups: tuple[str, ...] | list[str] = (),
    limit: int = 0,
) -> CaseSet:
    """Notes named by a CSV manifest.

    Args:
        manifest: CSV file; paths of notes in it are relative to its folder.
        split: only rows whose `split` column says this; empty takes every row.
        columns: standard name -> name in this file. Standard names: path, label (or `votes:NAME` columns with reader
            counts), patient, site, split, facts (codes that the record supports, parted by blanks, commas or `;`).
        labels: label as written in the file -> label of the target; a written label that is not listed is refused.
        subgroups: further columns to report on.
        limit: only the first so many rows of the split; 0 takes all.

    Raises:
        DataError: missing, empty, too large, binary or wrongly encoded note; missing column; a label that is empty or
            unknown; a path that stands twice.
    """
    manifest = Path(manifest)
    rows = rows_of(manifest)
    name = dict(zip(STANDARD, STANDARD, strict=True)) | dict(columns or {})
    unknown = set(name) - set(STANDARD)
    if unknown:
        raise DataError(f"Unknown standard column {sorted(unknown)[0]!r}.", f"Standard names: {', '.join(STANDARD)}.")
    votes = [c for c in rows[0][1] if c.startswith(VOTES)]
    wanted = [name["path"], *([] if votes else [name["label"]]), *subgroups, *([name["split"]] if split else [])]
    require(manifest, rows[0][1], [*wanted, *(columns or {}).values()])
    chosen = [(line, row) for line, row in rows if not split or row[name["split"]] == split]
    if not chosen:
        raise DataError(f"{manifest}: no row with split {split!r}.", "Check the split's name.")
    refs, seen, facts = [], dict[str, int](), dict[str, list[str]]()
    for line, row in chosen[: limit or None]:
        where = f"{manifest} line {line}"
        path = row[name["path"]]
        if path in seen:
            raise DataError(f"{where}: {path!r} was listed on line {seen[path]} already.", "Remove one row.")
        seen[path] = line
        truth = truth_of(row, name["label"], votes, labels, where)
        attrs = {c: row[c] for c in subgroups} | ({"site": row[name["site"]]} if row.get(name["site"]) else {})
        data = bytes_of(manifest.parent / path, where)
        read_note(data, f"{where}: {path}")
        facts[path] = facts_of(row.get(name["facts"], ""))
        refs.append(CaseRef(path, truth, row.get(name["patient"]) or path, attrs, sha256(data)))
    by_id = {r.id: r for r in refs}

    def load(case_id: str) -> Case[str]:
        ref, file = by_id[case_id], manifest.parent / case_id
        data = bytes_of(file, str(manifest))
        if sha256(data) != ref.sha256:
            raise DataError(f"{file} has changed since it was listed.", "Start the run again.")
        text, header = read_note(data, str(file))
        found = {"facts": facts[case_id]} if facts[case_id] else {}
        return Case(ref.id, text, {**header, **found}, ref.truth, ref.group, ref.attrs, ref.sha256)

    return CaseSet(refs, load, phantom=False, name=f"{manifest.parent.name}/{manifest.name}")
