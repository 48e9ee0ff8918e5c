"""A MONAI bundle as a target: its network definition and its weights, without running the bundle.

A bundle's configuration may hold expressions, which are code. Here the network is made from literal arguments only, by
the name of a class in `monai.networks.nets`; a bundle with expressions there is refused unless it is trusted, and then
read by MONAI itself. Layout: docs.monai.io/en/stable/mb_specification.html.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from nocere.core.decision import Decision
from nocere.core.errors import PrerequisiteError, TargetError
from nocere.core.registry import register
from nocere.targets.preprocess import Preprocess
from nocere.targets.torch import TorchTarget

CONFIGS = ("configs/inference.json", "configs/train.json")
NETWORKS = "monai.networks.nets."


class Transposed(torch.nn.Module):
    """A network that was trained on images with the axes [W, H], as MONAI's LoadImage reads PNG and JPEG files."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Any) -> Any:
        return self.net(x.transpose(-1, -2))


@register("target", "monai", source="MONAI bundle specification")
def monai_target(
    folder: str | Path,
    decision: Decision,
    input: Preprocess | None = None,
    *,
    transposed: bool = False,
    outputs: Any = "logits",
    trust: bool = False,
    name: str = "model",
) -> TorchTarget:
    """The network of a MONAI bundle, with gradients.

    Args:
        folder: holds configs/ and models/model.pt (a state dict) or models/model.ts (TorchScript).
        decision: how scores become labels; a bundle's own post-processing is no part of its network.
        input: stored values to network input; a bundle's own transforms are not read.
        transposed: True where the network was trained on [W, H].
        outputs: "logits" or "probabilities".
        trust: run expressions of the configuration.
        name: shown in reports.

    Raises:
        PrerequisiteError: MONAI is not installed.
        TargetError: no bundle, a network that cannot be made, or weights that do not fit it.
    """
    folder = Path(folder)
    script, weights = folder / "models" / "model.ts", folder / "models" / "model.pt"
    if not (folder / "configs").is_dir() or not (script.is_file() or weights.is_file()):
        raise TargetError(
            f"{folder} is no MONAI bundle: it needs configs/ and models/model.pt or models/model.ts.",
        )
    _channels(folder, input)
    if weights.is_file():
        net = _network(folder, trust)
        _load(net, weights)
    else:
        net = _script(script)
    net = net.eval()
    return TorchTarget(Transposed(net).eval() if transposed else net, decision, input, outputs=outputs, name=name)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise TargetError(f"{path} cannot be read as JSON ({e}).") from e


def _channels(folder: Path, input: Preprocess | None) -> None:
    """Compare the declared channels with the bundle's metadata, where it tells them."""
    about = folder / "configs" / "metadata.json"
    if input is None or not about.is_file():
        return
    told: Any = _json(about)
    for key in ("network_data_format", "inputs", "image", "num_channels"):
        told = told.get(key) if isinstance(told, Mapping) else None
    if isinstance(told, int) and told != input.channels:
        raise TargetError(
            f"{folder} says that its network takes {told} channel(s); [input] declares {input.channels}.",
        )


def _network(folder: Path, trust: bool) -> torch.nn.Module:
    try:
        import monai.networks.nets as nets
    except ModuleNotFoundError as e:
        raise PrerequisiteError(f"{folder} needs the package {e.name}.", "pip install 'nocere[models]'") from e
    path = next((folder / c for c in CONFIGS if (folder / c).is_file()), None)
    if path is None:
        raise TargetError(f"{folder} has none of {', '.join(CONFIGS)}.", "Only configurations in JSON are read.")
    config = _json(path)
    if not isinstance(config, Mapping) or "network_def" not in config:
        raise TargetError(f"{path} has no network_def.")
    try:
        about = _literal(config["network_def"], config, path)
    except _ExpressionError as e:
        if not trust:
            raise TargetError(
                f"{path}: network_def holds the expression {str(e)!r}, which is code.",
                "If you trust the bundle, allow it with --trust.",
            ) from None
        return _trusted(path)
    if not isinstance(about, Mapping):
        raise TargetError(f"{path}: network_def is no object.")
    given = {k: v for k, v in about.items() if not k.startswith("_")}
    called = str(about.get("_target_", "")).removeprefix(NETWORKS)
    make = getattr(nets, called, None)
    if not (isinstance(make, type) and issubclass(make, torch.nn.Module)):
        raise TargetError(
            f"{path}: network_def names {about.get('_target_')!r}, which is no network of MONAI.",
            'Load a network of your own by a card of kind "torch" or as TorchScript.',
        )
    if "pretrained" in inspect.signature(make).parameters:
        given["pretrained"] = False  # the bundle's own weights follow, and nothing is fetched
    try:
        made: torch.nn.Module = make(**given)
    except Exception as e:
        raise TargetError(f"{path}: {called} cannot be made ({type(e).__name__}: {_first(e)}).") from e
    return made


class _ExpressionError(Exception):
    """A part of a configuration that only running code can give."""


def _literal(value: Any, config: Mapping[str, Any], path: Path, depth: int = 0) -> Any:
    """A part of a configuration with its references filled in."""
    if depth > 20:
        raise TargetError(f"{path}: network_def refers to itself.")
    if isinstance(value, Mapping):
        return {k: _literal(v, config, path, depth + 1) for k, v in value.items()}
    if isinstance(value, list):
        return [_literal(v, config, path, depth + 1) for v in value]
    if isinstance(value, str) and value.startswith(("$", "%")):
        raise _ExpressionError(value)
    if isinstance(value, str) and value.startswith("@"):
        found: Any = config
        for key in value[1:].replace("#", "::").split("::"):
            found = found.get(key) if isinstance(found, Mapping) else None
        if found is None:
            raise TargetError(f"{path}: network_def refers to {value!r}, which is not there.")
        return _literal(found, config, path, depth + 1)
    return value


def _trusted(path: Path) -> torch.nn.Module:
    from monai.bundle.config_parser import ConfigParser

    try:
        parser = ConfigParser()
        parser.read_config(str(path))
        made = parser.get_parsed_content("network_def")
    except Exception as e:
        raise TargetError(f"{path}: MONAI cannot make network_def ({type(e).__name__}: {_first(e)}).") from e
    if not isinstance(made, torch.nn.Module):
        raise TargetError(f"{path}: network_def makes a {type(made).__name__}, not a network.")
    return made


def _load(net: torch.nn.Module, path: Path) -> None:
    import pickle

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        for key in ("model", "state_dict", "network"):
            state = state[key] if isinstance(state.get(key), Mapping) else state
        net.load_state_dict(state)
    except (OSError, pickle.UnpicklingError, RuntimeError, EOFError, AttributeError, TypeError, ValueError) as e:
        raise TargetError(f"{path} holds no state dict that fits network_def ({_first(e)}).") from e


def _script(path: Path) -> torch.nn.Module:
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            made: torch.nn.Module = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as e:
        raise TargetError(f"{path} is not a TorchScript file.") from e
    return made


def _first(e: Exception) -> str:
    return " ".join(str(e).split())[:200]
