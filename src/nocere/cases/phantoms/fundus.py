"""A procedural colour fundus phantom of diabetic retinopathy: synthetic, seeded, with known truth.

Every eye holds at least one microaneurysm; how many lesions there are of three kinds, how large and how distinct
are the documented features. Simulated readers score them, each with noise of their own, and the majority vote is
the label; hence classes overlap. Eye and photograph are nuisances from other random streams. Lengths are half
fields of view (the picture spans -1..1); intensities are grey levels 0..255.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import default_rng
from numpy.typing import NDArray
from scipy import ndimage

from nocere.cases.phantoms.drawing import FIELD_MM, Array, Described, Sample, grid, sample, sigmoid, smooth

READERS = 9
LESIONS_WITHIN = 0.68  # No centre of a lesion lies farther from the centre of the field.

FEATURES: dict[str, Described] = {
    "microaneurysms": Described(1.0, 12.0, "count of small dark red dots"),
    "haemorrhages": Described(0.0, 8.0, "count of dark red blots of irregular shape"),
    "exudates": Described(0.0, 10.0, "count of bright yellow spots, clustered beside the fovea"),
    "size": Described(0.8, 1.5, "relative diameter of all lesions"),
    "contrast": Described(14.0, 60.0, "grey levels a lesion differs by in green, before the light falls off"),
}

NUISANCES: dict[str, Described] = {
    "side": Described(-1.0, 1.0, "-1 right eye, 1 left eye: on which side of the picture the macula lies"),
    "pigment": Described(0.0, 1.0, "fundus from light orange to dark brown"),
    "tessellation": Described(0.0, 1.0, "visibility of the choroid"),
    "disc": Described(0.13, 0.165, "radius of the optic disc, half fields"),
    "tortuosity": Described(0.0, 1.0, "winding of the vessels"),
    "shift_x": Described(-0.06, 0.06, "gaze: the fundus moves right in the field, half fields"),
    "shift_y": Described(-0.06, 0.06, "gaze: the fundus moves down in the field, half fields"),
    "field": Described(0.93, 1.0, "radius of the round field, half fields"),
    "crop": Described(0.0, 0.2, "part of the field cut at the top and at the bottom, half fields"),
    "vignette": Described(0.0, 0.3, "share of light lost at the border of the field"),
    "gradient": Described(-0.12, 0.12, "relative change of the light from left to right"),
    "gain": Described(0.9, 1.08, "exposure"),
    "noise": Described(0.5, 1.5, "standard deviation of the sensor noise, grey levels"),
}


@dataclass(frozen=True, slots=True)
class Lesions:
    """What the readers judge; ranges and meanings in `FEATURES`."""

    microaneurysms: int
    haemorrhages: int
    exudates: int
    size: float
    contrast: float

    def severity(self) -> float:
        """The panel's shared score: positive is referable, about -1..1. Known only through visible features."""
        return (
            0.35 * (self.microaneurysms - 6.5) / 11.0
            + 0.65 * (self.haemorrhages - 4.0) / 8.0
            + 0.65 * (self.exudates - 5.0) / 10.0
            + 0.25 * (self.size - 1.15) / 0.7
            + 0.25 * (self.contrast - 37.0) / 46.0
        )


@dataclass(frozen=True, slots=True)
class Eye:
    """Which eye it is and how it was photographed; ranges and meanings in `NUISANCES`."""

    side: int
    pigment: float
    tessellation: float
    disc: float
    tortuosity: float
    shift_x: float
    shift_y: float
    field: float
    crop: float
    vignette: float
    gradient: float
    gain: float
    noise: float


# Separate streams, so that neither eye nor photograph can move a label.
_LESIONS, _EYE, _READERS, _PLACE, _RENDER = range(20, 25)
# Spread of the latent inside a class and of each feature about it, and of a reader about the shared score.
_CENTRE, _SPREAD, _SCATTER, _READER_NOISE = 1.15, 0.5, 0.9, 0.4

_FUNDUS = np.array([[226, 124, 66], [142, 68, 40]], np.float32)
_RIM, _CUP = np.array([[248, 206, 140], [255, 238, 196]], np.float32)
_DARK, _BRIGHT = np.array([[-0.8, -1.0, -0.5], [0.5, 1.3, 0.5]], np.float32)


def draw(seed: int, index: int, size: int = 96) -> Sample:
    """The phantom case number `index` of the stream `seed`, `size` pixels square."""
    lesions = _lesions(default_rng([seed, index, _LESIONS]))
    eye = _eye(default_rng([seed, index, _EYE]))
    opinions = lesions.severity() + _READER_NOISE * default_rng([seed, index, _READERS]).normal(size=READERS)
    picture = render(lesions, eye, default_rng([seed, index, _PLACE]), default_rng([seed, index, _RENDER]), size)
    return sample(picture, opinions, lesions, eye)


def _lesions(rng: np.random.Generator) -> Lesions:
    latent = (1.0 if rng.random() < 0.5 else -1.0) * _CENTRE + _SPREAD * rng.normal()
    score = 1.0 / (1.0 + np.exp(-(latent + _SCATTER * rng.normal(size=len(FEATURES)))))
    low, high = np.array([(d.low, d.high) for d in FEATURES.values()]).T
    dots, blots, spots, size, contrast = (low + (high - low) * score).tolist()
    return Lesions(round(dots), round(blots), round(spots), size, contrast)


def _eye(rng: np.random.Generator) -> Eye:
    values = {name: float(rng.uniform(d.low, d.high)) for name, d in NUISANCES.items() if name != "side"}
    return Eye(side=1 if rng.random() < 0.5 else -1, **values)


def render(
    lesions: Lesions, eye: Eye, place: np.random.Generator, rng: np.random.Generator, size: int = 96
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The picture [3, size, size] of lesions in an eye, and the mask [size, size] of the lesions.

    `place` decides where the lesions lie, `rng` the course of vessels, textures and noise.
    """
    fx, fy = (2 / FIELD_MM * axis for axis in grid(size))
    x, y = eye.side * (fx - eye.shift_x), fy - eye.shift_y  # x grows from the disc towards the macula
    base = _FUNDUS[0] + eye.pigment * (_FUNDUS[1] - _FUNDUS[0])
    relief = 0.04 * smooth(rng, size, 6) + (0.01 + 0.035 * eye.tessellation) * smooth(rng, size, 20)
    macula = np.exp(((x - _MACULA) ** 2 + y**2) / -0.05) + np.exp(((x - _MACULA) ** 2 + y**2) / -0.006)
    picture = base[:, None, None] * (1 + relief - 0.2 * macula)
    far = np.hypot(x - _DISC, 0.92 * y)
    for radius, colour, edge in ((eye.disc, _RIM, 0.018), (0.45 * eye.disc, _CUP, 0.025)):
        picture = picture + 0.92 * sigmoid((radius - far) / edge) * (colour[:, None, None] - picture)
    ink = _vessels(eye, rng, size)
    picture = picture * (1 - ink * np.array([0.3, 0.52, 0.4], np.float32)[:, None, None])

    dark, bright = _marks(lesions, eye, place, size)
    picture = picture + lesions.contrast * (dark * _DARK[:, None, None] + bright * _BRIGHT[:, None, None])

    out = np.hypot(fx, fy)
    light = eye.gain * (1 + eye.gradient * fx - eye.vignette * out**3)
    opened = sigmoid((eye.field - out) / 0.008) * sigmoid((1 - eye.crop - np.abs(fy)) / 0.008)
    picture = 4 + picture * light * opened + eye.noise * rng.standard_normal((3, size, size), np.float32)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8), (np.maximum(dark, bright) > 0.5).astype(np.uint8)


_DISC, _MACULA = -0.45, 0.12
# Start, control and end of the four arcades: temporal and nasal, above and below.
_BELOW = np.array([[(_DISC, 0), (-0.38, 0.78), (0.75, 0.4)], [(_DISC, 0), (-0.6, 0.35), (-0.95, 0.75)]])
_ARCADES = np.concatenate([_BELOW, _BELOW * (1, -1)])


def _vessels(eye: Eye, rng: np.random.Generator, size: int) -> Array:
    """Share of ink [H, W]: an artery and a vein along each of four arcades, and their branches."""
    trunks = np.repeat(_ARCADES, 2, axis=0) + rng.normal(0, (0.005, 0.05, 0.05), (2, 8, 3)).transpose(1, 2, 0)
    wide = _curves(trunks, eye, rng, size)
    twig = rng.integers(len(wide[0]) // 5, len(wide[0]) * 4 // 5, 24)
    root = wide.repeat(3, axis=0)[np.arange(24), twig]
    reach = rng.uniform((0.15, -0.45), (0.5, 0.45), (24, 2)) * np.sign(trunks[:, 2:, :]).repeat(3, axis=0)[:, 0]
    thin = _curves(np.stack([root, root + reach * (0.7, 0.2), root + reach], 1), eye, rng, size)
    ink = np.zeros((2, size, size), np.float32)
    for sheet, curves in zip(ink, (wide, thin), strict=True):
        shade = np.tile(np.array([1.0, 0.65], np.float32).repeat(len(curves) // 8), 4).repeat(curves.shape[1])
        x, y = curves.reshape(-1, 2).T
        column, row = (((at + 1) * size / 2).astype(int) for at in (eye.side * x + eye.shift_x, y + eye.shift_y))
        seen = (row >= 0) & (row < size) & (column >= 0) & (column < size)
        sheet[row[seen], column[seen]] = shade[seen]
    soft = [ndimage.gaussian_filter(s, w * size / 96) for s, w in zip(ink, (0.85, 0.6), strict=True)]
    return np.asarray(np.minimum(1.7 * soft[0] + 0.8 * soft[1], 1.0), np.float32)


def _curves(points: NDArray[np.floating], eye: Eye, rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Points [C, T, 2] along C winding Bezier curves of three points each."""
    t = np.linspace(0, 1, 2 * size)[:, None]
    straight = np.concatenate([(1 - t) ** 2, 2 * t * (1 - t), t**2], 1) @ points
    wave = np.sin(rng.uniform(12, 24, (len(points), 1, 1)) * t + rng.uniform(0, 2 * math.pi, (len(points), 1, 2)))
    return np.asarray(straight + 0.022 * eye.tortuosity * np.sqrt(t) * wave)


def _marks(lesions: Lesions, eye: Eye, place: np.random.Generator, size: int) -> tuple[Array, Array]:
    """Weights [H, W] of the dark and of the bright lesions."""
    home, fovea = (np.array([eye.side * at + eye.shift_x, eye.shift_y]) for at in (_DISC, _MACULA))
    spots = LESIONS_WITHIN * place.uniform(-1, 1, (200, 2))
    spots = spots[(np.hypot(*spots.T) < LESIONS_WITHIN) & (np.hypot(*(spots - home).T) > 0.3)]
    dots, blots = spots[: lesions.microaneurysms], spots[20 : 20 + lesions.haemorrhages]
    lobes = blots.repeat(4, axis=0) + lesions.size * place.normal(0, 0.022, (4 * len(blots), 2))
    dark = _ink(dots, 0.017 * lesions.size, size) + _ink(lobes, 0.02 * lesions.size, size)
    ring = place.uniform(0, 2 * math.pi) + np.cumsum(place.uniform(0.15, 0.45, lesions.exudates))
    bright = fovea + place.uniform(0.17, 0.34, (lesions.exudates, 1)) * np.stack([np.cos(ring), np.sin(ring)], 1)
    return np.minimum(dark, 1), np.minimum(_ink(bright, 0.02 * lesions.size, size), 1)


def _ink(centres: NDArray[np.float64], width: float, size: int) -> Array:
    """Round spots [H, W] of one width, a little flat on top; a Gaussian is the product of its profiles."""
    axis = (np.arange(size) + 0.5) / size * 2 - 1
    across, down = np.exp((axis - centres.T[..., None]) ** 2 / (-2 * width**2))
    return np.asarray(np.minimum(1.4 * down.T @ across, 1.0), np.float32)
