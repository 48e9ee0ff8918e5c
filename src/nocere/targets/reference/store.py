"""A reference classifier on disk: a folder with `target.json` (what it is) and `weights.npz` (no code, no pickles)."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nocere.core.canonical import dumps, sha256
from nocere.core.decision import Decision, from_json, to_json
from nocere.core.errors import TargetError
from nocere.core.files import write_atomic
from nocere.targets.preprocess import Preprocess, input_from_json

CARD = "target.json"
WEIGHTS = "weights.npz"


def save(
    folder: Path, module: Any, *, arch: str, name: str, input: Preprocess, decision: Decision, about: Mapping[str, Any]
) -> None:
    """Write a trained reference network with all that an audit needs.

    Args:
        about: how it was trained (data, seed, epochs, threshold rule, validation figures).

    Raises:
        WriteError: the folder cannot be written.
    """
    arrays = {k: v.detach().cpu().numpy() for k, v in module.state_dict().items()}
    out = io.BytesIO()
    np.savez(out, **arrays)
    card = {
        "schema": 1,
        "kind": "reference",
        "name": name,
        "arch": arch,
        "input": input.to_json(),
        "decision": to_json(decision),
        "weights_sha256": sha256(out.getvalue()),
        "training": dict(about),
    }
    write_atomic(folder / WEIGHTS, out.getvalue())
    write_atomic(folder / CARD, dumps(card))


def load(folder: Path) -> Any:
    """The stored classifier as a target.

    Raises:
        TargetError: files are missing, damaged, or do not belong together.
    """
    from nocere.targets.reference.nets import build
    from nocere.targets.torch import TorchTarget

    card = read_card(folder)
    try:
        data = (folder / WEIGHTS).read_bytes()
    except OSError as e:
        raise TargetError(f"{folder}: cannot read {WEIGHTS} ({e.strerror}).") from e
    if sha256(data) != card["weights_sha256"]:
        raise TargetError(f"{folder}: {WEIGHTS} is not the file that {CARD} describes.", "Train or copy it again.")
    import torch

    try:
        input_ = input_from_json(card["input"])
        decision = from_json(card["decision"])
        module = build(card["arch"], channels=input_.channels, outputs=decision.columns)
        with np.load(io.BytesIO(data), allow_pickle=False) as npz:
            module.load_state_dict({k: torch.from_numpy(npz[k]) for k in npz.files})
    except (KeyError, ValueError, RuntimeError, zipfile.BadZipFile) as e:
        first = str(e).strip().split("\n", 1)[0]
        raise TargetError(f"{folder}: not a usable reference classifier ({first}).") from e
    return TorchTarget(module, decision, input_, name=card["name"])


def read_card(folder: Path) -> dict[str, Any]:
    """The description of a stored classifier."""
    try:
        card: dict[str, Any] = json.loads((folder / CARD).read_bytes())
    except (OSError, ValueError) as e:
        raise TargetError(f"{folder}: no readable {CARD}.", "Give a folder that `nocere train` wrote.") from e
    if card.get("schema") != 1 or card.get("kind") != "reference":
        raise TargetError(f"{folder / CARD} does not describe a reference classifier of schema 1.")
    return card
