"""Target cards: a TOML file (or a trained folder) that says what a model is, how it is loaded and how it decides.

[target]
kind = "torch"                     # torch | torchscript | pt2 | sklearn | claims | notes | callable, and more that
                                   # are told in docs/targets.md
factory = "mymodel.py:build"       # torch, callable: a Python file of yours and a function in it
weights = "weights.pt"             # torch: a state dict (loaded weights-only); torchscript, pt2, sklearn: the file
                                   # notes: model.json of write_note_target, a pipeline (.joblib), or a folder
encoder = "encoder.json"           # claims: how a claim becomes a row (Encoder.to_json)
outputs = "logits"                 # or "probabilities", "labels" (callable)
[input]
channels = 3
size = [224, 224]
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
[decision]
kind = "one_logit"
labels = ["benign", "malignant"]
threshold = 0.31
"""

from __future__ import annotations

import importlib.util
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nocere.core.canonical import sha256
from nocere.core.decision import Decision, from_json
from nocere.core.errors import TargetError
from nocere.targets.base import Target
from nocere.targets.preprocess import input_from_json

DEPLOYED = ("onnx", "kserve", "process", "monai", "hf-image", "features")
KINDS = ("torch", "torchscript", "pt2", "sklearn", "claims", "notes", "callable", *DEPLOYED)
PICKLES = (".joblib", ".pkl", ".pickle")


def load_target(path: str | Path, *, trust: bool = False) -> Target:
    """The target behind a folder of `nocere train` or a card.

    Args:
        path: folder with target.json, or a TOML card.
        trust: allow files that can run code when they are opened (pickles).

    Raises:
        TargetError: missing file, wrong kind of file, incomplete card, or a pickle without `trust`.
    """
    path = Path(path)
    if path.is_dir():
        from nocere.targets.reference.store import load

        made: Target = load(path)
        return made
    if not path.exists():
        raise TargetError(f"There is no target at {path}.", "Give a folder of `nocere train` or a target card (TOML).")
    if path.suffix != ".toml":
        raise TargetError(
            f"{path} is a {path.suffix or 'nameless'} file, not a target card.",
            "Write a card (TOML) that names it with its labels and threshold; see docs/targets.md.",
        )
    try:
        card = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as e:
        raise TargetError(f"{path} is not a valid TOML file: {e}.") from e
    return _from_card(card, path, trust)


def _from_card(card: dict[str, Any], path: Path, trust: bool) -> Target:
    about = card.get("target", {})
    kind = about.get("kind")
    if kind not in KINDS:
        raise TargetError(f"{path}: [target] kind must be one of {', '.join(KINDS)}; got {kind!r}.")
    if "decision" not in card:
        raise TargetError(f"{path}: no [decision].", "Declare kind, labels and the operating threshold.")
    decision = from_json(card["decision"])
    input_ = input_from_json(card["input"]) if "input" in card else None
    name = about.get("name", path.stem)
    outputs = about.get("outputs", "probabilities" if kind in ("callable",) else "logits")
    if kind == "sklearn":
        from nocere.targets.sklearn import SklearnTarget

        file = _file(about, path)
        return SklearnTarget(_unpickle(file, trust), decision, name=name, source=sha256(file.read_bytes()))
    if kind == "claims":
        from nocere.targets.claims.files import encoder_of, model_of
        from nocere.targets.claims.target import ClaimTarget

        file = _file(about, path)
        model = _unpickle(file, trust) if file.suffix in PICKLES else model_of(file)
        return ClaimTarget(model, encoder_of(_file(about, path, "encoder")), decision, name=name)
    if kind == "notes":
        return _notes(about, path, trust, decision, name)
    if kind in DEPLOYED:
        from nocere.targets.card_models import model_of_card

        return model_of_card(about, path, decision, input_, name=name, trust=trust)
    if kind == "callable":
        from nocere.targets.callable import callable_target

        function = _factory(about, path)
        version = about.get("version", "unversioned")
        stochastic = about.get("stochastic", False)
        return callable_target(function, decision, outputs=outputs, version=version, stochastic=stochastic, name=name)
    from nocere.targets.torch import TorchTarget

    module = {"torch": _torch, "torchscript": _torchscript, "pt2": _pt2}[kind](about, path)
    stochastic = about.get("stochastic", False)
    return TorchTarget(module, decision, input_, outputs=outputs, stochastic=stochastic, name=name)


def _notes(about: dict[str, Any], card: Path, trust: bool, decision: Decision, name: str) -> Target:
    from nocere.targets.notes.files import read_note_target
    from nocere.targets.notes.target import note_target

    if (card.parent / str(about.get("weights", ""))).is_dir() and "weights" in about:
        from nocere.targets.notes.hugging_face import hugging_face_target

        return hugging_face_target(card.parent / str(about["weights"]), decision, name=name)
    file = _file(about, card)
    if file.suffix not in PICKLES:
        return read_note_target(file, decision, name=name)
    made: Target = note_target(_unpickle(file, trust), None, decision, name=name)
    return made


def _file(about: dict[str, Any], card: Path, key: str = "weights") -> Path:
    if key not in about:
        raise TargetError(f"{card}: [target] {key} is missing.", "Name the file.")
    path = card.parent / str(about[key])
    if not path.is_file():
        raise TargetError(f"{card}: there is no file {path}.")
    return path


def _factory(about: dict[str, Any], card: Path) -> Callable[..., Any]:
    file, _, name = str(about.get("factory", "")).partition(":")
    source = card.parent / file
    if name and not source.is_file():
        raise TargetError(f"{card}: [target] factory: there is no file {source}.")
    if not name:
        raise TargetError(f"{card}: [target] factory must be FILE.py:FUNCTION; got {about.get('factory')!r}.")
    # A name of its own, and known to Python: what a model is made of can then be pickled, and so restored.
    called = f"nocere_user_{source.stem}_{sha256(str(source.resolve()).encode())[:12]}"
    spec = importlib.util.spec_from_file_location(called, source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[called] = module
    try:
        spec.loader.exec_module(module)
        function: Callable[..., Any] = getattr(module, name)
    except Exception as e:
        raise TargetError(f"{source} cannot give {name!r}: {type(e).__name__}: {e}.") from e
    return function


def _torch(about: dict[str, Any], card: Path) -> Any:
    import pickle

    import torch

    try:
        module = _factory(about, card)()
    except TargetError:
        raise
    except Exception as e:
        raise TargetError(f"{card}: the factory raised {type(e).__name__}: {e}.") from e
    if "weights" in about:
        path = _file(about, card)
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            module.load_state_dict(state)
        except (pickle.UnpicklingError, RuntimeError, EOFError, AttributeError, TypeError, KeyError, ValueError) as e:
            first = " ".join(str(e).split())[:300]
            raise TargetError(
                f"{path} is not a state dict that fits the factory's module ({first}).",
                "Save it with torch.save(model.state_dict(), ...); whole pickled models are refused.",
            ) from e
    return module


def _torchscript(about: dict[str, Any], card: Path) -> Any:
    import warnings

    import torch

    path = _file(about, card)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as e:
        raise TargetError(f"{path} is not a TorchScript file.", "Export it with torch.jit.save.") from e


def _pt2(about: dict[str, Any], card: Path) -> Any:
    import warnings

    import torch

    path = _file(about, card)
    try:
        with warnings.catch_warnings():
            # torch's own deprecations, which a user can do nothing about.
            warnings.simplefilter("ignore")
            return torch.export.load(path).module()
    except Exception as e:
        first = str(e).strip().split("\n", 1)[0][:160]
        raise TargetError(f"{path} is not a torch.export (.pt2) file ({first}).") from e


def _unpickle(path: Path, trust: bool) -> Any:
    if not trust:
        raise TargetError(
            f"{path} is a pickle, which can run any code when it is opened.",
            "If you made it yourself, allow it with --trust.",
        )
    import joblib  # type: ignore[import-untyped, unused-ignore]

    try:
        return joblib.load(path)
    except Exception as e:
        raise TargetError(f"{path} cannot be opened as a scikit-learn model ({type(e).__name__}: {e}).") from e
