"""The verifier on pairs by writers who had not seen it: how often it accepts what it must refuse, and the reverse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nocere.clinical.notes.verify import verify
from nocere.core.canonical import sha256
from nocere.core.intervals import clopper_pearson

PAIRS = Path(__file__).parent / "note_pairs"


def pairs(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (PAIRS / name).read_text(encoding="utf-8").splitlines()]


def test_the_pairs_are_those_whose_hashes_were_committed_first() -> None:
    listed = [line.split() for line in (PAIRS / "SHA256SUMS").read_text().splitlines() if not line.startswith("#")]
    assert len(listed) == 3
    for digest, name in listed:
        assert sha256((PAIRS / name).read_bytes()) == digest


@pytest.mark.parametrize("name", ["writer1_test.jsonl", "writer2_test.jsonl"])
def test_false_acceptance_and_recall(name: str) -> None:
    mine = pairs(name)
    accepted = {p["id"]: verify(p["original"], p["edited"]).accepted for p in mine}
    invalid, valid = ([p["id"] for p in mine if p["valid"] is v] for v in (False, True))
    assert len(invalid) >= 500
    assert len(valid) >= 200
    false = clopper_pearson(sum(accepted[i] for i in invalid), len(invalid))
    recall = clopper_pearson(sum(accepted[i] for i in valid), len(valid))
    assert false.high <= 0.02
    assert recall.low >= 0.8
