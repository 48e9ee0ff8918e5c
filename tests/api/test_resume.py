"""Killing a run at random moments and running it again gives the manifest of an unbroken run.

A sample runs here; `make soak` kills twenty times.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

SCRIPT = """
import sys
from tests.images import audit, cell, world
from nocere.attacks.image.pgd import Pgd
from nocere.attacks.image.random_noise import RandomNoise
import nocere.audit.spec as spec
spec.SHARD = 8
cases, target = world(48, wrong_every=7)
audit(__import__("pathlib").Path(sys.argv[1]), cases, target,
      cell(cases, (Pgd(5), Pgd(30, 3)), name="noise"),
      cell(cases, (Pgd(20),), name="worst", radii=(1.0, 2.0), aim="worst"),
      cell(cases, (RandomNoise(60),), name="control", radii=(2.0,), aim="sample"))
"""


def start(out: Path) -> subprocess.Popen[bytes]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(out)], env=env, stderr=subprocess.PIPE)


def test_killed_and_resumed_equals_unbroken(tmp_path: Path) -> None:
    kills = 20 if os.environ.get("NOCERE_SOAK") else 4
    whole = start(tmp_path / "whole")
    assert whole.wait() == 0, whole.stderr and whole.stderr.read()
    want = (tmp_path / "whole" / "manifest.json").read_bytes()
    shards = len(list((tmp_path / "whole" / "cells").rglob("*.json")))
    rng = random.Random(5)
    landed = finished = 0
    while landed < kills:
        # A run that was killed until it was done is compared; the next kills fall into a new one.
        out = tmp_path / f"broken-{finished}"
        landed += _killed(out, rng)
        if (out / "manifest.json").exists() or landed == kills:
            _finish(out)
            assert (out / "manifest.json").read_bytes() == want
            assert len(list((out / "cells").rglob("*.json"))) == shards
            assert not list(out.rglob(".tmp-*"))
            finished += 1
        assert finished < 5 * kills, f"only {landed} of {kills} kills fell into a running audit"
    print(f"{landed} kills landed in {finished} audits; every manifest equals the unbroken one")
    _close(whole)


def _killed(out: Path, rng: random.Random) -> bool:
    """Start or resume, and kill at a random moment of the work; whether the kill came before the end."""
    before = _progress(out)
    run = start(out)
    # Wait until this process writes, so that the kill falls into the work and not into the imports.
    while run.poll() is None and _progress(out) == before:
        time.sleep(0.005)
    time.sleep(rng.uniform(0.0, 0.25))
    run.send_signal(signal.SIGKILL)
    code = run.wait()
    _close(run)
    return code == -signal.SIGKILL


def _finish(out: Path) -> None:
    last = start(out)
    assert last.wait() == 0, last.stderr and last.stderr.read()
    _close(last)


def _close(process: subprocess.Popen[bytes]) -> None:
    assert process.stderr is not None
    process.stderr.close()


def _progress(out: Path) -> int:
    return sum(1 for _ in out.rglob("*")) if out.exists() else 0
