"""Capture: files to fingerprints to signed records in the log. The earlier after acquisition, the more it proves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from nocere.core.canonical import sha256
from nocere.core.errors import DataError, NocereError, UsageError
from nocere.provenance.fingerprint.compare import compare
from nocere.provenance.fingerprint.reading import Content, read
from nocere.provenance.fingerprint.tiers import Fingerprint, fingerprint
from nocere.provenance.records import REASONS
from nocere.provenance.site import Draft, Site

BATCH = 64
# Companions of a WFDB header; everything else is one file.
WFDB_HEADER = ".hea"


@dataclass(frozen=True, slots=True)
class Captured:
    """What became of one input: its place in the log, or why it could not be captured."""

    label: str
    index: int | None
    fingerprint: Fingerprint | None
    problem: NocereError | None = None


def load(path: Path) -> Content:
    """The bytes of an input: one file, or for a WFDB header it and the files of its record, by name.

    Raises:
        DataError: it cannot be read.
    """
    try:
        if path.suffix != WFDB_HEADER:
            return path.read_bytes()
        companions = sorted(p for p in path.parent.iterdir() if p.stem == path.stem and p.is_file())
        return {p.name: p.read_bytes() for p in companions}
    except OSError as e:
        raise DataError(f"Cannot read {path}: {e.strerror}.", "Correct the path or the permissions.") from e


def capture(
    site: Site,
    inputs: Iterable[tuple[str, Callable[[], Content]]],
    *,
    agent: str = "capture",
    progress: Callable[[int], None] | None = None,
) -> list[Captured]:
    """Fingerprint inputs and append a capture record for each; an input that cannot be read stops no other one.

    Args:
        site: where the log is.
        inputs: a label (it stays in the vault) and how to load it, for each.
        agent: who captures.
        progress: called with the number done.

    Raises:
        WriteError: the log or vault cannot be written; what was reported as captured is safe.
    """
    out: list[Captured] = []
    site_key, waiting = site.site_key, iter(inputs)
    while batch := list(islice(waiting, BATCH)):
        read_in = [_fingerprint(label, load_it, site_key) for label, load_it in batch]
        good = [c for c in read_in if c.fingerprint is not None]
        drafts = [draft("capture", {}, c.fingerprint, c.label) for c in good if c.fingerprint is not None]
        places = dict(zip(map(id, good), site.write(agent, drafts) if drafts else [], strict=True))
        out += [Captured(c.label, places.get(id(c)), c.fingerprint, c.problem) for c in read_in]
        if progress is not None:
            progress(len(out))
    return out


def _fingerprint(label: str, load_it: Callable[[], Content], site_key: bytes) -> Captured:
    try:
        return Captured(label, None, fingerprint(read(load_it()), site_key))
    except DataError as e:
        return Captured(label, None, None, e)


def tiers(fp: Fingerprint) -> dict[str, str]:
    """Tier name -> digest of a fingerprint, as committed to; F4 as one digest of its MACs, members by code point."""
    f4 = sha256(json.dumps(dict(fp.f4), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())
    found = {"f0": fp.f0, "f1": fp.f1, "f2": fp.f2, "f2c": fp.f2c, "f3": fp.f3, "f4": f4, "f5": fp.f5}
    return {name: value for name, value in found.items() if value is not None}


def draft(type: str, fields: Mapping[str, object], fp: Fingerprint, label: str, **finds: str) -> Draft:
    """A record that commits to a fingerprint; the fingerprint itself goes to the vault."""
    return Draft.committed(
        type,
        {**fields, "kind": fp.kind, "profile": fp.profile},
        tiers(fp),
        finds={**{f"id:{name}": mac for name, mac in fp.f4.items()}, **finds},
        detail=fp.to_json(),
        label=label,
    )


def amend(
    site: Site, original: Fingerprint, amended: Fingerprint, of: Sequence[int], reason: str, *, agent: str = "amend"
) -> int:
    """Record an authorised change of a captured input: who or what it is about, or a corrected attribute.

    Args:
        original: fingerprint that was captured.
        amended: fingerprint after the change.
        of: places of the capture records that the amendment is about.
        reason: merge, rename, deidentification or correction.

    Raises:
        UsageError: nothing to authorise, unknown reason, or the samples differ: those need a capture of their own.
    """
    if reason not in REASONS:
        raise UsageError(f"Unknown reason {reason!r}.", f"Reasons: {', '.join(REASONS)}.")
    difference = compare(original, amended)
    if difference.has_samples and difference.tiers & {"F2", "F2c"}:
        raise UsageError(
            "The samples of the two files differ: an amendment covers attributes only.", "Capture the new file instead."
        )
    meaning = [c.attribute for c in difference.meaning]
    changed = sorted([*difference.identity, *meaning])
    if not changed:
        raise UsageError(
            "The two files say the same: there is nothing to authorise.", "Check that they are the right ones."
        )
    if meaning and reason in ("merge", "rename"):
        raise UsageError(
            f"The files differ in {', '.join(meaning)}, which no {reason} changes.",
            "Use the reason correction or deidentification if this is meant.",
        )
    fields = {"of": list(of), "reason": reason, "fields": changed}
    about = {f"of:{i}": "1" for i in of}
    (index,) = site.write(agent, [draft("amendment", fields, amended, "", **about)])
    return index
