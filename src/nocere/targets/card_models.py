"""Cards of deployed models: files of other runtimes, servers, programs, bundles, features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nocere.core.decision import Decision
from nocere.core.errors import TargetError
from nocere.targets.base import Target
from nocere.targets.card import _file
from nocere.targets.preprocess import Preprocess

Loader = Callable[..., Target]
KNOWN = ("kind", "name", "outputs", "stochastic")


def model_of_card(
    about: Mapping[str, Any], card: Path, decision: Decision, input_: Preprocess | None, *, name: str, trust: bool
) -> Target:
    """The target that the [target] table `about` of a card tells of.

    Raises:
        TargetError: a missing, unknown or wrong field; or what the model's own loader says.
    """
    loader, fields = LOADERS[about["kind"]]
    for key, value in about.items():
        if key not in KNOWN and key not in fields:
            raise TargetError(
                f"{card}: [target] of kind {about['kind']!r} has no {key!r}.",
                f"It has {', '.join((*KNOWN, *fields))}.",
            )
        wanted = fields.get(key, bool if key == "stochastic" else str)
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            raise TargetError(f"{card}: [target] {key} = {value!r} is of the wrong kind.")
    return loader(about, card, decision, input_, name=name, trust=trust)


def _shared(about: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {
        "outputs": about.get("outputs", "logits"),
        "stochastic": about.get("stochastic", False),
        "name": name,
    }


def _onnx(about: Any, card: Path, decision: Decision, input_: Any, *, name: str, **_: Any) -> Target:
    from nocere.targets.onnx import onnx_target

    return onnx_target(_file(about, card), decision, input_, output=about.get("output", ""), **_shared(about, name))


def _kserve(about: Any, card: Path, decision: Decision, input_: Any, *, name: str, **_: Any) -> Target:
    from nocere.targets.kserve import Manners, kserve_target

    for key in ("url", "model"):
        if key not in about:
            raise TargetError(f"{card}: [target] {key} is missing.")
    files: dict[str, Any] = {k: _file(about, card, k) for k in ("authorisation", "owner_key") if k in about}
    return kserve_target(
        about["url"],
        about["model"],
        decision,
        input_,
        version=about.get("model_version", ""),
        output=about.get("output", ""),
        queries=about.get("queries"),
        manners=Manners(**{k: about[k] for k in Manners.__dataclass_fields__ if k in about}),
        **files,
        **_shared(about, name),
    )


NUMBER = (int, float)
LOADERS: dict[str, tuple[Loader, dict[str, Any]]] = {
    "onnx": (_onnx, {"weights": str, "output": str}),
    "kserve": (
        _kserve,
        {
            **dict.fromkeys(("url", "model", "model_version", "output", "authorisation", "owner_key"), str),
            **dict.fromkeys(("queries", "tries", "rows"), int),
            **dict.fromkeys(("timeout", "pause", "rate"), NUMBER),
        },
    ),
}
