"""Notes review: its numbers against plain counts over the bundle and the model itself, on a small phantom audit."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from tests.noted_audit import audited

from nocere.audit.bundle import Bundle
from nocere.cases.phantoms.notes import draw, opioid
from nocere.cases.phantoms.notes_facts import SETTINGS
from nocere.cases.phantoms.notes_paper import BEFORE, EDITS, after
from nocere.cases.phantoms.notes_record import CODEC, records
from nocere.cases.phantoms.notes_wording import wordings
from nocere.clinical.codes.graph import load_rules
from nocere.clinical.notes.verify import verify
from nocere.core.batch import Batch
from nocere.core.case import CaseSet
from nocere.core.errors import UsageError
from nocere.report.notes import marked, render_notes, summary
from nocere.scenarios.notes_review.controls import reactions
from nocere.scenarios.notes_review.flips import concepts, flips, grades
from nocere.scenarios.notes_review.paper import papers_edit
from nocere.scenarios.notes_review.review import review
from nocere.scenarios.notes_review.worded import SWAPS, WIDE, worded
from nocere.targets.notes.opioid import train_risk
from nocere.threats.words.controls import Controls
from nocere.threats.words.splice import replay

Audit = tuple[Bundle, CaseSet, Any]


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    return audited(tmp_path_factory.mktemp("notes") / "audit")


@pytest.fixture(scope="module")
def found(audit: Audit) -> dict[str, Any]:
    return review(*audit)


def high(target: Any, texts: list[str], case: Any) -> np.ndarray:
    return target.decision.margins(target.scores(Batch(texts, (case,) * len(texts))))[:, 1]


def test_searched_are_the_notes_that_the_model_decides_rightly(audit: Audit, found: dict[str, Any]) -> None:
    bundle, cases, target = audit
    right = {c.id for c in cases if (high(target, [c.x], c)[0] > 0) == (c.truth.label == "high")}
    assert {w.case.id for w in worded(bundle, cases)} == right
    assert found["searched"] == found["right"] == len(right)


def test_flips_are_what_the_bundle_holds(audit: Audit) -> None:
    bundle, cases, _ = audit
    notes = worded(bundle, cases)
    rows = {(r["set"], r["edits"]): r for r in flips(bundle, notes)}
    for name in SWAPS:
        broken = {(o.case_id, o.radius) for o in bundle.outcomes(name) if o.kind == "broken"}
        for k in (1, 2, 4):
            turned = {case for case, radius in broken if radius <= k}
            assert rows[name, k]["turned"]["k"] == len(turned)
            assert rows[name, k]["turned"]["n"] + rows[name, k]["unknown"] == len(notes)
    assert rows[WIDE, 4]["turned"]["k"] >= rows["surface", 4]["turned"]["k"] > 0


def test_every_turned_note_is_verified_and_turns_the_model(audit: Audit) -> None:
    bundle, cases, target = audit
    notes = worded(bundle, cases)
    seen = 0
    for n in notes:
        told = n.verified(WIDE)
        if told is not None:
            seen += 1
            assert told.accepted
            assert 1 <= len(told.edits) <= 4
    assert seen == sum(r["notes"] for r in grades(notes)) > 0
    assert sum(r["alone"] for r in concepts(notes)) <= seen


def test_controls_against_the_model_itself(audit: Audit) -> None:
    _, cases, target = audit
    some = list(cases)[:6]
    rows = {r["kind"]: r for r in reactions(some, target)}
    assert {"negation", "number", "dose", "certainty", "person"} <= set(rows)
    moved, turned = 0, 0
    for c in some:
        texts = [replay(c.x, [e]) for e in Controls().edits(c) if e.rule == "negation"]
        margins = high(target, [c.x, *texts], c)
        moved += bool((np.abs(margins[1:] - margins[0]) > 1e-6).any())
        turned += bool(((margins[1:] > 0) != (margins[0] > 0)).any())
    assert (rows["negation"]["moved"]["k"], rows["negation"]["turned"]["k"]) == (moved, turned)


def test_the_papers_sentence_is_graded_c_and_ranked_by_brute_force(audit: Audit) -> None:
    _, cases, target = audit
    p = papers_edit(target, "high", list(cases))
    assert [(e["before"], e["after"], e["grade"]) for e in p["verified"]] == [(*pair, "C") for pair in EDITS]
    assert [tuple(e["codes"]) for e in p["verified"]] == [("M54.9", "M54.50"), ("F10.10", "F10.20")]
    case = next(iter(cases)).with_x(BEFORE)
    first, second = high(target, [BEFORE, after()], case)
    assert (p["before"], p["after"]) == (pytest.approx(first), pytest.approx(second))
    wide = p["sets"]["notes.coding_variant_wide"]
    assert wide["contains_it"]
    assert 1 <= wide["rank_of_the_papers"] <= wide["members"]
    assert not p["sets"]["notes.same_concept"]["contains_it"]
    assert wide["best"][0]["margin"] <= second
    assert p["in_notes"]["notes"] == sum(all(old in c.x for old, _ in EDITS) for c in cases)


def test_the_page_shows_phantoms_and_withholds_patients(audit: Audit, found: dict[str, Any]) -> None:
    page = render_notes(found)
    assert "Not reviewed by a clinician" in page
    assert found["examples"]
    assert found["examples"][0]["edits"][0]["after"] in page
    own = {**found, "phantom": False}
    held = render_notes(own)
    assert found["examples"][0]["case"] not in held
    assert f"{len(found['examples'])} turned notes are withheld" in held
    assert found["examples"][0]["case"] in render_notes(own, rewrites=True)
    assert any("same concept, up to 4 edits" in line for line in summary(found))
    json.dumps(found)


def test_a_note_of_markup_is_shown_as_text() -> None:
    edits = [{"start": 0, "end": 3, "before": "<b>", "after": "<i>", "grade": "A"}]
    assert "<b>" not in marked("<b>x", edits)
    assert "&lt;b&gt;" in marked("<b>x", edits)


def test_another_models_audit_is_refused(audit: Audit) -> None:
    bundle, cases, _ = audit
    with pytest.raises(UsageError, match="another model"):
        review(bundle, cases, train_risk(n=600).target)


def test_phantom_notes_say_what_their_facts_support() -> None:
    rules = load_rules()
    for c in opioid(n=40):
        assert all(rules.billable(code) for code in c.header["facts"])
    shares = [s for forms in wordings().values() for s in zip(*forms.values(), strict=True)]
    assert all(len(forms) > 1 for forms in wordings().values())
    assert all(sum(s) == pytest.approx(1.0) for s in shares)
    assert len(shares) == len(wordings()) * len(SETTINGS)


def test_wordings_of_phantoms_come_at_their_declared_frequency() -> None:
    drawn = [draw(3, i) for i in range(3000)]
    mine = [s for s in drawn if s.patient.setting == "pain clinic" and s.patient.pain == "low back pain"]
    share = np.mean(["lumbago" in s.text.lower() for s in mine])
    declared = wordings()["low back pain"]["lumbago"][SETTINGS.index("pain clinic")]
    assert abs(share - declared) < 4 * np.sqrt(declared * (1 - declared) / len(mine))


def test_declared_wordings_of_a_fact_are_the_same_to_the_verifier() -> None:
    refused = []
    for fact, forms in wordings().items():
        if fact in ("complains", "by mouth", "daily", "twice", "needed"):
            continue
        first, *others = forms
        refused += [o for o in others if not verify(f"She has {first}.", f"She has {o}.").accepted]
    assert len(refused) <= 3, refused


def test_records_of_note_and_claim_round_trip() -> None:
    for c in records(n=5):
        x, header = CODEC.decode(CODEC.encode(c, c.x))
        assert (x, dict(header)) == (c.x, dict(c.header))
        assert set(c.x["claim"].codes) <= set(c.header["note"]["facts"])  # type: ignore[index, call-overload]
