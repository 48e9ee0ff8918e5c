"""An image folder with a CSV manifest: path, label or reader votes, patient, site, split, subgroups."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nocere.cases.datasets.manifest import VOTES, bytes_of, rows_of, truth_of
from nocere.cases.dicom import is_dicom, read_dicom
from nocere.cases.image import header_of, read_pixels, significant_bits
from nocere.cases.masks import fitted_mask
from nocere.core.canonical import Json, sha256
from nocere.core.case import Case, CaseRef, CaseSet
from nocere.core.errors import DataError
from nocere.core.registry import register

STANDARD = ("path", "label", "patient", "site", "split", "mask", "frame")


@register("dataset", "image.folder", source="CSV (RFC 4180) beside PNG and JPEG, or DICOM files")
def folder(
    manifest: str | Path,
    *,
    split: str = "",
    columns: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    subgroups: tuple[str, ...] | list[str] = (),
    limit: int = 0,
) -> CaseSet:
    """Images named by a CSV manifest.

    Args:
        manifest: CSV file; image paths in it are relative to its folder.
        split: only rows whose `split` column says this; empty takes every row.
        columns: standard name -> name in this file, e.g. `{"path": "file", "patient": "patient_id"}`. Standard names:
            path, label (or `votes:NAME` columns with reader counts), patient, site, split, mask (a PNG of the same
            size, 0 outside of what a reader marked; an empty entry is a case without one), frame (of a DICOM file with
            several, counted from 1; the case is then called PATH#FRAME).
        labels: label as written in the file -> label of the target, e.g. `{"1": "malignant"}`; a written label that
            is not listed is refused.
        subgroups: further columns to report on.
        limit: only the first so many rows of the split; 0 takes all.

    Raises:
        DataError: missing or unreadable file, missing column, unknown or empty label, repeated path, or DICOM files
            among others, which are written in another way.
    """
    manifest = Path(manifest)
    rows = rows_of(manifest)
    name = dict(zip(STANDARD, STANDARD, strict=True)) | dict(columns or {})
    unknown = set(name) - set(STANDARD)
    if unknown:
        raise DataError(f"Unknown standard column {sorted(unknown)[0]!r}.", f"Standard names: {', '.join(STANDARD)}.")
    header = list(rows[0][1]) if rows else []
    vote_columns = [c for c in header if c.startswith(VOTES)]
    wanted = [name["path"], *([] if vote_columns else [name["label"]]), *subgroups, *([name["split"]] if split else [])]
    wanted += [v for k, v in (columns or {}).items() if v not in wanted]
    for column in wanted:
        if column not in header:
            raise DataError(f"{manifest}: no column {column!r}.", f"Its columns are: {', '.join(header)}.")
    chosen = [(line, r) for line, r in rows if not split or r[name["split"]] == split]
    if not chosen:
        raise DataError(f"{manifest}: no row{f' with split {split!r}' if split else ''}.", "Check the split's name.")
    refs, paths, seen, kinds = [], {}, dict[str, int](), set[bool]()
    masks: dict[str, Path] = {}
    frames: dict[str, int] = {}
    for line, row in chosen[: limit or None]:
        where = f"{manifest} line {line}"
        path = row[name["path"]]
        frame = _frame(row.get(name["frame"]) or "", where)
        relative = f"{path}#{frame}" if frame else path
        if relative in seen:
            raise DataError(f"{where}: {relative!r} was listed on line {seen[relative]} already.", "Remove one row.")
        seen[relative], frames[relative] = line, frame
        truth = truth_of(row, name["label"], vote_columns, labels, where)
        attrs = {c: row[c] for c in subgroups}
        if row.get(name["site"]):
            attrs["site"] = row[name["site"]]
        data = bytes_of(manifest.parent / path, where)
        kinds.add(is_dicom(data))
        if len(kinds) > 1:
            raise DataError(f"{where}: DICOM files and others are in one list.", "Give each kind a list of its own.")
        mask = b""
        if row.get(name["mask"]):
            masks[relative] = manifest.parent / row[name["mask"]]
            mask = fitted_mask(
                bytes_of(masks[relative], where), _read(data, where, frame)[0].shape, str(masks[relative])
            )
        patient = row.get(name["patient"]) or path
        refs.append(CaseRef(relative, truth, patient, attrs, sha256(data), sha256(mask) if mask else ""))
        paths[relative] = manifest.parent / path
    by_id = {r.id: r for r in refs}

    def load(case_id: str) -> Case[Any]:
        ref = by_id[case_id]
        data = bytes_of(paths[case_id], str(manifest))
        if sha256(data) != ref.sha256:
            raise DataError(f"{paths[case_id]} has changed since it was listed.", "Start the run again.")
        where = str(paths[case_id])
        x, header = _read(data, where, frames[case_id])
        mask = b""
        if case_id in masks:
            mask = fitted_mask(bytes_of(masks[case_id], where), x.shape, str(masks[case_id]))
            if sha256(mask) != ref.mask:
                raise DataError(f"{masks[case_id]} has changed since it was listed.", "Start the run again.")
        return Case(ref.id, x, header, ref.truth, ref.group, ref.attrs, ref.sha256, mask)

    return CaseSet(refs, load, phantom=False, name=f"{manifest.parent.name}/{manifest.name}")


def _read(data: bytes, where: str, frame: int) -> tuple[Any, Mapping[str, Json]]:
    if is_dicom(data):
        return read_dicom(data, where, frame)
    x = read_pixels(data, where)
    return x, header_of(x, significant_bits(data, x))


def _frame(text: str, where: str) -> int:
    """A frame as a manifest writes it; 0 where it names none."""
    if text and not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise DataError(f"{where}: frame {text!r} is no number counted from 1.")
    return int(text or 0)
