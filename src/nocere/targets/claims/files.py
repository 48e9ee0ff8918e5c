"""A model on claims as files: LightGBM's or XGBoost's own text, and the encoder beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nocere.core.canonical import dumps
from nocere.core.decision import to_json
from nocere.core.errors import PrerequisiteError, TargetError
from nocere.core.files import private_folder, write_atomic
from nocere.targets.claims.encoder import Encoder
from nocere.targets.claims.target import ClaimTarget

HINT = "pip install 'nocere[claims]'"


def model_of(path: Path) -> Any:
    """A booster from the file that its library wrote: LightGBM (.txt), XGBoost (.json, .ubj).

    Raises:
        TargetError: not such a file.
        PrerequisiteError: the library is not installed.
    """
    try:
        if path.suffix == ".txt":
            import lightgbm

            return lightgbm.Booster(model_file=str(path))
        if path.suffix in (".json", ".ubj"):
            import xgboost  # type: ignore[import-untyped, unused-ignore]

            return xgboost.Booster(model_file=str(path))
    except ModuleNotFoundError as e:
        raise PrerequisiteError(f"{path} needs the package {e.name}.", HINT) from e
    except Exception as e:  # each library has errors of its own
        first = str(e).strip().split("\n", 1)[0][:200]
        raise TargetError(f"{path} cannot be opened as a model of {_maker(path)} ({first}).") from e
    raise TargetError(
        f"{path} is no model file that is known here.",
        "Give LightGBM's .txt, XGBoost's .json or .ubj, or with --trust a scikit-learn model's .joblib.",
    )


def _maker(path: Path) -> str:
    return "LightGBM" if path.suffix == ".txt" else "XGBoost"


def encoder_of(path: Path) -> Encoder:
    """An encoder from its JSON file.

    Raises:
        TargetError: not the file of an encoder.
    """
    try:
        return Encoder.from_json(json.loads(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise TargetError(f"{path} is not the file of an encoder ({type(e).__name__}: {e}).") from e


def write_claim_target(target: ClaimTarget, folder: Path) -> Path:
    """Write a LightGBM model on claims as model, encoder and target card; returns the card's path.

    Raises:
        WriteError: the folder cannot be written.
    """
    private_folder(folder)
    write_atomic(folder / "model.txt", target.model.model_to_string().encode())
    write_atomic(folder / "encoder.json", dumps(target.encoder.to_json()))
    decision = "".join(f"{k} = {json.dumps(v)}\n" for k, v in to_json(target.decision).items())
    card = (
        f'[target]\nkind = "claims"\nname = {json.dumps(target.name)}\nweights = "model.txt"\n'
        f'encoder = "encoder.json"\n[decision]\n{decision}'
    )
    write_atomic(folder / "card.toml", card.encode())
    return folder / "card.toml"
