"""Sparse changes of stored values: L1 as the sum of changes in grey levels, L0 as the number of changed pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nocere.core.candidate import Cost, Proof, Violation
from nocere.core.canonical import sha256
from nocere.core.case import Case
from nocere.core.registry import register
from nocere.core.rng import generator
from nocere.core.units import Unit
from nocere.threats.pixels import Noise, difference, per_row, pixel_cost

# Share of the values that one L1 step moves: enough for a few dozen saturated pixels, few enough to stay sparse.
STEP_SHARE = 0.05


@register("threat", "image.l1", source="Tramer & Boneh 2019; Croce & Hein 2021, arXiv:2103.01208", kind="tampering")
@dataclass(frozen=True, slots=True)
class L1(Noise):
    """The changes of all stored values of `bits` bits add up to at most `radius` grey levels."""

    radius: float = 1000.0
    name: ClassVar[str] = "image.l1"
    unit: ClassVar[Unit] = Unit.L1_GREY_LEVELS

    def check(self, case: Case[Any], x: Any, proof: Proof) -> Violation | None:
        d = difference(case, x, self.fitted(case).span)
        if isinstance(d, Violation):
            return d
        total = int(np.abs(d).sum())
        if total > self.radius:
            return Violation(f"changed by {total} grey levels in all, {self.radius:g} allowed")
        return None

    def cost(self, case: Case[Any], x: Any, proof: Proof) -> Cost:
        total = float(np.abs(x.astype(np.int64) - case.x.astype(np.int64)).sum())
        return Cost(total, str(self.unit), {**pixel_cost(case, x, self.unit).more, "l1": total})

    def distance(self, x: Any, x0: Any) -> NDArray[np.float64]:
        return np.asarray((x - x0).abs().flatten(1).double().sum(1).cpu().numpy())

    def project(self, x: Any, x0: Any, radius: Any) -> Any:
        """The nearest rows in the ball and the box at once: each change is cut by one number a row, then by its room.

        Clipping to the box after projecting to the ball would give away budget (Croce & Hein 2021, section 3).
        """
        low, high = self.span
        d = (x - x0).flatten(1).double()
        room = (d.new_tensor(high) - x0.flatten(1)).where(d > 0, x0.flatten(1) - low)
        cut = _cut(d.abs(), room, per_row(radius, d).flatten())
        kept = (d.abs() - cut[:, None]).clamp_min(0.0).minimum(room) * d.sign()
        return (x0 + kept.to(x.dtype).view_as(x)).clamp(low, high)

    def inside(self, x: Any, x0: Any, radius: Any) -> NDArray[np.bool_]:
        r = np.asarray(radius, dtype=np.float64)
        return (self.distance(x, x0) <= r * (1 + 1e-4) + 1e-3) & _in_box(x, self.span)

    def realise(self, x: Any, case: Case[Any], radius: float) -> NDArray[Any]:
        x0 = case.x.astype(np.int64)
        want = np.clip(x.detach().cpu().numpy().astype(np.float64), *self.span) - x0
        # A search in float32 stops a hair short of its radius.
        length = min(int(1.0001 * np.abs(want).sum() + 1e-3), int(radius))
        return np.asarray((x0 + whole(want.ravel(), length).reshape(x0.shape)).astype(case.x.dtype))

    def ascend(self, g: Any) -> Any:
        """The largest entries, by their size: one entry alone is the steepest step, but the box soon stops it."""
        flat = g.flatten(1)
        size, at = flat.abs().topk(max(1, round(STEP_SHARE * flat.shape[1])), dim=1)
        step = g.new_zeros(flat.shape).scatter_(1, at, flat.gather(1, at))
        return (step / size.sum(1, keepdim=True).clamp_min(1e-30)).view_as(g)

    def random(self, draws: Any, x0: Any, radius: Any) -> Any:
        """Whole changes of random signs whose sizes are uniform on the sphere of the norm, cut by the box."""
        import torch

        # Exponential sizes over their sum are uniform on the simplex.
        size = -draws.abs().clamp_min(1e-7).log().clamp_max(-1e-7).flatten(1).double()
        d = draws.sign().flatten(1).double() * size / size.sum(1, keepdim=True) * per_row(radius, size)
        rows = [whole(row, int(r)) for row, r in zip(d.numpy(), np.asarray(radius, dtype=float), strict=True)]
        return (x0 + torch.as_tensor(np.stack(rows), dtype=x0.dtype).view_as(x0)).clamp(*self.span)


@register("threat", "image.l0", source="Su et al. 2019; Croce & Hein 2019, arXiv:1909.05040", kind="tampering")
@dataclass(frozen=True, slots=True)
class L0(Noise):
    """At most `radius` pixels changed, in all channels and to any stored value of `bits` bits."""

    radius: float = 8.0
    name: ClassVar[str] = "image.l0"
    unit: ClassVar[Unit] = Unit.CHANGED_PIXELS

    def check(self, case: Case[Any], x: Any, proof: Proof) -> Violation | None:
        d = difference(case, x, self.fitted(case).span)
        if isinstance(d, Violation):
            return d
        n = int((d != 0).any(axis=0).sum())
        return Violation(f"{n} pixels changed, {self.radius:g} allowed") if n > self.radius else None

    def cost(self, case: Case[Any], x: Any, proof: Proof) -> Cost:
        n = float((x != case.x).any(axis=0).sum())
        return Cost(n, str(self.unit), {**pixel_cost(case, x, self.unit).more, "pixels": n})

    def distance(self, x: Any, x0: Any) -> NDArray[np.float64]:
        changed = ((x - x0).abs() > 1e-3).any(1).flatten(1)
        return np.asarray(changed.sum(1).cpu().numpy(), dtype=np.float64)

    def project(self, x: Any, x0: Any, radius: Any) -> Any:
        """The nearest rows: those pixels are kept whose loss would cost the most squared distance."""
        held = x.clamp(*self.span)
        d = held - x0
        # |x - x0|^2 - |x - held|^2: what keeping the pixel saves; far outside of the box this is change x room.
        saved = (d * (2.0 * (x - x0) - d)).sum(1).flatten(1)
        keep = largest(saved, per_row(radius, saved)).view(len(x), 1, *x.shape[2:])
        return held.where(keep, x0)

    def inside(self, x: Any, x0: Any, radius: Any) -> NDArray[np.bool_]:
        return (self.distance(x, x0) <= np.asarray(radius, dtype=np.float64)) & _in_box(x, self.span)

    def realise(self, x: Any, case: Case[Any], radius: float) -> NDArray[Any]:
        out = np.clip(np.rint(x.detach().cpu().numpy()), *self.span).astype(case.x.dtype)
        size = np.abs(out.astype(np.int64) - case.x.astype(np.int64)).sum(axis=0)
        weakest = np.argsort(-size, axis=None, kind="stable")[int(radius) :]
        at = np.unravel_index(weakest, size.shape)
        out[:, *at] = case.x[:, *at]
        return np.asarray(out)

    def ascend(self, g: Any) -> Any:
        """Along the gradient, the steepest value over its whole range: one pixel of radius is one pixel's range."""
        return g / per_row(g.abs().flatten(1).amax(1).clamp_min(1e-30), g) * (self.span[1] - self.span[0])

    def random(self, draws: Any, x0: Any, radius: Any) -> Any:
        """`radius` random pixels with the drawn values; the places are keyed by the row's own draws."""
        low, high = self.span
        value = low + (draws + 1.0) / 2.0 * (high - low)
        out = x0.clone()
        n = int(x0[0, 0].numel())
        for k, r in enumerate(np.asarray(radius, dtype=float)):
            rng = generator("image.l0", sha256(draws[k].numpy().tobytes()))
            at = rng.choice(n, size=min(int(r), n), replace=False)
            out[k].flatten(1)[:, at] = value[k].flatten(1)[:, at]
        return out.round()


def largest(values: Any, n: Any) -> Any:
    """Mask of the `n` [rows, 1] largest entries of each row of `values` [rows, k]; the first of equals."""
    rank = values.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    return rank < n.floor()


def whole(d: NDArray[np.float64], length: int) -> NDArray[np.int64]:
    """Changes [k] as whole numbers, none larger than rounded up, adding up to at most `length`.

    What whole numbers leave of the length goes to the largest remainders, so that changes of less than half a level
    are not lost all at once.
    """
    size = np.abs(d)
    base = np.floor(size + 1e-3).astype(np.int64)
    over = int(base.sum()) - length
    if over > 0:
        # Float noise around whole numbers: the smallest changes give way.
        for k in np.argsort(size, kind="stable"):
            take = min(over, int(base[k]))
            base[k] -= take
            over -= take
            if over == 0:
                break
    rest = size - base
    spare = np.argsort(-rest, kind="stable")[: max(-over, 0)]
    base[spare[rest[spare] > 1e-3]] += 1
    return np.asarray(np.sign(d).astype(np.int64) * base)


def _cut(size: Any, room: Any, radius: Any) -> Any:
    """The number [n] by which sizes [n, k] are cut so that min(size - cut, room), if positive, adds up to the radius.

    The sum falls with the cut along straight pieces that meet where a value leaves its room or reaches zero; sorting
    these places gives it exactly (Duchi et al. 2008; with a box Croce & Hein 2021, proposition 2.1).
    """
    import torch

    n = max(int((size > 0).sum(1).max()), 1)
    size, at = size.topk(n, dim=1)
    room = room.gather(1, at)
    place, order = torch.cat([size, (size - room).clamp_min(0.0)], 1).sort(dim=1, descending=True)
    sign = torch.cat([torch.ones_like(size), -torch.ones_like(size)], 1).gather(1, order)
    count, total = sign.cumsum(1), (sign * place).cumsum(1)
    kept = total - place * count
    piece = ((kept < radius[:, None]).sum(1, keepdim=True) - 1).clamp_min(0)
    cut = (total.gather(1, piece)[:, 0] - radius) / count.gather(1, piece)[:, 0].clamp_min(1.0)
    return cut.clamp_min(0.0).where(size.minimum(room).sum(1) > radius, torch.zeros_like(cut))


def _in_box(x: Any, span: tuple[float, float]) -> NDArray[np.bool_]:
    low, high = span
    return np.asarray(((x >= low - 1e-3) & (x <= high + 1e-3)).flatten(1).all(1).cpu().numpy())
