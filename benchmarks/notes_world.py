"""Tasks on real notes whose labels are derived from the text, for benchmarks: opioid exposure, and a control.

Opioid exposure (MTSamples, distinct texts): notes with a history that are no procedures; the label is whether an opioid
drug is named, and every sentence that names one is deleted. It is exposure, never abuse. Visits for the limbs and spine
(ACI-Bench): the chief complaint is one of bones, joints or muscles; its own section is deleted.
"""

from __future__ import annotations

import csv
import io
import lzma
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nocere.cases.note import note_case
from nocere.core.canonical import sha256
from nocere.core.case import Case, Truth
from nocere.core.decision import OneLogit
from nocere.targets.notes.target import note_target

OPIOIDS = re.compile(
    r"\b(oxycodone|oxycontin|hydrocodone|morphine|fentanyl|codeine|tramadol|methadone|hydromorphone|dilaudid|percocet|"
    r"vicodin|norco|lortab|demerol|meperidine|ultram|ultracet|duragesic|darvocet|propoxyphene|roxicodone|roxicet|"
    r"suboxone|buprenorphine|ms contin|opioids?|opiates?|narcotics?)\b",
    re.IGNORECASE,
)
PROCEDURE = re.compile(
    r"\b(procedure performed|operative report|anesthesia:|estimated blood loss|postoperative diagnos)", re.I
)
SENTENCE = re.compile(r"[^.!?\n]*[.!?\n]?")
LIMBS = re.compile(r"pain|injury|fracture|arthritis|swelling|sprain|numbness", re.IGNORECASE)
NOT_LIMBS = re.compile(r"chest|abdom|stomach|head|throat|ear", re.IGNORECASE)
COMPLAINT = re.compile(r"\A\s*CHIEF COMPLAINT\s+.*?\n\s*\n(?=[A-Z ]{6,}\n)", re.DOTALL)
FOLDS = 5


@dataclass(frozen=True)
class Task:
    """Notes with a derived label."""

    name: str
    labels: tuple[str, str]
    cases: tuple[Case[str], ...]

    def truth(self) -> Any:
        """1 where the second label holds [n]."""
        return np.array([c.truth.label == self.labels[1] for c in self.cases], dtype=np.int64)

    def folds(self) -> Any:
        """Fold of each note [n], by the hash of its text."""
        return np.array([int(sha256(c.x.encode())[:8], 16) % FOLDS for c in self.cases])


def opioid_exposure(data: Path) -> Task:
    """The derived-label task on MTSamples."""
    raw = lzma.decompress((data / "notes" / "mtsamples_unique_dev.csv.xz").read_bytes()).decode("utf-8")
    labels = ("not exposed", "exposed")
    cases, seen = [], set()
    for i, row in enumerate(csv.DictReader(io.StringIO(raw))):
        text = next(row[k] for k in ("transcription", "text", "note") if k in row)
        if not re.search("history", text, re.IGNORECASE) or PROCEDURE.search(text):
            continue
        left = "".join(s for s in SENTENCE.findall(text) if not OPIOIDS.search(s))
        if len(left.split()) < 50 or left in seen:
            continue
        seen.add(left)
        cases.append(note_case(f"mts-{i:04d}", left, Truth.of(labels[bool(OPIOIDS.search(text))])))
    return Task("opioid exposure (MTSamples)", labels, tuple(cases))


def limbs(data: Path) -> Task:
    """The control task on ACI-Bench."""
    labels = ("other", "limbs or spine")
    cases = []
    for part in ("aci_train", "aci_valid", "aci_clinicalnlp_taskB_test1"):
        about = csv.DictReader((data / "notes" / f"{part}_metadata.csv").open(encoding="utf-8"))
        complaint = {r["encounter_id"]: r["cc"] for r in about}
        for row in csv.DictReader((data / "notes" / f"{part}.csv").open(encoding="utf-8")):
            cc = complaint[row["encounter_id"]]
            hit = bool(LIMBS.search(cc)) and not NOT_LIMBS.search(cc)
            text = COMPLAINT.sub("", row["note"])
            cases.append(note_case(row["encounter_id"], text, Truth.of(labels[hit])))
    return Task("visit for limbs or spine (ACI-Bench)", labels, tuple(cases))


def trained(task: Task, rows: Any) -> Any:
    """TF-IDF and logistic regression on some notes; the line calls as many as there are."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    texts, truth = [task.cases[i].x for i in rows], task.truth()[rows]
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=3, sublinear_tf=True)
    model = make_pipeline(words, LogisticRegression(C=10.0, class_weight="balanced", max_iter=2_000)).fit(texts, truth)
    return note_target(model, None, OneLogit(task.labels), name=f"{task.name}: TF-IDF, logistic")
