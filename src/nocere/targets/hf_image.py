"""An image classifier in the layout of Hugging Face transformers, from a local folder; nothing is ever fetched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from nocere.core.decision import Decision
from nocere.core.errors import PrerequisiteError, TargetError
from nocere.core.registry import register
from nocere.targets.preprocess import ImageInput, Preprocess
from nocere.targets.torch import TorchTarget


class Logits(torch.nn.Module):
    """A classifier of transformers that answers with its logits."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Any) -> Any:
        return self.model(pixel_values=x).logits


@register("target", "hf-image", source="Hugging Face transformers")
def hf_image_target(
    folder: str | Path, decision: Decision, input: Preprocess | None = None, *, name: str = "model"
) -> TorchTarget:
    """An image classifier saved with `save_pretrained`, with gradients.

    Args:
        folder: holds config.json, model.safetensors, and preprocessor_config.json where `input` is not given.
        decision: reads the logits.
        input: stored values to network input; default is what preprocessor_config.json says, resized as here
            (bilinear, antialiased).
        name: shown in reports.

    Raises:
        PrerequisiteError: transformers is not installed.
        TargetError: not such a folder, weights as a pickle, another number of logits than the decision reads, or a
            preprocessing that is not one of resize, rescale and normalise.
    """
    try:
        from transformers import AutoModelForImageClassification
    except ModuleNotFoundError as e:
        raise PrerequisiteError(f"{folder} needs the package {e.name}.", "pip install 'nocere[text]'") from e
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise TargetError(f"{folder} holds no config.json.", "Give a folder that save_pretrained wrote.")
    try:
        model, loaded = AutoModelForImageClassification.from_pretrained(
            str(folder), use_safetensors=True, output_loading_info=True, local_files_only=True, trust_remote_code=False
        )
    except Exception as e:  # three libraries, each with errors of its own
        first = str(e).strip().split("\n", 1)[0][:200]
        raise TargetError(f"{folder} is not an image classifier with safetensors weights ({first}).") from e
    if loaded["missing_keys"]:
        # They would be drawn at random: another model at every start.
        raise TargetError(f"{folder} holds no weights for {sorted(loaded['missing_keys'])[0]!r}.")
    if model.config.num_labels != decision.columns:
        raise TargetError(
            f"{name} has {model.config.num_labels} logits, but its decision {type(decision).__name__} reads "
            f"{decision.columns} column(s).",
            "Declare the decision that fits the model's head.",
        )
    named = [str(model.config.id2label[i]) for i in range(model.config.num_labels)]
    known = [n for n in named if n in decision.labels]
    if known and known != [n for n in decision.labels if n in known]:
        raise TargetError(
            f"The model's labels are {', '.join(named)}; the decision's are {', '.join(decision.labels)}.",
            "Give the labels in the model's order.",
        )
    made = input or _input(folder, int(getattr(model.config, "num_channels", 3)))
    return TorchTarget(Logits(model.float()), decision, made, name=name)


def _input(folder: Path, channels: int) -> ImageInput:
    path = folder / "preprocessor_config.json"
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise TargetError(f"{folder} holds no preprocessor_config.json.", "Declare [input] in the card.") from e
    size = about.get("size")
    sides: list[Any] = [size, size] if isinstance(size, int) else [(size or {}).get(k) for k in ("height", "width")]
    if about.get("do_center_crop") or None in sides or not about.get("do_resize", True):
        raise TargetError(
            f"{path} crops, or does not resize to one height and width.",
            "Declare [input] in the card for such a model.",
        )
    rescale = float(about.get("rescale_factor", 1 / 255)) if about.get("do_rescale", True) else 1.0
    normal = bool(about.get("do_normalize", True))
    return ImageInput(
        channels,
        (int(sides[0]), int(sides[1])),
        resize=True,
        scale=1.0 / rescale,
        mean=tuple(about["image_mean"]) if normal else (0.0,),
        std=tuple(about["image_std"]) if normal else (1.0,),
    )
