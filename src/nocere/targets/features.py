"""Classical models on features: a function of the user's turns stored values into numbers, a fitted model decides.

The function is part of the target, so that an attack changes pixels and never features. There are no gradients, and no
structure over pixels.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.core.arrays import is_torch, numpy
from nocere.core.batch import Batch
from nocere.core.canonical import digest, sha256
from nocere.core.decision import Decision, to_json
from nocere.core.errors import PrerequisiteError, TargetError
from nocere.core.registry import register
from nocere.targets.base import Access, check_scores, to_logits
from nocere.targets.boosters import booster_of, names_of, scorer, text_of
from nocere.targets.sklearn import state_of

BOOSTERS = {".txt": "lightgbm", ".lgb": "lightgbm", ".json": "xgboost", ".ubj": "xgboost"}


@register("target", "features", source="scikit-learn, LightGBM, XGBoost")
class FeaturesTarget:
    """A scikit-learn, LightGBM or XGBoost classifier on features that a function takes from stored values.

    Args:
        extract: from stored values [n, C, H, W] (float32 holding whole numbers), or a list of objects, to features
            [n, d].
        model: fitted, with predict_proba or decision_function, or a booster.
        decision: how scores become labels; a single raw score of a booster is a logit.
        version: part of the fingerprint, since a function cannot be hashed: change it with the function.
        name: shown in reports.
        source: SHA-256 of the model's file where there is one; it stands for the model in the fingerprint.
    """

    stochastic = False
    tiles = True
    access: frozenset[Access] = frozenset({"labels", "scores"})

    def __init__(
        self,
        extract: Callable[[Any], Any],
        model: Any,
        decision: Decision,
        *,
        version: str = "unversioned",
        name: str = "model",
        source: str = "",
    ) -> None:
        self._extract, self._model = extract, model
        self._booster = booster_of(model)
        if self._booster is None and not (hasattr(model, "predict_proba") or hasattr(model, "decision_function")):
            raise TargetError(f"{type(model).__name__} has neither predict_proba nor decision_function.")
        self.decision, self.name = decision, name
        self.fingerprint = digest({"decision": to_json(decision), "features": version, "model": source or self.state()})

    def state(self) -> str:
        return state_of(self._model) if self._booster is None else sha256(text_of(self._booster))

    def features(self, batch: Batch) -> NDArray[np.float64]:
        """What the function makes of a batch: [n, d].

        Raises:
            TargetError: it raises, or does not give one row of finite numbers for each row.
        """
        x = numpy(batch.x) if is_torch(batch.x) else batch.x
        try:
            found = np.asarray(self._extract(x), dtype=np.float64)
        except Exception as e:
            raise TargetError(f"The features of {self.name} raised {type(e).__name__}: {e}") from e
        if found.ndim != 2 or len(found) != len(batch):
            raise TargetError(f"The features of {self.name} have the shape {found.shape} for {len(batch)} rows.")
        wants = getattr(self._model, "n_features_in_", None)
        wants = len(names_of(self._booster)) if self._booster is not None else wants
        if wants is not None and found.shape[1] != wants:
            raise TargetError(f"{self.name} was fitted on {wants} features; the function gives {found.shape[1]}.")
        return found

    def scores(self, batch: Batch) -> NDArray[np.float64]:
        found = self.features(batch)
        try:
            if self._booster is not None:
                raw = scorer(self._booster)(found)
            elif hasattr(self._model, "predict_proba"):
                raw = to_logits(self._model.predict_proba(found), self.decision, self.name)
            else:
                raw = np.asarray(self._model.decision_function(found))
        except ValueError as e:
            raise TargetError(f"{self.name} failed on features of shape {found.shape}: {e}") from e
        return check_scores(raw, len(found), self.decision, self.name)


def booster_file(path: Path) -> Any:
    """The booster in a file of LightGBM (.txt) or XGBoost (.json, .ubj); such files run no code.

    Raises:
        PrerequisiteError: its package is not installed.
        TargetError: another kind of file.
    """
    made = BOOSTERS[path.suffix]
    try:
        if made == "lightgbm":
            import lightgbm

            with contextlib.redirect_stdout(None):
                return lightgbm.Booster(model_file=str(path))
        import xgboost

        booster = xgboost.Booster()
        booster.load_model(str(path))
    except ModuleNotFoundError as e:
        raise PrerequisiteError(f"{path} needs the package {e.name}.") from e
    except Exception as e:
        raise TargetError(f"{path} is not a model of {made} ({' '.join(str(e).split())[:160]}).") from e
    return booster
