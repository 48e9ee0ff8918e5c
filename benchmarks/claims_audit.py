"""Time of a whole audit of many claims at k = 2: moves, exact search, certificates, referee, files; two processes.

    python benchmarks/claims_audit.py --data DATA --cache FOLDER [-n 10000]

DE-SynPUF in ICD-10-CM, patients of the test part; the model of high MS-DRG weight, LightGBM 200 x 15; the goal is the
decision that the model does not take, so that every claim is searched.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path

from claims_world import LABELS, world

from nocere.audit.plan import load_spec
from nocere.audit.runner import run_audit
from nocere.audit.work import Source
from nocere.cases.datasets.claims_json import write_claims
from nocere.targets.claims.files import write_claim_target

PLAN = """\
name = "claims benchmark"
target = "model/card.toml"
[cases]
dataset = "claims.json"
file = "claims.jsonl"
on_conflict = "keep"
[[cell]]
name = "edits"
threat = "THREAT"
radii = [2]
attacks = ["claims.exact"]
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", 1)[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("-n", type=int, default=10_000)
    parser.add_argument("--threats", nargs="*", default=["claims.truthful", "claims.all"])
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    args.cache.mkdir(parents=True, exist_ok=True)
    made = world(args.data, args.cache)
    cases = made.cases("weight", args.n)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_claim_target(made.target("weight", "200x15"), folder / "model")
        (folder / "claims.jsonl").write_bytes(write_claims(cases))
        for threat in args.threats:
            plan = folder / f"{threat}.toml"
            plan.write_text(PLAN.replace("THREAT", threat))
            started = time.perf_counter()
            bundle = run_audit(
                load_spec(plan), folder / f"audit-{threat}", workers=args.workers, source=Source(plan, False)
            )
            wall = time.perf_counter() - started
            outcomes = list(bundle.outcomes("edits"))
            told = Counter(o.kind for o in outcomes)
            print(
                f"{threat}: {len(cases)} claims ({' against '.join(LABELS)}) at k = 2 in {wall:.0f} s of wall time, "
                f"{args.workers} processes, {1000 * wall / len(cases):.1f} ms a claim; "
                + ", ".join(f"{k} {v}" for k, v in sorted(told.items())), flush=True
            )  # fmt: skip


if __name__ == "__main__":
    main()
