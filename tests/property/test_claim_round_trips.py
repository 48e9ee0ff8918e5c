"""Whatever a claim holds, every form that nocere writes gives the same claim back; spoiled bytes give one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nocere.cases.claim import Claim, Diagnosis, Line
from nocere.cases.claim_fhir import read_fhir
from nocere.cases.claim_fhir_write import write_fhir
from nocere.cases.claim_json import ClaimCodec, claim_of
from nocere.cases.claim_text import dotted, procedure
from nocere.cases.claim_x12 import read_x12
from nocere.cases.datasets.claims_fhir import claims_fhir
from nocere.cases.datasets.claims_json import claims_json, write_claims
from nocere.core.case import Case
from nocere.core.errors import DataError

TEN = st.from_regex(r"\A[A-Z][0-9][0-9A-Z][0-9A-Z]{0,4}\Z").map(lambda c: dotted(c, "ICD-10-CM"))
NINE = st.from_regex(r"\A([0-9]{3}[0-9]{0,2}|V[0-9]{2,4}|E[0-9]{3,4})\Z").map(lambda c: dotted(c, "ICD-9-CM"))
PCS = st.from_regex(r"\A[0-9A-HJ-NP-Z]{7}\Z")
THREE = st.from_regex(r"\A[0-9]{2,4}\Z").map(lambda c: procedure(c, "ICD-9-CM"))
HCPCS = st.from_regex(r"\A[A-V][0-9]{4}\Z")
WORD = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9-]{0,11}\Z")
MONEY = st.integers(0, 10**9).map(lambda cents: cents / 100)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@st.composite
def claims(draw: Any) -> Claim:
    ten = draw(st.booleans())
    codes = draw(st.lists(TEN if ten else NINE, min_size=1, max_size=8, unique=True))
    made = Diagnosis
    diagnoses = tuple(
        made(c, draw(st.sampled_from(["Y", "N", "U", "W", "1", ""])), tuple(draw(st.lists(WORD, max_size=2))))
        for c in codes
    )
    lines = tuple(
        Line(
            draw(HCPCS | st.just("")),
            tuple(draw(st.lists(st.from_regex(r"\A[A-Z0-9]{2}\Z"), max_size=4))),
            draw(st.integers(0, 4000)) / 4,
            draw(st.integers(0, 900)),
            draw(MONEY),
            tuple(draw(st.lists(st.integers(0, len(codes) - 1), max_size=4, unique=True))),
            tuple(draw(st.lists(WORD, max_size=2))),
        )
        for _ in range(draw(st.integers(0, 3)))
    )
    return Claim(
        diagnoses,
        tuple(draw(st.lists(PCS if ten else THREE, max_size=3))),
        lines,
        "ICD-10-CM" if ten else "ICD-9-CM",
        draw(st.integers(2016, 2027) if ten else st.integers(2000, 2015)),
        draw(st.sampled_from(["inpatient", "outpatient", "professional"])),
        draw(st.integers(-1, 124)),
        draw(st.sampled_from(["F", "M", ""])),
        draw(st.integers(0, 400)),
        draw(MONEY),
        draw(WORD | st.just("")),
        draw(WORD | st.just("")),
        draw(st.sampled_from(["", "01", "20"])),
    )


@given(claim=claims(), header=st.dictionaries(st.text(), JSON, max_size=3))
@settings(max_examples=60, deadline=None)
def test_codec(claim: Claim, header: dict[str, Any]) -> None:
    files = ClaimCodec().encode(Case("c", claim, header), claim)
    got, head = ClaimCodec().decode(files)
    assert got == claim and head == header
    assert claim_of(json.loads(json.dumps(claim.to_json())), "c") == claim


@given(claim=claims(), exhibit=st.booleans())
@settings(max_examples=60, deadline=None)
def test_fhir(claim: Claim, exhibit: bool) -> None:
    judge = pytest.importorskip("fhir.resources.R4B.claim", reason="the fhir extra is not installed")
    written = write_fhir(claim, "c-1", exhibit=exhibit)
    judge.Claim.model_validate(written)
    found = read_fhir(json.loads(json.dumps(written)), "file")
    assert found.id == "c-1" and found.claim == claim


@given(claim=claims(), spoil=st.data())
@settings(max_examples=80, deadline=None)
def test_spoiled_fhir_is_refused_or_read_but_never_crashes(claim: Claim, spoil: Any) -> None:
    written = json.loads(json.dumps(write_fhir(claim, "c-1")))
    node: Any = written
    while True:  # walk to some place and put something else there
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = spoil.draw(st.sampled_from(keys))
        inner = node[key]
        if not isinstance(inner, (dict, list)) or not inner or spoil.draw(st.booleans()):
            node[key] = spoil.draw(JSON)
            break
        node = inner
    assert _refusal(lambda: read_fhir(written, "file")).startswith(("Claim ", "file", "read"))


@given(headers=st.lists(st.dictionaries(st.text(), JSON, max_size=3), min_size=1, max_size=3))
@settings(max_examples=40, deadline=None)
def test_json_lines(tmp_path_factory: pytest.TempPathFactory, headers: list[dict[str, Any]]) -> None:
    """Also with the line ends of Unicode inside of a header."""
    file = tmp_path_factory.mktemp("claims") / "a.jsonl"
    cases = [
        Case(str(i), Claim((Diagnosis("I10"),), patient="p"), h | {"x": "\u2028\x85\x0b"})
        for i, h in enumerate(headers)
    ]
    file.write_bytes(write_claims(cases))
    assert [(c.id, c.x, dict(c.header)) for c in claims_json(file)] == [(c.id, c.x, dict(c.header)) for c in cases]


@given(claim=claims(), spoil=st.data())
@settings(max_examples=60, deadline=None)
def test_spoiled_fhir_files(tmp_path_factory: pytest.TempPathFactory, claim: Claim, spoil: Any) -> None:
    file = tmp_path_factory.mktemp("claims") / "a.json"
    written = json.loads(json.dumps(write_fhir(claim, "c-1")))
    for key in spoil.draw(st.lists(st.sampled_from(sorted(written)), min_size=1, max_size=3)):
        written[key] = spoil.draw(
            JSON | st.lists(st.dictionaries(st.sampled_from(["sequence", "coding", "type"]), JSON))
        )
    file.write_text(json.dumps(written))
    said = _refusal(lambda: claims_fhir(file, setting=spoil.draw(st.sampled_from(["", "inpatient"]))))
    assert said.startswith(("Claim ", str(file), "a.json (claims) holds no claim", "read"))


@given(data=st.binary(max_size=200))
@settings(max_examples=80, deadline=None)
def test_any_bytes_as_claim_json(data: bytes) -> None:
    with pytest.raises(DataError):
        ClaimCodec().decode({"claim.json": data})


@given(spoil=st.data())
@settings(max_examples=80, deadline=None)
def test_a_spoiled_837_is_refused_or_read_but_never_crashes(spoil: Any) -> None:
    from tests.unit.cases.test_claim_x12 import STAY, interchange

    text = interchange(*STAY)
    at = spoil.draw(st.integers(0, len(text) - 1))
    to = spoil.draw(st.integers(at, min(len(text), at + 40)))
    text = text[:at] + spoil.draw(st.text(alphabet="*:~ABKHI0-9", max_size=6)) + text[to:]
    assert _refusal(lambda: read_x12(text, "file")).startswith(("Claim ", "file", "read"))


def _refusal(read: Callable[[], Any]) -> str:
    try:
        read()
    except DataError as e:
        return str(e)
    return "read"
