"""`nocere train`: a reference classifier on phantoms or on your own images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from nocere.core.case import CaseSet
from nocere.core.errors import UsageError


def train(
    cases: Path | None = None,
    /,
    *,
    out: Path,
    phantom: str = "",
    labels: list[str] | None = None,
    n: int = 2000,
    data_seed: int = 7,
    arch: str = "small_resnet",
    size: int = 96,
    epochs: int = 0,
    adversarial: float = 0.0,
    augment: bool | None = None,
    seed: int = 0,
    name: str = "",
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Train a classifier, choose its threshold on validation cases, and store it for audits.

    Parameters
    ----------
    cases
        TOML file with a [cases] table as in a plan; its splits "train" and "val" are used.
    out
        Folder for the classifier.
    phantom
        Train on a phantom instead, e.g. image.dermoscopy.
    labels
        Labels in order, the disease last; needed with CASES.
    n
        Phantom training cases (a fifth as many for validation).
    data_seed
        Seed of the phantom's world.
    arch
        Network: small_resnet, tiny_resnet or plain_cnn.
    size
        Pixels an edge of the network's input; other images are resized inside the target.
    epochs
        Passes over the training cases; 0 takes 10 for phantoms and 25 for images.
    adversarial
        Grey levels of adversarial training; 0 trains plainly.
    augment
        Flips, turns and shifts; default off for phantoms, on for images.
    seed
        Decides weights and order.
    name
        Name of the classifier in reports.
    quiet
        No progress.
    json
        Print how it was trained as one JSON object.
    """
    from nocere.cli.output import progress, show_json
    from nocere.targets.reference.train import Recipe
    from nocere.targets.reference.train import train as fit

    if (cases is None) == (not phantom):
        raise UsageError("Give either CASES (a TOML file) or --phantom NAME.")
    splits, named = _sets(cases, phantom, labels, n, data_seed, size)
    own = cases is not None
    recipe = Recipe(arch, size, epochs or (25 if own else 10), adversarial, own if augment is None else augment, seed)
    with progress(quiet) as told:
        about = fit(
            *splits, named, out, recipe, name=name or out.name, progress=lambda e, of, _: told("training", e, of)
        )
    if json:
        show_json(about)
        return 0
    v = about["validation"]
    if "auroc" in v:
        print(
            f"Trained in {about['seconds']:.0f} s. Validation (n = {v['n']}): AUROC {v['auroc']:.3f} "
            f"({v['auroc_low']:.3f} to {v['auroc_high']:.3f}); at the threshold {v['threshold']:.3f} "
            f"sensitivity {v['sensitivity']:.3f}, specificity {v['specificity']:.3f}."
        )
    else:
        print(f"Trained in {about['seconds']:.0f} s. Validation accuracy {v['accuracy']:.3f} (n = {v['n']}).")
    print(f'Stored in {out}; use it as target = "{out}" in a plan.')
    return 0


def _sets(
    cases: Path | None, phantom: str, labels: list[str] | None, n: int, data_seed: int, size: int
) -> tuple[tuple[CaseSet, CaseSet], tuple[str, ...]]:
    import tomllib

    from nocere.audit.plan import load_cases
    from nocere.cases.phantoms.sets import LABELS

    if cases is None:
        both = [
            load_cases({"phantom": phantom, "n": k, "seed": data_seed, "split": split, "size": size}, Path())
            for split, k in (("train", n), ("val", max(n // 5, 50)))
        ]
        named = labels or LABELS.get(phantom)
        if not named:
            raise UsageError(f"Name the labels of {phantom} in order, the disease last, with --labels.")
        return (both[0], both[1]), tuple(named)
    if not labels or len(labels) < 2:
        raise UsageError(
            "Name the labels in order, the disease last.", "For example --labels benign --labels malignant."
        )
    try:
        table = tomllib.loads(cases.read_text(encoding="utf-8")).get("cases")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise UsageError(f"Cannot read {cases}: {e}.") from e
    if not isinstance(table, dict):
        raise UsageError(f"{cases} has no [cases] table.")
    both = [load_cases(table, cases.parent, split=split) for split in ("train", "val")]
    return (both[0], both[1]), tuple(labels)
