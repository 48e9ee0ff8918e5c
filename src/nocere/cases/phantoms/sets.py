"""Phantom sets: seeded synthetic cases, drawn when they are loaded, with splits that never overlap."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from nocere.cases.image import Pixels, array_case
from nocere.cases.phantoms import chest as xray
from nocere.cases.phantoms import dermoscopy as derm
from nocere.cases.phantoms import fundus as retina
from nocere.core.case import Case, CaseRef, CaseSet, Truth
from nocere.core.errors import UsageError
from nocere.core.registry import register

Split = Literal["train", "val", "test"]
FIRST: dict[str, int] = {"train": 0, "val": 1_000_000, "test": 2_000_000}
DERMOSCOPY_LABELS = ("benign", "malignant")
CHEST_LABELS = ("normal", "opacity")
FUNDUS_LABELS = ("not referable", "referable")
LABELS: dict[str, tuple[str, str]] = {
    "image.dermoscopy": DERMOSCOPY_LABELS,
    "image.chest": CHEST_LABELS,
    "image.fundus": FUNDUS_LABELS,
}
"""Labels of each phantom in order, the disease last."""


class Drawn(Protocol):
    """What a set needs of a phantom's sample."""

    @property
    def image(self) -> NDArray[np.uint8]: ...
    @property
    def votes(self) -> tuple[int, int]: ...
    @property
    def nuisances(self) -> dict[str, float]: ...


@register("phantom", "image.dermoscopy", source="ABCD rule (Nachbar et al. 1994) as a drawing; not a patient in it")
def dermoscopy(*, n: int = 300, seed: int = 7, split: str = "test", size: int = 96) -> CaseSet:
    """Synthetic skin lesions with asymmetry, border, colour, diameter and structures; seven simulated readers vote.

    Args:
        n: number of cases.
        seed: another seed is another world of the same kind.
        split: train, val or test; they never share a case.
        size: pixels an edge.
    """

    def hair(seen: Mapping[str, float]) -> dict[str, str]:
        return {"hair": "hair" if seen["hairs"] > 0 else "no hair"}

    return _drawn("image.dermoscopy", derm.draw, hair, n, seed, split, size)


@register("phantom", "image.chest", source="silhouette sign (Felson, Felson 1950) as a drawing; not a patient in it")
def chest(*, n: int = 300, seed: int = 7, split: str = "test", size: int = 96) -> CaseSet:
    """Synthetic chest X-rays with a lung shadow: extent, contrast, texture, lost heart border; five readers vote.

    Args:
        n: number of cases.
        seed: another seed is another world of the same kind.
        split: train, val or test; they never share a case.
        size: pixels an edge.
    """

    def view(seen: Mapping[str, float]) -> dict[str, str]:
        return {"view": "AP" if seen["view"] else "PA"}

    return _drawn("image.chest", xray.draw, view, n, seed, split, size)


@register("phantom", "image.fundus", source="lesions of Wilkinson et al. 2003 as a drawing; not a patient in it")
def fundus(*, n: int = 300, seed: int = 7, split: str = "test", size: int = 96) -> CaseSet:
    """Synthetic fundus photographs with microaneurysms, haemorrhages and exudates; nine simulated readers vote.

    Args:
        n: number of cases.
        seed: another seed is another world of the same kind.
        split: train, val or test; they never share a case.
        size: pixels an edge.
    """

    def pigment(seen: Mapping[str, float]) -> dict[str, str]:
        return {"pigment": "dark" if seen["pigment"] > 0.5 else "light"}

    return _drawn("image.fundus", retina.draw, pigment, n, seed, split, size)


def _drawn(
    phantom: str,
    draw: Callable[[int, int, int], Drawn],
    subgroup: Callable[[Mapping[str, float]], dict[str, str]],
    n: int,
    seed: int,
    split: str,
    size: int,
) -> CaseSet:
    """A set of one registered phantom; `subgroup` makes a case's attributes of its nuisances."""
    if split not in FIRST:
        raise UsageError(f"A phantom has the splits {', '.join(FIRST)}; got {split!r}.")
    if not 1 <= n <= 1_000_000 or size < 16:
        raise UsageError(f"A phantom set needs 1 to 1,000,000 cases of at least 16 pixels; got n = {n}, size = {size}.")
    name = f"phantom-{phantom.removeprefix('image.')}-{seed}-{split}"

    @lru_cache(maxsize=1024)
    def load(case_id: str) -> Case[Pixels]:
        sample = draw(seed, FIRST[split] + int(case_id.rsplit("/", 1)[1]), size)
        votes = dict(zip(LABELS[phantom], sample.votes, strict=True))
        return array_case(case_id, sample.image, Truth.from_votes(votes), attrs=subgroup(sample.nuisances))

    refs = []
    for i in range(n):
        c = load(f"{name}/{i:06d}")
        refs.append(CaseRef(c.id, c.truth, c.group, c.attrs, c.sha256))
    return CaseSet(refs, load, phantom=True, name=name)
