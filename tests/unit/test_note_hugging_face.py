"""Sequence classifiers of transformers from a local folder: a tiny BERT and RoBERTa with random weights, made here."""

from __future__ import annotations

import pickle
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.noted import LABELS, texts, variant

from nocere.core.batch import Batch
from nocere.core.decision import OneLogit, Softmax
from nocere.core.errors import TargetError
from nocere.targets.card import load_target
from nocere.targets.notes.hugging_face import hugging_face_target

transformers = pytest.importorskip("transformers", reason="transformers is not installed (the extra: text)")
pytestmark = pytest.mark.filterwarnings("ignore")

DECISION = Softmax(LABELS)
LONGEST = 64
UNKNOWN = "[UNK]"


def made(folder: Path, kind: str = "bert", outputs: int = 2) -> Path:
    """A folder as save_pretrained leaves it."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    words = sorted({w.strip(".:").lower() for t in texts(20, 0) for w in t.split()})
    vocabulary = {t: i for i, t in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words, ".", ":"])}
    raw = Tokenizer(models.WordPiece(vocabulary, unk_token=UNKNOWN))
    raw.normalizer = normalizers.Lowercase()
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    raw.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    )
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=raw, **special).save_pretrained(folder)
    size: dict[str, Any] = {
        "vocab_size": len(vocabulary), "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 32, "num_labels": outputs, "pad_token_id": 0,
        "max_position_embeddings": LONGEST + (kind == "roberta"),
    }  # fmt: skip
    config, model = {
        "bert": (transformers.BertConfig, transformers.BertForSequenceClassification),
        "roberta": (transformers.RobertaConfig, transformers.RobertaForSequenceClassification),
    }[kind]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = model(config(**size))
        for p in net.parameters():
            p.data += 0.3 * torch.randn_like(p)
    net.save_pretrained(folder)
    return folder


def scores(model: Any, rows: list[str]) -> Any:
    return model.scores(Batch(rows, (None,) * len(rows)))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_scores_are_those_of_the_model_on_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    folder = made(tmp_path, kind)

    def refuse(*_: Any) -> None:
        raise AssertionError("a local folder must not reach for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    model = hugging_face_target(folder, DECISION)
    rng = np.random.default_rng(0)
    rows = [variant(t, rng, 2)[: 40 * (1 + i % 8)] for i, t in enumerate(texts(24, 2))] + ["pain", "", "pain " * 500]
    got = scores(model, rows)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    for i, row in enumerate(rows):
        with torch.inference_mode():
            read = tokenizer(row, return_tensors="pt", truncation=True, max_length=LONGEST)
            wanted = theirs(input_ids=read["input_ids"], attention_mask=read["attention_mask"]).logits[0].numpy()
        np.testing.assert_allclose(got[i], wanted, atol=1e-5)
    for part in ([0], [5, 17, 26], list(range(9))):
        np.testing.assert_array_equal(got[part], scores(model, [rows[i] for i in part]))
    assert np.ptp(got[:, 0]) > 0.01


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_weights_of_words_are_derivatives_by_their_embeddings(tmp_path: Path, kind: str) -> None:
    model: Any = hugging_face_target(made(tmp_path, kind), DECISION)
    text = "Patient reports low back pain. denies alcohol abuse"
    z, pullback = model.vjp(Batch([text], (None,)))  # type: ignore[arg-type]
    np.testing.assert_array_equal(z.numpy(), scores(model, [text]))
    (g,) = pullback(torch.tensor([[-1.0, 1.0]], dtype=torch.float64))
    assert [text[a:b] for a, b in g.spans] == [
        "Patient",
        "reports",
        "low",
        "back",
        "pain",
        ".",
        "denies",
        "alcohol",
        "abuse",
    ]
    module = pickle.loads(pickle.dumps(model.model.module)).double()
    ids, _ = model.model.reader(text)
    embedded = module.embed(torch.tensor([ids]))
    ones = torch.ones(1, len(ids))
    for k in range(len(g.weights)):
        ends = []
        for step in (1e-5, -1e-5):
            shrunk = embedded.clone()
            shrunk[0, k + 1] *= 1 + step
            out = module(shrunk, ones)[0]
            ends.append(float(out[1] - out[0]))
        assert g.weights[k] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-3, abs=1e-4)
    assert g.gain(["abuse", "", "opioid use"]).shape == (3,) and g.gain([""])[0] == 0.0


def test_cards_copies_and_fingerprints(tmp_path: Path) -> None:
    made(tmp_path / "one")
    made(tmp_path / "two", outputs=3)
    card = tmp_path / "card.toml"
    card.write_text(
        "[target]\nkind = 'notes'\nweights = 'one'\n[decision]\nkind = 'softmax'\nlabels = ['none', 'flag']\n"
    )
    model: Any = load_target(card)
    copy = pickle.loads(pickle.dumps(model))
    assert (
        copy.state() == model.state()
        and model.fingerprint == hugging_face_target(tmp_path / "one", DECISION).fingerprint
    )
    np.testing.assert_array_equal(scores(copy, ["back pain"]), scores(model, ["back pain"]))
    assert hugging_face_target(tmp_path / "two", Softmax(("a", "b", "c"))).fingerprint != model.fingerprint


def test_folders_that_are_no_classifiers(tmp_path: Path) -> None:
    folder = made(tmp_path / "a")
    with pytest.raises(TargetError, match=r"has 2 logits, but its decision OneLogit reads 1 column"):
        hugging_face_target(folder, OneLogit(LABELS))
    with pytest.raises(TargetError, match=r"holds no config\.json"):
        hugging_face_target(tmp_path, DECISION)
    base = made(tmp_path / "b")
    transformers.BertModel.from_pretrained(base).save_pretrained(base)
    config = (folder / "config.json").read_text()
    (base / "config.json").write_text(config)
    with pytest.raises(TargetError, match=r"holds no weights for 'classifier\.bias'"):
        hugging_face_target(base, DECISION)
    net = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(TargetError, match="is not a sequence classifier with safetensors weights"):
        hugging_face_target(folder, DECISION)
    torch.save(net.state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(TargetError, match="is not a sequence classifier with safetensors weights"):
        hugging_face_target(folder, DECISION)
    (folder / "model.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(TargetError, match="is not a sequence classifier with safetensors weights"):
        hugging_face_target(folder, DECISION)
