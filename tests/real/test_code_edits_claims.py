"""Edits of DE-SynPUF claims mapped to ICD-10-CM: every claim of the sets has a proof that the checker accepts."""

from __future__ import annotations

import itertools
import random
from functools import cache
from pathlib import Path
from statistics import median

import pytest

from nocere.cases.claim import Claim
from nocere.cases.datasets.claims_desynpuf import desynpuf
from nocere.cases.phantoms.claims import billing
from nocere.clinical.codes.graph import load_rules
from nocere.core.case import Case
from nocere.threats.codes.edit import ordered, replay
from nocere.threats.codes.language import language
from nocere.threats.codes.sets import AllEdits, CodeEdits, Truthful, TruthfulWide, proof_of
from nocere.threats.codes.truth import facts_of, untrue

DATA = Path(__file__).parents[3] / "shared" / "data" / "claims"
SETS: tuple[CodeEdits, ...] = (Truthful(2.0), TruthfulWide(2.0), AllEdits(2.0))


@cache
def real() -> tuple[Case[Claim], ...]:
    if not DATA.is_dir():
        pytest.skip(f"the real data sets are not at {DATA}")
    cases = desynpuf(
        DATA / "desynpuf_inpatient.csv.xz",
        beneficiary=DATA / "desynpuf_beneficiary.csv.xz",
        system="ICD-10-CM",
        limit=200,
    )
    return tuple(cases)


@cache
def phantoms() -> tuple[Case[Claim], ...]:
    return tuple(billing(n=60, seed=4))


def accepted(cases: tuple[Case[Claim], ...], pset: CodeEdits) -> int:
    """Single edits and some pairs of every claim: what `permits` allows the checker accepts, and the other way round."""
    rng, n = random.Random(0), 0
    for c in cases:
        single = pset.edits(c)
        pairs = [s for s in itertools.combinations(single, 2) if pset.compatible(*s)]
        for s in (*((e,) for e in single), *rng.sample(pairs, min(20, len(pairs)))):
            try:
                x = replay(c.x, ordered(s))
            except ValueError:
                assert not pset.permits(c, s)
                continue
            ok = pset.check(c, x, proof_of(ordered(s))) is None
            assert ok == pset.permits(c, s), (c.id, s, pset.check(c, x, proof_of(ordered(s))))
            n += ok
    return n


@pytest.mark.real
@pytest.mark.parametrize("pset", SETS, ids=lambda p: p.name)
def test_real_claims(pset: CodeEdits) -> None:
    moves = [len(pset.edits(c)) for c in real()]
    print(
        f"{pset.name}: {accepted(real(), pset)} proofs; moves a claim: median {median(moves)}, {min(moves)}-{max(moves)}"
    )
    if not pset.evidence:
        assert median(moves) >= 30


@pytest.mark.parametrize("pset", SETS, ids=lambda p: p.name)
def test_phantom_claims(pset: CodeEdits) -> None:
    """With facts: a truthful claim says nothing that is not entailed, whatever the provider had written."""
    assert accepted(phantoms(), pset) > 100
    assert all(set(SETS[0].edits(c)) <= set(SETS[1].edits(c)) <= set(SETS[2].edits(c)) for c in phantoms())
    for c in phantoms():
        for x, _ in pset.at(1.0).members(c):
            wrong = untrue(x, facts_of(c), language(load_rules(), c.x.system), pset.undecided)
            assert wrong is None or not pset.evidence
