"""Shards computed and stored, in this process or in several with one thread each.

A shard's file is written last and in one step: what exists is finished, and a killed run loses at most the shards that
were in flight. Nothing that a shard computes depends on which process computes it.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nocere.attacks.outcome import Outcome
from nocere.audit.bundle import evidence_path
from nocere.audit.guard import Guard
from nocere.audit.referee import Clean
from nocere.audit.shard import run_shard
from nocere.audit.spec import CellSpec, Spec
from nocere.core.candidate import Files
from nocere.core.canonical import digest, dumps
from nocere.core.errors import NocereError, PlanError
from nocere.core.files import private_folder, write_atomic


@dataclass(frozen=True, slots=True)
class Task:
    """One shard of one cell."""

    cell: str
    number: int


@dataclass(frozen=True, slots=True)
class Source:
    """Where a worker process finds the spec again."""

    plan: Path
    trust: bool


Told = Callable[[str, int], None]


class Workshop:
    """Everything that computing shards needs."""

    def __init__(self, spec: Spec, out: Path, clean: Mapping[str, Clean], noise: float, lanes: int) -> None:
        self.spec, self.out, self.clean, self.noise, self.lanes = spec, out, clean, noise, lanes
        self.guard = Guard(spec.target)
        self.cells = {c.name: c for c in spec.cells}
        self._views: dict[str, Guard] = {}

    def path(self, task: Task) -> Path:
        """Where the outcomes of a shard are stored."""
        return self.out / "cells" / task.cell / f"{task.number:05d}.json"

    def view(self, name: str) -> Guard | None:
        """What cells of this view search, from its sealed bytes; None where the target itself is searched."""
        if name and name not in self._views:
            made = next(a for a in self.spec.artefacts if a.name == name)
            self._views[name] = Guard(made.load(artefact_path(self.out, name).read_bytes()), f"the view {name!r}")
        return self._views.get(name)

    def do(self, task: Task, told: Told) -> None:
        """Compute a shard and store outcomes and evidence."""
        cell = self.cells[task.cell]

        def heard(outcome: Outcome) -> None:
            if _final(cell, outcome):
                told(cell.name, 1)

        ids = cell.shards()[task.number]
        view = self.view(cell.view)
        result = run_shard(
            self.spec, cell, ids, self.clean, self.noise, self.guard, view=view, lanes=self.lanes, told=heard
        )
        for (case_id, radius), files in result.evidence.items():
            put(self.out / evidence_path(cell.name, case_id, radius), files)
        put(self.path(task).parent, {self.path(task).name: dumps({"outcomes": [o.to_json() for o in result.outcomes]})})


def artefact_path(out: Path, name: str) -> Path:
    """Where a bundle keeps what a round made."""
    return out / "artefacts" / name


def put(folder: Path, files: Files) -> None:
    """Write files under a private folder."""
    for name, data in files.items():
        path = folder / name
        private_folder(path.parent)
        write_atomic(path, data)


def weight(cell: CellSpec) -> int:
    """Final outcomes that a case of this cell has: the unit of progress."""
    return 1 if cell.aim in ("flip", "closest") else len(cell.radii)


def _final(cell: CellSpec, outcome: Outcome) -> bool:
    return weight(cell) > 1 or outcome.kind != "held" or outcome.radius == cell.radii[-1]


def pooled(shop: Workshop, tasks: Sequence[Task], source: Source, workers: int, told: Told) -> None:
    """Compute shards in worker processes, each with one thread.

    Raises:
        NocereError: what a worker raised; or that a worker was killed (out of memory, for example).
    """
    context = multiprocessing.get_context("spawn")
    heard = context.SimpleQueue()
    start = (source, shop.out, digest(shop.spec.to_json()), dict(shop.clean), shop.noise, shop.lanes, heard)
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=start) as pool:
        open_: set[Future[None]] = {pool.submit(_do, t) for t in tasks}
        try:
            while open_:
                done, open_ = wait(open_, timeout=0.2, return_when=FIRST_COMPLETED)
                while not heard.empty():
                    told(*heard.get())
                for future in done:
                    future.result()
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        except BrokenProcessPool as e:
            raise NocereError(
                "A worker process ended unexpectedly (out of memory?).",
                "Run the same command again with fewer --workers: it goes on where it stopped.",
            ) from e
        finally:
            for future in open_:
                future.cancel()


# A worker process computes for one run only: its workshop is made once, when the process starts.
_shop: Workshop | None = None
_heard: Any = None


def _begin(source: Source, out: Path, plan: str, clean: dict[str, Clean], noise: float, lanes: int, heard: Any) -> None:
    global _shop, _heard
    # Ctrl-C reaches every process of the terminal; the parent alone decides what happens.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch

    from nocere.audit.plan import load_spec

    torch.set_num_threads(1)
    spec = load_spec(source.plan, trust=source.trust)
    if digest(spec.to_json()) != plan:
        raise PlanError(f"{source.plan}, its target or its cases changed while the audit was running.")
    _shop, _heard = Workshop(spec, out, clean, noise, lanes), heard


def _do(task: Task) -> None:
    assert _shop is not None
    _shop.do(task, lambda cell, n: _heard.put((cell, n)))
