"""Models on notes: scikit-learn itself as the oracle of every encoding, gradients against finite differences, errors."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from tests.noted import DECISION, LABELS, labels, notes, texts, variant

from nocere.cases.note import note_case
from nocere.core.batch import Batch
from nocere.core.decision import MultiLabel, OneLogit, Softmax
from nocere.core.errors import TargetError
from nocere.core.registry import get
from nocere.targets.notes.analysis import Words
from nocere.targets.notes.differences import stretches
from nocere.targets.notes.encoder import NoteEncoder
from nocere.targets.notes.target import NoteTarget, note_target
from nocere.targets.structure import LinearForm

TRAIN = texts(120, 0)
Y = labels(TRAIN)
SLASHED, SPACED = r"(?u)\b[\w/-]+\b", r"[a-z ]+"
VECTORISERS: dict[str, Any] = {
    "tfidf": TfidfVectorizer(ngram_range=(1, 2)),
    "sublinear": TfidfVectorizer(ngram_range=(1, 3), sublinear_tf=True, norm="l1", stop_words="english"),
    "bigrams": TfidfVectorizer(ngram_range=(2, 2), use_idf=False, strip_accents="unicode", lowercase=False),
    "counts": CountVectorizer(token_pattern=SLASHED),
    "binary": CountVectorizer(ngram_range=(1, 2), binary=True),
    "hashing": HashingVectorizer(n_features=64, ngram_range=(1, 2)),
    "hashing binary": HashingVectorizer(n_features=64, binary=True, norm=None),
    "word pieces": TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4)),
    "characters": TfidfVectorizer(analyzer="char", ngram_range=(1, 3)),
    "own tokenizer": TfidfVectorizer(tokenizer=str.split, token_pattern=None, ngram_range=(1, 2)),
    "ascii": CountVectorizer(strip_accents="ascii"),
    "pattern over blanks": CountVectorizer(token_pattern=SPACED),
    "float32": TfidfVectorizer(dtype=np.float32),
}
LOCAL = {"tfidf", "sublinear", "bigrams", "counts", "binary", "hashing", "hashing binary", "word pieces", "float32"}
FITTED = {k: v.fit(TRAIN) for k, v in VECTORISERS.items()}
TEXTS = st.text(st.sampled_from("aAb Zz09-.\n\t\u00e9\u0301\u03a3\u0130\u00a0\u2028/"), max_size=60)


def target(make: str = "tfidf", model: Any = None, decision: Any = DECISION) -> NoteTarget:
    v = VECTORISERS[make]
    made: NoteTarget = note_target((model or LogisticRegression()).fit(v.transform(TRAIN), Y), v, decision)
    return made


def scores(model: Any, rows: list[str], base: str | None = None) -> Any:
    like = note_case("n", base) if base is not None else None
    return model.scores(Batch(rows, (like,) * len(rows)))


@given(a=TEXTS, b=TEXTS)
@settings(max_examples=300)
def test_everything_outside_of_the_stretches_is_equal(a: str, b: str) -> None:
    pieces, i, j = [], 0, 0
    for a0, a1, b0, b1 in stretches(a, b):
        assert (a0, b0) >= (i, j) and a[i:a0] == b[j:b0]
        pieces += [a[i:a0], b[b0:b1]]
        i, j = a1, b1
    assert a[i:] == b[j:]
    assert "".join([*pieces, a[i:]]) == b


def test_a_long_note_with_edits_far_apart_has_short_stretches() -> None:
    note = " ".join(f"word{i}" for i in range(400))
    edited = note.replace("word20 ", "ache ").replace("word200 ", "").replace("word390", "word390 more")
    found = stretches(note, edited)
    assert len(found) == 3 and max(a1 - a0 for a0, a1, _, _ in found) < 40


@pytest.mark.parametrize("make", VECTORISERS)
@given(a=TEXTS, b=TEXTS, seed=st.integers(0, 2**32 - 1), edits=st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_rows_of_variants_are_those_of_scikit_learn_bit_for_bit(
    make: str, a: str, b: str, seed: int, edits: int
) -> None:
    vectoriser, encoder = FITTED[make], NoteEncoder(FITTED[make])
    assert (encoder.words is not None) == (make in LOCAL)
    rng = np.random.default_rng(seed)
    base = TRAIN[seed % 50]
    rows, bases = [base, a], [base, base]
    rows += [variant(base, rng, edits) for _ in range(3)] + [b, variant(b, rng, edits), base]
    bases += [base] * 3 + [a, b, a]
    mine, theirs = encoder.rows(rows, bases), sp.csr_array(vectoriser.transform(rows))
    theirs.eliminate_zeros()
    np.testing.assert_array_equal(mine.indptr, theirs.indptr)
    np.testing.assert_array_equal(mine.indices, theirs.indices)
    np.testing.assert_array_equal(mine.data, theirs.data)
    assert mine.dtype == (np.float32 if make == "float32" else np.float64)
    # Asked again, what was remembered of the notes changes nothing.
    np.testing.assert_array_equal(encoder.rows(rows, bases).data, mine.data)
    np.testing.assert_array_equal(encoder.rows(rows).data, mine.data)


@pytest.mark.parametrize("words", [(1, 1), (1, 2), (2, 3), (4, 4)])
def test_edits_that_one_n_gram_can_reach_are_one_change(words: tuple[int, int]) -> None:
    vectoriser = CountVectorizer(ngram_range=words)
    parts = [
        "ache",
        "electroencephalography",
        "pain",
        "cholecystolithotomy",
        "cough",
        "of",
        "hyperparathyroidism",
        "x1",
    ]
    base = " ".join(parts * 3)
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(200):
        drawn = base.split()
        for i in rng.choice(len(drawn), 5, replace=False):
            drawn[i] = str(rng.choice(["lumbago", "", "pain ache", "x1"]))
        rows.append(" ".join(drawn))
    encoder = NoteEncoder(vectoriser.fit([base, *rows]))
    np.testing.assert_array_equal(encoder.counts(rows, [base] * 200).toarray(), vectoriser.transform(rows).toarray())


class _Counted:
    """A model that tells how many rows it was asked about."""

    classes_ = np.array(LABELS)

    def __init__(self) -> None:
        self.asked: list[int] = []

    def fit(self, x: Any, y: Any) -> _Counted:
        return self

    def decision_function(self, x: Any) -> Any:
        self.asked.append(x.shape[0])
        return np.asarray(x.sum(axis=1)).ravel()


def test_models_whose_last_bit_may_depend_on_the_number_of_rows_hear_always_the_same_number() -> None:
    counted = _Counted()
    model = note_target(counted, FITTED["counts"], DECISION)
    np.testing.assert_array_equal(
        scores(model, TRAIN[:40])[:, 0], FITTED["counts"].transform(TRAIN[:40]).toarray().sum(1)
    )
    assert counted.asked == [32, 32]


MODELS: dict[str, Any] = {
    "logistic": LogisticRegression(),
    "svm": LinearSVC(),
    "bayes": MultinomialNB(),
    "tree": DecisionTreeClassifier(max_depth=4, random_state=0),
    "forest": RandomForestClassifier(20, random_state=0),
    "net": MLPClassifier((16,), max_iter=20, random_state=0, tol=1.0),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("make", MODELS)
def test_scores_are_the_models_own_and_no_row_depends_on_the_others(make: str) -> None:
    pipeline = make_pipeline(CountVectorizer(ngram_range=(1, 2)), TfidfTransformer(), MODELS[make]).fit(TRAIN, Y)
    model = note_target(pipeline, None, DECISION)
    rng = np.random.default_rng(1)
    rows = [variant(TRAIN[0], rng, 1 + i % 3) for i in range(70)]
    got = scores(model, rows, TRAIN[0])
    if make in ("logistic", "svm"):
        np.testing.assert_array_equal(got[:, 0], pipeline.decision_function(rows))
    else:
        p = np.clip(pipeline.predict_proba(rows)[:, 1], 1e-12, 1 - 1e-12)
        np.testing.assert_allclose(got[:, 0], np.log(p / (1 - p)), rtol=1e-9, atol=1e-12)
    for part in ([69], [3, 40], list(range(33))):
        np.testing.assert_array_equal(got[part], scores(model, [rows[i] for i in part], TRAIN[0]))
        np.testing.assert_array_equal(got[part], scores(model, [rows[i] for i in part]))
    assert ("gradients" in model.access) == (make in ("logistic", "svm"))


def test_steps_between_are_asked_as_they_are() -> None:
    pipeline = make_pipeline(TfidfVectorizer(), TruncatedSVD(5, random_state=0), LogisticRegression()).fit(TRAIN, Y)
    model = note_target(pipeline, None, DECISION)
    np.testing.assert_allclose(scores(model, TRAIN[:40])[:, 0], pipeline.decision_function(TRAIN[:40]), atol=1e-9)
    np.testing.assert_array_equal(scores(model, TRAIN[:40])[7:8], scores(model, TRAIN[7:8]))
    assert model.access == {"labels", "scores"}


def test_three_classes_findings_scorecards_and_functions() -> None:
    three = np.array(["a", "b", "c"])[np.arange(len(TRAIN)) % 3]
    v = FITTED["tfidf"]
    x = v.transform(TRAIN)
    softmax = note_target(LogisticRegression().fit(x, three), v, Softmax(("a", "b", "c")))
    wanted = Softmax(("a", "b", "c")).margins(np.log(LogisticRegression().fit(x, three).predict_proba(x)))
    np.testing.assert_allclose(softmax.decision.margins(scores(softmax, TRAIN)), wanted, atol=1e-9)
    both = np.stack([Y, 1 - Y], axis=1)
    findings = OneVsRestClassifier(LogisticRegression()).fit(x, both)
    multi = note_target(findings, v, MultiLabel(("p", "q"), (0.5, 0.5)))
    np.testing.assert_allclose(scores(multi, TRAIN), findings.decision_function(x), atol=1e-9)
    card = note_target(LinearForm(np.ones((v.get_feature_names_out().size, 1)), np.array([-3.0])), v, DECISION)
    np.testing.assert_allclose(scores(card, TRAIN)[:, 0], np.asarray(x.sum(axis=1)).ravel() - 3.0)
    function = note_target(lambda ts: [len(t) / 1000 for t in ts], None, DECISION)
    assert np.isfinite(scores(function, ["a", "abc"])).all()
    assert get("target", "notes").make is note_target


@pytest.mark.parametrize("make", [k for k in VECTORISERS if k in LOCAL and k != "float32"])
def test_fingerprints_states_and_copies(make: str) -> None:
    model = target(make)
    rows = [variant(TRAIN[3], np.random.default_rng(i), 2) for i in range(9)]
    whole = scores(model, rows, TRAIN[3])
    before = model.state()
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(scores(again, rows, TRAIN[3]), whole)
    assert again.state() == before == model.state() and again.fingerprint == model.fingerprint
    assert target(make).fingerprint == model.fingerprint
    other = target(make, LogisticRegression(C=0.5))
    assert other.fingerprint != model.fingerprint
    assert note_target(model.model._model, VECTORISERS[make], OneLogit(LABELS, 0.3)).fingerprint != model.fingerprint


def test_settings_that_change_rows_change_fingerprints() -> None:
    one = NoteEncoder(CountVectorizer(vocabulary=["pain", "ache"])).about()
    for other in (
        CountVectorizer(vocabulary=["ache", "pain"]),
        CountVectorizer(vocabulary=["pain", "ache"], binary=True),
        CountVectorizer(vocabulary=["pain", "ache"], stop_words=["pain"]),
        CountVectorizer(vocabulary=["pain", "ache"], tokenizer=str.split, token_pattern=None),
    ):
        assert NoteEncoder(other).about() != one
    assert Words.of(CountVectorizer(preprocessor=str.upper)) is None


# Gradients


def _strengths(model: NoteTarget, text: str, spans: Any, strength: Any) -> float:
    """The score with tokens of less strength: n-grams counted by the product of their tokens' strengths."""
    encoder, words = model.model.encoder, model.model.encoder.words
    tokens = [
        t.text
        for a in [words.analysed(text)]
        for s, e in zip(a.starts, a.ends, strict=True)
        for t in words.placed(text[s:e])
    ]
    assert len(tokens) == len(spans)
    row = np.zeros(encoder.width)
    for n in range(words.low, words.high + 1):
        for i in range(len(tokens) - n + 1):
            ((column, sign),) = encoder.columns([" ".join(tokens[i : i + n])])
            if column >= 0:
                row[column] += sign * np.prod(strength[i : i + n])
    x = sp.csr_array(row[None])
    for w in model.model.weightings:
        w.apply(x)
    return float((x @ model.model.form.weight + model.model.form.bias)[0, 0])


@pytest.mark.parametrize("make", ["tfidf", "bigrams", "counts", "hashing", "word pieces"])
def test_weights_of_words_are_derivatives(make: str) -> None:
    model = target(make)
    text = TRAIN[5] + " lumbago of the abuse"
    z, pullback = model.vjp(Batch([text], (note_case("n", text),)))
    (g,) = pullback(np_tensor([[2.0]]))
    assert z.shape == (1, 1) and g.size == np.abs(g.weights).max() > 0
    assert float(z[0, 0]) == scores(model, [text])[0, 0]
    ones = np.ones(len(g.weights))
    step = 1e-5
    for k in range(0, len(ones), 4):
        less = ones.copy()
        less[k] -= step
        more = ones.copy()
        more[k] += step
        slope = (_strengths(model, text, g.spans, more) - _strengths(model, text, g.spans, less)) / (2 * step)
        assert g.weights[k] == pytest.approx(2.0 * slope, rel=1e-4, abs=1e-7)
    assert text[slice(*g.spans[0])] == ("HPI:" if make == "word pieces" else "HPI")


def test_gain_is_the_derivative_of_an_added_fragment() -> None:
    model = target("counts")
    text = TRAIN[5]
    _, pullback = model.vjp(Batch([text], (None,)))  # type: ignore[arg-type]
    (g,) = pullback(np_tensor([[1.0]]))
    base = scores(model, [text])[0, 0]
    for new in ("abuse", "opioid use", "nonsense", ""):
        # Counts without weights are linear, so there first order is all.
        assert g.gain([new])[0] == pytest.approx(scores(model, [f"{text} . {new}"])[0, 0] - base, abs=1e-9)
    np.testing.assert_allclose(g.gain(["abuse", "daily"]), [g.gain(["abuse"])[0], g.gain(["daily"])[0]])
    tfidf = target("tfidf")
    _, pullback = tfidf.vjp(Batch([text], (None,)))  # type: ignore[arg-type]
    (g,) = pullback(np_tensor([[1.0]]))
    rise = [scores(tfidf, [f"{text} {w}"])[0, 0] for w in ("abuse", "sleeps")]
    assert (g.gain(["abuse"])[0] > g.gain(["sleeps"])[0]) == (rise[0] > rise[1])


def test_where_only_presence_counts_copies_share_and_add_nothing() -> None:
    model = note_target(
        LinearForm(np.array([[3.0]]), np.zeros(1)), CountVectorizer(vocabulary=["pain"], binary=True), DECISION
    )
    _, pullback = model.vjp(Batch(["pain pain x", "x"], (None, None)))  # type: ignore[arg-type]
    twice, none = pullback(np_tensor([[1.0], [1.0]]))
    assert twice.weights.tolist() == [1.5, 1.5] and twice.gain(["pain"]).tolist() == [0.0]
    assert none.weights.tolist() == [] and none.size == 0.0 and none.gain(["pain", "x"]).tolist() == [3.0, 0.0]


def np_tensor(values: Any) -> Any:
    import torch

    return torch.tensor(values, dtype=torch.float64)


# What is refused


@pytest.mark.parametrize(
    ("model", "encoder", "decision", "said"),
    [
        (LogisticRegression(), TfidfVectorizer(), DECISION, "its vectoriser is not fitted"),
        (LogisticRegression(), CountVectorizer(), DECISION, "its vectoriser is not fitted"),
        (LogisticRegression(), FITTED["tfidf"], DECISION, "its LogisticRegression is not fitted"),
        (LinearRegression(), FITTED["tfidf"], DECISION, "neither predict_proba nor decision_function"),
        (3, None, DECISION, "does not know how to ask a int about a text"),
        (LogisticRegression, None, DECISION, "does not know how to ask a type about a text"),
        (make_pipeline(TfidfVectorizer()), None, DECISION, "needs a vectoriser and a classifier"),
        (LogisticRegression(), TruncatedSVD(), DECISION, "does not know how a TruncatedSVD reads a note"),
        (LogisticRegression(), CountVectorizer(input="filename"), DECISION, "its vectoriser reads 'filename'"),
        (LinearForm(np.ones((3, 1)), np.zeros(1)), FITTED["tfidf"], DECISION, "wants 3 features; its vectoriser makes"),
        (LinearForm(np.full((64, 1), np.nan), np.zeros(1)), FITTED["hashing"], DECISION, "weights that are not finite"),
    ],
)
def test_models_that_cannot_be_asked(model: Any, encoder: Any, decision: Any, said: str) -> None:
    with pytest.raises(TargetError, match=said):
        note_target(model, encoder, decision)


def test_heads_and_labels_that_do_not_fit() -> None:
    v = FITTED["tfidf"]
    two = LogisticRegression().fit(v.transform(TRAIN), np.array(["none", "flag"])[Y])
    with pytest.raises(TargetError, match=r"knows 2 classes \(flag, none\), but its decision Softmax reads 3 column"):
        note_target(two, v, Softmax(("a", "b", "c")))
    with pytest.raises(TargetError, match="its classes are flag, none; the labels are none, flag"):
        note_target(two, v, DECISION)
    with pytest.raises(TargetError, match=r"returned scores of shape \(2, 1\) for 2 rows, .* reads 3 column"):
        scores(
            note_target(LinearForm(np.ones((64, 1)), np.zeros(1)), FITTED["hashing"], Softmax(("a", "b", "c"))),
            ["a", "b"],
        )
    with pytest.raises(TargetError, match="takes notes, not int"):
        scores(target(), [3])  # type: ignore[list-item]


def test_scores_that_are_no_numbers_cost_their_case_alone() -> None:
    """The engine fails a case whose score is NaN; the target hands it over as it is."""
    model = note_target(lambda ts: [np.nan if "x" in t else 1.0 for t in ts], None, DECISION, outputs="logits")
    assert np.isnan(scores(model, ["a", "x"])[:, 0]).tolist() == [False, True]


def test_notes_of_a_cohort_are_asked_together() -> None:
    cases = notes(9, 4)
    rng = np.random.default_rng(0)
    rows = [variant(c.x, rng, 1) for c in cases for _ in range(3)]
    like = tuple(c for c in cases for _ in range(3))
    order = rng.permutation(len(rows))
    model = target()
    whole = model.scores(Batch([rows[i] for i in order], tuple(like[i] for i in order)))
    np.testing.assert_array_equal(whole, scores(model, [rows[i] for i in order]))
