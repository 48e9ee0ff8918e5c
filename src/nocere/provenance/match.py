"""Which captured record an input belongs to, and what differs: the one judgement that gate and investigator share."""

from __future__ import annotations

from dataclasses import dataclass, field

from nocere.core.errors import DataError, VerificationError
from nocere.provenance.capture import tiers
from nocere.provenance.fingerprint.compare import Difference, compare
from nocere.provenance.fingerprint.tiers import Fingerprint, identity_macs
from nocere.provenance.fingerprint.verdict import Authorised, Finding, Verdict, findings
from nocere.provenance.records import Record
from nocere.provenance.site import Site, opened
from nocere.provenance.vault import Row

# The identity field that names one input and no other, where a kind has one.
INSTANCE = {"dicom": "(0008,0018)", "image": "exif image unique id", "wfdb": "record name", "json": "/id"}
PASSING = Verdict.MEANING_CHANGED.severity


@dataclass(frozen=True, slots=True)
class Match:
    """The judgement on one input.

    Attributes:
        findings: verdicts with their support, worst first; never empty.
        record: the capture record that the input was compared with, None where there is none.
        original: the fingerprint behind that record.
        difference: what differs from it.
        amendments: places of the amendment records that cover a difference.
    """

    findings: tuple[Finding, ...]
    record: Record | None = None
    original: Fingerprint | None = None
    difference: Difference | None = None
    amendments: tuple[int, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The headline."""
        return self.findings[0].verdict

    @property
    def passed(self) -> bool:
        """Whether every difference is harmless by its kind, or covered by a signed amendment."""
        return all(f.authorised and f.verdict.severity <= PASSING for f in self.findings)


@dataclass(slots=True)
class _Candidates:
    """Rows that may be the input's capture, by why they were found."""

    by_content: dict[int, Row] = field(default_factory=dict)
    by_identity: dict[int, Row] = field(default_factory=dict)


def match(site: Site, suspect: Fingerprint, expected: int | None = None) -> Match:
    """Judge an input against the log.

    Args:
        site: log and vault.
        suspect: fingerprint of the input, made under the site's key.
        expected: the capture record that the caller says this is.

    Raises:
        VerificationError: the log itself does not verify.
    """
    found = _find(site, suspect)
    if expected is not None and (row := site.vault.at(expected)) is not None and row.type == "capture":
        found.by_identity[expected] = row
    judged: list[Match] = []
    for row in {**found.by_identity, **found.by_content}.values():
        try:
            judged.append(_judge(site, row, suspect))
        except (VerificationError, DataError) as e:
            judged.append(Match((Finding(Verdict.EVIDENCE_INVALID, False, str(e), ()),), _record(site, row)))
    if expected is not None and not any(m.record and m.record.index == expected for m in judged):
        sentence = f"The vault has no capture record {expected}, which this input should be."
        return Match((Finding(Verdict.EVIDENCE_INVALID, False, sentence, ()),))
    if not judged:
        return Match((Finding(Verdict.UNREGISTERED, False, "No capture record matches this input.", ()),))
    best = min(
        judged, key=lambda m: (not m.passed, m.verdict.severity, len(m.findings), m.record.index if m.record else 0)
    )
    return _substituted(best, judged, found, expected)


def _find(site: Site, suspect: Fingerprint) -> _Candidates:
    found = _Candidates()
    for name in ("f0", "f2", "f2c"):
        value = getattr(suspect, name)
        if value is not None:
            found.by_content.update((row.index, row) for row in site.vault.find(name, value) if row.index is not None)
    name = INSTANCE.get(suspect.kind, "")
    mac = suspect.f4.get(name)
    if mac is not None and mac != identity_macs(suspect.kind, {name: None}, site.site_key)[name]:
        rows = site.vault.find(f"id:{name}", mac)
        found.by_identity.update((row.index, row) for row in rows if row.index is not None)
    return found


def _record(site: Site, row: Row) -> Record | None:
    try:
        return None if row.index is None else site.record(row.index)
    except VerificationError:
        return None


def evidence(site: Site, row: Row) -> tuple[Record, Fingerprint]:
    """The record behind a vault row and its fingerprint, after every check: in the log, author in office, commitments.

    Raises:
        VerificationError: a check fails; the sentence says which.
    """
    assert row.index is not None
    record = site.verified(row.index)
    if row.entry != record.entry:
        raise VerificationError(f"The vault's copy of record {row.index} is not what the log holds.")
    clear = opened(record, row)
    try:
        original = Fingerprint.from_json(row.detail or "")
    except DataError as e:
        raise VerificationError(f"The vault's detail of record {row.index} does not verify: {e}") from e
    if tiers(original) != dict(clear) or original.kind != record.body.get("kind"):
        raise VerificationError(f"The vault's detail of record {row.index} is not what the log committed to.")
    return record, original


def _judge(site: Site, row: Row, suspect: Fingerprint) -> Match:
    record, original = evidence(site, row)
    if original.kind != suspect.kind:
        sentence = f"A {original.kind} was captured and a {suspect.kind} is shown."
        return Match((Finding(Verdict.SUBSTITUTED, False, sentence, ()),), record, original)
    difference = compare(original, suspect)
    allowed, amendments = _authorised(site, record.index, suspect, difference)
    return Match(findings(difference, allowed), record, original, difference, amendments)


def _authorised(
    site: Site, index: int, suspect: Fingerprint, difference: Difference
) -> tuple[Authorised | None, tuple[int, ...]]:
    """Fields that amendments cover: named in one that is about this record, with the value that the input has."""
    wanted = {*difference.identity, *(c.attribute for c in difference.meaning)}
    identity: set[str] = set()
    meaning: set[str] = set()
    used: list[int] = []
    for row in site.vault.find(f"of:{index}", "1", "amendment") if wanted else []:
        record, amended = evidence(site, row)
        named = wanted & set(record.body["fields"]) if index in record.body["of"] else set()
        same = {n for n in named & set(difference.identity) if amended.f4.get(n) == suspect.f4.get(n)}
        if amended.detail is not None and suspect.detail is not None:
            mine, its = amended.detail.meaning, suspect.detail.meaning
            meaning |= (kept := {n for n in named - set(difference.identity) if mine.get(n) == its.get(n)})
            same |= kept
        identity |= same & set(difference.identity)
        if same:
            used.append(record.index)
    return Authorised(identity, meaning), tuple(used)


def _substituted(best: Match, judged: list[Match], found: _Candidates, expected: int | None) -> Match:
    """Add SUBSTITUTED where the samples of one record stand under the identity of another one."""
    if best.record is None:
        return best
    claimed = {expected} if expected is not None else set(found.by_identity)
    if best.passed and (expected is None or best.record.index == expected):
        return best
    content = [
        m for m in judged
        if m.record and m.record.index in found.by_content and m.record.index not in claimed and m.difference
        and not (m.difference.has_samples and "F2" in m.difference.tiers)
    ]  # fmt: skip
    if not content or not claimed:
        return best
    at = content[0]
    assert at.record is not None
    names = ", ".join(map(str, sorted(claimed)))
    sentence = f"This is the content of record {at.record.index}, shown as that of record {names}."
    finding = Finding(Verdict.SUBSTITUTED, False, sentence, ("F2", "F4"))
    return Match((finding, *at.findings), at.record, at.original, at.difference, at.amendments)
