"""`nocere train`: a reference classifier on phantoms or on a user's images, threshold chosen on validation."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.clinical.dicom.display import displayed, of_header
from nocere.core.batch import Batch
from nocere.core.canonical import digest
from nocere.core.case import Case, CaseSet
from nocere.core.decision import Decision, OneLogit, Softmax
from nocere.core.errors import DataError, UsageError
from nocere.core.files import private_folder
from nocere.core.ranking import auroc
from nocere.core.rng import seed_of
from nocere.targets.preprocess import DicomInput, ImageInput
from nocere.targets.reference.store import CARD, save

Progress = Callable[[int, int, float], None]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train.

    Args:
        arch: see `nocere.targets.reference.nets`.
        size: pixels an edge of the network input; images of another size are resized inside the target.
        epochs: passes over the training cases.
        adversarial: 0, or the grey levels of fast adversarial training.
        augment: flips, quarter turns and small shifts.
        seed: decides weights, order and augmentation.
    """

    arch: str = "small_resnet"
    size: int = 96
    epochs: int = 12
    adversarial: float = 0.0
    augment: bool = False
    seed: int = 0


def train(
    training: CaseSet,
    validation: CaseSet,
    labels: tuple[str, ...],
    out: str | Path,
    recipe: Recipe | None = None,
    *,
    name: str = "reference",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train, choose the operating threshold on `validation`, and write the target folder.

    Two labels give one logit with the threshold that maximises sensitivity + specificity - 1 (Youden 1950) on
    validation; more give a softmax. Returns what is stored under "training" in the folder's card.

    Raises:
        DataError: a class without a case, a label outside of `labels`, images of other channels.
        WriteError: the folder cannot be written.
    """
    from nocere.targets.reference.fitting import fit
    from nocere.targets.reference.nets import architectures, build
    from nocere.targets.torch import TorchTarget

    recipe = recipe or Recipe()
    if recipe.arch not in architectures():
        raise UsageError(f"Unknown network {recipe.arch!r}.", f"Known: {', '.join(architectures())}.")
    if (Path(out) / CARD).exists():
        raise UsageError(
            f"{out} holds a trained classifier already.", "Audits of it would no longer replay: choose another folder."
        )
    started = time.time()
    folder = private_folder(Path(out))
    x, y = _arrays(training, labels, recipe.size)
    xv, yv = _arrays(validation, labels, recipe.size)
    channels = x.shape[1]
    mean = tuple(float(round(m, 4)) for m in x.mean((0, 2, 3)) / 255.0)
    std = tuple(float(round(max(s, 1e-3), 4)) for s in x.std((0, 2, 3)) / 255.0)
    # Windows of DICOM files belong into the model, so that it sees what is shown.
    kind: type[ImageInput] | type[DicomInput] = (
        DicomInput if "display" in training.load(training.refs[0].id).header else ImageInput
    )
    input_ = kind(channels, (recipe.size, recipe.size), resize=True, mean=mean, std=std)
    outputs = 1 if len(labels) == 2 else len(labels)
    module = build(recipe.arch, channels=channels, outputs=outputs)
    fit(
        module,
        x,
        y,
        epochs=recipe.epochs,
        seed=seed_of(recipe.seed, "train") % 2**31,
        mean=mean,
        std=std,
        adversarial=recipe.adversarial,
        augment=recipe.augment,
        class_weights=_balance(y, outputs),
        progress=progress,
    )
    neutral: Decision = OneLogit((labels[0], labels[1])) if outputs == 1 else Softmax(labels)
    scores = _scores(TorchTarget(module, neutral, input_), xv)
    decision, chosen = _operating_point(labels, scores, yv, [r.group for r in validation.refs])
    about = {
        "recipe": {f: getattr(recipe, f) for f in Recipe.__dataclass_fields__},
        "data": {
            "name": training.name,
            "phantom": training.phantom,
            "train": {"n": len(training), "digest": digest([r.to_json() for r in training.refs])},
            "validation": {"n": len(validation), "digest": digest([r.to_json() for r in validation.refs])},
        },
        "validation": chosen,
        "seconds": round(time.time() - started, 1),
    }
    save(folder, module, arch=recipe.arch, name=name, input=input_, decision=decision, about=about)
    return about


def _arrays(cases: CaseSet, labels: tuple[str, ...], size: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Stored values, of DICOM displayed ones, at the network's size [n, C, size, size] and class indices [n]."""
    import torch

    rows, marks = [], []
    for case in cases:
        if case.truth.label is None:
            raise DataError(f"Case {case.id} has no single label to train on.", "Remove it or settle the tie.")
        if case.truth.label not in labels:
            raise DataError(f"Case {case.id}: label {case.truth.label!r} is not one of {', '.join(labels)}.")
        marks.append(labels.index(case.truth.label))
        seen = displayed(of_header(case.header, len(case.x)), case.x) if "display" in case.header else case.x
        x = torch.from_numpy(seen.astype(np.float32))[None]
        if x.shape[2:] != (size, size):
            x = torch.nn.functional.interpolate(x, (size, size), mode="bilinear", align_corners=False, antialias=True)
        rows.append(x[0].round().clamp(0, 255).numpy().astype(np.uint8))
    y = np.array(marks, dtype=np.int64)
    for k, label in enumerate(labels):
        if not (y == k).any():
            raise DataError(f"{cases.name} has no case with the label {label!r}.", "Every class needs cases.")
    if len({r.shape for r in rows}) > 1:
        raise DataError(f"{cases.name} mixes grey and colour images.", "Convert them to one kind.")
    return np.stack(rows), y


def _balance(y: NDArray[np.int64], outputs: int) -> list[float]:
    counts = np.bincount(y, minlength=max(outputs, 2)).astype(float)
    return [float(v) for v in len(y) / (len(counts) * counts)]


def _scores(target: Any, x: NDArray[np.uint8]) -> NDArray[np.float64]:
    import torch

    rows = torch.from_numpy(x.astype(np.float32))
    like: tuple[Case[Any], ...] = (Case("training", x[0]),) * len(x)
    return np.concatenate([target.scores(Batch(rows[i : i + 64], like[i : i + 64])) for i in range(0, len(x), 64)])


def _operating_point(
    labels: tuple[str, ...], scores: NDArray[np.float64], y: NDArray[np.int64], groups: list[str]
) -> tuple[Decision, dict[str, Any]]:
    if len(labels) > 2:
        return Softmax(labels), {"accuracy": float((scores.argmax(1) == y).mean()), "n": len(y)}
    z = scores[:, 0]
    cuts = np.unique(z)
    cuts = (cuts[1:] + cuts[:-1]) / 2 if len(cuts) > 1 else cuts
    youden = [float((z[y == 1] > c).mean() + (z[y == 0] <= c).mean() - 1) for c in cuts]
    cut = float(cuts[int(np.argmax(youden))])
    threshold = float(np.clip(1.0 / (1.0 + np.exp(-cut)), 1e-4, 1 - 1e-4))
    area = auroc(z, y, groups)
    return OneLogit((labels[0], labels[1]), threshold), {
        "rule": "largest sensitivity + specificity - 1 (Youden 1950)",
        "threshold": threshold,
        "sensitivity": float((z[y == 1] > cut).mean()),
        "specificity": float((z[y == 0] <= cut).mean()),
        "auroc": area.value,
        "auroc_low": area.interval.low,
        "auroc_high": area.interval.high,
        "n": len(y),
    }
