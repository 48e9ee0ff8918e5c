"""The verdict lattice (design 0005): a closed list, each verdict with what supports it, the worst first. No score."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field
from enum import Enum

from nocere.provenance.fingerprint.compare import Difference


class Verdict(Enum):
    """From best to worst, in this order."""

    IDENTICAL = "IDENTICAL"
    LOSSLESS_EQUIVALENT = "LOSSLESS-EQUIVALENT"
    IDENTITY_COERCED = "IDENTITY-COERCED"
    MEANING_CHANGED = "MEANING-CHANGED"
    PIXELS_CHANGED = "PIXELS-CHANGED"
    SUBSTITUTED = "SUBSTITUTED"
    UNREGISTERED = "UNREGISTERED"
    UNDECODABLE = "UNDECODABLE"
    EVIDENCE_INVALID = "EVIDENCE-INVALID"

    @property
    def severity(self) -> int:
        """Place in the list; a larger one is worse."""
        return list(Verdict).index(self)


@dataclass(frozen=True, slots=True)
class Authorised:
    """Changes that signed amendments cover: names of identity fields and of meaning attributes."""

    identity: Set[str] = field(default_factory=frozenset)
    meaning: Set[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Finding:
    """One verdict and what supports it.

    Attributes:
        verdict: one of the closed list.
        authorised: True when amendments cover every attribute and field that it rests on.
        sentence: what was found, in words, without any value.
        tiers: the tiers that differ and led to it.
        support: names of the tiles, frames, attributes or fields.
        unauthorised: those of them that no amendment covers.
    """

    verdict: Verdict
    authorised: bool
    sentence: str
    tiers: tuple[str, ...]
    support: tuple[str, ...] = ()
    unauthorised: tuple[str, ...] = ()


def _pixels(d: Difference) -> Finding:
    support = [f"header {name}" for name in d.shape]
    support += [f"frame {i} removed" for i in d.frames_removed] + [f"frame {j} added" for j in d.frames_added]
    support += [f"frame {i} moved to {j}" for i, j in d.frames_moved]
    support += [f"frame {t.frame} rows {t.box[0]}-{t.box[2] - 1} columns {t.box[1]}-{t.box[3] - 1}" for t in d.tiles]
    where = f" in {len(d.tiles)} tile(s)" if d.tiles else "" if d.localised else "; no detail was kept that says where"
    tiers = tuple(sorted(d.tiers & {"F2", "F2c"}))
    return Finding(Verdict.PIXELS_CHANGED, False, f"The samples differ{where}.", tiers, tuple(support), tuple(support))


def _meaning(d: Difference, authorised: Authorised) -> Finding:
    names = tuple(c.attribute for c in d.meaning)
    left = tuple(n for n in names if n not in authorised.meaning)
    sentence = "; ".join(str(c) for c in d.meaning) or "How the samples are read differs; no detail says in which point"
    return Finding(Verdict.MEANING_CHANGED, bool(names) and not left, sentence + ".", ("F3",), names, left)


def _identity(d: Difference, authorised: Authorised) -> Finding:
    left = tuple(n for n in d.identity if n not in authorised.identity)
    sentence = f"{len(d.identity)} identity field(s) differ, {len(left)} of them without an amendment."
    return Finding(Verdict.IDENTITY_COERCED, not left, sentence, ("F4",), d.identity, left)


def findings(difference: Difference, authorised: Authorised | None = None) -> tuple[Finding, ...]:
    """What a difference means, worst first; never empty.

    Args:
        difference: what `compare` returned.
        authorised: names that signed amendments cover.
    """
    allowed = authorised or Authorised()
    d, found = difference, []
    if d.has_samples and "F2" in d.tiers:
        found.append(_pixels(d))
    if "F3" in d.tiers:
        found.append(_meaning(d, allowed))
    if "F4" in d.tiers:
        found.append(_identity(d, allowed))
    if not found and "F0" not in d.tiers:
        found.append(Finding(Verdict.IDENTICAL, True, "The received bytes are equal.", ()))
    if not found:
        others = ", ".join(sorted(d.tiers))
        sentence = f"Samples, meaning and identity are equal; only the encoding differs ({others})."
        found.append(Finding(Verdict.LOSSLESS_EQUIVALENT, True, sentence, tuple(sorted(d.tiers))))
    return tuple(sorted(found, key=lambda f: -f.verdict.severity))


def headline(difference: Difference, authorised: Authorised | None = None) -> Verdict:
    """The worst verdict."""
    return findings(difference, authorised)[0].verdict
