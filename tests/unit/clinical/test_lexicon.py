"""The lexicon: its rows as a whole, what is loaded, and what is refused.

Oracles: the titles and the tree of ICD-10-CM in the packaged rule graph, the lists of ambiguous wordings and of opposed
words below (written from the contract, not from the table), and the reading of every surface by the verifier.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

from nocere.clinical.codes.graph import TENTH, load_rules
from nocere.clinical.notes import lexicon as tables
from nocere.clinical.notes.canonical import canonical
from nocere.clinical.notes.forms import key, singular
from nocere.clinical.notes.lexicon import CONCEPTS, DATA, Entry, Lexicon, load_lexicon
from nocere.core.errors import DataError

HEADER = "surface\tcode\tsystem\tconcept\tumbrella\trelation\tregister\tsource"

# Two readings are usual in notes of the United States.
AMBIGUOUS = (
    "MS", "DM", "PT", "PE", "RA", "CP", "ED", "COLD", "SBP", "ACS", "ALL", "AS", "MR", "AI", "TR", "BPD", "CHD", "PND",
    "ARF", "PVD", "CF", "SI", "MCC", "AR", "PID", "ASD", "IDDM",
    "infection", "mass", "lesion", "pain", "weak", "yeast infection", "reflux", "mono", "swelling", "disease",
)  # fmt: skip

# Words of which one concept or umbrella never holds two from the same line.
OPPOSED = (
    "acute chronic subacute",
    "with without",
    "left right bilateral",
    "benign malignant",
    "systolic diastolic",
    "upper lower",
    "mild moderate severe",
    "paroxysmal persistent permanent",
    "internal external",
    "hyper hypo",
    "high low",
    "increased decreased",
)
NUMBERED = re.compile(
    r"\b(?:type|stage|grade|class|degree)[ -]([0-9]+[ab]?|i{1,3}|iv|v)\b|\b(first|second|third)[ -]degree\b"
)
ROMAN = {"i": "1", "ii": "2", "iii": "3", "iv": "4", "v": "5", "first": "1", "second": "2", "third": "3"}


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    return load_lexicon()


@pytest.fixture(scope="module")
def conditions(lexicon: Lexicon) -> tuple[Entry, ...]:
    return tuple(e for e in lexicon.entries if e.system == TENTH)


def rows(name: str) -> list[list[str]]:
    return [line.split("\t") for line in (DATA / name).read_text(encoding="utf-8").splitlines()[1:]]


# Rows


@pytest.mark.parametrize("name", CONCEPTS)
def test_every_packaged_row_passes_the_checks_of_a_users_row(name: str, tmp_path: Path, lexicon: Lexicon) -> None:
    """Slugs, systems, relations, codes that exist; and nothing is new in it."""
    shutil.copy(DATA / name, tmp_path)
    assert load_lexicon(tmp_path / name).entries == lexicon.entries


def test_every_concept_has_one_code_one_umbrella_and_no_mixed_relation() -> None:
    seen = defaultdict(set)
    for name in CONCEPTS:
        for row in rows(name):
            _, code, system, concept, umbrella, relation, _, _ = row
            seen[concept].add((code, system, umbrella, relation if relation != "narrower" else ""))
    for concept, found in seen.items():
        assert len({f[:3] for f in found}) == 1, concept
        assert len({f[3] for f in found} - {""}) <= 1, concept


def test_every_code_is_one_that_a_claim_can_carry(conditions: tuple[Entry, ...]) -> None:
    rules = load_rules()
    assert {e.code for e in conditions if not rules.billable(e.code)} == set()


def test_every_key_is_unique_over_all_files() -> None:
    """The rows of all files, counted here: the loader's own check is not asked."""
    counts = Counter(key(row[0]) for name in CONCEPTS for row in rows(name))
    assert [k for k, n in counts.items() if n > 1] == []


def test_the_rows_are_sorted_and_their_cells_trimmed() -> None:
    for name in CONCEPTS:
        text = (DATA / name).read_text(encoding="utf-8")
        assert '"' not in text
        assert all(cell == " ".join(cell.split()) for row in rows(name) for cell in row)
    order = [(row[3], row[0].casefold()) for row in rows("lexicon.tsv")]
    assert all(a <= b for a, b in pairwise(order))


def test_it_has_600_rows_over_400_codes_however_they_are_spelled(conditions: tuple[Entry, ...]) -> None:
    """Plurals, hyphens and blanks do not count as wordings of their own."""
    spelled = {"".join(singular(w) for w in key(e.surface).split()) for e in conditions}
    assert len(spelled) >= 600
    assert len({e.code for e in conditions}) >= 400
    assert len({e.umbrella for e in conditions if e.umbrella}) >= 40


# Meaning


def test_every_surface_is_read_as_its_own_concept(lexicon: Lexicon) -> None:
    """An abbreviation or another row may not take a surface over where it stands in a sentence."""
    wrong = {}
    for e in lexicon.entries:
        found = [a.entry.concept for a in canonical(f"She has {e.surface}.", lexicon) if a.entry]
        if found != [e.concept]:
            wrong[e.surface] = found
    assert wrong == {}


def test_an_umbrella_spans_several_concepts_and_has_one_head(conditions: tuple[Entry, ...]) -> None:
    concepts = defaultdict(lambda: defaultdict(set))
    for e in conditions:
        if e.umbrella:
            concepts[e.umbrella][e.concept].add(e.relation)
    for umbrella, found in concepts.items():
        assert len(found) > 1, umbrella
        assert len([c for c, relations in found.items() if "same" in relations]) == 1, umbrella


@pytest.mark.parametrize("level", ["concept", "umbrella"])
def test_opposites_never_share_a_concept_or_an_umbrella(level: str, conditions: tuple[Entry, ...]) -> None:
    groups = defaultdict(list)
    for e in conditions:
        if e.relation != "narrower" and getattr(e, level):
            groups[getattr(e, level)].append(key(e.surface).replace("chronic obstructive", "obstructive"))
    for name, surfaces in groups.items():
        for line in OPPOSED:
            said = {frozenset(s.split()) & frozenset(line.split()) for s in surfaces} - {frozenset()}
            assert len(said) < 2, (name, said)
        numbers = {next(filter(None, m)) for s in surfaces for m in NUMBERED.findall(s)}
        assert len({ROMAN.get(n, n) for n in numbers}) < 2, (name, numbers)


@pytest.mark.parametrize("wording", AMBIGUOUS)
def test_ambiguous_wordings_are_not_in_it(wording: str, lexicon: Lexicon) -> None:
    assert lexicon.find(key(wording)) is None


def test_the_edits_of_finlayson_are_coding_variants_and_no_synonyms(lexicon: Lexicon) -> None:
    for one, other in (("back pain", "lumbago"), ("alcohol abuse", "alcohol dependence")):
        a, b = lexicon.find(one), lexicon.find(other)
        assert a is not None
        assert b is not None
        assert a.umbrella == b.umbrella != ""
        assert a.code != b.code


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("systolic heart failure", "diastolic heart failure"),
        ("type 1 diabetes", "type 2 diabetes"),
        ("acute bronchitis", "chronic bronchitis"),
        ("hiv infection", "aids"),
        ("hypothyroidism", "hyperthyroidism"),
        ("central sleep apnea", "obstructive sleep apnea"),
        ("crohn's disease", "ulcerative colitis"),
        ("hepatitis b", "hepatitis c"),
        ("fatty liver", "cirrhosis"),
        ("chronic kidney disease", "acute kidney injury"),
    ],
)
def test_different_conditions_are_licensed_for_each_other_at_no_level(one: str, other: str, lexicon: Lexicon) -> None:
    a, b = lexicon.find(key(one)), lexicon.find(key(other))
    assert a is not None
    assert b is not None
    assert a.concept != b.concept
    assert not a.umbrella or a.umbrella != b.umbrella


# A user's rows


def user(tmp_path: Path, *lines: str, header: str = HEADER) -> Path:
    path = tmp_path / "mine.tsv"
    path.write_text("\n".join((header, *lines)) + "\n", encoding="utf-8")
    return path


def test_a_users_rows_are_added_to_the_packaged_ones(tmp_path: Path, lexicon: Lexicon) -> None:
    path = user(tmp_path, "ticker trouble", "heart attack of old\tI25.2\tICD-10-CM\told-mi-lay\t\tsame\tlay\tmine")
    with pytest.raises(DataError, match=r"Row 2 of mine.tsv has 1 cells instead of 8"):
        load_lexicon(path)
    extended = load_lexicon(user(tmp_path, "ticker failure\tI50.9\tICD-10-CM\theart-failure\t\tsame\tlay\tmine", ""))
    assert len(extended.entries) == len(lexicon.entries) + 1
    assert extended.find("ticker failure").concept == "heart-failure"
    assert extended.sha256 != lexicon.sha256
    assert lexicon.find("ticker failure") is None


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (
            "ticker failure\tI50.99\tICD-10-CM\tticker\t\tsame\tlay\tmine",
            r"Row 2 of mine.tsv: ICD-10-CM has no code 'I50.99'",
        ),
        (
            "ticker failure\tI509\tICD-10-CM\tticker\t\tsame\tlay\tmine",
            r"Row 2 of mine.tsv: ICD-10-CM has no code 'I509'",
        ),
        ("ticker pill\tC9A\tATC\tticker\t\tsame\tlay\tmine", r"Row 2 of mine.tsv: ATC has no code 'C9A'"),
        ("ticker failure\tI50.9\tSNOMED\tticker\t\tsame\tlay\tmine", r"Row 2 of mine.tsv: no code system 'SNOMED'"),
        (
            "ticker failure\tI50.9\tICD-10-CM\tTicker Failure\t\tsame\tlay\tmine",
            r"Row 2 .* concept 'Ticker Failure' is not a slug",
        ),
        ("ticker failure\tI50.9\tICD-10-CM\tticker\t\tequal\tlay\tmine", r"Row 2 .* no relation 'equal'"),
        ("ticker failure\tI50.9\tICD-10-CM\tticker\t\tsame\tslang\tmine", r"Row 2 .* no register 'slang'"),
        ("ticker failure\tI50.9\tICD-10-CM\tticker\t\tvariant\tlay\tmine", r"Row 2 .* variant needs the umbrella"),
        (" ticker failure\tI50.9\tICD-10-CM\tticker\t\tsame\tlay\tmine", r"Row 2 .* stray blanks"),
        (
            "heart failure\tI51.9\tICD-10-CM\theart-disease\t\tsame\tlay\tmine",
            r"'heart failure' is heart-failure \(I50.9, same\)",
        ),
        (
            "ticker failure\tI51.9\tICD-10-CM\theart-failure\t\tsame\tlay\tmine",
            r"heart-failure has ICD-10-CM I50.9 .* I51.9",
        ),
    ],
)
def test_a_users_bad_row_is_named(row: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=says):
        load_lexicon(user(tmp_path, row))


def test_a_file_that_is_no_lexicon_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"first line of mine.tsv is not the header"):
        load_lexicon(user(tmp_path, "a\tb", header="surface,code"))
    (tmp_path / "mine.tsv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"mine.tsv cannot be read"):
        load_lexicon(tmp_path / "mine.tsv")
    with pytest.raises(DataError, match=r"gone.tsv cannot be read"):
        load_lexicon(tmp_path / "gone.tsv")


def test_it_says_that_no_clinician_reviewed_it() -> None:
    assert "No clinician has reviewed them" in (tables.__doc__ or "")
