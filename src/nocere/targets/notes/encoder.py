"""Notes as sparse rows, as a fitted vectoriser of scikit-learn makes them; variants of a note as changes of its row.

Counts are whole numbers: those of a variant are the note's own counts plus what the words near its edits change, which
is exact. From counts to values the arithmetic is the vectoriser's, entry by entry in the same order, so a variant's row
is the same bit for bit as one that was made from its text alone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from nocere.core.canonical import digest, sha256
from nocere.core.errors import TargetError
from nocere.targets.notes.analysis import Analysed, Words

KEPT = 1_000_000  # characters of notes that are remembered taken apart
EDITS = 1 << 12  # of a note, that are remembered
SEEN = 1 << 18  # n-grams whose column is remembered

Sparse: TypeAlias = Any  # scipy.sparse.csr_array [n, width]


@dataclass(frozen=True, slots=True, eq=False)
class Weighting:
    """From counts to values: logarithm, inverse document frequency, norm of a row ("l1", "l2" or none)."""

    sublinear: bool
    idf: NDArray[Any] | None
    norm: str | None

    def apply(self, x: Sparse) -> None:
        """Weigh rows in place, in the order of operations of scikit-learn's TfidfTransformer."""
        from sklearn.utils.sparsefuncs_fast import inplace_csr_row_normalize_l1, inplace_csr_row_normalize_l2

        if self.sublinear:
            np.log(x.data, x.data)
            x.data += 1.0
        if self.idf is not None:
            x.data *= self.idf[x.indices]
        if self.norm is not None:
            (inplace_csr_row_normalize_l2 if self.norm == "l2" else inplace_csr_row_normalize_l1)(x)

    def about(self) -> list[Any]:
        """What decides the values, for fingerprints."""
        idf = None if self.idf is None else sha256(np.ascontiguousarray(self.idf, dtype="<f8").tobytes())
        return [self.sublinear, idf, self.norm]


@dataclass(frozen=True, slots=True, eq=False)
class _Base:
    """A note taken apart: its words, its columns (ascending) with their counts, and what edits change of these.

    An edit is words (from, to) that become a text. Searches combine the edits that they tried alone before.
    """

    text: str
    parts: Analysed | None
    columns: NDArray[np.int64]
    counts: NDArray[np.float64]
    edits: dict[tuple[int, int, str], dict[int, int]] = field(default_factory=dict)


class NoteEncoder:
    """A fitted CountVectorizer, TfidfVectorizer or HashingVectorizer.

    Raises:
        TargetError: another object, one that is not fitted, or one that reads files.
    """

    def __init__(self, vectoriser: Any, *, name: str = "model") -> None:
        from sklearn.exceptions import NotFittedError
        from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer

        if not isinstance(vectoriser, (CountVectorizer, HashingVectorizer)):
            raise TargetError(
                f"{name}: nocere does not know how a {type(vectoriser).__name__} reads a note.",
                "Give a CountVectorizer, TfidfVectorizer or HashingVectorizer, or a function of a list of texts.",
            )
        if vectoriser.input != "content":
            raise TargetError(f"{name}: its vectoriser reads {vectoriser.input!r}; it must read the text itself.")
        self.vectoriser = vectoriser
        self.hashed = isinstance(vectoriser, HashingVectorizer)
        weighted = isinstance(vectoriser, TfidfVectorizer)
        try:
            vectoriser.transform(["note"])
        except NotFittedError as e:
            raise TargetError(f"{name}: its vectoriser is not fitted.", "Fit it on training notes.") from e
        self.width: int = vectoriser.n_features if self.hashed else len(vectoriser.vocabulary_)
        self._dtype = vectoriser.dtype if np.dtype(vectoriser.dtype).kind == "f" else np.float64
        self.weighting = Weighting(
            weighted and vectoriser.sublinear_tf,
            vectoriser.idf_ if weighted and vectoriser.use_idf else None,
            vectoriser.norm if weighted or self.hashed else None,
        )
        self._prepare()

    def _prepare(self) -> None:
        v = self.vectoriser
        self.words = Words.of(v)
        self._analyse = v.build_analyzer()
        self._bases: OrderedDict[str, _Base] = OrderedDict()
        self._vocabulary: dict[str, int] = {} if self.hashed else v.vocabulary_
        self._hashes: dict[str, tuple[int, int]] = {}

    def __getstate__(self) -> dict[str, Any]:
        made = ("words", "_analyse", "_bases", "_vocabulary", "_hashes")
        return {k: v for k, v in self.__dict__.items() if k not in made}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()

    def rows(self, texts: Sequence[str], bases: Sequence[str] | None = None) -> Sparse:
        """Rows [n, width] of texts.

        Args:
            texts: the notes.
            bases: the note that each is a variant of, or nothing.
        """
        x = self.counts(texts, bases)
        self.weighting.apply(x)
        return x

    def counts(self, texts: Sequence[str], bases: Sequence[str] | None = None) -> Sparse:
        """Counts [n, width] of n-grams, columns ascending in every row; hashed ones with their sign."""
        groups: dict[str, list[int]] = {}
        for i, base in enumerate(texts if bases is None else bases):
            groups.setdefault(base, []).append(i)
        parts = [self._variants(self._base(base), [texts[i] for i in at]) for base, at in groups.items()]
        if len(parts) == 1:
            return parts[0]
        order = np.argsort(np.concatenate([np.array(at) for at in groups.values()]), kind="stable")
        return sp.vstack(parts, format="csr")[order]

    def _variants(self, base: _Base, texts: list[str]) -> Sparse:
        """Counts of variants of one note."""
        changed = [self._changed(base, text) for text in texts]
        new = {c for row in changed for c in row}
        columns = np.union1d(base.columns, np.fromiter(new, np.int64, len(new))) if new else base.columns
        table = np.zeros((len(texts), len(columns)))
        table[:, np.searchsorted(columns, base.columns)] = base.counts
        at = np.repeat(np.arange(len(texts)), [len(row) for row in changed])
        where = np.searchsorted(columns, np.fromiter((c for row in changed for c in row), np.int64, len(at)))
        table[at, where] += np.fromiter((v for row in changed for v in row.values()), np.float64, len(at))
        there = table != 0.0
        data = np.ones(int(there.sum())) if self.vectoriser.binary else table[there]
        # Filled in afterwards: what the constructor would look through is known to be in order.
        x = sp.csr_array((len(texts), self.width), dtype=self._dtype)
        x.data = data.astype(self._dtype)
        x.indices = np.broadcast_to(columns.astype(np.int32), table.shape)[there]
        x.indptr = np.concatenate([[0], np.cumsum(there.sum(axis=1))]).astype(np.int32)
        return x

    def _changed(self, base: _Base, text: str) -> dict[int, int]:
        """What to add to the counts of a note for those of its variant, by column."""
        change: dict[int, int] = {}
        if self.words is None or base.parts is None:
            self._count(change, self._analyse(text), 1)
            self._count(change, self._analyse(base.text), -1)
        else:
            for start, end, text_start, text_end in self.words.windows(base.parts, text):
                edit = start, end, text[text_start:text_end]
                known = base.edits.get(edit)
                if known is None:
                    if len(base.edits) >= EDITS:
                        base.edits.clear()
                    gone, made = self.words.change(base.parts, *edit)
                    known = base.edits[edit] = {}
                    self._count(known, made, 1)
                    self._count(known, gone, -1)
                for column, n in known.items():
                    change[column] = change.get(column, 0) + n
        return change

    def _count(self, counts: dict[int, int], grams: Iterable[str], n: int) -> None:
        """Add n for each n-gram to the counts by column; those that the model does not know are left out."""
        if self.hashed:
            for gram in grams:
                column, sign = self._hash(gram)
                counts[column] = counts.get(column, 0) + n * sign
            return
        known = self._vocabulary.get
        for gram in grams:
            found = known(gram)
            if found is not None:
                counts[found] = counts.get(found, 0) + n

    def _hash(self, gram: str) -> tuple[int, int]:
        known = self._hashes.get(gram)
        if known is None:
            from sklearn.feature_extraction import FeatureHasher

            if len(self._hashes) >= SEEN:
                self._hashes.clear()
            v = self.vectoriser
            # Which columns a note has at all does not depend on signs, so "binary" counts without them.
            hasher = FeatureHasher(v.n_features, input_type="string", alternate_sign=v.alternate_sign and not v.binary)
            x = hasher.transform([[gram]])
            known = self._hashes[gram] = (int(x.indices[0]), int(x.data[0]))
        return known

    def _base(self, text: str) -> _Base:
        """A note taken apart, remembered for the next batch."""
        known = self._bases.get(text)
        if known is not None:
            self._bases.move_to_end(text)
            return known
        parts = None if self.words is None else self.words.analysed(text)
        found: dict[int, int] = {}
        whole = self._analyse(text) if self.words is None or parts is None else self.words.grams(parts.tokens)
        self._count(found, whole, 1)
        columns = np.array(sorted(found), dtype=np.int64)
        counts = np.array([found[int(c)] for c in columns], dtype=np.float64)
        self._bases[text] = made = _Base(text, parts, columns, counts)
        kept = sum(len(t) for t in self._bases)
        while kept > KEPT and len(self._bases) > 1:
            kept -= len(self._bases.popitem(last=False)[0])
        return made

    def columns(self, grams: Sequence[str]) -> list[tuple[int, int]]:
        """Column and sign of each n-gram, column -1 where the model does not know it."""
        if self.hashed:
            return [self._hash(g) for g in grams]
        return [(self._vocabulary.get(g, -1), 1) for g in grams]

    def about(self) -> str:
        """A hash of everything that decides a row: settings, vocabulary, weights."""
        v = self.vectoriser
        settings = {k: _told(value) for k, value in sorted(v.get_params().items()) if k != "vocabulary"}
        terms = sorted(self._vocabulary, key=self._vocabulary.__getitem__)
        known = sha256("\0".join(f"{self._vocabulary[t]} {t}" for t in terms).encode("utf-8", "surrogatepass"))
        return digest([type(v).__name__, settings, known, self.weighting.about()])


def _told(value: Any) -> Any:
    """A setting as plain data: functions and types by their names, words without their order."""
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_told(v) for v in (sorted(value) if all(isinstance(v, str) for v in value) else value)]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"
