"""Look-up tables and windows of DICOM as functions of whole numbers (PS3.3 C.11.1, C.11.2, C.7.6.3.1.5)."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from nocere.core.canonical import Json
from nocere.core.errors import DataError

Function: TypeAlias = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]
FUNCTIONS: tuple[Function, ...] = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
Values: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Lut:
    """A table of `bits`-bit values: inputs up to `first` get the first of them, inputs past the end the last."""

    first: int
    bits: int
    values: tuple[int, ...]

    def __call__(self, v: Values) -> Values:
        """Entries for inputs of any shape, each rounded to the nearest whole number."""
        at = np.clip(np.rint(v) - self.first, 0, len(self.values) - 1).astype(np.intp)
        return np.asarray(np.asarray(self.values, dtype=np.float64)[at])

    @property
    def most(self) -> float:
        """Largest value that an entry can have."""
        return float((1 << self.bits) - 1)

    def to_json(self) -> dict[str, Json]:
        """Plain form; the entries as base64 of little-endian 16-bit words."""
        packed = base64.b64encode(np.asarray(self.values, dtype="<u2").tobytes()).decode("ascii")
        return {"first": self.first, "bits": self.bits, "values": packed}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Lut:
        """Inverse of `to_json`."""
        values = np.frombuffer(base64.b64decode(data["values"]), dtype="<u2")
        return cls(int(data["first"]), int(data["bits"]), tuple(map(int, values)))


@dataclass(frozen=True, slots=True)
class Window:
    """A centre and a width, in the values that the modality transform gives.

    Raises:
        DataError: a width that the function does not have.
    """

    centre: float
    width: float
    function: Function = "LINEAR"

    def __post_init__(self) -> None:
        least = 1.0 if self.function == "LINEAR" else 0.0
        if self.function not in FUNCTIONS:
            raise DataError(f"A window's function is one of {', '.join(FUNCTIONS)}; got {self.function!r}.")
        if not np.isfinite([self.centre, self.width]).all() or self.width < least or self.width == 0:
            raise DataError(
                f"A {self.function} window needs a width of {'at least 1' if least else 'more than 0'}; got centre "
                f"{self.centre:g} and width {self.width:g}.",
                "Correct Window Width (0028,1051).",
            )

    def __call__(self, v: Values) -> Values:
        """Values of any shape as shares of the output range, 0 to 1 (C.11.2.1.2.1 and C.11.2.1.3)."""
        c, w = self.centre, self.width
        if self.function == "SIGMOID":
            return np.asarray(1.0 / (1.0 + np.exp(np.clip(-4.0 * (v - c) / w, -700.0, 700.0))))
        if self.function == "LINEAR":
            c, w = c - 0.5, w - 1.0
        if w == 0:
            return np.asarray(np.where(v <= c, 0.0, 1.0))
        return np.asarray(np.clip((v - c) / w + 0.5, 0.0, 1.0))

    def to_json(self) -> list[Json]:
        """Plain form."""
        return [self.centre, self.width, self.function]

    @classmethod
    def from_json(cls, data: Any) -> Window:
        """Inverse of `to_json`."""
        return cls(float(data[0]), float(data[1]), cast("Function", data[2]))
