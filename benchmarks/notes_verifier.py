"""How often the verifier of note edits is wrong, on labelled pairs by writers who had not seen it.

    python benchmarks/notes_verifier.py [FILE ...]

The files are tests/oracle/note_pairs/*_test.jsonl (hashes beside them were committed before the verifier) unless others
are named: one JSON object a line with original, edited, valid, kind, grade. Pairs of one original are not independent:
both kinds of interval are printed. `writer1_dev.jsonl` was seen while the verifier was built; it is no evidence.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

from nocere.clinical.notes.verify import verify
from nocere.core.intervals import clopper_pearson, rate

PAIRS = Path(__file__).parents[1] / "tests" / "oracle" / "note_pairs"


def judged(file: Path) -> list[dict[str, Any]]:
    """The pairs of a file, each with what the verifier says."""
    pairs = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    for p in pairs:
        told = verify(p["original"], p["edited"])
        p |= {"accepted": told.accepted, "said": told.grade, "reason": told.reason, "told": told.why}
    return pairs


def share(name: str, pairs: list[dict[str, Any]]) -> None:
    """One line: accepted of all, exact interval, interval over originals."""
    k, n = sum(p["accepted"] for p in pairs), len(pairs)
    exact = clopper_pearson(k, n)
    over = rate([p["accepted"] for p in pairs], [p["original"] for p in pairs])
    print(
        f"  {name}: accepted {k} of {n} = {k / n:.4f} ({exact.low:.4f} to {exact.high:.4f}; over {over.groups} originals "
        f"{over.interval.low:.4f} to {over.interval.high:.4f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("files", nargs="*", type=Path, default=sorted(PAIRS.glob("*_test.jsonl")))
    for file in parser.parse_args().files:
        pairs = judged(file)
        print(file.name)
        share("invalid", [p for p in pairs if not p["valid"]])
        share("valid", [p for p in pairs if p["valid"]])
        for grade in "ABC":
            mine = [p for p in pairs if p["valid"] and p["grade"] == grade]
            same = sum(p["said"] == grade for p in mine if p["accepted"])
            share(f"valid, graded {grade} by the writer ({same} graded so here)", mine)
        wrong = Counter(p["kind"] for p in pairs if p["accepted"] != p["valid"])
        print("  wrong by kind:", dict(wrong.most_common()))
        for p in pairs:
            if p["accepted"] and not p["valid"]:
                print(f"    accepted, {p['kind']}: {p['original']!r} -> {p['edited']!r}")


if __name__ == "__main__":
    main()
