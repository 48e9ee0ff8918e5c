"""Tiles: a short rest is padded less only where that changes no bit; what is in flight changes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.images import audit, cell, pictures, world

from nocere.attacks.evaluate import STEP, TILE, RestTile, tiles
from nocere.attacks.image.apgd import Apgd
from nocere.cases.image import array_case
from nocere.core.case import Truth
from nocere.core.decision import OneLogit
from nocere.targets.torch import TorchTarget

CASE = array_case("c", pictures(1)[0], Truth.of("benign"))
ROW = torch.from_numpy(CASE.x.astype(np.float32))
DECISION = OneLogit(("benign", "malignant"))


class Net(torch.nn.Module):
    def __init__(self, leak: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head = torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Linear(8, 1)
        self.leak = leak

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.head(torch.relu(self.conv(x / 255.0)).mean((2, 3)))
        return z + self.leak * len(x)  # a net whose answers hang on the size of the batch


@pytest.mark.parametrize(
    ("n", "sizes"), [(32, [32]), (3, [4]), (16, [16]), (17, [20]), (40, [32, 8]), (69, [32, 32, 8])]
)
def test_every_row_has_one_place(n: int, sizes: list[int]) -> None:
    found = list(tiles(n, TILE, RestTile(TorchTarget(Net(), DECISION), ROW, CASE)))
    assert [rows for _, rows in found] == sizes
    assert [i for s, _ in found for i in range(s.start, s.stop)] == list(range(n))
    assert [rows for _, rows in tiles(n, TILE)] == [TILE] * -(-n // TILE)


def test_a_rest_is_padded_less_only_where_no_bit_changes() -> None:
    def rest(n: int, net: Net, **about: bool) -> int:
        return RestTile(TorchTarget(net, DECISION, **about), ROW, CASE)(n)

    assert rest(STEP + 1, Net()) == 2 * STEP
    assert rest(3, Net(leak=1e-6)) == TILE
    assert rest(3, Net(), stochastic=True) == 3
    assert rest(3, Net(leak=float("nan"))) == TILE


def test_only_sizes_that_change_a_bit_are_left_out() -> None:
    class Odd(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) + (1e-6 if len(x) == 8 else 0.0)

    fit = RestTile(TorchTarget(Odd(), DECISION), ROW, CASE)
    assert [fit(n) for n in (4, 5, 8, 9)] == [4, 12, 12, 12]


@pytest.mark.parametrize("leak", [0.0, 1e-4])
def test_what_is_in_flight_changes_no_byte(tmp_path: Path, leak: float) -> None:
    cases, _ = world(30)
    target = TorchTarget(Net(leak), DECISION)
    hashes = {
        audit(tmp_path / str(n), cases, target, cell(cases, (Apgd(8),), radii=(2.0, 8.0)), lanes=n).hash
        for n in (5, 30)
    }
    assert len(hashes) == 1
