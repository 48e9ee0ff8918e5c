"""The display pipeline in torch: batches of stored values, every row through its own file's tables, with gradients."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from nocere.clinical.dicom.display import TOP, YBR_TO_RGB, Display, table
from nocere.clinical.dicom.luts import Window

VALUES = 1 << 22  # looked up at a time, which bounds the memory of indices


def levels(x: Any, displays: Sequence[Display], choice: Window | int = 0) -> Any:
    """Displayed levels, 0 to 255 and not rounded, of rows of stored values.

    Between whole numbers a table is a straight line, so that the gradient of a row with respect to its stored values
    is the difference of neighbouring levels (to the right at whole numbers), and 0 where a window saturates.

    Args:
        x: float tensor [n, 1 or 3, H, W] in stored units.
        displays: one a row; all of one sample, or all of three.
        choice: the window to look through, or the number of one of each file's own.

    Returns:
        [n, 1, H, W] where all rows are grey, else [n, 3, H, W].

    Raises:
        DataError: a file has no such window.
    """
    import torch

    if x.shape[1] == 3:
        return _colours(x, displays)
    planes = max(len(table(d, choice)) for d in displays)
    size = max(1, VALUES // x[0].numel())
    parts = [_tables(x[k : k + size], displays[k : k + size], choice, planes) for k in range(0, len(x), size)]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _tables(x: Any, displays: Sequence[Display], choice: Window | int, planes: int) -> Any:
    import torch

    kinds = list(dict.fromkeys(displays))
    flat, starts = _stacked(tuple(kinds), choice, planes)
    row = torch.tensor([kinds.index(d) for d in displays])
    start = starts[row].view(-1, 1, 1, 1)
    least = torch.tensor([float(d.least) for d in displays], dtype=x.dtype).view(-1, 1, 1, 1)
    last = torch.tensor([float((1 << d.bits) - 1) for d in displays], dtype=x.dtype).view(-1, 1, 1, 1)
    v = x - least
    at = v.detach().floor().clamp_min(0.0).minimum(last - 1.0)
    where = start + at.to(torch.int64)
    base, slope = flat[0], flat[1]
    part = v - at
    return torch.cat([base[p][where] + slope[p][where] * part for p in range(planes)], dim=1)


@lru_cache(maxsize=8)
def _stacked(displays: tuple[Display, ...], choice: Window | int, planes: int) -> tuple[Any, Any]:
    """Tables and their slopes behind each other [2, planes, entries], and where each begins."""
    import torch

    found = [table(d, choice) for d in displays]
    both = [np.stack([t, np.diff(t, axis=1, append=t[:, -1:])]) for t in found]
    whole = np.concatenate([np.broadcast_to(b, (2, planes, b.shape[2])) for b in both], axis=2)
    starts = np.cumsum([0, *(b.shape[2] for b in both[:-1])])
    return torch.from_numpy(whole.astype(np.float32)), torch.from_numpy(starts)


def _colours(x: Any, displays: Sequence[Display]) -> Any:
    import torch

    turn, half = [], []
    for d in displays:
        scale = TOP / ((1 << d.bits) - 1)
        turn.append(np.array(YBR_TO_RGB if d.kind == "ybr" else np.eye(3)) * scale)
        half.append([0.0, *[float(1 << (d.bits - 1)) if d.kind == "ybr" else 0.0] * 2])
    matrix = torch.tensor(np.array(turn), dtype=x.dtype)
    seen = x - torch.tensor(half, dtype=x.dtype).view(-1, 3, 1, 1)
    return torch.einsum("nij,njhw->nihw", matrix, seen).clamp(0.0, TOP)
