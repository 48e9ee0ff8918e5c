"""Notes as files: bytes that round-trip, headers, records with a claim, fingerprints, and what is no note."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nocere.audit.codecs import codec_named, codec_of
from nocere.cases.claim import Claim, Diagnosis
from nocere.cases.claim_json import ClaimCodec
from nocere.cases.note import FILE, HEADER, LARGEST, NoteCodec, note_case, read_note
from nocere.cases.record import RecordCodec, record_case
from nocere.core.canonical import sha256
from nocere.core.case import Case, CaseSet, Truth
from nocere.core.errors import DataError
from nocere.provenance.fingerprint.text import read_note as fingerprint_note

ODD = "HPI:\r\n\tPatient\u00a0c/o caf\u0065\u0301 au lait spots; Na\u00b2\u207a 5\u202fmg \U0001f489 \u2028 end\r\n"
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(str.strip)


def test_a_note_is_a_file_with_exactly_its_bytes() -> None:
    case = note_case("n", ODD, Truth.of("a"))
    files = NoteCodec().encode(case, case.x)
    assert dict(files) == {FILE: ODD.encode()} and case.sha256 == sha256(ODD.encode())
    assert NoteCodec().decode(files) == (ODD, {})
    assert case.group == "n" and case.truth.label == "a"


@given(text=TEXTS, other=TEXTS)
def test_every_text_and_header_comes_back(text: str, other: str) -> None:
    case = note_case("n", text, header={"row": {"age": "7"}}, facts=["F10.20"])
    files = NoteCodec().encode(case, other)
    x, header = NoteCodec().decode(files)
    assert x == other and header == {"row": {"age": "7"}, "facts": ["F10.20"]} == case.header
    assert set(files) == {FILE, HEADER}


def test_a_byte_order_mark_stays_in_the_file_and_out_of_the_text() -> None:
    data = b"\xef\xbb\xbfHPI: pain"
    text, header = read_note(data, "a.txt")
    assert text == "HPI: pain" and header == {"bom": True}
    case = Case("n", text, header)
    files = NoteCodec().encode(case, "HPI: ache")
    assert files[FILE] == b"\xef\xbb\xbfHPI: ache"
    assert NoteCodec().decode(files) == ("HPI: ache", {"bom": True})


def test_note_and_claim_are_one_record() -> None:
    note = note_case("r", ODD, facts=["M54.50"])
    claim = Case("r", Claim((Diagnosis("M54.50"),)), {"facts": ["M54.50"]}, sha256="0" * 64)
    case = record_case("r", {"note": note, "claim": claim}, Truth.of("paid"))
    codec = RecordCodec({"note": NoteCodec(), "claim": ClaimCodec()})
    edited = {"note": ODD.replace("\t", " "), "claim": Claim((Diagnosis("M54.9"),))}
    for x in (case.x, edited):
        files = codec.encode(case, x)
        assert set(files) == {"note/note.txt", "note/header.json", "claim/claim.json"}
        got, header = codec.decode(files)
        assert got == x and header == case.header


def test_what_provenance_reads_of_the_file_is_the_text() -> None:
    case = note_case("n", ODD)
    read = fingerprint_note(NoteCodec().encode(case, case.x)[FILE])
    # Line ends and Unicode forms are encoding there; every other character is text.
    assert read.meaning["text"] == ODD.replace("\r\n", "\n").replace("e\u0301", "\u00e9")
    changed = fingerprint_note(NoteCodec().encode(case, ODD.replace("5\u202fmg", "50\u202fmg"))[FILE])
    assert changed.meaning != read.meaning


def test_audits_take_notes_for_notes() -> None:
    assert codec_of(CaseSet.of([note_case("n", "pain")])).name == "note" == codec_named("note").name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Case n: the note is empty"),
        (" \r\n\t", "the note is empty"),
        ("\ufeff", "the note is empty"),
        ("pain\0", r"this is a binary file, not a note \(a NUL byte at character 4\)"),
        ("pain \ud83d", r"half of a surrogate pair \(character 5\)"),
        ("\u00e9" * (LARGEST // 2 + 1), "the note has 1,000,002 bytes; at most 1,000,000"),
    ],
)
def test_what_is_no_note_is_refused(text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        note_case("n", text)


def test_the_largest_note_is_taken() -> None:
    assert len(note_case("n", "a" * LARGEST).x) == LARGEST


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "has no note.txt"),
        ({FILE: b"caf\xe9"}, r"note.txt is not UTF-8 text \(.* at byte 3\)"),
        ({FILE: b"a", HEADER: b"{ }"}, "not in the canonical form"),
        ({FILE: b"a", HEADER: b"{}"}, "not in the canonical form"),
        ({FILE: b"a", HEADER: b"[1]"}, "not in the canonical form"),
        ({FILE: b"a", HEADER: b"{"}, "not valid JSON"),
        ({FILE: b"a", HEADER: b'{"bom":true}'}, "no byte order mark"),
    ],
)
def test_files_that_were_not_written_here_are_refused(files: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        NoteCodec().decode(files)
