"""One suspect and all that can be said of it: verdicts, what changed, what explains it, who had it when."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from nocere.core.errors import DataError, UsageError, VerificationError
from nocere.provenance.fingerprint.compare import Difference, compare
from nocere.provenance.fingerprint.reading import Content, Reading, read, received_hash
from nocere.provenance.fingerprint.tiers import Fingerprint, fingerprint
from nocere.provenance.fingerprint.verdict import Finding, Verdict, findings
from nocere.provenance.investigate.custody import Bracket, Event, bracket, shown, timeline
from nocere.provenance.investigate.explain import Explanation, explain
from nocere.provenance.investigate.picture import changed_tiles_picture
from nocere.provenance.match import Match, match
from nocere.provenance.records import Record
from nocere.provenance.site import Site

# What no finding can rule out; printed with every result (design 0005, docs/guarantees.md).
CANNOT_TELL = (
    "Whether the input was changed before it was captured: a doctored device, a staged or rotated photograph, a patch "
    "on the skin.",
    "Whether the clock of an agent told the truth: the order of records is proven, their clocks are claims.",
    "Whether an input that is what was captured is safe for a model.",
    "Whether the operator of the log keeps a second history: without a witness outside of his control he could.",
)


@dataclass(frozen=True, slots=True)
class Investigation:
    """The result.

    Attributes:
        findings: verdicts with their support, worst first.
        suspect: fingerprint of the suspect; None when it cannot be decoded.
        original: fingerprint that it was compared with; None when there is none.
        difference: what differs.
        record: the capture record that the comparison rests on.
        amendments: places of amendment records that cover a difference.
        events: custody timeline.
        bracket: when the capture record was written.
        explanation: of changed samples, where the original's samples are at hand.
        why_unexplained: why there is none, else empty.
        pictures: name -> PNG.
        hint: a nearest captured record, when nothing matches; advisory.
    """

    findings: tuple[Finding, ...]
    received: str
    suspect: Fingerprint | None = None
    original: Fingerprint | None = None
    difference: Difference | None = None
    record: Record | None = None
    amendments: tuple[int, ...] = ()
    events: tuple[Event, ...] = ()
    bracket: Bracket | None = None
    explanation: Explanation | None = None
    why_unexplained: str = ""
    pictures: dict[str, bytes] | None = None
    hint: str = ""

    @property
    def verdict(self) -> Verdict:
        """The headline."""
        return self.findings[0].verdict

    @property
    def harmless(self) -> bool:
        """Whether a gate would let the suspect pass: nothing differs that no amendment covers."""
        return all(f.authorised for f in self.findings)


def investigate(
    suspect: Content,
    *,
    site: Site | None = None,
    original: Content | None = None,
    progress: Callable[[str], None] | None = None,
) -> Investigation:
    """Compare a suspect with what was captured, with an original at hand, or with both.

    Args:
        suspect: its bytes (files by name for WFDB).
        site: the log to look it up in.
        original: the retained original; needed to explain changed samples and to show them.
        progress: called with what is being done.

    Raises:
        UsageError: neither site nor original was given.
        DataError: the original cannot be decoded.
    """
    tell = progress or (lambda _: None)
    if site is None and original is None:
        raise UsageError("There is nothing to compare the suspect with.", "Give an original, a site, or both.")
    site_key = site.site_key if site is not None else os.urandom(32)
    received = received_hash(suspect)
    at_hand = None if original is None else read(original)
    tell("reading the suspect")
    try:
        reading = read(suspect)
        mine = fingerprint(reading, site_key)
    except DataError as e:
        finding = Finding(Verdict.UNDECODABLE, False, str(e), ())
        events = tuple(shown(site, received)) if site is not None else ()
        return Investigation((finding,), received, events=events)
    first = None if at_hand is None else fingerprint(at_hand, site_key)
    tell("looking it up in the log")
    found = _compare(site, mine, first)
    if site is not None and found.record is None and first is None:
        return Investigation(
            found.findings, received, mine, events=tuple(shown(site, received)), hint=_nearest(site, mine)
        )
    explanation, why, pictures = _samples(at_hand, first, reading, found, tell)
    events, when = _custody(site, found, received)
    return Investigation(
        found.findings, received, mine, found.original, found.difference, found.record, found.amendments,
        events, when, explanation, why, pictures,
    )  # fmt: skip


def _compare(site: Site | None, mine: Fingerprint, first: Fingerprint | None) -> Match:
    """The judgement: against the record of the original where one is given, else against whatever record matches."""
    if site is None:
        assert first is not None
        return _direct(mine, first)
    if first is None:
        return match(site, mine)
    captured = match(site, first)
    if captured.record is None or not captured.passed:
        sentence = f"The original itself does not verify ({captured.verdict.value}): {captured.findings[0].sentence}"
        direct = _direct(mine, first)
        invalid = Finding(Verdict.EVIDENCE_INVALID, False, sentence, ())
        return Match((invalid, *direct.findings), None, first, direct.difference)
    return match(site, mine, captured.record.index)


def _direct(mine: Fingerprint, first: Fingerprint) -> Match:
    if mine.kind != first.kind:
        sentence = f"The original is of kind {first.kind}, the suspect of kind {mine.kind}."
        return Match((Finding(Verdict.SUBSTITUTED, False, sentence, ()),), None, first)
    difference = compare(first, mine)
    return Match(findings(difference), None, first, difference)


def _samples(
    at_hand: Reading | None, first: Fingerprint | None, reading: Reading, found: Match, tell: Callable[[str], None]
) -> tuple[Explanation | None, str, dict[str, bytes]]:
    """Explanation and pictures of changed samples."""
    changed = found.difference is not None and found.difference.has_samples and "F2" in found.difference.tiers
    picture = reading.kind in ("dicom", "image") and reading.pixels is not None and reading.shape is not None
    if not changed or not picture:
        return None, "", {}
    assert reading.pixels is not None
    assert reading.shape is not None
    assert found.difference is not None
    tiles = found.difference.tiles
    frame = tiles[0].frame if tiles else 0
    boxes = [t.box for t in tiles if t.frame == frame]
    known = at_hand if first is not None and found.original is not None and first.f2 == found.original.f2 else None
    if known is None or known.pixels is None or frame >= len(known.pixels):
        tell("drawing")
        pictures = {f"frame-{frame}.png": changed_tiles_picture(None, reading.pixels[frame], boxes)}
        why = "The retained original was not given, so nothing can be said about what explains the change."
        return None, why, pictures
    tell("searching for a benign explanation")
    explanation = explain(known.pixels[frame], reading.pixels[frame], bits=reading.shape.bits)
    same = known.pixels[frame].shape == reading.pixels[frame].shape
    tell("drawing")
    shown_original = known.pixels[frame] if same else None
    pictures = {f"frame-{frame}.png": changed_tiles_picture(shown_original, reading.pixels[frame], boxes)}
    return explanation, "", pictures


def _custody(site: Site | None, found: Match, received: str) -> tuple[tuple[Event, ...], Bracket | None]:
    if site is None or found.record is None:
        return (tuple(shown(site, received)) if site is not None else ()), None
    events = tuple(timeline(site, found.record.index, received))
    try:
        return events, bracket(site, found.record.index)
    except VerificationError:
        return events, None


def _nearest(site: Site, mine: Fingerprint) -> str:
    """The captured picture that looks most alike, by the advisory hash; never evidence."""
    if mine.f5 is None:
        return ""
    bits = int(mine.f5, 16)
    near = min(((bin(bits ^ int(v, 16)).count("1"), i) for i, v in site.vault.values("f5")), default=None)
    if near is None or near[0] > 8:
        return "No captured picture looks alike either (advisory hash)."
    return (
        f"The picture captured as record {near[1]} looks alike ({near[0]} of 64 bits of the advisory hash differ): "
        "give its original to compare with."
    )
