"""What public engines break with a real file and nocere does not.

    NOCERE_AUTOATTACK=CHECKOUT python benchmarks/engine_strength.py --data DATA --cache FOLDER

nocere runs its preset image.strong. Every peer is then run on what nocere left unbroken at a budget (or, with --all, on
every correctly classified case); its images are rounded, held inside the budget and given to nocere's referee, which
writes them, reads them back and asks the shipped model. A case that a peer's file breaks and nocere did not is a miss:
it is listed, with what nocere finds when it tries harder. A peer's break counts at all larger budgets, as nocere's do.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from typing import Any

import engine_peers as peers
import engine_world as ew
import numpy as np

from nocere.audit.presets import PRESETS
from nocere.audit.referee import Referee
from nocere.cases.image import ImageCodec
from nocere.core.budget import Budget, Meter
from nocere.core.candidate import Candidate
from nocere.core.goal import Goal
from nocere.core.intervals import wilson
from nocere.threats.pixels import Linf

BUDGETS = {"digits": (1.0, 4.0, 8.0, 16.0, 25.0), "": (1.0, 2.0, 4.0, 8.0)}


@dataclass
class Counted:
    """Cases x budgets compared, and those missed."""

    compared: int = 0
    broken: int = 0
    missed: list[str] = field(default_factory=list)


class Files:
    """The referee on one world: which stored images break their case within a budget."""

    def __init__(self, world: ew.World, n: int) -> None:
        self.cases, target = world.cases(n), world.target()
        self.ids = [r.id for r in self.cases.refs]
        self.referee = Referee(target, ImageCodec(), self.cases)
        clean = {c.case_id: np.array(c.margins) for c in self.referee.clean(self.ids)}
        bound = {i: Goal().bind(self.cases.load(i), target.decision, clean[i]) for i in self.ids}
        self.literals = {i: lit for i, lit in bound.items() if lit is not None}

    def broken(self, rows: list[int], images: Any, levels: float) -> list[tuple[int, float]]:
        """Places and goal margins of those that are confirmed."""
        court = self.referee.court(Linf(levels), Goal(), self.literals, Meter(Budget(1)))
        found = court.judge([Candidate(self.ids[r], x, levels, None) for r, x in zip(rows, images, strict=True)])
        return [(r, f.margin) for r, f in zip(rows, found, strict=True) if f.ok]


def cascade(preset: str, target: Any) -> tuple[Any, ...]:
    """The attacks of a preset's first cell."""
    return tuple(ew.attack(**a) for a in PRESETS[preset](target)[0][0]["attacks"])


def compare(world: ew.World, budgets: tuple[float, ...], n: int, everyone: bool, missing: dict[str, str]) -> Counted:
    """One net at ascending budgets."""
    out, files = Counted(), Files(world, n)
    x, y = world.floats(n)
    right = np.flatnonzero(world.right(world.test.x[:n]))
    ours: set[int] = set()
    theirs: dict[int, tuple[str, float]] = {}
    print(f"{world.name}: {len(right)} of {n} cases are classified correctly")
    target, cases = world.target(), files.cases
    strong = cascade("image.strong", target)
    for levels in budgets:
        rest = [int(r) for r in right if r not in ours]
        found = ew.search(target, cases.take([files.ids[r] for r in rest]), strong, Linf(levels), (levels,))
        ours |= {r for r in rest if found.outcomes[files.ids[r]].kind == "broken"}
        added: dict[str, int] = {}
        for name, run in peers.everything(world.classes).items():
            if any(name.startswith(m) for m in missing):
                continue
            rows = [int(r) for r in right if r not in theirs and (everyone or r not in ours)]
            if not rows:
                break
            try:
                made = run(world.net, x[rows], y[rows], levels / 255, world.classes)
            except Exception as e:  # a peer that raises finds nothing; the benchmark says so
                print(f"  {name} raised {type(e).__name__}: {e}")
                continue
            images = ew.stored(made.detach(), world.test.x[rows], levels)
            confirmed = files.broken(rows, images, levels)
            theirs |= {r: (name, m) for r, m in confirmed}
            added[name] = len(confirmed)
        missed = sorted(r for r in theirs if r not in ours)
        out.compared += len(right)
        out.broken += len(ours)
        told = ", ".join(f"{k} {v}" for k, v in added.items())
        print(
            f"  {levels:g} levels: nocere {len(ours)} broken, missed {len(missed)}; newly by peers: {told}", flush=True
        )
        for r in missed:
            name, margin = theirs[r]
            out.missed.append(
                f"{world.name}, case {files.ids[r]}, {levels:g} levels: {name} by a margin of {margin:.4f}; "
                f"{harder(target, cases.take([files.ids[r]]), levels)}"
            )
    return out


def harder(target: Any, case: Any, levels: float) -> str:
    """What nocere finds with twenty random starts of a longer search."""
    made = (ew.attack("image.apgd", steps=200, restarts=20, first="random"),)
    found = ew.search(target, case, made, Linf(levels), (levels,), by="shipped")
    outcome = next(iter(found.outcomes.values()))
    best = "none" if outcome.trace.best is None else f"{outcome.trace.best:.4f}"
    return f"with 20 starts of 200 steps nocere: {outcome.kind}, best margin {best}, {found.looks:.0f} looks"


def main() -> None:
    parser = ew.arguments(str(__doc__).split("\n", 1)[0])
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--nets", nargs="*", default=list(ew.RECIPES))
    parser.add_argument("--kinds", nargs="*", default=["standard", "hardened"])
    parser.add_argument("--budgets", nargs="*", type=float, default=None, help="grey levels, ascending")
    parser.add_argument("-n", type=int, default=128, help="images a net")
    parser.add_argument("--all", action="store_true", help="run peers on cases that nocere broke, too")
    args = parser.parse_args()
    missing = peers.prepare()
    cache = ew.cache_of(args.cache)
    total = Counted()
    for name in args.nets:
        for kind in args.kinds:
            budgets = tuple(args.budgets or BUDGETS.get(name, BUDGETS[""]))
            part = compare(ew.world(name, kind == "hardened", args.data, cache), budgets, args.n, args.all, missing)
            total.compared += part.compared
            total.broken += part.broken
            total.missed += part.missed
    share = wilson(len(total.missed), total.compared)
    print(
        f"pooled: {total.compared} cases x budgets, nocere broke {total.broken}; {len(total.missed)} missed = "
        f"{len(total.missed) / total.compared:.2%} (95 % {share.low:.2%} to {share.high:.2%})"
    )
    for line in total.missed:
        print("  missed:", line)


if __name__ == "__main__":
    main()
