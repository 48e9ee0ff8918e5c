"""A model on notes as a target: text in, scores out; with gradients by word where it is linear or a net."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nocere.core.batch import Batch
from nocere.core.canonical import digest
from nocere.core.decision import Decision, to_json
from nocere.core.errors import TargetError
from nocere.core.registry import register
from nocere.targets.base import Access, check_scores
from nocere.targets.callable import Outputs, callable_target
from nocere.targets.notes.gradient import WordGradient
from nocere.targets.notes.models import Vectorised


class NoteModel(Protocol):
    """What is needed of a model of any make; `bases` are the notes that texts are variants of."""

    @property
    def gradients(self) -> bool: ...
    def scores(self, texts: Sequence[str], bases: Sequence[str]) -> NDArray[Any]: ...
    def vjp(
        self, texts: Sequence[str], bases: Sequence[str]
    ) -> tuple[NDArray[Any], Callable[[NDArray[np.float64]], list[WordGradient]]]: ...
    def state(self) -> str: ...


class NoteTarget:
    """The shipped model on notes.

    A row's score does not depend on the other rows of a call, nor on the note that it is a variant of: that only
    makes it faster.
    """

    stochastic = False
    tiles = False

    def __init__(self, model: NoteModel, decision: Decision, *, name: str = "model") -> None:
        self.model, self.decision, self.name = model, decision, name
        granted: list[Access] = ["labels", "scores", *(("gradients",) if model.gradients else ())]
        self.access: frozenset[Access] = frozenset(granted)
        self.fingerprint = digest({"decision": to_json(decision), "model": model.state()})

    def state(self) -> str:
        return self.model.state()

    def scores(self, batch: Batch) -> NDArray[np.float64]:
        texts, bases = self._taken(batch)
        return check_scores(self._asked(self.model.scores, texts, bases), len(texts), self.decision, self.name)

    def vjp(self, batch: Batch) -> tuple[Any, Callable[[Any], list[WordGradient]]]:
        """Scores as a torch tensor [n, columns], and a function from d loss / d scores to a gradient a row."""
        import torch

        texts, bases = self._taken(batch)
        raw, pullback = self._asked(self.model.vjp, texts, bases)
        scores = torch.from_numpy(check_scores(raw, len(texts), self.decision, self.name))
        return scores, lambda weight: pullback(weight.detach().cpu().double().numpy())

    def _taken(self, batch: Batch) -> tuple[list[str], list[str]]:
        texts = list(batch.x)
        wrong = next((t for t in texts if not isinstance(t, str)), None)
        if wrong is not None:
            raise TargetError(f"{self.name} takes notes, not {type(wrong).__name__}.")
        bases = [getattr(c, "x", None) for c in batch.like]
        return texts, [b if isinstance(b, str) else t for b, t in zip(bases, texts, strict=True)]

    def _asked(self, ask: Callable[..., Any], texts: list[str], bases: list[str]) -> Any:
        try:
            return ask(texts, bases)
        except ValueError as e:
            first = str(e).split("\n", 1)[0]
            raise TargetError(f"{self.name} failed on {len(texts)} note(s): {first}") from e


@register("target", "notes", source="facts of text, 3 and 6: scikit-learn text models, torch nets, functions")
def note_target(
    model: Any,
    encoder: Any,
    decision: Decision,
    *,
    outputs: Outputs = "probabilities",
    version: str = "unversioned",
    name: str = "model",
) -> Any:
    """A model on notes: a scikit-learn text pipeline, a vectoriser with a model, a torch net, or a function.

    Args:
        model: with a vectoriser, a fitted classifier or a `LinearForm` on its rows; without one a fitted Pipeline that
            begins with a vectoriser, a net of `fit_text_net`, or a function of a list of texts.
        encoder: a fitted CountVectorizer, TfidfVectorizer or HashingVectorizer, or None.
        decision: how scores become labels.
        outputs: of a function.
        version: of a function, part of its fingerprint.
        name: shown in reports.

    Raises:
        TargetError: not fitted, of an unknown make, or parts that do not fit each other.
    """
    from sklearn.pipeline import Pipeline

    if encoder is not None:
        return NoteTarget(Vectorised([encoder, model], decision, name), decision, name=name)
    if isinstance(model, Pipeline):
        steps = [s for _, s in model.steps if s not in (None, "passthrough")]
        if len(steps) < 2:
            raise TargetError(f"{name}: a pipeline on notes needs a vectoriser and a classifier.")
        return NoteTarget(Vectorised(steps, decision, name), decision, name=name)
    if isinstance(model, type) or not callable(model):
        raise TargetError(
            f"{name}: nocere does not know how to ask a {type(model).__name__} about a text.",
            "Give a Pipeline that begins with a vectoriser, a vectoriser beside the model, or a function of texts.",
        )
    return callable_target(model, decision, outputs=outputs, version=version, name=name)
