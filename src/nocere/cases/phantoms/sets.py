"""Phantom sets: seeded synthetic cases, drawn when they are loaded, with splits that never overlap."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from nocere.cases.image import Pixels, array_case
from nocere.cases.phantoms import dermoscopy as derm
from nocere.core.case import Case, CaseRef, CaseSet, Truth
from nocere.core.errors import UsageError
from nocere.core.registry import register

Split = Literal["train", "val", "test"]
FIRST: dict[str, int] = {"train": 0, "val": 1_000_000, "test": 2_000_000}
DERMOSCOPY_LABELS = ("benign", "malignant")


@register("phantom", "image.dermoscopy", source="ABCD rule (Nachbar et al. 1994) as a drawing; not a patient in it")
def dermoscopy(*, n: int = 300, seed: int = 7, split: str = "test", size: int = 96) -> CaseSet:
    """Synthetic skin lesions with asymmetry, border, colour, diameter and structures; seven simulated readers vote.

    Args:
        n: number of cases.
        seed: another seed is another world of the same kind.
        split: train, val or test; they never share a case.
        size: pixels an edge.
    """
    if split not in FIRST:
        raise UsageError(f"A phantom has the splits {', '.join(FIRST)}; got {split!r}.")
    if not 1 <= n <= 1_000_000 or size < 16:
        raise UsageError(f"A phantom set needs 1 to 1,000,000 cases of at least 16 pixels; got n = {n}, size = {size}.")
    name = f"phantom-dermoscopy-{seed}-{split}"

    @lru_cache(maxsize=1024)
    def load(case_id: str) -> Case[Pixels]:
        sample = derm.draw(seed, FIRST[split] + int(case_id.rsplit("/", 1)[1]), size)
        votes = dict(zip(DERMOSCOPY_LABELS, sample.votes, strict=True))
        hair = "hair" if sample.nuisances["hairs"] > 0 else "no hair"
        return array_case(case_id, sample.image, Truth.from_votes(votes), attrs={"hair": hair})

    refs = []
    for i in range(n):
        c = load(f"{name}/{i:06d}")
        refs.append(CaseRef(c.id, c.truth, c.group, c.attrs, c.sha256))
    return CaseSet(refs, load, phantom=True, name=name)
