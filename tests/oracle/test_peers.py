"""Attacks of other libraries inside of a cell: the same flips as the library alone, every evaluation counted, refereed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.images import Linear, audit, cell, heads, labelled, pictures
from tests.oracle.test_linear_model import closed_form

from nocere.attacks.peers.adv_lib import AdvLibAttack
from nocere.attacks.peers.art import ArtAttack
from nocere.attacks.peers.foolbox import FoolboxAttack
from nocere.attacks.peers.peer import PeerAttack
from nocere.core.errors import NocereError
from nocere.targets.torch import TorchTarget

foolbox_here = pytest.mark.skipif(find_spec("foolbox") is None, reason="foolbox is not installed")
art_here = pytest.mark.skipif(find_spec("art") is None, reason="adversarial-robustness-toolbox is not installed")
adv_lib_here = pytest.mark.skipif(find_spec("adv_lib") is None, reason="adv-lib is not installed")
N = 16
pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries, when the tests call them themselves
PGD = {"steps": 8, "rel_stepsize": 0.25, "random_start": False}


class Counting(torch.nn.Module):
    """A net that counts rows that went forward."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net, self.rows = net, 0

    def forward(self, x: Any) -> Any:
        self.rows += len(x)
        return self.net(x)


def linear(head: str = "softmax") -> tuple[Any, Any, Any, Any, Any, Any]:
    """Cases, target, x, decision, weight, bias."""
    decision, weight, bias = heads()[head]
    x = pictures(N)
    cases = labelled(x, decision, weight, bias)
    return cases, TorchTarget(Linear(weight, bias), decision), x, decision, weight, bias


def kinds(bundle: Any) -> dict[str, str]:
    return {o.case_id: o.kind for o in bundle.outcomes("cell")}


@foolbox_here
def test_foolbox_flips_what_it_flips_alone_with_as_many_evaluations(tmp_path: Path) -> None:
    import foolbox

    cases, target, x, decision, weight, bias = linear()
    radius = 2.0
    bundle = audit(
        tmp_path / "b", cases, target, cell(cases, (FoolboxAttack("LinfPGD", PGD),), radii=(radius,), search="shipped")
    )
    net = Linear(weight, bias).eval()
    ours = kinds(bundle)
    used = {o.case_id: o.meter for o in bundle.outcomes("cell")}
    flipped = 0
    for i, ref in enumerate(cases.refs):
        truth = decision.labels.index(next(iter(ref.truth.labels)))
        counting = Counting(torch.nn.Sequential(Scaled(), net)).eval()
        model = foolbox.PyTorchModel(counting, bounds=(0, 1), device="cpu")
        start = torch.from_numpy(x[i : i + 1].astype(np.float32)) / 255
        _, made, success = foolbox.attacks.LinfPGD(**PGD)(model, start, torch.tensor([truth]), epsilons=radius / 255)
        assert (ours[ref.id] == "broken") == bool(success[0])
        flipped += bool(success[0])
        if ours[ref.id] == "held":
            # One look more than the library takes alone: at what it hands back.
            assert used[ref.id]["forward"] == counting.rows + 1
            assert used[ref.id]["backward"] == PGD["steps"]
        else:
            assert used[ref.id]["forward"] <= counting.rows
    assert 0 < flipped < N


class Scaled(torch.nn.Module):
    def forward(self, x: Any) -> Any:
        return x * 255


@pytest.mark.parametrize("head", ["one_logit", "two_logit", "softmax", "multi_label"])
@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(lambda: FoolboxAttack("LinfPGD", PGD), marks=foolbox_here, id="foolbox"),
        pytest.param(lambda: ArtAttack("ProjectedGradientDescent", {"max_iter": 8}), marks=art_here, id="art"),
        pytest.param(
            lambda: AdvLibAttack("pgd_linf", {"steps": 8, "relative_step_size": 0.25, "random_init": False}),
            marks=adv_lib_here, id="adv-lib",
        ),
    ],
)  # fmt: skip
def test_pgd_of_all_breaks_exactly_what_the_closed_form_allows(tmp_path: Path, head: str, attack: Any) -> None:
    cases, target, x, decision, weight, bias = linear(head)
    exact = closed_form(x, decision, weight, bias, "linf")
    radius = float(np.ceil(np.median(exact)))
    bundle = audit(tmp_path / "b", cases, target, cell(cases, (attack(),), radii=(radius,)))
    for ref, e in zip(cases.refs, exact, strict=True):
        if abs(e - radius) > 0.05 * radius or head == "one_logit":
            assert kinds(bundle)[ref.id] == ("broken" if e < radius else "held"), (ref.id, e, radius)


def test_objects_names_and_what_is_neither() -> None:
    with pytest.raises(NocereError, match="no attack of ART"):
        PeerAttack.of(print)
