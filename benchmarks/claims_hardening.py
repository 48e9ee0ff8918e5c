"""What hardening a payer's model costs and stops, and on how many phantom worlds the paper's own edit flips one.

    python benchmarks/claims_hardening.py price
    python benchmarks/claims_hardening.py paper

"price": models by construction (equivalence quotient, monotone, capped credit) beside a plain one, on phantom claims:
AUROC lost, denied claims that k = 2 edits flip in two truthful sets, or two stuffed codes, and what leaks through the
quotient by codes that another source calls the same. "paper": ten worlds, each with its own payer.
"""

from __future__ import annotations

import argparse

from nocere.cases.phantoms.claims import case_of, draw
from nocere.cases.phantoms.sets import FIRST
from nocere.clinical.codes.graph import load_rules
from nocere.core.intervals import Estimate, clopper_pearson
from nocere.defences.claims_credit import CreditDefence, out_of_reach
from nocere.defences.claims_monotone import MonotoneDefence
from nocere.defences.claims_price import (
    Labelled,
    Plain,
    auroc_lost,
    denied,
    flipped,
    gem_swaps,
    leak,
    stuffed,
    trained,
)
from nocere.defences.claims_quotient import QuotientDefence
from nocere.scenarios.claims_review.paper import papers_edit
from nocere.targets.claims.payer import history, outcome, train_payer
from nocere.threats.codes.sets import Truthful, TruthfulWide


def labelled(n: int, seed: int, split: str) -> Labelled:
    """Claims of the phantom's history with what was decided."""
    bills = history(n, seed, split, "denial")
    return Labelled([b.claim for b in bills], outcome(bills, "denial"), [b.claim.patient for b in bills])


def say(e: Estimate) -> str:
    return f"{e.value:.3f} ({e.interval.low:.3f} to {e.interval.high:.3f})"


def price(n: int, tested: int, seed: int) -> None:
    """One row a model."""
    train, held = labelled(n, seed, "train"), labelled(n // 2, seed, "val")
    cases = [case_of(draw(seed, FIRST["test"] + i), f"c{i:05d}") for i in range(tested)]
    common = [c for c, _ in sorted(_counts(train).items(), key=lambda kv: -kv[1])[:40]]
    swaps = gem_swaps(load_rules())
    recipes = (Plain(), QuotientDefence(), MonotoneDefence(), CreditDefence(cap=0.5), CreditDefence(cap=1.0))
    plain = None
    print(
        "| model | AUROC lost | denied | truthful, k = 2 | with undecided prose | two stuffed codes | leak: features / decisions |"
    )
    print("|---|---|---|---|---|---|---|")
    for recipe in recipes:
        made = trained(recipe, train, held, seed=seed)
        plain = plain or made
        lost = "-" if made is plain else say(auroc_lost(plain, made, held))
        against = denied(made.target, cases)
        leaks = leak(made.target, against, swaps)
        name = recipe.name if not isinstance(recipe, CreditDefence) else f"{recipe.name}, cap {recipe.cap:g}"
        row = [
            name, lost, str(len(against)), say(flipped(made.target, against, Truthful(2))),
            say(flipped(made.target, against, TruthfulWide(2))), say(stuffed(made.target, against, common, k=2)),
            f"{say(leaks.changed)} / {say(leaks.flipped)}",
        ]  # fmt: skip
        print("| " + " | ".join(row) + " |", flush=True)
        if isinstance(recipe, CreditDefence):
            safe = out_of_reach(made.model, made.target.encoder, [c.x for c in against], made.target.decision.threshold)
            print(f"  {safe.mean():.0%} of its denied claims are beyond any edit of diagnoses")


def _counts(train: Labelled) -> dict[str, int]:
    out: dict[str, int] = {}
    for claim in train.claims:
        for code in set(claim.codes):
            out[code] = out.get(code, 0) + 1
    return out


def paper(n: int) -> None:
    """On how many worlds the paper's edit flips the payer that learnt there."""
    flips, falls = 0, 0
    seeds = range(1, 11)
    for seed in seeds:
        found = papers_edit(train_payer(n=n, seed=seed).target, "approve", load_rules())
        before, after = found["before"]["margin"], found["after"]["margin"]
        flips += found["flips"]
        falls += after > before
        truthful = found["sets"]["claims.truthful"]
        print(
            f"seed {seed}: margin to approve {before:.2f}, then {after:.2f}; flips: {found['flips']}; "
            f"{truthful['flips']} of {truthful['members']} licensed codings flip it", flush=True
        )  # fmt: skip
    i = clopper_pearson(flips, len(seeds))
    print(f"the paper's edit flips {flips} of {len(seeds)} payers ({i.low:.2f} to {i.high:.2f}); it helps in {falls}")


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", 1)[0])
    parser.add_argument("sections", nargs="*", default=["price", "paper"])
    parser.add_argument("-n", type=int, default=6_000, help="claims of the history")
    parser.add_argument("--tested", type=int, default=500)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    if "price" in args.sections:
        price(args.n, args.tested, args.seed)
    if "paper" in args.sections:
        paper(4_000)


if __name__ == "__main__":
    main()
