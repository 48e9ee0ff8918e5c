"""Benign transforms of an image, as named steps that can be applied again, and how exactly each must fit.

A step is a name and its parameters, nothing else: whoever holds the original repeats it with `apply_steps`. The limits
below keep the catalogue benign: a strong enough crop, window or compression removes the finding itself.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from nocere.core.errors import PrerequisiteError

Image: TypeAlias = NDArray[np.integer[Any]]
Parameters: TypeAlias = Mapping[str, int | float | str]

JPEG_QUALITY = (30, 100)
JPEG_SUBSAMPLING = ("4:4:4", "4:2:2", "4:2:0")
JPEG2000_RATIO = (1.5, 50.0)
GAIN, OFFSET, GAMMA = (0.5, 2.0), 0.25, (0.4, 2.5)  # gain and offset are of the full scale, 1 and 0 being unchanged
UNSATURATED = 0.1  # least share of pixels that a window may leave between black and white
CROP_SIDE, RESIZE_SIDE = 0.6, 0.25  # least share of each side that is kept
FILTERS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos", "bilinear-plain", "bilinear-fixed")
FLOAT_FILTERS = ("box-float", "bilinear-float", "bicubic-float", "lanczos-float")
WAVELETS = ("9/7", "5/3")
COMPONENTS = ("transformed", "separate")  # colour: with or without the multiple component transformation


@dataclass(frozen=True, slots=True)
class Step:
    """One transform: its name in `TOLERANCE` and its parameters."""

    name: str
    parameters: Parameters

    def __str__(self) -> str:
        said = ", ".join(
            f"{k.replace('_', ' ')} {v:.6g}" if isinstance(v, float) else f"{k.replace('_', ' ')} {v}"
            for k, v in self.parameters.items()
        )
        return f"{self.name} ({said})" if said else self.name


@dataclass(frozen=True, slots=True)
class Residual:
    """What a transform leaves over, in grey levels of the suspect.

    Attributes:
        mean: mean absolute difference over all samples.
        local: the same over the worst 8 x 8 window; a small edit hides in `mean`, not here.
        peak: largest absolute difference of one sample.
    """

    mean: float
    local: float
    peak: float

    def within(self, tolerance: Residual) -> bool:
        """Whether none of the three is above its tolerance."""
        return self.mean <= tolerance.mean and self.local <= tolerance.local and self.peak <= tolerance.peak


EXACT = Residual(0.0, 0.0, 0.0)

# How far two implementations of the same named transform were seen apart, rounded up; a larger residual is not
# explained by it. Measured by benchmarks/provenance_explain.py, section "tolerances", which names the implementations
# and those that are further apart and hence not covered.
TOLERANCE: Mapping[str, Residual] = {
    "identity": EXACT,
    "turn": EXACT,
    "crop": EXACT,
    "pad": EXACT,
    "depth": EXACT,
    "affine": EXACT,
    "window": EXACT,
    "gamma": EXACT,
    "resize": Residual(0.002, 0.1, 1.0),
    "jpeg": Residual(0.04, 0.5, 3.0),
    "jpeg2000": Residual(0.001, 0.05, 1.0),
}


def limits(bits: int, signed: bool) -> tuple[int, int]:
    """Lowest and highest value of `bits` declared bits."""
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)


def rounded(values: NDArray[np.float64], rounding: str, bits: int) -> Image:
    """To whole grey levels (ties to even, ties up, or cut off), clipped to unsigned `bits`."""
    whole = np.rint(values) if rounding == "even" else np.floor(values + (0.5 if rounding == "up" else 0.0))
    return np.clip(whole, 0, (1 << bits) - 1).astype(np.uint8 if bits <= 8 else np.uint16)


def _turn(image: Image, *, quarter_turns: int, mirrored: int) -> Image:
    """Mirror left to right first, then turn counter-clockwise."""
    turned: Image = np.rot90(image[:, ::-1] if mirrored else image, quarter_turns)
    return turned


def _crop(image: Image, *, top: int, left: int, rows: int, columns: int) -> Image:
    return image[top : top + rows, left : left + columns]


def _pad(image: Image, *, top: int, left: int, rows: int, columns: int, value: int) -> Image:
    out = np.full((rows, columns, *image.shape[2:]), value, dtype=image.dtype)
    out[top : top + image.shape[0], left : left + image.shape[1]] = image
    return out


def _neighbours(size: int, n: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """For each of `n` pixels the two nearest of `size` pixel centres and how far it lies between them."""
    at = np.clip((np.arange(n) + 0.5) * size / n - 0.5, 0, size - 1)
    low = np.floor(at).astype(np.intp)
    return low, np.minimum(low + 1, size - 1), at - low


def _plain(image: Image, rows: int, columns: int) -> Image:
    """Bilinear interpolation without a low-pass filter, in floating point."""
    out = image.astype(np.float32)
    for axis, n in ((1, columns), (0, rows)):
        low, high, part = _neighbours(image.shape[axis], n)
        weight = np.expand_dims(part, tuple(i for i in range(image.ndim) if i != axis)).astype(np.float32)
        first = out.take(low, axis)
        out = first + (out.take(high, axis) - first) * weight
    return np.rint(out).astype(image.dtype)


def _fixed(image: Image, rows: int, columns: int) -> Image:
    """The same in OpenCV's arithmetic for 8 bits: weights of 11 bits, 4 and 16 bits cut off between the two passes."""
    low, high, part = _neighbours(image.shape[1], columns)
    q = np.rint(part * 2048).astype(np.int32).reshape(-1, *[1] * (image.ndim - 2))
    wide = image.astype(np.int32)
    across = (wide[:, low] * (2048 - q) + wide[:, high] * q) >> 4
    low, high, part = _neighbours(image.shape[0], rows)
    q = np.rint(part * 2048).astype(np.int32).reshape(-1, *[1] * (image.ndim - 1))
    return ((((across[low] * (2048 - q)) >> 16) + ((across[high] * q) >> 16) + 2) >> 2).astype(image.dtype)


def resize(image: Image, rows: int, columns: int, kind: str) -> Image:
    """Resize [rows, columns(, samples)] with a filter of FILTERS or FLOAT_FILTERS.

    8-bit images as Pillow does them, in fixed point; deeper ones, and filters that end in "-float", in floating point
    as torch does them (antialias). "bilinear-plain" and "bilinear-fixed" have no low-pass filter (torch and OpenCV by
    default).
    """
    if kind in ("bilinear-plain", "bilinear-fixed"):
        fixed = kind == "bilinear-fixed" and image.dtype == np.uint8
        return _fixed(image, rows, columns) if fixed else _plain(image, rows, columns)
    how = Pillow.Resampling[kind.removesuffix("-float").upper()]
    if image.dtype == np.uint8 and not kind.endswith("-float"):
        return np.asarray(Pillow.fromarray(image).resize((columns, rows), how))
    planes = image[..., None] if image.ndim == 2 else image
    done = np.stack(
        [
            np.asarray(Pillow.fromarray(planes[..., i].astype(np.float32)).resize((columns, rows), how))
            for i in range(planes.shape[2])
        ],
        axis=-1,
    )
    info = np.iinfo(image.dtype)
    whole = np.floor(done + 0.5) if kind == "box-float" else np.rint(done)  # ties up, as OpenCV's INTER_AREA
    out: Image = np.clip(whole, info.min, info.max).astype(image.dtype)
    return out[..., 0] if image.ndim == 2 else out


def jpeg(image: Image, quality: int, subsampling: str) -> Image:
    """Encode 8-bit [rows, columns(, 3)] as baseline JPEG (ITU-T T.81) and decode it again."""
    held = io.BytesIO()
    Pillow.fromarray(image).save(held, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(Pillow.open(held))


def jpeg2000(image: Image, ratio: float, wavelet: str, components: str, bits: int) -> Image:
    """Encode as JPEG 2000 (ISO/IEC 15444-1, one quality layer) at a compression ratio and decode it again.

    Raises:
        PrerequisiteError: more than 8 bits without pylibjpeg-openjpeg, which is in the `dicom` extra.
    """
    together = image.ndim == 3 and components == "transformed"
    if bits > 8:
        try:
            from openjpeg.utils import decode, encode_array
        except ImportError as e:
            raise PrerequisiteError(
                "JPEG 2000 of more than 8 bits needs pylibjpeg-openjpeg.", 'Install it: pip install "nocere[dicom]".'
            ) from e
        colour = 1 if image.ndim == 3 else 2
        return np.asarray(
            decode(
                encode_array(
                    image,
                    bits_stored=bits,
                    photometric_interpretation=colour,
                    use_mct=together,
                    compression_ratios=[ratio],
                )
            )
        )
    held = io.BytesIO()
    Pillow.fromarray(image).save(
        held,
        "JPEG2000",
        quality_mode="rates",
        quality_layers=[ratio],
        irreversible=wavelet == "9/7",
        mct=int(together),
        no_jp2=True,
    )
    return np.asarray(Pillow.open(held))


def _grey(name: str, v: NDArray[np.float64], p: Mapping[str, Any], bits: int) -> Image:
    """Grey levels `v` of `bits` bits under the transforms that map each level by itself."""
    top = float((1 << int(p["bits"])) - 1)
    if name == "affine":
        v = v * p["gain"] + p["offset"]
    elif name == "window":  # PS3.3 C.11.2.1.2.1, LINEAR
        v = ((v - (p["centre"] - 0.5)) / (p["width"] - 1) + 0.5) * top
    elif name == "gamma":
        v = top * (np.clip(v, 0, None) / ((1 << bits) - 1)) ** p["gamma"]
    elif p["rule"] == "shift":
        v = v / (1 << (bits - int(p["bits"])))
    else:
        v = v * top / ((1 << bits) - 1)
    return rounded(v, str(p["rounding"]), int(p["bits"]))


def apply_step(image: Image, bits: int, step: Step) -> tuple[Image, int]:
    """Carry out one step: the transformed image and its declared bits.

    Raises:
        PrerequisiteError: the step needs a codec that is not installed.
        KeyError: the catalogue has no such step, or a parameter is missing.
    """
    p: Any = dict(step.parameters)
    if step.name == "identity":
        return image, bits
    if step.name in ("affine", "window", "gamma", "depth"):
        low, high = limits(bits, image.dtype.kind == "i")
        table = _grey(step.name, np.arange(low, high + 1, dtype=np.float64), p, bits)
        return table[image.astype(np.int32) - low], int(p["bits"])
    if step.name == "jpeg":
        return jpeg(image, p["quality"], p["subsampling"]), bits
    if step.name == "jpeg2000":
        return jpeg2000(image, p["ratio"], p["wavelet"], p["components"], bits), bits
    if step.name == "resize":
        return resize(image, p["rows"], p["columns"], p["filter"]), bits
    moves: dict[str, Callable[..., Image]] = {"turn": _turn, "crop": _crop, "pad": _pad}
    return np.ascontiguousarray(moves[step.name](image, **p)), bits


def apply_steps(image: Image, bits: int, steps: Iterable[Step]) -> Image:
    """Carry out `steps` in order on an image [rows, columns(, samples)] of `bits` declared bits.

    Raises:
        PrerequisiteError: a step needs a codec that is not installed.
        KeyError: the catalogue has no such step, or a parameter is missing.
    """
    for step in steps:
        image, bits = apply_step(image, bits, step)
    return image
