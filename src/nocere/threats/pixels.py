"""Noise on stored pixel values: L-infinity in whole grey levels, L2 in grey levels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self, cast

import numpy as np
from numpy.typing import NDArray

from nocere.clinical.dicom.display import displayed, of_header
from nocere.clinical.dicom.gsdf import steps_per_level
from nocere.core.candidate import Cost, Proof, Violation
from nocere.core.case import Case
from nocere.core.errors import UsageError
from nocere.core.registry import register
from nocere.core.units import Kind, Unit

DEEPEST = 16  # bits of a stored value


def top(bits: int) -> float:
    """Largest stored value of `bits` bits.

    Raises:
        UsageError: not 1 to 16 bits.
    """
    if not 1 <= bits <= 16:
        raise UsageError(f"Stored values have 1 to 16 bits; got {bits}.")
    return float((1 << bits) - 1)


def depth_of(case: Case[Any]) -> tuple[int, bool]:
    """Bits of a case's stored values, and whether they have a sign."""
    return int(str(case.header.get("bits", 8))), bool(case.header.get("signed", False))


def span_of(bits: int, signed: bool) -> tuple[float, float]:
    """Smallest and largest value of `bits` bits; two's complement with a sign.

    Raises:
        UsageError: not 1 to 16 bits.
    """
    whole = top(bits)
    return (-(whole + 1) / 2, (whole - 1) / 2) if signed else (0.0, whole)


def difference(case: Case[Any], x: Any, span: tuple[float, float]) -> NDArray[np.int64] | Violation:
    """Stored difference, or why `x` is no image of this case's form."""
    if not isinstance(x, np.ndarray) or x.dtype != case.x.dtype or x.shape != case.x.shape:
        return Violation(f"stored values must be {case.x.dtype} {case.x.shape}")
    if int(x.max()) > span[1] or int(x.min()) < span[0]:
        return Violation(f"a value lies outside of {span[0]:.0f} to {span[1]:.0f}")
    return np.asarray(x.astype(np.int64) - case.x.astype(np.int64))


def pixel_cost(case: Case[Any], x: NDArray[Any], unit: Unit) -> Cost:
    """L-infinity and L2 in grey levels and the share of changed values; of DICOM also what is seen of the change."""
    d = x.astype(np.int64) - case.x.astype(np.int64)
    linf, l2 = float(np.abs(d).max()), float(np.sqrt((d.astype(float) ** 2).sum()))
    value = l2 if unit is Unit.L2_GREY_LEVELS else linf
    return Cost(value, str(unit), {"linf": linf, "l2": l2, "changed": float((d != 0).mean()), **_shown(case, x)})


def _shown(case: Case[Any], x: NDArray[Any]) -> dict[str, float]:
    """The largest change of a DICOM case as its first window shows it: in 255 levels, and of grey in JND steps."""
    if "display" not in case.header:
        return {}
    display = of_header(case.header, len(case.x))
    worst = float(np.abs(displayed(display, x) - displayed(display, case.x)).max())
    return {"displayed": worst, **({"jnd": worst * steps_per_level()} if display.kind == "grey" else {})}


def per_row(v: Any, x: Any) -> Any:
    """One number a row, shaped to broadcast against x."""
    import torch

    return torch.as_tensor(v, dtype=x.dtype, device=x.device).view(-1, *[1] * (x.ndim - 1))


class Stored:
    """How values are stored, for sets that need to know: `bits` of them, with or without a sign.

    `bits` = 0 stands for what each case's own file says, its sign too: files of several depths in one set of cases.
    """

    __slots__ = ()
    bits: int
    signed: bool

    @property
    def span(self) -> tuple[float, float]:
        """Smallest and largest value that can be stored."""
        return span_of(self.bits, self.signed)

    def form(self, case: Case[Any]) -> Any:
        return None if self.bits else depth_of(case)

    def fitted(self, case: Case[Any]) -> Self:
        if self.bits:
            return self
        bits, signed = depth_of(case)
        made: Self = replace(cast("Any", self), bits=bits, signed=signed)
        return made

    def depth(self) -> dict[str, Any]:
        """The plain form; unsigned values go without saying."""
        return {"bits": self.bits, **({"signed": True} if self.signed else {})}


@dataclass(frozen=True, slots=True)
class Noise(Stored):
    """What all sets of noise on stored values share: a radius, and the depth of the values."""

    radius: float
    bits: int = 8
    signed: bool = False
    name: ClassVar[str]
    kind: ClassVar[Kind] = Kind.TAMPERING
    resolution: ClassVar[float] = 1.0

    def at(self, radius: float) -> Self:
        return replace(self, radius=radius)

    def to_json(self) -> Mapping[str, Any]:
        return {"name": self.name, "radius": self.radius, **self.depth()}


@register("threat", "image.linf", source="Goodfellow et al. 2015; Madry et al. 2018", kind="tampering")
@dataclass(frozen=True, slots=True)
class Linf(Noise):
    """Every stored value of `bits` bits changed by at most `radius` whole grey levels."""

    radius: float = 2.0
    name: ClassVar[str] = "image.linf"
    unit: ClassVar[Unit] = Unit.GREY_LEVELS

    def check(self, case: Case[Any], x: Any, proof: Proof) -> Violation | None:
        d = difference(case, x, self.fitted(case).span)
        if isinstance(d, Violation):
            return d
        worst = int(np.abs(d).max())
        return Violation(f"changed by {worst} grey levels, {self.radius:g} allowed") if worst > self.radius else None

    def cost(self, case: Case[Any], x: Any, proof: Proof) -> Cost:
        return pixel_cost(case, x, self.unit)

    def project(self, x: Any, x0: Any, radius: Any) -> Any:
        r = per_row(radius, x)
        return x.clamp(x0 - r, x0 + r).clamp(*self.span)

    def distance(self, x: Any, x0: Any) -> NDArray[np.float64]:
        return np.asarray((x - x0).abs().flatten(1).amax(1).cpu().numpy(), dtype=np.float64)

    def inside(self, x: Any, x0: Any, radius: Any) -> NDArray[np.bool_]:
        ok = ((x - x0).abs().flatten(1).amax(1) <= per_row(radius, x).flatten() + 1e-3) & (
            (x >= self.span[0] - 1e-3) & (x <= self.span[1] + 1e-3)
        ).flatten(1).all(1)
        return np.asarray(ok.cpu().numpy())

    def realise(self, x: Any, case: Case[Any], radius: float) -> NDArray[Any]:
        r = int(radius)
        x0 = case.x.astype(np.int64)
        values = np.rint(x.detach().cpu().numpy()).astype(np.int64)
        return np.asarray(np.clip(np.clip(values, x0 - r, x0 + r), *self.span).astype(case.x.dtype))

    def ascend(self, g: Any) -> Any:
        return g.sign()

    def random(self, draws: Any, x0: Any, radius: Any) -> Any:
        return self.project(x0 + draws * per_row(radius, x0), x0, radius)

    def shift(self, case: Case[Any], delta: Any) -> tuple[Any, Proof]:
        return self.realise(_as_tensor(case.x) + _as_tensor(delta), case, self.radius), None


@register("threat", "image.l2", source="Carlini & Wagner 2017", kind="tampering")
@dataclass(frozen=True, slots=True)
class L2(Noise):
    """The Euclidean length of the change over all stored values of `bits` bits is at most `radius` grey levels."""

    radius: float = 100.0
    name: ClassVar[str] = "image.l2"
    unit: ClassVar[Unit] = Unit.L2_GREY_LEVELS
    keeps_length: ClassVar[bool] = True

    def check(self, case: Case[Any], x: Any, proof: Proof) -> Violation | None:
        d = difference(case, x, self.fitted(case).span)
        if isinstance(d, Violation):
            return d
        # Whole numbers: the squared length is exact, so the comparison needs no tolerance.
        length = int((d**2).sum())
        if length > self.radius**2:
            return Violation(f"changed by {length**0.5:.2f} grey levels in L2, {self.radius:g} allowed")
        return None

    def cost(self, case: Case[Any], x: Any, proof: Proof) -> Cost:
        return pixel_cost(case, x, self.unit)

    def project(self, x: Any, x0: Any, radius: Any) -> Any:
        d = x.clamp(*self.span) - x0
        length = d.flatten(1).norm(dim=1).clamp_min(1e-12)
        return x0 + d * per_row((per_row(radius, x).flatten() / length).clamp(max=1.0), x)

    def distance(self, x: Any, x0: Any) -> NDArray[np.float64]:
        return np.asarray((x - x0).flatten(1).double().norm(dim=1).cpu().numpy())

    def inside(self, x: Any, x0: Any, radius: Any) -> NDArray[np.bool_]:
        r = per_row(radius, x).flatten()
        ok = ((x - x0).flatten(1).norm(dim=1) <= r * (1 + 1e-4) + 1e-3) & (
            (x >= self.span[0] - 1e-3) & (x <= self.span[1] + 1e-3)
        ).flatten(1).all(1)
        return np.asarray(ok.cpu().numpy())

    def realise(self, x: Any, case: Case[Any], radius: float) -> NDArray[Any]:
        # Plain rounding would erase changes of less than half a level, which is what an L2 ball mostly holds. The
        # direction is kept instead: it is scaled until its rounded form has the length that was asked for.
        x0 = case.x.astype(np.int64)
        given = np.clip(x.detach().cpu().numpy(), *self.span)
        want = given.astype(np.float64) - x0
        if (given == np.rint(given)).all() and (want**2).sum() <= radius**2:
            return np.asarray(given.astype(case.x.dtype))
        # A search in float32 stops a hair short of its radius.
        length = min(1.0001 * float(np.sqrt((want**2).sum())), radius)
        if length < 1.0:
            return np.array(case.x)

        def rounded(scale: float) -> NDArray[np.int64]:
            return np.asarray(np.clip(np.rint(x0 + scale * want), *self.span).astype(np.int64) - x0)

        low, high = 0.0, 2.0 * max(1.0, 0.5 / float(np.abs(want).max()))
        while int((rounded(high) ** 2).sum()) <= length**2 and high < 1e6:
            low, high = high, 2.0 * high
        for _ in range(14):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if int((rounded(middle) ** 2).sum()) <= length**2 else (low, middle)
        # Equal values jump together: as many of the next jump are taken as still fit, the strongest first.
        d, further = rounded(low).ravel(), rounded(high).ravel()
        jumps = np.flatnonzero(np.abs(further) == np.abs(d) + 1)
        jumps = jumps[np.argsort(-np.abs(want.ravel()[jumps]), kind="stable")]
        room = int(length**2 + 1e-6) - int((d**2).sum())
        jumps = jumps[np.cumsum(2 * np.abs(d[jumps]) + 1) <= room]
        d[jumps] = further[jumps]
        return np.asarray((x0 + d.reshape(x0.shape)).astype(case.x.dtype))

    def ascend(self, g: Any) -> Any:
        return g / per_row(g.flatten(1).norm(dim=1).clamp_min(1e-30), g)

    def random(self, draws: Any, x0: Any, radius: Any) -> Any:
        d = draws / per_row(draws.flatten(1).norm(dim=1).clamp_min(1e-12), draws)
        return self.project(x0 + d * per_row(radius, x0), x0, radius)

    def shift(self, case: Case[Any], delta: Any) -> tuple[Any, Proof]:
        x0 = _as_tensor(case.x)[None]
        x = self.project(x0 + _as_tensor(delta)[None], x0, [self.radius])[0]
        return self.realise(x, case, self.radius), None


def _as_tensor(x: Any) -> Any:
    import torch

    # A copy: stored arrays are read-only, which torch cannot express.
    return x.float() if isinstance(x, torch.Tensor) else torch.from_numpy(np.array(x)).float()
