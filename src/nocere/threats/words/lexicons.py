"""The lexicon that a set names: packaged or the user's own, the same as when the set was made."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from nocere.core.errors import VerificationError

if TYPE_CHECKING:
    from nocere.clinical.notes.lexicon import Lexicon


def lexicon_of(path: str, sha256: str, name: str) -> Lexicon:
    """The lexicon at a path ("" for the packaged one).

    Args:
        path: of a lexicon file.
        sha256: what it must be; "" for anything.
        name: of the set, for the error.

    Raises:
        VerificationError: it is another lexicon.
        DataError: a row of it cannot be used.
    """
    found = _loaded(path)
    if sha256 not in ("", found.sha256):
        raise VerificationError(
            f"{name}: it was made with another lexicon ({sha256[:12]}) than the present one ({found.sha256[:12]}).",
            "Open it with the lexicon that it was made with.",
        )
    return found


@lru_cache(maxsize=8)
def _loaded(path: str) -> Lexicon:
    from nocere.clinical.notes.lexicon import load_lexicon

    return load_lexicon(Path(path) if path else None)
