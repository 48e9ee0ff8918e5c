"""Bad claims are refused in one sentence with the claim's id; what real data have is counted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from nocere.cases.claim import Claim, Diagnosis, Line
from nocere.cases.claim_check import problems, survey, validate, year_of
from nocere.clinical.codes.graph import load_rules
from nocere.core.case import Case
from nocere.core.errors import DataError

RULES = load_rules()
GOOD = Claim(
    (Diagnosis("E11.22", "Y"), Diagnosis("N18.4")), ("5A1D70Z",), (Line("G0001", pointers=(1,)),), age=67, sex="F"
)


def of(*codes: str, **more: Any) -> Claim:
    return replace(GOOD, diagnoses=tuple(Diagnosis(c) for c in codes), lines=(), **more)


def line(**about: Any) -> Claim:
    return replace(GOOD, lines=(Line("G0001"), Line("G0001", **about)))


def test_good_claims_pass() -> None:
    assert year_of(RULES) == 2026
    for claim in (
        GOOD,
        of("401.0", "272.0", "272.2", "429.9", "278.00", system="ICD-9-CM", code_year=2015),
        of("277.7", "429.9", "278.00", system="ICD-9-CM", code_year=2009, procedures=("39.95", "V58.66")),
        of("041.4", "V85.4", system="ICD-9-CM", code_year=2009),  # divided later
        of("I10", age=-1),
        of("I10", "I10"),  # a code that stands twice is a matter of representation
    ):
        assert problems(claim, RULES) == ()
        validate(claim, RULES, "c1", header={"facts": [{"code": "E11.22", "evidence": ["doc-1"]}, {"code": "N18.4"}]})


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        (of(), "Claim c1: it has no diagnosis."),
        (of("I10", "ZZ9.9"), "Claim c1: 'ZZ9.9' is not a code of ICD-10-CM, or is retired. The rules hold"),
        (of("I10", "I22.99"), "Claim c1: 'I22.99' is not a code of ICD-10-CM, or is retired"),
        (of("E1122"), "Claim c1: 'E1122' is not a code of ICD-10-CM"),
        (of("E11"), "Claim c1: E11 (Type 2 diabetes mellitus) is a heading, not a code that can be billed"),
        (of("S72.001"), "is a heading, not a code that can be billed. Give one of the codes below it"),
        (of("401", system="ICD-9-CM", code_year=2014), "Claim c1: 401 (Essential hypertension) is a heading"),
        (of("041.4", system="ICD-9-CM", code_year=2015), "Claim c1: 041.4 (Escherichia coli [e. coli]"),
        (of("999.99.9", system="ICD-9-CM", code_year=2014), "Claim c1: '999.99.9' is not a code of ICD-9-CM"),
        (of("401.9", system="ICD-9-CM", code_year=2016), "fiscal year 2016, and ICD-9-CM ended with 2015"),
        (of("I10", code_year=2015), "fiscal year 2015, and ICD-10-CM began with 2016"),
        (
            of("I10", code_year=2024),
            "fiscal year 2024, and the rules are those of 2026. Load it with on_year = 'recode'",
        ),
        (
            of("E11.9", "I10", "E10.9"),
            "Claim c1: E11.9 and E10.9 exclude each other (Excludes1 at E11: type 1 diabetes",
        ),
        (of("I10", charge=-0.01), "Claim c1: its charge is -0.01 dollars."),
        (of("I10", charge=float("nan")), "Claim c1: its charge is nan dollars."),
        (of("I10", age=-2), "Claim c1: its patient is -2 years old."),
        (of("I10", age=125), "Claim c1: its patient is 125 years old."),
        (of("I10", days=-1), "Claim c1: its length of stay is -1 days."),
        (line(units=-1.0), "Claim c1: line 2 has units -1."),
        (line(minutes=-5), "Claim c1: line 2 has minutes -5."),
        (line(charge=-2.5), "Claim c1: line 2 has a charge of -2.5."),
        (line(pointers=(2,)), "Claim c1: line 2 points to a diagnosis that the claim does not have."),
        (line(pointers=(-1,)), "Claim c1: line 2 points to a diagnosis"),
        (
            replace(GOOD, diagnoses=(Diagnosis("I10", "y"),), lines=()),
            "present on admission of I10 is 'y', not one of Y,",
        ),
        (of("I10", procedures=("39.95",)), "Claim c1: '39.95' has not the form of an ICD-10-PCS code."),
        (of("I10", procedures=("5A1D70O",)), "Claim c1: '5A1D70O' has not the form"),
    ],
)
def test_bad_claims(claim: Claim, words: str) -> None:
    with pytest.raises(DataError) as e:
        validate(claim, RULES, "c1")
    assert words in str(e.value)
    assert str(e.value).startswith("Claim c1: ") and "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ("E11.9", "its facts must be a list of objects with code and evidence"),
        (["E11.9"], "its facts must be a list of objects"),
        ([{"code": 5}], "its facts must be a list of objects"),
        ([{"code": "E11.9", "proof": []}], "its facts must be a list of objects"),
        ([{"code": "E11.9", "evidence": "doc-1"}], "its facts must be a list of objects"),
        ([{"code": "E11.9", "evidence": [1]}], "its facts must be a list of objects"),
        ([{"code": "E99.9"}], "its fact 'E99.9' is not a code that the rules know"),
    ],
)
def test_bad_facts(facts: Any, words: str) -> None:
    with pytest.raises(DataError, match=f"Claim c1: {words}"):
        validate(GOOD, RULES, "c1", header={"facts": facts})


def test_conflicts_can_be_kept_and_counted() -> None:
    conflict, unknown = of("E11.9", "E10.9"), of("ZZ9.9", "ZZ9.8", charge=-1.0)
    validate(conflict, RULES, "c1", on_conflict="keep")
    with pytest.raises(DataError, match="not a code"):
        validate(unknown, RULES, "c1", on_conflict="keep")
    cases = [Case(str(i), x) for i, x in enumerate((GOOD, conflict, conflict, unknown))]
    assert survey(cases, RULES) == {"claims": 4, "excludes1": 2, "number": 1, "unknown code": 1}
    assert survey([], RULES) == {"claims": 0}


def test_conflicts_hold_in_both_orders_and_not_for_icd9() -> None:
    for codes in (("E11.9", "E10.9"), ("E10.9", "E11.9")):
        assert [p.kind for p in problems(of(*codes), RULES)] == ["excludes1"]
    assert problems(of("250.00", "250.01", system="ICD-9-CM", code_year=2014), RULES) == ()
