"""Which mapping of grey levels brings one image onto another: read off the mean of the suspect at each grey level."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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


def benign(step: Step, bits: int) -> bool:
    """Whether a fitted grey mapping of an image of `bits` bits is within the limits of the catalogue."""
    p: Any = step.parameters
    top = (1 << int(p["bits"])) - 1
    if step.name == "affine":
        gain = p["gain"] * ((1 << bits) - 1) / top
        return bool(GAIN[0] <= gain <= GAIN[1] and abs(p["offset"]) <= OFFSET * top)
    if step.name == "gamma":
        return bool(GAMMA[0] <= p["gamma"] <= GAMMA[1])
    return bool(p["width"] > 1)


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
    """Linear mappings near the fit: with few digits, then with the parameters of the exact fit."""
    top = float((1 << suspect_bits) - 1)
    fit = _straight(held, top)
    if fit is None or fit[0] <= 0:
        return
    fits = [(r, pair) for r in ("even", "down") if (pair := _exact(held, top, r)) is not None and pair[0] > 0]
    fits.append(("even", fit))
    few = [_few_digits(held, *fit, suspect_bits), _whole_windows(fits, suspect_bits)]
    for steps in few if suspect_bits == bits else reversed(few):
        yield from (s for s in steps if benign(s, bits))
    for rounding, pair in fits:
        free = affine(*pair, suspect_bits, rounding)
        yield free if benign(free, bits) else window(*_windows(*pair, suspect_bits), suspect_bits, rounding)


def _few_digits(held: Curve, gain: float, offset: float, bits: int) -> list[Step]:
    v, m, n = held
    steps = []
    for digits in (1, 2, 3):
        near = round(gain, digits)
        # The offset belongs to the rounded gain, so it is taken where the data are: at their mean.
        at = float((m * n).sum() / n.sum() - near * (v * n).sum() / n.sum())
        offsets = dict.fromkeys((float(round(at)), float(round(offset)), float(round(offset, 1))))
        steps += [affine(near, o, bits, r) for r in ("even", "up", "down") for o in offsets]
    return steps


def _whole_windows(fits: list[tuple[str, tuple[float, float]]], bits: int) -> list[Step]:
    found = [(rounding, *_windows(*pair, bits)) for rounding, pair in fits]
    return [
        window(c, max(2, round(width)), bits, rounding)
        for rounding, centre, width in found
        for c in dict.fromkeys((round(centre), round(2 * centre) / 2))
    ]


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
        few = [*(round(gamma, d) for d in (1, 2, 3)), *(1 / round(1 / gamma, d) for d in (1, 2) if gamma > 0.1)]
        for g in dict.fromkeys([*few, gamma]):
            step = Step("gamma", {"gamma": float(g), "bits": suspect_bits, "rounding": rounding})
            if benign(step, bits):
                yield step


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
