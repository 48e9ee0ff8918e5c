"""Capture-time fingerprints: bytes -> one reading -> tiers F0 to F5 -> what differs, and which verdict that is.

reading = read(content)
captured = fingerprint(reading, site_key)
difference = compare(captured, fingerprint(read(other), site_key))
findings(difference)[0].verdict
"""

from __future__ import annotations

from nocere.provenance.fingerprint.compare import Change, Difference, Tile, compare
from nocere.provenance.fingerprint.reading import KINDS, Reading, Undecodable, read
from nocere.provenance.fingerprint.tiers import Detail, Fingerprint, fingerprint
from nocere.provenance.fingerprint.tiles import Shape, TileProof, prove
from nocere.provenance.fingerprint.verdict import Authorised, Finding, Verdict, findings, headline

__all__ = [
    "KINDS",
    "Authorised",
    "Change",
    "Detail",
    "Difference",
    "Finding",
    "Fingerprint",
    "Reading",
    "Shape",
    "Tile",
    "TileProof",
    "Undecodable",
    "Verdict",
    "compare",
    "findings",
    "fingerprint",
    "headline",
    "prove",
    "read",
]
