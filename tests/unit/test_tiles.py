"""Tiles: a short rest is padded less only where that changes no bit; what is in flight changes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.images import audit, cell, pictures, world

from nocere.attacks.evaluate import STEP, TILE, WIDE, Tiles, tiles
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


class Odd(Net):
    """Answers otherwise in batches of one size."""

    def __init__(self, odd: int) -> None:
        super().__init__()
        self.odd = odd

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + (1e-6 if len(x) == self.odd else 0.0)


def cut(n: int, net: Net, row: torch.Tensor = ROW, **about: bool) -> list[int]:
    """Sizes of the calls for n rows; every row has one place."""
    case = array_case("c", row.numpy().astype(np.uint8), Truth.of("benign"))
    tiles_of = Tiles(TorchTarget(net, DECISION, **about), row, case)
    whole = [size for _, size in tiles_of(1)]
    assert whole == [1 if about else TILE]  # before many rows were evaluated, no other size is worth a look
    tiles_of.evaluated = 10_000
    found = list(tiles_of(n))
    assert [i for s, _ in found for i in range(s.start, s.stop)] == list(range(n))
    return [size for _, size in found]


@pytest.mark.parametrize(
    ("n", "sizes"),
    [(32, [32]), (3, [STEP]), (16, [16]), (17, [20]), (40, [32, 8]), (69, [64, 8]), (300, [WIDE, WIDE, 32, 12])],
)
def test_small_pictures_are_cut_wide_and_padded_little(n: int, sizes: list[int]) -> None:
    assert cut(n, Net()) == sizes
    assert [size for _, size in tiles(n)] == [TILE] * -(-n // TILE)


def test_large_pictures_are_cut_in_tiles() -> None:
    assert cut(100, Net(), torch.zeros(3, 64, 64)) == [TILE, TILE, TILE, STEP]


def test_only_sizes_that_change_no_bit_are_used() -> None:
    assert cut(3, Net(leak=1e-6)) == [TILE]
    assert cut(100, Net(leak=1e-6)) == [TILE] * 4
    assert cut(3, Net(leak=float("nan"))) == [TILE]
    assert cut(3, Net(), stochastic=True) == [3]
    assert [cut(n, Odd(8))[0] for n in (4, 5, 8, 9)] == [4, 12, 12, 12]
    assert cut(140, Odd(WIDE)) == [96, 32, 12]


@pytest.mark.parametrize("leak", [0.0, 1e-4])
def test_what_is_in_flight_changes_no_byte(tmp_path: Path, leak: float) -> None:
    cases, _ = world(30)
    target = TorchTarget(Net(leak), DECISION)
    hashes = {
        audit(tmp_path / str(n), cases, target, cell(cases, (Apgd(8),), radii=(2.0, 8.0)), lanes=n).hash
        for n in (5, 30)
    }
    assert len(hashes) == 1
