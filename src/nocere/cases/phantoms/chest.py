"""A procedural chest X-ray phantom, frontal view: synthetic, seeded, with known truth.

Every film holds one shadow in a lung, drawn from four documented features: where they are low it is a wisp that
passes for vessels, where they are high it is a consolidation. Simulated readers score the features, each with
noise of their own, and the majority vote is the label; hence classes overlap. Anatomy and exposure are nuisances
from other random streams. Lengths are half fields of view (the picture spans -1..1); dense is bright.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import default_rng
from numpy.typing import NDArray

from nocere.cases.phantoms.drawing import FIELD_MM, Array, Described, Sample, grid, sample, sigmoid, smooth

READERS = 5

FEATURES: dict[str, Described] = {
    "extent": Described(0.07, 0.27, "mean radius of the shadow, half fields"),
    "contrast": Described(17.0, 57.0, "grey levels the shadow adds to the lung"),
    "texture": Described(0.0, 1.0, "from an even haze to a mottled shadow with dark air bronchograms"),
    "silhouette": Described(0.0, 1.0, "loss of the border between the lung and the heart on the side of the shadow"),
}

NUISANCES: dict[str, Described] = {
    "view": Described(0.0, 1.0, "0 PA, 1 AP: wider heart, higher diaphragm, shoulder blades over the lungs"),
    "heart": Described(0.9, 1.12, "relative width of the heart"),
    "ribs": Described(0.6, 1.15, "relative density of ribs and collar bones"),
    "vessels": Described(0.6, 1.2, "relative density of hila and lung vessels"),
    "bubble": Described(0.0, 1.0, "gas in the stomach"),
    "habitus": Described(0.95, 1.06, "relative width of the chest"),
    "shift_x": Described(-0.05, 0.05, "position, half fields right of the centre"),
    "shift_y": Described(-0.04, 0.04, "position, half fields below the centre"),
    "tilt": Described(-0.06, 0.06, "rotation in the plane of the film, radians"),
    "gain": Described(0.9, 1.08, "exposure: overall brightness"),
    "gamma": Described(0.85, 1.15, "exposure: exponent of the grey scale"),
    "gradient": Described(-0.08, 0.08, "relative change of brightness across the film"),
    "noise": Described(0.8, 2.5, "standard deviation of the noise, grey levels"),
    "marker": Described(0.0, 2.0, "side marker: 0 none, 1 an R, 2 an L; always on the patient's own side"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What the readers judge; ranges and meanings in `FEATURES`."""

    extent: float
    contrast: float
    texture: float
    silhouette: float

    def opacity(self) -> float:
        """The panel's shared score: positive is an opacity, about -1..1. Known only through visible features."""
        return (
            0.65 * (self.extent - 0.17) / 0.2
            + 0.65 * (self.contrast - 37.0) / 40.0
            + 0.25 * (self.texture - 0.5)
            + 0.55 * (self.silhouette - 0.5)
        )


@dataclass(frozen=True, slots=True)
class Film:
    """Whose chest it is and how it was exposed; ranges and meanings in `NUISANCES`."""

    view: int
    heart: float
    ribs: float
    vessels: float
    bubble: float
    habitus: float
    shift_x: float
    shift_y: float
    tilt: float
    gain: float
    gamma: float
    gradient: float
    noise: float
    marker: int


# Separate streams, so that neither anatomy nor exposure can move a label.
_FINDING, _FILM, _READERS, _PLACE, _RENDER = range(10, 15)
# Spread of the latent inside a class and of each feature about it, and of a reader about the shared score.
_CENTRE, _SPREAD, _SCATTER, _READER_NOISE = 1.2, 0.5, 0.9, 0.35


def draw(seed: int, index: int, size: int = 96) -> Sample:
    """The phantom case number `index` of the stream `seed`, `size` pixels square."""
    finding = _finding(default_rng([seed, index, _FINDING]))
    film = _film(default_rng([seed, index, _FILM]))
    opinions = finding.opacity() + _READER_NOISE * default_rng([seed, index, _READERS]).normal(size=READERS)
    picture = render(finding, film, default_rng([seed, index, _PLACE]), default_rng([seed, index, _RENDER]), size)
    return sample(picture, opinions, finding, film)


def _finding(rng: np.random.Generator) -> Finding:
    latent = (1.0 if rng.random() < 0.5 else -1.0) * _CENTRE + _SPREAD * rng.normal()
    score = 1.0 / (1.0 + np.exp(-(latent + _SCATTER * rng.normal(size=len(FEATURES)))))
    low, high = np.array([(d.low, d.high) for d in FEATURES.values()]).T
    return Finding(*(low + (high - low) * score).tolist())


def _film(rng: np.random.Generator) -> Film:
    values = {n: float(rng.uniform(d.low, d.high)) for n, d in NUISANCES.items() if n not in ("view", "marker")}
    return Film(view=int(rng.random() < 0.4), marker=int(rng.integers(0, 3)), **values)


def render(
    finding: Finding, film: Film, place: np.random.Generator, rng: np.random.Generator, size: int = 96
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The picture [1, size, size] of a finding on a film, and the mask [size, size] of the shadow.

    `place` decides where and in which pattern the shadow lies, `rng` textures of the chest and noise.
    """
    x, y = _chest_axes(film, size)
    u, side = np.abs(x), np.sign(x)
    wall = np.float32(0.79) * np.sqrt(np.clip(1 - ((y - 0.25) / 1.06) ** 2, 0, 1))
    dome = 0.56 - 0.06 * film.view + 0.03 * side + 0.9 * (u - 0.36) ** 2
    a, b = 0.825 * (x - 0.15) + 0.565 * (y - 0.33), 0.825 * (y - 0.33) - 0.565 * (x - 0.15)
    heart = sigmoid((1.0 - np.hypot(a / 0.38, b / 0.3) / (film.heart * (1.0 + 0.12 * film.view))) / 0.035)
    inner = 0.15 + 0.06 * _blob(u, y, 0.1, 0.05, 0.25)
    lung = sigmoid((wall - u) / 0.016) * sigmoid((u - inner) / 0.025) * sigmoid((dome - y) / 0.016)
    lung = lung * (1.0 - heart) * (1.0 - 0.55 * _blob(x, y, 0.17, -0.3, 0.09))
    fog, shadow = _shadow(finding, x, y, place, size)
    clear = lung * (1.0 - 0.7 * finding.silhouette * fog)

    shoulder = -0.94 + 0.55 * np.maximum(u - 0.24, 0) ** 1.4
    body = np.maximum(sigmoid((y - shoulder) / 0.03) * sigmoid((0.98 - u) / 0.02), sigmoid((0.24 - u) / 0.03))
    grey = 10 + body * (122 + 30 * sigmoid((y - dome) / 0.05) * sigmoid((wall - u) / 0.05))
    grey = grey + 30 * np.exp(-((x / 0.17) ** 2)) * sigmoid((y + 0.75) / 0.12) + 16 * heart - 90 * clear
    spine, trachea = sigmoid((0.085 - u) / 0.015), sigmoid((0.05 - u) / 0.015) * sigmoid((-0.3 - y) / 0.05)
    grey = grey + spine * (10 + 5 * np.cos(y * (2 * math.pi / 0.16))) - 26 * trachea
    grey = grey - 45 * film.bubble * _blob(x, y, 0.42, 0.82, 0.13) + 4 * body * smooth(rng, size, 7)
    grey = grey + film.ribs * _bones(film, x, y, wall)
    grey = grey + lung * (finding.contrast * shadow + film.vessels * _vessels(x, y, rng, size))
    grey = 255 * np.clip(grey / 255, 0, 1) ** film.gamma * film.gain * (1 + film.gradient * y)
    grey = _mark(grey, film.marker, size) + film.noise * rng.standard_normal((size, size), np.float32)
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)[None], (lung * shadow > 0.3).astype(np.uint8)


def _chest_axes(film: Film, size: int) -> tuple[Array, Array]:
    x, y = (2 / FIELD_MM * axis - shift for axis, shift in zip(grid(size), (film.shift_x, film.shift_y), strict=True))
    along = (math.cos(film.tilt) * x + math.sin(film.tilt) * y) / film.habitus
    return np.asarray(along, np.float32), np.asarray(math.cos(film.tilt) * y - math.sin(film.tilt) * x, np.float32)


def _shadow(finding: Finding, x: Array, y: Array, place: np.random.Generator, size: int) -> tuple[Array, Array]:
    """Weights [H, W]: where the border of the heart may be lost, and the shadow itself, both for a whole lung."""
    side = 1.0 if place.random() < 0.5 else -1.0
    b = place.uniform(-0.4, 0.0 if side > 0 else 0.25)  # not behind the heart
    a = side * place.uniform(0.42 if side > 0 else 0.32, 0.55)
    gap = np.hypot(x - a, y - b) + 0.18 * finding.extent * smooth(place, size, 9)
    shadow = sigmoid((finding.extent - gap) / (0.02 + 0.12 * finding.extent))
    holes = sigmoid((smooth(place, size, 22) - 0.1) / 0.25)
    fog = _blob(x, y, side * 0.24 + 0.14 * (side > 0), 0.2, 0.2) * (x * side > 0)
    return np.asarray(fog, np.float32), np.asarray(shadow * (1 - 0.7 * finding.texture * holes), np.float32)


def _bones(film: Film, x: Array, y: Array, wall: Array) -> Array:
    """Grey levels [H, W] of ribs behind and in front, collar bones and, AP, shoulder blades."""
    u = np.abs(x)
    cage = sigmoid((wall + 0.03 - u) / 0.02) * sigmoid((0.75 - y) / 0.05) * sigmoid((u - 0.1) / 0.02)
    behind = np.cos((y - 0.5 * (u - 0.2) ** 2) * (2 * math.pi / 0.18))
    front = np.cos((y + 0.55 * u + 0.25 * u**2) * (2 * math.pi / 0.243))
    ribs = 13 * sigmoid((behind - 0.15) / 0.12) + 9 * np.exp(-(((behind - 0.15) / 0.3) ** 2))
    ribs = ribs + 8 * sigmoid((front - 0.3) / 0.12) * sigmoid((u - 0.3) / 0.04)
    middle = y + 0.58 + 0.05 * film.view + 0.2 * u - 0.05 * np.sin(7 * u - 1)
    collar = sigmoid((0.035 - np.abs(middle)) / 0.01) * sigmoid((u - 0.09) / 0.02) * sigmoid((0.78 - u) / 0.02)
    blade = sigmoid((u - 0.6 + 0.12 * y) / 0.015) * sigmoid((0.1 - y) / 0.04) * sigmoid((y + 0.7) / 0.05)
    return np.asarray(cage * ribs + 30 * collar + 22 * film.view * blade * sigmoid((0.9 - u) / 0.03), np.float32)


def _vessels(x: Array, y: Array, rng: np.random.Generator, size: int) -> Array:
    """Grey levels [H, W] of the hila and of the vessels that fan out of them."""
    u, v = np.abs(x) - np.float32(0.17), y + np.float32(0.02)
    fan = np.cos(np.arctan2(v, u) * 9 + 1.2 * smooth(rng, size, 9) + 2 * np.sign(x))
    fan = np.maximum(fan, 0) ** 3 * np.exp(-np.hypot(u, v) / 0.3)
    return np.asarray(26 * (fan + np.exp(-((u / 0.1) ** 2) - (v / 0.16) ** 2)), np.float32)


_LETTERS = {1: "1110 1001 1001 1110 1010 1001 1001", 2: "1000 1000 1000 1000 1000 1000 1111"}


def _mark(grey: Array, marker: int, size: int) -> Array:
    if marker:
        rows = [[int(bit) for bit in row] for row in _LETTERS[marker].split()]
        letter = np.kron(np.array(rows), np.ones((max(1, size // 80),) * 2)) > 0
        edge = round(0.04 * size)
        left = edge if marker == 1 else size - edge - letter.shape[1]
        grey[edge : edge + letter.shape[0], left : left + letter.shape[1]][letter] = 235
    return grey


def _blob(x: Array, y: Array, a: float, b: float, width: float) -> Array:
    return np.asarray(np.exp(((x - a) ** 2 + (y - b) ** 2) * (-1 / width**2)), np.float32)
