"""How a vectoriser of scikit-learn takes a text apart, word by word, so that an edit touches only the words near it.

Words are what blanks part. Where a vectoriser's tokens never reach over a blank (word n-grams with the usual token
patterns, `char_wb`), the tokens of a word do not depend on its neighbours and are looked up. Any other analyser
(`char`, functions of the user's own) is called on whole texts.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from nocere.targets.notes.differences import stretches

WORD = re.compile(r"\S+")
MOST = 1 << 16  # words that are remembered
RUN = re.compile(r"(?:\(\?u\))?(?:\\b)?(\\w|\\S|\[(?:[^\]\\]|\\.)+\])\1*(?:\+|\{\d+(?:,\d*)?\})(?:\\b)?")
BLANKS = [chr(c) for c in range(0x3001) if chr(c).isspace()]


class Token(NamedTuple):
    """What is counted of a word, and where it stands in it."""

    text: str
    start: int
    end: int


class Analysed:
    """A text taken apart: where its words are, and its tokens in order; `first[w]` is the first token of word w."""

    __slots__ = ("ends", "first", "starts", "text", "tokens")

    def __init__(self, text: str, tokens_of: Callable[[str], tuple[str, ...]]) -> None:
        self.text = text
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.first = [0]
        self.tokens: list[str] = []
        for word in WORD.finditer(text):
            self.starts.append(word.start())
            self.ends.append(word.end())
            self.tokens += tokens_of(word[0])
            self.first.append(len(self.tokens))


class Words:
    """Tokens of words as a vectoriser makes them, and n-grams of `low` to `high` tokens."""

    def __init__(self, vectoriser: Any) -> None:
        self._vectoriser = vectoriser
        self._known: dict[str, tuple[str, ...]] = {}
        self._prepare = vectoriser.build_preprocessor()
        self.whole = vectoriser.analyzer == "char_wb"
        self.low: int = 1 if self.whole else vectoriser.ngram_range[0]
        self.high: int = 1 if self.whole else vectoriser.ngram_range[1]
        if not self.whole:
            self._pattern = re.compile(vectoriser.token_pattern)
            self._stop = vectoriser.get_stop_words() or frozenset()

    @classmethod
    def of(cls, vectoriser: Any) -> Words | None:
        """Of this vectoriser, or None where its tokens may reach over blanks."""
        v = vectoriser
        if v.preprocessor is not None or v.strip_accents not in (None, "unicode"):
            return None
        if v.analyzer == "char_wb":
            return cls(v)
        run = RUN.fullmatch(v.token_pattern or "")
        if v.analyzer != "word" or v.tokenizer is not None or run is None:
            return None
        return None if any(re.fullmatch(run[1], blank) for blank in BLANKS) else cls(v)

    def tokens(self, word: str) -> tuple[str, ...]:
        """The tokens of a word, stop words left out."""
        found = self._known.get(word)
        if found is None:
            if len(self._known) >= MOST:
                self._known.clear()
            found = self._known[word] = tuple(t.text for t in self.placed(word))
        return found

    def placed(self, word: str) -> list[Token]:
        """The tokens of a word with their places; of the whole word where these are not known."""
        text = self._prepare(word)
        if self.whole:
            return [Token(g, 0, len(word)) for g in self._vectoriser._char_wb_ngrams(text)]
        kept = [m for m in self._pattern.finditer(text) if m[0] not in self._stop]
        same = len(text) == len(word)
        return [Token(m[0], *(m.span() if same else (0, len(word)))) for m in kept]

    def grams(self, tokens: Sequence[str], left: int = 0, right: int = 0) -> list[str]:
        """The n-grams of a row of tokens, those that lie in its first `left` or last `right` tokens left out."""
        inner = len(tokens) - right
        found = list(tokens[left:inner]) if self.low == 1 else []
        for n in range(max(self.low, 2), self.high + 1):
            last = min(inner, len(tokens) - n + 1)
            found += [" ".join(tokens[i : i + n]) for i in range(max(0, left - n + 1), last)]
        return found

    def analysed(self, text: str) -> Analysed:
        """A text taken apart."""
        return Analysed(text, self.tokens)

    def change(self, base: Analysed, start: int, end: int, made: str) -> tuple[list[str], list[str]]:
        """N-grams that are gone when words of `base` (from, to) become the text `made`, and those in their place."""
        reach = self.high - 1
        t0, t1 = base.first[start], base.first[end]
        new = [t for word in made.split() for t in self.tokens(word)]
        left, right = base.tokens[max(0, t0 - reach) : t0], base.tokens[t1 : t1 + reach]
        n, m = len(left), len(right)
        return self.grams([*left, *base.tokens[t0:t1], *right], n, m), self.grams([*left, *new, *right], n, m)

    def windows(self, base: Analysed, text: str) -> list[tuple[int, int, int, int]]:
        """Words of `base` (from, to) that are other ones in `text` (characters from, to).

        A word next to a difference is in it: it may have grown into it. Windows that one n-gram could reach are one.
        """
        found: list[tuple[int, int, int, int]] = []
        for a0, a1, b0, b1 in stretches(base.text, text):
            w0, w1 = bisect_left(base.ends, a0), bisect_right(base.starts, a1)
            if w0 < w1:
                b0 -= a0 - min(a0, base.starts[w0])
                b1 += max(a1, base.ends[w1 - 1]) - a1
            else:
                w1 = w0
            if found and (w0 < found[-1][1] or base.first[w0] - base.first[found[-1][1]] < self.high):
                before = found.pop()
                w0, b0, w1 = before[0], before[2], max(w1, before[1])
            found.append((w0, w1, b0, b1))
        return found
