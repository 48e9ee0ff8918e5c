"""Notes and models on them that tests share: a small made-up clinic, nothing of a patient."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.cases.note import note_case
from nocere.core.case import Case, Truth
from nocere.core.decision import OneLogit

LABELS = ("none", "flag")
DECISION = OneLogit(LABELS)
WORDS = [
    "Patient",
    "reports",
    "complains",
    "of",
    "back",
    "pain",
    "low",
    "lumbago",
    "denies",
    "alcohol",
    "abuse",
    "dependence",
    "history",
    "chronic",
    "daily",
    "opioid",
    "use",
    "5",
    "mg",
    "10",
    "mg",
    "twice",
    "a",
    "day",
    "BP",
    "120/80",
    "mother",
    "diabetes",
    "sleeps",
    "well",
    "No.",
    "walks",
    "without",
    "help",
    "left",
    "knee",
    "swelling",
    "fever",
    "cough",
]
SIGNS = ("abuse", "opioid", "dependence", "chronic")


def texts(n: int, seed: int, words: int = 40) -> list[str]:
    """Notes of sentences under two headings."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        drawn = [str(w) for w in rng.choice(WORDS, words)]
        cuts = [" ".join(drawn[i : i + 8]) for i in range(0, words, 8)]
        made.append("HPI:\n" + ". ".join(cuts[:3]) + ".\n\nPlan:\n" + ". ".join(cuts[3:]) + ".\n")
    return made


def labels(notes: list[str]) -> NDArray[np.int64]:
    """Whether a note names more signs than most."""
    counts = np.array([sum(t.count(s) for s in SIGNS) for t in notes])
    return (counts > np.median(counts)).astype(np.int64)


def notes(n: int, seed: int) -> list[Case[Any]]:
    """Cases with their truth."""
    made = texts(n, seed)
    return [note_case(f"n{i}", t, Truth.of(LABELS[k])) for i, (t, k) in enumerate(zip(made, labels(made), strict=True))]


def variant(text: str, rng: np.random.Generator, edits: int) -> str:
    """The text with some of its characters and words replaced, removed or added."""
    for _ in range(edits):
        a = int(rng.integers(0, len(text) + 1))
        b = min(len(text), a + int(rng.choice([0, 0, 1, 3, 12])))
        new = str(rng.choice(["", " ", "x", "\n", "lumbago", " no ", "\u00e9\u0301", "\u0130Z", "-", "\u2028", "a  b"]))
        text = text[:a] + new + text[b:]
    return text
