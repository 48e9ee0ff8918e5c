"""The look-up key of a wording: what it is when case, hyphens, blanks, British spelling and plural are set aside."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from importlib.resources import files

_APART = re.compile(r"[\s\-‐‑]+")
_LATIN = re.compile(r"(?<=[a-z]{3})oses$")
_NOT_LATIN = frozenset({"overdoses", "lactoses", "sucroses", "glucoses"})
_IRREGULAR = {
    "metastases": "metastasis",
    "diagnoses": "diagnosis",
    "prognoses": "prognosis",
    "prostheses": "prosthesis",
    "pareses": "paresis",
    "crises": "crisis",
    "emboli": "embolus",
    "thrombi": "thrombus",
    "calculi": "calculus",
    "bronchi": "bronchus",
    "vertebrae": "vertebra",
    "diverticula": "diverticulum",
    "bacteria": "bacterium",
    "feet": "foot",
    "teeth": "tooth",
}
_NO_PLURAL = frozenset(
    (
        "diabetes", "herpes", "ascites", "rabies", "scabies", "caries", "series", "species", "facies", "feces",
        "measles", "mumps", "shingles", "hives", "rickets", "biceps", "triceps", "forceps", "lens", "aids", "does",
    )
)  # fmt: skip
_ENDS = ("ss", "us", "is", "as", "os")


@cache
def _spelling() -> dict[str, str]:
    """British words and their American spelling (data/spelling.tsv), with the forms that inflection gives."""
    words: dict[str, str] = {}
    table = files("nocere.clinical.notes").joinpath("data/spelling.tsv").read_text(encoding="utf-8")
    for line in table.splitlines()[1:]:
        british, american = line.split("\t")[:2]
        words[british.casefold()] = american.casefold()
    for british, american in tuple(words.items()):
        for end in ("s", "d", "ed", "ing"):
            words.setdefault(british + end, american + end)
        if british.endswith("e"):
            words.setdefault(british[:-1] + "ing", american.removesuffix("e") + "ing")
    return words


@lru_cache(maxsize=65_536)
def american(word: str) -> str:
    """A case-folded word in American spelling."""
    return _spelling().get(word, word)


@lru_cache(maxsize=65_536)
def singular(word: str) -> str:
    """A case-folded word without its plural ending; only a look-up key, never shown."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) < 4 or word[-1] != "s" or word in _NO_PLURAL or word.endswith(_ENDS) or word.endswith("'s"):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word not in _NOT_LATIN and _LATIN.search(word):
        return word[:-2] + "is"
    if word.endswith(("sses", "xes", "shes")) or (word.endswith("ches") and not word.endswith("aches")):
        return word[:-2]
    return word[:-1]


@lru_cache(maxsize=65_536)
def fold(word: str) -> str:
    """One word of a key: case-folded, straight apostrophe, American spelling; the plural stays."""
    return american(word.casefold().replace("’", "'"))


@lru_cache(maxsize=65_536)
def key(surface: str) -> str:
    """The key under which a wording is looked up: "Low-back  pains" and "low back pain" share one.

    Case-folded; hyphens and runs of blanks become one blank; British spelling becomes American; the plural of the last
    word is folded.
    """
    words = [fold(w) for w in _APART.split(surface.strip()) if w]
    if words:
        words[-1] = singular(words[-1])
    return " ".join(words)
