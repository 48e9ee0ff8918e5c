"""How much of a perturbation lies on the lesion, on other anatomy and on the background, beside their area.

Regions are the reader's mask; anatomy, which is everything brighter than the background; and the background, the pixels
whose every channel is as dark as DARK of the whole range (of stored values; of DICOM, as the file's own window shows
them) and that touch the picture's edge (the dark frame of a fundus photograph or a radiograph). A rule of ours, and no
segmentation: a picture without such a frame has no background.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.audit.bundle import Bundle, evidence_path
from nocere.audit.codecs import codec_named
from nocere.cases.masks import marked
from nocere.clinical.dicom.display import TOP, displayed, of_header
from nocere.core.case import Case, CaseSet
from nocere.core.errors import UsageError
from nocere.core.intervals import cluster_bootstrap

DARK = 0.06  # of the range
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

    dark = (brightness(case) <= DARK).all(axis=0)
    parts, _ = label(dark)
    edge = np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
    background = np.isin(parts, edge[edge > 0]) & ~mask
    return {"lesion": mask, "anatomy": ~(mask | background), "background": background}


def brightness(case: Case[Any]) -> NDArray[np.float64]:
    """Values [C, H, W] from 0 to 1: stored ones over the range of their bits, DICOM as its window shows it."""
    return np.asarray(displayed(of_header(case.header, len(case.x)), case.x) / TOP)


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
    codec = codec_named(bundle.plan["cases"]["codec"])
    for cell in bundle.plan["cells"]:
        found, without = [], 0
        for o in bundle.outcomes(cell["name"]):
            folder = f"{evidence_path(cell['name'], o.case_id, o.radius)}/"
            files = {n.removeprefix(folder): bundle.bytes(n) for n in bundle.manifest["files"] if n.startswith(folder)}
            if o.kind != "broken" or not files:
                continue
            case = cases.load(o.case_id)
            if not case.mask:
                without += 1
                continue
            found.append(spread(case, codec.decode(files)[0]))
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
