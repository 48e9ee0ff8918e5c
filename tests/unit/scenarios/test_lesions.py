"""Where a perturbation lies: regions and shares against plain counts on a small audit with masks."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nocere.audit.plan import make_plan, resolve
from nocere.audit.runner import run_audit
from nocere.cases.dicom import dicom_case
from nocere.cases.image import array_case
from nocere.cases.masks import marked, write_mask
from nocere.core.case import CaseSet, Truth
from nocere.core.decision import OneLogit
from nocere.core.errors import UsageError
from nocere.scenarios.lesions.shares import regions, shares, spread
from nocere.targets.torch import TorchTarget


def cases(n: int = 8) -> CaseSet:
    """Grey discs on a dark frame; the mask is a square in the disc, and it alone tells the label."""
    rng = np.random.default_rng(0)
    row, column = np.mgrid[:32, :32] - 15.5
    disc = row**2 + column**2 < 14**2
    mask = np.zeros((32, 32), bool)
    mask[12:20, 12:20] = True
    made = []
    for i in range(n):
        x = np.where(disc, rng.integers(90, 110, (32, 32)), 2).astype(np.uint8)[None]
        x[:, mask] = 101 if i % 2 else 99
        made.append(array_case(str(i), x, Truth.of("bad" if i % 2 else "good"), mask=mask))
    return CaseSet.of(made, name="discs")


def target() -> TorchTarget:
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(32 * 32, 1))
    weight = torch.zeros(32, 32)
    weight[12:20, 12:20] = 1 / 64
    with torch.no_grad():
        net[1].weight.copy_(weight.view(1, -1))
        net[1].bias.fill_(-100.0)
    return TorchTarget(net, OneLogit(("good", "bad")))


def test_regions_cover_the_picture_once() -> None:
    case = next(iter(cases()))
    found = regions(case)
    assert (sum(part.astype(int) for part in found.values()) == 1).all()
    assert found["lesion"].sum() == 64
    assert found["background"][0, 0]
    assert found["anatomy"][15, 5]


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_regions_do_not_depend_on_the_depth_of_the_values(bits: int) -> None:
    case = next(iter(cases()))
    deep = array_case("deep", case.x.astype(np.uint16) << (bits - 8), case.truth, bits=bits, mask=marked(case))
    assert all((part == regions(deep)[name]).all() for name, part in regions(case).items())


def test_shares_of_one_change_are_its_energy() -> None:
    case = next(iter(cases()))
    x = np.array(case.x)
    x[0, 15, 15] += 3
    x[0, 15, 5] += 4
    x[0, 0, 0] += 5
    got = spread(case, x)
    assert got.energy == {"lesion": pytest.approx(9 / 50), "anatomy": pytest.approx(16 / 50), "background": 0.5}
    assert got.area["lesion"] == 64 / 1024
    with pytest.raises(UsageError, match="nothing was changed"):
        spread(case, case.x)


def test_an_attack_on_a_model_of_the_lesion_lies_on_it(tmp_path: Path) -> None:
    some = cases()
    cell = {"name": "noise", "threat": "image.l2", "radii": [40], "attacks": [{"name": "image.pgd", "steps": 10}]}
    bundle = run_audit(resolve(make_plan({"name": "l", "cell": [cell]}), target(), some), tmp_path / "a")
    (row,) = shares(bundle, some)
    by_region = {r["region"]: r for r in row["regions"]}
    assert row["n"] == sum(o.kind == "broken" for o in bundle.outcomes("noise")) > 0
    assert by_region["lesion"]["energy"] > 0.95
    assert by_region["lesion"]["ratio"] == pytest.approx(by_region["lesion"]["energy"] * 16)
    assert by_region["background"]["energy"] < 0.05


def test_dicom_evidence_counts_too(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    from pydicom.data import get_testdata_file

    ds = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    assert ds.PixelRepresentation == 1
    files = {}
    for name, less in (("bad", 0), ("good", 3)):  # the second one darker by three stored values
        ds.PixelData = (ds.pixel_array.astype(np.int16) - less).tobytes()
        out = io.BytesIO()
        ds.save_as(out)
        files[name] = out.getvalue()
    mask = np.zeros((128, 128), bool)
    mask[50:80, 50:80] = True
    some = CaseSet.of(
        [replace(dicom_case(n, data, Truth.of(n)), mask=write_mask(mask)) for n, data in files.items()], name="ct"
    )
    case = some.load("bad")
    found = regions(case)
    assert found["anatomy"].mean() > 0.3
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(128 * 128, 1))
    with torch.no_grad():
        net[1].weight.copy_(torch.from_numpy(mask).float().view(1, -1) / mask.sum())
        net[1].bias.fill_(0.5 - float(case.x[0][mask].mean()))
    cell = {"name": "noise", "threat": "image.linf", "radii": [2], "attacks": [{"name": "image.pgd", "steps": 5}]}
    target = TorchTarget(net, OneLogit(("good", "bad")))
    bundle = run_audit(resolve(make_plan({"name": "ct", "cell": [cell]}), target, some), tmp_path / "a")
    (row,) = shares(bundle, some)
    assert row["n"] == sum(o.kind == "broken" for o in bundle.outcomes("noise")) > 0
    assert row["regions"][0]["ratio"] > 5
