"""Runs a spec into a bundle: rounds, cells and shards, each written when done, so that a killed run goes on."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeAlias

import nocere
from nocere.attacks.outcome import Outcome
from nocere.audit.bundle import Bundle, mask_path, results, seal, short
from nocere.audit.criteria import judge
from nocere.audit.indicators import indicators
from nocere.audit.measures.compute import compute
from nocere.audit.referee import Clean, Referee
from nocere.audit.spec import CellSpec, Sealed, Spec
from nocere.audit.work import Source, Task, Workshop, artefact_path, pooled, put, weight
from nocere.core.canonical import digest, dumps
from nocere.core.errors import DataError, PlanError, UsageError
from nocere.core.files import clean_temporary, private_folder, write_atomic

Progress: TypeAlias = Callable[[str, int, int], None]


def run_audit(
    spec: Spec,
    out: str | Path,
    *,
    lanes: int = 128,
    workers: int = 1,
    source: Source | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """Run `spec` into the folder `out` and return the bundle; an interrupted run of the same spec goes on.

    Args:
        out: a new folder, or one that an interrupted run of the same spec left.
        lanes: cases in flight; changes no result.
        workers: processes with one thread each; more than one needs `source`, so that they find the spec again.
        source: the plan file that `spec` came from.
        progress: called with (what, done, all).

    Raises:
        PlanError: `out` holds another audit.
        WriteError: the folder cannot be written; what was finished stays and is used next time.
        TargetError, DataError: the target or a case cannot be used.
    """
    if lanes < 1 or workers < 1:
        raise UsageError(f"lanes and workers must be at least 1; got {lanes} and {workers}.")
    return _Run(spec, Path(out), lanes, workers, source, progress or _silent).run()


def _silent(*_: object) -> None:
    """No progress."""


class _Run:
    def __init__(
        self, spec: Spec, out: Path, lanes: int, workers: int, source: Source | None, progress: Progress
    ) -> None:
        self.spec, self.out, self.lanes, self.progress = spec, out, lanes, progress
        self.workers, self.source = workers, source
        self.plan = spec.to_json()
        self.started = time.time()
        self.resumed = False

    def run(self) -> Bundle:
        self._open()
        if (self.out / "manifest.json").exists():
            return Bundle(self.out)
        clean, noise = self._clean()
        outcomes: dict[str, list[Outcome]] = {}
        artefacts: dict[str, bytes] = {}
        shop = Workshop(self.spec, self.out, clean, noise, self.lanes)
        last = max([c.round for c in self.spec.cells] + [a.round for a in self.spec.artefacts])
        for number in range(last + 1):
            sealed = Sealed(self.spec.cases, clean, {k: tuple(v) for k, v in outcomes.items()}, dict(artefacts))
            self._artefacts(number, sealed, artefacts)
            outcomes |= self._search(shop, [c for c in self.spec.cells if c.round == number])
        self._originals(outcomes)
        self._measure(outcomes)
        self._note()
        seal(self.out, self.plan)
        return Bundle(self.out)

    # --- stages ----------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        private_folder(self.out)
        there = self.out / "plan.json"
        if there.exists():
            if digest(json.loads(there.read_bytes())) != digest(self.plan):
                raise PlanError(
                    f"{self.out} holds another audit (other plan, target or data).",
                    "Choose another folder, or remove that one.",
                )
            self.resumed = True
            clean_temporary(self.out)
        elif any(p.name != "cases.json" and not p.name.startswith(".tmp-") for p in self.out.iterdir()):
            raise PlanError(f"{self.out} is not empty and holds no audit.", "Choose a new folder.")
        else:
            # The plan is written last of the two: a folder with a plan always has its cases.
            self._write("cases.json", [r.to_json() for r in self.spec.cases.refs])
            self._write("plan.json", self.plan)

    def _clean(self) -> tuple[dict[str, Clean], float]:
        path = self.out / "clean.json"
        if not path.exists():
            referee = Referee(
                self.spec.target, self.spec.codec, self.spec.cases, seed=self.spec.seed, draws=self.spec.draws
            )
            ids = [r.id for r in self.spec.cases.refs]
            self.progress("clean cases", 0, len(ids))
            answers = referee.clean(ids)
            self.progress("clean cases", len(ids), len(ids))
            if all(a.why for a in answers):
                raise DataError(
                    f"{self.spec.target.name} returned no finite score for any case.",
                    "Check its weights and preprocessing (NaN or infinite values).",
                )
            self._write("clean.json", {"noise": referee.noise, "cases": [asdict(a) for a in answers]})
        data = json.loads(path.read_bytes())
        rows = [
            Clean(r["case_id"], tuple(r["margins"]), r["probabilities"] and tuple(r["probabilities"]), r["why"])
            for r in data["cases"]
        ]
        return {r.case_id: r for r in rows}, data["noise"]

    def _artefacts(self, number: int, sealed: Sealed, made: dict[str, bytes]) -> None:
        for a in self.spec.artefacts:
            if a.round == number:
                path = artefact_path(self.out, a.name)
                if not path.exists():
                    self.progress(f"making {a.name}", 0, 1)
                    private_folder(path.parent)
                    write_atomic(path, a.build(sealed))
                made[a.name] = path.read_bytes()
        if made:
            records = {a.name: dict(a.record(made[a.name])) for a in self.spec.artefacts if a.name in made}
            self._write("artefacts.json", records)

    def _search(self, shop: Workshop, cells: Sequence[CellSpec]) -> dict[str, list[Outcome]]:
        """Compute what is not there yet of these cells, and read all of it."""
        shards = {c.name: [Task(c.name, k) for k in range(len(c.shards()))] for c in cells}
        totals = {c.name: len(c.cases) * weight(c) for c in cells}
        done = dict.fromkeys(totals, 0)

        def told(cell: str, n: int) -> None:
            done[cell] += n
            self.progress(cell, min(done[cell], totals[cell]), totals[cell])

        missing: list[Task] = []
        for c in cells:
            private_folder(self.out / "cells" / c.name)
            for task in shards[c.name]:
                if shop.path(task).exists():
                    done[c.name] += len(c.shards()[task.number]) * weight(c)
                else:
                    missing.append(task)
        if self.source is not None and self.workers > 1 and len(missing) > 1:
            pooled(shop, missing, self.source, min(self.workers, len(missing)), told)
        else:
            for task in missing:
                shop.do(task, told)
        for name, total in totals.items():
            self.progress(name, total, total)
        return {
            name: [Outcome.from_json(o) for t in tasks for o in json.loads(shop.path(t).read_bytes())["outcomes"]]
            for name, tasks in shards.items()
        }

    def _originals(self, outcomes: Mapping[str, list[Outcome]]) -> None:
        """The files that evidence came from, so that a bundle replays without the data set."""
        kept = {o.case_id for rows in outcomes.values() for o in rows if o.finding is not None and o.finding.ok}
        for case_id in sorted(kept):
            folder = self.out / "originals" / short(case_id)
            case = self.spec.cases.load(case_id)
            files = self.spec.codec.encode(case, case.x)
            put(folder, files)
            if case.mask:
                put(self.out, {mask_path(case_id): case.mask})

    def _measure(self, outcomes: Mapping[str, list[Outcome]]) -> None:
        clean = json.loads((self.out / "clean.json").read_bytes())
        rows = {k: tuple(v) for k, v in outcomes.items()}
        known = results(self.plan, self.spec.cases.refs, clean, rows)
        measures, found = compute(known), indicators(known, self.plan, clean["noise"])
        verdicts = [judge(c, measures, found) for c in self.spec.criteria]
        self._write("measures.json", [m.to_json() for m in measures])
        self._write("indicators.json", [i.to_json() for i in found])
        self._write("verdicts.json", [v.to_json() for v in verdicts])

    def _note(self) -> None:
        note = {
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.time() - self.started, 2),
            "resumed": self.resumed,
            "nocere": nocere.__version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "packages": _versions(),
            "sources": dict(self.spec.sources),
        }
        write_atomic(self.out / "run.json", dumps(note))

    def _write(self, name: str, value: Any) -> None:
        write_atomic(self.out / name, dumps(value))


def _versions() -> dict[str, str]:
    found = {}
    for name in ("numpy", "scipy", "torch", "scikit-learn", "pillow"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
