"""Real images: train reference classifiers, audit them at 1, 2, 4 and 8 grey levels, and write the figures down.

    python benchmarks/real_images.py --data ../shared/data --work /tmp/bench derm cxr fundus
    python benchmarks/real_images.py --data ../shared/data --work /tmp/bench resnet18     # needs monai; about an hour

Writes WORK/<task>/ (model, audit bundle, report) and replaces the task's section in benchmarks/RESULTS.md.
"""

from __future__ import annotations

import argparse
import csv
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nocere
from nocere.audit.api import probe
from nocere.audit.bundle import Bundle
from nocere.cases.datasets.folder import folder
from nocere.core.case import CaseSet
from nocere.core.decision import OneLogit
from nocere.targets.card import load_target
from nocere.targets.reference.store import CARD
from nocere.targets.reference.train import Recipe, train

RESULTS = Path(__file__).parent / "RESULTS.md"
TASKS: dict[str, dict[str, Any]] = {
    "derm": {
        "columns": {"path": "file", "patient": "lesion_id"},
        "labels": {"0": "naevus", "1": "melanoma"},
        "recipe": Recipe(size=96, epochs=25, augment=True),
    },
    "cxr": {
        "columns": {"path": "file", "patient": "patient_id"},
        "labels": {"0": "no finding", "1": "pneumonia"},
        "recipe": Recipe(size=96, epochs=25, augment=True),
    },
    "fundus": {
        "columns": {"path": "file"},
        "labels": {"0": "not referable", "1": "referable"},
        "recipe": Recipe(size=224, epochs=25, augment=True),
    },
}
CELLS: list[dict[str, Any]] = [
    {"name": "noise-linf", "threat": "image.linf", "radii": [1, 2, 4, 8], "aim": "flip",
     "attacks": [{"name": "image.pgd", "steps": 10}, {"name": "image.pgd", "steps": 40}]},
    {"name": "noise-worst", "threat": "image.linf", "radii": [2], "aim": "worst",
     "attacks": [{"name": "image.pgd", "steps": 20}]},
    {"name": "control-random", "threat": "image.linf", "radii": [2], "aim": "sample", "limit": 50,
     "attacks": [{"name": "image.random_noise", "draws": 1000}]},
]  # fmt: skip


def sets(task: str, data: Path, work: Path) -> dict[str, CaseSet]:
    """Training, validation and test cases with the splits of the data; fundus has no validation split of its own."""
    about = TASKS[task]
    manifest = data / task / "labels.csv"
    if task == "fundus":
        rows = list(csv.DictReader(manifest.open()))
        for i, row in enumerate(rows):
            row["file"] = str((data / task / row["file"]).resolve())
            if row["split"] == "train" and i % 5 == 0:
                row["split"] = "val"
        manifest = work / "labels.csv"
        with manifest.open("w", newline="") as f:
            writer = csv.DictWriter(f, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return {
        s: folder(manifest, split=s, columns=about["columns"], labels=about["labels"]) for s in ("train", "val", "test")
    }


def told(what: str, done: int, total: int) -> None:
    """Progress, now and then."""
    if done == total or done % 64 == 0:
        print(f"{what}: {done} of {total}", file=sys.stderr, flush=True)


def reference(task: str, data: Path, work: Path) -> Bundle:
    """Train where not trained, audit where not audited."""
    cases = sets(task, data, work)
    labels = tuple(TASKS[task]["labels"].values())
    if not (work / "model" / CARD).exists():
        train(cases["train"], cases["val"], labels, work / "model", TASKS[task]["recipe"], name=f"{task} reference")
    # 50,000 draws of a 224-pixel network would take longer than all the rest.
    cells = CELLS[:2] if task == "fundus" else CELLS
    return probe(load_target(work / "model"), cases["test"], work / "audit", name=task, cells=cells, progress=told)


def resnet18(data: Path, work: Path) -> Bundle:
    """The paper's setting as far as it goes without pre-training: ResNet-18 at 224 pixels on the derm task."""
    import numpy as np
    import torch
    from monai.networks.nets import resnet18 as build

    from nocere.core.rng import seed_of
    from nocere.targets.preprocess import ImageInput
    from nocere.targets.reference.fitting import fit
    from nocere.targets.reference.train import _arrays, _operating_point, _scores
    from nocere.targets.torch import TorchTarget

    cases = sets("derm", data, work)
    labels = tuple(TASKS["derm"]["labels"].values())
    module = build(spatial_dims=2, n_input_channels=3, num_classes=1, conv1_t_stride=2)
    module = module.to(memory_format=torch.channels_last)
    mean, std = (0.76, 0.54, 0.56), (0.14, 0.15, 0.17)
    weights = work / "weights.pt"
    if weights.exists():
        module.load_state_dict(torch.load(weights, weights_only=True))
    else:
        x, y = _arrays(cases["train"], labels, 224)
        fit(
            module, x, y, epochs=4, seed=seed_of(0, "resnet18") % 2**31, mean=mean, std=std, batch=32, lr=1e-3,
            progress=lambda e, of, loss: print(f"epoch {e} of {of}: {loss:.3f}", file=sys.stderr, flush=True),
        )  # fmt: skip
        torch.save(module.state_dict(), weights)
    input_ = ImageInput(3, (224, 224), mean=mean, std=std)
    xv, yv = _arrays(cases["val"], labels, 224)
    decision, _ = _operating_point(
        labels,
        _scores(TorchTarget(module, OneLogit(labels), input_), xv),
        np.asarray(yv),
        [r.group for r in cases["val"].refs],
    )
    target = TorchTarget(module, decision, input_, name="derm ResNet-18, 224 px")
    cells: list[dict[str, Any]] = [
        {"name": "noise-linf", "threat": "image.linf", "radii": [2, 3], "aim": "flip", "limit": 60,
         "attacks": [{"name": "image.pgd", "steps": 20}]},
    ]  # fmt: skip
    return probe(target, cases["test"], work / "audit", name="derm ResNet-18", cells=cells, progress=told)


def section(task: str, bundle: Bundle) -> str:
    """A Markdown section from the bundle's own measures."""
    m = [x for x in bundle.measures if x.group == "all"]
    lines = [
        f"## {task}",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, Python {platform.python_version()}, torch "
        f"{bundle.run['packages']['torch']}, nocere {nocere.__version__}; test split, n = {len(bundle.refs)} in "
        f"{len({r.group for r in bundle.refs})} patients or lesions; audit {bundle.run['seconds']:.0f} s "
        f"(wall clock of a shared machine). Bundle {bundle.hash[:16]}.",
        "",
        "| measure | cell | grey levels | value | 95 % interval | k / n |",
        "|---|---|---|---|---|---|",
    ]
    wanted = ("accuracy", "sensitivity", "specificity", "auroc", "median_budget", "yield", "draw_flip_share")
    for x in m:
        if x.key not in wanted:
            continue
        value = "-" if x.value is None else f"{x.value:.3g}" if x.key == "draw_flip_share" else f"{x.value:.3f}"
        limits = x.why or "-" if x.low is None or x.high is None else f"{x.low:.3g} to {x.high:.3g}"
        k = f"{x.n}" if x.k is None else f"{x.k} / {x.n}"
        radius = "-" if x.radius is None else f"{x.radius:g}"
        lines.append(f"| {x.key} | {x.cell or 'clean'} | {radius} | {value} | {limits} | {k} |")
    return "\n".join(lines) + "\n"


def store(task: str, text: str) -> None:
    """Replace or add the section of a task."""
    head = "# Results\n\nEach section is written by the command in its script; see [README.md](README.md).\n"
    old = RESULTS.read_text() if RESULTS.exists() else head
    parts = old.split("\n## ")
    kept = [parts[0].rstrip("\n") + "\n"] + [
        "\n## " + p.rstrip("\n") + "\n" for p in parts[1:] if p.split("\n")[0] != task
    ]
    RESULTS.write_text("".join(kept) + "\n" + text)


def main() -> None:
    """Run the named tasks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", default=["derm", "cxr", "fundus"], help="derm, cxr, fundus, resnet18")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, default=Path("bench-work"))
    args = parser.parse_args()
    if not args.data.is_dir():
        sys.exit(f"There is no data at {args.data}; see benchmarks/README.md.")
    for task in args.tasks:
        work = args.work / task
        work.mkdir(parents=True, exist_ok=True)
        bundle = resnet18(args.data, work) if task == "resnet18" else reference(task, args.data, work)
        store(task, section(task, bundle))
        print(section(task, bundle))


if __name__ == "__main__":
    main()
