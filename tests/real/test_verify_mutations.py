"""The verifier on real notes: thousands of automatic changes of meaning, none accepted, and of rewrites that keep it.

Mutations and rewrites are made by rules of this file, with regular expressions over the raw text; they share nothing
with the verifier. The accepted share of the rewrites is printed (`pytest -s`) and has a floor well below it: the rules
also write what is clumsy or wrong ("CVA tenderness" as "stroke tenderness").
"""

from __future__ import annotations

import csv
import lzma
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from nocere.clinical.notes.agreement import disagreement
from nocere.clinical.notes.lexicon import load_lexicon
from nocere.clinical.notes.scan import scan
from nocere.clinical.notes.verify import Verifier

DATA = Path(__file__).parents[3] / "shared" / "data" / "notes"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"the real notes are not at {DATA}"),
]
NOTES, SITES = 220, 2  # notes, and changed places of each rule in a note


@cache
def notes() -> tuple[str, ...]:
    """A fixed sample of ACI-Bench (all) and MTSamples, cut to 1,500 characters at a line or sentence."""
    found = []
    for name in ("aci_train", "aci_valid", "aci_clinicalnlp_taskB_test1"):
        with (DATA / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            found += [row["note"] for row in csv.DictReader(file)]
    with lzma.open(DATA / "mtsamples_unique_dev.csv.xz", "rt", encoding="utf-8", newline="") as file:
        found += random.Random(6).sample([row["transcription"] for row in csv.DictReader(file)], NOTES - len(found))
    return tuple(text[: max(text.rfind(". ", 0, 1500) + 1, 200)] for text in found)


Rule = tuple[str, str | Callable[[re.Match[str]], str]]


def swapped(words: dict[str, str]) -> Rule:
    """Exchanges words; capitals at the beginning stay."""

    words = {word.lower(): other for word, other in words.items()}

    def other(match: re.Match[str]) -> str:
        word = words[match[0].lower()]
        return word.capitalize() if match[0][0].isupper() else word

    return rf"\b(?i:{'|'.join(map(re.escape, words))})\b", other


def both(pairs: dict[str, str]) -> dict[str, str]:
    return pairs | {b: a for a, b in pairs.items()}


def number(match: re.Match[str]) -> str:
    digits = match[0]
    return str(int(digits) + (7 if int(digits) % 2 else 10)) if not digits.startswith("0") else digits + "1"


PERSONS = both({"he": "his father", "she": "her mother", "patient": "patient's brother"})
UNITS = {"mg": "mcg", "mcg": "mg", "ml": "L", "cm": "mm", "kg": "g", "days": "weeks", "weeks": "days", "hours": "days"}
MEANINGS: dict[str, list[Rule]] = {
    "negation": [
        (r"\bno (?=[a-z])", ""),
        (r"\bnot ", ""),
        (r"\bdenies\b", "reports"),
        (r"\bwithout\b", "with"),
        (r"\bwith (?=[a-z])", "without "),
        (r"\b(is|was|has|does|were|are|had) (?!not|no )", r"\1 not "),
        (r"\b(normal|clear|stable|intact)\b", r"not \1"),
    ],
    "number": [
        (r"(?<![\d./])\d{1,3}(?![\d./,]|st|nd|rd|th)", number),
        (r"(?<=\d)\.(?=\d)", ""),
        (r"(?<![\d.])(\d+)(?= mg)", r"\g<1>0"),
        (r"(?<![\d.])(\d)(\d+)(?= mg)", r"\1.\2"),
        swapped(both({"two": "three", "four": "five", "one": "six"})),
        swapped({"daily": "twice daily", "twice": "three times", "weekly": "monthly"}),
    ],
    "side": [swapped(both({"left": "right"})), swapped({"bilateral": "left", "bilaterally": "on the right"})],
    "person": [swapped(PERSONS), swapped(both({"mother": "father", "brother": "sister", "his": "her"}))],
    "certainty": [
        (r"\b(pain|asthma|pneumonia|hypertension|diabetes|infection|fracture)\b", r"possible \1"),
        swapped(both({"possible": "definite", "probable": "known"})),
        (r"\b(has|had|have) (?=[a-z])", r"\1 possibly "),
        swapped({"if": "since", "may": "will", "should": "did", "likely": "unlikely"}),
    ],
    "unit": [swapped(UNITS)],
    "history": [swapped({"history of": "current", "previous": "present", "past": "current", "resolved": "ongoing"})],
    "degree": [swapped(both({"mild": "severe", "acute": "chronic", "increased": "decreased", "high": "low"}))],
    "order": [(r"(?<=\. )([A-Z][^.]{15,80}\. )([A-Z][^.]{15,80}\. )", r"\2\1")],
    "characters": [
        (r"(?<=[a-z])e(?=[a-z])", "\u0435"),
        (r"(?<=[a-z])(?=[a-z])", "\u200b"),
        (r"(?<=\d)(?= )", "\u0301"),
    ],
}
WORDINGS: dict[str, list[Rule]] = {
    "abbreviation": [
        swapped({"patient": "pt", "with": "w/", "without": "w/o", "blood pressure": "BP", "heart rate": "HR"}),
        swapped({"history of": "h/o", "complains of": "c/o", "by mouth": "PO", "status post": "s/p"}),
        swapped({"hypertension": "HTN", "shortness of breath": "SOB", "history": "hx", "medications": "meds"}),
    ],
    "format": [
        (r"(?<=\d) mg\b", "mg"),
        (r"(?<=\d) mg\b", " milligrams"),
        (r"\b(\d+)-year-old\b", r"\1 year old"),
        (r"\b(\d+)-year-old\b", r"\1 y/o"),
        swapped({"twice daily": "BID", "twice a day": "b.i.d.", "as needed": "prn", "daily": "once a day"}),
        swapped({"two": "2", "three": "3", "six": "6", "ten": "10"}),
        (r"\b(\d)(?= (?:days|weeks|months|years|times))", lambda m: ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"][int(m[1])]),
        (r", and\b", " and"),
        (r"(?<=[a-z]) and (?=[a-z])", " & "),
    ],
    "surface": [
        (r"\b([A-Z])([a-z]{3,})\b", lambda m: m[0].lower()),
        (r"^[A-Z ]{8,}(?=:)", lambda m: m[0].title()),
        (r"\bfollow-up\b", "follow up"),
        (r"(?<=[a-z])-(?=[a-z]{3})", " "),
        (r"(?<=[a-z]) (?=[a-z])", "  "),
        swapped({"edema": "oedema", "anemia": "anaemia", "diarrhea": "diarrhoea", "hemoglobin": "haemoglobin"}),
        (r"\b(does|did|was|is|has) not\b", r"\1n't"),
    ],
    "concept": [
        swapped(both({"hypertension": "high blood pressure", "dyspnea": "shortness of breath"})),
        swapped(both({"fever": "pyrexia", "headache": "cephalalgia", "vomiting": "emesis", "stroke": "CVA"})),
        swapped(both({"heart attack": "myocardial infarction", "high cholesterol": "hypercholesterolemia"})),
        (r"\bdiabetes\b(?! mellitus| type)", "diabetes mellitus"),
        swapped({"coronary artery disease": "CAD", "depression": "depressive disorder", "itching": "pruritus"}),
        swapped(both({"back pain": "lumbago", "low back pain": "lower back pain"})),
        swapped(both({"Lipitor": "atorvastatin", "Tylenol": "acetaminophen", "Zocor": "simvastatin"})),
    ],
}  # fmt: skip


def changed(text: str, rules: list[Rule], rng: random.Random) -> Iterator[str]:
    """The text with one place changed, for up to `SITES` places of each rule."""
    for pattern, into in rules:
        found = list(re.finditer(pattern, text, re.MULTILINE))
        for match in rng.sample(found, min(SITES, len(found))):
            new = into(match) if callable(into) else match.expand(into)
            if new != match[0]:
                yield text[: match.start()] + new + text[match.end() :]


def test_no_change_of_meaning_is_accepted() -> None:
    rng = random.Random(1)
    tried: Counter[str] = Counter()
    accepted: list[tuple[str, str, str]] = []
    for text in notes():
        verifier = Verifier(text)
        for kind, rules in MEANINGS.items():
            for other in changed(text, rules, rng):
                tried[kind] += 1
                told = verifier(other)
                if told.accepted:
                    accepted.append((kind, told.edits[0].before, told.edits[0].after))
                assert told.accepted or (told.reason and told.why)
    print("\nmutations", sum(tried.values()), dict(tried))
    assert sum(tried.values()) >= 5000 and not accepted, accepted[:20]


def test_rewrites_that_keep_the_meaning_are_mostly_accepted() -> None:
    rng = random.Random(2)
    tried: Counter[str] = Counter()
    accepted: Counter[str] = Counter()
    refused: Counter[tuple[str, str, str]] = Counter()
    for text in notes():
        verifier = Verifier(text)
        for kind, rules in WORDINGS.items():
            for other in changed(text, rules, rng):
                tried[kind] += 1
                told = verifier(other)
                accepted[kind] += told.accepted
                if not told.accepted:
                    edit = told.edits[0] if told.edits else None
                    refused[kind, told.reason, f"{edit.before} -> {edit.after}" if edit else ""] += 1
    shares = {kind: accepted[kind] / tried[kind] for kind in tried}
    print("\nrewrites", dict(tried), {k: f"{v:.3f}" for k, v in shares.items()})
    for what, times in refused.most_common(40):
        print(times, what)
    assert sum(tried.values()) > 2000
    assert min(shares.values()) > 0.8 and sum(accepted.values()) / sum(tried.values()) > 0.9


def test_windows_tell_what_the_whole_note_tells() -> None:
    rng = random.Random(3)
    lexicon = load_lexicon()
    checked = 0
    for text in rng.sample(notes(), 25):
        verifier = Verifier(text, lexicon)
        for rules in WORDINGS.values():
            for other in changed(text, rules, rng):
                told = verifier(other)
                if told.accepted and any(e.concept[0] for e in told.edits):
                    assert disagreement(scan(text, lexicon), scan(other, lexicon), told.edits) is None
                    checked += 1
    assert checked > 10
