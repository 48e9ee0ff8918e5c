"""A procedural dermoscopy phantom in the manner of the ABCD rule: synthetic, seeded, with known truth.

A lesion is drawn from five documented features. A panel of simulated readers scores those features, each
reader with noise of their own, and the majority vote is the label; hence borderline cases exist and the
classes overlap. Everything else in the picture is a nuisance drawn without knowledge of the lesion.
Lengths are millimetres in a square field of view of `FIELD_MM`; intensities are grey levels 0..255.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nocere.cases.phantoms.drawing import FIELD_MM, Array, Described, Sample, grid, sample, sigmoid, smooth

READERS = 7


FEATURES: dict[str, Described] = {
    "asymmetry": Described(0.0, 1.0, "one-sided outline, and a dark core pushed off the centre"),
    "border": Described(0.0, 1.0, "irregularity of the outline: notches and lobes up to a third of the radius"),
    "colours": Described(1.0, 6.0, "count of colours: brown, then any of dark brown, black, red, blue-grey, white"),
    "diameter": Described(3.0, 9.0, "mean diameter in mm"),
    "structure": Described(0.0, 1.0, "pigment network from fine and regular to broad, dark, distorted; globules 0..10"),
}

NUISANCES: dict[str, Described] = {
    "skin": Described(0.0, 1.0, "skin tone from light to brown"),
    "hairs": Described(0.0, 6.0, "count of hairs across the field"),
    "vignette": Described(0.0, 0.35, "share of light lost in the corners"),
    "gradient": Described(0.0, 0.12, "relative change of the light across the field"),
    "gain": Described(0.9, 1.08, "exposure"),
    "noise": Described(0.5, 1.5, "standard deviation of the sensor noise, grey levels"),
    "shift_x": Described(-0.9, 0.9, "position of the lesion, mm right of the centre"),
    "shift_y": Described(-0.9, 0.9, "position of the lesion, mm below the centre"),
    "rotation": Described(0.0, 6.2832, "rotation of the lesion, radians"),
    "elongation": Described(1.0, 1.35, "long over short axis; symmetric, so no sign of asymmetry"),
    "depth": Described(0.8, 1.1, "overall strength of the pigment"),
}


@dataclass(frozen=True, slots=True)
class Lesion:
    """What the readers judge; ranges and meanings in `FEATURES`."""

    asymmetry: float
    border: float
    colours: int
    diameter: float
    structure: float

    def malignancy(self) -> float:
        """The panel's shared score: positive is malignant, about -1..1. Known only through visible features."""
        return (
            0.44 * (self.asymmetry - 0.5)
            + 0.44 * (self.border - 0.5)
            + 0.44 * (self.colours - 3.5) / 5.0
            + 0.30 * (self.diameter - 6.0) / 6.0
            + 0.38 * (self.structure - 0.5)
        )


@dataclass(frozen=True, slots=True)
class Scene:
    """How the lesion was photographed; ranges and meanings in `NUISANCES`."""

    skin: float
    hairs: int
    vignette: float
    gradient: float
    gain: float
    noise: float
    shift_x: float
    shift_y: float
    rotation: float
    elongation: float
    depth: float


# Separate streams, so that no change to the photograph can move a label.
_LESION, _SCENE, _READERS, _RENDER = range(4)
# Spread of the latent inside a class and of each feature about it, and of a reader about the shared score.
_CENTRE, _SPREAD, _SCATTER, _READER_NOISE = 1.0, 0.4, 0.85, 0.3

_SKIN = np.array([[236, 205, 188], [172, 126, 102]], np.float32)
_BROWN = np.array([150, 100, 70], np.float32)
_CORE = np.array([112, 68, 48], np.float32)
_EXTRA = np.array(
    [[84, 50, 38], [46, 36, 38], [182, 78, 78], [104, 114, 136], [222, 206, 200]],  # dark brown .. white
    np.float32,
)


def draw(seed: int, index: int, size: int = 96) -> Sample:
    """The phantom case number `index` of the stream `seed`, `size` pixels square."""
    lesion = _lesion(np.random.default_rng([seed, index, _LESION]))
    scene = _scene(np.random.default_rng([seed, index, _SCENE]))
    opinions = lesion.malignancy() + _READER_NOISE * np.random.default_rng([seed, index, _READERS]).normal(size=READERS)
    picture = render(lesion, scene, np.random.default_rng([seed, index, _RENDER]), size)
    return sample(picture, opinions, lesion, scene)


def _lesion(rng: np.random.Generator) -> Lesion:
    latent = (1.0 if rng.random() < 0.5 else -1.0) * _CENTRE + _SPREAD * rng.normal()
    score = 1.0 / (1.0 + np.exp(-(latent + _SCATTER * rng.normal(size=5))))
    return Lesion(
        asymmetry=float(score[0]),
        border=float(score[1]),
        colours=1 + round(5.0 * float(score[2])),
        diameter=3.0 + 6.0 * float(score[3]),
        structure=float(score[4]),
    )


def _scene(rng: np.random.Generator) -> Scene:
    values = {name: float(rng.uniform(d.low, d.high)) for name, d in NUISANCES.items() if name != "hairs"}
    hairs = int(rng.integers(0, int(NUISANCES["hairs"].high) + 1)) if rng.random() < 0.5 else 0
    return Scene(hairs=hairs, **values)


def render(
    lesion: Lesion, scene: Scene, rng: np.random.Generator, size: int = 96
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The picture [3, size, size] of a lesion in a scene, and its mask [size, size].

    `rng` decides only what neither describes: phases of the outline, places of patches, hairs, noise.
    """
    u, v = _lesion_axes(scene, size)
    angle, distance = np.arctan2(v, u), np.hypot(u, v)
    radius = 0.5 * lesion.diameter
    outline = radius * np.interp(angle, _ANGLES, _outline(lesion, rng)).astype(np.float32)
    inside = sigmoid((outline - distance) / 0.16)

    skin = (1.0 - scene.skin) * _SKIN[0] + scene.skin * _SKIN[1]
    skin_field = skin[:, None, None] * (1.0 + 0.025 * smooth(rng, size, 9))
    shade = float(skin.mean() / _SKIN[0].mean())

    a, b = _polar(0.55 * radius * lesion.asymmetry, rng)
    core = np.exp(((u - a) ** 2 + (v - b) ** 2) * (-1.0 / (0.55 * radius) ** 2))
    pigment = _BROWN[:, None, None] + core * (_CORE - _BROWN)[:, None, None]
    pigment = pigment * (1.0 + 0.05 * smooth(rng, size, 14))
    extra, turn = lesion.colours - 1, rng.uniform(0, 2 * math.pi)
    for place, colour in enumerate(rng.permutation(len(_EXTRA))[:extra]):
        # Spread around the lesion, or one patch would hide another and the count could not be seen.
        bearing = turn + (place + rng.uniform(-0.25, 0.25)) * 2 * math.pi / extra
        reach = radius * rng.uniform(0.35, 0.75)
        a, b = reach * math.cos(bearing), reach * math.sin(bearing)
        width = radius * rng.uniform(0.24, 0.38)
        gap = np.hypot(u - a, v - b) + 0.25 * smooth(rng, size, 14)
        patch = 0.8 * sigmoid((width - gap) / 0.18)
        pigment = pigment + patch * (_EXTRA[colour][:, None, None] - pigment)
    pigment = pigment * (1.0 - _structures(lesion, u, v, rng, size))

    cover = inside * np.float32(0.86 * scene.depth)
    picture = skin_field + cover * (pigment * (0.4 + 0.6 * shade) - skin_field)
    picture = _hairs(picture, scene.hairs, rng, size)
    picture = picture * _light(scene, rng, size) + scene.noise * rng.standard_normal((3, size, size), np.float32)
    mask = (distance < outline).astype(np.uint8)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8), mask


def _lesion_axes(scene: Scene, size: int) -> tuple[Array, Array]:
    """Coordinates [H, W] in mm along the long and the short axis of the lesion; unchanged in area."""
    x, y = grid(size)
    x, y = x - np.float32(scene.shift_x), y - np.float32(scene.shift_y)
    cos, sin = np.float32(math.cos(scene.rotation)), np.float32(math.sin(scene.rotation))
    stretch = np.float32(math.sqrt(scene.elongation))
    along, across = (cos * x + sin * y) / stretch, (cos * y - sin * x) * stretch
    return along.astype(np.float32, copy=False), across.astype(np.float32, copy=False)


_ANGLES = np.linspace(-np.pi, np.pi, 361)


def _outline(lesion: Lesion, rng: np.random.Generator) -> NDArray[np.float64]:
    """Radius over mean radius at `_ANGLES`: low harmonics make it one-sided, high ones irregular."""
    low = np.array([1, 3])
    wave = lesion.asymmetry * (np.array([0.13, 0.13]) @ np.cos(low[:, None] * _ANGLES + _phases(rng, 2)))
    high = np.arange(5, 12)
    strength = rng.uniform(0.5, 1.0, len(high)) / np.sqrt(len(high))
    wave = wave + 0.16 * lesion.border * (strength @ np.cos(high[:, None] * _ANGLES + _phases(rng, len(high))))
    return np.asarray(np.maximum(1.0 + wave, 0.35))


def _phases(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    return rng.uniform(0, 2 * np.pi, (count, 1))


def _structures(lesion: Lesion, u: Array, v: Array, rng: np.random.Generator, size: int) -> Array:
    """Share of light [H, W] taken by the pigment network and the globules."""
    warp = np.float32(0.08 + 0.35 * lesion.structure)
    p, q = u + warp * smooth(rng, size, 10), v + warp * smooth(rng, size, 10)
    turn, pitch = rng.uniform(0, 2 * math.pi), 2 * math.pi / rng.uniform(0.85, 1.1)
    mesh = np.zeros_like(u)
    for third in range(3):
        bearing = turn + third * 2 * math.pi / 3
        mesh += np.cos(pitch * math.cos(bearing) * p + pitch * math.sin(bearing) * q)
    lines = sigmoid((lesion.structure - 0.5 - mesh) / 0.35)
    taken = (0.10 + 0.20 * lesion.structure) * lines
    for _ in range(round(10 * lesion.structure)):
        a, b = _polar(0.5 * lesion.diameter * rng.uniform(0.55, 0.95), rng)
        taken = np.maximum(taken, 0.5 * sigmoid(2.0 - 50.0 * ((u - a) ** 2 + (v - b) ** 2)))
    return np.asarray(taken, np.float32)


def _hairs(picture: Array, count: int, rng: np.random.Generator, size: int) -> Array:
    if count == 0:
        return picture
    ink = np.zeros((size, size), np.float32)
    along = np.linspace(0, 1, 3 * size)[:, None]
    for _ in range(count):
        start, bend, end = rng.uniform(-0.1, 1.1, (3, 2)) * size
        curve = (1 - along) ** 2 * start + 2 * along * (1 - along) * bend + along**2 * end
        row, column = curve.astype(int).T
        seen = (row >= 0) & (row < size) & (column >= 0) & (column < size)
        ink[row[seen], column[seen]] = 1.0
    ink = np.minimum(1.5 * ndimage.gaussian_filter(ink, 0.6 * size / 96), 1.0)
    return np.asarray(picture + ink * 0.75 * (np.float32(48.0) - picture), np.float32)


def _light(scene: Scene, rng: np.random.Generator, size: int) -> Array:
    x, y = grid(size)
    bearing, half = rng.uniform(0, 2 * math.pi), FIELD_MM / 2
    tilt = scene.gradient / FIELD_MM * (math.cos(bearing) * x + math.sin(bearing) * y)
    corner = (x**2 + y**2) / (2 * half**2)
    return np.asarray(scene.gain * (1.0 + tilt - scene.vignette * corner * np.sqrt(corner)), np.float32)


def _polar(distance: float, rng: np.random.Generator) -> tuple[float, float]:
    """The point at `distance` in a random direction."""
    bearing = rng.uniform(0, 2 * math.pi)
    return distance * math.cos(bearing), distance * math.sin(bearing)
