"""A sequence classifier in the layout of Hugging Face transformers, from a local folder; nothing is ever fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from nocere.core.canonical import sha256
from nocere.core.decision import Decision
from nocere.core.errors import PrerequisiteError, TargetError
from nocere.targets.notes.nets import Net, Places
from nocere.targets.notes.target import NoteTarget

SHIFTED = ("roberta", "camembert", "longformer")  # their positions begin after that of the padding


class _Classifier(nn.Module):
    """A sequence classifier that is asked with embedded tokens."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def embed(self, ids: Tensor) -> Tensor:
        embedded: Tensor = self.model.get_input_embeddings()(ids)
        return embedded

    def forward(self, embedded: Tensor, strength: Tensor) -> Tensor:
        # Attention masks are all or nothing: gradients come through the embeddings alone.
        logits: Tensor = self.model(inputs_embeds=embedded, attention_mask=strength.detach().long()).logits
        return logits


class _Tokenizer:
    """The folder's own tokenizer; a long note is cut where the model's positions end."""

    def __init__(self, tokenizer: Any, longest: int) -> None:
        self._tokenizer, self._longest = tokenizer, longest

    def __call__(self, text: str) -> tuple[list[int], Places]:
        read = self._tokenizer(text, truncation=True, max_length=self._longest, return_offsets_mapping=True)
        return list(read["input_ids"]), [(int(a), int(b)) for a, b in read["offset_mapping"]]


def hugging_face_target(folder: str | Path, decision: Decision, *, name: str = "model") -> NoteTarget:
    """A sequence classifier saved with `save_pretrained`, its tokenizer beside it.

    Args:
        folder: holds config.json, model.safetensors and tokenizer.json.
        decision: reads the logits.
        name: shown in reports.

    Raises:
        PrerequisiteError: transformers is not installed.
        TargetError: not such a folder, weights as a pickle, or another number of logits than the decision reads.
    """
    try:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer
    except ModuleNotFoundError as e:
        raise PrerequisiteError(f"{folder} needs the package {e.name}.", "pip install 'nocere[text]'") from e
    folder = Path(folder)
    for file in ("config.json", "tokenizer.json"):
        if not (folder / file).is_file():
            raise TargetError(f"{folder} holds no {file}.", "Give a folder that save_pretrained wrote.")
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), use_fast=True, **local)
        model, loaded = AutoModelForSequenceClassification.from_pretrained(
            str(folder), use_safetensors=True, output_loading_info=True, **local
        )
    except Exception as e:  # three libraries, each with errors of its own
        first = str(e).strip().split("\n", 1)[0][:200]
        raise TargetError(
            f"{folder} is not a sequence classifier with safetensors weights ({first}).",
            "Save it with save_pretrained(..., safe_serialization=True).",
        ) from e
    if loaded["missing_keys"]:
        # They would be drawn at random: another model at every start.
        raise TargetError(
            f"{folder} holds no weights for {sorted(loaded['missing_keys'])[0]!r}.",
            "Give a fine-tuned classifier, not the base model.",
        )
    config = model.config
    if config.num_labels != decision.columns:
        raise TargetError(
            f"{name} has {config.num_labels} logits, but its decision {type(decision).__name__} reads "
            f"{decision.columns} column(s).",
            "Declare the decision that fits the model's head.",
        )
    shifted = config.pad_token_id + 1 if any(s in config.model_type for s in SHIFTED) else 0
    longest = min(tokenizer.model_max_length, getattr(config, "max_position_embeddings", 512) - shifted)
    settings = {k: v for k, v in config.to_dict().items() if k not in ("_name_or_path", "transformers_version")}
    about = [str(sorted(settings.items())), sha256(tokenizer.backend_tokenizer.to_str().encode()), longest]
    net = Net(_Classifier(model.float()), _Tokenizer(tokenizer, longest), about, longest=longest)
    return NoteTarget(net, decision, name=name)
