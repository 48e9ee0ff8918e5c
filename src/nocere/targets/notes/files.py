"""Models on notes as files without pickles: linear models behind a vectoriser, and the small nets.

`model.json` says what it is (RFC 8785), `model.npz` beside it holds the numbers.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.core.canonical import dumps, sha256
from nocere.core.decision import Decision, to_json
from nocere.core.errors import TargetError
from nocere.core.files import private_folder, write_atomic
from nocere.targets.notes.encoder import NoteEncoder, Weighting
from nocere.targets.notes.models import Vectorised
from nocere.targets.notes.target import NoteTarget
from nocere.targets.structure import LinearForm

MODEL, NUMBERS = "model.json", "model.npz"
FUNCTIONS = ("preprocessor", "tokenizer")

Numbers = dict[str, NDArray[Any]]


def write_note_target(target: NoteTarget, folder: Path) -> Path:
    """Write a target as model, numbers and target card; returns the card's path.

    Raises:
        TargetError: a model that has no form without a pickle.
        WriteError: the folder cannot be written.
    """
    about, numbers = _taken(target)
    out = io.BytesIO()
    np.savez(out, **numbers)  # type: ignore[arg-type, unused-ignore]
    about |= {"schema": 1, "numbers_sha256": sha256(out.getvalue())}
    private_folder(folder)
    write_atomic(folder / NUMBERS, out.getvalue())
    write_atomic(folder / MODEL, dumps(about))
    decision = "".join(f"{k} = {json.dumps(v)}\n" for k, v in to_json(target.decision).items())
    card = f'[target]\nkind = "notes"\nname = {json.dumps(target.name)}\nweights = "{MODEL}"\n[decision]\n{decision}'
    write_atomic(folder / "card.toml", card.encode())
    return folder / "card.toml"


def read_note_target(path: Path, decision: Decision, *, name: str) -> NoteTarget:
    """The target that `write_note_target` wrote as this `model.json`.

    Raises:
        TargetError: not such a file, or damaged.
    """
    try:
        about = json.loads(path.read_bytes())
        data = (path.parent / NUMBERS).read_bytes()
        if about["schema"] != 1:
            raise ValueError(f"schema {about['schema']}")
        if sha256(data) != about["numbers_sha256"]:
            raise ValueError(f"{NUMBERS} is another file than the one that was written with it")
        with np.load(io.BytesIO(data), allow_pickle=False) as npz:
            numbers = {k: npz[k] for k in npz.files}
        return (_linear if about["kind"] == "linear" else _net)(about, numbers, decision, name)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, zipfile.BadZipFile) as e:
        first = str(e).split("\n", 1)[0]
        raise TargetError(f"{path} is not a model on notes that was written here ({type(e).__name__}: {first}).") from e


def _taken(target: NoteTarget) -> tuple[dict[str, Any], Numbers]:
    model: Any = target.model
    if isinstance(model, Vectorised):
        v = model.encoder.vectoriser
        if model.form is not None and isinstance(v.analyzer, str) and all(getattr(v, f) is None for f in FUNCTIONS):
            numbers: Numbers = {"weight": model.form.weight, "bias": model.form.bias}
            weightings = [[w.sublinear, w.idf is not None, w.norm] for w in model.weightings]
            numbers |= {f"idf{i}": w.idf for i, w in enumerate(model.weightings) if w.idf is not None}
            about = {"kind": "linear", "vectoriser": _settings(model.encoder), "weightings": weightings}
            return about, numbers
    elif getattr(model.module, "arch", None) is not None:
        net = model.module
        about = {"kind": "net", "arch": net.arch, "tokens": model.reader.to_json()}
        return about, {k: v.detach().cpu().numpy() for k, v in net.state_dict().items()}
    raise TargetError(
        f"{target.name} has no form without a pickle: only linear models behind a plain vectoriser and nets of "
        "fit_text_net do.",
        "Save the pipeline with joblib.dump and write a card (TOML) that names it; see docs/targets.md.",
    )


def _settings(encoder: NoteEncoder) -> dict[str, Any]:
    v = encoder.vectoriser
    params = {k: p for k, p in v.get_params().items() if k not in ("vocabulary", *FUNCTIONS)}
    params["dtype"] = np.dtype(v.dtype).name
    if params.get("stop_words") is not None and not isinstance(params["stop_words"], str):
        params["stop_words"] = sorted(params["stop_words"])
    terms = None
    if not encoder.hashed:
        terms = sorted(v.vocabulary_, key=v.vocabulary_.__getitem__)
    return {"type": type(v).__name__, "params": params, "vocabulary": terms}


def _linear(about: dict[str, Any], numbers: Numbers, decision: Decision, name: str) -> NoteTarget:
    from sklearn.feature_extraction import text

    said = about["vectoriser"]
    kinds = ("CountVectorizer", "TfidfVectorizer", "HashingVectorizer")
    if said["type"] not in kinds:
        raise ValueError(f"a vectoriser {said['type']!r}")
    params = {**said["params"], "dtype": np.dtype(said["params"]["dtype"]).type}
    params["ngram_range"] = tuple(params["ngram_range"])
    if said["vocabulary"] is not None:
        params["vocabulary"] = {term: i for i, term in enumerate(said["vocabulary"])}
    vectoriser = getattr(text, said["type"])(**params)
    weightings = [
        Weighting(bool(sub), numbers[f"idf{i}"] if idf else None, norm)
        for i, (sub, idf, norm) in enumerate(about["weightings"])
    ]
    if said["type"] == "TfidfVectorizer" and weightings[0].idf is not None:
        vectoriser.idf_ = weightings[0].idf
    steps: list[Any] = [vectoriser]
    for w in weightings[1:]:
        step = text.TfidfTransformer(norm=w.norm, use_idf=w.idf is not None, sublinear_tf=w.sublinear)
        if w.idf is not None:
            step.idf_ = w.idf
        steps.append(step)
    form = LinearForm(numbers["weight"], numbers["bias"])
    return NoteTarget(Vectorised([*steps, form], decision, name), decision, name=name)


def _net(about: dict[str, Any], numbers: Numbers, decision: Decision, name: str) -> NoteTarget:
    import torch

    from nocere.targets.notes.nets import TextNet, net_target
    from nocere.targets.notes.tokens import Tokens

    width, outputs = numbers["embedding.weight"].shape[1], len(numbers["head.bias"])
    filters = len(numbers["hidden.bias"])
    reader = Tokens.from_json(about["tokens"])
    module = TextNet(about["arch"], len(reader.vocabulary) + 2, outputs, width=width, filters=filters)
    module.load_state_dict({k: torch.from_numpy(v) for k, v in numbers.items()})
    return net_target(module, reader, decision, name=name)
