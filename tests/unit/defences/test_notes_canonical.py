"""Canonical wording: no licensed rewording moves the score, by construction; unlicensed ones do."""

from __future__ import annotations

import numpy as np
import pytest

from nocere.cases.phantoms.notes import opioid
from nocere.cases.phantoms.notes_paper import BEFORE, after
from nocere.core.batch import Batch
from nocere.core.case import Case
from nocere.core.decision import OneLogit
from nocere.defences.notes_canonical import CanonicalDefence, CanonicalTarget, canonical_note
from nocere.targets.notes.opioid import train_risk
from nocere.threats.words.sets import CodingVariantWide, SameConcept

PLAIN = train_risk(n=600).target


def scores(target: CanonicalTarget, case: Case[str], texts: list[str]) -> np.ndarray:
    return target.scores(Batch(texts, (case,) * len(texts)))[:, 0]


@pytest.mark.parametrize(("level", "pset"), [("same", SameConcept(1.0)), ("umbrella", CodingVariantWide(1.0))])
def test_no_member_of_the_set_moves_the_score(level: str, pset: SameConcept) -> None:
    target = CanonicalDefence(level).harden(PLAIN)  # type: ignore[arg-type]
    for case in opioid(n=2):
        texts = [x for x, _ in pset.members(case)]
        assert len(texts) > 20
        seen = scores(target, case, [case.x, *texts])
        np.testing.assert_array_equal(seen, seen[0])
        plain = PLAIN.scores(Batch([case.x, *texts], (case,) * (len(texts) + 1)))[:, 0]
        assert (plain != plain[0]).any()


def test_coding_variants_are_told_apart_at_one_level_and_not_at_the_other() -> None:
    assert canonical_note(BEFORE, "same") != canonical_note(after(), "same")
    assert canonical_note(BEFORE, "umbrella") == canonical_note(after(), "umbrella")


def test_a_contradiction_is_still_seen() -> None:
    case = Case("c", "The patient has alcohol abuse.")
    seen = scores(
        CanonicalTarget(PLAIN, "umbrella"), case, [case.x, "The patient has no alcohol abuse and hypertension."]
    )
    assert seen[0] != seen[1]


def test_the_fingerprint_names_inner_level_and_lexicon() -> None:
    same, umbrella = CanonicalTarget(PLAIN), CanonicalTarget(PLAIN, "umbrella")
    assert len({same.fingerprint, umbrella.fingerprint, PLAIN.fingerprint}) == 3
    assert same.decision == PLAIN.decision == OneLogit(("low", "high"), PLAIN.decision.threshold)
    assert "gradients" not in same.access
