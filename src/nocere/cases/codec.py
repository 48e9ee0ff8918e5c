"""Codec: a case as real files in bytes, without paths, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from nocere.core.candidate import Files
from nocere.core.canonical import Json
from nocere.core.case import Case


class Codec(Protocol):
    """`decode(encode(case, x)) == (x, case.header)` for every legal x (conformance-tested)."""

    @property
    def name(self) -> str:
        """Modality, as plans and bundles write it."""
        ...

    def encode(self, case: Case[Any], x: Any) -> Files:
        """The files that hold content `x` with everything else of `case`."""
        ...

    def decode(self, files: Files) -> tuple[Any, Mapping[str, Json]]:
        """Content and header as a reader of the files finds them."""
        ...
