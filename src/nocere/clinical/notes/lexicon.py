"""The lexicon: which wordings denote which clinical concept, and which concepts a coder bills apart.

The rows are tab-separated tables in `data/`: lexicon.tsv (symptoms and conditions, ICD-10-CM), drugs.tsv (the same
columns, ATC), abbreviations.tsv, spelling.tsv and phrases.tsv. We wrote them; the column `source` says where a relation
can be checked (`scripts/confirm_lexicon.py` does). **No clinician has reviewed them.**
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, fields, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Literal, TypeAlias, cast, get_args

from nocere.clinical.codes.graph import TENTH, load_rules
from nocere.clinical.notes.forms import key
from nocere.core.canonical import digest
from nocere.core.errors import DataError

Relation: TypeAlias = Literal["same", "narrower", "variant"]
Register: TypeAlias = Literal["lay", "clinical"]
RELATIONS: tuple[str, ...] = get_args(Relation)
REGISTERS: tuple[str, ...] = get_args(Register)

DATA = Path(__file__).parent / "data"
CONCEPTS = ("lexicon.tsv", "drugs.tsv")
ATC = "ATC"

_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
# The five levels of the Anatomical Therapeutic Chemical classification: C, C09, C09A, C09AA, C09AA03.
_ATC = re.compile(r"[A-Z](\d\d([A-Z]([A-Z](\d\d)?)?)?)?")


@dataclass(frozen=True, slots=True)
class Entry:
    """A surface form of a concept.

    Args:
        surface: as written in running text, lower case unless the case matters.
        code: dotted ICD-10-CM code or ATC code of the concept.
        system: "ICD-10-CM" or "ATC".
        concept: slug; a concept has exactly one code.
        umbrella: slug that coding variants share: concepts that a clinician would usually read as the same statement
            and a coder bills apart; "" where there is none.
        relation: "same" (denotes the concept), "variant" (the same, of a concept that is not its umbrella's head),
            "narrower" (a narrower thing that is filed under the code: never a synonym of the others).
        register: "lay" or "clinical".
        source: where the relation is stated.
    """

    surface: str
    code: str
    system: str
    concept: str
    umbrella: str
    relation: Relation
    register: Register
    source: str


@dataclass(frozen=True, slots=True)
class Abbreviation:
    """An unambiguous short form and one of its long forms; kind: term, route, frequency, unit, time or phrase."""

    short: str
    long: str
    kind: str
    source: str


@dataclass(frozen=True, slots=True)
class Spelling:
    """A word in British and in American spelling."""

    british: str
    american: str


@dataclass(frozen=True, slots=True)
class Phrase:
    """A wording without a concept ("complains of") and the group of those that may stand for each other."""

    phrase: str
    group: str
    source: str


@dataclass(frozen=True, eq=False)
class Lexicon:
    """Surface forms by look-up key, concept and umbrella.

    Raises:
        DataError: a surface that has two rows, or a concept with two codes or two umbrellas.
    """

    entries: tuple[Entry, ...]
    abbreviations: tuple[Abbreviation, ...] = ()
    spelling: tuple[Spelling, ...] = ()
    phrases: tuple[Phrase, ...] = ()

    def __post_init__(self) -> None:
        index: dict[str, Entry] = {}
        first: dict[str, Entry] = {}
        for e in self.entries:
            if (known := index.setdefault(key(e.surface), e)) is not e:
                raise DataError(
                    f"The lexicon has the surface {e.surface!r} twice: for {known.concept} ({known.code}) as "
                    f"{known.surface!r}, and for {e.concept} ({e.code}).",
                    "Keep one row; leave an ambiguous surface out.",
                )
            known = first.setdefault(e.concept, e)
            if (e.code, e.system, e.umbrella) != (known.code, known.system, known.umbrella):
                raise DataError(
                    f"The concept {e.concept} has {known.system} {known.code} and umbrella {known.umbrella!r} for "
                    f"{known.surface!r}, but {e.system} {e.code} and {e.umbrella!r} for {e.surface!r}.",
                    "Give a concept one code and one umbrella.",
                )

    @cached_property
    def sha256(self) -> str:
        """Hash of all rows, for the record of a run."""
        return digest([[astuple(row) for row in rows] for rows in self._tables])

    @property
    def longest(self) -> int:
        """Words of the longest surface."""
        return self._longest

    def find(self, surface: str) -> Entry | None:
        """The entry of a look-up key (`forms.key` of what stands in the text), None where there is none."""
        return self._index.get(surface)

    def concept(self, slug: str) -> tuple[Entry, ...]:
        """Entries of a concept, in the order of the table; empty where it is not known."""
        return self._concepts.get(slug, ())

    def umbrella(self, slug: str) -> tuple[Entry, ...]:
        """Entries of all concepts under an umbrella; empty where it is not known."""
        return self._umbrellas.get(slug, ())

    def extended(self, entries: Iterable[Entry]) -> Lexicon:
        """This lexicon with more entries; one whose surface is known already for the same concept adds nothing.

        Raises:
            DataError: an entry contradicts this lexicon or another one of them.
        """
        new: dict[str, Entry] = {}
        for e in entries:
            known = self.find(key(e.surface)) or new.setdefault(key(e.surface), e)
            if (known.concept, known.code, known.relation) != (e.concept, e.code, e.relation):
                raise DataError(
                    f"{e.surface!r} is {known.concept} ({known.code}, {known.relation}) in the lexicon and "
                    f"{e.concept} ({e.code}, {e.relation}) in the rows to be added.",
                    "Leave the row out.",
                )
        return replace(self, entries=(*self.entries, *new.values()))

    @cached_property
    def _index(self) -> dict[str, Entry]:
        return {key(e.surface): e for e in self.entries}

    @cached_property
    def _concepts(self) -> dict[str, tuple[Entry, ...]]:
        return _grouped(self.entries, lambda e: e.concept)

    @cached_property
    def _umbrellas(self) -> dict[str, tuple[Entry, ...]]:
        return _grouped((e for e in self.entries if e.umbrella), lambda e: e.umbrella)

    @cached_property
    def _longest(self) -> int:
        return max((len(k.split()) for k in self._index), default=0)

    @property
    def _tables(self) -> tuple[tuple[Entry | Abbreviation | Spelling | Phrase, ...], ...]:
        return self.entries, self.abbreviations, self.spelling, self.phrases


def load_lexicon(path: Path | None = None) -> Lexicon:
    """The packaged lexicon, or the packaged one with a user's rows (a file like lexicon.tsv) added.

    Raises:
        DataError: the file cannot be read, or a row is not what it should be; names the row.
    """
    packaged = _packaged()
    if path is None:
        return packaged
    rows = _rows(path, Entry)
    for line, row in rows:
        _check(f"Row {line} of {path.name}", row)
    return packaged.extended(_entry(row) for _, row in rows)


@cache
def _packaged() -> Lexicon:
    entries = tuple(_entry(row) for name in CONCEPTS for _, row in _rows(DATA / name, Entry))
    return Lexicon(
        entries,
        tuple(Abbreviation(*row) for _, row in _rows(DATA / "abbreviations.tsv", Abbreviation)),
        tuple(Spelling(*row) for _, row in _rows(DATA / "spelling.tsv", Spelling)),
        tuple(Phrase(*row) for _, row in _rows(DATA / "phrases.tsv", Phrase)),
    )


def _rows(path: Path, kind: type) -> list[tuple[int, list[str]]]:
    """Cells of a table with their line numbers; the header must be the fields of `kind`."""
    if path.parent == DATA and not path.exists():  # until all tables are written
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as e:
        raise DataError(f"The lexicon {path.name} cannot be read: {e}.", "It is UTF-8 text split by tabs.") from e
    header = [f.name for f in fields(kind)]
    if not lines or lines[0].split("\t") != header:
        raise DataError(
            f"The first line of {path.name} is not the header of a lexicon.", f"Split by tabs: {', '.join(header)}."
        )
    rows = [(i, line.split("\t")) for i, line in enumerate(lines[1:], start=2) if line.strip()]
    for i, row in rows:
        if len(row) != len(header):
            raise DataError(f"Row {i} of {path.name} has {len(row)} cells instead of {len(header)}.")
    return rows


def _entry(row: Sequence[str]) -> Entry:
    surface, code, system, concept, umbrella, relation, register, source = row
    return Entry(
        surface, code, system, concept, umbrella, cast("Relation", relation), cast("Register", register), source
    )


def _check(where: str, row: Sequence[str]) -> None:
    surface, code, system, concept, umbrella, relation, register, _ = row
    if not surface or surface != " ".join(surface.split()):
        raise DataError(f"{where}: the surface {surface!r} is empty or has stray blanks.")
    if system not in (TENTH, ATC):
        raise DataError(f"{where}: no code system {system!r}.", f"Use {TENTH} or {ATC}.")
    if not (load_rules().exists(code) if system == TENTH else _ATC.fullmatch(code)):
        raise DataError(f"{where}: {system} has no code {code!r}.", "Write it with its dot (M54.50).")
    for name, slug in (("concept", concept), ("umbrella", umbrella or "none")):
        if not _SLUG.fullmatch(slug):
            raise DataError(f"{where}: the {name} {slug!r} is not a slug.", "Use lower-case words and hyphens.")
    for name, value, allowed in (("relation", relation, RELATIONS), ("register", register, REGISTERS)):
        if value not in allowed:
            raise DataError(f"{where}: no {name} {value!r}.", f"Use {', '.join(allowed)}.")
    if relation == "variant" and not umbrella:
        raise DataError(f"{where}: a variant needs the umbrella that it is a variant of.")


def _grouped(entries: Iterable[Entry], by: Callable[[Entry], str]) -> dict[str, tuple[Entry, ...]]:
    groups: dict[str, list[Entry]] = {}
    for e in entries:
        groups.setdefault(by(e), []).append(e)
    return {k: tuple(v) for k, v in groups.items()}
