"""Images of more than 8 bits and recordings: written, read back, and held to their stored range."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.images import ALL, cell

from nocere.attacks.image.pgd import Pgd
from nocere.audit.runner import run_audit
from nocere.audit.spec import Spec
from nocere.cases.image import ImageCodec, array_case, image_case
from nocere.cases.signal import SignalCodec, signal_case
from nocere.core.case import CaseSet, Truth
from nocere.core.decision import OneLogit
from nocere.core.errors import DataError
from nocere.targets.torch import TorchTarget
from nocere.threats.pixels import L2, Linf
from nocere.threats.samples import SignalLinf

DECISION = OneLogit(("benign", "malignant"))
RNG = np.random.default_rng(0)


def test_sixteen_bit_png_keeps_values_and_depth() -> None:
    x = RNG.integers(0, 4096, (1, 9, 7)).astype(np.uint16)
    case = array_case("c", x, Truth.of("benign"), bits=12)
    data = ImageCodec().encode(case, x)["image.png"]
    again, header = ImageCodec().decode({"image.png": data})
    assert np.array_equal(again, x) and dict(header) == dict(case.header) == {"bits": 12, "channels": 1}
    # Another reader sees the same numbers.
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), x[0])
    plain = io.BytesIO()
    Image.fromarray(x[0]).save(plain, "PNG")
    assert image_case("d", plain.getvalue(), Truth.of("benign")).header["bits"] == 16


@pytest.mark.parametrize(
    ("x", "bits"),
    [
        (np.full((1, 4, 4), 4096, np.uint16), 12),
        (np.zeros((3, 4, 4), np.uint16), 12),
        (np.zeros((1, 4, 4), np.uint8), 12),
        (np.zeros((1, 4, 4), np.int16), 12),
    ],
)
def test_other_forms_are_refused(x: np.ndarray, bits: int) -> None:
    with pytest.raises(DataError, match="stored values must be"):
        array_case("c", x, Truth.of("benign"), bits=bits)


class Windowed(torch.nn.Module):
    """A 12-bit window inside of the model, then a linear head."""

    def __init__(self, features: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head = torch.nn.Linear(features, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(((x - 1000.0) / 2000.0).clamp(0, 1).flatten(1))


@pytest.mark.parametrize("pset", [Linf(bits=12), L2(bits=12)])
def test_twelve_bit_images_are_searched_beyond_255(tmp_path: Path, pset: object) -> None:
    x = RNG.integers(1200, 2800, (6, 1, 12, 12)).astype(np.uint16)
    target = TorchTarget(Windowed(144), DECISION)
    with torch.no_grad():
        said = target.module(torch.from_numpy(x.astype(np.float32)))[:, 0] > 0
    cases = CaseSet.of(
        [
            array_case(f"c{i}", row, Truth.of(DECISION.labels[int(s)]), bits=12)
            for i, (row, s) in enumerate(zip(x, said, strict=True))
        ]
    )
    radii = (1400.0,) if isinstance(pset, Linf) else (9000.0,)
    one = cell(cases, (Pgd(20),), pset=pset, radii=radii)
    bundle = run_audit(Spec("deep", target, ImageCodec(), cases, (one,)), tmp_path / "b")
    outcomes = list(bundle.outcomes("cell"))
    assert [o.kind for o in outcomes] == ["broken"] * 6
    assert max(o.finding.cost.more["linf"] for o in outcomes if o.finding and o.finding.cost) > 255
    files = list((tmp_path / "b").glob("evidence/**/image.png"))
    assert len(files) == 6 and max(np.asarray(Image.open(f)).max() for f in files) <= 4095


def test_eight_bit_rules_refuse_deeper_values() -> None:
    x = np.full((1, 4, 4), 300, np.uint16)
    case = array_case("c", x, Truth.of("benign"), bits=12)
    assert Linf(5).check(case, x + 1, None) is not None
    assert Linf(5, bits=12).check(case, x + 1, None) is None


def test_recordings_are_wfdb_records_that_wfdb_reads(tmp_path: Path) -> None:
    wfdb = pytest.importorskip("wfdb")
    x = RNG.integers(-2000, 2000, (2, 256)).astype(np.int16)
    case = signal_case("ecg", x, Truth.of("benign"), rate=360.0, gain=200.0, names=["MLII", "V5 left"])
    files = SignalCodec().encode(case, x)
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    record = wfdb.rdrecord(str(tmp_path / "record"), physical=False)
    assert np.array_equal(record.d_signal.T, x)
    assert (record.fs, record.adc_gain, record.sig_name, record.units) == (
        360,
        [200.0] * 2,
        ["MLII", "V5 left"],
        ["mV"] * 2,
    )
    assert [c % 65536 for c in record.checksum] == record.calc_checksum()  # as wfdb itself computes it
    again, header = SignalCodec().decode(files)
    assert np.array_equal(again, x) and dict(header) == dict(case.header)
    with pytest.raises(DataError, match="does not belong"):
        SignalCodec().decode({**files, "record.dat": b"\x01" + files["record.dat"][1:]})
    with pytest.raises(DataError):
        SignalCodec().decode({"record.hea": b"nonsense", "record.dat": b""})


def test_recordings_are_audited(tmp_path: Path) -> None:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(1)
            self.net = torch.nn.Sequential(
                torch.nn.Conv1d(2, 4, 7, stride=2), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(500, 1)
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(x / 200.0)

    x = RNG.integers(-400, 400, (5, 2, 256)).astype(np.int16)
    target = TorchTarget(Net(), DECISION)
    with torch.no_grad():
        said = target.module(torch.from_numpy(x.astype(np.float32)))[:, 0] > 0
    cases = CaseSet.of(
        [
            signal_case(f"s{i}", row, Truth.of(DECISION.labels[int(s)]), rate=250.0)
            for i, (row, s) in enumerate(zip(x, said, strict=True))
        ]
    )
    one = cell(cases, (Pgd(20),), pset=SignalLinf(), radii=(200.0,), access=ALL)
    bundle = run_audit(Spec("waves", target, SignalCodec(), cases, (one,)), tmp_path / "b")
    assert [o.kind for o in bundle.outcomes("cell")] == ["broken"] * 5


@pytest.mark.parametrize("seed", range(20))
def test_noise_on_recordings_stays_inside_and_beyond_is_refused(seed: int) -> None:
    """What the conformance harness asks of sets of pictures, at both ends of the stored range."""
    rng = np.random.default_rng(seed)
    x = rng.choice([-32767, -32760, -3, 0, 5, 32760, 32767], (2, 40)).astype(np.int16)
    case = signal_case("s", x, Truth.of("benign"), rate=250.0)
    pset = SignalLinf(float(rng.integers(1, 50)))
    x0 = torch.from_numpy(x.astype(np.float32))[None]
    radius = np.array([pset.radius])
    once = pset.project(x0 + 100 * torch.from_numpy(rng.normal(size=x0.shape).astype(np.float32)), x0, radius)
    assert pset.inside(once, x0, radius).all()
    assert torch.equal(pset.project(once, x0, radius), once)
    stored = pset.realise(once[0], case, pset.radius)
    assert stored.dtype == np.int16 and pset.check(case, stored, None) is None and int(stored.min()) > -32768
    beyond = x.copy()
    beyond[0, 0] += np.int16((pset.radius + 1) * (1 if x[0, 0] <= 0 else -1))
    assert pset.check(case, beyond, None) is not None
    missing = x.copy()
    missing[x == -32767] = -32768
    assert (x != -32767).all() or pset.check(case, missing, None) is not None
