"""The few array operations that decisions and goals need, for numpy and torch alike, without importing torch."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any


def is_torch(x: Any) -> bool:
    """True for a torch tensor; torch is never imported for the question."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def like(values: Any, ref: Array) -> Array:
    """`values` as an array of the same framework, dtype and device as `ref`."""
    if is_torch(ref):
        return sys.modules["torch"].as_tensor(values, dtype=ref.dtype, device=ref.device)
    return np.asarray(values, dtype=np.result_type(ref, np.float32))


def stack(columns: Sequence[Array]) -> Array:
    """Columns [n] side by side: [n, len(columns)]."""
    if is_torch(columns[0]):
        return sys.modules["torch"].stack(list(columns), dim=1)
    return np.stack(columns, axis=1)


def where(mask: Any, a: Array, b: float) -> Array:
    """`a` where `mask` (a numpy bool array) holds, else the constant `b`."""
    if is_torch(a):
        torch = sys.modules["torch"]
        return torch.where(torch.as_tensor(mask, device=a.device), a, torch.full_like(a, b))
    return np.where(mask, a, b)


def minimum(a: Array, b: Array) -> Array:
    """Element-wise smaller value."""
    return sys.modules["torch"].minimum(a, b) if is_torch(a) else np.minimum(a, b)


def amax(x: Array) -> Array:
    """Largest value along the last axis."""
    return x.amax(-1) if is_torch(x) else x.max(-1)


def amin(x: Array) -> Array:
    """Smallest value along the last axis."""
    return x.amin(-1) if is_torch(x) else x.min(-1)


def logsumexp(x: Array) -> Array:
    """log(sum(exp(x))) along the last axis."""
    if is_torch(x):
        return x.logsumexp(-1)
    top = x.max(-1)
    return top + np.log(np.exp(x - top[..., None]).sum(-1))


def numpy(x: Array) -> np.ndarray[Any, Any]:
    """`x` as a numpy array on the host."""
    return x.detach().cpu().numpy() if is_torch(x) else np.asarray(x)


def rows(x: Any, index: Any) -> Any:
    """Rows of an array or of a sequence of objects."""
    if is_torch(x) or isinstance(x, np.ndarray):
        return x[index]
    return [x[int(i)] for i in index]


def concat(parts: Sequence[Any]) -> Any:
    """Rows of several arrays, or of several sequences of objects, one after the other."""
    if len(parts) == 1:
        return parts[0]
    if is_torch(parts[0]):
        return sys.modules["torch"].cat(list(parts))
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(list(parts))
    return [row for part in parts for row in part]
