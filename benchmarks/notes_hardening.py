"""What canonical wording costs and stops: AUROC lost, flips left, and what leaks under vocabularies that are not ours.

    python benchmarks/notes_hardening.py [--data DATA]

A model is trained on phantom notes (and with --data on real ones, `notes_world`) as they are, and on their canonical
form at both levels. Attackers: licensed swaps, up to four (greedy and beam: a lower bound); single swaps of names that
another vocabulary files under one concept (`notes_real`; packages as there).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import notes_real as nr
import notes_world as nw
import numpy as np

from nocere.audit.plan import make_plan, resolve
from nocere.audit.runner import run_audit
from nocere.cases.phantoms.notes import opioid
from nocere.core.batch import Batch
from nocere.core.case import Case, CaseSet
from nocere.core.intervals import rate
from nocere.core.ranking import auroc
from nocere.defences.notes_canonical import CanonicalDefence

WORDS = {"radii": [4], "aim": "flip", "looks": 5_000, "attacks": [{"name": "notes.greedy"}, {"name": "notes.beam"}]}
SETS = {"A, B": "notes.same_concept", "A to C": "notes.coding_variant_wide"}
LEVELS: tuple[Any, ...] = (None, "same", "umbrella")


def price(name: str, task: nw.Task, train: Sequence[int], test: Sequence[int], names: nr.Names) -> None:
    """One line a level: AUROC, flips of both sets, leak."""
    cases = [task.cases[i] for i in test]
    truth = np.array([c.truth.label == task.labels[1] for c in cases])
    print(f"{name}: trained on {len(train)}, tested on {len(test)}")
    for level in LEVELS:
        defence = None if level is None else CanonicalDefence(level)
        fit = task if defence is None else nw.Task(task.name, task.labels, tuple(defence.prepared(task.cases)))
        inner = nw.trained(fit, np.asarray(train))
        target: Any = inner if defence is None else defence.harden(inner)
        scores = target.scores(Batch([c.x for c in cases], tuple(cases)))[:, 0]
        right = [c for c, s, t in zip(cases, scores, truth, strict=True) if (s > 0) == t]
        said = [f"AUROC {nr.show(auroc(scores, truth, [c.id for c in cases]))}"]
        said += [f"{grades} flips {nr.show(flips(target, right, threat))}" for grades, threat in SETS.items()]
        said.append(f"other vocabularies flip {nr.show(leak(target, right, names))}")
        print(f"  {'plain' if level is None else 'canonical, ' + level}: " + "; ".join(said))


def flips(target: Any, cases: list[Case[str]], threat: str) -> Any:
    """Share of rightly decided notes that licensed swaps turn."""
    plan = make_plan({"name": "price", "seed": 1, "cell": [{"name": "swaps", "threat": threat, **WORDS}]})
    with tempfile.TemporaryDirectory() as folder:
        bundle = run_audit(resolve(plan, target, CaseSet.of(cases, name="right")), Path(folder) / "a")
        found = [o for o in bundle.outcomes("swaps") if o.kind in ("broken", "held", "not_applicable")]
    return rate([o.kind == "broken" for o in found], [o.case_id for o in found])


def leak(target: Any, cases: list[Case[str]], names: nr.Names) -> Any:
    """Share of rightly decided notes that a single swap of another vocabulary turns, valid or not."""
    hits = []
    for case in cases:
        texts = [case.x[:a] + new + case.x[b:] for a, b, new in nr.swaps(case.x, names)]
        seen = target.scores(Batch([case.x, *texts], (case,) * (len(texts) + 1)))[:, 0] > 0
        hits.append(bool((seen[1:] != seen[0]).any()))
    return rate(hits, [c.id for c in cases])


def main() -> None:
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path)
    data = parser.parse_args().data
    names = nr.names_of()
    phantoms = (*opioid(n=2_000, split="train"), *opioid(n=200, split="test"))
    price("phantom notes", nw.Task("phantom", ("low", "high"), phantoms), range(2_000), range(2_000, 2_200), names)
    if data is not None:
        task = nw.opioid_exposure(data)
        folds = task.folds()
        price(task.name, task, np.flatnonzero(folds > 0), np.flatnonzero(folds == 0), names)


if __name__ == "__main__":
    main()
