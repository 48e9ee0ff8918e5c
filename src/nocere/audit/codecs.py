"""Which codec writes and reads the cases of an audit: by content when it is planned, by name when it is replayed."""

from __future__ import annotations

from collections.abc import Callable

from nocere.cases.claim import Claim
from nocere.cases.claim_json import ClaimCodec
from nocere.cases.codec import Codec
from nocere.cases.dicom import DicomCodec
from nocere.cases.image import ImageCodec
from nocere.cases.note import NoteCodec
from nocere.core.case import CaseSet
from nocere.core.errors import VerificationError

CODECS: dict[str, Callable[[], Codec]] = {
    ImageCodec.name: ImageCodec,
    DicomCodec.name: DicomCodec,
    ClaimCodec.name: ClaimCodec,
    NoteCodec.name: NoteCodec,
}


def codec_of(cases: CaseSet) -> Codec:
    """The codec of these cases."""
    first = cases.load(cases.refs[0].id)
    x = first.x
    if isinstance(x, str):
        return NoteCodec()
    if isinstance(x, Claim):
        return ClaimCodec()
    return DicomCodec() if "display" in first.header else ImageCodec()


def codec_named(name: str) -> Codec:
    """The codec that a bundle names.

    Raises:
        VerificationError: none of this version.
    """
    if name not in CODECS:
        raise VerificationError(f"This version of nocere reads no {name!r} files.", "Give the codec in Python.")
    return CODECS[name]()
