"""Notes of the tabular list: Excludes1 with inheritance, code first, use additional, what is undecided, what is optional."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest

from nocere.clinical.codes.graph import load_rules

RULES = load_rules()
LEAVES = [c for c in RULES.tree().codes if RULES.billable(c)]


@pytest.fixture(scope="module")
def tabular():
    return pytest.importorskip("simple_icd_10_cm")


def plainly(text: str) -> list[tuple[str, str]] | None:
    """Ranges that a note names, read by another way; None where it says more than plain codes and ranges."""
    found = []
    if re.search(r"[A-Z]\d[0-9A-Z]", re.sub(r"\([^()]*\)", "", text)):
        return None
    for part in re.findall(r"\(([^()]*)\)", text):
        for item in part.split(","):
            m = re.fullmatch(
                r"\s*([A-Z]\d[0-9A-Z](?:\.[0-9A-Z]+)?)\.?-?(?:-([A-Z]\d[0-9A-Z](?:\.[0-9A-Z]+)?))?\s*", item
            )
            if m:
                found.append((m[1].replace(".", ""), (m[2] or m[1]).replace(".", "")))
            elif re.search(r"[A-Z]\d\d", item):
                return None
    return found


def conflict(tabular, a: str, b: str) -> bool | None:
    """Whether an Excludes1 note at or above one code names the other, straight from the package's notes."""
    unread = False
    for x, y in ((a, b), (b, a)):
        bare = y.replace(".", "")
        for n in (x, *tabular.get_ancestors(x)):
            if n in (y, *tabular.get_ancestors(y)):
                continue  # the note holds for both
            for note in tabular.get_excludes1(n):
                ranges = plainly(note)
                if ranges is None:
                    unread = True
                for low, high in ranges or ():
                    if low <= bare[: len(low)] and bare[: len(high)] <= high and not x.replace(".", "").startswith(low):
                        return True
    return None if unread else False


def test_counts_of_notes_are_those_of_the_package(tabular):
    codes = tabular.get_all_codes()
    # A block and its only category share a name there, and the block's notes are counted for both: 5,428.
    assert sum(len(tabular.get_excludes1(c)) for c in codes) == 5428
    counts = RULES.coverage()["excludes1"]
    assert counts["notes"] == 5407
    assert counts["named"] / counts["notes"] > 0.97
    assert counts["edges"] >= 6010


def test_known_conflicts_carry_their_note():
    rule = RULES.excludes1("E11.9", "E10.9")
    assert rule is not None and rule.at in ("E11", "E10") and "type" in rule.text
    rule = RULES.excludes1("I10", "O10.011")
    assert rule is not None
    assert (rule.id, rule.at, rule.kind) == ("icd10cm-2026:excludes1:I10#0", "I10", "excludes1")
    assert rule.text == "hypertensive disease complicating pregnancy, childbirth and the puerperium (O10-O11, O13-O16)"
    assert rule.codes == ("O10", "O11", "O13", "O14", "O15", "O16")
    assert RULES.excludes1("I10", "E11.9") is None
    assert RULES.excludes1("E11.9", "E11.9") is None
    # D72 Excludes1: basophilia (D72.824) holds for both of these.
    assert RULES.excludes1("D72.0", "D72.824") is None


def test_random_pairs_agree_with_the_packages_notes(tabular):
    rng = random.Random(4)
    seen = Counter()
    # Half of the pairs near each other, where notes are dense.
    for _ in range(1500):
        a = rng.choice(LEAVES)
        b = rng.choice(LEAVES)
        out = [t for n in (a, *RULES.ancestors(a)) for r in _rules_at(n) for t in r.codes]
        if out and rng.random() < 0.6:
            b = rng.choice(RULES.leaves(rng.choice(out)))
        if a == b:
            continue
        expected = conflict(tabular, a, b)
        got = RULES.excludes1(a, b)
        assert (got is None) == (RULES.excludes1(b, a) is None)
        if expected is not None:
            assert (got is not None) == expected, (a, b, got)
            seen[expected] += 1
    assert seen[True] > 200 and seen[False] > 400


def _rules_at(node: str):
    out = []
    for k in range(40):
        try:
            out.append(RULES.rule(f"icd10cm-2026:excludes1:{node}#{k}"))
        except KeyError:
            break
    return out


@pytest.mark.parametrize(
    ("node", "place", "some", "not_"),
    [
        ("R41.3", None, (), ()),
        ("R44", None, ("F11.151",), ("F11.15", "F11.150")),
        ("I79.2", None, (), ()),
    ],
)
def test_restrictions_in_words_are_read(node, place, some, not_):
    named = {c for r in _rules_at(node) for c in r.codes}
    assert set(some) <= named and not named & set(not_)


def test_a_range_with_a_subcategory_reaches_every_category_between():
    rule = next(r for r in RULES.use_additional("E66.1") if "adverse effect" in r.text)
    assert "T36.0X5" in rule.codes and "T45.515" in rule.codes and "T50.995" in rule.codes
    assert not any(c.startswith("T51") for c in rule.codes)
    rule = next(r for r in _rules_at("T88.7") if "specified adverse effects" in r.text)
    assert "T88.6" in rule.codes and not {"T88", "T88.7"} & set(rule.codes)
    rule = next(r for n in ("M14.6",) for r in _rules_at(n) if "E08-E13" in r.text)
    assert {c[:3] for c in rule.codes} == {"E08", "E09", "E10", "E11", "E13"}


def test_notes_are_found_again_by_their_id():
    rng = random.Random(5)
    for code in rng.sample(LEAVES, 300):
        for r in (*RULES.code_first(code), *RULES.use_additional(code), *RULES.code_also(code), *RULES.undecided(code)):
            assert RULES.rule(r.id) == r
            assert r.at == code or r.at in RULES.ancestors(code)
            assert r.text
    for wrong in ("icd10cm-2026:excludes1:I10#7", "icd10cm-2026:nothing:I10", "x", "icd10cm-2025:excludes1:I10#0",
                  "icd10cm-2026:residual:I10", "icd10cm-2026:optional:I1", "icd10cm-2026:combine:I10->I11.0",
                  "icd10cm-2026:year:I10"):  # fmt: skip
        with pytest.raises(KeyError):
            RULES.rule(wrong)


def test_prose_is_undecided_and_stands_with_its_words():
    prose = [r for r in RULES.undecided("A41.9") if r.kind == "excludes1"]
    assert any(r.text.startswith("certain localized infections") and not r.codes for r in prose)
    assert not any(r.decided for c in LEAVES[::500] for r in RULES.undecided(c))
    # A line that opens a list forbids nothing by itself, unless it says that the list is not the whole.
    lead = [r for r in _rules_at("M86") if r.text == "osteomyelitis due to:"]
    assert len(lead) == 1 and lead[0].decided and not lead[0].codes
    assert any(r.text.endswith("such as:") for r in RULES.undecided("N39.0"))
    # A list that "such as" opens names codes and is not complete.
    open_ = [r for r in RULES.code_first("F02.80") if "such as" in r.text]
    assert open_ and open_[0].codes and not open_[0].decided


def test_what_a_partner_asks_for_is_not_optional():
    assert RULES.optional("N18.4", ["I12.9", "N18.4"]) is None  # use additional code to identify the stage
    assert RULES.optional("E11.22", ["A41.9", "E11.22", "N18.4"]) is None  # N18: code first diabetic kidney disease
    assert RULES.optional("I10", ["I10", "E66.9"]) is None  # principal
    rule = RULES.optional("E66.9", ["I10", "E66.9"])
    assert rule is not None and rule.decided and rule.remove == ("E66.9",) and rule.text.startswith("Section III")
    assert RULES.rule(rule.id) == rule


def test_an_open_note_of_another_code_leaves_it_undecided():
    # F02: code first the underlying physiological condition, such as ...
    rule = RULES.optional("E66.9", ["I10", "F02.80", "E66.9"])
    assert rule is not None and not rule.decided
    assert RULES.rule(rule.id) == rule
    # Alzheimer's disease is one that it names: the cause is there.
    rule = RULES.optional("E66.9", ["G30.9", "F02.80", "E66.9"])
    assert rule is not None and rule.decided
    assert RULES.optional("G30.9", ["E66.9", "F02.80", "G30.9"]) is None


def test_sex_and_age_come_from_titles():
    assert RULES.sex("C61") == "M" and RULES.sex("N40.0") == "M" and RULES.sex("C50.921") == "M"
    assert RULES.sex("O10.011") == "F" and RULES.sex("C56.1") == "F" and RULES.sex("C50.911") == "F"
    assert (
        RULES.sex("E11.9") == "" and RULES.sex("Z80.41") == "" and RULES.sex("N64.3") == "" and RULES.sex("P02.0") == ""
    )
    assert RULES.sex("Z31.81") == ""  # male factor infertility in female patient: the title names both
    assert RULES.ages("Z38.00") == (0, 0) and RULES.ages("Z68.30") == (20, 124) and RULES.ages("E11.9") == (0, 124)
