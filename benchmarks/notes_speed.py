"""Cost of searches over wordings beside TextAttack: same notes, same model, same table of wordings, one process.

    OMP_NUM_THREADS=1 python benchmarks/notes_speed.py [--data DATA] [-n 40]

TextAttack 0.3.11 in an environment of its own (benchmarks/README.md). It gets nocere's table of verified wordings as its
transformation for nothing; nocere is charged for making it. "own model" asks the model as a user of scikit-learn would,
"nocere's encoder" through the incremental one. Seconds are CPU time. DeepWordBug has typos of its own: not like for like.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import notes_peers as peers
import notes_world as nw
import numpy as np

from nocere.attacks.base import Answer, Job
from nocere.attacks.evaluate import goal_gradients, goal_margins
from nocere.audit.plan import make_plan, resolve
from nocere.audit.runner import run_audit
from nocere.cases.phantoms.notes import opioid
from nocere.clinical.notes.verify import verifier, verify
from nocere.core.batch import Batch
from nocere.core.case import Case, CaseSet
from nocere.core.goal import Goal, Literals
from nocere.core.registry import get
from nocere.core.rng import RowRng
from nocere.targets.notes.nets import fit_text_net
from nocere.targets.notes.opioid import train_risk
from nocere.threats.words import sets, sites
from nocere.threats.words.sets import SameConcept

MOST = 4  # edits
LOOKS = 5_000


class Counted:
    """A model that counts the rows that it is asked."""

    def __init__(self, model: Any) -> None:
        self.model, self.gradients, self.rows = model, model.gradients, 0

    def scores(self, texts: Sequence[str], bases: Sequence[str]) -> Any:
        self.rows += len(texts)
        return self.model.scores(texts, bases)

    def vjp(self, texts: Sequence[str], bases: Sequence[str]) -> Any:
        self.rows += len(texts)
        return self.model.vjp(texts, bases)

    def state(self) -> str:
        return str(self.model.state())


def forget(target: Any, *, table: bool = True) -> None:
    """Empty what is remembered of notes; the lexicon stays loaded, and without `table` the options too."""
    for cached in (sites.sites, sites._all, sets.verified, verifier) if table else ():
        cached.cache_clear()
    encoder = getattr(target.model.model, "encoder", None)
    if encoder is not None:
        encoder._bases.clear()


def searched(target: Any, cases: Sequence[Case[str]], name: str, *, table: bool) -> peers.Found:
    """The search alone, with or without making its table: no engine, no referee, no files."""
    forget(target, table=table)
    attack: Any = get("attack", name).make()
    first, goal, started = target.model.rows, Goal(), time.process_time()
    scores = target.scores(Batch([c.x for c in cases], tuple(cases)))
    bound = [goal.bind(c, target.decision, m) for c, m in zip(cases, target.decision.margins(scores), strict=True)]
    literals = Literals.join([b for b in bound if b is not None])
    best: list[str | None] = [None] * len(cases)
    job = Job(
        tuple(cases), [c.x for c in cases], np.full(len(cases), float(MOST)), SameConcept(float(MOST)),
        RowRng(0, name, [c.id for c in cases]), np.zeros(len(cases), bool), lambda _: LOOKS, target.decision, goal,
        literals,
    )  # fmt: skip
    search = attack.search(job)
    try:
        ask = next(search)
        while True:
            rows = np.asarray(ask.rows)
            on = np.array([k for k, r in enumerate(rows) if best[r] is None], dtype=np.intp)
            margin, grads = np.zeros(len(rows)), [None] * len(rows)
            if on.size:
                x, behind = [ask.x[k] for k in on], [cases[r] for r in rows[on]]
                if ask.grad:
                    margin[on], _, felt = goal_gradients(target, x, behind, literals.take(rows[on]), goal)
                    for k, g in zip(on, felt, strict=True):
                        grads[k] = g
                else:
                    margin[on] = goal_margins(target, x, behind, literals.take(rows[on]), goal)[0]
            for k in on:
                if margin[k] > 0 and best[rows[k]] is None:
                    best[rows[k]] = ask.x[k]
            live = np.array([best[r] is None for r in rows])
            ask = search.send(Answer(margin, grads, live, margin))
    except StopIteration:
        pass
    return peers.Found(best, target.model.rows - first, time.process_time() - started)


def audited(target: Any, cases: Sequence[Case[str]], name: str) -> peers.Found:
    """The whole audit: engine, referee that opens, verifies and asks every candidate, files, report data."""
    forget(target)
    cell = {"name": "words", "threat": "notes.same_concept", "radii": [MOST], "aim": "flip", "looks": LOOKS,
            "attacks": [{"name": name}]}  # fmt: skip
    first, started = target.model.rows, time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        work = resolve(make_plan({"name": "speed", "seed": 1, "cell": [cell]}), target, CaseSet.of(cases, name="speed"))
        bundle = run_audit(work, Path(folder) / "a")
        seconds = time.process_time() - started
        broken = {o.case_id for o in bundle.outcomes("words") if o.kind == "broken"}
    texts = [c.x if c.id in broken else None for c in cases]
    return peers.Found(texts, target.model.rows - first, seconds)


def row(name: str, found: peers.Found, own: peers.Found | None, extra: str = "") -> None:
    """One line of the table."""
    n, flips = len(found.texts), {i for i, t in enumerate(found.texts) if t is not None}
    shared = "" if own is None else f", shared {len(flips & {i for i, t in enumerate(own.texts) if t is not None})}"
    print(f"  {name:52s} {found.seconds:8.3f} s {60 * n / max(found.seconds, 1e-9):9.0f} notes/min "
          f"{found.rows / n:7.1f} rows a note, flips {len(flips)} of {n}{shared}{extra}", flush=True)  # fmt: skip


def compared(title: str, target: Any, cases: Sequence[Case[str]], truth: Any, plain: Any, missing: str) -> None:
    """All rows of one model."""
    pset = SameConcept(float(MOST))
    forget(target)
    started = time.process_time()
    table = {c.x: pset.options(c) for c in cases}
    making = time.process_time() - started
    options = sum(len(s.options) for at in table.values() for s in at)
    print(f"{title}: {len(cases)} notes decided rightly, {np.mean([len(c.x.split()) for c in cases]):.0f} words, "
          f"{options / len(cases):.1f} options a note, up to {MOST} edits; table {making:.3f} s", flush=True)  # fmt: skip
    own: dict[str, peers.Found] = {}
    frees: list[peers.Found] = []
    for name in ("notes.greedy", "notes.gradient"):
        own[name] = alone = searched(target, cases, name, table=True)
        row(f"nocere {name}, search with its table", alone, None)
        free = searched(target, cases, name, table=False)
        row(f"nocere {name}, the table for nothing", free, None)
        frees.append(free)
        if {c.truth.label for c in cases} == set(target.decision.labels):  # an audit wants cases of each
            row(f"nocere {name}, whole audit", audited(target, cases, name), alone)
    if missing:
        print(f"  TextAttack cannot be imported here, so its rows are left out: {missing}")
        return
    best = own["notes.greedy"]
    for how, ask in plain.items():
        for name, attack in peers.attacks(table, MOST).items():
            found = peers.run(attack, ask, cases, truth)
            told = [pset_says(c, t) for c, t in zip(cases, found.texts, strict=True) if t is not None]
            ratios = "; ".join(f"{found.seconds / o.seconds:.1f}" for o in (best, own["notes.gradient"], *frees))
            extra = (
                f", verifier accepts {sum(told)}; CPU times nocere's (greedy, gradient; both without table): {ratios}"
            )
            row(f"TextAttack {name}, {how}", found, best, extra)
        if how == "own model":
            found = peers.run(peers.deep_word_bug, ask, cases, truth)
            told = [pset_says(c, t) for c, t in zip(cases, found.texts, strict=True) if t is not None]
            row("TextAttack DeepWordBug (typos)", found, best, f", verifier accepts {sum(told)}")


def pset_says(case: Case[str], text: str) -> bool:
    """Whether the verifier takes a text for the same statement, grades A and B."""
    told = verify(case.x, text)
    return told.accepted and told.grade in ("A", "B")


def probabilities(target: Any, score: Any) -> Any:
    """Probabilities whose line lies at one half."""

    def ask(texts: list[str], note: str) -> Any:
        margin = np.asarray(target.decision.margins(score(texts, note).reshape(-1, 1)))[:, 1]
        p = 1 / (1 + np.exp(-margin))
        return np.stack([1 - p, p], axis=1)

    return ask


def right(target: Any, cases: Sequence[Case[str]], n: int) -> tuple[list[Case[str]], list[int]]:
    """The first notes that are decided rightly, n / 2 a label, and the numbers of their labels."""
    z = target.scores(Batch([c.x for c in cases], tuple(cases)))
    labels = list(target.decision.labels)
    said = np.asarray(target.decision.margins(z)).argmax(axis=1)
    kept = [(c, int(s)) for c, s in zip(cases, said, strict=True) if c.truth.label == labels[s]]
    kept = [e for s in range(len(labels)) for e in [e for e in kept if e[1] == s][: n // 2]]
    return [c for c, _ in kept], [s for _, s in kept]


def main() -> None:
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("-n", type=int, default=40)
    args = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    missing = peers.available()
    if not missing:
        print(
            f"stubs, imported by TextAttack and never used here: {', '.join(peers.stubbed())}; stop words: scikit-learn"
        )
    if args.data is None:
        target: Any = train_risk().target
        train, test = list(opioid(n=1_500, split="train")), list(opioid(n=10 * args.n, split="test"))
        name = "phantom notes"
    else:
        task = nw.opioid_exposure(args.data)
        folds = task.folds()
        target = nw.trained(task, np.flatnonzero(folds > 0))
        train = [task.cases[i] for i in np.flatnonzero(folds > 0)]
        test = [task.cases[i] for i in np.flatnonzero(folds == 0)]
        name = task.name
    SameConcept(float(MOST)).options(train[0])  # loads the lexicon, once a process
    vectoriser, form = target.model.encoder.vectoriser, target.model.form
    target.model = Counted(target.model)
    cases, truth = right(target, test, args.n)
    inner = target.model.model
    plain = {
        "own model": probabilities(target, lambda t, _: vectoriser.transform(t) @ form.weight + form.bias),
        "nocere's encoder": probabilities(target, lambda t, note: inner.scores(t, [note] * len(t))),
    }
    compared(f"{name}, TF-IDF and logistic", target, cases, truth, plain, missing)
    net = fit_text_net(train, target.decision.labels, 1, epochs=8)
    module = net.model
    net.model = Counted(module)
    cases, truth = right(net, test, args.n)
    asked = {"own model": probabilities(net, lambda t, _: module.scores(t, t))}
    compared(f"{name}, neural net (embedding bag)", net, cases, truth, asked, missing)


if __name__ == "__main__":
    main()
