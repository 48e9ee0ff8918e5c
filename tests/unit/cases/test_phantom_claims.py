"""Anti-rig of the claims phantom: votes follow facts and treatments, never the codes or who wrote them."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from nocere.cases.phantoms import claims as phantom
from nocere.cases.phantoms.claims import Bill, billing, case_of, draw
from nocere.cases.phantoms.claims_coding import TYPES, complete, supported, write
from nocere.cases.phantoms.claims_facts import CONDITIONS
from nocere.cases.phantoms.claims_paper import CODES, FACTS, paper_cases
from nocere.cases.phantoms.claims_policy import READERS, TREATMENTS, covered, holds, review
from nocere.clinical.codes.graph import load_rules
from nocere.clinical.codes.groupers import Drgpy, Msdrg, compare
from nocere.core.errors import UsageError
from nocere.core.ranking import auroc
from nocere.threats.codes.language import language
from nocere.threats.codes.truth import facts_of, untrue

N = 3000


@pytest.fixture(scope="module")
def bills() -> list[Bill]:
    return [draw(11, i) for i in range(N)]


def test_tables_name_only_what_there_is() -> None:
    rules = load_rules()
    for name, c in CONDITIONS.items():
        assert sum(g.share for g in c.grades.values()) == pytest.approx(1.0), name
        earlier = list(CONDITIONS)[: list(CONDITIONS).index(name)]
        assert set(c.with_) | set(c.only_with) | set(c.never_with) <= set(earlier), name
        for g in c.grades.values():
            for code in (*g.codes, g.general):
                assert rules.billable(code), code
            assert g.general in (*g.codes, *(b for b, r in rules.generalisations(g.codes[0]) if r.decided)), g
    for name, t in TREATMENTS.items():
        assert t.source and t.usd > 0 and bool(t.service) != bool(t.days), name
        for a in t.asked:
            assert a.removeprefix("+") in CONDITIONS
        for fact in (*t.excluded, *(f for row in t.covered for f in row)):
            condition, _, grade = fact.partition(": ")
            assert condition in CONDITIONS and (not grade or grade in CONDITIONS[condition].grades), fact


def test_no_code_of_a_licensed_list_is_in_the_phantom(bills: list[Bill]) -> None:
    """HCPCS Level II codes start with a letter from A to V, without D; ICD-10-PCS has seven characters; ZZ is invented."""
    lines = {line.code for b in bills for line in b.claim.lines}
    assert all(re.fullmatch(r"[A-CE-V]\d{4}|ZZ\d{3}", code) for code in lines), lines
    assert all(re.fullmatch(r"[0-9A-HJ-NP-Z]{7}", p) for b in bills for p in b.claim.procedures)


def test_votes_follow_facts_and_treatment_only(bills: list[Bill]) -> None:
    """The same facts and treatment are reviewed alike whoever writes the claim, and whatever is written."""
    for i, b in enumerate(bills[:200]):
        again = review(b.treatment, dict(b.facts), np.random.default_rng([11, i, phantom._READERS]))
        assert again == b.deny
    by_type = {t: [b.denied for b in bills if b.provider_type == t] for t in TYPES}
    table = [[sum(v), len(v) - sum(v)] for v in by_type.values()]
    assert stats.chi2_contingency(table).pvalue > 0.01, table


def test_the_writing_carries_nothing_beyond_the_facts(bills: list[Bill]) -> None:
    """Among claims with the same treatment and coverage, detail and number of codes do not tell what was decided."""
    score, truth = np.zeros(N), np.array([b.denied for b in bills])
    strata = Counter((b.treatment, covered(b.treatment, b.facts), tuple(sorted(b.facts))) for b in bills)
    for i, b in enumerate(bills):
        score[i] = len(b.claim.codes) - len(b.complete)
    assert len(strata) > 500
    for met in (True, False):
        rows = np.array([covered(b.treatment, b.facts) is met for b in bills])
        found = auroc(score[rows], truth[rows], [b.claim.patient for b in np.array(bills, object)[rows]])
        assert found.interval.low < 0.5 < found.interval.high or abs(found.value - 0.5) < 0.04


def test_policy_decides_with_noise(bills: list[Bill]) -> None:
    met = np.array([covered(b.treatment, b.facts) for b in bills])
    denied = np.array([b.denied for b in bills])
    assert 0.05 < denied[met].mean() < 0.2 and 0.8 < denied[~met].mean() < 0.95
    assert 0.25 < denied.mean() < 0.45
    borderline = np.mean([b.truth().borderline for b in bills])
    assert 0.05 < borderline < 0.35
    assert all(len(b.deny) == READERS and sum(b.truth().votes.values()) == READERS for b in bills)


def test_policy_by_hand() -> None:
    assert holds("obesity: class 3", {"obesity": "class 3"}) and not holds("obesity: class 3", {"obesity": "class 1"})
    assert covered("sleeve gastrectomy", {"obesity": "class 2", "diabetes": "controlled"})
    assert not covered("sleeve gastrectomy", {"obesity": "class 2"})
    assert not covered("hip replacement", {"hip arthritis": "left", "smoking": ""})
    assert covered("hip replacement", {"hip arthritis": "left"})


def test_complete_coding_by_hand() -> None:
    heart = {"hypertension": "", "heart failure": "systolic", "kidney disease": "stage 4", "diabetes": "controlled"}
    assert complete(heart, "heart failure") == ("I13.0", "I50.22", "E11.22", "N18.4")
    assert complete(heart, "kidney disease") == ("I13.0", "E11.22", "N18.4", "I50.22")
    kidney = {"hypertension": "", "kidney disease": "stage 4", "renal anaemia": ""}
    assert complete(kidney, "renal anaemia") == complete(kidney, "kidney disease") == ("I12.9", "N18.4", "D63.1")
    assert complete({**heart, "kidney disease": "stage 5"}, "diabetes") == ("E11.22", "I13.2", "I50.22", "N18.5")
    lipids = {
        "hypercholesterolaemia": "",
        "hypertriglyceridaemia": "",
        "hypertension": "",
        "heart disease": "not specified",
    }
    assert complete(lipids, "hypertriglyceridaemia") == ("E78.2", "I11.9")
    assert complete(lipids, "heart disease") == ("I11.9", "E78.2")
    shock = {"sepsis": "E. coli", "kidney injury": "tubular necrosis", "COPD": "stable", "pneumonia": "MRSA"}
    assert complete(shock, "sepsis") == ("A41.51", "J44.0", "J15.212", "N17.0", "R65.20")
    assert {"I10", "I13.0"} <= set(supported(heart)) and "E11.9" not in supported(heart)


def test_claims_are_valid_and_honest_ones_are_true(bills: list[Bill]) -> None:
    rules = load_rules()
    seen: Counter[tuple[str, bool]] = Counter()
    for i, b in enumerate(bills):
        case = case_of(b, f"x/{i}")
        why = untrue(case.x, facts_of(case), language(rules, "ICD-10-CM"))
        assert (why is not None) is b.unsupported, (b.provider_type, why, b.claim.codes)
        assert b.provider_type in ("upcoder", "padder") or not b.unsupported
        seen[b.provider_type, b.unsupported] += 1
        for codes in (b.claim.codes, b.complete):
            assert len(set(codes)) == len(codes) > 0
            for k, one in enumerate(codes):
                assert rules.billable(one)
                assert all(rules.excludes1(other, one) is None for other in codes[:k]), codes
    assert set(seen) == {(t, False) for t in TYPES} | {("upcoder", True), ("padder", True)}


def test_stays_group_and_pay_by_two_groupers(bills: list[Bill]) -> None:
    stays = [b.claim for b in bills if b.claim.setting == "inpatient"]
    found = compare(Drgpy(), Msdrg(), stays, [s.patient for s in stays])
    assert len(stays) > 500 and found.disagreement.value < 0.01
    drgs = Counter(Drgpy().drg(s) for s in stays)
    assert "999" not in drgs and len(drgs) > 20
    by_treatment = {t: {Drgpy().drg(b.claim) for b in bills if b.treatment == t} for t in TREATMENTS}
    assert by_treatment["heart failure stay"] >= {"291", "292", "293"}
    assert by_treatment["sleeve gastrectomy"] <= {"619", "620", "621"}


def test_provider_types_write_as_they_are_said_to() -> None:
    facts = {"hypertension": "", "heart failure": "diastolic", "kidney disease": "stage 3b", "depression": "single"}
    said = {
        t: [write(t, facts, "heart failure", 97, True, np.random.default_rng(i)) for i in range(200)] for t in TYPES
    }
    best = complete(facts, "heart failure")
    assert {w.codes for w in said["optimiser"]} == {best}
    assert {w.minutes for w in said["specific"]} == {97} and all(set(w.codes) <= set(best) for w in said["specific"])
    assert all(w.minutes >= 107 and w.minutes % 5 == 0 for w in said["padder"])
    lazy = {c for w in said["lazy"] for c in w.codes}
    assert {"I50.9", "N18.9", "I10", "F32.9"} <= lazy <= set(supported(facts)) | {"I50.9", "N18.9", "F32.9"}
    more = [not set(w.codes) <= set(supported(facts)) for w in said["upcoder"]]
    assert 0.35 < np.mean(more) < 0.6


def test_audits_look_at_half_and_find_most(bills: list[Bill]) -> None:
    audited = [b for b in bills if b.audit]
    assert 0.45 < len(audited) / N < 0.55
    found = [b.audit == "unsupported" for b in audited if b.unsupported]
    false = [b.audit == "unsupported" for b in audited if not b.unsupported]
    assert np.mean(found) > 0.7 and np.mean(false) < 0.06


def test_a_set_keeps_patients_apart_and_says_what_is_wrong() -> None:
    sets = {s: billing(n=40, seed=5, split=s) for s in ("train", "val", "test")}
    groups = [{r.group for r in s.refs} for s in sets.values()]
    assert all(len(g) == 20 for g in groups) and not groups[0] & groups[1] and not groups[1] & groups[2]
    case = next(iter(sets["test"]))
    assert case.header["phantom"]["treatment"] == case.attrs["treatment"]  # type: ignore[index, call-overload]
    assert set(case.attrs) == {"age", "provider", "provider type", "sex", "treatment"}
    with pytest.raises(UsageError, match="splits"):
        billing(split="x")
    with pytest.raises(UsageError, match="1,000,000"):
        billing(n=0)


def test_documented_minutes_are_those_of_the_record(bills: list[Bill]) -> None:
    timed = [b for b in bills if b.minutes]
    assert len(timed) > 100
    for b in timed:
        case = case_of(b, "x")
        (noted,) = facts_of(case).lines
        (line,) = b.claim.lines
        assert noted.minutes == b.minutes and line.units == round(line.minutes / 15, 1)
        assert (line.minutes == b.minutes) is not (b.provider_type == "padder")


def test_the_patient_of_the_paper() -> None:
    rules, cases = load_rules(), {c.id.split("/")[1]: c for c in paper_cases()}
    assert cases["icd9-denied"].x.codes == ("277.7", "429.9", "278.00")
    assert cases["icd9-approved"].x.codes == ("401.0", "272.0", "272.2", "429.9", "278.00")
    for name, (system, codes) in CODES.items():
        case = cases[name]
        assert case.x.system == system and case.truth.label == "approve"
        assert all(rules.billable(c, system) for c in codes) and set(codes) <= set(FACTS[system])
        assert all(rules.billable(c, system) for c in FACTS[system])
        if system == "ICD-10-CM":
            assert untrue(case.x, facts_of(case), language(rules, "ICD-10-CM")) is None
    assert "malignant" in rules.title("401.0", "ICD-9-CM").lower()
