"""Preprocessing as a registered recipe: a closed list of steps in JSON, whose hash is in the log.

What a model is shown is decided by its preprocessing as much as by the file. A recipe is data, not code: it can be
hashed, registered, read by a reviewer and run again in an investigation, bit for bit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nocere.core.canonical import digest
from nocere.core.errors import DataError
from nocere.provenance.fingerprint.reading import Reading

VERSION = "nocere-recipe/1"
Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Steps that turn stored values into what a model takes.

    Attributes:
        name: shown in records.
        steps: each a mapping with `op` and its numbers; see `OPS`.
    """

    name: str
    steps: tuple[Mapping[str, Any], ...]

    @classmethod
    def parse(cls, text: str | bytes) -> Self:
        """Read a recipe from JSON.

        Raises:
            DataError: it is not a recipe; the sentence says which step is wrong.
        """
        try:
            data = json.loads(text)
            name, steps, version = data["name"], data["steps"], data["v"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise DataError(
                "This is not a recipe.", f'A recipe is a JSON object: v ("{VERSION}"), name, steps.'
            ) from None
        if version != VERSION or not isinstance(name, str) or not isinstance(steps, list):
            raise DataError(f"A recipe needs v {VERSION!r}, a name and a list of steps.", "See docs/provenance.md.")
        return cls.of(name, steps)

    @classmethod
    def of(cls, name: str, steps: Sequence[Mapping[str, Any]]) -> Self:
        """A recipe from its steps.

        Raises:
            DataError: a step is unknown or its numbers are wrong.
        """
        for i, step in enumerate(steps, 1):
            if not isinstance(step, Mapping) or step.get("op") not in OPS:
                raise DataError(f"Step {i} of recipe {name!r} is unknown.", f"Steps: {', '.join(OPS)}.")
            _, wanted = OPS[step["op"]]
            given = {k: v for k, v in step.items() if k != "op"}
            if set(given) != set(wanted) or not all(_number(v) for v in given.values()):
                raise DataError(
                    f"Step {i} ({step['op']}) of recipe {name!r} has the wrong numbers.",
                    f"It takes {', '.join(wanted) or 'none'}.",
                )
        return cls(name, tuple(dict(s) for s in steps))

    def to_json(self) -> dict[str, Any]:
        """The recipe as registered."""
        return {"v": VERSION, "name": self.name, "steps": [dict(s) for s in self.steps]}

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON."""
        return digest(self.to_json())

    def run(self, reading: Reading) -> Array:
        """What the model is shown.

        Raises:
            DataError: the input has no samples, or a step does not fit it.
        """
        if reading.pixels is None:
            raise DataError(f"An input of kind {reading.kind} has no samples for recipe {self.name!r}.")
        x: Array = np.array(reading.pixels)
        for i, step in enumerate(self.steps, 1):
            step_op, wanted = OPS[step["op"]]
            try:
                x = step_op(x, reading, *(step[k] for k in wanted))
            except (ValueError, IndexError) as e:
                raise DataError(f"Step {i} ({step['op']}) of recipe {self.name!r} does not fit the input: {e}.") from e
        return np.ascontiguousarray(x)


def _number(value: Any) -> bool:
    numbers = value if isinstance(value, list) and value else [value]
    return all(isinstance(v, (int, float)) and not isinstance(v, bool) and np.isfinite(v) for v in numbers)


def _frame(x: Array, _: Reading, index: int) -> Array:
    frame: Array = x[int(index)]
    return frame


def _rescale(x: Array, reading: Reading) -> Array:
    slope = _value(reading, "Rescale Slope", 1.0)
    return x.astype(np.float64) * slope + _value(reading, "Rescale Intercept", 0.0)


def _value(reading: Reading, name: str, default: float) -> float:
    """A number among the attributes of meaning; they are hashed, so what is used here is what was verified."""
    tag = {"Rescale Slope": "(0028,1053)", "Rescale Intercept": "(0028,1052)"}[name]
    text = reading.meaning.get(tag)
    if text is None:
        return default
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"its {name} {tag} is no number") from None


def _window(x: Array, _: Reading, centre: float, width: float) -> Array:
    if width < 1:
        raise ValueError("a window is at least 1 wide")
    # PS3.3 C.11.2.1.2.1, linear, output 0 to 1.
    if width == 1:
        return (x > centre - 0.5).astype(np.float64)
    return np.clip((x.astype(np.float64) - (centre - 0.5)) / (width - 1) + 0.5, 0.0, 1.0)


def _divide(x: Array, _: Reading, by: float) -> Array:
    return x.astype(np.float64) / by


def _normalise(x: Array, _: Reading, mean: Any, std: Any) -> Array:
    return (x - np.asarray(mean, dtype=np.float64)) / np.asarray(std, dtype=np.float64)


def _resize(x: Array, _: Reading, rows: int, columns: int) -> Array:
    """Bilinear with anti-aliasing, one plane at a time (Pillow, float32)."""
    from PIL import Image

    if x.ndim != 3:
        raise ValueError("resizing needs one frame: put the step `frame` before it")
    planes = [
        np.asarray(Image.fromarray(np.ascontiguousarray(x[..., c], dtype=np.float32)).resize(
            (int(columns), int(rows)), Image.Resampling.BILINEAR
        ))
        for c in range(x.shape[2])
    ]  # fmt: skip
    return np.stack(planes, axis=2).astype(np.float64)


def _grey(x: Array, _: Reading) -> Array:
    if x.shape[-1] == 1:
        return x
    if x.shape[-1] != 3:
        raise ValueError("grey needs one or three samples a pixel")
    # ITU-R BT.601 luma.
    luma: Array = x.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    return luma[..., None]


def _channels_first(x: Array, _: Reading) -> Array:
    return np.moveaxis(x, -1, -3)


def _float32(x: Array, _: Reading) -> Array:
    return x.astype(np.float32)


# op -> (function, its numbers in order)
OPS: dict[str, tuple[Callable[..., Array], tuple[str, ...]]] = {
    "frame": (_frame, ("index",)),
    "rescale": (_rescale, ()),
    "window": (_window, ("centre", "width")),
    "grey": (_grey, ()),
    "resize": (_resize, ("rows", "columns")),
    "divide": (_divide, ("by",)),
    "normalise": (_normalise, ("mean", "std")),
    "channels_first": (_channels_first, ()),
    "float32": (_float32, ()),
}
