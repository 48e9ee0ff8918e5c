"""837: hccinfhir's own samples against its own extractor, what the extractor does not read, and broken files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nocere.cases.claim import Diagnosis, Line
from nocere.cases.claim_x12 import claims_in, read_x12
from nocere.core.errors import DataError

ISA = "ISA*00*          *00*          *ZZ*SENDER         *ZZ*RECEIVER       *250101*0900*^*00501*000000001*0*P*:~"


def interchange(*segments: str, guide: str = "005010X223A2") -> str:
    inside = [f"ST*837*0001*{guide}", *segments, "SE*9*0001"]
    return ISA + "~".join([f"GS*HC*A*B*20250101*0900*1*X*{guide}", *inside, "GE*1*1", "IEA*1*000000001"]) + "~"


HEAD = (
    "HL*1**20*1", "NM1*85*2*CLINIC*****XX*1234567893", "HL*2*1*22*1", "NM1*IL*1*DOE*JANE****MI*MEMBER1", "DMG*D8*19500101*F",
    "HL*3*2*23*0", "NM1*QC*1*DOE*JOHN****MI*MEMBER2", "DMG*D8*20240601*M",
)  # fmt: skip
STAY = (
    *HEAD, "CLM*stay-1*1500.25***11:A:1*Y*A*Y*Y", "DTP*434*RD8*20241001-20241005", "DTP*435*DT*202410010830", "CL1*1*7*01",
    "HI*ABJ:R509", "HI*ABF:N184:::::::N", "HI*ABK:E1122:::::::Y", "HI*ABN:W1830XA:::::::1", "HI*DR:637",
    "HI*BBR:5A1D70Z:D8:20241002", "HI*BBQ:02HV33Z:D8:20241002", "LX*1", "SV2*0300*HC:G0001:LT*500.25*UN*2",
    "LX*2", "SV2*0120**1000*DA*4",
)  # fmt: skip
VISIT = (
    *HEAD[:-1], "DMG*D8*19800930*M", "CLM*visit-1*300***11:B:1*Y*A*Y*Y", "HI*BF:4019*BK:25000", "NM1*82*1*OTHER****XX*9",
    "LX*1", "SV1*HC:G0002:QZ:QS*250*MJ*95***2:1", "DTP*472*D8*20140930", "LX*2", "SV1*HC:G0003*50*UN*1.5***1",
)  # fmt: skip


def texts() -> list[tuple[str, str]]:
    hccinfhir = pytest.importorskip("hccinfhir", reason="the claims extra is not installed")
    folder = Path(hccinfhir.__file__).parent / "sample_files"
    return [(f.name, f.read_text()) for f in sorted(folder.glob("sample_837_*.txt"))]


def test_thirteen_samples_are_read_as_the_extractor_reads_them() -> None:
    files = texts()
    from hccinfhir.extractor_837 import extract_sld_837

    assert len(files) == 13
    lines = 0
    for name, text in files:
        mine = [(f, line) for f in read_x12(text, name) for line in f.claim.lines]
        theirs = extract_sld_837(text)
        for (found, line), t in zip(mine, theirs, strict=True):
            lines += 1
            claim = found.claim
            assert (found.id, line.code, list(line.modifiers), line.units) == (
                t.claim_id,
                t.procedure_code,
                t.modifiers,
                t.quantity,
            )
            assert [c.replace(".", "") for c in claim.codes] == t.claim_diagnosis_codes
            assert [claim.codes[p].replace(".", "") for p in line.pointers] == t.linked_diagnosis_codes
            assert (claim.provider, claim.patient) == (t.billing_provider_npi, t.patient_id)
            if name != "sample_837_12.txt":  # two guides in one file: the extractor takes the first one for all
                assert (claim.setting == "professional") == (t.claim_type == "837P")
            assert line.charge > 0
    assert lines == 48
    assert len({case_id for case_id, _ in claims_in(files)}) == 19


def test_a_stay_in_full() -> None:
    (found,) = read_x12(interchange(*STAY), "x")
    claim = found.claim
    assert claim.diagnoses == (Diagnosis("E11.22", "Y"), Diagnosis("N18.4", "N"), Diagnosis("W18.30XA", "1"))
    assert claim.procedures == ("5A1D70Z", "02HV33Z")
    assert claim.lines == (Line("G0001", ("LT",), 2.0, 0, 500.25), Line("", (), 4.0, 0, 1000.0))
    assert (claim.setting, claim.days, claim.discharge, claim.charge) == ("inpatient", 4, "01", 1500.25)
    assert (claim.system, claim.code_year) == ("ICD-10-CM", 2025)  # 5 October 2024 is in fiscal year 2025
    assert (claim.patient, claim.sex, claim.age, claim.provider) == ("MEMBER2", "M", 0, "1234567893")
    assert found.header == {"from": "2024-10-01", "thru": "2024-10-05", "admitting": "R50.9", "drg": "637"}


def test_minutes_pointers_and_icd9() -> None:
    (found,) = read_x12(interchange(*VISIT, guide="005010X222A1"), "x")
    claim = found.claim
    assert claim.codes == ("250.00", "401.9")
    assert claim.lines == (Line("G0002", ("QZ", "QS"), 1.0, 95, 250.0, (0, 1)), Line("G0003", (), 1.5, 0, 50.0, (1,)))
    assert (claim.system, claim.code_year, claim.setting) == ("ICD-9-CM", 2014, "professional")
    assert claim.provider == "1234567893"  # who bills, not who rendered
    assert claim.age == 34


def test_who_is_who_and_what_is_no_stay() -> None:
    """The subscriber is the patient where no patient is named; other insured people of the claim are neither."""
    segments = [*HEAD[:5], "CLM*day-1*9***13:A:1*Y*A*Y*Y", "DTP*434*RD8*20241001-20241005", "HI*ABK:I10"]
    (found,) = read_x12(interchange(*segments, "NM1*IL*1*OTHER*ONE****MI*MEMBER9", "DMG*D8*20000101*M"), "x")
    claim = found.claim
    assert (claim.patient, claim.sex, claim.age) == ("MEMBER1", "F", 74)
    assert (claim.setting, claim.days) == ("outpatient", 0)


def test_separators_are_those_that_the_file_declares() -> None:
    text = interchange(*STAY)
    other = text.replace("*", "|").replace(":", ">").replace("~", "\n")
    assert read_x12(other, "x") == read_x12(text, "x")
    assert read_x12("\ufeff" + text.replace("~", "~\r\n"), "x") == read_x12(text, "x")


def test_a_second_claim_of_the_same_patient_starts_anew() -> None:
    again = [s.replace("stay-1", "stay-2").replace("1500.25", "7") for s in STAY[8:10]]
    first, second = read_x12(interchange(*STAY, *again, "HI*ABK:I10"), "x")
    assert (first.id, second.id) == ("stay-1", "stay-2")
    assert second.claim.codes == ("I10",) and second.claim.lines == () and second.claim.charge == 7
    assert second.claim.patient == first.claim.patient and second.claim.discharge == ""
    twice = interchange(*STAY, *STAY)
    assert [i for i, _ in claims_in([("a.x12", twice)])] == ["a/stay-1", "a/stay-1#2"]


def _replaced(a: str, b: str, segments: Any = STAY, guide: str = "005010X223A2") -> str:
    text = interchange(*segments, guide=guide)
    assert a in text
    return text.replace(a, b)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a.x12: not an X12 interchange"),
        ("hello " * 50, "a.x12: not an X12 interchange"),
        (_replaced("005010X223A2", "005010X223A9"), "a.x12: transaction 837 of guide 005010X223A9 is not read"),
        (_replaced("ST*837", "ST*835"), "a.x12: transaction 835 of guide"),
        (_replaced("SE*9*0001", "SE*9*0002"), "a.x12: broken 837, a transaction ends"),
        (_replaced("~SE*9*0001", ""), "a.x12: broken 837, the file ends before"),
        (interchange(*STAY)[:-20], "a.x12: broken 837, the file ends before.*cut off"),
        (interchange(*HEAD), "a.x12: this 837 holds no claim"),
        (_replaced("CLM*stay-1*", "CLM**"), r"a.x12: broken 837, a claim \(CLM\) has no id"),
        (_replaced("1500.25", "much"), "Claim stay-1: its charge must be a number; got 'much'"),
        (_replaced("500.25*UN*2", "500.25*UN*two"), "Claim stay-1: the quantity of a line must be a number"),
        (_replaced("HI*ABJ:R509", "HI*ABJ"), "Claim stay-1: broken 837, HI element 'ABJ' has no code"),
        (_replaced("HI*ABF:N184", "HI*BF:5854"), "Claim stay-1: its diagnoses mix ICD-9-CM and ICD-10-CM"),
        (_replaced("20241001-20241005", "20241001-20241345"), "Claim stay-1: '20241345' is not a date"),
        (_replaced("DTP*472", "DTP*999", VISIT, "005010X222A1"), "Claim visit-1: no service date"),
        (_replaced("20240601", "20241002"), "Claim stay-1: its patient is born on 2024-10-02, after the care"),
        (_replaced("***2:1", "***2:3", VISIT, "005010X222A1"), "Claim visit-1: a line points to diagnosis 3"),
        (_replaced("MJ*95", "MJ*95.5", VISIT, "005010X222A1"), "Claim visit-1: a line has 95.5 minutes"),
        (interchange("SV1*HC:G0001*1*UN*1"), "a.x12: broken 837, a service line stands before any claim"),
    ],
)
def test_a_broken_837_is_one_sentence(text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_x12(text, "a.x12")
