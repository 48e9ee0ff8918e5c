"""How much of a perturbation lies on the lesion, on other anatomy and on the background, beside their area.

Regions are the reader's mask; anatomy, which is everything brighter than the background; and the background, the pixels
whose every channel lies below DARK of the stored range and that touch the picture's edge (the dark frame of a fundus
photograph or a radiograph). A rule of ours, and no segmentation: a picture without such a frame has no background.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.audit.bundle import Bundle, evidence_path
from nocere.cases.image import FILE, read_pixels
from nocere.cases.masks import marked
from nocere.core.case import Case, CaseSet
from nocere.core.errors import UsageError
from nocere.core.intervals import cluster_bootstrap

DARK = 0.06  # of the stored range
REGIONS = ("lesion", "anatomy", "background")


@dataclass(frozen=True, slots=True)
class Spread:
    """One turned picture: share of area and of energy (squared change) by region."""

    case_id: str
    group: str
    area: Mapping[str, float]
    energy: Mapping[str, float]


def regions(case: Case[Any]) -> dict[str, NDArray[np.bool_]]:
    """The pixels [H, W] of each region; they cover the picture and do not overlap.

    Raises:
        UsageError: the case has no mask.
    """
    mask = marked(case)
    if mask is None:
        raise UsageError(f"Case {case.id} has no mask.", "Name a column of masks in the manifest (docs/plans.md).")
    from scipy.ndimage import label

    dark = (case.x <= DARK * np.iinfo(case.x.dtype).max).all(axis=0)
    parts, _ = label(dark)
    edge = np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
    background = np.isin(parts, edge[edge > 0]) & ~mask
    return {"lesion": mask, "anatomy": ~(mask | background), "background": background}


def spread(case: Case[Any], x: NDArray[Any]) -> Spread:
    """Where the change from a case to stored values `x` lies.

    Raises:
        UsageError: the case has no mask, or nothing was changed.
    """
    energy = ((x.astype(np.float64) - case.x) ** 2).sum(axis=0)
    if not energy.any():
        raise UsageError(f"Case {case.id}: nothing was changed.")
    found = regions(case)
    return Spread(
        case.id,
        case.group,
        {name: float(part.mean()) for name, part in found.items()},
        {name: float(energy[part].sum() / energy.sum()) for name, part in found.items()},
    )


def shares(bundle: Bundle, cases: CaseSet) -> list[dict[str, Any]]:
    """For each cell with pictures that were turned: mean shares of area and energy by region, and their ratio.

    A ratio above 1 says that the attack prefers the region to what its area would give it. Intervals are bootstraps
    over patients. Pictures without a mask are counted and left out.

    Args:
        bundle: an audit of pictures.
        cases: the cases that it was run on.
    """
    rows = []
    for cell in bundle.plan["cells"]:
        found, without = [], 0
        for o in bundle.outcomes(cell["name"]):
            name = f"{evidence_path(cell['name'], o.case_id, o.radius)}/{FILE}"
            if o.kind != "broken" or name not in bundle.manifest["files"]:
                continue
            case = cases.load(o.case_id)
            if not case.mask:
                without += 1
                continue
            found.append(spread(case, read_pixels(bundle.bytes(name), name)))
        if found or without:
            rows.append({"cell": cell["name"], "n": len(found), "without_mask": without, "regions": _rows(found)})
    return rows


def _rows(found: Sequence[Spread]) -> list[dict[str, Any]]:
    rows = []
    for name in REGIONS if found else ():
        area = np.array([s.area[name] for s in found])
        energy = np.array([s.energy[name] for s in found])
        groups = [s.group for s in found]

        def ratio(at: NDArray[np.int64], area: Any = area, energy: Any = energy) -> float:
            return float(energy[at].sum() / area[at].sum()) if area[at].sum() > 0 else float("nan")

        several = len(set(groups)) > 1 and area.any()
        around = cluster_bootstrap(ratio, groups) if several else None
        rows.append(
            {
                "region": name,
                "area": float(area.mean()),
                "energy": float(energy.mean()),
                "ratio": ratio(np.arange(len(found))) if area.any() else None,
                "low": None if around is None else around.low,
                "high": None if around is None else around.high,
            }
        )
    return rows
