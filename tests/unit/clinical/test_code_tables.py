"""CMS layouts of a payer's own files, on codes that nobody has (ZZ001, ...)."""

from __future__ import annotations

from datetime import date

import pytest

from nocere.clinical.codes.tables import load_base_units, load_fees, load_limits, load_pairs
from nocere.core.errors import DataError

PAIRS = """Some words about who owns the codes.\t\t\t\t\t\t
Column 1/Column 2 Edits\t\t\t\t\t\t
Column 1\tColumn 2\t*=in existence prior to 1996\tEffective Date\tDeletion Date *=no data\tModifier\tPTP Edit Rationale
\t\t\t\t\t0=not allowed\t
ZZ001\tZZ002\t\t20200101\t*\t0\tinvented
ZZ001\tZZ003\t*\t19960101\t20210101\t1\tinvented
ZZ001\tZZ003\t\t20220101\t*\t1\tinvented
ZZ004\tZZ005\t\t20200101\t20200101\t9\tinvented
ZZ006\tZZ007\t\t20200101\t20300101\t9\tinvented
"""
LIMITS = """"Words, with a comma",,,
HCPCS/CPT Code,Practitioner Services MUE Values,MUE Adjudication Indicator,MUE Rationale
ZZ001,2,2 Date of Service Edit: Policy,"invented, all of it"
ZZ002,0,1 Line Edit,invented
"""
UNITS = "Base units,\nCode,Base Unit\nZZ010,5\nZZ011,7\n"
FEES = """2026 invented file,,,,,,,,,,,,,,
,,,,NOT USED,WORK,NON-FAC,,FACILITY,,MP,NON-FAC,FACILITY,PCTC,CONV
HCPCS,MOD,DESCRIPTION,CODE,PAYMENT,RVU,PE RVU,INDICATOR,PE RVU,INDICATOR,RVU,TOTAL,TOTAL,IND,FACTOR
ZZ001,,a secret descriptor,A,,1.50,2.00,,1.00,,0.25,3.75,2.75,0,32.00
ZZ001,26,a secret descriptor,A,,1.00,0.50,,0.50,,0.10,1.60,1.60,0,32.00
"""


@pytest.fixture
def write(tmp_path):
    def writes(text: str):
        path = tmp_path / "table.txt"
        path.write_text(text)
        return path

    return writes


def test_pairs_hold_between_their_days_whichever_column(write):
    pairs = load_pairs(write(PAIRS))
    assert len(pairs) == 5
    day = date(2026, 1, 1)
    edit = pairs.edit("ZZ002", "ZZ001", day)
    assert edit is not None and (edit.column1, edit.column2, edit.modifier, edit.end) == ("ZZ001", "ZZ002", 0, None)
    assert pairs.edit("ZZ001", "ZZ002", date(2019, 12, 31)) is None
    assert pairs.edit("ZZ001", "ZZ003", date(2020, 12, 31)).modifier == 1
    assert pairs.edit("ZZ001", "ZZ003", date(2021, 1, 1)) is None  # between two edits
    assert pairs.edit("ZZ001", "ZZ003", day) is not None
    assert pairs.edit("ZZ004", "ZZ005", date(2020, 1, 1)) is None  # deleted on the day it began
    assert pairs.edit("ZZ006", "ZZ007", day) is None  # not applicable, whatever its days


def test_limits_and_base_units(write):
    limits = load_limits(write(LIMITS))
    assert {c: (x.units, x.indicator) for c, x in limits.items()} == {"ZZ001": (2, 2), "ZZ002": (0, 1)}
    assert load_base_units(write(UNITS)) == {"ZZ010": 5, "ZZ011": 7}


def test_fees_are_units_times_the_factor_and_keep_no_descriptor(write):
    fees = load_fees(write(FEES))
    assert fees["ZZ001", ""].amount() == pytest.approx((1.5 + 2.0 + 0.25) * 32)
    assert fees["ZZ001", ""].amount(facility=True) == pytest.approx(2.75 * 32)
    assert fees["ZZ001", "26"].amount() == pytest.approx(1.6 * 32)
    assert "secret" not in repr(fees)


@pytest.mark.parametrize(
    ("load", "text", "says"),
    [
        (load_pairs, PAIRS.replace("20200101\t*\t0", "2020\t*\t0"), "line 5: '2020' is no date"),
        (load_pairs, PAIRS.replace("\t*\t0\tinvented", "\t*\tx\tinvented"), "modifier indicator 'x'"),
        (load_pairs, LIMITS, "no header line that begins with 'column 1'"),
        (load_limits, LIMITS.replace("ZZ001,2,", "ZZ001,-2,"), "MUE value '-2' is not a whole number"),
        (load_limits, LIMITS.replace("ZZ002,0,1 Line Edit,invented", "ZZ002,0"), "2 columns, 3 are wanted"),
        (load_fees, FEES.replace("1.50", "-1.50"), "'-1.50' is not a number of 0 or more"),
        (load_fees, FEES.replace("1.50", "nan"), "not a number of 0 or more"),
        (load_fees, FEES.replace("FACTOR", "IND"), "no column for the conversion factor"),
        (load_fees, UNITS, "no header line"),
    ],
)
def test_what_is_not_the_layout_is_said_with_its_place(write, load, text, says):
    with pytest.raises(DataError, match=says):
        load(write(text))


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        load_pairs(tmp_path / "none.txt")
