"""Units of budgets, kinds of change, and the line on which a use of a perturbation set lies (design, section 5)."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, TypeAlias


class Unit(StrEnum):
    """Units in which a budget or a cost is given."""

    GREY_LEVELS = "grey_levels"
    L2_GREY_LEVELS = "l2_grey_levels"
    L1_GREY_LEVELS = "l1_grey_levels"
    CHANGED_PIXELS = "changed_pixels"
    DISPLAYED_LEVELS = "displayed_levels"
    JND = "jnd"
    DEGREES = "degrees"
    PERCENT = "percent"
    PIXELS = "pixels"
    JPEG_QUALITY_LOSS = "jpeg_quality_loss"
    MILLIVOLTS = "millivolts"
    COUNTS = "adc_counts"
    EDITS = "edits"
    USD = "usd"


class Kind(StrEnum):
    """What sort of change a perturbation set contains."""

    REPRESENTATION = "representation"
    VARIATION = "variation"
    TRUTHFUL = "truthful"
    MISSTATEMENT = "misstatement"
    TAMPERING = "tampering"


Aim: TypeAlias = Literal["flip", "closest", "worst", "sample"]

LINE_NAMES = {
    0: "representation",
    1: "ordinary variation",
    2: "gray zone",
    3: "misstatement",
    4: "tampering",
}


def line(kind: Kind, aim: Aim) -> int:
    """0 to 4: ordinary variation is line 1 when sampled, and line 2 when the worst of it is chosen."""
    if kind is Kind.VARIATION:
        return 1 if aim == "sample" else 2
    return {Kind.REPRESENTATION: 0, Kind.TRUTHFUL: 2, Kind.MISSTATEMENT: 3, Kind.TAMPERING: 4}[kind]


# Edit classes of claims (E0..X7) and grades of wording (A..D): kind where the source supports the edit, and where it
# does not. Refinement (E4) and coding variants (C) are truthful only with support.
EDIT_KINDS: dict[str, tuple[Kind, Kind]] = {
    "E0": (Kind.REPRESENTATION, Kind.REPRESENTATION),
    "E1": (Kind.TRUTHFUL, Kind.TRUTHFUL),
    "E2": (Kind.TRUTHFUL, Kind.TRUTHFUL),
    "E3": (Kind.TRUTHFUL, Kind.TRUTHFUL),
    "E4": (Kind.TRUTHFUL, Kind.MISSTATEMENT),
    "E5": (Kind.TRUTHFUL, Kind.MISSTATEMENT),
    "E6": (Kind.TRUTHFUL, Kind.MISSTATEMENT),
    "X7": (Kind.MISSTATEMENT, Kind.MISSTATEMENT),
    "A": (Kind.REPRESENTATION, Kind.REPRESENTATION),
    "B": (Kind.VARIATION, Kind.VARIATION),
    "C": (Kind.TRUTHFUL, Kind.MISSTATEMENT),
    "D": (Kind.MISSTATEMENT, Kind.MISSTATEMENT),
}


def edit_kind(edit: str, *, supported: bool) -> Kind:
    """Kind of an edit class or wording grade, given whether the source supports what it says."""
    return EDIT_KINDS[edit][0 if supported else 1]
