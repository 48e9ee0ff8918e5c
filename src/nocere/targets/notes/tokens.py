"""Tokens of a note for a net: words and signs, looked up in a vocabulary."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from nocere.core.canonical import Json
from nocere.core.errors import TargetError

PATTERN = r"\w+|[^\w\s]"
PAD, UNKNOWN = 0, 1  # ids; the vocabulary's own begin after them


@dataclass(frozen=True, eq=False)
class Tokens:
    """Text to ids.

    Args:
        vocabulary: the known tokens, in lower case; token k has id k + 2.
        most: tokens of a note that are read; what stands behind them is not seen.
    """

    vocabulary: tuple[str, ...]
    most: int = 2048
    _ids: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if len(set(self.vocabulary)) != len(self.vocabulary):
            raise TargetError("A vocabulary names a token twice.")
        object.__setattr__(self, "_ids", {t: k + 2 for k, t in enumerate(self.vocabulary)})

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(PATTERN)

    @classmethod
    def learn(cls, texts: Iterable[str], *, least: int = 2, most_tokens: int = 20_000) -> Tokens:
        """The tokens that at least `least` notes hold, the more frequent ones first, ties by alphabet."""
        found: Counter[str] = Counter()
        for text in texts:
            found.update({t.lower() for t in re.findall(PATTERN, text)})
        kept = sorted((t for t, n in found.items() if n >= least), key=lambda t: (-found[t], t))
        if not kept:
            raise TargetError(f"No token stands in {least} of these notes.", "Give more notes.")
        return cls(tuple(kept[:most_tokens]))

    def __call__(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids and places (characters from, to)."""
        ids: list[int] = []
        spans: list[tuple[int, int]] = []
        for m in self._pattern.finditer(text):
            if len(ids) == self.most:
                break
            ids.append(self._ids.get(m[0].lower(), UNKNOWN))
            spans.append(m.span())
        return ids, spans

    def to_json(self) -> dict[str, Json]:
        """Plain form, read back by `from_json`."""
        return {"vocabulary": list(self.vocabulary), "most": self.most}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Tokens:
        """Inverse of `to_json`."""
        words: Sequence[str] = data["vocabulary"]
        return cls(tuple(words), int(data["most"]))
