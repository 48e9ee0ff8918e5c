"""The dermoscopy phantom: undefended against adversarially trained, same data, same architecture.

    python benchmarks/phantom.py --work /tmp/bench

The phantom is not rigged against every model: trained adversarially, the same network keeps most of its accuracy.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from real_images import CELLS, section, store, told

from nocere.audit.api import probe
from nocere.cases.phantoms.sets import DERMOSCOPY_LABELS, dermoscopy
from nocere.targets.card import load_target
from nocere.targets.reference.store import CARD
from nocere.targets.reference.train import Recipe, train

RECIPES = {
    "phantom undefended": Recipe(epochs=10),
    "phantom adversarially trained": Recipe(epochs=12, adversarial=2.0, augment=True),
}


def main() -> None:
    """Train and audit both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("bench-work"))
    parser.add_argument("--seed", type=int, default=21, help="a world that no other figure uses")
    args = parser.parse_args()
    sets = {s: dermoscopy(n=n, seed=args.seed, split=s) for s, n in (("train", 2000), ("val", 300), ("test", 300))}
    for name, recipe in RECIPES.items():
        work = args.work / name.replace(" ", "-")
        if not (work / "model" / CARD).exists():
            print(f"training {name}", file=sys.stderr, flush=True)
            train(sets["train"], sets["val"], DERMOSCOPY_LABELS, work / "model", recipe, name=name)
        bundle = probe(load_target(work / "model"), sets["test"], work / "audit", name=name, cells=CELLS, progress=told)
        store(name, section(name, bundle))


if __name__ == "__main__":
    main()
