"""Changes of stored values that are small as the file is shown: displayed grey levels, just-noticeable differences.

What a reader sees of a change depends on the file's own window: one displayed level is many stored values of a wide
window and less than one of a narrow one. Where a window saturates, every stored value beyond its end looks the same and
is free: nothing is seen through this window, and all of it through another one. Costs therefore say both: the largest
change as stored and as shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from nocere.clinical.dicom.display import Display, displayed, of_header, table
from nocere.clinical.dicom.gsdf import LUMINANCE, steps_per_level
from nocere.core.candidate import Cost, Proof, Violation
from nocere.core.case import Case
from nocere.core.errors import DataError, UsageError
from nocere.core.registry import register
from nocere.core.units import Kind, Unit
from nocere.threats.pixels import difference, pixel_cost, span_of

CLOSE = 1e-9  # of a displayed level: float noise of the table


@register("threat", "dicom.displayed", source="DICOM PS3.3 C.11.2, PS3.4 annex N.2", kind="tampering")
@dataclass(frozen=True, slots=True)
class Displayed:
    """Every pixel shown at most `radius` of 255 grey levels brighter or darker, through one of its file's windows.

    For grey pictures whose shown level rises or falls with the stored value; levels are not rounded.

    Args:
        radius: in displayed grey levels.
        index: which of the file's windows and VOI tables, counted from 0.
        display: of the cases that are searched; the engine fills it in.
    """

    radius: float = 2.0
    index: int = 0
    display: Display | None = None
    name: ClassVar[str] = "dicom.displayed"
    unit: ClassVar[Unit] = Unit.DISPLAYED_LEVELS
    kind: ClassVar[Kind] = Kind.TAMPERING
    resolution: ClassVar[float] = 0.25

    def at(self, radius: float) -> Self:
        return replace(self, radius=radius)

    def to_json(self) -> Mapping[str, Any]:
        return {"name": self.name, "radius": self.radius, "index": self.index}

    @property
    def per_level(self) -> float:
        """Units of the radius that one displayed level is worth."""
        return 1.0

    # --- the rules -----------------------------------------------------------------------------------------------

    def obstacle(self, case: Case[Any]) -> str:
        """Why nothing can be said of the case's displayed levels, or nothing."""
        display = of_header(case.header, len(case.x))
        if display.kind != "grey":
            return f"a {display.kind} picture has no displayed grey level"
        try:
            step = np.diff(table(display, self.index)[0])
        except DataError as e:
            return e.message
        if not ((step >= 0).all() or (step <= 0).all()):
            return "its displayed level neither rises nor falls steadily with the stored value"
        return "" if step.any() else "its window shows all stored values alike"

    def check(self, case: Case[Any], x: Any, proof: Proof) -> Violation | None:
        display = of_header(case.header, len(case.x))
        d = difference(case, x, span_of(display.bits, display.signed))
        if isinstance(d, Violation):
            return d
        why = self.obstacle(case)
        if why:
            return Violation(why)
        worst = _seen(display, case.x, x, self.index) * self.per_level
        if worst > self.radius + CLOSE:
            return Violation(f"shown {worst:.2f} {self.unit} away, {self.radius:g} allowed".replace("_", " "))
        return None

    def cost(self, case: Case[Any], x: Any, proof: Proof) -> Cost:
        worst = _seen(of_header(case.header, len(case.x)), case.x, x, self.index) * self.per_level
        return Cost(worst, str(self.unit), pixel_cost(case, x, Unit.GREY_LEVELS).more)

    # --- search tools --------------------------------------------------------------------------------------------

    def form(self, case: Case[Any]) -> Any:
        return of_header(case.header, len(case.x))

    def fitted(self, case: Case[Any]) -> Self:
        return replace(self, display=of_header(case.header, len(case.x)))

    @property
    def shown(self) -> Display:
        """How the searched cases are shown.

        Raises:
            UsageError: the set was not fitted to a case.
        """
        if self.display is None:
            raise UsageError(f"{self.name} searches cases of one window at a time: fit it to a case first.")
        return self.display

    @property
    def span(self) -> tuple[float, float]:
        """Smallest and largest value that can be stored."""
        return span_of(self.shown.bits, self.shown.signed)

    def _ends(self, x0: Any, radius: Any) -> tuple[Any, Any]:
        """Smallest and largest stored value inside, for rows of whole stored values x0."""
        import torch

        at = x0.round().to(torch.int64) - self.shown.least
        lows, highs = [], []
        for row, r in zip(at, np.asarray(radius, dtype=np.float64), strict=True):
            low, high = _bounds(self.shown, self.index, float(r) / self.per_level)
            lows.append(torch.from_numpy(low)[row])
            highs.append(torch.from_numpy(high)[row])
        return torch.stack(lows).to(x0.dtype), torch.stack(highs).to(x0.dtype)

    def project(self, x: Any, x0: Any, radius: Any) -> Any:
        low, high = self._ends(x0, radius)
        return x.maximum(low).minimum(high)

    def inside(self, x: Any, x0: Any, radius: Any) -> NDArray[np.bool_]:
        low, high = self._ends(x0, radius)
        return np.asarray(((x >= low - 1e-3) & (x <= high + 1e-3)).flatten(1).all(1).cpu().numpy())

    def distance(self, x: Any, x0: Any) -> NDArray[np.float64]:
        levels = table(self.shown, self.index)[0]
        grid = np.arange(len(levels), dtype=np.float64) + self.shown.least
        shown = [np.interp(v.cpu().numpy().astype(np.float64), grid, levels) for v in (x, x0)]
        return np.asarray(np.abs(shown[0] - shown[1]).reshape(len(x), -1).max(axis=1) * self.per_level)

    def realise(self, x: Any, case: Case[Any], radius: float) -> NDArray[Any]:
        low, high = _bounds(of_header(case.header, len(case.x)), self.index, radius / self.per_level)
        at = case.x.astype(np.int64) - of_header(case.header, len(case.x)).least
        return np.asarray(np.clip(np.rint(x.detach().cpu().numpy()), low[at], high[at]).astype(case.x.dtype))

    def ascend(self, g: Any) -> Any:
        """The sign, times the stored values that one unit of the radius is worth where the window is steepest."""
        steepest = float(np.abs(np.diff(table(self.shown, self.index)[0])).max())
        return g.sign() / max(steepest * self.per_level, 1e-12)

    def random(self, draws: Any, x0: Any, radius: Any) -> Any:
        low, high = self._ends(x0, radius)
        return low + (draws + 1.0) / 2.0 * (high - low)


@register("threat", "dicom.jnd", source="DICOM PS3.14 (Grayscale Standard Display Function)", kind="tampering")
@dataclass(frozen=True, slots=True)
class JustNoticeable(Displayed):
    """Every pixel shown at most `radius` just-noticeable differences away, on a calibrated display of 256 levels.

    Args:
        radius: in just-noticeable differences of PS3.14, which holds for small differences under ideal conditions.
        black, white: luminance of the display in cd/m2, ambient light included.
    """

    radius: float = 4.0
    black: float = LUMINANCE[0]
    white: float = LUMINANCE[1]
    name: ClassVar[str] = "dicom.jnd"
    unit: ClassVar[Unit] = Unit.JND

    def __post_init__(self) -> None:
        steps_per_level(range_=(self.black, self.white))

    def to_json(self) -> Mapping[str, Any]:
        about = {"radius": self.radius, "index": self.index, "black": self.black, "white": self.white}
        return {"name": self.name, **about}

    @property
    def per_level(self) -> float:
        return steps_per_level(range_=(self.black, self.white))


def _seen(display: Display, a: NDArray[Any], b: NDArray[Any], index: int) -> float:
    """Largest displayed difference of two contents."""
    return float(np.abs(displayed(display, a, index) - displayed(display, b, index)).max())


@lru_cache(maxsize=64)
def _bounds(display: Display, index: int, radius: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """For every stored value, the smallest and the largest one that is shown within `radius` displayed levels of it."""
    levels = table(display, index)[0]
    rising = levels if levels[-1] >= levels[0] else -levels
    low = np.searchsorted(rising, rising - radius - CLOSE, "left")
    high = np.searchsorted(rising, rising + radius + CLOSE, "right") - 1
    return (low + display.least).astype(np.float32), (high + display.least).astype(np.float32)
