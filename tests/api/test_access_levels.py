"""One network in seven forms: the same clean scores, and the same outcomes wherever the access is the same."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.images import audit, cell
from tests.served import served

from nocere.attacks.image.hopskipjump import HopSkipJump
from nocere.attacks.image.pgd import Pgd
from nocere.attacks.image.square import Square
from nocere.cases.image import array_case
from nocere.core.batch import Batch
from nocere.core.case import CaseSet, Truth
from nocere.core.decision import OneLogit
from nocere.targets.card import load_target
from nocere.targets.preprocess import ImageInput
from nocere.targets.torch import TorchTarget

pytest.importorskip("onnxruntime", reason="needs ONNX Runtime")
nets = pytest.importorskip("monai.networks.nets", reason="needs MONAI")

LABELS, SIDE, N = ("benign", "malignant"), 16, 24
INPUT = ImageInput(1, (SIDE, SIDE), mean=(0.5,), std=(0.25,))
NETWORK = {
    "block": "basic",
    "layers": [1, 1, 1, 1],
    "block_inplanes": [4, 4, 8, 8],
    "spatial_dims": 2,
    "n_input_channels": 1,
    "num_classes": 1,
}
ACCESS = {
    "gradients": (frozenset({"gradients", "scores", "labels"}), Pgd(10)),
    "scores": (frozenset({"scores", "labels"}), Square(150)),
    "labels": (frozenset({"labels"}), HopSkipJump(150)),
}


def pictures(n: int, seed: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """A bright or a dark blob on noise."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    grid = np.mgrid[:SIDE, :SIDE]
    x = rng.normal(110, 22, (n, 1, SIDE, SIDE))
    for i in range(n):
        centre = rng.uniform(5, 11, (2, 1, 1))
        x[i, 0] += (28 if y[i] else -28) * np.exp(-((grid - centre) ** 2).sum(0) / 12)
    return np.clip(x, 0, 255).round().astype(np.uint8), y


@pytest.fixture(scope="module")
def net() -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = nets.ResNet(**NETWORK)
        x, y = pictures(256, 1)
        rows, want = INPUT(torch.from_numpy(x).float()), torch.from_numpy(y).float()[:, None]
        optimiser = torch.optim.Adam(made.parameters(), 0.01)
        for _ in range(25):
            optimiser.zero_grad()
            torch.nn.functional.binary_cross_entropy_with_logits(made(rows), want).backward()
            optimiser.step()
    return made.eval().requires_grad_(False)


CARD = (
    "[target]\n{}\n[input]\nchannels = 1\nsize = [16, 16]\nmean = [0.5]\nstd = [0.25]\n"
    '[decision]\nkind = "one_logit"\nlabels = ["benign", "malignant"]\n'
)
PROGRAM = """
import base64, json, os, sys
import numpy as np, torch
torch.set_num_threads(1)
net = torch.jit.load("m.ts")
for line in sys.stdin:
    q = json.loads(line)
    x = np.frombuffer(base64.b64decode(q["data"]), "<f4").reshape(q["shape"]).copy()
    with torch.inference_mode():
        z = net(torch.from_numpy(x)).numpy()
    data = base64.b64encode(z.tobytes()).decode()
    print(json.dumps({"id": q["id"], "shape": z.shape, "dtype": "float32", "data": data}), flush=True)
"""


@pytest.fixture(scope="module")
def forms(net: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("forms")
    x = torch.rand(2, 1, SIDE, SIDE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch's exporters say of themselves
        torch.jit.save(torch.jit.trace(net, x), folder / "m.ts")
        torch.export.save(
            torch.export.export(net, (x,), dynamic_shapes=({0: torch.export.Dim("n")},)), folder / "m.pt2"
        )
        torch.onnx.export(
            net, (x,), str(folder / "m.onnx"), dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "n"}}
        )
    for part in ("configs", "models"):
        (folder / "bundle" / part).mkdir(parents=True)
    about = {"network_def": {"_target_": "ResNet", **NETWORK}}
    (folder / "bundle" / "configs" / "inference.json").write_text(json.dumps(about))
    torch.save(net.state_dict(), folder / "bundle" / "models" / "model.pt")
    (folder / "model.py").write_text(PROGRAM)

    def scorer(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        with torch.inference_mode():
            return net(torch.from_numpy(rows)).numpy()  # type: ignore[no-any-return]

    with ExitStack() as stack:
        url = stack.enter_context(served(scorer, (1, SIDE, SIDE), 1))
        cards = {
            "torchscript": 'kind = "torchscript"\nweights = "m.ts"',
            "pt2": 'kind = "pt2"\nweights = "m.pt2"',
            "onnx": 'kind = "onnx"\nweights = "m.onnx"',
            "monai": 'kind = "monai"\nweights = "bundle"',
            "kserve": f'kind = "kserve"\nurl = "{url}"\nmodel = "net"',
            "process": f'kind = "process"\ncommand = ["{sys.executable}", "model.py"]\nfiles = ["m.ts"]',
        }
        made: dict[str, Any] = {"module": TorchTarget(net, OneLogit(LABELS), INPUT)}
        for name, text in cards.items():
            (folder / f"{name}.toml").write_text(CARD.format(text))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                made[name] = load_target(folder / f"{name}.toml")
        yield made


@pytest.fixture(scope="module")
def cases() -> CaseSet:
    x, y = pictures(N, 2)
    return CaseSet.of([array_case(f"c{i:02d}", x[i], Truth.of(LABELS[y[i]])) for i in range(N)])


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_clean_scores_are_the_same(forms: dict[str, Any], cases: CaseSet) -> None:
    rows = [cases.load(r.id) for r in cases.refs]
    batch = Batch(torch.from_numpy(np.stack([c.x.astype(np.float32) for c in rows])), tuple(rows))
    want = forms["module"].scores(batch)
    assert np.ptp(want) > 1
    for name, target in forms.items():
        np.testing.assert_allclose(target.scores(batch), want, atol=1e-5, err_msg=name)
    white = {n for n, t in forms.items() if "gradients" in t.access}
    assert white == {"module", "torchscript", "pt2", "onnx", "monai"}
    # A bundle of MONAI is the same module with the same weights; the other forms are files of their own.
    assert forms["monai"].fingerprint == forms["module"].fingerprint
    assert len({t.fingerprint for t in forms.values()}) == len(forms) - 1


def outcomes(out: Path, cases: CaseSet, target: Any, access: str) -> dict[tuple[str, Any], str]:
    granted, attack = ACCESS[access]
    made = audit(out, cases, target, cell(cases, (attack,), access=granted, radii=(2.0, 6.0, 12.0)))
    return {(o.case_id, o.radius): o.kind for o in made.outcomes("cell")}


@pytest.mark.parametrize("access", list(ACCESS))
def test_outcomes_are_the_same_where_access_is(
    access: str, forms: dict[str, Any], cases: CaseSet, tmp_path: Path
) -> None:
    able = {n: t for n, t in forms.items() if access in t.access}
    got = {n: outcomes(tmp_path / n, cases, t, access) for n, t in able.items()}
    want = got["module"]
    assert {"broken", "held"} <= set(want.values()), set(want.values())
    for name, found in got.items():
        assert found == want, name
