"""Left, right and both sides, where the words mean a side."""

from __future__ import annotations

from nocere.clinical.notes.model import Laterality, Side
from nocere.clinical.notes.words import Words

_SIDES: dict[str, Side] = {
    "left": "left", "leftward": "left", "lt": "left", "right": "right", "rightward": "right", "rt": "right",
    "bilateral": "bilateral", "bilaterally": "bilateral", "both": "bilateral", "l": "left", "r": "right",
}  # fmt: skip
_BEGIN = frozenset((*_SIDES, "b"))
_LETTERS = frozenset(("l", "r", "lt", "rt"))
_NOT_LEFT_BEFORE = frozenset(
    [
        "he",
        "she",
        "they",
        "patient",
        "pt",
        "who",
        "i",
        "we",
        "has",
        "have",
        "had",
        "was",
        "is",
        "were",
        "are",
        "be",
        "been",
        "being",
        "mother",
        "father",
        "and",
    ]
)
_NOT_LEFT_AFTER = frozenset(
    [
        "the",
        "without",
        "before",
        "against",
        "work",
        "home",
        "ama",
        "school",
        "her",
        "his",
        "my",
        "in",
        "on",
        "at",
        "for",
        "over",
        "off",
        "out",
    ]
)
_NOT_RIGHT_AFTER = frozenset(["away", "now", "after", "before"])
_PARTS = frozenset(
    (
        "knee", "hip", "shoulder", "arm", "leg", "foot", "hand", "wrist", "ankle", "elbow", "eye", "ear", "breast",
        "lung", "kidney", "side", "flank", "groin", "thigh", "calf", "hemiparesis", "hemiplegia", "ue", "le", "lower",
        "upper", "sided", "mca", "ica", "femoral", "carotid", "renal", "parietal", "frontal", "temporal", "occipital",
    )
)  # fmt: skip


def sides(of: Words) -> list[Laterality]:
    """Sides in order. "Left" as a verb and "right" as "correct" or "at once" are none; L and R only before a part."""
    found: list[Laterality] = []
    keys = of.keys
    last = len(keys) - 1
    for i in [i for i, k in enumerate(keys) if k in _BEGIN]:
        key = keys[i]
        before, after = keys[i - 1] if i else "", keys[i + 1] if i < last else ""
        side, end = _SIDES.get(key), of.ends[i]
        if key == "b":
            side, end = ("bilateral", of.ends[i + 2]) if keys[i : i + 3] == ["b", "/", "l"] else (None, end)
        elif (
            (key == "both" and after != "sides" and after.rstrip("s") not in _PARTS)
            or (key in _LETTERS and (after not in _PARTS or before == "/"))
            or (key == "left" and before in _NOT_LEFT_BEFORE and after in _NOT_LEFT_AFTER)
            or (key == "right" and (after in _NOT_RIGHT_AFTER or before == "all"))
        ):
            continue
        if side:
            found.append(Laterality(of.starts[i], end, side))
    return found
