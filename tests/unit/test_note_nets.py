"""Nets on notes and models on notes as files: rows alone, gradients against finite differences, cards, damage."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from tests.noted import DECISION, LABELS, labels, notes, texts, variant

from nocere.cases.note import note_case
from nocere.core.batch import Batch
from nocere.core.case import Truth
from nocere.core.decision import Softmax
from nocere.core.errors import TargetError
from nocere.targets.card import load_target
from nocere.targets.notes.files import MODEL, NUMBERS, write_note_target
from nocere.targets.notes.nets import ARCHITECTURES, fit_text_net
from nocere.targets.notes.target import NoteTarget, note_target
from nocere.targets.notes.tokens import Tokens

TRAIN = notes(300, 0)
NETS: dict[str, NoteTarget] = {}


def net(arch: str) -> NoteTarget:
    if arch not in NETS:
        NETS[arch] = fit_text_net(TRAIN, LABELS, 3, arch=arch)
    return NETS[arch]


def scores(model: Any, rows: list[str]) -> Any:
    return model.scores(Batch(rows, (None,) * len(rows)))


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_nets_learn_and_are_the_same_again(arch: str) -> None:
    model = net(arch)
    held = notes(150, 9)
    told = scores(model, [c.x for c in held])[:, 0] > 0
    flagged = np.array([c.truth.label == "flag" for c in held])
    assert np.mean(told == flagged) > max(flagged.mean(), 1 - flagged.mean()) + 0.05
    before = torch.get_rng_state(), torch.get_num_threads()
    again = fit_text_net(TRAIN, LABELS, 3, arch=arch)
    assert again.fingerprint == model.fingerprint
    assert torch.equal(torch.get_rng_state(), before[0]) and torch.get_num_threads() == before[1]
    assert fit_text_net(TRAIN, LABELS, 4, arch=arch).fingerprint != model.fingerprint
    copy = pickle.loads(pickle.dumps(model))
    assert copy.state() == model.state()
    np.testing.assert_array_equal(scores(copy, [held[0].x]), scores(model, [held[0].x]))


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_no_row_depends_on_the_others(arch: str) -> None:
    model, rng = net(arch), np.random.default_rng(0)
    rows = [variant(t, rng, 2) * (1 + i % 4) for i, t in enumerate(texts(40, 2))] + ["", " ", "pain"]
    whole = scores(model, rows)
    assert np.isfinite(whole).all()
    for part in ([0], [41], [5, 17, 33], list(range(20))):
        np.testing.assert_array_equal(whole[part], scores(model, [rows[i] for i in part]))
    z, _ = model.vjp(Batch(rows, (None,) * len(rows)))
    np.testing.assert_array_equal(z.numpy(), whole)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_weights_of_tokens_are_derivatives_by_their_strengths(arch: str) -> None:
    model: Any = net(arch)
    text = " ".join(dict.fromkeys(texts(1, 8)[0].split()))  # a word that stands twice would share a maximum
    z, pullback = model.vjp(Batch([text, "", text], (None, None, None)))
    g, empty, twice = pullback(torch.tensor([[1.0], [1.0], [2.0]], dtype=torch.float64))
    assert empty.size == 0.0 and empty.spans.shape == (0, 2) and empty.gain(["pain"]).shape == (1,)
    np.testing.assert_allclose(twice.weights, 2 * g.weights, rtol=1e-5, atol=1e-7)
    ids, spans = model.model.reader(text)
    np.testing.assert_array_equal(g.spans, spans)
    module = pickle.loads(pickle.dumps(model.model.module)).double()
    embedded = module.embed(torch.tensor([ids]))
    assert float(module(embedded, torch.ones(1, len(ids), dtype=torch.float64))) == pytest.approx(float(z[0]), abs=1e-4)
    for k in range(0, len(ids), 7):
        step = torch.zeros(1, len(ids), dtype=torch.float64)
        step[0, k] = 1e-6
        up, down = (float(module(embedded, 1 + sign * step)) for sign in (1, -1))
        assert g.weights[k] == pytest.approx((up - down) / 2e-6, rel=1e-3, abs=1e-4)


def test_gain_of_a_mean_of_embeddings_is_the_derivative_of_an_added_token() -> None:
    model: Any = net("embedding_bag")
    text = texts(1, 8)[0]
    _, pullback = model.vjp(Batch([text], (None,)))
    (g,) = pullback(torch.ones(1, 1, dtype=torch.float64))
    module = pickle.loads(pickle.dumps(model.model.module)).double()
    ids, _ = model.model.reader(text)
    for word in ("abuse", "walks", "unheard"):
        embedded = module.embed(torch.tensor([[*ids, *model.model.reader(word)[0]]]))
        strength = torch.ones(1, len(ids) + 1, dtype=torch.float64)
        found = []
        for s in (1e-6, 0.0):
            strength[0, -1] = s
            found.append(float(module(embedded, strength)))
        assert g.gain([word])[0] == pytest.approx((found[0] - found[1]) / 1e-6, rel=1e-3, abs=1e-5)
    assert g.gain(["", "abuse abuse"])[0] == 0.0
    assert g.gain(["abuse abuse"])[0] == pytest.approx(2 * g.gain(["abuse"])[0], rel=1e-5)


def test_three_labels_and_what_cannot_be_learnt() -> None:
    three = [note_case(f"n{i}", t, Truth.of("abc"[i % 3])) for i, t in enumerate(texts(30, 0))]
    model = fit_text_net(three, ("a", "b", "c"), 0, epochs=1)
    assert isinstance(model.decision, Softmax) and scores(model, ["x"]).shape == (1, 3)
    with pytest.raises(TargetError, match="The label of note n0 is none of p, q"):
        fit_text_net(three, ("p", "q"), 0)
    with pytest.raises(TargetError, match="no notes to learn from"):
        fit_text_net([], ("p", "q"), 0)
    with pytest.raises(TargetError, match="one of embedding_bag, cnn; got 'bert'"):
        fit_text_net(three, ("a", "b", "c"), 0, arch="bert")
    with pytest.raises(TargetError, match="No token stands in 2 of these notes"):
        fit_text_net([note_case("n", "pain", Truth.of("a"))], ("a", "b"), 0)


def test_tokens_and_their_places() -> None:
    tokens = Tokens.learn(["Pain, pain 5mg.", "pain ache."], least=1)
    assert tokens.vocabulary == (".", "pain", ",", "5mg", "ache")
    assert tokens("PAIN. \u00c4") == ([3, 2, 1], [(0, 4), (4, 5), (6, 7)])
    assert Tokens(("a",), most=2)("a b a") == ([2, 1], [(0, 1), (2, 3)])
    assert Tokens.from_json(tokens.to_json()).to_json() == tokens.to_json()


# Files


def linear() -> dict[str, NoteTarget]:
    rows, y = [c.x for c in TRAIN], labels([c.x for c in TRAIN])
    made = {
        "tfidf": make_pipeline(TfidfVectorizer(ngram_range=(1, 2), stop_words=["of", "no"]), LogisticRegression()),
        "transformer": make_pipeline(CountVectorizer(), TfidfTransformer(sublinear_tf=True), LogisticRegression()),
        "hashing": make_pipeline(HashingVectorizer(n_features=128), LogisticRegression()),
        "pieces": make_pipeline(TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 3)), LogisticRegression()),
    }
    return {k: note_target(p.fit(rows, y), None, DECISION, name=k) for k, p in made.items()}


@pytest.mark.parametrize("make", ["tfidf", "transformer", "hashing", "pieces", *ARCHITECTURES])
def test_models_come_back_from_their_files(tmp_path: Path, make: str) -> None:
    model = net(make) if make in ARCHITECTURES else linear()[make]
    card = write_note_target(model, tmp_path / "made")
    again: Any = load_target(card)
    rng = np.random.default_rng(0)
    rows = [variant(TRAIN[0].x, rng, 2) for _ in range(20)]
    np.testing.assert_array_equal(scores(again, rows), scores(model, rows))
    assert again.fingerprint == model.fingerprint and again.name == model.name
    assert again.decision == model.decision and "gradients" in again.access
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o700


def test_files_that_are_damaged_or_of_another_kind(tmp_path: Path) -> None:
    card = write_note_target(linear()["tfidf"], tmp_path / "a")
    write_note_target(linear()["hashing"], tmp_path / "b")
    good = (tmp_path / "a" / MODEL).read_bytes()
    for bad, said in (
        (b"{", "JSONDecodeError"),
        (b'{"schema":2}', "schema 2"),
        (b"{}", "KeyError"),
        (good.replace(b"TfidfVectorizer", b"EvilVectorizer"), "a vectoriser 'EvilVectorizer'"),
    ):
        (tmp_path / "a" / MODEL).write_bytes(bad)
        with pytest.raises(TargetError, match=f"model.json is not a model on notes .*{said}"):
            load_target(card)
    (tmp_path / "a" / MODEL).write_bytes(good)
    (tmp_path / "a" / NUMBERS).write_bytes((tmp_path / "b" / NUMBERS).read_bytes())
    with pytest.raises(TargetError, match=r"model.npz is another file than the one"):
        load_target(card)
    (tmp_path / "a" / NUMBERS).unlink()
    with pytest.raises(TargetError, match=r"is not a model on notes .*FileNotFoundError"):
        load_target(card)


def test_pipelines_as_pickles_need_trust(tmp_path: Path) -> None:
    rows, y = [c.x for c in TRAIN], labels([c.x for c in TRAIN])
    pipeline = make_pipeline(TfidfVectorizer(), RandomForestClassifier(5, random_state=0)).fit(rows, y)
    forest = note_target(pipeline, None, DECISION)
    with pytest.raises(TargetError, match="has no form without a pickle"):
        write_note_target(forest, tmp_path)
    joblib.dump(pipeline, tmp_path / "p.joblib")
    card = tmp_path / "card.toml"
    decision = f"[decision]\nkind = 'one_logit'\nlabels = {json.dumps(list(LABELS))}\nthreshold = 0.5\n"
    card.write_text(f"[target]\nkind = 'notes'\nweights = 'p.joblib'\n{decision}")
    with pytest.raises(TargetError, match="is a pickle"):
        load_target(card)
    loaded: Any = load_target(card, trust=True)
    np.testing.assert_array_equal(scores(loaded, rows[:9]), scores(forest, rows[:9]))
    joblib.dump({"a": 1}, tmp_path / "p.joblib")
    with pytest.raises(TargetError, match="does not know how to ask a dict about a text"):
        load_target(card, trust=True)
    card.write_text(f"[target]\nkind = 'notes'\n{decision}")
    with pytest.raises(TargetError, match="weights is missing"):
        load_target(card)
