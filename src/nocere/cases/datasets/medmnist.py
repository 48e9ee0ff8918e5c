"""MedMNIST-layout npz: arrays `train_images`, `train_labels`, `val_...`, `test_...`."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.cases.image import array_case
from nocere.core.case import CaseSet, Truth
from nocere.core.errors import DataError
from nocere.core.registry import register


@register("dataset", "image.medmnist", source="MedMNIST v2 (Yang et al., Scientific Data 10:41, 2023), npz layout")
def medmnist(
    file: str | Path, *, labels: Mapping[str, str], split: str = "test", limit: int = 0, names: str = ""
) -> CaseSet:
    """Images of a MedMNIST-layout npz file.

    Args:
        file: npz with `{split}_images` uint8 [n, H, W] or [n, H, W, 3] and `{split}_labels` whole numbers [n, 1] or
            [n, findings].
        labels: class index (as text) -> label of the target; for several findings, column index -> finding.
        split: train, val or test.
        limit: only the first so many; 0 takes all.
        names: prefix of the case ids; default is the file's name.

    Raises:
        DataError: unreadable file, missing or misshaped arrays, a label outside of `labels`.
    """
    file = Path(file)
    images, marks = _arrays(file, split)
    name = names or file.stem
    cases = []
    for i in range(len(images[: limit or None])):
        x = images[i][None] if images.ndim == 3 else images[i].transpose(2, 0, 1)
        where = f"{file.name} {split} {i}"
        if marks.shape[1] == 1:
            key = str(int(marks[i, 0]))
            if key not in labels:
                raise DataError(f"{where}: label {key} is not one of {', '.join(labels)}.", "Map every class.")
            truth = Truth.of(labels[key])
        else:
            truth = Truth.of(*(labels[str(j)] for j in range(marks.shape[1]) if marks[i, j]))
        cases.append(array_case(f"{name}/{split}/{i:06d}", x, truth))
    return CaseSet.of(cases, name=f"{file.name}:{split}")


def _arrays(file: Path, split: str) -> tuple[NDArray[Any], NDArray[Any]]:
    try:
        with np.load(file, allow_pickle=False) as npz:
            missing = [k for k in (f"{split}_images", f"{split}_labels") if k not in npz]
            if missing:
                raise DataError(f"{file}: no array {missing[0]!r}.", f"It holds: {', '.join(npz.files)}.")
            images, marks = npz[f"{split}_images"], npz[f"{split}_labels"]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as e:
        raise DataError(f"Cannot read {file} as an npz file: {e}.", "Give a MedMNIST-layout npz.") from e
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] != 3):
        raise DataError(
            f"{file}: {split}_images must be uint8 [n, H, W] or [n, H, W, 3]; got {images.dtype} {images.shape}."
        )
    marks = marks.reshape(len(marks), -1)
    if len(marks) != len(images) or not np.issubdtype(marks.dtype, np.integer):
        raise DataError(
            f"{file}: {split}_labels must be whole numbers, one row an image; got {marks.dtype} {marks.shape}."
        )
    return images, marks
