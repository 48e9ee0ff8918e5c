"""The log under faults: failing and killed system calls, kill -9, two writers at once.

After every fault the same must hold: each receipt that was given is true under its own checkpoint and under the newest,
fsck finds nothing, and the same call again brings every entry in exactly once.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from nocere.provenance.log import Log, evidence_text, fsck, verify_evidence

SOAK = bool(os.environ.get("NOCERE_SOAK"))
BASE = 250  # so that the run crosses the border of the first tile
BATCHES = (3, 4, 1)
ENTRIES = [f"{BASE + i} of the run".encode() for i in range(sum(BATCHES))]

# Appends the batches and tells each receipt only when it has it; exits with the code of the error.
CHILD = f"""
import json, os, sys
from pathlib import Path
from nocere.core.errors import NocereError
from nocere.provenance.log import Log
try: os.open("/begin", os.O_RDONLY)
except OSError: pass
folder, at = Path(sys.argv[1]), {BASE}
try:
    with Log.open(folder / "log", folder / "k") as log:
        for n in {BATCHES}:
            names = [str(i) for i in range(at, at + n)]
            for name, r in zip(names, log.append([(i + " of the run").encode() for i in names], names)):
                os.write(1, (json.dumps([r.index, name, r.checkpoint]) + "\\n").encode())
            at += n
except NocereError as e:
    print(e, file=sys.stderr)
    sys.exit(int(e.exit_code))
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A log of 250 entries to copy."""
    with Log.create(tmp_path / "base" / "log", "log.example/faults", tmp_path / "base" / "k") as log:
        log.append([b"%d" % i for i in range(BASE)])
    return tmp_path / "base"


def run(folder: Path, *strace: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [*strace, sys.executable, "-c", CHILD, str(folder)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)


def given(stdout: str) -> list[list[Any]]:
    """The receipts that came out whole."""
    return [json.loads(line) for line in stdout.split("\n")[:-1]]


def check_receipts(folder: Path, receipts: list[list[Any]]) -> None:
    reader = Log.open(folder / "log")
    for index, name, checkpoint in receipts:
        for under in (checkpoint, None):
            found = verify_evidence(evidence_text(reader.prove(index, under)), reader.vkey)
            assert (found.index, found.entry) == (index, f"{name} of the run".encode())


def check_all_is_well(folder: Path, receipts: list[list[Any]]) -> None:
    """Reopen, check each receipt, append again, and find every entry once."""
    with Log.open(folder / "log", folder / "k") as log:
        assert fsck(folder / "log", key=folder / "k") == []
        check_receipts(folder, receipts)
        again = log.append(ENTRIES, [str(BASE + i) for i in range(len(ENTRIES))])
        assert [r.index for r in again] == list(range(BASE, BASE + len(ENTRIES)))
        assert list(log.entries(BASE)) == ENTRIES
    check_receipts(folder, receipts)
    assert fsck(folder / "log", key=folder / "k") == []


CALLS = ("pwrite64", "write", "fsync", "fdatasync", "rename", "openat", "mkdir", "ftruncate", "unlink", "flock")
FAULTS = ("error=EIO", "error=ENOSPC", "signal=SIGKILL")


def needs_strace() -> None:
    if not shutil.which("strace"):
        pytest.skip("needs strace")
    probe = subprocess.run(["strace", "-f", "-e", "inject=fsync:error=EIO", "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip(f"strace may not trace here: {probe.stderr.decode()[:80]!r}")


def calls_of_a_run(folder: Path) -> list[tuple[str, int]]:
    """Every (system call, instance) of a run without a fault, from the opening of the log on."""
    trace = folder.parent / "trace"
    assert run(folder, "strace", "-f", "-o", str(trace), "-e", f"trace={','.join(CALLS)}").returncode == 0
    seen = dict.fromkeys(CALLS, 0)
    out, begun = [], False
    for line in trace.read_text().splitlines():
        match = re.match(r"\d+ +(\w+)\(", line)
        if match and match[1] in seen:
            seen[match[1]] += 1
            begun |= '"/begin"' in line
            if begun:
                out.append((match[1], seen[match[1]]))
    return out


def sample(calls: list[tuple[str, int]]) -> list[tuple[str, int, str]]:
    """Every call with every fault in a soak; else one instance of each kind of call with each fault."""
    if SOAK:
        return [(name, n, fault) for name, n in calls for fault in FAULTS]
    rng = random.Random(1)
    kinds = sorted({name for name, _ in calls})
    return [(name, rng.choice([n for c, n in calls if c == name]), fault) for name in kinds for fault in FAULTS]


def test_a_fault_in_any_system_call(base: Path, tmp_path: Path) -> None:
    needs_strace()
    shutil.copytree(base, tmp_path / "plain")
    calls = calls_of_a_run(tmp_path / "plain")
    assert {"pwrite64", "fsync", "fdatasync", "rename", "openat", "write"} <= {name for name, _ in calls}
    refused = 0
    for name, n, fault in sample(calls):
        folder = tmp_path / "faulty"
        shutil.copytree(base, folder)
        found = run(
            folder, "strace", "-f", "-o", "/dev/null", "-e", f"trace={name}", "-e", f"inject={name}:{fault}:when={n}"
        )
        told = f"{name} {n} {fault}: {found.returncode} {found.stderr}"
        if "SIGKILL" in fault:
            assert found.returncode in (-9, 137), told
        elif name != "write":  # which is the child's own voice too
            assert "Traceback" not in found.stderr, told
            assert found.returncode in (0, 2, 4, 6), told
            refused += found.returncode == 6
        check_all_is_well(folder, given(found.stdout))
        shutil.rmtree(folder)
    assert refused > 5


def test_no_receipt_leaves_before_everything_is_synced(base: Path, tmp_path: Path) -> None:
    """Read from the trace of a run: at each receipt no file of the log has unsynced data, no folder an unsynced name.

    kill -9 leaves the page cache in place, so only this stands for a power cut.
    """
    needs_strace()
    trace = tmp_path / "trace"
    names = "pwrite64,write,fsync,fdatasync,rename,mkdir,ftruncate"
    assert run(base, "strace", "-f", "-y", "-s", "4096", "-o", str(trace), "-e", f"trace={names}").returncode == 0
    dirty: set[str] = set()
    receipts = 0
    for line in trace.read_text().splitlines():
        call = re.match(r"\d+ +(\w+)\((?:(\d+)<([^>]*)>|\"([^\"]*)\"(?:, \"([^\"]*)\")?)", line)
        if not call:  # the line that says how the process ended
            continue
        name, number, path, first, second = call.groups()
        if name == "write" and number == "1":
            assert not dirty
            receipts += 1
        elif name in ("fsync", "fdatasync"):
            dirty.discard(path)
        elif name == "rename":
            assert first not in dirty
            dirty.add(str(Path(second).parent))
        elif name == "mkdir":
            dirty.add(str(Path(first).parent))
        elif str(base) in path and not path.endswith("-shm"):
            dirty.add(path)
    assert receipts == len(ENTRIES)


# Submits from four threads until it is killed; tells each receipt.
BUSY = """
import json, os, sys, threading
from pathlib import Path
from nocere.provenance.log import Log, Writer
folder, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
log = Log.open(folder / "log", folder / "k")
with Writer(log, delay=0.002) as writer:
    def work(t):
        for i in range(count):
            label = f"{name}-{t}-{i}"
            r = writer.submit(f"{label} of the run".encode(), label).result()
            os.write(1, (json.dumps([r.index, label, r.checkpoint]) + "\\n").encode())
    threads = [threading.Thread(target=work, args=(t,)) for t in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
log.close()
"""


def busy(folder: Path, name: str, count: int, out: Path) -> subprocess.Popen[bytes]:
    with out.open("wb") as f:
        return subprocess.Popen([sys.executable, "-c", BUSY, str(folder), name, str(count)], stdout=f)


def test_kill_9_at_any_moment(base: Path, tmp_path: Path) -> None:
    rng = random.Random(os.urandom(8) if SOAK else 9)
    receipts: list[list[Any]] = []
    for loop in range(300 if SOAK else 5):
        out = tmp_path / "out"
        child = busy(base, f"loop{loop}", 100_000, out)
        while not out.stat().st_size and child.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.random() * 0.4)
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
        receipts += given(out.read_text())
        Log.open(base / "log", base / "k").close()
        assert fsck(base / "log", key=base / "k") == []
        check_receipts(base, rng.sample(receipts, min(60, len(receipts))))
    assert len({index for index, *_ in receipts}) == len(receipts) > 20
    found = list(Log.open(base / "log").entries())
    assert all(found[index] == f"{name} of the run".encode() for index, name, _ in receipts)
    assert len(found) == len(set(found))


def test_two_processes_write_at_once(base: Path, tmp_path: Path) -> None:
    count = 500 if SOAK else 60
    outs = [tmp_path / "a", tmp_path / "b"]
    children = [busy(base, name, count, out) for name, out in zip("ab", outs, strict=True)]
    while any(child.poll() is None for child in children):
        assert fsck(base / "log", key=base / "k") == []  # a look at it while they write
        time.sleep(0.05)
    assert [child.returncode for child in children] == [0, 0]
    receipts = [r for out in outs for r in given(out.read_text())]
    assert sorted(index for index, *_ in receipts) == list(range(BASE, BASE + 8 * count))
    check_receipts(base, receipts[:: len(receipts) // 60])
    found = list(Log.open(base / "log").entries())
    assert all(found[index] == f"{name} of the run".encode() for index, name, _ in receipts)
    assert fsck(base / "log", key=base / "k") == []
