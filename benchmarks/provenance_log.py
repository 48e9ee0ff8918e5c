"""The transparency log: durable appends, tree building, proofs; each beside a peer in the same run.

    python benchmarks/provenance_log.py --work /tmp/bench

Peers: a bare SQLite table with one commit an append (no tree, no signature, no proof), and pymerkle (a Merkle tree
without signatures or durability; installed by the development group). Latency is from `submit` to the receipt in hand,
that is: committed, signed, remembered, published. Prints Markdown.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pymerkle

from nocere.provenance.log import Log, Proof, Writer, evidence_text, verify_evidence
from nocere.provenance.log.checkpoint import Checkpoint
from nocere.provenance.log.note import SigningKey, sign_note
from nocere.provenance.log.tiles import grow, hash_reader
from nocere.provenance.merkle import inclusion_proof, leaf_hash, node_hash, root

ENTRY = 700  # bytes; about one capture record


def entries(n: int) -> list[bytes]:
    """`n` different entries of 700 bytes."""
    pad = os.urandom(ENTRY - 8)
    return [i.to_bytes(8, "big") + pad for i in range(n)]


def percentile(values: list[float], p: float) -> float:
    """Percentile `p` of values."""
    return sorted(values)[min(len(values) - 1, int(len(values) * p))]


def concurrent(submitters: int, seconds: float, append: Callable[[bytes], None]) -> tuple[float, list[float]]:
    """Appends a second, and the latency of each in seconds; every submitter waits for its receipt, then goes on."""
    latencies: list[list[float]] = [[] for _ in range(submitters)]
    pool = entries(submitters)
    start = time.perf_counter()

    def work(n: int) -> None:
        i = 0
        while time.perf_counter() - start < seconds:
            entry = pool[n][:-16] + i.to_bytes(8, "big") + n.to_bytes(8, "big")
            begun = time.perf_counter()
            append(entry)
            latencies[n].append(time.perf_counter() - begun)
            i += 1

    threads = [threading.Thread(target=work, args=(n,)) for n in range(submitters)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - start
    every = [x for own in latencies for x in own]
    return len(every) / took, every


def bare_sqlite(work: Path) -> Callable[[bytes], None]:
    """The naive peer: insert and commit each entry, write-ahead log, synchronous FULL."""
    db = sqlite3.connect(work / "bare.sqlite", isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE entries (i INTEGER PRIMARY KEY, entry BLOB)")
    lock = threading.Lock()

    def append(entry: bytes) -> None:
        with lock:
            db.execute("INSERT INTO entries (entry) VALUES (?)", (entry,))

    return append


def durable(work: Path, seconds: float) -> None:
    """Durable appends with concurrent submitters."""
    print(f"\n| durable appends, {ENTRY} B | submitters | per second | p50 ms | p99 ms |\n|---|---|---|---|---|")
    for submitters in (1, 16, 64, 256, 512):
        folder = work / f"log-{submitters}"
        with Log.create(folder, "log.example/bench", work / f"key-{submitters}") as log, Writer(log) as writer:
            rate, latency = concurrent(submitters, seconds, lambda e, w=writer: w.submit(e).result())
        row("nocere log (group commit, signed, published)", submitters, rate, latency)
    for submitters in (1, 64):
        with tempfile.TemporaryDirectory(dir=work) as place:
            rate, latency = concurrent(submitters, seconds, bare_sqlite(Path(place)))
        row("bare SQLite, one commit an append", submitters, rate, latency)


def row(name: str, submitters: int, rate: float, latency: list[float]) -> None:
    """One line of the first table."""
    p50, p99 = (1e3 * percentile(latency, p) for p in (0.5, 0.99))
    print(f"| {name} | {submitters} | {rate:,.0f} | {p50:.1f} | {p99:.1f} |", flush=True)


def building(n: int = 100_000) -> None:
    """Tree building in memory, root included."""
    every = entries(n)
    print(f"\n| tree of {n:,} entries, root | entries per second |\n|---|---|")
    start = time.perf_counter()
    tiles = grow(0, [leaf_hash(e) for e in every], lambda *_: b"")
    ours = root(n, hash_reader(lambda level, i: tiles[level, i]))
    print(f"| nocere (tiles) | {n / (time.perf_counter() - start):,.0f} |", flush=True)
    start = time.perf_counter()
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    for e in every:
        tree.append_entry(e)
    theirs = tree.get_root()
    print(
        f"| pymerkle {pymerkle.__version__} InmemoryTree (keeps every node) | {n / (time.perf_counter() - start):,.0f} |",
        flush=True,
    )
    assert ours == theirs


def proofs() -> None:
    """Size and verification time of evidence files. All leaves of the large trees but one are the same."""
    print(
        f"\n| evidence of one {ENTRY} B entry | bytes | of which entry | hashes | verification ms |\n|---|---|---|---|---|"
    )
    key, entry = SigningKey.generate("log.example/bench"), entries(1)[0]
    same = [leaf_hash(b"same")]
    for _ in range(40):
        same.append(node_hash(same[-1], same[-1]))
    for power in range(3, 10):
        size, at = 10**power, 10**power // 3

        def read(level: int, index: int, at: int = at) -> bytes:
            if at >> level != index:
                return same[level]
            return node_hash(read(level - 1, 2 * index), read(level - 1, 2 * index + 1)) if level else leaf_hash(entry)

        hashes = tuple(inclusion_proof(at, size, read))
        note = sign_note(Checkpoint("log.example/bench", size, root(size, read)).text, [key])
        text = evidence_text(Proof(at, entry, hashes, note))
        vkey, times = key.verifier.vkey, []
        for _ in range(200):
            start = time.perf_counter()
            verify_evidence(text, vkey)
            times.append(time.perf_counter() - start)
        share = len(text.encode()), len(text.split("\n")[1])
        print(
            f"| 10^{power} entries | {share[0]} | {share[1]} | {len(hashes)} | {1e3 * statistics.median(times):.2f} |"
        )


def main() -> None:
    """Run all three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("bench-work"), help="on the disk to be measured")
    parser.add_argument("--seconds", type=float, default=8.0, help="for each line of the first table")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.work) as place:
        durable(Path(place), args.seconds)
    proofs()
    building()


if __name__ == "__main__":
    main()
