"""What differs between two fingerprints: tiers, tiles, frames, attributes and identity fields, each by name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from nocere.core.errors import UsageError
from nocere.provenance.fingerprint.encoding import Attributes
from nocere.provenance.fingerprint.tiers import Detail, Fingerprint


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """A tile whose samples changed.

    Attributes:
        frame: frame of the suspect, from 0.
        row, column: place among the tiles of the frame, from 0.
        box: first row, first column, end row, end column in pixels (ends exclusive); for a recording the rows are
            samples and the columns channels.
    """

    frame: int
    row: int
    column: int
    box: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Change:
    """An attribute that was added (old None), removed (new None) or changed.

    Attributes:
        attribute: its name in the canonical form, such as "(0028,1053)".
        name: its name in words.
        old, new: canonical values; None where absent.
        effect: what such a change does, in plain words.
    """

    attribute: str
    name: str
    old: str | None
    new: str | None
    effect: str

    def __str__(self) -> str:
        what = "added" if self.old is None else "removed" if self.new is None else "changed"
        title = f"{self.attribute} {self.name}".strip()
        return f"{title} {what}: {self.effect}"


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs between an original and a suspect.

    Attributes:
        tiers: names of the tiers that differ ("F0" ... "F5"). F2 counts as equal when both are DCT-coded and F2c is.
        shape: fields of the header of the samples that differ: name -> (original, suspect).
        tiles: changed tiles of frames that stand in the same place in both.
        frames_added, frames_removed: frames of the suspect, of the original, that the other one does not have.
        frames_moved: (place in the original, place in the suspect).
        meaning: attributes that differ.
        identity: names of the identity fields that differ.
        localised: False when F2 or F3 differ and a detail is missing, so that the lists above cannot say where.
        decoders: True when both have one codestream, but their decoders disagree by the last bit.
    """

    tiers: frozenset[str]
    shape: dict[str, tuple[int | str, int | str]]
    tiles: tuple[Tile, ...]
    frames_added: tuple[int, ...]
    frames_removed: tuple[int, ...]
    frames_moved: tuple[tuple[int, int], ...]
    meaning: tuple[Change, ...]
    identity: tuple[str, ...]
    localised: bool
    decoders: bool
    has_samples: bool


def describe(kind: str, attribute: str) -> tuple[str, str]:
    """Name of an attribute of a kind, and what a change of it does, in plain words."""
    if kind == "dicom":
        from nocere.provenance.fingerprint.dicom_meaning import describe as describe_dicom

        return describe_dicom(attribute)
    if kind == "image":
        from nocere.provenance.fingerprint.image import EFFECT

        return "", EFFECT.get(attribute, "the picture is shown otherwise")
    if kind == "wfdb":
        from nocere.provenance.fingerprint.wfdb import RECORD, SIGNAL

        key = attribute.rsplit(" ", 1)[-1]
        return "", SIGNAL.get(key) or RECORD.get(key) or "beats or events are marked otherwise"
    return "", "the text says something else" if kind == "note" else "the document says something else"


def changes(kind: str, original: Attributes, suspect: Attributes) -> tuple[Change, ...]:
    """Attributes that differ, by name."""
    out = []
    for attribute in sorted({*original, *suspect}):
        old, new = original.get(attribute), suspect.get(attribute)
        if old != new:
            name, effect = describe(kind, attribute)
            out.append(Change(attribute, name, old, new, effect))
    return tuple(out)


@dataclass(frozen=True, slots=True)
class _Frames:
    same_place: list[tuple[int, int]]
    added: tuple[int, ...]
    removed: tuple[int, ...]
    moved: tuple[tuple[int, int], ...]


def _pair_frames(original: Sequence[bytes], suspect: Sequence[bytes]) -> _Frames:
    """Which frame of the suspect stands for which of the original.

    As many frames: frames that differ in their place are moved if they are found elsewhere, else changed in place.
    More or fewer: the longest common order is kept; the rest is moved, added or removed.
    """
    if len(original) == len(suspect):
        old = new = [i for i in range(len(original)) if original[i] != suspect[i]]
    else:
        blocks = SequenceMatcher(None, original, suspect, autojunk=False).get_matching_blocks()
        kept_old = {b.a + i for b in blocks for i in range(b.size)}
        kept_new = {b.b + i for b in blocks for i in range(b.size)}
        old = [i for i in range(len(original)) if i not in kept_old]
        new = [i for i in range(len(suspect)) if i not in kept_new]
    places: dict[bytes, list[int]] = defaultdict(list)
    for i in old:
        places[original[i]].append(i)
    moved, left = [], []
    for j in new:
        if places[suspect[j]]:
            moved.append((places[suspect[j]].pop(0), j))
        else:
            left.append(j)
    gone = sorted(i for found in places.values() for i in found)
    same_place = sorted(set(gone) & set(left)) if len(original) == len(suspect) else []
    added = tuple(j for j in left if j not in same_place)
    removed = tuple(i for i in gone if i not in same_place)
    return _Frames([(i, i) for i in same_place], added, removed, tuple(moved))


def _tiles(original: Detail, suspect: Detail, pairs: Sequence[tuple[int, int]]) -> tuple[Tile, ...]:
    shape = suspect.shape
    assert shape is not None
    return tuple(
        Tile(j, *divmod(t, shape.across), shape.box(t))
        for i, j in pairs
        for t, (a, b) in enumerate(zip(original.tiles[i], suspect.tiles[j], strict=True))
        if a != b
    )


def _differing_tiers(original: Fingerprint, suspect: Fingerprint) -> tuple[set[str], bool]:
    tiers = {
        name.upper()
        for name in ("f0", "f1", "f2", "f3", "f4", "f5")
        if getattr(original, name) != getattr(suspect, name)
    }
    if original.f5 is None or suspect.f5 is None:
        tiers.discard("F5")
    coded = original.f2c is not None and original.f2c == suspect.f2c
    decoders = coded and "F2" in tiers
    if decoders:
        tiers -= {"F2", "F5"}
    if original.f2c != suspect.f2c:
        tiers.add("F2c")
    return tiers, decoders


def compare(original: Fingerprint, suspect: Fingerprint) -> Difference:
    """Name every difference between an original and a suspect.

    Raises:
        UsageError: they are of different kinds, or were made under different site keys.
    """
    if original.kind != suspect.kind:
        raise UsageError(f"A {original.kind} and a {suspect.kind} cannot be compared.", "Compare inputs of one kind.")
    if original.site != suspect.site:
        raise UsageError("The two fingerprints were made under different site keys.", "Make both under one key.")
    tiers, decoders = _differing_tiers(original, suspect)
    identity = tuple(f for f in sorted({*original.f4, *suspect.f4}) if original.f4.get(f) != suspect.f4.get(f))
    a, b = original.detail, suspect.detail
    shape: dict[str, tuple[int | str, int | str]] = {}
    frames = _Frames([], (), (), ())
    tiles: tuple[Tile, ...] = ()
    if a and b and a.shape and b.shape and "F2" in tiers:
        names = [n for n in a.shape.__dataclass_fields__ if getattr(a.shape, n) != getattr(b.shape, n)]
        shape = {n: (getattr(a.shape, n), getattr(b.shape, n)) for n in names}
        if set(shape) <= {"frames", "bits", "number"}:
            frames = _pair_frames(a.frames, b.frames)
            tiles = _tiles(a, b, frames.same_place)
    return Difference(
        frozenset(tiers),
        shape,
        tiles,
        frames.added,
        frames.removed,
        frames.moved,
        changes(original.kind, a.meaning, b.meaning) if a and b else (),
        identity,
        (a is not None and b is not None) or not tiers & {"F2", "F3"},
        decoders,
        original.kind not in ("note", "json"),
    )
