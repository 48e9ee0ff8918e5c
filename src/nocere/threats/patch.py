"""A square patch: the values under it are free, everything outside of it keeps its stored value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from nocere.cases.masks import marked
from nocere.core.candidate import Cost, Proof, Violation
from nocere.core.case import Case
from nocere.core.errors import UsageError
from nocere.core.registry import register
from nocere.core.units import Kind, Unit
from nocere.threats.base import Axis
from nocere.threats.parametric import read_proof
from nocere.threats.pixels import Stored, difference, pixel_cost

# The search leaves out pixels whose centre is this close to the edge, so that both renderings agree on all others.
RIM = 0.01
PLACE = ("x", "y", "side", "angle")


class Pasted(NamedTuple):
    """One patch for many cases (`Patch.shift`): texels [C, k, k], and where it lies on each case by its id."""

    texels: Any
    places: Mapping[str, NDArray[np.float64]]


@register("threat", "image.patch", source="Brown et al. 2017, arXiv:1712.09665; Karmon et al. 2018", kind="tampering")
@dataclass(frozen=True, slots=True)
class Patch(Stored):
    """A square patch with sides of at most `radius` pixels, anywhere within the image.

    The proof is the placement: centre x, y (pixel centres are whole numbers), side (pixels) and angle (degrees,
    from the x axis towards the y axis). The values inside are free whole numbers of `bits` bits.

    Args:
        radius: longest side, in pixels.
        angle: the patch may be turned by up to this, in degrees either way.
        smallest: shortest side as a share of the longest.
        exclude: the patch must stay off a box in the centre with this share of the image's height and width; stands
            for the lesion where pictures are framed around it and no masks are at hand.
        off_mask: the patch must stay off every pixel of the case's mask (`cases.masks`); a case without one has no
            member.
        bits: of a stored value; 0: as each case's file says, its sign too.
        signed: stored values have a sign.
    """

    radius: float = 8.0
    angle: float = 0.0
    smallest: float = 1.0
    exclude: float = 0.0
    off_mask: bool = False
    bits: int = 8
    signed: bool = False
    name: ClassVar[str] = "image.patch"
    unit: ClassVar[Unit] = Unit.PIXELS
    kind: ClassVar[Kind] = Kind.TAMPERING
    resolution: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        if self.radius < 1:
            raise UsageError(f"image.patch needs a side of at least one pixel; got {self.radius:g}.")
        if not 0 <= self.angle <= 180 or not 0 < self.smallest <= 1 or not 0 <= self.exclude < 1:
            raise UsageError(
                "image.patch: angle lies in 0 to 180 degrees, smallest is a share above 0 and up to 1, exclude one "
                f"from 0 to below 1; got {self.angle:g}, {self.smallest:g} and {self.exclude:g}."
            )

    def at(self, radius: float) -> Self:
        return replace(self, radius=radius)

    def to_json(self) -> Mapping[str, Any]:
        about = {"radius": self.radius, "angle": self.angle, "smallest": self.smallest, "exclude": self.exclude}
        return {"name": self.name, **about, "off_mask": self.off_mask, **self.depth()}

    # --- the rules -----------------------------------------------------------------------------------------------

    def check(self, case: Case[Any], x: Any, proof: Proof) -> Violation | None:
        d = difference(case, x, self.fitted(case).span)
        if isinstance(d, Violation):
            return d
        h, w = case.x.shape[1:]
        theta = read_proof(proof, self._ranges(h, w))
        if isinstance(theta, Violation):
            return theta
        under = _footprint(theta, h, w)
        if isinstance(under, Violation):
            return under
        row, column = np.abs(np.arange(h) - (h - 1) / 2), np.abs(np.arange(w) - (w - 1) / 2)
        if (under & (row < self.exclude * h / 2)[:, None] & (column < self.exclude * w / 2)[None]).any():
            return Violation("the patch covers the centre, which is excluded")
        if self.off_mask:
            mask = marked(case)
            if mask is None:
                return Violation("the case has no mask that the patch could stay off")
            if (under & mask).any():
                return Violation(f"the patch covers {int((under & mask).sum())} pixels of the case's mask")
        outside = int(((d != 0).any(axis=0) & ~under).sum())
        return Violation(f"{outside} pixels outside of the patch were changed") if outside else None

    def cost(self, case: Case[Any], x: Any, proof: Proof) -> Cost:
        assert isinstance(proof, Mapping)
        place = {k: float(v) for k, v in proof.items() if isinstance(v, (int, float))}
        return Cost(place["side"], str(self.unit), {**place, **pixel_cost(case, x, self.unit).more})

    def _ranges(self, h: int, w: int) -> Sequence[Axis]:
        return (
            Axis("x", 0.0, w - 1.0, "pixels"),
            Axis("y", 0.0, h - 1.0, "pixels"),
            Axis("side", self.smallest * self.radius, self.radius, "pixels"),
            Axis("angle", -self.angle, self.angle, "degrees"),
        )

    # --- search tools --------------------------------------------------------------------------------------------

    def masks(self, cases: Sequence[Case[Any]]) -> NDArray[np.bool_] | None:
        """What a patch must stay off on each case [n, h, w]; None where nothing is."""
        if not self.off_mask:
            return None
        found = [marked(c) for c in cases]
        return np.stack([np.zeros(c.x.shape[1:], bool) if m is None else m for c, m in zip(cases, found, strict=True)])

    def obstacle(self, case: Case[Any]) -> str:
        """Why no patch of this size can lie on the case, or nothing."""
        if not self.off_mask:
            return ""
        masks = self.masks([case])
        if masks is None or not masks.any():
            return "the case has no mask that the patch could stay off"
        # Upright and as small as is allowed: where that does not fit, nothing does.
        side = np.array([self.smallest * self.radius])
        h, w = case.x.shape[1:]
        fits = self.free(side, np.zeros(1), h, w, masks).any()
        return "" if fits else f"no patch of {self.radius:g} pixels fits beside the case's mask"

    def places(
        self, draws: NDArray[Any], h: int, w: int, masks: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float64]:
        """Placements [n, 4] in the order of `PLACE`, from uniform draws [n, 3] on [-1, 1).

        Side and angle are uniform; the centre is uniform over `spots`.

        Raises:
            UsageError: it fits nowhere.
        """
        u = (np.asarray(draws, dtype=np.float64) + 1.0) / 2.0
        side = self.radius * (self.smallest + (1.0 - self.smallest) * u[:, 0])
        angle = self.angle * (2.0 * u[:, 1] - 1.0)
        free = self.spots(side, angle, h, w, masks)
        count = free.reshape(len(u), -1).cumsum(1)
        if (count[:, -1] == 0).any():
            off = f" beside a free centre of {self.exclude:g}" if self.exclude else ""
            raise UsageError(f"A patch of {self.radius:g} pixels does not fit into {h} x {w} pixels{off}.")
        pick = (count > np.floor(u[:, 2] * count[:, -1])[:, None]).argmax(1)
        return self.centred(pick, side, angle, w)

    def centred(
        self, pick: NDArray[np.intp], side: NDArray[np.float64], angle: NDArray[np.float64], w: int
    ) -> NDArray[np.float64]:
        """Placements [n, 4] whose centre is that of `free`'s entry `pick`."""
        offset = _offset(side)
        return np.stack([pick % w + offset, pick // w + offset, side, angle], axis=1)

    def spots(
        self,
        side: NDArray[np.float64],
        angle: NDArray[np.float64],
        h: int,
        w: int,
        masks: NDArray[np.bool_] | None,
    ) -> NDArray[np.bool_]:
        """`free`; but anywhere where nothing is free beside a row's mask: the rules refuse it there, and say why."""
        free = self.free(side, angle, h, w, masks)
        if masks is not None:
            nowhere = ~free.any(axis=(1, 2))
            free[nowhere] = self.free(side[nowhere], angle[nowhere], h, w)
        return free

    def free(
        self,
        side: NDArray[np.float64],
        angle: NDArray[np.float64],
        h: int,
        w: int,
        masks: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.bool_]:
        """Where a patch may be centred [n, h, w]: entry (r, c) stands for (r, c) plus half a pixel for even sides.

        A turned patch keeps off masks [n, h, w] by its bounding box.
        """
        a = np.radians(angle)
        reach = (side / 2 * (np.abs(np.cos(a)) + np.abs(np.sin(a))))[:, None]
        offset = _offset(side)[:, None]
        y, x = np.arange(h) + offset, np.arange(w) + offset
        fits_y = (y - reach >= -0.5 - 1e-9) & (y + reach <= h - 0.5 + 1e-9)
        fits_x = (x - reach >= -0.5 - 1e-9) & (x + reach <= w - 0.5 + 1e-9)
        free = fits_y[:, :, None] & fits_x[:, None, :]
        # Half the height and width of the excluded pixels' centres: a turned patch keeps off by its bounding box.
        tall, wide = ((n - 1) / 2 - np.ceil((1 - self.exclude) * n / 2 - 0.5 + 1e-9) for n in (h, w))
        if self.exclude and tall >= 0 and wide >= 0:
            near_y = np.abs(y - (h - 1) / 2) < reach + tall - 1e-9
            near_x = np.abs(x - (w - 1) / 2) < reach + wide - 1e-9
            free &= ~(near_y[:, :, None] & near_x[:, None, :])
        if masks is not None:
            free &= _boxed(masks, y, x, reach) == 0
        return np.asarray(free)

    def under(self, places: NDArray[np.float64], h: int, w: int) -> Any:
        """Pixels under each placement: mask [n, 1, h, w]."""
        u, v, side = _turned(places, h, w)
        return (u.abs().maximum(v.abs()) < side / 2 - RIM)[:, None]

    def paste(self, x0: Any, texels: Any, places: NDArray[np.float64]) -> Any:
        """Rows x0 [n, C, H, W] with texels [n or 1, C, k, k] on them, differentiable in the texels.

        One sampling grid for all rows: every placement is an affine map from pixels to texels (bilinear).
        """
        import torch

        n, _, h, w = x0.shape
        u, v, side = _turned(places, h, w)
        drawn = torch.nn.functional.grid_sample(
            texels.expand(n, -1, -1, -1),
            torch.stack([u, v], dim=-1) / (side / 2)[..., None],
            mode="bilinear",
            padding_mode="border",
            align_corners=False,
        )
        return drawn.clamp(*self.span).where(self.under(places, h, w), x0)

    def shift(self, case: Case[Any], delta: Pasted) -> tuple[Any, Proof]:
        import torch

        place = delta.places[case.id]
        x0 = torch.from_numpy(case.x.astype(np.float32))[None]
        x = self.paste(x0, delta.texels[None], place[None])[0].round()
        return x.numpy().astype(case.x.dtype), place_proof(place)


def place_proof(place: NDArray[np.float64]) -> dict[str, float]:
    """A placement [4] as a proof."""
    return dict(zip(PLACE, map(float, place), strict=True))


def _turned(places: NDArray[np.float64], h: int, w: int) -> tuple[Any, Any, Any]:
    """Pixel centres in the axes of each patch, u and v [n, h, w], and the sides [n, 1, 1]."""
    import torch

    cx, cy, side, angle = (torch.as_tensor(v, dtype=torch.float32).view(-1, 1, 1) for v in np.asarray(places).T)
    a = torch.deg2rad(angle)
    dx = torch.arange(w, dtype=torch.float32).view(1, 1, -1) - cx
    dy = torch.arange(h, dtype=torch.float32).view(1, -1, 1) - cy
    return a.cos() * dx + a.sin() * dy, a.cos() * dy - a.sin() * dx, side


def _offset(side: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half a pixel for even sides, so that an upright patch covers whole pixels."""
    return np.where(np.rint(side) % 2 == 0, 0.5, 0.0)


def _boxed(
    masks: NDArray[np.bool_], y: NDArray[np.float64], x: NDArray[np.float64], reach: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Marked pixels whose centre lies within `reach` [n, 1] of each centre y [n, h], x [n, w]: counts [n, h, w]."""
    n, h, w = masks.shape
    total = np.zeros((n, h + 1, w + 1), dtype=np.int64)
    total[:, 1:, 1:] = masks.astype(np.int64).cumsum(1).cumsum(2)

    def edges(centre: NDArray[np.float64], size: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        first = np.floor(centre - reach + 1e-9).astype(np.intp) + 1
        last = np.ceil(centre + reach - 1e-9).astype(np.intp)
        return first.clip(0, size), last.clip(0, size)

    (top, bottom), (left, right) = edges(y, h), edges(x, w)
    row = np.arange(n)[:, None, None]
    at = [(r[:, :, None], c[:, None, :]) for r, c in ((bottom, right), (top, right), (bottom, left), (top, left))]
    return np.asarray(total[row, *at[0]] - total[row, *at[1]] - total[row, *at[2]] + total[row, *at[3]])


def _footprint(theta: Mapping[str, float], h: int, w: int) -> NDArray[np.bool_] | Violation:
    """The checker's own rendering: pixel centres within the hull of the four turned corners, by Qhull."""
    from scipy.spatial import ConvexHull
    from scipy.spatial.transform import Rotation

    s = theta["side"] / 2
    square = np.array([[-s, -s, 0.0], [s, -s, 0.0], [s, s, 0.0], [-s, s, 0.0]])
    turned = Rotation.from_euler("z", theta["angle"], degrees=True).apply(square)[:, :2]
    corners = turned + np.array([theta["x"], theta["y"]])
    if (corners < -0.5 - 1e-6).any() or (corners > np.array([w, h]) - 0.5 + 1e-6).any():
        return Violation("the patch reaches beyond the image")
    sides = ConvexHull(corners).equations
    row, column = np.mgrid[0:h, 0:w]
    return np.asarray(((np.stack([column, row], -1) @ sides[:, :2].T + sides[:, 2]) < -1e-6).all(-1))
