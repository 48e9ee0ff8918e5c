"""A target for other libraries: as a torch module, a Foolbox model or an ART classifier, in stored units.

Nothing is counted or judged here. The other way round, an attack of theirs in an audit of ours: `PeerAttack`.
"""

from __future__ import annotations

from typing import Any

import torch

from nocere.attacks.peers.peer import PeerAttack, quiet
from nocere.core.batch import Batch
from nocere.core.case import Case
from nocere.core.decision import Decision, Softmax
from nocere.core.errors import PrerequisiteError, TargetError, UsageError
from nocere.targets.base import Target, margins, repeatable
from nocere.targets.module import AskedModule
from nocere.threats.pixels import depth_of, span_of

__all__ = ["PeerAttack", "as_art", "as_foolbox", "as_module"]


def as_module(target: Target, case: Case[Any] | None = None, *, classes: bool = False) -> torch.nn.Module:
    """A torch module: stored values [n, ...] as floats (0 to 255 in images of 8 bits) to scores [n, columns].

    Args:
        target: answers, and pulls gradients back where it grants them.
        case: any case of the data; its header goes with every row, which targets on DICOM files need for their window.
        classes: outputs whose largest is the label that the target asserts at its own thresholds, instead of scores.

    Raises:
        TargetError: it tells labels only, and scores are asked for; gradients of a target without them.
        UsageError: classes of a target whose labels do not exclude each other.
    """
    if not classes and "scores" not in target.access:
        raise TargetError(f"{target.name} tells labels only and has no scores to give.", "Ask with classes=True.")
    if classes and not target.decision.exclusive:
        raise UsageError(f"The labels of {target.name} do not exclude each other: they are no classes.")
    return _Target(target, case, classes)


def as_foolbox(target: Target, case: Case[Any] | None = None) -> Any:
    """A `foolbox.PyTorchModel` whose bounds are those of the stored values; see `as_module` with classes."""
    module = as_module(target, case, classes=True)
    with quiet():
        try:
            from foolbox.models.pytorch import PyTorchModel
        except ModuleNotFoundError as e:
            raise PrerequisiteError("This needs the package foolbox.", "pip install 'nocere[peers]'") from e
        return PyTorchModel(module, bounds=_bounds(case), device="cpu")


def as_art(target: Target, case: Case[Any]) -> Any:
    """An ART `PyTorchClassifier` with clip values of the stored values and the shape of `case`."""
    module = as_module(target, case, classes=True)
    with quiet():
        try:
            from art.estimators.classification import PyTorchClassifier
        except ModuleNotFoundError as e:
            package = "adversarial-robustness-toolbox"
            raise PrerequisiteError(f"This needs the package {package}.", "pip install 'nocere[peers]'") from e
        return PyTorchClassifier(
            module, torch.nn.CrossEntropyLoss(), tuple(case.x.shape), len(target.decision.labels),
            clip_values=_bounds(case), device_type="cpu",
        )  # fmt: skip


def class_scores(decision: Decision, scores: Any) -> Any:
    """Scores [n, columns] as logits of classes [n, labels] whose largest is the asserted label.

    Cross-entropy on them is the model's own at a threshold of one half, and follows the threshold elsewhere.
    """
    if isinstance(decision, Softmax):
        return scores
    m = decision.margins(scores)
    return torch.stack([torch.zeros_like(m[:, 1]), m[:, 1]], dim=1) if m.shape[1] == 2 else m


class _Target(torch.nn.Module):
    def __init__(self, target: Target, case: Case[Any] | None, classes: bool) -> None:
        super().__init__()
        self._target, self._case, self._classes = target, case, classes
        self._asked = AskedModule(self._ask)
        self.eval()

    def _ask(self, x: Any, grad: bool) -> tuple[Any, Any]:
        target: Any = self._target
        like = self._case or Case("row", x[0].cpu().numpy())
        seeds = None
        if target.stochastic:  # so that torch.manual_seed decides
            seeds = torch.randint(2**62, (len(x),)).numpy().astype("uint64")
        batch = Batch(x.cpu(), (like,) * len(x), seeds)
        if grad and "gradients" in target.access:
            return repeatable(target, batch)
        m, z = margins(target, batch)
        return torch.from_numpy(m if z is None else z), None

    def forward(self, x: Any) -> Any:
        out = self._asked(x)
        # A target that tells labels has answered with +1 and -1 already.
        told = "scores" not in self._target.access
        return class_scores(self._target.decision, out) if self._classes and not told else out


def _bounds(case: Case[Any] | None) -> tuple[float, float]:
    return (0.0, 255.0) if case is None else span_of(*depth_of(case))
