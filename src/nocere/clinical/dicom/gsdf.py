"""The Grayscale Standard Display Function (PS3.14): luminance and just-noticeable differences."""

from __future__ import annotations

import numpy as np
from numpy.polynomial.polynomial import polyval
from numpy.typing import NDArray

from nocere.core.errors import UsageError

LUMINANCE = (0.5, 350.0)  # cd/m2, black and white of the display that steps are counted on unless said otherwise
LEAST, MOST = 0.05, 3993.4  # cd/m2, that the function is defined for: indices 1 to 1023

# PS3.14 section 7.1, equation 1: luminance of index j.
UP = (-1.3011877, 8.0242636e-2, 1.3646699e-1, -2.5468404e-2, 1.3635334e-3)
DOWN = (1.0, -2.5840191e-2, -1.0320229e-1, 2.8745620e-2, -3.1978977e-3, 1.2992634e-4)
# Equation 2: index of luminance L, a polynomial in log10 L.
INVERSE = (71.498068, 94.593053, 41.912053, 9.8247004, 0.28175407, -1.1878455, -0.18014349, 0.14710899, -0.017046845)


def luminance(j: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Luminance in cd/m2 of indices of just-noticeable difference, 1 to 1023."""
    ln = np.log(np.asarray(j, dtype=np.float64))
    return np.asarray(10.0 ** (polyval(ln, UP) / polyval(ln, DOWN)))


def index(cd: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Index of just-noticeable difference of luminances in cd/m2."""
    return np.asarray(polyval(np.log10(np.asarray(cd, dtype=np.float64)), INVERSE))


def steps_per_level(levels: int = 256, range_: tuple[float, float] = LUMINANCE) -> float:
    """Just-noticeable differences that one level is worth on a calibrated display.

    Such a display spreads its levels evenly over the indices between its black and its white (section 7.2), so that a
    level is worth the same everywhere.

    Args:
        levels: that the display has.
        range_: luminance of its black and white in cd/m2, ambient light included.

    Raises:
        UsageError: a range that the function is not defined for.
    """
    black, white = range_
    if not LEAST <= black < white <= MOST:
        raise UsageError(
            f"The display function is defined from {LEAST:g} to {MOST:g} cd/m2; got {black:g} to {white:g}."
        )
    return float((index(white) - index(black)) / (levels - 1))
