"""A surrogate: a reference network that learns what another target answers, and its form as bytes without code."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from nocere.core.decision import Decision, MultiLabel, Softmax
from nocere.core.errors import TargetError
from nocere.targets.preprocess import ImageInput
from nocere.targets.reference.fitting import fit, one_thread
from nocere.targets.reference.nets import build
from nocere.targets.torch import TorchTarget

ABOUT = "about"


def teach(
    x: NDArray[np.unsignedinteger[Any]],
    p: NDArray[np.float64],
    labels: tuple[str, ...],
    *,
    exclusive: bool,
    arch: str,
    epochs: int,
    augment: bool,
    seed: int,
) -> TorchTarget:
    """A network that answers x [n, C, H, W] (stored values) with the shares p [n, labels].

    For exclusive labels a row of p sums to 1, else each entry is the share of one finding. The same answers, seed and
    machine give the same network.
    """
    channels = x.shape[1]
    mean = tuple(float(m) for m in x.mean((0, 2, 3), dtype=np.float64) / 255.0)
    std = tuple(float(max(s, 1e-3)) for s in x.std((0, 2, 3), dtype=np.float64) / 255.0)
    module = build(arch, channels=channels, outputs=len(labels))
    # Rare answers weigh as much as common ones, or a student of few breaks learns to say the common label always.
    share = torch.from_numpy(np.clip(p.mean(axis=0), 1e-3, 1 - 1e-3)).float()

    def loss(z: Tensor, told: Tensor) -> Tensor:
        if exclusive:
            return functional.cross_entropy(z, told, weight=1.0 / (share * len(share)))
        weight = told / (2 * share) + (1 - told) / (2 * (1 - share))
        return functional.binary_cross_entropy_with_logits(z, told, weight=weight)

    with one_thread():
        fit(
            module, x, p.astype(np.float32), epochs=epochs, seed=seed % 2**31, mean=mean, std=std, augment=augment,
            loss=loss,
        )  # fmt: skip
    input_ = ImageInput(channels, (x.shape[2], x.shape[3]), resize=True, mean=mean, std=std)
    return TorchTarget(module, _decision(labels, exclusive), input_, name="surrogate")


def pack(target: TorchTarget, arch: str, about: Mapping[str, Any]) -> bytes:
    """A student as bytes: numbers and plain JSON, no code. Equal students give equal bytes."""
    assert target.input is not None
    d = target.decision
    told = {
        **about,
        "arch": arch,
        "labels": list(d.labels),
        "exclusive": d.exclusive,
        "input": target.input.to_json(),
    }
    arrays = {f"w:{k}": v.detach().cpu().numpy() for k, v in target.module.state_dict().items()}
    arrays[ABOUT] = np.frombuffer(json.dumps(told, sort_keys=True).encode(), dtype=np.uint8)
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def about(data: bytes) -> dict[str, Any]:
    """What `pack` was told about a student.

    Raises:
        TargetError: these are not the bytes of a student.
    """
    with _opened(data) as npz:
        told: dict[str, Any] = json.loads(npz[ABOUT].tobytes())
        return told


def unpack(data: bytes, name: str = "surrogate") -> TorchTarget:
    """The student behind these bytes.

    Raises:
        TargetError: these are not the bytes of a student.
    """
    told = about(data)
    labels, input_ = tuple(told["labels"]), ImageInput.from_json(told["input"])
    module = build(told["arch"], channels=input_.channels, outputs=len(labels))
    with _opened(data) as npz:
        module.load_state_dict({k[2:]: torch.from_numpy(npz[k]) for k in npz.files if k != ABOUT})
    return TorchTarget(module, _decision(labels, told["exclusive"]), input_, name=name)


def _decision(labels: tuple[str, ...], exclusive: bool) -> Decision:
    return Softmax(labels) if exclusive else MultiLabel(labels, (0.5,) * len(labels))


@contextmanager
def _opened(data: bytes) -> Iterator[Any]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as npz:
            yield npz
    except (KeyError, ValueError, RuntimeError, OSError, zipfile.BadZipFile) as e:
        first = str(e).strip().split("\n", 1)[0]
        raise TargetError(f"A sealed surrogate cannot be read ({first}).", "Run the audit into a new folder.") from e
