"""Explanation search on real images: tolerances between implementations, benign transforms, attacks, adaptive attacker.

    python benchmarks/provenance_explain.py --data DATA tolerances benign attacks adaptive

Prints Markdown tables. `tolerances` compares against what is installed of OpenCV, DCMTK, GDCM, pydicom, torch, jpeglib
(libjpeg 6b to 9, libjpeg-turbo, mozjpeg) and imagecodecs, and says what was absent.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from explain_attacks import ADAPTIVE, CODECS, Net, attacked, edited, inside_tolerance, trained
from explain_peers import peers
from PIL import Image as Pillow

from nocere.core.intervals import wilson
from nocere.provenance.investigate.explain import explain, residual
from nocere.provenance.investigate.explain_catalogue import Image, Step, apply_steps

SETS = ("derm", "cxr", "fundus")


def images(data: Path, name: str, n: int, split: str = "test") -> list[tuple[Image, int]]:
    """The first `n` images of a split, each label in turn, with their labels."""
    with (data / name / "labels.csv").open() as f:
        rows = [r for r in csv.DictReader(f) if r["split"] == split]
    by_label = [[r for r in rows if r["label"] == k] for k in ("0", "1")]
    mixed = [r for pair in zip(*by_label, strict=False) for r in pair][:n]
    return [(np.asarray(Pillow.open(data / name / r["file"])), int(r["label"])) for r in mixed]


def share(k: int, n: int) -> str:
    """k of n with its Wilson interval."""
    limit = wilson(k, n)
    return f"{k} / {n} | {k / max(n, 1):.3f} | {limit.low:.3f} to {limit.high:.3f}"


def tolerances(data: Path, n: int) -> None:
    """How far other implementations of the same named transform are, and how often `explain` still explains them."""
    print("\n| transform | implementation | settings | images | mean | local | largest | explained |")
    print("|---|---|---|---|---|---|---|---|")
    worst: dict[tuple[str, str, str], list[list[float]]] = {}
    hits: dict[tuple[str, str, str], list[bool]] = {}
    for wanted, name in enumerate(SETS, start=1):
        for image, _ in images(data, name, n):
            for key, original, bits, made, other in peers(image):
                r = residual(made, other)
                worst.setdefault(key, []).append([r.mean, r.local, r.peak])
                if len(hits.setdefault(key, [])) < wanted:  # the search itself, once a set
                    hits[key].append(explain(original, other, bits=bits, suspect_bits=8).explained)
    for key, rows in sorted(worst.items()):
        mean, local, peak = np.max(rows, axis=0)
        found = f"{sum(hits[key])} / {len(hits[key])}"
        print("|", " | ".join(key), f"| {len(rows)} | {mean:.4f} | {local:.3f} | {peak:g} | {found} |")


def benign(shape: tuple[int, ...], rng: np.random.Generator) -> Iterator[tuple[str, tuple[Step, ...]]]:
    """One draw of every kind of benign transform."""
    rows, columns = shape[:2]
    kind = str(rng.choice(["4:4:4", "4:2:2", "4:2:0"])) if len(shape) == 3 else "4:4:4"
    jpeg = Step("jpeg", {"quality": int(rng.integers(30, 101)), "subsampling": kind})
    wave, mct = str(rng.choice(["9/7", "5/3"])), str(rng.choice(["transformed", "separate"]))
    whole = Step("jpeg2000", {"ratio": float(rng.integers(2, 41)), "wavelet": wave, "components": mct})
    any_ratio = Step("jpeg2000", {"ratio": float(rng.uniform(2, 40)), "wavelet": wave, "components": mct})
    rounding = str(rng.choice(["even", "up", "down"]))
    two = {"gain": round(float(rng.uniform(0.7, 1.4)), 2), "offset": float(rng.integers(-30, 31))}
    free = {"gain": float(rng.uniform(0.7, 1.4)), "offset": float(rng.uniform(-30, 30))}
    affine = Step("affine", {**two, "bits": 8, "rounding": rounding})
    window = {"centre": int(rng.integers(90, 160)), "width": int(rng.integers(120, 300))}
    gamma = Step("gamma", {"gamma": round(float(rng.uniform(0.5, 2.0)), 2), "bits": 8, "rounding": "even"})
    turn = Step("turn", {"quarter_turns": int(rng.integers(1, 4)), "mirrored": int(rng.integers(0, 2))})
    r, c = int(rows * rng.uniform(0.65, 0.95)), int(columns * rng.uniform(0.65, 0.95))
    at = {"top": int(rng.integers(0, rows - r)), "left": int(rng.integers(0, columns - c))}
    crop = Step("crop", {**at, "rows": r, "columns": c})
    how = str(rng.choice(["box", "bilinear", "hamming", "bicubic", "lanczos", "bilinear-plain"]))
    part = rng.uniform(0.4, 1.6)
    resize = Step("resize", {"rows": round(rows * part), "columns": round(columns * part), "filter": how})
    half = Step("resize", {"rows": rows // 2, "columns": columns // 2, "filter": how})
    back = Step("resize", {"rows": rows, "columns": columns, "filter": how})
    pad = {"top": 7, "left": 12, "rows": rows + 30, "columns": columns + 30, "value": 0}
    yield "turn", (turn,)
    yield "crop", (crop,)
    yield "pad", (Step("pad", pad),)
    yield "resize", (resize,)
    yield "resize down and up", (half, back)
    yield "jpeg", (jpeg,)
    yield "jpeg2000, whole ratio", (whole,)
    yield "jpeg2000, any ratio", (any_ratio,)
    yield "affine, 2 digits", (affine,)
    yield "affine, any", (Step("affine", {**free, "bits": 8, "rounding": rounding}),)
    yield "window", (Step("window", {**window, "bits": 8, "rounding": rounding}),)
    yield "gamma", (gamma,)
    yield "resize, jpeg", (resize, jpeg)
    yield "crop, jpeg", (crop, jpeg)
    yield "turn, jpeg2000", (turn, whole)
    yield "resize, jpeg2000", (resize, whole)
    yield "affine, jpeg", (affine, jpeg)
    yield "gamma, jpeg", (gamma, jpeg)
    yield "turn, affine", (turn, affine)


def explained_benign(data: Path, n: int) -> None:
    """Share of benign transforms that are explained; parameters drawn at random per image."""
    print("\n| benign transform | explained | share | 95 % (Wilson) | right name |\n|---|---|---|---|---|")
    count: dict[str, list[tuple[bool, bool]]] = {}
    for s, name in enumerate(SETS):
        for i, (image, _) in enumerate(images(data, name, n)):
            for kind, steps in benign(image.shape, np.random.default_rng([s, i])):
                e = explain(image, apply_steps(image, 8, steps), bits=8)
                named = [x.name for x in e.steps] == [x.name for x in steps]
                count.setdefault(kind, []).append((e.explained, e.explained and named))
                if not e.explained:
                    print(f"  {name} {i} {'; '.join(map(str, steps))} -> {e}", file=sys.stderr)
    for kind, hits in count.items():
        print(f"| {kind} | {share(sum(h for h, _ in hits), len(hits))} | {sum(h for _, h in hits)} |")


def _nets(data: Path) -> Iterator[tuple[str, Net, list[tuple[Image, int]]]]:
    for name in ("derm", "cxr"):
        net = trained(images(data, name, 10**6, "train"))
        yield name, net, images(data, name, 10**6)


def attacks(data: Path, n: int) -> None:
    """Share of attacked suspects that are (wrongly) explained, per strength and codec."""
    print("\n| attack | set | codec | explained | miss rate | 95 % (Wilson) | smallest mean, local residual |")
    print("|---|---|---|---|---|---|---|")

    def row(label: str, name: str, codec: str, pairs: list[tuple[Image, Image]]) -> None:
        found = [explain(a, b, bits=8) for a, b in pairs]
        low = min(e.residual.mean for e in found), min(e.residual.local for e in found)
        missed = sum(e.explained for e in found)
        print(f"| {label} | {name} | {codec} | {share(missed, len(found))} | {low[0]:.3f}, {low[1]:.2f} |", flush=True)

    for name, net, rows in _nets(data):
        for codec, steps in CODECS.items():
            for eps in (1, 2, 4, 8):
                made = [(x, apply_steps(attacked(net, x, y, eps), 8, steps(x.ndim))) for x, y in rows[:n]]
                row(f"PGD {eps}/255", name, codec, made)
            if codec in ("JPEG 75", "JPEG 2000 20:1"):
                rng = np.random.default_rng(5)
                for eps in (1, 8):
                    noisy = [
                        np.clip(x + eps * rng.choice([-1, 1], x.shape), 0, 255).astype(np.uint8) for x, _ in rows[:n]
                    ]
                    made = [(x, apply_steps(z, 8, steps(x.ndim))) for (x, _), z in zip(rows, noisy, strict=False)]
                    row(f"sign noise {eps}/255", name, codec, made)
            made = [(x, apply_steps(edited(x, 12), 8, steps(x.ndim))) for x, _ in rows[:n]]
            row("lesion patch 12 px", name, codec, made)


def adaptive(data: Path, n: int) -> None:
    """Attackers who know the tolerances and the catalogue: how often is the model's answer flipped and explained?"""
    print(
        "\n| attacker | set | flipped and explained | share of right answers | 95 % (Wilson) |\n|---|---|---|---|---|"
    )
    for name, net, rows in _nets(data):
        right = [(x, y) for x, y in rows if net.answer(x) == y][:n]
        for codec, steps in ADAPTIVE.items():
            alone = more = 0
            for x, y in right:
                z = inside_tolerance(net, x, y, steps(x.ndim))
                kept = net.answer(apply_steps(x, 8, steps(x.ndim))) == y
                alone += not kept
                more += kept and net.answer(z) != y and explain(x, z, bits=8).explained
            print(f"| none: {codec} alone | {name} | {share(alone, len(right))} |")
            print(f"| adds what the tolerance of {codec} allows | {name} | {share(more, len(right))} |", flush=True)
        for eps in (1, 2):
            done = sum(net.answer(attacked(net, x, y, eps)) != y for x, y in right)
            print(f"| for comparison, not explained: PGD {eps}/255 | {name} | {share(done, len(right))} |", flush=True)
        flips = 0
        for i, (x, y) in enumerate(right):
            draws = [t for k in range(3) for t in benign(x.shape, np.random.default_rng([9, i, k]))]
            flips += any(net.answer(apply_steps(x, 8, steps)) != y for _, steps in draws)
        print(f"| picks the worst of 57 benign transforms | {name} | {share(flips, len(right))} |", flush=True)


def main() -> None:
    """Print the tables of the named sections."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", default=["tolerances", "benign", "attacks", "adaptive"])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("-n", type=int, default=20, help="images of each set")
    args = parser.parse_args()
    if not args.data.is_dir():
        sys.exit(f"There is no data at {args.data}; see benchmarks/README.md.")
    run: dict[str, Callable[[Path, int], None]] = {
        "tolerances": tolerances,
        "benign": explained_benign,
        "attacks": attacks,
        "adaptive": adaptive,
    }
    for section in args.sections:
        start = time.time()
        run[section](args.data, args.n)
        print(f"\n{section}: {args.n} images a set, {time.time() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
