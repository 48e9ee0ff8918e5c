"""Which mapping of grey levels brings one image onto another: read off the mean of the suspect at each grey level."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from nocere.provenance.investigate.explain_catalogue import GAIN, GAMMA, OFFSET, UNSATURATED, Image, Step

FEW = 512  # grey levels that the exact fit looks at
Curve = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def curve(image: Image, suspect: Image) -> Curve:
    """Grey levels [n] of `image`, mean of the suspect at each [n], and how many samples each has [n]."""
    low = int(image.min())
    where = image.ravel().astype(np.intp) - low
    count = np.bincount(where)
    total = np.bincount(where, weights=suspect.ravel())
    held = np.flatnonzero(count)
    return (held + low).astype(np.float64), total[held] / count[held], count[held].astype(np.float64)


def _straight(held: Curve, top: float) -> tuple[float, float] | None:
    """Least squares gain and offset over the levels that are not saturated in the suspect; None if too few are."""
    v, m, n = held
    inside = (m > 0.02 * top) & (m < 0.98 * top)
    if inside.sum() < 4 or n[inside].sum() < UNSATURATED * n.sum():
        return None
    gain, offset = np.polyfit(v[inside], m[inside], 1, w=np.sqrt(n[inside]))
    return float(gain), float(offset)


def _exact(held: Curve, top: float, rounding: str) -> tuple[float, float] | None:
    """Gain and offset with the smallest largest error over the unsaturated levels (Chebyshev fit, linear program)."""
    v, m, _ = held
    inside = np.flatnonzero((m > 0) & (m < top))
    if len(inside) < 4:
        return None
    inside = inside[np.linspace(0, len(inside) - 1, min(FEW, len(inside))).astype(np.intp)]
    v, m = v[inside], m[inside] + (0.5 if rounding == "down" else 0.0)
    one = np.ones_like(v)
    found = linprog(
        [0, 0, 1],
        A_ub=np.concatenate([np.stack([v, one, -one], 1), np.stack([-v, -one, -one], 1)]),
        b_ub=np.concatenate([m, -m]),
        bounds=[(None, None), (None, None), (0, None)],
        method="highs",
    )
    return (float(found.x[0]), float(found.x[1])) if found.success else None


def _benign(gain: float, offset: float, bits: int, suspect_bits: int) -> bool:
    full = ((1 << suspect_bits) - 1) / ((1 << bits) - 1)
    return GAIN[0] <= gain / full <= GAIN[1] and abs(offset) <= OFFSET * ((1 << suspect_bits) - 1)


def affine(gain: float, offset: float, bits: int, rounding: str = "even") -> Step:
    """Grey rescale: gain times value plus offset, to `bits`."""
    return Step("affine", {"gain": gain, "offset": offset, "bits": bits, "rounding": rounding})


def window(centre: float, width: float, bits: int, rounding: str = "even") -> Step:
    """VOI window (PS3.3 C.11.2.1.2.1) burnt in, to `bits`."""
    return Step("window", {"centre": centre, "width": width, "bits": bits, "rounding": rounding})


def _windows(gain: float, offset: float, bits: int) -> tuple[float, float]:
    """Centre and width of the window that has this gain and offset."""
    top = (1 << bits) - 1
    width = top / gain + 1
    return (top / 2 - offset) / gain + 0.5, width


def _straight_steps(held: Curve, bits: int, suspect_bits: int) -> Iterator[Step]:
    """Linear mappings near the fit: windows with whole numbers, rescales with few digits, then the exact fit."""
    top = float((1 << suspect_bits) - 1)
    fit = _straight(held, top)
    if fit is None or fit[0] <= 0:
        return
    gain, offset = fit
    fits = [*((r, _exact(held, top, r)) for r in ("even", "down")), ("even", fit)]
    for rounding, pair in fits:
        if pair is None or pair[0] <= 0:
            continue
        centre, width = _windows(*pair, suspect_bits)
        for c in dict.fromkeys((round(centre), round(2 * centre) / 2)):
            yield window(c, max(2, round(width)), suspect_bits, rounding)
    if not _benign(gain, offset, bits, suspect_bits):
        for rounding, pair in fits:  # outside of a rescale, but a window may be narrow
            if pair is not None and pair[0] > 0:
                yield window(*_windows(*pair, suspect_bits), suspect_bits, rounding)
        return
    for digits in (1, 2, 3):
        # The offset belongs to the rounded gain, so it is taken where the data are: at their mean.
        v, m, n = held
        near = round(gain, digits)
        at = float((m * n).sum() / n.sum() - near * (v * n).sum() / n.sum())
        for rounding in ("even", "up", "down"):
            for o in dict.fromkeys((float(round(at)), float(round(offset)), float(round(offset, 1)))):
                yield affine(near, o, suspect_bits, rounding)
    for rounding, pair in fits:
        if pair is not None:
            yield affine(*pair, suspect_bits, rounding)


def _gammas(held: Curve, bits: int, suspect_bits: int) -> Iterator[Step]:
    top = (1 << suspect_bits) - 1
    for rounding in ("even", "down"):
        v, m, n = held
        x, y = v / ((1 << bits) - 1), (m + (0.5 if rounding == "down" else 0.0)) / top
        inside = (x > 0.02) & (x < 0.98) & (y > 0.02) & (y < 0.98)
        if inside.sum() < 4:
            continue
        lx, ly, w = np.log(x[inside]), np.log(y[inside]), n[inside] * y[inside] ** 2
        gamma = float((w * lx * ly).sum() / (w * lx * lx).sum())
        if not GAMMA[0] <= gamma <= GAMMA[1]:
            continue
        for g in dict.fromkeys(
            [*(round(gamma, d) for d in (1, 2, 3)), *(1 / round(1 / gamma, d) for d in (1, 2)), gamma]
        ):
            yield Step("gamma", {"gamma": float(g), "bits": suspect_bits, "rounding": rounding})


def grey_steps(image: Image, bits: int, suspect: Image, suspect_bits: int) -> list[Step]:
    """Mappings of grey levels that may turn `image` into `suspect` (same shape), likeliest kind first.

    All samples of a colour image go through the same mapping. Signed images can only be windowed.
    """
    held = curve(image, suspect)
    steps: list[Step] = []
    if suspect_bits < bits and image.dtype.kind == "u":
        steps.append(Step("depth", {"rule": "shift", "bits": suspect_bits, "rounding": "down"}))
        steps += [Step("depth", {"rule": "scale", "bits": suspect_bits, "rounding": r}) for r in ("even", "down")]
    if image.max() > image.min():  # the range of the image stretched to the full scale, as DCMTK does before JPEG
        gain = ((1 << suspect_bits) - 1) / float(image.max() - int(image.min()))
        steps += [affine(gain, -gain * float(image.min()), suspect_bits, r) for r in ("even", "down")]
    steps += _straight_steps(held, bits, suspect_bits)
    if image.dtype.kind == "u":
        steps += _gammas(held, bits, suspect_bits)
    return list({(s.name, *s.parameters.items()): s for s in steps}.values())
