"""What a target offers, by access: labels, scores, gradients, structure; and the checks that all adapters share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from nocere.core.batch import Batch
from nocere.core.decision import Decision, MultiLabel, OneLogit, OneVsRest, Softmax
from nocere.core.errors import TargetError

FEWEST = 8  # cases, before scores between 0 and 1 are taken for probabilities
Access: TypeAlias = Literal["scores", "labels", "gradients", "structure"]


class Target(Protocol):
    """The shipped model: who it is, how it decides, and what may be asked of it."""

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str:
        """SHA-256 over what decides the answers: weights, preprocessing, decision."""
        ...

    @property
    def decision(self) -> Decision: ...
    @property
    def access(self) -> frozenset[Access]: ...
    @property
    def stochastic(self) -> bool: ...
    @property
    def tiles(self) -> bool:
        """True where the last bit depends on the shape of a batch: rows are then padded to a fixed shape.

        False where every row is a query that somebody counts.
        """
        ...

    def state(self) -> str:
        """A hash of everything that an evaluation must not change (weights, buffers, train or eval mode)."""
        ...


@runtime_checkable
class Scores(Target, Protocol):
    """Answers with scores."""

    def scores(self, batch: Batch) -> NDArray[np.float64]:
        """[n, decision.columns], logits or a value."""
        ...


@runtime_checkable
class Labels(Target, Protocol):
    """Answers with asserted labels only."""

    def labels(self, batch: Batch) -> NDArray[np.bool_]:
        """[n, len(decision.labels)]."""
        ...


@runtime_checkable
class Gradients(Scores, Protocol):
    """Answers with scores and pulls gradients back to the input."""

    def vjp(self, batch: Batch) -> tuple[Any, Callable[[Any], Any]]:
        """Scores as a torch tensor [n, columns], and a function from d loss / d scores to d loss / d x."""
        ...


def repeatable(target: Gradients, batch: Batch) -> tuple[Any, Callable[[Any], Any]]:
    """Scores, and the way back that may be gone more than once: after the first time it evaluates again."""
    import torch

    with torch.enable_grad():
        z, first = target.vjp(batch)
    fresh = [first]

    def pullback(weight: Any) -> Any:
        with torch.enable_grad():
            back = fresh.pop() if fresh else target.vjp(batch)[1]
        return back(weight)

    return z, pullback


def check_scores(scores: NDArray[Any], n: int, decision: Decision, name: str) -> NDArray[np.float64]:
    """Scores as float64 of the declared shape.

    Raises:
        TargetError: wrong number of rows or columns for the declared decision.
    """
    out = np.asarray(scores, dtype=np.float64)
    if out.ndim == 1:
        out = out[:, None]
    if out.shape != (n, decision.columns):
        raise TargetError(
            f"{name} returned scores of shape {tuple(out.shape)} for {n} rows, but its decision "
            f"{type(decision).__name__} reads {decision.columns} column(s).",
            "Declare the decision that fits the model's head.",
        )
    return out


def check_answers(scores: NDArray[np.float64], target: Target) -> None:
    """Refuse a target whose scores [n, columns] of all unchanged cases cannot be what is declared.

    Raises:
        TargetError: probabilities where logits are declared; or the same scores for every case.
    """
    z = scores[np.isfinite(scores).all(axis=1)]
    if len(z) < 2:
        return
    if bool((z == z[0]).all()):
        raise TargetError(
            f"{target.name} gives the same scores to all {len(z)} cases: it does not look at its input.",
            "Check its weights and preprocessing (scale, channels, a saturated output).",
        )
    declared = getattr(target, "outputs", "logits") == "logits"
    if not declared or not isinstance(target.decision, (OneLogit, OneVsRest, Softmax, MultiLabel)):
        return
    inside = len(z) >= FEWEST and bool((z >= 0).all() and (z <= 1).all())
    shares = z.shape[1] > 1 and target.decision.exclusive
    # Logits of a timid model may lie there too: probabilities of cases that differ reach towards both ends.
    told = np.allclose(z.sum(axis=1), 1.0, atol=1e-4) if shares else z.min() < 0.25 and z.max() > 0.75
    if inside and bool(told):
        summing = " and sum to 1 in every row" if shares else ""
        raise TargetError(
            f"{target.name} is declared to return logits, but its scores for {len(z)} cases all lie between 0 and 1"
            f"{summing}: they look like probabilities.",
            'Return what comes before the last sigmoid or softmax, or declare outputs = "probabilities".',
        )


def to_logits(p: NDArray[Any], decision: Decision, name: str) -> NDArray[np.float64]:
    """Probabilities as the logits that decisions read: logit p for one column or findings, log p under a softmax.

    Two columns of a binary model feed a one-column decision by their second column. Values are clipped at 1e-12, so a
    saturated model keeps a finite margin.

    Raises:
        TargetError: values outside of [0, 1]: the model does not return probabilities; or a decision on a value.
    """
    if not isinstance(decision, (OneLogit, OneVsRest, Softmax, MultiLabel)):
        raise TargetError(f"{name}: a {type(decision).__name__} decision reads values, not probabilities.")
    columns = decision.columns
    p = np.asarray(p, dtype=np.float64)
    p = p[:, None] if p.ndim == 1 else p
    finite = p[np.isfinite(p)]
    if finite.size and (finite.min() < -1e-6 or finite.max() > 1 + 1e-6):
        raise TargetError(
            f"{name} is declared to return probabilities, but returned {finite.min():.3g} to {finite.max():.3g}.",
            'Declare outputs = "logits".',
        )
    p = np.clip(p, 1e-12, 1 - 1e-12)
    if columns == 1 and p.shape[1] == 2:
        p = p[:, 1:2]
    if columns == 1 or not decision.exclusive:
        return np.asarray(np.log(p) - np.log1p(-p))
    return np.asarray(np.log(p))


def margins(target: Target, batch: Batch) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Margins [n, labels] and scores of a target; +1 / -1 and no scores where it answers with labels only.

    Raises:
        TargetError: it answers with neither.
    """
    if isinstance(target, Scores):
        scores = target.scores(batch)
        with np.errstate(invalid="ignore"):
            return np.asarray(target.decision.margins(scores), dtype=np.float64), scores
    if isinstance(target, Labels):
        return np.where(target.labels(batch), 1.0, -1.0), None
    raise TargetError(f"{target.name} answers neither with scores nor with labels.")
