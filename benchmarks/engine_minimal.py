"""The smallest budget that flips, as a file: nocere beside the best that peers find before anything is saved.

    python benchmarks/engine_minimal.py --data DATA --cache FOLDER [-n 48]

The unsaved optimum of a case is the smallest distance among the peers' answers, in floats (adv-lib's DDN and FMN, each
with 200 steps); nocere's budget is that of the stored file the referee confirmed. Beside it: how many of the peers'
own examples are still adversarial after one save.
"""

from __future__ import annotations

import engine_peers
import engine_world as ew
import numpy as np
import torch

from nocere.threats.pixels import L2, Linf

STEPS = 200


def peers(world: ew.World, n: int, norm: str) -> dict[str, torch.Tensor]:
    """The peers' smallest changes, as floats in [0, 1]."""
    from adv_lib.attacks import ddn, fmn

    x, y = world.floats(n)
    made = {}
    for name, run in (("FMN", lambda: fmn(world.net, x, y, 2 if norm == "L2" else float("inf"), steps=STEPS)),) + (
        (("DDN", lambda: ddn(world.net, x, y, steps=STEPS)),) if norm == "L2" else ()
    ):
        torch.manual_seed(0)
        made[name] = run().detach()
    return made


def length(x: np.ndarray, like: np.ndarray, norm: str) -> np.ndarray:
    """Distances in grey levels."""
    d = (x - like).reshape(len(x), -1)
    return np.linalg.norm(d, axis=1) if norm == "L2" else np.abs(d).max(1)


def main() -> None:
    """Print the table."""
    parser = ew.arguments(__doc__)
    parser.add_argument("-n", type=int, default=48, help="correctly classified images of each net")
    args = parser.parse_args()
    engine_peers.prepare()
    cache = ew.cache_of(args.cache)
    print(
        "| net | norm | cases | unsaved optimum, median | nocere, stored, median | ratio of medians | median excess |"
    )
    print("|---|---|---|---|---|---|---|")
    notes = []
    for name in ("pneumonia", "digits"):
        for hardened in (False, True):
            world = ew.world(name, hardened, args.data, cache)
            world = world.only(world.right(world.test.x)).first(args.n)
            n = len(world.test.x)
            like = world.test.x.astype(np.float64)
            for norm in ("L2", "Linf"):
                best = np.full(n, np.inf)
                for peer, out in peers(world, n, norm).items():
                    with torch.inference_mode():
                        fools = world.net(out).argmax(1).numpy() != world.test.y
                    far = length(out.double().numpy() * 255.0, like, norm)
                    best = np.where(fools, np.minimum(best, far), best)
                    kept = ~world.right(ew.stored(out, world.test.x))
                    notes.append(f"{world.name}, {norm}, {peer}: {int((fools & ~kept).sum())} of {int(fools.sum())}")
                if norm == "L2":
                    job = ((ew.attack("image.minimal", steps=STEPS),), L2(6000.0), (6000.0,))
                else:
                    job = ((ew.attack("image.minimal"), ew.attack("image.apgd", steps=60)), Linf(128.0), (128.0,))
                found = ew.search(world.target(), world.cases(n), *job, aim="closest")
                own = np.full(n, np.inf)
                for case_id, o in found.outcomes.items():
                    if o.kind == "broken":
                        own[int(case_id)] = o.finding.cost.value
                both = np.isfinite(own) & np.isfinite(best)
                a, b = np.median(best[both]), np.median(own[both])
                print(
                    f"| {world.name} | {norm} | {both.sum()} of {n} | {a:.2f} | {b:.2f} | {b / a:.3f} | "
                    f"{np.median(own[both] - best[both]):+.2f} |",
                    flush=True,
                )
    print("\nPeers' examples that one save to 8 bits undoes:\n")
    print("\n".join(f"- {line}" for line in notes))


if __name__ == "__main__":
    main()
