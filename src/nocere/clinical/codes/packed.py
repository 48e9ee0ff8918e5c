"""The compiled rule file: one ZIP of JSON parts, opened only when its hash is the recorded one, read part by part.

`scripts/compile_codes.py` writes it. `manifest.json` inside names the packages, versions and hashes of its sources.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

from nocere.core.errors import VerificationError

DATA = Path(__file__).parent / "data"
NAME = "rules-2026.zip"


class Packed:
    """Parts of a compiled rule file.

    Raises:
        VerificationError: the file is missing, or its SHA-256 is not the one recorded beside it.
    """

    def __init__(self, path: Path = DATA / NAME) -> None:
        try:
            self._bytes = path.read_bytes()
            recorded = path.with_suffix(".sha256").read_text(encoding="ascii").split()[0]
        except (OSError, IndexError) as e:
            raise VerificationError(f"The rule file {path.name} cannot be read: {e}.", "Install nocere again.") from e
        self.sha256 = hashlib.sha256(self._bytes).hexdigest()
        if self.sha256 != recorded:
            raise VerificationError(
                f"The rule file {path.name} has SHA-256 {self.sha256[:16]}..., recorded is {recorded[:16]}....",
                "Install nocere again, or compile it with scripts/compile_codes.py.",
            )

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Version, sources and counts."""
        made: dict[str, Any] = self.json("manifest")
        return made

    def json(self, part: str) -> Any:
        """One part."""
        return json.loads(self.text(f"{part}.json"))

    def lines(self, part: str) -> list[str]:
        """One part of one line an entry."""
        return self.text(f"{part}.txt").split("\n")

    def text(self, name: str) -> str:
        """One part as text."""
        with zipfile.ZipFile(BytesIO(self._bytes)) as z:
            return z.read(name).decode("utf-8")
