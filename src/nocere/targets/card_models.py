"""Cards of deployed models: files of other runtimes, servers, programs, bundles, features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nocere.core.canonical import sha256
from nocere.core.decision import Decision
from nocere.core.errors import TargetError
from nocere.targets.base import Target
from nocere.targets.card import _factory, _file, _unpickle
from nocere.targets.preprocess import Preprocess

Loader = Callable[..., Target]
KNOWN = ("kind", "name")


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
        wanted = fields.get(key, str)
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


def _process(about: Any, card: Path, decision: Decision, input_: Any, *, name: str, **_: Any) -> Target:
    from nocere.targets.process import process_target

    if "command" not in about:
        raise TargetError(f"{card}: [target] command is missing: a list of the program and its arguments.")
    limits = {k: about[k] for k in ("files", "timeout", "start") if k in about}
    return process_target(about["command"], decision, input_, folder=card.parent, **limits, **_shared(about, name))


def _monai(about: Any, card: Path, decision: Decision, input_: Any, *, name: str, trust: bool) -> Target:
    from nocere.targets.monai import monai_target

    outputs, transposed = about.get("outputs", "logits"), about.get("transposed", False)
    return monai_target(
        _folder(about, card), decision, input_, transposed=transposed, outputs=outputs, trust=trust, name=name
    )


def _hf_image(about: Any, card: Path, decision: Decision, input_: Any, *, name: str, **_: Any) -> Target:
    from nocere.targets.hf_image import hf_image_target

    return hf_image_target(_folder(about, card), decision, input_, name=name)


def _features(about: Any, card: Path, decision: Decision, input_: Any, *, name: str, trust: bool) -> Target:
    from nocere.targets.features import BOOSTERS, FeaturesTarget, booster_file

    if input_ is not None:
        raise TargetError(f"{card}: features are taken from stored values; [input] has no place here.")
    file, extract = _file(about, card), _factory(about, card)
    model = booster_file(file) if file.suffix in BOOSTERS else _unpickle(file, trust)
    source = (card.parent / str(about["factory"]).partition(":")[0]).read_bytes()
    version = f"{about['factory']} {sha256(source)} {about.get('version', '')}"
    return FeaturesTarget(extract, model, decision, version=version, name=name, source=sha256(file.read_bytes()))


def _folder(about: Any, card: Path) -> Path:
    folder = card.parent / str(about.get("weights", ""))
    if "weights" not in about or not folder.is_dir():
        raise TargetError(f"{card}: [target] weights must name the model's folder; got {about.get('weights')!r}.")
    return folder


NUMBER = (int, float)
BOX = {"outputs": str, "stochastic": bool}
LOADERS: dict[str, tuple[Loader, dict[str, Any]]] = {
    "monai": (_monai, {"weights": str, "transposed": bool, "outputs": str}),
    "hf-image": (_hf_image, {"weights": str}),
    "features": (_features, dict.fromkeys(("weights", "factory", "version"), str)),
    "process": (_process, {**BOX, "command": list, "files": list, "timeout": NUMBER, "start": NUMBER}),
    "onnx": (_onnx, {**BOX, "weights": str, "output": str}),
    "kserve": (
        _kserve,
        {
            **BOX,
            **dict.fromkeys(("url", "model", "model_version", "output", "authorisation", "owner_key"), str),
            **dict.fromkeys(("queries", "tries", "rows"), int),
            **dict.fromkeys(("timeout", "pause", "rate"), NUMBER),
        },
    ),
}
