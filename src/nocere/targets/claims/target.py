"""A model on claims as a target: encoder, model and decision; with its structure where it is linear or of trees."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nocere.cases.claim import Claim
from nocere.core.batch import Batch
from nocere.core.canonical import digest, sha256
from nocere.core.decision import Decision, to_json
from nocere.core.errors import TargetError
from nocere.core.registry import register
from nocere.targets.base import Access, check_scores
from nocere.targets.boosters import booster_of, names_of, scorer, text_of, trees_of
from nocere.targets.callable import Outputs, callable_target
from nocere.targets.claims.encoder import Encoder
from nocere.targets.claims.structure import ClaimStructure
from nocere.targets.structure import LinearForm, TreeEnsemble

TILE = 32  # rows of a call to a net: the last bit may depend on their number
SHOWN = 5

Rows = NDArray[np.float64]


class _Model(Protocol):
    """What is needed of a model of any make; targets are copied and sent to other processes, so these are objects."""

    @property
    def form(self) -> LinearForm | TreeEnsemble | None: ...
    @property
    def names(self) -> Sequence[str] | None:
        """Of the features that it was fitted to, where it knows them."""
        ...

    @property
    def width(self) -> int | None: ...
    def scores(self, rows: Rows) -> NDArray[Any]: ...
    def state(self) -> str: ...


class ClaimTarget:
    """The shipped model behind its encoder: claims in, scores out.

    A row's score does not depend on the other rows of a call (nets are asked in calls of one size): no tile is needed.
    """

    stochastic = False
    tiles = False

    def __init__(self, model: Any, encoder: Encoder, decision: Decision, *, name: str = "model") -> None:
        self.model, self.encoder, self.decision, self.name = model, encoder, decision, name
        self._model = _taken(model, decision, name)
        _fits(self._model, encoder, name)
        self.structure = None if self._model.form is None else ClaimStructure(encoder, self._model.form)
        granted: list[Access] = ["labels", "scores", *(("structure",) if self.structure is not None else ())]
        self.access: frozenset[Access] = frozenset(granted)
        about = {"encoder": encoder.to_json(), "decision": to_json(decision), "model": self._model.state()}
        self.fingerprint = digest(about)

    def state(self) -> str:
        return self._model.state()

    def scores(self, batch: Batch) -> NDArray[np.float64]:
        claims: Sequence[Claim] = batch.x
        wrong = next((c for c in claims if not isinstance(c, Claim)), None)
        if wrong is not None:
            raise TargetError(f"{self.name} takes claims, not {type(wrong).__name__}.")
        return self.row_scores(self.encoder.rows(claims))

    def row_scores(self, rows: Rows) -> NDArray[np.float64]:
        """Scores [n, columns] of encoded claims [n, features]."""
        return check_scores(self._model.scores(rows), len(rows), self.decision, self.name)


@register("target", "claims", source="facts of claims, 4.3: scikit-learn, LightGBM, XGBoost, torch, functions")
def claim_target(
    model: Any,
    encoder: Encoder | None,
    decision: Decision,
    *,
    outputs: Outputs = "logits",
    version: str = "unversioned",
    name: str = "model",
) -> Any:
    """A model on claims: scikit-learn estimator, LightGBM or XGBoost booster, torch net, scorecard or function.

    Args:
        model: fitted on `encoder.rows(claims)`; a `LinearForm` is a scorecard; without an encoder a function of a list
            of claims (a rule engine).
        encoder: how claims become rows; None for a function on claims.
        decision: how scores become labels.
        outputs: of a function on claims.
        version: of a function on claims, part of its fingerprint.
        name: shown in reports.

    Raises:
        TargetError: the model wants features that the encoder does not make, or is of an unknown make.
    """
    if encoder is None:
        if not callable(model):
            raise TargetError(f"{name}: without an encoder the model must be a function of a list of claims.")
        return callable_target(model, decision, outputs=outputs, version=version, name=name)
    return ClaimTarget(model, encoder, decision, name=name)


def _fits(model: _Model, encoder: Encoder, name: str) -> None:
    """Refuse a model that was fitted to other features.

    Raises:
        TargetError: features that the encoder does not make, in another order, or another number of them.
    """
    if model.names is not None:
        unknown = [n for n in model.names if n not in encoder.features]
        if unknown:
            more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
            raise TargetError(
                f"{name} wants features that the encoder does not make: {', '.join(unknown[:SHOWN])}{more}.",
                "Give the encoder that it was fitted with.",
            )
        if tuple(model.names) != encoder.features:
            raise TargetError(f"{name} and the encoder have other features, or the same in another order.")
    if model.width is not None and model.width != encoder.width:
        raise TargetError(
            f"{name} wants {model.width} features; the encoder makes {encoder.width}.",
            "Give the encoder that it was fitted with.",
        )


def _taken(model: Any, decision: Decision, name: str) -> _Model:
    if isinstance(model, (LinearForm, TreeEnsemble)):
        return _Form(model)
    booster = booster_of(model)
    if booster is not None:
        return _Booster(booster, decision)
    if hasattr(model, "predict_proba") or hasattr(model, "decision_function"):
        return _Estimator(model, decision, name)
    if any(t.__module__.startswith("torch.nn") for t in type(model).__mro__):
        return _Net(model)
    raise TargetError(
        f"{name}: nocere does not know how to ask a {type(model).__name__}.",
        "Give a scikit-learn, LightGBM, XGBoost or torch model, a LinearForm, or a function on claims (encoder None).",
    )


class _Form:
    """A scorecard, or trees as they are."""

    names = None

    def __init__(self, form: LinearForm | TreeEnsemble) -> None:
        self.form = form
        self.width = len(form.weight) if isinstance(form, LinearForm) else None

    def scores(self, rows: Rows) -> NDArray[Any]:
        return self.form.scores(rows)

    def state(self) -> str:
        arrays = [getattr(self.form, f) for f in self.form.__dataclass_fields__]
        return digest([sha256(a.tobytes()) if isinstance(a, np.ndarray) else a for a in arrays])


class _Booster:
    """LightGBM or XGBoost."""

    def __init__(self, booster: Any, decision: Decision) -> None:
        self._ask = scorer(booster)
        self._paired = decision.columns == 2 and decision.exclusive
        names = names_of(booster)
        self.names = names if any(not _invented(n) for n in names) else None
        self.width = len(names)
        self.form = trees_of(booster, decision, self._ask)

    def scores(self, rows: Rows) -> NDArray[Any]:
        raw = self._ask(rows)
        return np.hstack([np.zeros_like(raw), raw]) if raw.shape[1] == 1 and self._paired else raw

    def state(self) -> str:
        return sha256(text_of(self._ask.booster))


def _invented(name: str) -> bool:
    """Whether a library made this name up for a column without one."""
    return name.removeprefix("Column_").isdigit() or (name[:1] == "f" and name[1:].isdigit())


class _Estimator:
    """Of scikit-learn."""

    def __init__(self, model: Any, decision: Decision, name: str) -> None:
        from nocere.targets.sklearn import SklearnTarget

        self._inner = SklearnTarget(model, decision, name=name)
        names = getattr(model, "feature_names_in_", None)
        self.names = None if names is None else [str(n) for n in names]
        self.width = getattr(model, "n_features_in_", None)
        self.form = self._inner.structure

    def scores(self, rows: Rows) -> NDArray[Any]:
        return self._inner.scores(Batch(rows, (None,) * len(rows)))  # type: ignore[arg-type]

    def state(self) -> str:
        return self._inner.state()


class _Net:
    """Of torch, on rows in single precision."""

    form = names = width = None

    def __init__(self, net: Any) -> None:
        self._net = net.eval()

    def scores(self, rows: Rows) -> NDArray[Any]:
        import torch

        out = []
        with torch.inference_mode():
            for at in range(0, len(rows), TILE):
                part = torch.zeros(TILE, rows.shape[1])
                n = len(rows[at : at + TILE])
                part[:n] = torch.from_numpy(rows[at : at + TILE].astype(np.float32))
                out.append(self._net(part)[:n].double().numpy().reshape(n, -1))
        return np.concatenate(out)

    def state(self) -> str:
        hashed = hashlib.sha256()
        for key, value in sorted(self._net.state_dict().items()):
            hashed.update(key.encode())
            hashed.update(value.detach().cpu().numpy().tobytes())
        return hashed.hexdigest()
