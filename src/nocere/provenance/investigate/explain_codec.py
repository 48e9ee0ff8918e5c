"""Which JPEG quality or JPEG 2000 ratio turns one image into another.

JPEG blocks are independent of each other, so every quality is tried on one small textured part that starts on a block,
and only the best are tried on the whole image. A JPEG 2000 rate is global: it is found by bisection, because the loss
that it causes grows with the ratio.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from nocere.provenance.investigate.explain_catalogue import (
    COMPONENTS,
    JPEG2000_RATIO,
    JPEG_QUALITY,
    JPEG_SUBSAMPLING,
    WAVELETS,
    Image,
    Step,
    apply_step,
    jpeg,
    jpeg2000,
)
from nocere.provenance.investigate.explain_grey import benign

PART, BLOCK = 96, 16  # side of the part that is screened; JPEG's largest block (4:2:0)
HOPELESS = 0.6  # share of the loss that is left at nearly the right ratio if the codec is another one
UNITS = {"affine": {"gain": 0.01, "offset": 1.0}, "window": {"centre": 1.0, "width": 1.0}, "gamma": {"gamma": 0.01}}
KEPT = 3  # qualities that are tried on the whole image


def gap(a: Image, b: Image) -> float:
    """Mean absolute difference in grey levels."""
    wide = np.int16 if a.dtype == b.dtype == np.uint8 else np.int32
    return float(np.abs(np.subtract(a, b, dtype=wide)).mean())


def part_of(image: Image) -> tuple[slice, slice]:
    """The block-aligned square of PART pixels whose grey levels vary most."""
    rows, columns = image.shape[:2]
    best, at = -1.0, (0, 0)
    for r in range(0, max(1, rows - PART + 1), BLOCK):
        for c in range(0, max(1, columns - PART + 1), BLOCK):
            spread = float(image[r : r + PART : 3, c : c + PART : 3].std())
            if spread > best:
                best, at = spread, (r, c)
    return slice(at[0], at[0] + PART), slice(at[1], at[1] + PART)


def inner(image: Image) -> Image:
    """Without the outermost block: chroma is interpolated across the border of the part."""
    return image[BLOCK:-BLOCK, BLOCK:-BLOCK] if min(image.shape[:2]) > 4 * BLOCK else image


def jpeg_steps(image: Image, suspect: Image) -> list[Step]:
    """The likeliest JPEG settings that turn 8-bit `image` into `suspect` (same shape), best first."""
    part = part_of(image)
    small, target = np.ascontiguousarray(image[part]), inner(suspect[part])
    kinds = JPEG_SUBSAMPLING if image.ndim == 3 else JPEG_SUBSAMPLING[:1]
    tried = [
        (gap(inner(jpeg(small, quality, kind)), target), -quality, kind)
        for quality in range(JPEG_QUALITY[0], JPEG_QUALITY[1] + 1)
        for kind in kinds
    ]
    return [Step("jpeg", {"quality": -q, "subsampling": kind}) for _, q, kind in sorted(tried)[:KEPT]]


def _ratio(image: Image, suspect: Image, encode: Callable[[float], Image]) -> float | None:
    """The ratio at which the loss is that of the suspect; None if none comes near it."""
    lost = gap(image, suspect)
    tried: dict[float, float] = {}

    def loss(ratio: float) -> float:
        made = encode(ratio)
        tried[ratio] = gap(made, suspect)
        return gap(made, image)

    low, high = JPEG2000_RATIO
    if loss(high) < 0.98 * lost:
        return None
    while high / low > 1.0005 and 0.0 not in tried.values():
        if high / low < 1.05 and min(tried.values()) > HOPELESS * lost:
            break
        middle = float(np.sqrt(low * high))
        whole = round(2 * middle) / 2  # people ask for whole ratios
        if low < whole < high:
            middle = whole
        low, high = (middle, high) if loss(middle) < lost else (low, middle)
    return min(tried, key=lambda ratio: (tried[ratio], ratio))


def jpeg2000_steps(image: Image, bits: int, suspect: Image) -> Iterator[Step]:
    """For each wavelet and component transformation the JPEG 2000 ratio that comes closest to `suspect` (same shape).

    Raises:
        PrerequisiteError: more than 8 bits without pylibjpeg-openjpeg.
    """
    for wavelet in WAVELETS if bits <= 8 else WAVELETS[:1]:
        for components in COMPONENTS if image.ndim == 3 else COMPONENTS[1:]:
            ratio = _ratio(image, suspect, partial(_encode, image, bits, wavelet, components))
            if ratio is not None:
                yield Step("jpeg2000", {"ratio": ratio, "wavelet": wavelet, "components": components})


def _encode(image: Image, bits: int, wavelet: str, components: str, ratio: float) -> Image:
    return jpeg2000(image, ratio, wavelet, components, bits)


def refined(image: Image, bits: int, step: Step, codec: Step, suspect: Image) -> Step:
    """A grey mapping fitted again with the JPEG that follows it known: the parameters that leave least over.

    `image` is before `step`, `suspect` after `codec`; both have the same shape. Fitted on the screened part; then the
    parameters with few digits near the fit are tried, because a suspect is explained by the very same rounding only.
    """
    if step.name not in UNITS:
        return step
    names, units = tuple(UNITS[step.name]), tuple(UNITS[step.name].values())
    part = part_of(suspect)
    small, target = image[part], inner(suspect[part])

    def moved(values: Sequence[float] | NDArray[np.float64], rounding: str) -> Step:
        fitted = dict(zip(names, map(float, values), strict=True))
        return Step(step.name, {**step.parameters, **fitted, "rounding": rounding})

    def left(one: Step) -> float:
        mapped, depth = apply_step(small, bits, one)
        return gap(inner(apply_step(mapped, depth, codec)[0]), target)

    rounding = str(step.parameters["rounding"])
    start = np.array([float(step.parameters[n]) for n in names])
    fit = minimize(lambda v: left(moved(v, rounding)), start, method="Nelder-Mead", options={"maxfev": 100}).x
    few = [[round(v / u + k, 0) * u for k in range(-3, 4)] for v, u in zip(fit, units, strict=True)]
    near = [moved([round(v, 6) for v in p], r) for p in product(*few) for r in ("even", "up", "down")]
    return min([*(s for s in [*near, moved(fit, rounding)] if benign(s, bits)), step], key=left)
