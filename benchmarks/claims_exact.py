"""Exact worst case over sets of code edits: nocere beside brute force, an integer program, greedy, ART and dtai-veritas.

DE-SynPUF inpatient claims in ICD-10-CM, patients of the test part unseen in training; LightGBM of 200 trees x 15 leaves (at
most 3 edits) and 600 x 31 (at most 4) for high payment and high MS-DRG weight; the set `claims.all`, with laterals. Each
claim is pushed away from what the model says of it. For every claim the optimum is compared with brute force: LightGBM's
own answer for every set of edits that it can tell apart, then the rules in the order of the scores.

    python benchmarks/claims_exact.py --cache FOLDER [--n 200] [--through 2000]

Times are CPU seconds of one thread. NOCERE_PEERS names the Python of another environment with
adversarial-robustness-toolbox, dtai-veritas and lightgbm; without it the peers are left out, and that is said. ART's tree
attack knows one scikit-learn tree and no rules: it gets such a tree, and its points are compared with the claims that
permitted edits can reach. Veritas knows boxes and no budget of edits: it gets the box that the edits reach.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import pickle
import subprocess
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from claims_world import SIZES, TARGETS, World, world
from numpy.typing import NDArray

from nocere.attacks.codes.best import Best, Search
from nocere.attacks.codes.exact import Exact
from nocere.attacks.codes.program import Program
from nocere.attacks.codes.steps import options
from nocere.attacks.structure.clauses import Clause
from nocere.core.goal import Goal
from nocere.targets.claims.target import ClaimTarget
from nocere.threats.codes.edit import ordered, replay
from nocere.threats.codes.sets import AllEdits, Truthful

MOST = {"200x15": 3, "600x31": 4}
GOALS = {"200x15": 20.0, "600x31": 120.0}  # ms, medians asked for
ROWS = 2_048
PEER_SECONDS = 5.0


@dataclass(frozen=True)
class Line:
    """One claim: what was found, and CPU milliseconds."""

    edits: int
    best: Best
    listing: float
    search: float


def push(target: ClaimTarget, case: Any) -> float:
    """+1 where the model says the usual label, -1 where it says the high one: away from what it says."""
    rows = target.encoder.rows([case.x])
    return -1.0 if target.decision.margins(target.row_scores(rows))[0, 1] > 0 else 1.0


def exact(target: ClaimTarget, case: Any, pset: Any, sign: float) -> Line:
    clause = Clause(np.full((1, 1), sign), np.zeros(1))
    started = time.process_time()
    edits = pset.edits(case)  # kept: the search asks again
    listed = time.process_time()
    best = Search(case, pset, target.structure, int(pset.radius), tries=20_000).best(clause)
    ended = time.process_time()
    return Line(len(edits), best, 1e3 * (listed - started), 1e3 * (ended - listed))


def brute_force(target: ClaimTarget, case: Any, pset: Any, sign: float) -> tuple[float, int, float]:
    """The best score of any permitted set, by asking LightGBM about every set; sets asked about; milliseconds."""
    started = time.process_time()
    encoder, edits = target.encoder, pset.edits(case)
    after = [replay(case.x, [e]) for e in edits]
    base = encoder.counts([case.x])[0]
    changes = encoder.counts(after) - base
    first = {k for k, c in enumerate(after) if c.principal != case.x.principal}
    groups: dict[Any, list[int]] = {}
    for k, e in enumerate(edits):
        held = frozenset((*e.remove, e.principal, "first" if e.principal or e.order else "", e.line)) - {"", -1}
        groups.setdefault((changes[k].tobytes(), held or frozenset(e.add)), []).append(k)
    members = list(groups.values())
    holds = [h for _, h in groups]
    n = len(members)
    free = np.array([[not a & b for b in holds] for a in holds]).reshape(n, n)
    lead = [m[0] for m in members]
    joint = {}
    for a, b in itertools.combinations([k for k in range(n) if lead[k] in first], 2):
        if free[a, b]:
            both = encoder.counts([replay(case.x, ordered([edits[lead[a]], edits[lead[b]]]))])[0]
            joint[a, b] = both - base - changes[lead[a]] - changes[lead[b]]
    columns = np.flatnonzero(changes.any(axis=0))
    small = changes[np.ix_(lead, columns)] if n else np.zeros((0, len(columns)), dtype=np.int64)
    asked = 0
    row = encoder.finish(base[None])[0]
    sets = np.zeros((1, 0), dtype=np.intp)
    values: list[NDArray[np.float64]] = []
    chosen: list[NDArray[np.intp]] = []
    for _ in range(min(int(pset.radius), n)):
        last = sets[:, -1] if sets.shape[1] else np.full(len(sets), -1)
        mask = np.arange(n)[None] > last[:, None]
        for i in range(sets.shape[1]):
            mask &= free[sets[:, i]]
        at, new = np.nonzero(mask)
        sets = np.column_stack([sets[at], new])
        counts = base[columns] + small[sets].sum(axis=1)
        for (a, b), beyond in joint.items():
            counts[(sets == a).any(axis=1) & (sets == b).any(axis=1)] += beyond[columns]
        unique, where = np.unique(counts, axis=0, return_inverse=True)
        z = np.zeros(len(unique))
        for s in range(0, len(unique), ROWS):
            x = np.repeat(row[None], len(unique[s : s + ROWS]), axis=0)
            x[:, columns] = encoder.finish(unique[s : s + ROWS], columns)
            z[s : s + ROWS] = sign * target.row_scores(x)[:, 0]
        asked += len(sets)
        values.append(z[where.ravel()])
        chosen += [sets]
    every = np.concatenate(values) if values else np.zeros(0)
    starts = np.cumsum([0, *map(len, values)])
    best_value = -np.inf
    for k in np.argsort(-every, kind="stable"):
        depth = int(np.searchsorted(starts, k, side="right")) - 1
        some = chosen[depth][k - starts[depth]]
        if any(
            pset.permits(case, ordered([edits[i] for i in pick]))
            for pick in itertools.product(*(members[g] for g in some))
        ):
            best_value = float(every[k])
            break
    return best_value, asked, 1e3 * (time.process_time() - started)


def program(target: ClaimTarget, case: Any, pset: Any, sign: float) -> tuple[float, float, float]:
    """Value and bound of the integer program, and milliseconds."""
    started = time.process_time()
    solver = Program(case.x, pset.edits(case), pset.compatible, target.structure, int(pset.radius))
    clause = Clause(np.full((1, 1), sign), np.zeros(1))
    solved = solver.solve(clause, lambda e: pset.permits(case, e), tries=40)
    return solved.value, solved.bound, 1e3 * (time.process_time() - started)


def spread(values: Any) -> str:
    """10 %, median, 90 %, largest."""
    return " ".join(f"{v:.1f}" for v in np.quantile(np.asarray(values, dtype=float), [0.1, 0.5, 0.9, 1.0]))


def compare(w: World, what: str, size: str, n: int, laterals: int, programs: int) -> list[tuple[Any, float, Line]]:
    target, most = w.target(what, size), MOST[size]
    pset = AllEdits(float(most), laterals=laterals)
    cases = w.tests[:n]
    warm = time.process_time()
    exact(target, w.tests[-1], pset, 1.0)  # tables of the model and rules of the codes are read once
    warm = time.process_time() - warm
    out, gaps, missed, brute, solved = [], [], 0, [], []
    worst = 0.0
    unproven = 0
    for k, case in enumerate(cases):
        sign = push(target, case)
        line = exact(target, case, pset, sign)
        value, asked, ms = brute_force(target, case, pset, sign)
        brute.append((asked, ms))
        unproven += not line.best.proven
        if value != line.best.value:
            worst = max(worst, abs(value - line.best.value))
        gaps.append(line.best.gap)
        missed += line.best.gap > 1e-12
        if k < programs:
            v, bound, ms = program(target, case, pset, sign)
            solved.append((abs(v - line.best.value) < 1e-6, bound >= line.best.value - 1e-6, ms))
        out.append((case, sign, line))
    lines = [line for _, _, line in out]
    total = [line.listing + line.search for line in lines]
    print(f"\n{what} {size}, at most {most} edits, AUC {w.auc[what, size]:.3f}, {n} claims")
    print(f"  edits a claim (10 % median 90 % most)       {spread([line.edits for line in lines])}")
    print(f"  equal to brute force                        largest difference {worst:.1e}; unproven {unproven}")
    print(
        f"  nocere, ms                                  {spread([line.search for line in lines])}   (goal: median {GOALS[size]:g})"
    )
    print(f"  nocere with listing the edits, ms           {spread(total)}   (first claim of a model: {1e3 * warm:.0f})")
    print(
        f"  brute force, ms                             {spread([ms for _, ms in brute])}   ({spread([a for a, _ in brute])} sets)"
    )
    print(
        f"  integer program, ms ({programs} claims)             {spread([ms for *_, ms in solved])}   same optimum {sum(a for a, *_ in solved)}, bound holds {sum(b for _, b, _ in solved)}"
    )
    print(
        f"  greedy misses the optimum                   {missed} of {n}; mean loss there {np.mean([g for g in gaps if g > 1e-12] or [0]):.3f} logits"
    )
    print(f"  sets of edits asked of the rules            {spread([line.best.asked for line in lines])}")
    scored = sum(a for a, _ in brute) / (sum(line.search for line in lines) / 1e3)
    print(
        f"  candidates decided a second                 {scored:,.0f}   (sets that brute force has to ask about, by nocere's time)"
    )
    return out


def through(w: World, n: int) -> None:
    """Claims through the engine: moves, search, referee with files and rules, certificates checked."""
    from engine_world import search

    from nocere.cases.claim_json import ClaimCodec

    print(
        f"\n{n} claims at 2 edits through engine and referee (files written and read, proofs and certificates checked)"
    )
    for size in SIZES:
        for pset in (Truthful(2.0), AllEdits(2.0)):
            target = w.target("payment", size)
            access = frozenset({"scores", "labels", "structure"})
            done = search(
                target, w.cases("payment", n), (Exact(),), pset, (2.0,), goal=Goal(), access=access, codec=ClaimCodec(), by="shipped"
            )  # fmt: skip
            kinds = Counter(o.kind for o in done.outcomes.values())
            print(f"  {size} {pset.name:16} {1e3 * done.seconds / n:6.1f} ms a claim   {dict(sorted(kinds.items()))}")


# --- peers -----------------------------------------------------------------------------------------------------------


def peers(w: World, found: dict[tuple[str, str], list[tuple[Any, float, Line]]], n: int) -> None:
    python = os.environ.get("NOCERE_PEERS")
    if not python:
        print("\nART and dtai-veritas: not run (NOCERE_PEERS is not set)")
        return
    with tempfile.TemporaryDirectory() as folder:
        for (what, size), lines in found.items():
            _veritas(w, what, size, lines[:n], Path(folder), python)
        _art(w, Path(folder), python, 200)


def _asked(python: str, folder: Path, task: str) -> Any:
    script = Path(__file__).with_name("claims_peers.py")
    done = subprocess.run(
        [python, "-W", "ignore", str(script), task, str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(f"  {task} failed: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else done.returncode}")
        return None
    return json.loads((folder / "answer.json").read_text())


def _veritas(w: World, what: str, size: str, lines: list[tuple[Any, float, Line]], folder: Path, python: str) -> None:
    target, most = w.target(what, size), MOST[size]
    encoder = target.encoder
    used = np.ones(encoder.width, dtype=bool)
    x0, low, high = [], [], []
    for case, _, _ in lines:
        base = encoder.counts([case.x])[0]
        made = options(case, AllEdits(float(most)).edits(case), encoder, used, base)
        a, b = base.copy(), base.copy()
        ranked = np.sort(made.steps, axis=0)
        a[made.columns] += np.minimum(ranked[:most], 0).sum(axis=0)
        b[made.columns] += np.maximum(ranked[max(0, len(ranked) - most) :], 0).sum(axis=0)
        x0.append(encoder.finish(base[None])[0])
        low.append(encoder.finish(np.maximum(a, 0)[None])[0])
        high.append(encoder.finish(b[None])[0])
    np.savez(folder / "task.npz", x0=x0, low=low, high=high, sign=[s for _, s, _ in lines], seconds=PEER_SECONDS)
    (folder / "model.txt").write_text(w.models[what, size])
    answer = _asked(python, folder, "veritas")
    if answer is None:
        return
    exact_values = np.array([line.best.value for _, _, line in lines])
    clean = np.array([line.best.clean for _, _, line in lines])
    solved = [v is not None for v in answer["value"]]
    over = [v - e for v, e, s in zip(answer["value"], exact_values, solved, strict=True) if s]
    bound = np.array(answer["bound"]) - exact_values
    print(
        f"\ndtai-veritas {answer['version']}, {what} {size}, {len(lines)} claims, {PEER_SECONDS:g} s each, a box without a budget of edits"
    )
    print(
        f"  a solution in the box {sum(solved)}, proven optimal in the box {sum(answer['optimal'])}; ms {spread(answer['ms'])}"
    )
    if over:
        print(
            f"  its solutions lie above the true optimum by {spread(over)} logits (of a largest gain of {spread(exact_values - clean)})"
        )
    print(f"  its bound lies above the true optimum by {spread(bound)} logits")


def _art(w: World, folder: Path, python: str, n: int) -> None:
    from sklearn.tree import DecisionTreeClassifier

    from nocere.core.decision import OneLogit

    cases = w.tests[: 20 * n]
    x = w.encoder.rows([c.x for c in cases])
    y = (w.values["payment"][: len(cases)] >= w.lines["payment"]).astype(int)
    tree = DecisionTreeClassifier(max_depth=12, min_samples_leaf=10, random_state=0).fit(x[n:], y[n:])
    target = ClaimTarget(tree, w.encoder, OneLogit(("usual", "high")))
    (folder / "tree.pickle").write_bytes(pickle.dumps(tree))
    np.savez(folder / "task.npz", x0=x[:n])
    answer = _asked(python, folder, "art")
    if answer is None:
        return
    adversarial = np.rint(np.array(answer["x"]))
    before, after = tree.predict(x[:n]), tree.predict(adversarial)
    flips, reached, times, ours = 0, 0, [], 0
    used = np.flatnonzero(np.bincount(np.maximum(tree.tree_.feature, 0), minlength=w.encoder.width))
    for k, case in enumerate(cases[:n]):
        pset = AllEdits(2.0)
        sign = -1.0 if before[k] else 1.0
        line = exact(target, case, pset, sign)
        times.append(line.search)
        ours += line.best.value > (0.5 if sign > 0 else -0.5)
        if before[k] == after[k]:
            continue
        flips += 1
        claims = {target.encoder.rows([y])[0, used].tobytes() for y, _ in pset.members(case)}
        reached += adversarial[k, used].tobytes() in claims
    print(
        f"\nART {answer['version']} DecisionTreeAttack, one tree, {n} claims: it flips {flips} by changing features one at a time;"
    )
    print(
        f"  {reached} of these points are claims that at most 2 edits reach (any code, true or not); {1e3 * answer['seconds'] / n:.2f} ms a claim"
    )
    print(
        f"  nocere, at most 2 edits, same tree: {ours} flips, all of them claims, the others excluded exactly; {spread(times)} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with claims/")
    parser.add_argument(
        "--cache", type=Path, required=True, help="where claims and models are kept; outside of the repository"
    )
    parser.add_argument("--n", type=int, default=200, help="claims of each model")
    parser.add_argument("--laterals", type=int, default=3, help="false swaps and unsupported refinements of one code")
    parser.add_argument("--programs", type=int, default=20, help="claims for the integer program")
    parser.add_argument("--peers", type=int, default=20, help="claims for dtai-veritas")
    parser.add_argument("--through", type=int, default=0, help="claims through engine and referee")
    given = parser.parse_args()
    given.cache.mkdir(parents=True, exist_ok=True)
    w = world(given.data, given.cache)
    print(f"{w.unmapped:.1%} of the diagnoses have no ICD-10-CM target; {w.encoder.width} features")
    found = {
        (what, size): compare(w, what, size, given.n, given.laterals, given.programs)
        for size in SIZES
        for what in TARGETS
    }
    peers(w, found, given.peers)
    if given.through:
        through(w, given.through)


if __name__ == "__main__":
    main()
