"""Small notes and models for tests of sets and searches over wordings; the models share nothing with targets/notes."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from nocere.audit.bundle import Bundle
from nocere.audit.runner import run_audit
from nocere.audit.spec import CellSpec, Spec
from nocere.cases.note import NoteCodec, note_case
from nocere.core.case import Case, CaseSet, Truth
from nocere.core.decision import OneLogit
from nocere.core.rng import generator

LABELS = ("low", "high")
DECISION = OneLogit(LABELS)
WORD = re.compile(r"[a-z0-9/-]+")

COMPLAINTS = ("back pain", "headache", "shortness of breath", "chest pain", "nausea", "dizziness")
PROBLEMS = ("hypertension", "GERD", "asthma", "type 2 diabetes", "depression", "anxiety", "alcohol abuse")
REMARKS = (
    "Vital signs were stable.", "Labs were drawn.", "Blood work was reviewed.", "The lungs are clear.",
    "Chest x-ray was obtained.", "Medications were reconciled.", "Walks with a cane.",
)  # fmt: skip


def written(rng: np.random.Generator) -> str:
    """A note with headings, running text, a denied symptom, a relative, doses and a side."""
    a, b, denied = rng.choice(COMPLAINTS, 3, replace=False)
    past = rng.choice(PROBLEMS, 2, replace=False)
    remarks = " ".join(rng.choice(REMARKS, 3, replace=False))
    age, dose, weeks = int(rng.integers(30, 80)), int(rng.integers(2, 9)) * 5, int(rng.integers(2, 9))
    side = str(rng.choice(["left", "right"]))
    return (
        f"CHIEF COMPLAINT: {a[0].upper()}{a[1:]}.\n"
        f"HISTORY OF PRESENT ILLNESS: The patient is a {age}-year-old woman who complains of {a} for {weeks} weeks. "
        f"She also has {b}. The patient denies {denied}. {remarks}\n"
        f"PAST MEDICAL HISTORY: Significant for {past[0]} and {past[1]}.\n"
        f"FAMILY HISTORY: Father with {rng.choice(PROBLEMS)}. Alive and well.\n"
        f"MEDICATIONS:\n- lisinopril {dose} mg by mouth daily.\n- ibuprofen 400 mg PO BID as needed.\n"
        f"PLAN: Continue lisinopril {dose} mg by mouth daily. X-ray of the {side} knee. Follow up in {weeks} weeks.\n"
    )


def tokens(text: str, pairs: bool) -> list[tuple[str, int, int]]:
    """Words, and with `pairs` neighbours too, with where they begin and end."""
    words = [(m[0], m.start(), m.end()) for m in WORD.finditer(text.lower())]
    both = [(f"{a} {b}", s, e) for (a, s, _), (b, _, e) in itertools.pairwise(words)]
    return [*words, *(both if pairs else [])]


@cache
def weight(token: str, seed: int) -> float:
    return float(generator(seed, "weight", token).normal())


@dataclass(frozen=True)
class Gradient:
    """What attacks may read of a gradient."""

    spans: Any
    weights: Any
    score: Any

    @property
    def size(self) -> float:
        return float(np.abs(self.weights).max())

    def gain(self, texts: Sequence[str]) -> Any:
        return np.array([self.score(t) for t in texts])


@dataclass(frozen=True)
class Bag:
    """Weights of words (and pairs of them) drawn by name; with `normed` the counts have length one, as TF-IDF has."""

    seed: int = 0
    pairs: bool = False
    normed: bool = True
    bias: float = 0.0
    name: str = "bag"
    decision: Any = DECISION
    stochastic = False
    tiles = False
    access = frozenset({"scores", "labels", "gradients"})

    @property
    def fingerprint(self) -> str:
        return f"{self.seed} {self.pairs} {self.normed} {self.bias}"

    def state(self) -> str:
        return self.fingerprint

    def parts(self, text: str) -> tuple[float, float]:
        counts = Counter(t for t, _, _ in tokens(text, self.pairs))
        total = sum(n * weight(t, self.seed) for t, n in counts.items())
        return total, float(np.sqrt(sum(n * n for n in counts.values()))) if self.normed else 10.0

    def score(self, text: str) -> float:
        total, size = self.parts(text)
        return total / size - self.bias

    def scores(self, batch: Any) -> Any:
        return np.array([[self.score(t)] for t in batch.x])

    def vjp(self, batch: Any) -> tuple[Any, Any]:
        import torch

        def pull(up: Any) -> list[Gradient]:
            return [self._gradient(t, float(u)) for t, u in zip(batch.x, up[:, 0], strict=True)]

        return torch.from_numpy(self.scores(batch)), pull

    def _gradient(self, text: str, up: float) -> Gradient:
        counts = Counter(t for t, _, _ in tokens(text, self.pairs))
        total, size = self.parts(text)

        def slope(t: str) -> float:
            return up * (weight(t, self.seed) / size - self.normed * total * counts[t] / size**3)

        found = tokens(text, self.pairs)
        spans = np.array([[s, e] for _, s, e in found])
        return Gradient(
            spans, np.array([slope(t) for t, _, _ in found]),
            lambda fragment: sum(slope(t) for t, _, _ in tokens(fragment, self.pairs)),
        )  # fmt: skip


def notes(n: int, seed: int = 0) -> list[Case[str]]:
    """Random notes without truth."""
    rng = np.random.default_rng(seed)
    return [note_case(f"n{i:03d}", written(rng), facts=("M54.9", "M54.50", "F10.10", "F10.20")) for i in range(n)]


def world(n: int, seed: int = 0, **about: Any) -> tuple[CaseSet, Bag]:
    """Notes whose truth is what a model says whose line divides them in halves."""
    cases = notes(n, seed)
    bias = float(np.median([Bag(**about).score(c.x) for c in notes(200, 99)]))
    model = Bag(bias=bias, **about)
    said = [LABELS[int(model.score(c.x) > 0)] for c in cases]
    return CaseSet.of([replace(c, truth=Truth.of(label)) for c, label in zip(cases, said, strict=True)]), model


def audited(out: Path, cases: CaseSet, model: Any, *cells: CellSpec, lanes: int = 64) -> Bundle:
    """A run over notes with referee, files and bundle."""
    return run_audit(Spec("test", model, NoteCodec(), cases, cells), out, lanes=lanes)
