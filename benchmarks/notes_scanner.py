"""The note scanner beside medSpaCy's ConText on real notes: agreement by class, kinds of disagreement, speed.

    NOCERE_MEDSPACY=PYTHON python benchmarks/notes_scanner.py --data DATA [--n 300]

DATA is the folder of notes (ACI-Bench, MTSamples); PYTHON is the interpreter of an environment with medspacy==1.3.1, kept
apart since it pins an older spaCy. Both judge the same mentions, those of nocere's lexicon. medSpaCy is no ground truth:
where the two differ, the table counts it, and three kinds of reason are listed for each class: the heading or rule of
nocere, or the rule of medSpaCy, that the other one has not. No text of a note is printed. Times are CPU milliseconds of
one thread for 300 words; medSpaCy's do not include finding the mentions, nocere's do and also quantities and sides.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.notes_peer import CLASSES, VARIABLE, Pair, compare, notes

from nocere.clinical.notes.context import rules
from nocere.clinical.notes.scan import scan
from nocere.clinical.notes.sections import reading
from nocere.clinical.notes.words import words


def why_ours(pair: Pair, name: str) -> str:
    """What makes nocere say a class: the heading, or the nearest cue of its table that sets it."""
    s, m = pair.scan, pair.mention
    if reading(s.sections[m.section].kind) == name:
        return f"heading '{s.sections[m.section].kind}'"
    sentence = s.sentences[m.sentence]
    of = words(sentence.of(s.text))
    best, far = "another sentence of a list", len(s.text)
    for i in range(len(of.keys)):
        hit = rules()[0].longest(of, i, len(of.keys))
        if hit and name in hit[1].sets:
            gap = abs(sentence.start + of.starts[i] - m.start)
            if gap < far:
                best, far = f"cue '{' '.join(of.keys[i : hit[0]])}'", gap
    return best if far < len(s.text) else "cue with a number or a person"


def why_theirs(pair: Pair, name: str) -> str:
    """medSpaCy's rule for a class."""
    prefix = {"possible": "POSS", "historical": "HIST", "hypothetical": "HYPO"}.get(name, name[:4].upper())
    found = [(literal, at) for category, literal, at in pair.rules if category.startswith(prefix)]
    if not found:
        return "medSpaCy, no rule named"
    sentence = pair.scan.sentences[pair.mention.sentence]
    if not any(sentence.start <= at < sentence.end for _, at in found):
        return "a cue that stands in another sentence"
    return f"rule '{found[-1][0]}'"


def speed(texts: list[str]) -> float:
    """nocere's CPU seconds for all texts, each read for the first time."""
    scan("warm up")
    began = time.process_time()
    for i, text in enumerate(texts):
        scan(f"{text}\n{i}")
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--n", type=int, default=300, help="notes, evenly spread over both sets")
    args = parser.parse_args()
    texts = notes(args.data)
    texts = texts[:: max(1, len(texts) // args.n)][: args.n]
    size = sum(len(t.split()) for t in texts)
    ours = speed(texts)
    print(f"{len(texts)} notes, {size} words. nocere: {1e3 * ours / size * 300:.2f} ms for 300 words.")
    python = os.environ.get(VARIABLE)
    if not python:
        print(f"{VARIABLE} names no Python with medspacy: the comparison is left out.")
        return
    pairs, seconds = compare(python, texts)
    print(f"medSpaCy: {1e3 * seconds / size * 300:.2f} ms for 300 words. {len(pairs)} mentions, judged by both.\n")
    print("| class | both | only nocere | only medSpaCy | neither | agreement | kappa |\n|---|---|---|---|---|---|---|")
    for name in CLASSES:
        cells = Counter((p.ours(name), p.peer[name]) for p in pairs)
        both, left, right, none = (cells[k] for k in ((True, True), (True, False), (False, True), (False, False)))
        n = len(pairs)
        chance = ((both + left) * (both + right) + (none + left) * (none + right)) / n**2
        agreed = (both + none) / n
        kappa = (agreed - chance) / (1 - chance) if chance < 1 else 1.0
        print(f"| {name} | {both} | {left} | {right} | {none} | {100 * agreed:.1f} % | {kappa:.2f} |")
    print()
    for name in CLASSES:
        for side, reason, ours_says in (("nocere", why_ours, True), ("medSpaCy", why_theirs, False)):
            kinds = Counter(reason(p, name) for p in pairs if p.ours(name) == ours_says != p.peer[name])
            listed = "; ".join(f"{kind} ({count})" for kind, count in kinds.most_common(3))
            print(f"- {name}, only {side}: {kinds.total()}. {listed}")


if __name__ == "__main__":
    main()
