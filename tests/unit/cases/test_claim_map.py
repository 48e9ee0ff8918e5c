"""ICD-9-CM to ICD-10-CM: the rule of choice on invented tables, and known codes on the real ones."""

from __future__ import annotations

from typing import Any

import pytest

from nocere.cases.claim import Claim, Diagnosis, Line
from nocere.cases.claim_check import validate
from nocere.cases.claim_map import Mapped, targets, to_icd10
from nocere.clinical.codes.graph import load_rules
from nocere.clinical.codes.rules import GemRow, Rule

RULES = load_rules()


def row(target: str, *, scenario: int = 0, choice: int = 0, exact: bool = False, no_map: bool = False) -> GemRow:
    return GemRow("001.0", target, not exact, no_map, scenario > 0, scenario, choice)


class Table:
    """A rule graph of invented codes: which are complete, what they are called, what is below them, what they map to."""

    version = "icd10cm-2026"

    def __init__(self, titles: dict[str, str], rows: list[GemRow], below: dict[str, list[str]] | None = None) -> None:
        self.titles, self.rows, self.below = titles, rows, below or {}

    def gem(self, code: str) -> tuple[GemRow, ...]:
        return tuple(self.rows) if code == "001.0" else ()

    def exists(self, code: str, system: str = "ICD-10-CM") -> bool:
        return self.billable(code, system) or code in self.below

    def billable(self, code: str, system: str = "ICD-10-CM") -> bool:
        return code == "001.0" if system == "ICD-9-CM" else code in self.titles

    def title(self, code: str, system: str = "ICD-10-CM") -> str:
        return self.titles[code]

    def leaves(self, code: str, system: str = "ICD-10-CM") -> tuple[str, ...]:
        return tuple(self.below[code])

    def generalisations(self, code: str) -> tuple[tuple[str, Rule], ...]:
        return tuple(
            (to, Rule("r", "residual", "", "", decided=decided)) for to, decided in (("Q30.0", True), ("Q33.1", False)) if to != code
        )  # fmt: skip


TITLES = {
    "Q10.0": "a disease", "Q10.1": "another disease", "Q20.9": "a disease, unspecified", "Q21.1": "right", "Q21.2": "left",
    "Q30.0": "the residual", "Q30.1": "unspecified something", "Q31.9": "unspecified, unspecified", "Q31.0": "unspecified side",
    "Q31.11": "unspecified deep below", "Q32.0": "unspecified a", "Q32.9": "unspecified b", "Q33.1": "undecided residual",
    "Q40.0XXA": "first", "Q40.9XXA": "unspecified, first", "Q40.9XXD": "unspecified, later",
}  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "below", "got"),
    [
        ([], {}, ()),
        ([row("", no_map=True)], {}, ()),
        ([row("Q10.0")], {}, ("Q10.0",)),
        ([row("Q10.1"), row("Q10.0")], {}, ("Q10.0",)),  # the order of code decides
        ([row("Q10.0"), row("Q20.9")], {}, ("Q20.9",)),  # what says less
        ([row("Q20.9"), row("Q10.1", exact=True)], {}, ("Q10.1",)),  # what is exact
        ([row("Q99.9")], {}, ()),  # gone without a successor
        ([row("Q99.9"), row("Q10.1")], {}, ("Q10.1",)),
        ([row("Q21")], {"Q21": ["Q21.1", "Q21.2"]}, ()),  # every leaf says more
        ([row("Q21")], {"Q21": ["Q21.1"]}, ("Q21.1",)),  # the only one is the same thing
        ([row("Q30")], {"Q30": ["Q30.1", "Q30.0"]}, ("Q30.0",)),  # what the rules call residual
        ([row("Q33")], {"Q33": ["Q33.1", "Q10.0"]}, ()),  # not what they leave open
        ([row("Q31")], {"Q31": ["Q31.0", "Q31.9", "Q31.11"]}, ("Q31.9",)),
        ([row("Q31")], {"Q31": ["Q31.11", "Q10.0"]}, ()),
        ([row("Q32")], {"Q32": ["Q32.0", "Q32.9"]}, ()),  # a tie says nothing
        ([row("Q40.XXXA")], {"Q40": ["Q40.0XXA", "Q40.9XXA", "Q40.9XXD"]}, ("Q40.9XXA",)),
        ([row("Q40.XXXS")], {"Q40": ["Q40.0XXA", "Q40.9XXA", "Q40.9XXD"]}, ()),
        (
            [
                row("Q21.2", scenario=1, choice=2),
                row("Q10.1", scenario=1, choice=1),
                row("Q10.0", scenario=1, choice=1),
            ],
            {},
            ("Q10.0", "Q21.2"),
        ),
        ([row("Q10.0", scenario=1, choice=1), row("Q99.9", scenario=1, choice=2)], {}, ()),  # half of a pair
        (
            [
                row("Q10.0", scenario=1, choice=1),
                row("Q99.9", scenario=1, choice=2),
                row("Q21.1", scenario=2, choice=1),
                row("Q21.2", scenario=2, choice=2),
            ],
            {},
            ("Q21.1", "Q21.2"),
        ),
        ([row("Q10.0", scenario=1, choice=1), row("Q21.1", scenario=1, choice=2), row("Q10.1")], {}, ("Q10.1",)),
        (
            [
                row("Q10.0", scenario=1, choice=1),
                row("Q21.1", scenario=1, choice=1),
                row("Q21.2", scenario=1, choice=2),
            ],
            {},
            ("Q21.1", "Q21.2"),  # of one category, not the first in order
        ),
    ],
)
def test_the_rule_of_choice(rows: list[GemRow], below: dict[str, list[str]], got: tuple[str, ...]) -> None:
    table: Any = Table(TITLES, rows, below)
    assert targets("001.0", table) == got
    assert targets("002.0", table) == ()


def test_order_pointers_and_what_is_lost() -> None:
    claim = Claim(
        (Diagnosis("V85.4"), Diagnosis("250.00", "Y", ("d",)), Diagnosis("401.9", "N"), Diagnosis("401.1")),
        ("39.95",),
        (Line("G0001", pointers=(3, 0, 2)), Line("G0002", pointers=(0,))),
        "ICD-9-CM", 2010, age=70, sex="F", patient="p",
    )  # fmt: skip
    mapped = to_icd10(claim, RULES)
    assert mapped == Mapped(
        Claim(
            (Diagnosis("E11.9", "Y", ("d",)), Diagnosis("I10", "N")), (),
            (Line("G0001", pointers=(1,)), Line("G0002", pointers=())), "ICD-10-CM", 2026, age=70, sex="F", patient="p",
        ),
        ("V85.4",),
        ("39.95",),
    )  # fmt: skip
    validate(mapped.claim, RULES, "c1")
    assert to_icd10(mapped.claim, RULES) == Mapped(mapped.claim, (), ())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("401.0", "I10"), ("272.2", "E78.2"), ("429.9", "I51.9"), ("278.00", "E66.9"), ("272.0", "E78.00"), ("250.00", "E11.9"),
        ("428.0", "I50.9"), ("041.4", "B96.20"), ("585.3", "N18.30"), ("786.2", "R05.9"), ("577.0", "K85.90"),
        ("115.90", "B39.9"), ("998.59", "T81.40XA"), ("332.0", ""), ("V85.4", ""), ("E932.0", ""),
    ],
)  # fmt: skip
def test_known_codes(old: str, new: str) -> None:
    """By hand, from the tables: the paper's codes, codes divided before 2015 or after 2018, and codes without an honest target."""
    assert targets(old, RULES) == ((new,) if new else ())


def test_codes_that_need_two() -> None:
    assert targets("115.91", RULES) == ("B39.9", "G02")  # meningitis in histoplasmosis
    assert targets("249.31", RULES) == ("E09.11", "E09.65")  # both of the drug-induced kind, not one of each
