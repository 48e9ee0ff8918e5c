"""Which benign transform of the retained original gives the suspect? (G13: never a false "explained" by accident.)

The catalogue is applied again to the original and what it leaves over is measured. A suspect is explained only if that
residual is within what two implementations of the same named transform differ by. "Explained" says how the pixels came
about, not that they are harmless: a crop may leave out the finding, and whoever alters pixels by less than the
tolerance stays inside of it. "Unexplained" says that nothing in the catalogue does it, not that there was an attack:
another vendor's codec, white balance, two lossy codecs in a row and anything stronger than the limits in
`explain_catalogue` end there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import uniform_filter

from nocere.core.errors import DataError, PrerequisiteError, UsageError
from nocere.provenance.investigate.explain_catalogue import (
    EXACT,
    TOLERANCE,
    Image,
    Residual,
    Step,
    apply_step,
    apply_steps,
    limits,
)
from nocere.provenance.investigate.explain_codec import gap, jpeg2000_steps, jpeg_steps, refined
from nocere.provenance.investigate.explain_geometry import correlation, grey, other_grids, same_grid
from nocere.provenance.investigate.explain_grey import grey_steps

WINDOW = 8  # side of the local statistic, in pixels
LIKELY = 3  # geometries that are combined with a grey mapping
FILTERS_TRIED = 8  # filters of a resize that are combined with JPEG 2000
LOSS = 10.0  # tolerances that a codec must itself have lost before its tolerance counts
RELATED = 0.5  # correlation below which a candidate geometry is not looked at further


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer of `explain`.

    Attributes:
        explained: whether the residual is within the tolerance of the named transform.
        steps: the transform that comes closest, to be repeated with `apply_steps`.
        residual: what it leaves over, in grey levels of the suspect.
        tolerance: what it may leave over to explain the suspect.
        tried: transforms that were applied to the whole image.
        not_tried: parts of the catalogue that could not be tried, each with the reason.
    """

    explained: bool
    steps: tuple[Step, ...]
    residual: Residual
    tolerance: Residual
    tried: int
    not_tried: tuple[str, ...] = ()

    @property
    def transform(self) -> str:
        """Names of the steps, such as "resize then jpeg"."""
        return " then ".join(s.name for s in self.steps)

    def __str__(self) -> str:
        said = "; then ".join(map(str, self.steps))
        left = f"mean {self.residual.mean:.3g}, local {self.residual.local:.3g}, largest {self.residual.peak:g}"
        if self.explained:
            return f"Explained by {said}: residual {left} grey levels."
        if not self.steps:
            return "Unexplained. Nothing in the catalogue gives an image of this size."
        t = self.tolerance
        allowed = f"mean {t.mean:g}, local {t.local:g}, largest {t.peak:g}"
        return f"Unexplained. Closest: {said}, residual {left} grey levels where {allowed} are allowed."


def residual(made: Image, suspect: Image) -> Residual:
    """Mean, worst 8 x 8 window and peak of the absolute difference of two images of one shape, in grey levels."""
    difference = np.abs(made.astype(np.float64) - suspect.astype(np.float64))
    plane = difference if difference.ndim == 2 else difference.mean(axis=2)
    size = [min(WINDOW, n) for n in plane.shape]
    local = uniform_filter(plane, size, mode="constant")
    inside = tuple(slice(k // 2, n - (k - 1) // 2) for k, n in zip(size, plane.shape, strict=True))
    return Residual(float(difference.mean()), float(local[inside].max()), float(difference.max()))


def tolerance(steps: tuple[Step, ...]) -> Residual:
    """Tolerance of a composition: that of its last step that has one; earlier steps must be repeated exactly."""
    return next((t for s in reversed(steps) if (t := TOLERANCE[s.name]) != EXACT), EXACT)


@dataclass
class _Search:
    original: Image
    bits: int
    suspect: Image
    suspect_bits: int
    best: Explanation | None = None
    tried: int = 0
    not_tried: dict[str, None] = field(default_factory=dict)

    def offer(self, steps: tuple[Step, ...], made: Image | None = None) -> bool:
        """Measure a transform, keep it if it is the closest so far; true if it explains the suspect."""
        made = apply_steps(self.original, self.bits, steps) if made is None else made
        if made.shape != self.suspect.shape:
            return False
        self.tried += 1
        allowed, mean = tolerance(steps), gap(made, self.suspect)
        if self.best is not None and mean > allowed.mean and mean >= self.best.residual.mean:
            return False
        left = residual(made, self.suspect)
        if left != EXACT and left.within(allowed) and not self.lossy(steps, made):
            allowed = EXACT
        within = left.within(allowed)
        if self.best is None or within or left.mean < self.best.residual.mean:
            self.best = Explanation(within, steps, left, allowed, self.tried)
        return within

    def lossy(self, steps: tuple[Step, ...], made: Image) -> bool:
        """Whether a codec lost much more than its tolerance; one that is next to lossless excuses no changed sample."""
        if steps[-1].name not in ("jpeg", "jpeg2000"):
            return True
        before = apply_steps(self.original, self.bits, steps[:-1])
        return gap(before, made) > LOSS * TOLERANCE[steps[-1].name].mean

    def geometry(self) -> list[tuple[tuple[Step, ...], Image]] | None:
        """Candidates on the grid of the suspect, best first; None if one explains it already."""
        found = []
        same = same_grid(self.original, self.bits, self.suspect)
        if same is not None:
            made = apply_steps(self.original, self.bits, same)
            if self.offer(same or (Step("identity", {}),), made):
                return None
            found.append((same, made))
        scored: list[tuple[float, int, tuple[Step, ...], Image]] = []
        target = grey(self.suspect[::2, ::2])
        for steps in other_grids(self.original, self.bits, self.suspect):
            made = apply_steps(self.original, self.bits, steps)
            if self.offer(steps, made):
                return None
            score = correlation(grey(made[::2, ::2]), target)
            if score >= RELATED:
                scored.append((-score, len(scored), steps, made))
        return found + [(steps, made) for _, _, steps, made in sorted(scored, key=lambda s: s[:2])]

    def greys(self, steps: tuple[Step, ...], image: Image) -> list[Step] | None:
        """Grey mappings of one candidate, closest first; None if one explains the suspect."""
        scored: list[tuple[float, int, Step]] = []
        for step in grey_steps(image, self.bits, self.suspect, self.suspect_bits):
            made, _ = apply_step(image, self.bits, step)
            if self.offer((*steps, step), made):
                return None
            scored.append((gap(made, self.suspect), len(scored), step))
        return [step for _, _, step in sorted(scored, key=lambda s: s[:2])]

    def jpeg(self, steps: tuple[Step, ...], image: Image) -> bool:
        """Try JPEG after `steps`."""
        return image.dtype == np.uint8 and any(self.offer((*steps, s)) for s in jpeg_steps(image, self.suspect))

    def jpeg2000(self, steps: tuple[Step, ...], image: Image) -> bool:
        """Try JPEG 2000 after `steps`."""
        try:
            return any(self.offer((*steps, s)) for s in jpeg2000_steps(image, self.bits, self.suspect))
        except PrerequisiteError as e:
            self.not_tried[f"jpeg2000: {e}"] = None
            return False

    def grey_then_jpeg(self, steps: tuple[Step, ...], image: Image, mappings: list[Step]) -> bool:
        """Try the closest mapping of each kind, followed by JPEG and then fitted again with JPEG known."""
        for step in mappings:
            mapped, _ = apply_step(image, self.bits, step)
            if mapped.dtype != np.uint8:
                continue
            codecs = jpeg_steps(mapped, self.suspect)
            if any(self.offer((*steps, step, codec)) for codec in codecs):
                return True
            again = refined(image, self.bits, step, codecs[0], self.suspect)
            if self.offer((*steps, again, codecs[0])):
                return True
        return False


def explain(
    original: Image,
    suspect: Image,
    *,
    bits: int,
    suspect_bits: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> Explanation:
    """Search the catalogue for a benign transform of `original` that gives `suspect`.

    The catalogue: turns and mirroring, crop, pad, resizing (down, up, down and up again), grey rescale, window burn-in,
    gamma, depth reduction, JPEG and JPEG 2000, and what pipelines combine: a geometry or a grey mapping before a codec,
    a geometry before a grey mapping. The same input gives the same answer. A few seconds at 512 x 512.

    Args:
        original: retained original, integers [rows, columns] or [rows, columns, samples].
        suspect: received image, likewise; another size or depth is fine, another number of samples is not.
        bits: declared bits of the original, 1 to 16.
        suspect_bits: declared bits of the suspect, if other.
        progress: called with what is being tried.

    Raises:
        UsageError: not an integer image, bits out of range, or a value that does not fit in its bits.
        DataError: the images have different numbers of samples.
    """
    tell = progress or (lambda _: None)
    suspect_bits = bits if suspect_bits is None else suspect_bits
    first, second = _checked(original, bits, "original"), _checked(suspect, suspect_bits, "suspect")
    if first.shape[2:] != second.shape[2:]:
        raise DataError(
            f"The original has {(*first.shape, 1)[2]} samples a pixel and the suspect {(*second.shape, 1)[2]}.",
            "Convert both to the same colour model first.",
        )
    search = _Search(first, bits, second, suspect_bits)
    _run(search, tell)
    b = search.best or Explanation(False, (), Residual(np.inf, np.inf, np.inf), EXACT, 0)
    return Explanation(b.explained, b.steps, b.residual, b.tolerance, search.tried, tuple(search.not_tried))


def _run(search: _Search, tell: Callable[[str], None]) -> None:
    """The order of the search, simplest first; it ends at the first transform that explains the suspect."""
    tell("turns, crops and sizes")
    places = search.geometry()
    if places is None:
        return
    placed = search.original.shape != search.suspect.shape  # else all but the first were resized down and up
    same_depth = search.bits == search.suspect_bits
    tell("JPEG")
    if same_depth and any(search.jpeg(*place) for place in (places if placed else places[: LIKELY + 1])):
        return
    tell("grey levels")
    mappings = []
    for place in places[:LIKELY]:
        found = search.greys(*place)
        if found is None:
            return
        mappings.append((*place, found))
    tell("JPEG 2000")
    if same_depth and any(search.jpeg2000(*place) for place in (places[:FILTERS_TRIED] if placed else places[:1])):
        return
    tell("grey levels, then JPEG")
    for steps, image, found in mappings[:1]:
        if search.grey_then_jpeg(steps, image, list({s.name: s for s in reversed(found)}.values())):
            return


def _checked(image: Image, bits: int, what: str) -> Image:
    """The image as [rows, columns] or [rows, columns, samples > 1] in the narrowest unsigned or signed type."""
    array = np.asarray(image)
    if array.dtype.kind not in "iu" or array.ndim not in (2, 3) or array.size == 0:
        raise UsageError(
            f"The {what} has the type {array.dtype} and the shape {array.shape}.",
            "Give integers [rows, columns] or [rows, columns, samples].",
        )
    if not 1 <= bits <= 16:
        raise UsageError(f"The {what} declares {bits} bits.", "Declare 1 to 16.")
    low, high = limits(bits, array.dtype.kind == "i")
    if array.min() < low or array.max() > high:
        raise UsageError(f"The {what} holds values outside of its {bits} declared bits.", "Declare its bits stored.")
    array = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    narrow = f"{array.dtype.kind}{1 if bits <= 8 and array.dtype.kind == 'u' else 2}"
    return np.ascontiguousarray(array.astype(narrow))
