"""Models of scikit-learn on encoded notes: linear ones by their weights, others by their own answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from nocere.core.canonical import digest, sha256
from nocere.core.decision import Decision, MultiLabel, OneLogit, OneVsRest, Softmax
from nocere.core.errors import TargetError
from nocere.core.rng import generator
from nocere.targets.base import check_scores, to_logits
from nocere.targets.extract import AGREES, SATURATED, linear_form
from nocere.targets.notes.encoder import NoteEncoder, Sparse, Weighting
from nocere.targets.notes.gradient import WordGradient, linear_gradient
from nocere.targets.sklearn import state_of
from nocere.targets.structure import LinearForm

TILE = 32  # rows of a call to a model whose last bit may depend on their number
ROWS, ENTRIES = 24, 40  # that weights are compared on with the model's own answers


class Vectorised:
    """A vectoriser, what weighs its counts, and a model."""

    def __init__(self, steps: Sequence[Any], decision: Decision, name: str) -> None:
        from sklearn.feature_extraction.text import TfidfTransformer

        self.encoder = NoteEncoder(steps[0], name=name)
        self.weightings = [self.encoder.weighting]
        between, model = list(steps[1:-1]), steps[-1]
        while between and isinstance(between[0], TfidfTransformer):
            t = between.pop(0)
            self.weightings.append(Weighting(t.sublinear_tf, t.idf_ if t.use_idf else None, t.norm))
        self._between, self._model, self._decision, self._name = between, model, decision, name
        _checked(model, decision, name)
        width = getattr(between[0] if between else model, "n_features_in_", None)
        if isinstance(model, LinearForm):
            width = len(model.weight)
        if width is not None and width != self.encoder.width:
            raise TargetError(
                f"{name} wants {width} features; its vectoriser makes {self.encoder.width}.",
                "Give the vectoriser that it was fitted with.",
            )
        self.form = None if between else self._linear()
        self.alone = self.form is not None or _by_rows(model, between)
        self.gradients = self.form is not None and self.encoder.words is not None

    def _linear(self) -> LinearForm | None:
        """The model's weights, where it is linear and answers as they do."""
        if isinstance(self._model, LinearForm):
            return self._model
        if not isinstance(self._decision, (OneLogit, OneVsRest, Softmax, MultiLabel)):
            return None
        try:
            form = linear_form(self._model, [], self._decision)
        except Exception:  # estimators of many makes: whatever does not fit has no weights
            return None
        if form is None:
            return None
        rng = generator("notes linear")
        entries = min(ENTRIES, self.encoder.width)
        columns = np.concatenate([rng.choice(self.encoder.width, entries, replace=False) for _ in range(ROWS)])
        at = np.repeat(np.arange(ROWS), entries)
        x = sp.csr_array((rng.random(len(at)), (at, columns)), shape=(ROWS, self.encoder.width))
        margins = self._decision.margins
        mine, theirs = (np.asarray(margins(z)) for z in (x @ form.weight + form.bias, self._asked(x)))
        clear = np.abs(theirs) >= SATURATED
        near = np.abs(mine - theirs) <= AGREES * np.maximum(1.0, np.abs(theirs))
        return form if bool(np.where(clear, np.sign(mine) == np.sign(theirs), near).all()) else None

    def encoded(self, texts: Sequence[str], bases: Sequence[str]) -> Sparse:
        """Rows as the model, or the first step between, gets them."""
        x = self.encoder.counts(texts, bases)
        for w in self.weightings:
            w.apply(x)
        return x

    def scores(self, texts: Sequence[str], bases: Sequence[str]) -> NDArray[np.float64]:
        x = self.encoded(texts, bases)
        if self.form is not None:
            return np.asarray(x @ self.form.weight + self.form.bias)
        return self._asked(x) if self.alone else _in_tiles(self._asked, x)

    def _asked(self, x: Sparse) -> NDArray[np.float64]:
        model = self._model
        for step in self._between:
            x = step.transform(x)
        if hasattr(model, "predict_proba"):
            return to_logits(model.predict_proba(x), self._decision, self._name)
        return check_scores(model.decision_function(x), x.shape[0], self._decision, self._name)

    def vjp(
        self, texts: Sequence[str], bases: Sequence[str]
    ) -> tuple[NDArray[np.float64], Callable[[NDArray[np.float64]], list[WordGradient]]]:
        """Scores [n, columns], and a function from weights of the scores [n, columns] to a gradient a text."""
        form, words = self.form, self.encoder.words
        assert form is not None
        assert words is not None
        scores = self.scores(texts, bases)
        counts = self.encoder.counts(texts, bases)

        def gradient(i: int, weight: NDArray[np.float64]) -> WordGradient:
            def of(columns: NDArray[np.int64]) -> NDArray[np.float64]:
                return np.asarray(form.weight[columns] @ weight)

            return linear_gradient(texts[i], self.encoder, self.weightings, counts[[i]], of)

        return scores, lambda weight: [gradient(i, w) for i, w in enumerate(weight)]

    def state(self) -> str:
        parts = [self.encoder.about(), *(w.about() for w in self.weightings)]
        if self.form is not None:
            arrays = (self.form.weight, self.form.bias)
            return digest([*parts, *(sha256(a.astype("<f8").tobytes()) for a in arrays)])
        return digest([*parts, state_of([*self._between, self._model])])


def _checked(model: Any, decision: Decision, name: str) -> None:
    """Refuse what cannot answer, or answers with other labels.

    Raises:
        TargetError: the model has no scores, is not fitted, or its classes are not the labels.
    """
    from sklearn.base import BaseEstimator
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    if isinstance(model, LinearForm):
        if not all(np.isfinite(a).all() for a in (model.weight, model.bias)):
            raise TargetError(f"{name} has weights that are not finite.")
        return
    if not (hasattr(model, "predict_proba") or hasattr(model, "decision_function")):
        raise TargetError(
            f"{name}: {type(model).__name__} has neither predict_proba nor decision_function.",
            "Give a fitted classifier.",
        )
    try:
        if isinstance(model, BaseEstimator):
            check_is_fitted(model)
    except NotFittedError as e:
        raise TargetError(f"{name}: its {type(model).__name__} is not fitted.", "Fit it on training notes.") from e
    coef = getattr(model, "coef_", None)
    if isinstance(coef, np.ndarray) and not np.isfinite(coef).all():
        raise TargetError(f"{name} has weights that are not finite.")
    classes = [str(c) for c in getattr(model, "classes_", [])]
    if not classes or not decision.exclusive:
        return
    if len(classes) != decision.columns and not (len(classes) == 2 and decision.columns == 1):
        raise TargetError(
            f"{name} knows {len(classes)} classes ({', '.join(classes)}), but its decision {type(decision).__name__} "
            f"reads {decision.columns} column(s).",
            "Declare the decision that fits the model's classes.",
        )
    known = [c for c in classes if c in decision.labels]
    if known and known != [c for c in decision.labels if c in known]:
        raise TargetError(
            f"{name}: its classes are {', '.join(classes)}; the labels are {', '.join(decision.labels)}.",
            "Give the labels in the model's order.",
        )


def _by_rows(model: Any, between: Sequence[Any]) -> bool:
    """Whether an answer depends on its row alone: trees do, and so do forests in one thread."""
    return not between and hasattr(model, "tree_")


def _in_tiles(ask: Callable[[Sparse], NDArray[np.float64]], x: Sparse) -> NDArray[np.float64]:
    """Answers in calls of TILE rows each, the last call filled up with its last row."""
    out = []
    for at in range(0, x.shape[0], TILE):
        rows = np.minimum(np.arange(at, at + TILE), x.shape[0] - 1)
        out.append(ask(x[rows])[: x.shape[0] - at])
    return np.concatenate(out)
