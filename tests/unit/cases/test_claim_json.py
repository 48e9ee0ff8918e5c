"""Claims as JSON: the codec of evidence files, and one clear sentence for what is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nocere.cases.claim import Claim, Diagnosis, Line
from nocere.cases.claim_json import ClaimCodec, claim_of
from nocere.core.case import Case
from nocere.core.errors import DataError

CLAIM = Claim(
    diagnoses=(Diagnosis("E11.22", "Y", ("doc-1",)), Diagnosis("N18.4")),
    procedures=("5A1D70Z",),
    lines=(Line("G0001", ("LT",), 2.0, 95, 100.5, (1, 0), ("doc-2",)),),
    age=67,
    sex="F",
    days=3,
    charge=1234.5,
    provider="p",
    patient="q",
    discharge="01",
)
HEADER = {"facts": [{"code": "E11.22", "evidence": ["doc-1"]}], "payment": -12.25, "nothing": None}


def test_codec_gives_back_claim_and_header() -> None:
    case = Case("c1", CLAIM, HEADER)
    files = ClaimCodec().encode(case, CLAIM)
    assert set(files) == {"claim.json"}
    claim, header = ClaimCodec().decode(files)
    assert claim == CLAIM and hash(claim) == hash(CLAIM)
    assert header == HEADER
    assert isinstance(claim.lines[0].units, float)  # RFC 8785 writes 2.0 as 2
    assert ClaimCodec().encode(case.with_x(claim), claim) == files


def test_a_file_that_is_not_as_it_was_written_is_refused() -> None:
    data = ClaimCodec().encode(Case("c1", CLAIM, HEADER), CLAIM)["claim.json"]
    pretty = json.dumps(json.loads(data), indent=1).encode()
    twice = data.replace(b'"age":67', b'"age":67,"age":68')
    assert twice != data
    for files, words in (
        ({}, "no claim.json"),
        ({"claim.json": pretty}, "canonical form"),
        ({"claim.json": twice}, "stands twice"),
        ({"claim.json": data[:-2]}, "not valid JSON"),
        ({"claim.json": b"\xff"}, "not valid JSON"),
        ({"claim.json": b"[" * 100_000}, "nested too deeply"),
        ({"claim.json": b'{"claim":{"diagnoses":[]},"header":{"a":"\\ud800"}}'}, "canonical form"),
        ({"claim.json": b'{"claim":{"diagnoses":[]},"header":{"a":1e400}}'}, "1e400 is not a number"),
        ({"claim.json": b'{"claim":{"diagnoses":[]},"header":{"a":1' + b"0" * 400 + b"}}"}, "is not a number"),
        ({"claim.json": b'{"claim":{"diagnoses":[]}}'}, "claim and header"),
        ({"claim.json": b'{"claim":{"diagnoses":[],"charge":NaN},"header":{}}'}, "NaN is not a number of JSON"),
    ):
        with pytest.raises(DataError, match=words):
            ClaimCodec().decode(files)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, "Claim c1: the claim has no field 'diagnoses'"),
        ([], "Claim c1: claim must be an object; got \\[\\]"),
        ({"diagnoses": "E11.9"}, "Claim c1: diagnoses must be a list; got 'E11.9'"),
        ({"diagnoses": ["E11.9"]}, r"Claim c1: diagnoses\[0\] must be an object"),
        ({"diagnoses": [{"code": 5}]}, r"Claim c1: diagnoses\[0\].code must be text; got 5"),
        ({"diagnoses": [{"poa": "Y"}]}, r"Claim c1: the diagnosis diagnoses\[0\] has no field 'code'"),
        ({"diagnoses": [], "colour": 1}, "Claim c1: a claim has no field 'colour'.*Its fields are: diagnoses"),
        ({"diagnoses": [], "age": 6.5}, "Claim c1: age must be a whole number; got 6.5"),
        ({"diagnoses": [], "age": True}, "Claim c1: age must be a number; got True"),
        ({"diagnoses": [], "charge": "12"}, "Claim c1: charge must be a number; got '12'"),
        ({"diagnoses": [], "charge": float("inf")}, "Claim c1: charge must be a number"),
        ({"diagnoses": [], "charge": 10**400}, "Claim c1: charge must be a number"),
        ({"diagnoses": [], "charge": float("nan")}, "Claim c1: charge must be a number; got nan"),
        ({"diagnoses": [], "days": 2**60}, "Claim c1: days must be a number"),
        ({"diagnoses": [], "sex": "female"}, "Claim c1: sex must be one of 'F', 'M', ''"),
        ({"diagnoses": [], "system": "ICD-11"}, "Claim c1: system must be one of 'ICD-9-CM', 'ICD-10-CM'"),
        (
            {"diagnoses": [], "lines": [{"code": "G0001", "pointers": ["a"]}]},
            r"lines\[0\].pointers\[0\] must be a number",
        ),
    ],
)
def test_what_is_wrong_is_said_with_the_claim_and_the_place(data: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        claim_of(data, "Claim c1")
