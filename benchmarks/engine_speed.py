"""Cost of nocere's engine beside its peers: same nets, same cases, one process, one torch thread, CPU seconds.

    NOCERE_AUTOATTACK=CHECKOUT python benchmarks/engine_speed.py --data DATA --cache FOLDER pgd square ...

"audit" is `run_audit` with everything (plan, files, bundle); "engine" is the search with the referee, which writes,
reads and re-asks every candidate, without the bundle. Peers are given float images; their robust accuracy is printed
as they report it and after rounding to what a file can hold. "floor" is the plain torch loop in
engine_floors.py. Ratios are CPU seconds of the peer over CPU seconds of nocere's engine; above 1, nocere is cheaper.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import engine_floors as floors
import engine_peers as peers
import engine_world as ew
import numpy as np
import torch

from nocere.audit.plan import load_spec
from nocere.audit.presets import PRESETS
from nocere.audit.runner import run_audit
from nocere.audit.spec import CellSpec, Spec
from nocere.audit.work import Source
from nocere.cases.image import ImageCodec
from nocere.core.budget import Budget
from nocere.core.goal import Goal
from nocere.targets.twin import search_twin
from nocere.threats.base import Threat
from nocere.threats.geometry import RotationTranslation
from nocere.threats.patch import Patch
from nocere.threats.pixels import L2, Linf

OWN = "nocere engine"


@dataclass
class Table:
    """Rows of engine, CPU seconds and what was found; ratios to nocere's engine."""

    title: str
    world: ew.World
    n: int
    levels: float | None
    rows: list[tuple[str, float, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        clean = self.world.right(self.world.test.x[: self.n]).mean()
        budget = "" if self.levels is None else f"{self.levels:g} grey levels, "
        print(f"{self.title}: {self.world.name}, {budget}n = {self.n}, clean {clean:.1%}", flush=True)

    def add(self, engine: str, seconds: float, found: str) -> None:
        self.rows.append((engine, seconds, found))
        print(f"  {engine:32s} {seconds:8.3f} s   {found}", flush=True)

    def ratios(self, own: str = OWN) -> None:
        ours = next((s for name, s, _ in self.rows if name == own), None)
        if ours:
            for name, s, _ in self.rows:
                if not name.startswith("nocere"):
                    print(f"    {name} / {own} = {s / ours:.2f}")


def audit(target: Any, cases: Any, attacks: tuple[Any, ...], pset: Any, radii: tuple[float, ...], **about: Any) -> Any:
    """The whole audit of one cell into a folder that is thrown away."""
    threat = Threat(pset, about.pop("goal", Goal()), about.pop("access", ew.ALL), Budget(about.pop("looks", 100_000)))
    cell = CellSpec("cell", threat, attacks, radii, about.pop("aim", "flip"), tuple(r.id for r in cases.refs))
    with tempfile.TemporaryDirectory() as out:
        return run_audit(Spec("bench", target, ImageCodec(), cases, (cell,), **about), Path(out) / "bundle").manifest


def accuracy(world: ew.World, x: Any, levels: float | None) -> str:
    """Robust accuracy of a peer's floats as they are, and stored."""
    n = len(x)
    like = world.test.x[:n]
    with torch.inference_mode():
        plain = float((world.net(x).argmax(1).numpy() == world.test.y[:n]).mean())
    return f"robust {plain:6.1%}, stored {world.right(ew.stored(x.detach(), like, levels)).mean():6.1%}"


def levels_of(world: ew.World) -> float:
    """The budget in grey levels: 8, and 25 for the digits, which are black and white."""
    return 8.0 if world.classes == 2 else 25.0


def has(missing: dict[str, str], name: str) -> bool:
    return not any(name.startswith(m) for m in missing)


@dataclass(frozen=True)
class Settings:
    """What all sections share."""

    worlds: list[ew.World]
    missing: dict[str, str]
    n: int
    repeats: int
    data: Path
    cache: Path


def fixed(at: Settings, title: str, made: Any, floor: Any, runs: dict[str, Any], access: Any = ew.ALL) -> None:
    """An attack at one L-infinity budget: floor, peers, nocere."""
    for world in at.worlds:
        levels = levels_of(world)
        x, y = world.floats(at.n)
        table = Table(title, world, at.n, levels)
        out, s = ew.timed(at.repeats, floor, world.net, x, y, levels / 255)
        table.add("floor", s, accuracy(world, out, levels))
        for name, run in runs.items():
            if has(at.missing, name):
                out, s = ew.timed(at.repeats, run, world.net, x, y, levels / 255, world.classes)
                table.add(name, s, accuracy(world, out, levels))
        if made is None:
            continue
        job = (world.target(), world.cases(at.n), (made,), Linf(levels), (levels,))
        for by, name in (("twin", OWN), ("shipped", "nocere without twin")):
            found, s = ew.timed(at.repeats, ew.search, *job, by=by, access=access)
            table.add(name, s, robust(found))
        _, s = ew.timed(at.repeats, audit, *job, access=access)
        table.add("nocere audit", s, "")
        table.ratios()


def robust(found: ew.Searched) -> str:
    """What nocere found."""
    return f"robust {found.robust:6.1%}, {found.looks:.1f} looks a case searched"


def pgd(at: Settings) -> None:
    """PGD-40, L-infinity, one start."""
    fixed(at, "PGD-40", ew.attack("image.pgd", steps=40), floors.pgd, peers.PGD)


def square(at: Settings) -> None:
    """Square, 1000 queries. ART counts iterations, each of which costs it three queries."""
    runs = {
        "ART, 1000 iterations": peers.art_square,
        "auto-attack, rescaled": peers.reference_square,
        "torchattacks": peers.torchattacks_square,
    }
    fixed(at, "Square, 1000 queries", ew.attack("image.square", queries=1000), floors.square, runs, ew.SCORES)


def autoattack(at: Settings) -> None:
    """Verdicts of the published AutoAttack beside nocere's cascade and nocere's own run of the published recipe."""
    for world in at.worlds:
        levels = levels_of(world)
        x, y = world.floats(at.n)
        table = Table("AutoAttack", world, at.n, levels)
        if has(at.missing, "auto-attack"):
            # Two classes have no DLR loss and no nine targets: the reference raises, so its other parts are run.
            parts = ("apgd-ce", "fab", "square") if world.classes == 2 else ()
            out, s = ew.timed(1, peers.reference_autoattack, world.net, x, y, levels / 255, world.classes, parts)
            table.add("auto-attack, " + ("working parts" if parts else "standard"), s, accuracy(world, out, levels))
        for preset, name in (("image.strong", OWN), ("image.autoattack", "nocere, published recipe")):
            tables, _ = PRESETS[preset](world.target())
            made = tuple(ew.attack(**a) for a in tables[0]["attacks"])
            if None not in made:
                job = (world.target(), world.cases(at.n), made, Linf(levels), (levels,))
                found, s = ew.timed(1, ew.search, *job)
                table.add(name, s, robust(found))
        table.ratios()


def hopskipjump(at: Settings) -> None:
    """HopSkipJump in L2 on correctly classified images, about 1000 queries each."""
    made = ew.attack("image.hopskipjump")
    for world in at.worlds:
        chosen = world.only(world.right(world.test.x)).first(min(at.n, 32))
        n = len(chosen.test.x)
        x, y = chosen.floats(n)
        table = Table("HopSkipJump, about 1000 queries, L2", chosen, n, None)
        runs: dict[str, tuple[Any, ...]] = {
            "floor": (floors.hopskipjump,),
            "ART": (peers.art_hopskipjump, world.classes),
            "Foolbox, batch 32": (peers.foolbox_hopskipjump, world.classes, 32),
            "Foolbox, one image at a time": (peers.foolbox_hopskipjump, world.classes, 1),
        }
        for name, (run, *about) in runs.items():
            if has(at.missing, name):
                counted = (peers.Double if name == "ART" else peers.Counted)(chosen.net)
                try:
                    out, s = ew.timed(1, run, counted, x, y, *about)
                except Exception as e:  # what a peer raises is its result
                    print(f"  {name:32s} raised {type(e).__name__}: {e}")
                    continue
                table.add(name, s, distances(chosen, out, counted.rows / n))
        if made is None:
            continue
        job = (chosen.target(), chosen.cases(n), (made,), L2(3000.0), (3000.0,))
        found, s = ew.timed(1, ew.search, *job, access=ew.LABELS, aim="closest", looks=1000)
        lengths = [o.finding.cost.value / 255 for o in found.outcomes.values() if o.finding and o.finding.ok]
        missed = n - len(lengths)
        table.add(OWN, s, f"{found.looks:.0f} queries, stored: median L2 {np.median(lengths):.2f}, {missed} without")
        table.ratios()


def distances(world: ew.World, out: torch.Tensor, queries: float) -> str:
    """Median L2 of what fools, as floats and as stored, and how many do not."""
    like = world.test.x
    with torch.inference_mode():
        plain = world.net(out.float()).argmax(1).numpy() != world.test.y
    kept = ~world.right(ew.stored(out.detach(), like))
    length = np.linalg.norm((out.numpy() - like / 255.0).reshape(len(like), -1), axis=1)
    lost = int((plain & ~kept).sum())
    return (
        f"{queries:.0f} queries, median L2 {np.median(length[plain]):.2f}, {int((~plain).sum())} unchanged or missed, "
        f"{lost} lost by rounding"
    )


def grid(at: Settings) -> None:
    """Rotation by up to 20 degrees (9) and shifts of up to 10 % (5 x 5): 225 transforms an image."""
    made = ew.attack("image.grid", points=(9, 5, 5))
    for world in at.worlds:
        x, y = world.floats(at.n)
        pixels = 0.1 * x.shape[-1]
        table = Table("Rotation and translation, 225 transforms", world, at.n, None)
        out, s = ew.timed(1, floors.grid, world.net, x, y, 20.0, pixels)
        table.add("floor", s, accuracy(world, out, None))
        for name, run in {"Foolbox": peers.foolbox_grid, "ART": peers.art_grid}.items():
            if has(at.missing, name):
                out, s = ew.timed(1, run, world.net, x, y, world.classes, 20.0, 0.1)
                table.add(name, s, accuracy(world, out, None))
        job = (world.target(), world.cases(at.n), (made,), RotationTranslation(20.0, pixels), (20.0,))
        found, s = ew.timed(1, ew.search, *job, access=ew.SCORES)
        table.add(OWN, s, robust(found))
        table.ratios()


def patch(at: Settings) -> None:
    """A universal patch of 10 x 10: 40 epochs over n images, judged on as many others at one random place each."""
    for world in at.worlds:
        both = world.first(2 * at.n)
        x, y = both.floats(2 * at.n)
        parts = (x[: at.n], y[: at.n], x[at.n :])
        table = Table("Universal patch, 10 pixels, 40 epochs", world, at.n, None)
        for batch in (16, 64):
            out, s = ew.timed(1, floors.patch, world.net, *parts, 10, 40, batch)
            table.add(f"floor, batch {batch}", s, flips(both, at.n, out))
        if has(at.missing, "ART"):
            try:
                out, s = ew.timed(1, peers.art_patch, world.net, *parts, world.classes, 10, 40)
                table.add("ART, batch 16", s, flips(both, at.n, out))
            except Exception as e:  # ART's patch needs a torchvision that fits torch
                print(f"  ART raised {type(e).__name__}: {e}")
        cases = both.cases(2 * at.n)
        ids = [r.id for r in cases.refs]
        for batch, name in ((32, OWN), (64, "nocere engine, batch 64")):
            made = ew.attack("image.patch_universal", epochs=40, batch=batch)
            if made is not None:
                job = (world.target(), cases, (made,), Patch(10.0), (10.0,))
                found, s = ew.timed(1, ew.search, *job, fit_on=frozenset(ids[: at.n]))
                told = [found.outcomes[i].kind for i in ids[at.n :]]
                right = sum(k != "already_wrong" for k in told)
                table.add(name, s, f"held-out flips {told.count('broken') / right:6.1%} of {right}")
        table.ratios()


def flips(world: ew.World, fitted: int, out: Any) -> str:
    """Share of the held-out images that were right and are wrong with the patch, stored."""
    whole = world.test.x.copy()
    whole[fitted:] = ew.stored(out.detach(), whole[fitted:])
    before, after = (world.right(x)[fitted:] for x in (world.test.x, whole))
    return f"held-out flips {(before & ~after).sum() / before.sum():6.1%} of {before.sum()}"


def processes(at: Settings) -> None:
    """The same audit in one process and in two, one thread each; start-up is taken off by a small audit of each."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        here = Path(__file__).parent
        (folder / "build.py").write_text(
            f"import sys\nsys.path.insert(0, {str(here)!r})\n"
            "import pathlib\nimport engine_world as ew\n"
            f"def net():\n    return ew.world('pneumonia', True, pathlib.Path({str(at.data.resolve())!r}), "
            f"pathlib.Path({str(at.cache.resolve())!r})).net\n"
        )
        (folder / "card.toml").write_text(
            '[target]\nkind = "torch"\nfactory = "build.py:net"\n[input]\nchannels = 1\n'
            '[decision]\nkind = "softmax"\nlabels = ["0", "1"]\n'
        )
        test = ew.world("pneumonia", True, at.data, at.cache).test
        np.savez(folder / "cases.npz", test_images=test.x[:, 0], test_labels=test.y[:, None])
        wall: dict[tuple[int, int], float] = {}
        for n in (128, 128 + 2 * at.n):
            plan = folder / f"plan{n}.toml"
            plan.write_text(
                f'name = "processes"\ntarget = "card.toml"\n[cases]\ndataset = "image.medmnist"\nfile = "cases.npz"\n'
                f'limit = {n}\nlabels = {{ "0" = "0", "1" = "1" }}\n'
                '[[cell]]\nname = "noise"\nthreat = "image.linf"\nradii = [8]\naim = "worst"\n'
                'attacks = [{ name = "image.pgd", steps = 40 }]\n'
            )
            for workers in (1, 2):
                spec = load_spec(plan)
                started = time.perf_counter()
                run_audit(spec, folder / f"out{n}-{workers}", workers=workers, source=Source(plan, False))
                wall[n, workers] = time.perf_counter() - started
                print(f"  {n} cases, {workers} process(es): {wall[n, workers]:.1f} s of wall time", flush=True)
        one, two = (wall[128 + 2 * at.n, w] - wall[128, w] for w in (1, 2))
        print(f"  steady state: {one / two:.2f} times one process (wall time: only on an idle machine)")


SECTIONS: dict[str, Callable[[Settings], None]] = {
    "pgd": pgd,
    "square": square,
    "hopskipjump": hopskipjump,
    "grid": grid,
    "patch": patch,
    "autoattack": autoattack,
    "processes": processes,
}


def main() -> None:
    parser = ew.arguments(str(__doc__).split("\n", 1)[0])
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("sections", nargs="*", default=list(SECTIONS), help=", ".join(SECTIONS))
    parser.add_argument("--nets", nargs="*", default=["pneumonia", "digits"])
    parser.add_argument("--kinds", nargs="*", default=["standard", "hardened"])
    parser.add_argument("--repeats", type=int, default=3, help="of short runs; the fastest counts")
    parser.add_argument("-n", type=int, default=128, help="images")
    args = parser.parse_args()
    missing = peers.prepare()
    cache = ew.cache_of(args.cache)
    print(f"torch {torch.__version__}, numpy {np.__version__}, {platform.machine()}, {torch.get_num_threads()} thread")
    worlds = [ew.world(n, k == "hardened", args.data, cache) for n in args.nets for k in args.kinds]
    for world in worlds:
        # What is imported at first use is not what is measured: once for nocere's twin, once for the peers.
        search_twin(world.target(), next(iter(world.cases(1))))
    for section in args.sections:
        SECTIONS[section](Settings(worlds, missing, args.n, args.repeats, args.data, cache))


if __name__ == "__main__":
    main()
