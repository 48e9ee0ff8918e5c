"""From stored integers to displayed grey levels (PS3.3 C.11, PS3.4 annex N.2): modality, VOI, presentation, colour.

For values of one sample all of it is one function of a stored integer, so it is computed once a file as a table over
everything that can be stored. Tables serve numpy, torch and the rules of budgets alike (`pipeline` interpolates them).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nocere.clinical.dicom.luts import Lut, Values, Window
from nocere.core.canonical import Json, dumps
from nocere.core.errors import DataError

TOP = 255.0  # displayed levels go from 0, the darkest, to this
Kind: TypeAlias = Literal["grey", "palette", "rgb", "ybr"]
# PS3.3 C.7.6.3.1.2: full-range YCbCr to RGB; Cb and Cr are counted from half of the range.
YBR_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


@dataclass(frozen=True, slots=True)
class Display:
    """How the stored values of one frame are shown.

    Args:
        kind: grey and palette values have one sample, colours have three.
        bits: of a stored value.
        signed: stored values are in two's complement.
        slope, intercept: the modality's rescale.
        modality: its look-up table instead of a rescale.
        windows: VOI windows of the file, in its order.
        tables: VOI look-up tables of the file; they count behind the windows.
        invert: low values are bright (MONOCHROME1).
        palette: red, green and blue tables.
    """

    kind: Kind
    bits: int
    signed: bool = False
    slope: float = 1.0
    intercept: float = 0.0
    modality: Lut | None = None
    windows: tuple[Window, ...] = ()
    tables: tuple[Lut, ...] = ()
    invert: bool = False
    palette: tuple[Lut, ...] = ()

    @property
    def least(self) -> int:
        """Smallest value that can be stored."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def plain(self) -> bool:
        """True where a stored value is its displayed level already, up to the depth."""
        changed = self.invert or self.modality or self.windows or self.tables or self.signed
        return self.kind in ("grey", "rgb") and not changed and (self.slope, self.intercept) == (1.0, 0.0)

    def voi(self, choice: Window | int) -> Window | Lut | None:
        """The window or table that is used: one that is given, or the file's by its number; None where it has none.

        Raises:
            DataError: the file has fewer.
        """
        if isinstance(choice, Window):
            return choice
        found: tuple[Window | Lut, ...] = (*self.windows, *self.tables)
        if not found and choice == 0:
            return None
        if not 0 <= choice < len(found):
            raise DataError(
                f"Window {choice} is asked for, but the file has {len(found)} windows and VOI tables.",
                "They are counted from 0.",
            )
        return found[choice]

    def to_json(self) -> dict[str, Json]:
        """Plain form, for headers of cases."""
        return {
            "kind": self.kind,
            "bits": self.bits,
            "signed": self.signed,
            "slope": self.slope,
            "intercept": self.intercept,
            "modality": self.modality.to_json() if self.modality else None,
            "windows": [w.to_json() for w in self.windows],
            "tables": [t.to_json() for t in self.tables],
            "invert": self.invert,
            "palette": [t.to_json() for t in self.palette],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Display:
        """Inverse of `to_json`."""
        return cls(
            data["kind"],
            int(data["bits"]),
            bool(data["signed"]),
            float(data["slope"]),
            float(data["intercept"]),
            Lut.from_json(data["modality"]) if data["modality"] else None,
            tuple(Window.from_json(w) for w in data["windows"]),
            tuple(Lut.from_json(t) for t in data["tables"]),
            bool(data["invert"]),
            tuple(Lut.from_json(t) for t in data["palette"]),
        )


def of_header(header: Mapping[str, Any], channels: int) -> Display:
    """How a case is shown, by its header: what its DICOM file says; other pictures are shown as they are stored."""
    if "display" in header:
        return _read(dumps(header["display"]))
    return Display("grey" if channels == 1 else "rgb", int(str(header.get("bits", 8))))


@lru_cache(maxsize=1024)
def _read(text: bytes) -> Display:
    import json

    return Display.from_json(json.loads(text))


@lru_cache(maxsize=256)
def table(display: Display, choice: Window | int = 0) -> NDArray[np.float64]:
    """Displayed levels [1 or 3, 2 ** bits], 0 to 255 and not rounded, of every value that can be stored; read-only.

    Args:
        display: of one sample.
        choice: the window to look through, or the number of one of the file's.

    Raises:
        DataError: the file has no such window.
    """
    v = np.arange(1 << display.bits, dtype=np.float64) + display.least
    if display.kind == "palette":
        out = np.stack([t(v) * (TOP / t.most) for t in display.palette])
    else:
        out = (_grey(display, v, display.voi(choice)) * TOP)[None]
    out.setflags(write=False)
    return out


def _grey(display: Display, v: Values, voi: Window | Lut | None) -> Values:
    if display.modality is not None:
        seen, ends = display.modality(v), (0.0, display.modality.most)
    else:
        seen = display.slope * v + display.intercept
        ends = (float(seen.min()), float(seen.max()))
    if voi is None:
        # Without a window the whole range of what can be stored is shown.
        share = (seen - ends[0]) / max(ends[1] - ends[0], 1e-12)
    else:
        share = voi(seen) / voi.most if isinstance(voi, Lut) else voi(seen)
    return np.asarray(1.0 - share if display.invert else share)


def displayed(display: Display, x: NDArray[Any], choice: Window | int = 0) -> NDArray[np.float64]:
    """Displayed levels of stored values [C, H, W]: [1, H, W] of grey, [3, H, W] of colour and palettes; not rounded.

    Raises:
        DataError: the file has no such window.
    """
    if display.kind in ("grey", "palette"):
        return np.asarray(table(display, choice)[:, x[0].astype(np.int64) - display.least])
    seen = x.astype(np.float64) * (TOP / ((1 << display.bits) - 1))
    if display.kind == "ybr":
        half = float(1 << (display.bits - 1)) * TOP / ((1 << display.bits) - 1)
        seen = np.tensordot(np.array(YBR_TO_RGB), seen - np.array([0.0, half, half])[:, None, None], axes=1)
    return np.asarray(seen.clip(0.0, TOP))
