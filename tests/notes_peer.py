"""medSpaCy's ConText over the mentions that nocere finds, in another environment; shared by a test and a benchmark."""

from __future__ import annotations

import csv
import io
import json
import lzma
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nocere.clinical.notes.model import Mention, Scan
from nocere.clinical.notes.scan import scan

VARIABLE = "NOCERE_MEDSPACY"
CLASSES = {
    "negated": "is_negated",
    "possible": "is_uncertain",
    "hypothetical": "is_hypothetical",
    "historical": "is_historical",
    "family": "is_family",
}
# Rules as they are installed: medSpaCy's tokens, its sentences, its 102 English rules. One thread.
PEER = """
import json, sys, time
import medspacy, spacy
nlp = medspacy.load(medspacy_enable=["medspacy_tokenizer", "medspacy_pyrush", "medspacy_context"], load_rules=True)
context, names = nlp.get_pipe("medspacy_context"), json.loads(sys.argv[1])
docs, seconds = [], 0.0
for text, spans in json.load(sys.stdin):
    began = time.process_time()
    doc = nlp.make_doc(text)
    doc.ents = [doc.char_span(a, b, alignment_mode="expand", label="X") for a, b in spans]
    for name, pipe in nlp.pipeline:
        doc = pipe(doc)
    seconds += time.process_time() - began
    docs.append([[e.start_char, e.end_char, [bool(getattr(e._, n)) for n in names],
                  [[m.category, m.rule.literal, doc[m.modifier_span[0]].idx] for m in e._.modifiers]] for e in doc.ents])
print(json.dumps({"docs": docs, "seconds": seconds}))
"""


@dataclass(frozen=True)
class Pair:
    """A mention as both read it; `rules` are (category, literal, place) of medSpaCy's rules on it."""

    scan: Scan
    mention: Mention
    peer: dict[str, bool]
    rules: tuple[tuple[str, str, int], ...]

    def ours(self, name: str) -> bool:
        """What nocere says of a class."""
        said = self.mention.assertion
        return said.person == "family" if name == "family" else bool(getattr(said, name))


def notes(data: Path) -> list[str]:
    """Texts of the ACI-Bench training notes and of the MTSamples part, in the order of the files."""
    aci = csv.DictReader(io.StringIO((data / "aci_train.csv").read_text(encoding="utf-8")))
    packed = lzma.decompress((data / "mtsamples_unique_dev.csv.xz").read_bytes())
    samples = csv.DictReader(io.StringIO(packed.decode()))
    return [row["note"] for row in aci] + [row["transcription"] for row in samples]


def compare(python: str, texts: list[str]) -> tuple[list[Pair], float]:
    """Pairs of all mentions that both could place, and medSpaCy's CPU seconds for all texts (loading left out)."""
    scans = [scan(t) for t in texts]
    items = [(s.text, [(m.start, m.end) for m in s.mentions]) for s in scans]
    done = subprocess.run(
        [python, "-W", "ignore", "-c", PEER, json.dumps(list(CLASSES.values()))],
        input=json.dumps(items),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    pairs = [
        Pair(s, m, dict(zip(CLASSES, said, strict=True)), tuple((c, r, at) for c, r, at in rules))
        for s, doc in zip(scans, answer["docs"], strict=True)
        for m, (_, _, said, rules) in zip(s.mentions, doc, strict=True)
    ]
    return pairs, answer["seconds"]
