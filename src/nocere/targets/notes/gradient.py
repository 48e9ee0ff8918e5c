"""WordGradient: what each word of a note contributes to a score, to first order, and what further words would."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.targets.notes.encoder import NoteEncoder, Sparse, Weighting


@dataclass(frozen=True, slots=True, eq=False)
class WordGradient:
    """The gradient of a weighted score with respect to the strengths of a note's tokens, which are 1.

    `spans` [k, 2] are the tokens' characters (from, to); `weights` [k] is how much the score falls, to first order, if
    the token's strength falls to zero: what the token contributes. An n-gram counts for each of its tokens.
    """

    spans: NDArray[np.int64]
    weights: NDArray[np.float64]
    added: Callable[[Sequence[str]], NDArray[np.float64]]

    @property
    def size(self) -> float:
        """The largest absolute weight; 0 for a note without tokens."""
        return float(np.abs(self.weights).max()) if self.weights.size else 0.0

    def gain(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """How much the score rises, to first order, if the tokens of each text were added to the note [n]."""
        return self.added(texts)


def linear_gradient(
    text: str,
    encoder: NoteEncoder,
    weightings: Sequence[Weighting],
    counts: Sparse,
    weight: Callable[[NDArray[np.int64]], NDArray[np.float64]],
) -> WordGradient:
    """The gradient of the weighted sum of a note's values.

    Args:
        text: the note.
        encoder: how it becomes counts.
        weightings: how counts become values.
        counts: its counts, one sparse row.
        weight: columns [m] to the weight of their values [m].
    """
    words = encoder.words
    assert words is not None
    slope = _Slope(weightings, counts, weight)
    binary = encoder.vectoriser.binary
    spans: list[tuple[int, int]] = []
    tokens: list[str] = []
    base = words.analysed(text)
    for start, end in zip(base.starts, base.ends, strict=True):
        for token in words.placed(text[start:end]):
            tokens.append(token.text)
            spans.append((start + token.start, start + token.end))
    at = [(i, n) for n in range(words.low, words.high + 1) for i in range(len(tokens) - n + 1)]
    grams = [" ".join(tokens[i : i + n]) for i, n in at]
    copies = Counter(grams)
    # Where only presence counts, the copies of an n-gram share what it does.
    shares = slope(encoder, grams) / np.array([copies[g] if binary else 1 for g in grams], dtype=np.float64)
    weights = np.zeros(len(tokens))
    for (i, n), share in zip(at, shares.tolist(), strict=True):
        weights[i : i + n] += share

    def added(texts: Sequence[str]) -> NDArray[np.float64]:
        own = [list(words.grams(words.analysed(t).tokens)) for t in texts]
        every = slope(encoder, [g for gs in own for g in gs])
        if binary:
            every *= np.array([g not in copies for gs in own for g in gs], dtype=np.float64)
        return np.array([part.sum() for part in np.split(every, np.cumsum([len(gs) for gs in own])[:-1])])

    return WordGradient(np.array(spans, dtype=np.int64).reshape(-1, 2), weights, added)


class _Slope:
    """The derivative of a weighted sum of values by the count of an n-gram, whether it is in the note or not."""

    def __init__(
        self,
        weightings: Sequence[Weighting],
        counts: Sparse,
        weight: Callable[[NDArray[np.int64]], NDArray[np.float64]],
    ) -> None:
        row = counts.copy()
        self._own = row.indices.astype(np.int64)
        self._weight = weight
        self._steps: list[tuple[Weighting, NDArray[Any], NDArray[Any], float]] = []
        for w in weightings:
            before, raw = row.data.copy(), row.copy()
            Weighting(w.sublinear, w.idf, None).apply(raw)
            w.apply(row)
            self._steps.append((w, before, row.data.copy(), _norm(raw.data, w.norm)))

    def by_column(self, columns: NDArray[np.int64]) -> NDArray[np.float64]:
        """Derivatives [m] by the counts of columns [m]: back through the weightings, the note's own columns beside."""
        own = len(self._own)
        every = np.concatenate([self._own, columns])
        at = np.searchsorted(self._own, columns) if own else np.zeros(len(columns), dtype=np.int64)
        inside = np.zeros(len(columns), dtype=bool)
        if own:
            inside = self._own[np.minimum(at, own - 1)] == columns
        slope = self._weight(every)
        for w, before, after, size in reversed(self._steps):
            value = np.concatenate([after, np.zeros(len(columns))])
            count = np.concatenate([before, np.ones(len(columns))])
            value[own:][inside], count[own:][inside] = after[at[inside]], before[at[inside]]
            if w.norm is not None:
                along = value if w.norm == "l2" else np.sign(value)
                slope = (slope - (slope[:own] @ after) * along) / size
            if w.idf is not None:
                slope = slope * w.idf[every]
            if w.sublinear:
                slope = slope / np.maximum(np.abs(count), 1.0)
        return np.asarray(slope[own:], dtype=np.float64)

    def __call__(self, encoder: NoteEncoder, grams: Sequence[str]) -> NDArray[np.float64]:
        """Derivatives [m] by the number of times that n-grams [m] stand in the note; 0 for unknown ones."""
        found = np.array(encoder.columns(grams), dtype=np.int64).reshape(-1, 2)
        known = found[:, 0] >= 0
        out = np.zeros(len(grams))
        if known.any():
            out[known] = self.by_column(found[known, 0]) * found[known, 1]
        return out


def _norm(values: NDArray[Any], norm: str | None) -> float:
    if norm is None:
        return 1.0
    size = float(np.sqrt((values**2).sum()) if norm == "l2" else np.abs(values).sum())
    return size or 1.0
