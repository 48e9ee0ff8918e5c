"""Re-use search on real images: recall by transform, false matches, time; perceptual hashes in the same run.

    python benchmarks/provenance_reuse.py --data DATA derm fundus cxr scale --pictures FOLDER

Prints Markdown tables. The peers need `pip install imagehash` and are left out, with a word, where it is absent. Pairs
that the search reports among images of different groups are written to FOLDER, to be looked at: some are true.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance

from nocere.core.intervals import upper_limit, wilson
from nocere.provenance.investigate.reuse import Index
from nocere.provenance.investigate.reuse.features import Features
from nocere.provenance.investigate.reuse.files import pair_picture

GROUP = {"derm": "lesion_id", "fundus": "file", "cxr": "patient_id"}
Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def _jpeg(image: Image.Image, quality: int) -> Image.Image:
    held = io.BytesIO()
    image.save(held, "JPEG", quality=quality)
    return Image.open(io.BytesIO(held.getvalue()))


def _crop(image: Image.Image, rng: np.random.Generator, share: float) -> Image.Image:
    """A part with `share` of each side, at a random place."""
    w, h = round(image.width * share), round(image.height * share)
    x, y = int(rng.integers(0, image.width - w + 1)), int(rng.integers(0, image.height - h + 1))
    return image.crop((x, y, x + w, y + h))


def _light(image: Image.Image, brightness: float, contrast: float) -> Image.Image:
    return ImageEnhance.Contrast(ImageEnhance.Brightness(image).enhance(brightness)).enhance(contrast)


def _scaled(image: Image.Image, x: float, y: float) -> Image.Image:
    return image.resize((round(image.width * x), round(image.height * y)), Image.Resampling.BICUBIC)


def _turned(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return image.rotate(float(rng.uniform(0, 360)), Image.Resampling.BICUBIC)


def _all(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    out = _crop(_turned(image, rng).transpose(Image.Transpose.FLIP_LEFT_RIGHT), rng, 0.7)
    return _jpeg(_light(_scaled(out, 0.9, 0.9), 1.15, 0.85), 60)


CHANGES: dict[str, Change] = {
    "same file": lambda i, _: i,
    "JPEG quality 30": lambda i, _: _jpeg(i, 30),
    "brightness +20 %, contrast -20 %": lambda i, _: _light(i, 1.2, 0.8),
    "brightness -30 %": lambda i, _: _light(i, 0.7, 1.0),
    "mirrored": lambda i, _: i.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "turned by 90 degrees": lambda i, _: i.transpose(Image.Transpose.ROTATE_90),
    "turned by any angle": _turned,
    "crop to 80 % of each side": lambda i, g: _crop(i, g, 0.8),
    "crop to 60 % of each side": lambda i, g: _crop(i, g, 0.6),
    "half size": lambda i, _: _scaled(i, 0.5, 0.5),
    "width x 0.8 (aspect)": lambda i, _: _scaled(i, 0.8, 1.0),
    "turned, mirrored, crop 70 %, light, JPEG 60": _all,
}


def files(data: Path, name: str) -> list[tuple[str, str, Path]]:
    """Id, group and file of every image of a set."""
    folder = data / name
    with (folder / "labels.csv").open() as f:
        return [(r["file"], r[GROUP[name]], folder / r["file"]) for r in csv.DictReader(f)]


def hashes() -> dict[str, Callable[[Image.Image], Any]]:
    """The peers."""
    try:
        import imagehash
    except ImportError:
        print("imagehash is not installed: no peers", file=sys.stderr)
        return {}
    return {"pHash 64": imagehash.phash, "dHash 64": imagehash.dhash}


def bits(value: Any) -> np.ndarray:
    """A hash as one uint64."""
    return np.packbits(np.asarray(value.hash).ravel()).view(np.uint64)[0]


def recall(data: Path, name: str, n: int, pictures: Path | None) -> None:
    """Recall by transform and false matches, of the index and of the peers at their best threshold."""
    rows = files(data, name)
    start = time.time()
    index = Index()
    images = {}
    for id, group, path in rows:
        images[id] = Image.open(path).copy()
        index.add(id, group, np.asarray(images[id]))
    added = (time.time() - start) / len(rows)
    start = time.time()
    found = list(index.duplicates())
    paired = (time.time() - start) / len(rows)
    groups = [g for _, g, _ in rows]
    pairs = sum(a != b for i, a in enumerate(groups) for b in groups[:i])
    print(f"\n### {name}: {len(rows)} images, {pairs} pairs of different groups\n")
    print(f"Adding {1000 * added:.0f} ms an image; all pairs {1000 * paired:.0f} ms an image.")
    print(
        f"Reported pairs across groups: {len(found)}; if all were false {len(found) / pairs * 1e6:.2f} per 10^6 pairs."
    )
    print(f"Upper 95 % limit of false matches were none of them false: {upper_limit(0, pairs) * 1e6:.2f} per 10^6.")
    for k, d in enumerate(found):
        print(
            f"- {d.id} = {d.other.id}: score {d.other.score:.2f}, {d.other.inliers} features, scale {d.other.scale:.2f}"
        )
        if pictures is not None:
            two = np.asarray(images[d.id]), np.asarray(images[d.other.id])
            (pictures / f"{name}-{k:03d}.png").write_bytes(pair_picture(*two, d.other.transform))
    peers = hashes()
    held = {k: np.array([bits(f(images[id])) for id, _, _ in rows]) for k, f in peers.items()}
    code = np.array([{g: i for i, g in enumerate(dict.fromkeys(groups))}[g] for g in groups])
    thresholds = {k: _thresholds(v, code, pairs) for k, v in held.items()}
    rng = np.random.default_rng(7)
    picked = [rows[i] for i in rng.choice(len(rows), min(n, len(rows)), replace=False)]
    titles = [f"{k} (<= {t} bits, {f:.0f} false per 10^6)" for k, two in thresholds.items() for t, f in two]
    print(f"\n| change | nocere | 95 % (Wilson) | ms | {' | '.join(titles)} |\n|{'---|' * (4 + len(titles))}")
    for label, change in CHANGES.items():
        hits, hit, start = 0, dict.fromkeys(titles, 0), 0.0
        for id, _, _ in picked:
            changed = change(images[id], np.random.default_rng([11, len(id), sum(id.encode())]))
            began = time.time()
            hits += any(m.id == id for m in index.search(np.asarray(changed)))
            start += time.time() - began
            at = [r[0] for r in rows].index(id)
            for k, f in peers.items():
                away = int(np.bitwise_count(bits(f(changed)) ^ held[k][at]))
                for t, false in thresholds[k]:
                    hit[f"{k} (<= {t} bits, {false:.0f} false per 10^6)"] += away <= t
        limit = wilson(hits, len(picked))
        others = " | ".join(f"{v / len(picked):.3f}" for v in hit.values())
        ms = 1000 * start / len(picked)
        print(
            f"| {label} | {hits} / {len(picked)} | {limit.low:.3f} to {limit.high:.3f} | {ms:.0f} | {others} |",
            flush=True,
        )


def _thresholds(held: np.ndarray, code: np.ndarray, pairs: int) -> list[tuple[int, float]]:
    """Largest thresholds with at most 10 and at most 1,000 false matches in 10^6 pairs, with what they give."""
    count = np.zeros(65, dtype=np.int64)
    for i in range(1, len(held)):
        away = np.bitwise_count(held[:i] ^ held[i])[code[:i] != code[i]]
        count += np.bincount(away, minlength=65)
    rate = count.cumsum() / pairs * 1e6
    return [(t := max(0, int((rate <= most).sum()) - 1), float(rate[t])) for most in (10, 1000)]


def scale(data: Path, n: int, sizes: tuple[int, ...] = (10_000, 100_000)) -> None:
    """Time and recall among many images: strangers are made of features drawn from all real images."""
    rows = files(data, "derm")[:600]
    index = Index()
    for id, group, path in rows:
        index.add(id, group, np.asarray(Image.open(path)))
    pool = np.concatenate([f.codes for f in index._held])
    rng = np.random.default_rng(3)
    print(
        "\n| images | recall (turned, mirrored, crop 70 %, light, JPEG 60) | 95 % (Wilson) | ms a search | file, MB |\n|---|---|---|---|---|"
    )
    for size in sizes:
        for i in range(len(index), size):
            like = index._held[i % len(rows)]
            codes = pool[rng.integers(0, len(pool), len(like.points))]
            index._ids[f"stranger-{i}"] = i
            index._groups.append(f"stranger-{i}")
            index._held.append(Features(like.points, codes, codes, like.small, like.scale, like.size))
        index._words = None
        index.search(np.asarray(Image.open(rows[0][2])))  # builds the postings
        hits, start = 0, time.time()
        for id, _, path in rows[:n]:
            changed = _all(Image.open(path), np.random.default_rng([11, sum(id.encode())]))
            hits += any(m.id == id for m in index.search(np.asarray(changed)))
        ms, limit = 1000 * (time.time() - start) / n, wilson(hits, n)
        held = sum(f.points.nbytes + 2 * f.codes.nbytes + f.small.nbytes for f in index._held) / 1e6
        print(
            f"| {size} | {hits} / {n} | {limit.low:.3f} to {limit.high:.3f} | {ms:.0f} | {held:.0f} before zip |",
            flush=True,
        )


def main() -> None:
    """Print the tables of the named sets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=["derm", "fundus", "cxr", "scale"])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("-n", type=int, default=100, help="images that are changed and searched for")
    args = parser.parse_args()
    if not args.data.is_dir():
        sys.exit(f"There is no data at {args.data}; see benchmarks/README.md.")
    if args.pictures:
        args.pictures.mkdir(parents=True, exist_ok=True)
    for name in args.sets:
        scale(args.data, args.n) if name == "scale" else recall(args.data, name, args.n, args.pictures)


if __name__ == "__main__":
    main()
