"""Negative controls: changes of meaning that a good model must react to.

A model that no negation and no change of person moves does not read; its stability under synonyms is worth nothing.
That a control turns a decision is no failure of robustness, and is not counted as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nocere.core.batch import Batch
from nocere.core.case import Case
from nocere.core.intervals import rate
from nocere.scenarios.notes_review.flips import plain
from nocere.targets.base import Target, margins
from nocere.threats.words.controls import Controls
from nocere.threats.words.splice import replay

MOVED = 1e-6  # of a margin, in logits: less is rounding


def reactions(cases: Sequence[Case[str]], target: Target) -> list[dict[str, Any]]:
    """For each kind of control: share of notes in which one of it moves the score at all, and in which one turns it.

    Args:
        cases: notes.
        target: the model.
    """
    moved: dict[str, list[bool]] = {}
    turned: dict[str, list[bool]] = {}
    groups: dict[str, list[str]] = {}
    most: dict[str, list[float]] = {}
    for case in cases:
        by_kind: dict[str, list[str]] = {}
        for edit in Controls().edits(case):
            by_kind.setdefault(edit.rule, []).append(replay(case.x, [edit]))
        texts = [case.x, *(t for ts in by_kind.values() for t in ts)]
        seen, _ = margins(target, Batch(texts, (case,) * len(texts)))
        at = 1
        for kind, variants in by_kind.items():
            mine = seen[at : at + len(variants)]
            at += len(variants)
            shift = np.abs(mine - seen[0]).max(1)
            moved.setdefault(kind, []).append(bool(shift.max() > MOVED))
            turned.setdefault(kind, []).append(bool(((mine > 0) != (seen[0] > 0)).any()))
            most.setdefault(kind, []).append(float(shift.max()))
            groups.setdefault(kind, []).append(case.group)
    return [
        {
            "kind": kind,
            "moved": plain(rate(moved[kind], groups[kind])),
            "turned": plain(rate(turned[kind], groups[kind])),
            "median_shift": float(np.median(most[kind])),
        }
        for kind in sorted(moved)
    ]
