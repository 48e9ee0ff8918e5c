"""Sets of claims: checked while they are loaded, with what was counted; labels, and splits that share no patient."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import lzma
import zlib
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from nocere.cases.claim import Claim
from nocere.cases.claim_check import FIRST, OnConflict, problems, validate, year_of
from nocere.cases.claim_text import Found
from nocere.clinical.codes.graph import RuleGraph
from nocere.core.canonical import Json, dumps, sha256
from nocere.core.case import Case, CaseRef, CaseSet, Truth
from nocere.core.errors import DataError

Invalid: TypeAlias = Literal["refuse", "leave_out"]
OnYear: TypeAlias = Literal["refuse", "recode"]
BANDS = (18, 45, 65, 75, 85)
NAMES = ("0-17", "18-44", "45-64", "65-74", "75-84", "85+")
OPENERS: dict[str, Callable[[bytes], bytes]] = {".xz": lzma.decompress, ".gz": gzip.decompress}


class ClaimSet(CaseSet):
    """Claims, with what was counted while they were loaded.

    `report` holds plain numbers: how many claims there are, were left out, and why.
    """

    def __init__(
        self, refs: Sequence[CaseRef], loader: Callable[[str], Case[Claim]], *, name: str, report: Mapping[str, Json]
    ) -> None:
        super().__init__(refs, loader, phantom=False, name=name)
        self.report = dict(report)


@dataclass(frozen=True, slots=True)
class Entry:
    """One claim of a set: id of the case, what was found, the bytes it came from, and its label."""

    id: str
    found: Found
    source: bytes
    truth: Truth = field(default_factory=Truth)


def claim_set(
    entries: Iterable[Entry],
    rules: RuleGraph,
    *,
    name: str,
    on_conflict: OnConflict = "refuse",
    invalid: Invalid = "refuse",
    on_year: OnYear = "refuse",
    limit: int = 0,
) -> ClaimSet:
    """Claims that were read whole, each checked.

    Args:
        entries: the claims.
        rules: the compiled rules.
        name: of the set.
        on_conflict: "keep" lets pairs under an Excludes1 note pass; the report counts the claims that have one.
        invalid: "leave_out" drops claims that have another problem, and counts them.
        on_year: "recode" takes a claim of another ICD-10-CM year as one of the rules' year if all its codes are valid
            there.
        limit: only the first so many; 0 takes all.

    Raises:
        DataError: the first claim that is wrong, with how many more are; no claim left; an id that stands twice.
    """
    one_of("on_conflict", on_conflict, ("refuse", "keep"))
    one_of("invalid", invalid, ("refuse", "leave_out"))
    one_of("on_year", on_year, ("refuse", "recode"))
    cases, count = [], Counter[str]()
    first: DataError | None = None
    for entry in entries:
        claim, header = entry.found.claim, dict(entry.found.header)
        if on_year == "recode" and claim.system == "ICD-10-CM" and FIRST <= claim.code_year != year_of(rules):
            header["coded_for"] = claim.code_year
            claim = replace(claim, code_year=year_of(rules))
            count["recoded"] += 1
        try:
            validate(claim, rules, entry.id, header=header, on_conflict=on_conflict)
        except DataError as e:
            count["left_out"] += 1
            first = first or e
            continue
        if on_conflict == "keep" and problems(claim, rules):
            count["excludes1"] += 1
        cases.append(claim_case(entry.id, claim, header, entry.source, entry.truth))
        if limit and len(cases) == limit:
            break
    if first is not None and (invalid == "refuse" or not cases):
        more = count["left_out"] - 1
        hint = f"{more} more claims have problems; invalid = 'leave_out' loads the others." if more else ""
        raise DataError(first.message, f"{first.hint} {hint}".strip())
    if not cases:
        raise DataError(f"{name} holds no claim.")
    by_id = {c.id: c for c in cases}
    refs = [CaseRef(c.id, c.truth, c.group, c.attrs, c.sha256) for c in cases]
    report: dict[str, Json] = {"claims": len(cases), **{k: count[k] for k in sorted(count)}}
    return ClaimSet(refs, by_id.__getitem__, name=name, report=report)


def claim_case(
    case_id: str, claim: Claim, header: Mapping[str, Json], source: bytes, truth: Truth | None = None
) -> Case[Claim]:
    """A case whose group is the patient, with the subgroups that reports use."""
    when = str(header.get("thru") or header.get("from") or claim.code_year)[:4]
    attrs = subgroups(claim.provider, claim.age, claim.sex, when)
    return Case(case_id, claim, header, truth or Truth(), claim.patient or case_id, attrs, sha256(source))


def subgroups(provider: str, age: int, sex: str, year: str) -> dict[str, str]:
    """Provider, age band, sex and year of service, as far as they are known."""
    known = {"provider": provider, "age": age_band(age), "sex": sex, "year": year}
    return {k: v for k, v in known.items() if v}


def age_band(age: int) -> str:
    """The band of an age in years, "" where it is unknown."""
    return NAMES[bisect_right(BANDS, age)] if age >= 0 else ""


def split(
    cases: CaseSet, share: float = 0.25, *, by: Literal["patient", "provider"] = "patient", salt: str = ""
) -> tuple[CaseSet, CaseSet]:
    """Train and test part that share no patient (or no provider); the hash of its id decides, and nothing else does.

    Args:
        cases: claims; the group of each is its patient.
        share: of patients (or providers) that are in the test part, about.
        by: what the parts may not share.
        salt: another text gives another split.
    """
    if not 0 < share < 1:
        raise DataError(f"The share of the test part must be between 0 and 1; got {share}.")

    def is_test(key: str) -> bool:
        drawn = int.from_bytes(hashlib.sha256(f"{salt}|{key}".encode()).digest()[:8], "big")
        return drawn < share * 2**64

    keys = {r.id: r.group if by == "patient" else r.attrs.get("provider", r.id) for r in cases.refs}
    inside = {key: is_test(key) for key in set(keys.values())}
    parts: dict[bool, list[str]] = {False: [], True: []}
    for case_id, key in keys.items():
        parts[inside[key]].append(case_id)
    return cases.take(parts[False]), cases.take(parts[True])


def relabelled(cases: CaseSet, truth: Mapping[str, Truth]) -> CaseSet:
    """The same cases with other labels, by case id: a target that is computed, such as a DRG weight above a line."""
    refs = [replace(r, truth=truth[r.id]) for r in cases.refs]

    def load(case_id: str) -> Case[Any]:
        return replace(cases.load(case_id), truth=truth[case_id])

    return CaseSet(refs, load, phantom=cases.phantom, name=cases.name)


def above(value: float, line: float, labels: Sequence[str]) -> Truth:
    """The second label where the value is at or above the line, else the first; the value itself is kept."""
    return Truth(labels=frozenset({labels[int(value >= line)]}), value=value)


def one_of(name: str, value: str, known: Sequence[str]) -> None:
    """Refuse an argument that is not one of the known words."""
    if value not in known:
        raise DataError(f"{name} must be one of {', '.join(repr(k) for k in known)}; got {value!r}.")


def files_in(path: str | Path, endings: Sequence[str]) -> list[Path]:
    """The file itself, or the files of a folder with these endings, by name."""
    path = Path(path)
    if not path.is_dir():
        return [path]
    found = sorted(p for p in path.iterdir() if p.is_file() and p.name.endswith(tuple(endings)))
    if not found:
        raise DataError(f"{path} holds no file that ends in {', '.join(endings)}.")
    return found


def read_bytes(path: str | Path) -> bytes:
    """Bytes of a file, unpacked where it ends in .xz or .gz.

    Raises:
        DataError: missing, unreadable, or not what its ending says.
    """
    path = Path(path)
    try:
        return OPENERS.get(path.suffix, bytes)(path.read_bytes())
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as e:
        raise DataError(f"Cannot read {path} ({getattr(e, 'strerror', None) or e}).", "Correct the path.") from e


def read_text(path: str | Path) -> str:
    """Text of a UTF-8 file, unpacked where it ends in .xz or .gz.

    Raises:
        DataError: as `read_bytes`, or not UTF-8.
    """
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise DataError(f"{path} is not UTF-8 text ({e.reason} at byte {e.start}).") from e


def lines_of(text: str) -> list[str]:
    """Lines as files end them, not as Unicode could: a JSON string may hold U+2028."""
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def canonical(data: Any, where: str) -> bytes:
    """RFC 8785 bytes of what was read.

    Raises:
        DataError: half of a surrogate pair, which no file can hold.
    """
    try:
        return dumps(data)
    except ValueError as e:
        raise DataError(f"{where}: it holds text that UTF-8 cannot ({e}).") from e


def read_labels(path: str | Path) -> dict[str, Truth]:
    """Labels by claim id, from a CSV with the columns id and label.

    Raises:
        DataError: a missing column, an empty label, an id that stands twice.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path), newline="")))
    except csv.Error as e:
        raise DataError(f"{path}: not valid CSV ({e}).") from e
    found: dict[str, Truth] = {}
    for line, row in enumerate(rows, 2):
        if not row.get("id") or not row.get("label"):
            raise DataError(f"{path} line {line}: the columns id and label must both be filled.")
        if row["id"] in found:
            raise DataError(f"{path} line {line}: the id {row['id']!r} stands twice.")
        found[row["id"]] = Truth.of(row["label"])
    return found


def with_labels(entries: Iterable[Entry], path: str | Path) -> Iterable[Entry]:
    """Entries with the labels of a file; without a file they stay as they are.

    Raises:
        DataError: a claim without a label, or labels of claims that are not there.
    """
    if not path:
        yield from entries
        return
    labels = read_labels(path)
    left = set(labels)
    for entry in entries:
        key = entry.id if entry.id in labels else entry.found.id
        if key not in labels:
            raise DataError(f"Claim {entry.id}: {path} has no label for it.", "Add a row with its id.")
        left.discard(key)
        yield replace(entry, truth=labels[key])
    if left:
        raise DataError(f"{path} has a label for {sorted(left)[0]!r}, and there is no such claim.")
